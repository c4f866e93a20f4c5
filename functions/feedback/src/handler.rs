//! A payload in, records out, and exactly the messages whose records are not durable back to the queue.

use mailroom_aws::batch::{Batch, Failed, Response, respond};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::records::{AppendError, RecordTable};
use mailroom_core::envelope::{self, Message, Payload};
use mailroom_core::feedback::{self, FeedbackRecord};
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::notification::{Notice, Reading};
use mailroom_core::ours::Foreign;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::settings::Settings;

/// The function: its ports and what the template told it.
pub struct Feedback<T, M> {
    /// Where records are appended.
    pub table: T,
    /// Where counts go.
    pub metrics: M,
    /// What the template told.
    pub settings: Settings,
}

/// The invocation fails as a whole: Lambda tries a direct event again, and a batch comes back whole.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Not a payload of any shape that Mailroom knows. No retry can help.
    #[error("payload: {field}: {problem}")]
    Payload {
        /// Where in the payload.
        field: String,
        /// What is wrong with it. Nothing is quoted: the runtime logs this.
        problem: Problem,
    },
    /// A direct event of which a message failed.
    #[error(transparent)]
    Messages(#[from] Failed),
}

/// Why a message can never be processed.
#[derive(Debug, thiserror::Error)]
enum Poison {
    #[error("{}: {}", .0.field(), .0.problem())]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Foreign(#[from] Foreign),
    #[error("notificationType: a mail that was received, not feedback on one that was sent")]
    Received,
}

/// What a message asks for.
enum Work {
    Ignore(Notice),
    NotStored,
    Append { records: Vec<FeedbackRecord>, malformed: Vec<Malformed> },
}

#[derive(Default)]
struct Tally {
    ignored: usize,
    not_stored: usize,
    poisoned: usize,
    unknown_values: usize,
}

impl<T: RecordTable, M: Metrics> Feedback<T, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`HandlerError`].
    pub async fn handle(&self, payload: &str, deadline: Instant) -> Result<Response, HandlerError> {
        let Payload { source, messages } = envelope::open(payload).map_err(|error| {
            HandlerError::Payload { field: error.field().to_owned(), problem: error.problem() }
        })?;
        let mut tally = Tally::default();
        let mut failed = vec![false; messages.len()];
        let mut batch = Batch::default();
        for (index, message) in messages.iter().enumerate() {
            match self.work(message, &mut tally) {
                Ok(Work::Ignore(notice)) => {
                    tally.ignored += 1;
                    info!(message = message.id, %notice, "ignored");
                }
                Ok(Work::NotStored) => tally.not_stored += 1,
                Ok(Work::Append { records, malformed }) => {
                    for record in records {
                        batch.add(record, index);
                    }
                    for malformed in malformed {
                        failed[index] = true;
                        log_poison(message, &Poison::Malformed(malformed));
                    }
                }
                Err(poison) => {
                    failed[index] = true;
                    log_poison(message, &poison);
                }
            }
        }
        tally.poisoned = failed.iter().filter(|failed| **failed).count();

        let not_durable = self.table.append(batch.records(), deadline).await;
        for lost in &not_durable {
            batch.messages_of(lost.index).iter().for_each(|message| failed[*message] = true);
        }
        if let Some(lost) = not_durable.first() {
            let records = not_durable.len();
            if let AppendError::NotAnItem(_) = &lost.error {
                error!(records, "not written: {}", lost.error);
            } else {
                warn!(records, "not written, their messages come back: {}", lost.error);
            }
        }
        self.metrics.count(&[
            ("Messages", messages.len()),
            ("MessagesIgnored", tally.ignored),
            ("MessagesNotStored", tally.not_stored),
            ("MessagesPoisoned", tally.poisoned),
            ("UnknownValues", tally.unknown_values),
            ("RecordsWritten", batch.records().len() - not_durable.len()),
            ("RecordsNotWritten", not_durable.len()),
        ]);
        Ok(respond(source, &messages, &failed)?)
    }

    fn work(&self, message: &Message, tally: &mut Tally) -> Result<Work, Poison> {
        let notification = match message.reading.as_ref().map_err(Malformed::clone)? {
            Reading::Ignored(notice) => return Ok(Work::Ignore(*notice)),
            Reading::Received(_) => return Err(Poison::Received),
            Reading::Feedback(notification) => notification,
        };
        self.settings.ours.check(&message.origin, notification)?;
        let unknown = notification.unknown_values();
        if !unknown.is_empty() {
            tally.unknown_values += unknown.len();
            info!(
                message = message.id,
                ses_message = notification.message_id(),
                fields = unknown.join(", "),
                "unknown values"
            );
        }
        if self.settings.kinds_not_stored.contains(notification.kind()) {
            return Ok(Work::NotStored);
        }
        let home = Some(self.settings.ours.region.as_str());
        let normalized = feedback::normalize(notification, &message.origin, home, self.settings.retention)
            .map_err(|error| error.within(&message.path))?;
        Ok(Work::Append { records: normalized.records, malformed: normalized.malformed })
    }
}

/// The one line that says why a message will end in the dead-letter queue: where and what, never a value.
fn log_poison(message: &Message, poison: &Poison) {
    let ses_message = match &message.reading {
        Ok(Reading::Feedback(notification)) => Some(notification.message_id()),
        Ok(Reading::Received(receipt)) => Some(receipt.message_id()),
        _ => None,
    };
    warn!(message = message.id, ses_message, "can never be processed: {poison}");
}
