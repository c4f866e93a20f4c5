//! Makes one call after the other, at SES's pace, and says what to make of a call that is not answered.
//!
//! ```text
//! throttled, failed, no answer   called again after a pause that doubles; then reported as that, and asked by the next
//! wake
//! denied, refused                this is an answer, too: it is reported, and kept
//! ```
//!
//! A service that keeps failing is left alone for the rest of the invocation, and so is a permission that is denied each
//! time: it would make no sense to ask for five hundred identities one by one only to hear the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::audit::AskError;
use mailroom_aws::clock::Timer;
use mailroom_aws::pace::{OutOfTime, Pace};
use mailroom_core::audit::facts::Asked;
use mailroom_core::timestamp::Timestamp;

/// After this many failures in a row of one service, or denials of one permission, it is not asked again in this
/// invocation.
const GIVE_UP_AFTER: u32 = 3;
/// The time that is kept at the end of an invocation for storing what was read, and for answering.
const TO_KEEP: Duration = Duration::from_secs(10);

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Heard<T> {
    /// An answer that a second call would not change: the value, a denial or a refusal.
    Settled(Asked<T>),
    /// No answer now, though there may be one another time: throttled, unavailable, failed.
    Nothing(Asked<T>),
}

/// Makes the calls of one invocation.
pub(crate) struct Asker<'a, C> {
    pace: Pace<'a, C>,
    /// Failures in a row, by service, and denials in a row, by permission.
    in_vain: RefCell<BTreeMap<&'static str, (u32, AskError)>>,
}

impl<'a, C: Timer> Asker<'a, C> {
    /// An asker that makes a call every `every`, and none whose answer could not be kept before `ends_at` (`None`: no such
    /// end). It assumes that an earlier invocation has called until just now, and so waits before the first call.
    pub(crate) fn new(clock: &'a C, every: Duration, ends_at: Option<Timestamp>) -> Self {
        let pace = Pace::new(clock, every, ends_at.map(|ends_at| ends_at.minus(TO_KEEP)));
        pace.called(0);
        Self { pace, in_vain: RefCell::default() }
    }

    /// Makes a call for which IAM requires the permission `action`.
    pub(crate) async fn ask<T>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<T, AskError>,
    ) -> Result<Heard<T>, OutOfTime> {
        if let Some(error) = self.known(action) {
            return Ok(heard(action, error));
        }
        let passes = |error: &AskError| matches!(error, AskError::Throttled | AskError::Unavailable(_));
        let error = match self.pace.call(passes, call).await? {
            Ok(answer) => {
                let mut in_vain = self.in_vain.borrow_mut();
                in_vain.remove(service(action));
                in_vain.remove(action);
                return Ok(Heard::Settled(Asked::Answered(answer)));
            }
            Err(error) => error,
        };
        let of = match &error {
            AskError::Denied => action,
            _ => service(action),
        };
        if !matches!(error, AskError::Refused(_)) {
            let mut in_vain = self.in_vain.borrow_mut();
            let times = in_vain.get(of).map_or(0, |(times, _)| *times);
            in_vain.insert(of, (times + 1, error.clone()));
        }
        Ok(heard(action, error))
    }

    /// The error with which the call would fail, if the calls so far tell; `None` if it has to be made.
    fn known(&self, action: &'static str) -> Option<AskError> {
        let in_vain = self.in_vain.borrow();
        [action, service(action)].into_iter().find_map(|of| match in_vain.get(of)? {
            // The service is not enabled, so none of its calls would fare better.
            (_, error @ AskError::NotEnabled(_)) => Some(error.clone()),
            (times, error) => (*times >= GIVE_UP_AFTER).then(|| error.clone()),
        })
    }
}

/// The service of an action: `ses` of `ses:GetAccount`.
fn service(action: &'static str) -> &'static str {
    action.split(':').next().unwrap_or(action)
}

fn heard<T>(action: &str, error: AskError) -> Heard<T> {
    let failed = |error: &AskError| Asked::Failed { action: action.to_owned(), why: error.to_string() };
    match error {
        AskError::Denied => Heard::Settled(Asked::Denied(action.to_owned())),
        AskError::NotEnabled(code) => Heard::Settled(Asked::NotEnabled(code)),
        AskError::Throttled => Heard::Nothing(Asked::Throttled(action.to_owned())),
        AskError::Refused(_) => Heard::Settled(failed(&error)),
        _ => Heard::Nothing(failed(&error)),
    }
}
