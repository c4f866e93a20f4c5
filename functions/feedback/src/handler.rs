//! Takes a payload, appends its records, sends to the dead-letter queue what can never become a record, and hands back to
//! the queue exactly the messages of which something is not durable.

use mailroom_aws::dead_letters::DeadLetters;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{Buried, Invocation, InvocationError, Settled, SqsBatchResponse};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::table::deliveries::LatestDeliveries;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::dead_letter::Reason;
use mailroom_core::envelope::Message;
use mailroom_core::feedback::{self, FeedbackRecord, Normalized};
use mailroom_core::notification::{Kind, Notice, Reading};
use tracing::{info, warn};

use crate::deliveries::Deliveries;
use crate::settings::Settings;

/// The function: its ports and what the template told it.
pub struct Feedback<T, D, M> {
    /// The table, to which records are appended.
    pub table: T,
    /// The dead-letter queue.
    pub dead_letters: D,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// What has to be done for a message.
enum Work {
    Ignore,
    NotStored,
    Record {
        normalized: Normalized,
        /// Whether the records are stored, and not only what they tell of deliveries.
        stored: bool,
    },
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

impl<T: RecordTable + LatestDeliveries, D: DeadLetters, M: Metrics> Feedback<T, D, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`].
    pub async fn handle(
        &self,
        payload: &str,
        deadline: Deadline,
    ) -> Result<SqsBatchResponse, InvocationError> {
        let mut invocation = Invocation::open(payload)?;
        let mut tally = Tally::default();
        let mut deliveries = Deliveries::default();
        while let Some((place, message)) = invocation.next_message() {
            // What there was no time for comes back; its id is all that the answer needs.
            if deadline.has_passed() {
                invocation.fail(place);
                continue;
            }
            match self.work(&message, &mut tally) {
                Ok(Work::Ignore) => tally.ignored += 1,
                Ok(Work::NotStored) => tally.not_stored += 1,
                Ok(Work::Record { normalized: Normalized { records, malformed }, stored }) => {
                    tally.count(&records);
                    tally.not_stored += usize::from(!stored);
                    for record in records {
                        if self.settings.keeps_deliveries {
                            deliveries.add(place, &record);
                        }
                        if stored {
                            invocation.add(place, record);
                        }
                        if invocation.is_full() || deliveries.is_full() {
                            self.write(&mut invocation, &mut deliveries, deadline).await;
                        }
                    }
                    for malformed in malformed {
                        let reason = Reason::from(&malformed.within(&message.path));
                        give_up(&mut invocation, place, &message, reason);
                    }
                }
                Err(reason) => give_up(&mut invocation, place, &message, reason),
            }
        }
        self.write(&mut invocation, &mut deliveries, deadline).await;
        let Settled { written, not_written } = invocation.settled();
        let Buried { poisoned, sent } = invocation.bury(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.messages()),
            ("MessagesIgnored", tally.ignored),
            ("ServiceEvents", tally.service_events),
            ("MessagesWithoutRecipient", tally.no_recipient),
            ("MessagesNotStored", tally.not_stored),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", invocation.failed()),
            ("DeadLettersSent", sent),
            ("UnknownValues", tally.unknown_values),
            ("UnknownFields", tally.unknown_fields),
            ("AutoResponses", tally.auto_responses),
            ("RefusedBySes", tally.refusals),
            ("NotInDestination", tally.not_in_destination),
            ("DeliveriesKept", deliveries.durable),
            ("DeliveriesNotKept", deliveries.not_durable),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.respond()
    }

    /// Writes what is held. The deliveries come before the records, so that whoever decides on a bounce knows of the
    /// deliveries that came with it. Half of the time is left for the records.
    async fn write(
        &self,
        invocation: &mut Invocation<'_, FeedbackRecord>,
        deliveries: &mut Deliveries,
        deadline: Deadline,
    ) {
        for message in deliveries.keep(&self.table, deadline.half_time()).await {
            invocation.fail(message);
        }
        invocation.append_held(&self.table, deadline).await;
    }

    fn work(&self, message: &Message, tally: &mut Tally) -> Result<Work, Reason> {
        let notification = match message.reading.as_ref().map_err(Reason::from)? {
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
            Reading::Received(_) => {
                return Err(Reason::new(
                    "notificationType",
                    "a mail that was received, not feedback on one that was sent",
                ));
            }
            Reading::Feedback(notification) => notification,
        };
        self.settings.ours.check(&message.origin, notification)?;
        let values = notification.unknown_values();
        tally.unknown_values += values.len();
        log_unknown(message, "unknown values", values);
        let fields = notification.unknown_fields();
        tally.unknown_fields += fields.len();
        log_unknown(message, "unknown fields", fields);
        let kind = notification.kind();
        let stored = !self.settings.kinds_not_stored.contains(kind);
        let kept = self.settings.keeps_deliveries && *kind == Kind::Delivery;
        if !stored && !kept {
            return Ok(Work::NotStored);
        }
        let home = Some(self.settings.ours.region.as_str());
        let normalized = feedback::normalize(notification, &message.origin, home, self.settings.retention)
            .map_err(|error| Reason::from(&error.within(&message.path)))?;
        Ok(Work::Record { normalized, stored })
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

/// Gives up the message at this place, and logs why: the field and what is wrong with it, never a value.
fn give_up(invocation: &mut Invocation<'_, FeedbackRecord>, place: usize, message: &Message, reason: Reason) {
    warn!(message = message.id, ses_message = message.ses_message_id(), "can never be processed: {reason}");
    invocation.poison(place, reason.inside(&message.path));
}
