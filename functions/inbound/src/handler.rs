//! Takes a receipt and writes one record per recipient, each pointing to a mail that was seen to be there; and sends to the
//! dead-letter queue what can never become a record.

use std::iter;

use futures_util::future::join_all;
use mailroom_aws::dead_letters::DeadLetters;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{Buried, Invocation, InvocationError, Settled, SqsBatchResponse};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_aws::table::records::RecordTable;
use mailroom_core::dead_letter::Reason;
use mailroom_core::envelope::Message;
use mailroom_core::inbound::{
    self, Found, InboundRecord, Location, Normalized, ObjectFacts, Receipt, Rules, Structure, Unreadable,
};
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::notification::Reading;
use tracing::{info, warn};

use crate::settings::Settings;

/// The number of mails that are opened and looked at at a time, where a payload brings several. Each of them only waits for
/// S3.
const PARALLEL: usize = 8;

/// The number of bytes that are read from the start of a mail to record its structure (subject, names of attachments). Headers
/// rarely take more than a few thousand, and most mails end within this.
const HEAD_BYTES: u64 = 65_536;

/// The function: its ports and what the template told it.
pub struct Inbound<T, O, D, M> {
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
enum Trouble {
    /// No retry can help.
    #[error("can never be processed: {0}")]
    Poison(#[from] Reason),
    /// A retry can help.
    #[error("not recorded: {0}")]
    Object(#[from] ObjectError),
    /// A retry can help.
    #[error("not recorded: S3 did not answer until the deadline")]
    Deadline,
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Poison(Reason::from(&malformed))
    }
}

enum Work {
    Ignore,
    ServiceEvent,
    Append(Normalized),
}

impl<T: RecordTable, O: ObjectStore, D: DeadLetters, M: Metrics> Inbound<T, O, D, M> {
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
            let messages: Vec<_> = iter::from_fn(|| invocation.next_message()).take(PARALLEL).collect();
            if messages.is_empty() {
                break;
            }
            let worked =
                join_all(messages.iter().map(|(_, message)| deadline.limit(self.work(message)))).await;
            for ((place, message), work) in messages.iter().zip(worked) {
                match work.unwrap_or(Err(Trouble::Deadline)) {
                    Ok(Work::Ignore) => ignored += 1,
                    Ok(Work::ServiceEvent) => {
                        ignored += 1;
                        service_events += 1;
                    }
                    Ok(Work::Append(Normalized { records, malformed })) => {
                        for record in records {
                            invocation.add(*place, record);
                            if invocation.is_full() {
                                invocation.append_held(&self.table, deadline).await;
                            }
                        }
                        for malformed in malformed {
                            let malformed = malformed.within(&message.path);
                            leave(&mut invocation, *place, message, malformed.into());
                        }
                    }
                    Err(trouble) => leave(&mut invocation, *place, message, trouble),
                }
            }
        }
        invocation.append_held(&self.table, deadline).await;
        let Settled { written, not_written } = invocation.settled();
        let Buried { poisoned, sent } = invocation.bury(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.messages()),
            ("MessagesIgnored", ignored),
            ("ServiceEvents", service_events),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", invocation.failed()),
            ("DeadLettersSent", sent),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.respond()
    }

    async fn work(&self, message: &Message) -> Result<Work, Trouble> {
        let receipt = match message.reading.as_ref().map_err(Reason::from)? {
            Reading::Ignored(notice) => {
                info!(message = message.id, detail_type = notice.detail_type(), %notice, "ignored");
                return Ok(if notice.detail_type().is_some() { Work::ServiceEvent } else { Work::Ignore });
            }
            Reading::Feedback(_) => {
                let problem = "feedback on a mail that was sent, not a mail that was received";
                return Err(Reason::new("eventType", problem).into());
            }
            Reading::Received(receipt) => receipt,
        };
        self.settings.ours.check_received(&message.origin, receipt).map_err(Reason::from)?;
        let unknown = receipt.unknown_values();
        if !unknown.is_empty() {
            info!(
                message = message.id,
                ses_message = receipt.message_id(),
                fields = unknown.join(", "),
                "unknown values"
            );
        }
        let location = Location::of(receipt, Some(&self.settings.store))
            .ok_or_else(|| Malformed::new("receipt.action.bucketName", Problem::Missing))?;
        let object = self.find(receipt, &location, &message.path).await?;
        let structure = self.structure(&location, &object).await?;
        let rules = Rules {
            home: Some(&self.settings.ours.region),
            disposition: self.settings.disposition,
            retention: self.settings.retention,
        };
        let found = Found { location: Some(location), object: Some(object), structure: Some(structure) };
        let normalized = inbound::normalize(receipt, &message.origin, &found, rules);
        Ok(Work::Append(normalized.map_err(|error| error.within(&message.path))?))
    }

    /// Asks S3 about the mail. If the notification brought the mail itself, it is put there first, but only if it is not
    /// there yet: a second version would make another record of the same mail.
    async fn find(&self, receipt: &Receipt, location: &Location, path: &str) -> Result<ObjectFacts, Trouble> {
        let found = self.objects.head(location).await;
        if found != Err(ObjectError::NotFound) {
            return Ok(found?);
        }
        let Some(content) = receipt.content().map_err(|error| error.within(path))? else { return Ok(found?) };
        self.objects.put(location, content.into_owned()).await?;
        Ok(self.objects.head(location).await?)
    }

    /// Reads the structure of a mail from its first bytes.
    async fn structure(&self, location: &Location, object: &ObjectFacts) -> Result<Structure, Trouble> {
        if object.encryption().is_client_side() {
            return Ok(Structure::unreadable(Unreadable::Encrypted));
        }
        let head = self.objects.first_bytes(location, object, HEAD_BYTES).await?;
        let whole = object.size.is_some_and(|size| size <= HEAD_BYTES);
        Ok(Structure::read(&head, whole))
    }
}

/// Leaves the message at this place: it comes back, or is given up if no retry can help. Logs where and what is wrong, never a value.
fn leave(invocation: &mut Invocation<'_, InboundRecord>, place: usize, message: &Message, trouble: Trouble) {
    warn!(message = message.id, ses_message = message.ses_message_id(), "{trouble}");
    match trouble {
        Trouble::Poison(reason) => invocation.poison(place, reason.inside(&message.path)),
        Trouble::Object(_) | Trouble::Deadline => invocation.fail(place),
    }
}
