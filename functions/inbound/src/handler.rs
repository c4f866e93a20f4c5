//! Takes a receipt and writes one record per recipient, each pointing to a mail that was seen to be there; and sends to the
//! dead-letter queue what can never become a record.

use std::iter;

use futures_util::future::join_all;
use mailroom_aws::dead_letters::DeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{
    AppendCounts, IndexedMessage, Invocation, InvocationError, PoisonMessageCounts, SqsBatchResponse,
};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_aws::table::records::RecordTable;
use mailroom_core::dead_letter::DeadLetterReason;
use mailroom_core::envelope::PayloadMessage;
use mailroom_core::inbound::{
    self, InboundRecord, InboundSettings, MailInspection, MailStructure, NormalizedReceipt, ObjectFacts,
    ObjectLocation, Receipt, UnreadableReason,
};
use mailroom_core::malformed::{InputProblem, MalformedInput};
use mailroom_core::notification::ParsedMessage;
use tracing::{info, warn};

use crate::settings::Settings;

/// The number of mails that are opened and looked at at a time, where a payload brings several. Each of them only waits for
/// S3.
const MAX_PARALLEL_MESSAGES: usize = 8;

/// The number of bytes that are read from the start of a mail to record its structure (subject, names of attachments). Headers
/// rarely take more than a few thousand, and most mails end within this.
const HEAD_BYTES: u64 = 65_536;

/// The function: its ports and what the template told it.
pub struct InboundFunction<T, O, D, M> {
    /// The table, to which records are appended.
    pub table: T,
    /// The buckets in which mail lies.
    pub objects: O,
    /// The dead-letter queue.
    pub dead_letters: D,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// Why a message is not done.
#[derive(Debug, thiserror::Error)]
enum InboundMessageError {
    /// No retry can help.
    #[error("can never be processed: {0}")]
    Poison(#[from] DeadLetterReason),
    /// A retry can help.
    #[error("not recorded: {0}")]
    Object(#[from] ObjectError),
    /// A retry can help.
    #[error("not recorded: S3 did not answer until the deadline")]
    DeadlineExceeded,
}

impl From<MalformedInput> for InboundMessageError {
    fn from(malformed: MalformedInput) -> Self {
        Self::Poison(DeadLetterReason::from(&malformed))
    }
}

enum InboundAction {
    Ignore,
    ServiceEvent,
    Append(NormalizedReceipt),
}

impl<T: RecordTable, O: ObjectStore, D: DeadLetterQueue, M: Metrics> InboundFunction<T, O, D, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`]. Lambda tries an event from SES twice more, and then puts it into the function's own queue.
    pub async fn handle(
        &self,
        payload: &str,
        deadline: Deadline,
    ) -> Result<SqsBatchResponse, InvocationError> {
        let mut invocation = Invocation::open(payload)?;
        let (mut ignored, mut service_events) = (0, 0);
        loop {
            let messages: Vec<_> =
                iter::from_fn(|| invocation.open_next_message()).take(MAX_PARALLEL_MESSAGES).collect();
            if messages.is_empty() {
                break;
            }
            let worked =
                join_all(messages.iter().map(|next| deadline.limit(self.process_message(&next.message))))
                    .await;
            for (IndexedMessage { index, message }, work) in messages.iter().zip(worked) {
                match work.unwrap_or(Err(InboundMessageError::DeadlineExceeded)) {
                    Ok(InboundAction::Ignore) => ignored += 1,
                    Ok(InboundAction::ServiceEvent) => {
                        ignored += 1;
                        service_events += 1;
                    }
                    Ok(InboundAction::Append(NormalizedReceipt {
                        records,
                        malformed_recipients: malformed,
                    })) => {
                        for record in records {
                            invocation.buffer_record(*index, record);
                            if invocation.is_buffer_full() {
                                invocation.append_buffered_records(&self.table, deadline).await;
                            }
                        }
                        for malformed in malformed {
                            let malformed = malformed.prefix_field(&message.path);
                            mark_message_and_log(&mut invocation, *index, message, malformed.into());
                        }
                    }
                    Err(trouble) => mark_message_and_log(&mut invocation, *index, message, trouble),
                }
            }
        }
        invocation.append_buffered_records(&self.table, deadline).await;
        let AppendCounts { records_written: written, records_not_written: not_written } =
            invocation.append_counts();
        let PoisonMessageCounts { poison_messages: poisoned, dead_letters_sent: sent } =
            invocation.send_dead_letters(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.message_count()),
            ("MessagesIgnored", ignored),
            ("ServiceEvents", service_events),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", invocation.failed_count()),
            ("DeadLettersSent", sent),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.into_response()
    }

    async fn process_message(&self, message: &PayloadMessage) -> Result<InboundAction, InboundMessageError> {
        let receipt = match message.content.as_ref().map_err(DeadLetterReason::from)? {
            ParsedMessage::Ignored(notice) => {
                info!(message = message.id, detail_type = notice.detail_type(), %notice, "ignored");
                return Ok(if notice.detail_type().is_some() {
                    InboundAction::ServiceEvent
                } else {
                    InboundAction::Ignore
                });
            }
            ParsedMessage::Feedback(_) => {
                let problem = "feedback on a mail that was sent, not a mail that was received";
                return Err(DeadLetterReason::new("eventType", problem).into());
            }
            ParsedMessage::Received(receipt) => receipt,
        };
        self.settings.stack_scope.check_receipt(&message.origin, receipt).map_err(DeadLetterReason::from)?;
        let unknown = receipt.fields_with_unknown_values();
        if !unknown.is_empty() {
            info!(
                message = message.id,
                ses_message = receipt.message_id(),
                fields = unknown.join(", "),
                "unknown values"
            );
        }
        let location = ObjectLocation::from_receipt(receipt, Some(&self.settings.mail_store))
            .ok_or_else(|| MalformedInput::new("receipt.action.bucketName", InputProblem::Missing))?;
        let object = self.find_or_put_mail(receipt, &location, &message.path).await?;
        let structure = self.read_structure_from_head(&location, &object).await?;
        let rules = InboundSettings {
            default_region: Some(&self.settings.stack_scope.region),
            disposition_policy: self.settings.disposition_policy,
            retention: self.settings.retention,
        };
        let found =
            MailInspection { location: Some(location), object: Some(object), structure: Some(structure) };
        let normalized = inbound::normalize_valid_recipients(receipt, &message.origin, &found, rules);
        Ok(InboundAction::Append(normalized.map_err(|error| error.prefix_field(&message.path))?))
    }

    /// Asks S3 about the mail. If the notification brought the mail itself, it is put there first, but only if it is not
    /// there yet: a second version would make another record of the same mail.
    async fn find_or_put_mail(
        &self,
        receipt: &Receipt,
        location: &ObjectLocation,
        field_path_prefix: &str,
    ) -> Result<ObjectFacts, InboundMessageError> {
        let found = self.objects.head(location).await;
        if found != Err(ObjectError::ObjectNotFound) {
            return Ok(found?);
        }
        let Some(content) = receipt.content().map_err(|error| error.prefix_field(field_path_prefix))? else {
            return Ok(found?);
        };
        self.objects.put(location, content.into_owned()).await?;
        Ok(self.objects.head(location).await?)
    }

    /// Reads the structure of a mail from its first bytes.
    async fn read_structure_from_head(
        &self,
        location: &ObjectLocation,
        object_facts: &ObjectFacts,
    ) -> Result<MailStructure, InboundMessageError> {
        if object_facts.encryption().is_client_side() {
            return Ok(MailStructure::from_unreadable(UnreadableReason::Encrypted));
        }
        let head = self.objects.first_bytes(location, object_facts, HEAD_BYTES).await?;
        let whole = object_facts.size.is_some_and(|size| size <= HEAD_BYTES);
        Ok(MailStructure::parse(&head, whole))
    }
}

/// Leaves the message at this place: it comes back, or is given up if no retry can help. Logs where and what is wrong, never a value.
fn mark_message_and_log(
    invocation: &mut Invocation<'_, InboundRecord>,
    message_index: usize,
    message: &PayloadMessage,
    error: InboundMessageError,
) {
    warn!(message = message.id, ses_message = message.ses_message_id(), "{error}");
    match error {
        InboundMessageError::Poison(reason) => {
            invocation.mark_poison(message_index, reason.relative_to(&message.path));
        }
        InboundMessageError::Object(_) | InboundMessageError::DeadlineExceeded => {
            invocation.mark_failed(message_index);
        }
    }
}
