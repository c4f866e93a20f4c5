//! Takes a request, has it carried out, and answers it whatever happens.
//!
//! CloudFormation waits for an answer, up to an hour. If an invocation is killed, Lambda makes it again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mailroom_aws::account::AccountSettings;
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::custom_resource::{CustomResourceResponder, ResponderError};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::NotificationTopics;
use mailroom_aws::rule_sets::RuleSetApi;
use mailroom_aws::table::notes::NoteStore;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;
use tracing::{info, warn};

use crate::request::{InvalidRequest, SetupRequest};
use crate::response::serialize_response;
use crate::setup_caller::SetupCaller;
use crate::setup_run::SetupRun;

pub use crate::setup_run::SetupFailure;

/// The time that is kept at the end of an invocation for answering, even if delivery fails at first.
const RESPONSE_MARGIN: Duration = Duration::from_secs(10);
/// The pause before an answer is delivered again. It doubles each time.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(500);

/// The types of the ports.
pub trait Ports {
    /// SES: the topics of identities.
    type Topics: NotificationTopics;
    /// SES: the receipt rule sets, and which one is active.
    type RuleSets: RuleSetApi;
    /// SES: the account, with the reasons for which it keeps its suppression list.
    type Account: AccountSettings;
    /// The table: what was set up before Mailroom changed it.
    type Table: NoteStore;
    /// Where answers are delivered, on which CloudFormation waits.
    type Answers: CustomResourceResponder;
    /// The clock.
    type Clock: Timer;
}

/// The setup function: its ports and its pace.
pub struct SetupFunction<P: Ports> {
    /// The topics of identities.
    pub topics: P::Topics,
    /// The receipt rule sets.
    pub rule_sets: P::RuleSets,
    /// The account.
    pub account_settings: P::Account,
    /// The table.
    pub table: P::Table,
    /// Where answers are delivered.
    pub responder: P::Answers,
    /// The clock.
    pub clock: P::Clock,
    /// The time between two calls of SES.
    pub interval: Duration,
}

/// Why CloudFormation was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The event is not a request of CloudFormation's. No retry can help.
    #[error(transparent)]
    InvalidRequest(#[from] InvalidRequest),
    /// The answer could not be delivered. Whether a retry can help, [`ResponderError`] says.
    #[error("the answer: {0}")]
    Responder(#[from] ResponderError),
    /// The answer could not be written as JSON. No retry can help.
    #[error("the answer: {0}")]
    Serialization(#[from] serde_json::Error),
}

impl<P: Ports> SetupFunction<P> {
    /// Handles one request, and has answered it by `deadline`. A request that could not be carried out is answered as
    /// failed, which is no error here.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn handle(&self, event: &Value, deadline: Deadline) -> Result<(), SetupError> {
        let request = SetupRequest::parse(event)?;
        let ends_at = deadline.by_clock(self.clock.now());
        // This stops whatever does not keep to its own time, so that there is time to answer.
        let stop_at = deadline.earlier_by(RESPONSE_MARGIN);
        let calls = SetupCaller::new(&self.clock, self.interval, ends_at.minus(RESPONSE_MARGIN), stop_at);
        let run = SetupRun { setup: self, caller: calls };
        // Boxed: optimised, the compiler gives up on the size of this future together with those of the SDK and Lambda.
        let work = AssertUnwindSafe(Box::pin(run.fulfil_request(&request))).catch_unwind();
        let failed = match stop_at.limit(work).await {
            Some(Ok(failed)) => failed,
            // A panic is answered as a failure, too. Otherwise Lambda would run into it again while CloudFormation waits.
            // Rust has logged where it was.
            Some(Err(_)) => Some("a bug of Mailroom's: the function's log has more".to_owned()),
            None => Some("out of time; another try goes on from there".to_owned()),
        };
        if let Some(failed) = &failed {
            warn!(failed, "failed");
        }
        self.send_response(
            request.response_url,
            &serialize_response(&request, failed.as_deref())?,
            ends_at,
            deadline,
        )
        .await?;
        info!("answered");
        Ok(())
    }

    async fn send_response(
        &self,
        response_url: &str,
        response_body: &str,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<(), ResponderError> {
        let mut pause = FIRST_RETRY_PAUSE;
        loop {
            let put = deadline.limit(self.responder.put_response(response_url, response_body)).await;
            match put.unwrap_or_else(|| Err(ResponderError::Unavailable("timed out".to_owned()))) {
                Err(ResponderError::Unavailable(why)) if self.clock.now().plus(pause) < ends_at => {
                    warn!(why, "the answer is delivered again");
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
    }
}
