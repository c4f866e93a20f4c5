//! Takes a payload, appends its records, and hands back to the queue exactly the messages whose records are not durable.

use mailroom_aws::invocation::{Invocation, InvocationError, Response, Settled};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::records::RecordTable;
use mailroom_core::envelope::Message;
use mailroom_core::feedback::{self, FeedbackRecord, Normalized};
use mailroom_core::malformed::Malformed;
use mailroom_core::notification::{Notice, Reading};
use mailroom_core::ours::Foreign;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::settings::Settings;

/// The function: its ports and what the template told it.
pub struct Feedback<T, M> {
    /// The table, to which records are appended.
    pub table: T,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
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

/// What has to be done for a message.
enum Work {
    Ignore,
    NotStored,
    Append(Normalized),
}

#[derive(Default)]
struct Tally {
    ignored: usize,
    service_events: usize,
    no_recipient: usize,
    not_stored: usize,
    unknown_values: usize,
    unknown_fields: usize,
    auto_responses: usize,
    refusals: usize,
    not_in_destination: usize,
}

impl Tally {
    /// Counts the records that decide nothing, by their reasons.
    fn count(&mut self, records: &[FeedbackRecord]) {
        let count = |is: fn(&FeedbackRecord) -> bool| records.iter().filter(|record| is(record)).count();
        self.auto_responses += count(|record| record.auto_response);
        self.refusals += count(FeedbackRecord::is_refusal);
        self.not_in_destination += count(|record| record.not_in_destination);
    }
}

impl<T: RecordTable, M: Metrics> Feedback<T, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`].
    pub async fn handle(&self, payload: &str, deadline: Instant) -> Result<Response, InvocationError> {
        let mut invocation = Invocation::open(payload)?;
        let mut tally = Tally::default();
        let worked: Vec<_> =
            invocation.messages().iter().map(|message| self.work(message, &mut tally)).collect();
        for (message, work) in worked.into_iter().enumerate() {
            match work {
                Ok(Work::Ignore) => tally.ignored += 1,
                Ok(Work::NotStored) => tally.not_stored += 1,
                Ok(Work::Append(Normalized { records, malformed })) => {
                    tally.count(&records);
                    invocation.add(message, records);
                    for malformed in malformed {
                        invocation.fail(message);
                        let told = &invocation.messages()[message];
                        log_poison(told, &Poison::Malformed(malformed.within(&told.path)));
                    }
                }
                Err(poison) => {
                    invocation.fail(message);
                    log_poison(&invocation.messages()[message], &poison);
                }
            }
        }
        let poisoned = invocation.failed();
        let Settled { written, not_written } = invocation.settle(&self.table, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.messages().len()),
            ("MessagesIgnored", tally.ignored),
            ("ServiceEvents", tally.service_events),
            ("MessagesWithoutRecipient", tally.no_recipient),
            ("MessagesNotStored", tally.not_stored),
            ("MessagesPoisoned", poisoned),
            ("UnknownValues", tally.unknown_values),
            ("UnknownFields", tally.unknown_fields),
            ("AutoResponses", tally.auto_responses),
            ("RefusedBySes", tally.refusals),
            ("NotInDestination", tally.not_in_destination),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.respond()
    }

    fn work(&self, message: &Message, tally: &mut Tally) -> Result<Work, Poison> {
        let notification = match message.reading.as_ref().map_err(Malformed::clone)? {
            Reading::Ignored(notice) => {
                tally.service_events += usize::from(notice.detail_type().is_some());
                tally.no_recipient += usize::from(matches!(notice, Notice::NoRecipient(_)));
                info!(
                    message = message.id,
                    ses_message = message.ses_message_id(),
                    detail_type = notice.detail_type(),
                    %notice,
                    "ignored"
                );
                return Ok(Work::Ignore);
            }
            Reading::Received(_) => return Err(Poison::Received),
            Reading::Feedback(notification) => notification,
        };
        self.settings.ours.check(&message.origin, notification)?;
        let values = notification.unknown_values();
        tally.unknown_values += values.len();
        log_unknown(message, "unknown values", values);
        let fields = notification.unknown_fields();
        tally.unknown_fields += fields.len();
        log_unknown(message, "unknown fields", fields);
        if self.settings.kinds_not_stored.contains(notification.kind()) {
            return Ok(Work::NotStored);
        }
        let home = Some(self.settings.ours.region.as_str());
        let normalized = feedback::normalize(notification, &message.origin, home, self.settings.retention)
            .map_err(|error| error.within(&message.path))?;
        Ok(Work::Append(normalized))
    }
}

/// The most names of fields in a log line.
const MAX_LOGGED: usize = 10;

fn log_unknown(message: &Message, what: &str, fields: impl IntoIterator<Item = impl AsRef<str>>) {
    let fields: Vec<_> = fields.into_iter().take(MAX_LOGGED).collect();
    if !fields.is_empty() {
        let fields: Vec<_> = fields.iter().map(AsRef::as_ref).collect();
        info!(
            message = message.id,
            ses_message = message.ses_message_id(),
            fields = fields.join(", "),
            "{what}"
        );
    }
}

/// Writes the one log line that says why a message will end in the dead-letter queue: the field and what is wrong, never a
/// value.
fn log_poison(message: &Message, poison: &Poison) {
    warn!(message = message.id, ses_message = message.ses_message_id(), "can never be processed: {poison}");
}
