//! Takes a receipt and writes one record per recipient, each pointing to a mail that was seen to be there.

use futures_util::{StreamExt, stream};
use mailroom_aws::invocation::{Invocation, InvocationError, Response, Settled};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_aws::records::RecordTable;
use mailroom_core::envelope::Message;
use mailroom_core::inbound::{
    self, Found, Location, Normalized, ObjectFacts, Receipt, Rules, Structure, Unreadable,
};
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::notification::Reading;
use mailroom_core::ours::Foreign;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::settings::Settings;

/// The number of mails that are looked at at a time, where a payload brings several. Each of them only waits for S3.
const PARALLEL: usize = 8;

/// The function: its ports and what the template told it.
pub struct Inbound<T, O, M> {
    /// The table, to which records are appended.
    pub table: T,
    /// The buckets in which mail lies.
    pub objects: O,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// Why a message is not done.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{}: {}", .0.field(), .0.problem())]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Foreign(#[from] Foreign),
    #[error("eventType: feedback on a mail that was sent, not a mail that was received")]
    Feedback,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error("S3 did not answer until the deadline")]
    Deadline,
}

enum Work {
    Ignore,
    ServiceEvent,
    Append(Normalized),
}

impl<T: RecordTable, O: ObjectStore, M: Metrics> Inbound<T, O, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`]. Lambda tries an event from SES twice more, and then hands it to the failure destination.
    pub async fn handle(&self, payload: &str, deadline: Instant) -> Result<Response, InvocationError> {
        let mut invocation = Invocation::open(payload)?;
        let look = |message| async move {
            timeout_at(deadline, self.work(message)).await.unwrap_or(Err(Trouble::Deadline))
        };
        let worked: Vec<_> = stream::iter(invocation.messages()).map(look).buffered(PARALLEL).collect().await;
        let (mut ignored, mut service_events) = (0, 0);
        for (message, work) in worked.into_iter().enumerate() {
            match work {
                Ok(Work::Ignore) => ignored += 1,
                Ok(Work::ServiceEvent) => {
                    ignored += 1;
                    service_events += 1;
                }
                Ok(Work::Append(Normalized { records, malformed })) => {
                    invocation.add(message, records);
                    for malformed in malformed {
                        invocation.fail(message);
                        let told = &invocation.messages()[message];
                        log_trouble(told, &Trouble::Malformed(malformed.within(&told.path)));
                    }
                }
                Err(trouble) => {
                    invocation.fail(message);
                    log_trouble(&invocation.messages()[message], &trouble);
                }
            }
        }
        let failed = invocation.failed();
        let Settled { written, not_written } = invocation.settle(&self.table, deadline).await;
        self.metrics.count(&[
            ("Messages", invocation.messages().len()),
            ("MessagesIgnored", ignored),
            ("ServiceEvents", service_events),
            ("MessagesFailed", failed),
            ("RecordsWritten", written),
            ("RecordsNotWritten", not_written),
        ]);
        invocation.respond()
    }

    async fn work(&self, message: &Message) -> Result<Work, Trouble> {
        let receipt = match message.reading.as_ref().map_err(Malformed::clone)? {
            Reading::Ignored(notice) => {
                info!(message = message.id, detail_type = notice.detail_type(), %notice, "ignored");
                return Ok(if notice.detail_type().is_some() { Work::ServiceEvent } else { Work::Ignore });
            }
            Reading::Feedback(_) => return Err(Trouble::Feedback),
            Reading::Received(receipt) => receipt,
        };
        self.settings.ours.check_received(&message.origin, receipt)?;
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
        let object = self.find(receipt, &location).await.map_err(|trouble| within(trouble, &message.path))?;
        let structure = self.structure(&location, &object).await?;
        let rules = Rules {
            home: Some(&self.settings.ours.region),
            disposition: self.settings.disposition,
            retention: self.settings.retention,
        };
        let found = Found { location: Some(location), object: Some(object), structure };
        let normalized = inbound::normalize(receipt, &message.origin, &found, rules);
        Ok(Work::Append(normalized.map_err(|error| error.within(&message.path))?))
    }

    /// Asks S3 about the mail. If the notification brought the mail itself, it is put there first, but only if it is not
    /// there yet: a second version would make another record of the same mail.
    async fn find(&self, receipt: &Receipt, location: &Location) -> Result<ObjectFacts, Trouble> {
        let found = self.objects.head(location).await;
        if found != Err(ObjectError::NotFound) {
            return Ok(found?);
        }
        let Some(content) = receipt.content()? else { return Ok(found?) };
        self.objects.put(location, content.into_owned()).await?;
        Ok(self.objects.head(location).await?)
    }

    /// Reads the structure of a mail from its first bytes; `None` if the settings say that none are to be read.
    async fn structure(
        &self,
        location: &Location,
        object: &ObjectFacts,
    ) -> Result<Option<Structure>, Trouble> {
        if self.settings.head_bytes == 0 {
            return Ok(None);
        }
        if object.encryption().is_client_side() {
            return Ok(Some(Structure::unreadable(Unreadable::Encrypted)));
        }
        let head = self.objects.first_bytes(location, object, self.settings.head_bytes).await?;
        let whole = object.size.is_some_and(|size| size <= self.settings.head_bytes);
        Ok(Some(Structure::read(&head, whole)))
    }
}

fn within(trouble: Trouble, path: &str) -> Trouble {
    match trouble {
        Trouble::Malformed(error) => Trouble::Malformed(error.within(path)),
        other => other,
    }
}

/// Writes the one log line that says why a message comes back or ends as a dead letter: where and what, never a value.
fn log_trouble(message: &Message, trouble: &Trouble) {
    let what = match trouble {
        Trouble::Object(_) | Trouble::Deadline => "not recorded",
        Trouble::Malformed(_) | Trouble::Foreign(_) | Trouble::Feedback => "can never be processed",
    };
    warn!(message = message.id, ses_message = message.ses_message_id(), "{what}: {trouble}");
}
