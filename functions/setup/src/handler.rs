//! Takes a request, has it carried out, and answers it whatever happens.
//!
//! CloudFormation waits for an answer, up to an hour. If an invocation is killed, Lambda makes it again.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use mailroom_aws::account::SuppressionSettings;
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::custom_resource::{AnswerError, Answers};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::NotificationTopics;
use mailroom_aws::rule_sets::RuleSets;
use mailroom_aws::table::notes::NoteStore;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;
use tracing::{info, warn};

use crate::answer::answer;
use crate::calls::Calls;
use crate::request::{NotARequest, Request};
use crate::run::Run;

pub use crate::run::Failure;

/// The time that is kept at the end of an invocation for answering, even if delivery fails at first.
const TO_ANSWER: Duration = Duration::from_secs(10);
/// The pause before an answer is delivered again. It doubles each time.
const PAUSE: Duration = Duration::from_millis(500);

/// The types of the ports.
pub trait Ports {
    /// SES: the topics of identities.
    type Topics: NotificationTopics;
    /// SES: the receipt rule sets, and which one is active.
    type RuleSets: RuleSets;
    /// SES: the account, with the reasons for which it keeps its suppression list.
    type Account: SuppressionSettings;
    /// The table: what was set up before Mailroom changed it.
    type Table: NoteStore;
    /// Where answers are delivered, on which CloudFormation waits.
    type Answers: Answers;
    /// The clock.
    type Clock: Timer;
}

/// The setup function: its ports and its pace.
pub struct Setup<P: Ports> {
    /// The topics of identities.
    pub topics: P::Topics,
    /// The receipt rule sets.
    pub rule_sets: P::RuleSets,
    /// The account.
    pub account: P::Account,
    /// The table.
    pub table: P::Table,
    /// Where answers are delivered.
    pub answers: P::Answers,
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
    NotARequest(#[from] NotARequest),
    /// The answer could not be delivered. Whether a retry can help, [`AnswerError`] says.
    #[error("the answer: {0}")]
    Answer(#[from] AnswerError),
    /// The answer could not be written as JSON. No retry can help.
    #[error("the answer: {0}")]
    Unwritable(#[from] serde_json::Error),
}

impl<P: Ports> Setup<P> {
    /// Handles one request, and has answered it by `deadline`. A request that could not be carried out is answered as
    /// failed, which is no error here.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub async fn handle(&self, event: &Value, deadline: Deadline) -> Result<(), SetupError> {
        let request = Request::read(event)?;
        let ends_at = deadline.by_clock(self.clock.now());
        // This stops whatever does not keep to its own time, so that there is time to answer.
        let stop_at = deadline.earlier_by(TO_ANSWER);
        let calls = Calls::new(&self.clock, self.interval, ends_at.minus(TO_ANSWER), stop_at);
        let run = Run { setup: self, calls };
        // Boxed: optimised, the compiler gives up on the size of this future together with those of the SDK and Lambda.
        let work = AssertUnwindSafe(Box::pin(run.carry_out(&request))).catch_unwind();
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
        self.deliver(request.url, &answer(&request, failed.as_deref())?, ends_at, deadline).await?;
        info!("answered");
        Ok(())
    }

    async fn deliver(
        &self,
        url: &str,
        answer: &str,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<(), AnswerError> {
        let mut pause = PAUSE;
        loop {
            let put = deadline.limit(self.answers.put(url, answer)).await;
            match put.unwrap_or_else(|| Err(AnswerError::Unavailable("timed out".to_owned()))) {
                Err(AnswerError::Unavailable(why)) if self.clock.now().plus(pause) < ends_at => {
                    warn!(why, "the answer is delivered again");
                    self.clock.sleep(pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
    }
}
