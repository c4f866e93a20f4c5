//! Makes one call after the other, at SES's pace, and says what to make of a call that is not answered.
//!
//! ```text
//! throttled, failed, no answer   called again after a pause that doubles; then reported as that, and asked by the
//!                                next invocation
//! denied, refused                this is an answer, too: it is reported, and kept
//! ```
//!
//! A service that keeps failing is left alone for the rest of the invocation, and so is a permission that is denied each
//! time: it would make no sense to ask for five hundred identities one by one only to hear the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::rate_limiter::{OutOfTimeError, RateLimiter};
use mailroom_core::timestamp::Timestamp;

use crate::aws::ApiError;
use crate::facts::ApiAnswer;

/// After this many failures in a row of one service, or denials of one permission, it is not asked again in this
/// invocation.
const MAX_CONSECUTIVE_ERRORS: u32 = 3;
/// The time that is kept at the end of an invocation for storing what was read, and for answering.
const SAVING_MARGIN: Duration = Duration::from_secs(10);

/// What came of a call.
#[derive(Debug)]
pub enum CallOutcome<T> {
    /// An answer that a second call would not change: the value, a denial or a refusal.
    Settled(ApiAnswer<T>),
    /// No answer now, though there may be one another time: throttled, unavailable, failed.
    Unanswered(ApiAnswer<T>),
}

/// Makes the calls of one invocation.
pub struct Caller<'a, C> {
    pace: RateLimiter<'a, C>,
    /// Failures in a row, by service, and denials in a row, by permission.
    in_vain: RefCell<BTreeMap<&'static str, (u32, ApiError)>>,
}

impl<'a, C: Timer> Caller<'a, C> {
    /// A caller that makes a call every `every`, and none whose answer could not be kept before `ends_at` (`None`: no such
    /// end). It assumes that an earlier invocation has called until just now, and so waits before the first call.
    pub fn new(clock: &'a C, every: Duration, ends_at: Option<Timestamp>) -> Self {
        let pace = RateLimiter::new(clock, every, ends_at.map(|ends_at| ends_at.minus(SAVING_MARGIN)));
        pace.record_call_end(0);
        Self { pace, in_vain: RefCell::default() }
    }

    /// Makes a call for which IAM requires the permission `action`.
    ///
    /// # Errors
    /// [`OutOfTimeError`]
    pub async fn call_unless_given_up<T>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, ApiError>,
    ) -> Result<CallOutcome<T>, OutOfTimeError> {
        if let Some(error) = self.given_up_error(action) {
            return Ok(outcome_of_error(action, error));
        }
        let passes = |error: &ApiError| matches!(error, ApiError::Throttled | ApiError::Unavailable(_));
        let error = match self.pace.call_with_retries(passes, call).await? {
            Ok(answer) => {
                let mut in_vain = self.in_vain.borrow_mut();
                in_vain.remove(service_of_action(action));
                in_vain.remove(action);
                return Ok(CallOutcome::Settled(ApiAnswer::Answered(answer)));
            }
            Err(error) => error,
        };
        let of = match &error {
            ApiError::Denied => action,
            _ => service_of_action(action),
        };
        if !matches!(error, ApiError::Refused(_)) {
            let mut in_vain = self.in_vain.borrow_mut();
            let times = in_vain.get(of).map_or(0, |(times, _)| *times);
            in_vain.insert(of, (times + 1, error.clone()));
        }
        Ok(outcome_of_error(action, error))
    }

    /// The error with which the call would fail, if the calls so far tell; `None` if it has to be made.
    fn given_up_error(&self, action: &'static str) -> Option<ApiError> {
        let in_vain = self.in_vain.borrow();
        [action, service_of_action(action)].into_iter().find_map(|of| match in_vain.get(of)? {
            // The service is not enabled, so none of its calls would fare better.
            (_, error @ ApiError::NotEnabled(_)) => Some(error.clone()),
            (times, error) => (*times >= MAX_CONSECUTIVE_ERRORS).then(|| error.clone()),
        })
    }
}

/// The service of an action: `ses` of `ses:GetAccount`.
fn service_of_action(iam_action: &'static str) -> &'static str {
    iam_action.split(':').next().unwrap_or(iam_action)
}

fn outcome_of_error<T>(action: &str, error: ApiError) -> CallOutcome<T> {
    let failed = |error: &ApiError| ApiAnswer::Failed { action: action.to_owned(), why: error.to_string() };
    match error {
        ApiError::Denied => CallOutcome::Settled(ApiAnswer::Denied(action.to_owned())),
        ApiError::NotEnabled(code) => CallOutcome::Settled(ApiAnswer::NotEnabled(code)),
        ApiError::Throttled => CallOutcome::Unanswered(ApiAnswer::Throttled(action.to_owned())),
        ApiError::Refused(_) => CallOutcome::Settled(failed(&error)),
        _ => CallOutcome::Unanswered(failed(&error)),
    }
}
