//! Takes a payload, appends its records, sends to the dead-letter queue what can never become a record, and hands back to
//! the queue exactly the messages of which something is not durable.

use mailroom_aws::dead_letters::DeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{
    AppendCounts, IndexedMessage, Invocation, InvocationError, PoisonMessageCounts, SqsBatchResponse,
};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::table::deliveries::DeliveryTable;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::dead_letter::DeadLetterReason;
use mailroom_core::envelope::PayloadMessage;
use mailroom_core::feedback::{self, FeedbackRecord, NormalizedFeedback};
use mailroom_core::notification::{EventKind, IgnoredMessage, ParsedMessage};
use tracing::{info, warn};

use crate::delivery_buffer::DeliveryBuffer;
use crate::settings::Settings;

/// The function: its ports and what the template told it.
pub struct FeedbackFunction<T, D, M> {
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
enum FeedbackAction {
    Ignore,
    SkipRecord,
    Record {
        normalized: NormalizedFeedback,
        /// Whether the records are stored, and not only what they tell of deliveries.
        is_stored: bool,
    },
}

#[derive(Default)]
struct FeedbackTally {
    messages_ignored: usize,
    service_events: usize,
    messages_without_recipient: usize,
    messages_not_stored: usize,
    unknown_values: usize,
    unknown_fields: usize,
    auto_responses: usize,
    refusals: usize,
    not_in_destination: usize,
}

impl FeedbackTally {
    /// Counts the records that decide nothing, by their reasons.
    fn count_non_evidence(&mut self, records: &[FeedbackRecord]) {
        let count = |is: fn(&FeedbackRecord) -> bool| records.iter().filter(|record| is(record)).count();
        self.auto_responses += count(|record| record.auto_response);
        self.refusals += count(FeedbackRecord::is_presumed_refusal_by_ses);
        self.not_in_destination += count(|record| record.not_in_destination);
    }
}

impl<T: RecordTable + DeliveryTable, D: DeadLetterQueue, M: Metrics> FeedbackFunction<T, D, M> {
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
        let mut tally = FeedbackTally::default();
        let mut deliveries = DeliveryBuffer::default();
        while let Some(IndexedMessage { index, message }) = invocation.open_next_message() {
            // What there was no time for comes back; its id is all that the answer needs.
            if deadline.has_passed() {
                invocation.mark_failed(index);
                continue;
            }
            match self.process_message(&message, &mut tally) {
                Ok(FeedbackAction::Ignore) => tally.messages_ignored += 1,
                Ok(FeedbackAction::SkipRecord) => tally.messages_not_stored += 1,
                Ok(FeedbackAction::Record {
                    normalized: NormalizedFeedback { records, malformed_recipients: malformed },
                    is_stored: stored,
                }) => {
                    tally.count_non_evidence(&records);
                    tally.messages_not_stored += usize::from(!stored);
                    for record in records {
                        if self.settings.stores_deliveries {
                            deliveries.add_from_record(index, &record);
                        }
                        if stored {
                            invocation.buffer_record(index, record);
                        }
                        if invocation.is_buffer_full() || deliveries.is_full() {
                            self.write_deliveries_and_records(&mut invocation, &mut deliveries, deadline)
                                .await;
                        }
                    }
                    for malformed in malformed {
                        let reason = DeadLetterReason::from(&malformed.prefix_field(&message.path));
                        mark_poison_and_log(&mut invocation, index, &message, reason);
                    }
                }
                Err(reason) => mark_poison_and_log(&mut invocation, index, &message, reason),
            }
        }
        self.write_deliveries_and_records(&mut invocation, &mut deliveries, deadline).await;
        let AppendCounts { records_written: written, records_not_written: not_written } =
            invocation.append_counts();
        let PoisonMessageCounts { poison_messages: poisoned, dead_letters_sent: sent } =
            invocation.send_dead_letters(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.message_count()),
            ("MessagesIgnored", tally.messages_ignored),
            ("ServiceEvents", tally.service_events),
            ("MessagesWithoutRecipient", tally.messages_without_recipient),
            ("MessagesNotStored", tally.messages_not_stored),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", invocation.failed_count()),
            ("DeadLettersSent", sent),
            ("UnknownValues", tally.unknown_values),
            ("UnknownFields", tally.unknown_fields),
            ("AutoResponses", tally.auto_responses),
            ("RefusedBySes", tally.refusals),
            ("NotInDestination", tally.not_in_destination),
            ("DeliveriesKept", deliveries.durable_count),
            ("DeliveriesNotKept", deliveries.not_durable_count),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.into_response()
    }

    /// Writes what is held. The deliveries come before the records, so that whoever decides on a bounce knows of the
    /// deliveries that came with it. Half of the time is left for the records.
    async fn write_deliveries_and_records(
        &self,
        invocation: &mut Invocation<'_, FeedbackRecord>,
        deliveries: &mut DeliveryBuffer,
        deadline: Deadline,
    ) {
        for message in deliveries.write_deliveries(&self.table, deadline.half_time()).await {
            invocation.mark_failed(message);
        }
        invocation.append_buffered_records(&self.table, deadline).await;
    }

    fn process_message(
        &self,
        message: &PayloadMessage,
        tally: &mut FeedbackTally,
    ) -> Result<FeedbackAction, DeadLetterReason> {
        let notification = match message.content.as_ref().map_err(DeadLetterReason::from)? {
            ParsedMessage::Ignored(notice) => {
                tally.service_events += usize::from(notice.detail_type().is_some());
                tally.messages_without_recipient +=
                    usize::from(matches!(notice, IgnoredMessage::WithoutRecipient(_)));
                info!(
                    message = message.id,
                    ses_message = message.ses_message_id(),
                    detail_type = notice.detail_type(),
                    %notice,
                    "ignored"
                );
                return Ok(FeedbackAction::Ignore);
            }
            ParsedMessage::Received(_) => {
                return Err(DeadLetterReason::new(
                    "notificationType",
                    "a mail that was received, not feedback on one that was sent",
                ));
            }
            ParsedMessage::Feedback(notification) => notification,
        };
        self.settings.stack_scope.check_notification(&message.origin, notification)?;
        let values = notification.fields_with_unknown_values();
        tally.unknown_values += values.len();
        log_unknown_names(message, "unknown values", values);
        let fields = notification.unknown_field_names();
        tally.unknown_fields += fields.len();
        log_unknown_names(message, "unknown fields", fields);
        let kind = notification.kind();
        let stored = !self.settings.kinds_not_stored.contains(kind);
        let kept = self.settings.stores_deliveries && *kind == EventKind::Delivery;
        if !stored && !kept {
            return Ok(FeedbackAction::SkipRecord);
        }
        let home = Some(self.settings.stack_scope.region.as_str());
        let normalized = feedback::normalize(notification, &message.origin, home, self.settings.retention)
            .map_err(|error| DeadLetterReason::from(&error.prefix_field(&message.path)))?;
        Ok(FeedbackAction::Record { normalized, is_stored: stored })
    }
}

/// The most names of fields in a log line.
const MAX_LOGGED: usize = 10;

fn log_unknown_names(
    message: &PayloadMessage,
    description: &str,
    names: impl IntoIterator<Item = impl AsRef<str>>,
) {
    let fields: Vec<_> = names.into_iter().take(MAX_LOGGED).collect();
    if !fields.is_empty() {
        let fields: Vec<_> = fields.iter().map(AsRef::as_ref).collect();
        info!(
            message = message.id,
            ses_message = message.ses_message_id(),
            fields = fields.join(", "),
            "{description}"
        );
    }
}

/// Gives up the message at this place, and logs why: the field and what is wrong with it, never a value.
fn mark_poison_and_log(
    invocation: &mut Invocation<'_, FeedbackRecord>,
    message_index: usize,
    message: &PayloadMessage,
    reason: DeadLetterReason,
) {
    warn!(message = message.id, ses_message = message.ses_message_id(), "can never be processed: {reason}");
    invocation.mark_poison(message_index, reason.relative_to(&message.path));
}
