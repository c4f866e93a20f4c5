//! A receipt in, one record per recipient out, each pointing to a mail that was seen to be there.

use futures_util::{StreamExt, stream};
use mailroom_aws::batch::{Batch, Failed, Response, respond};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_aws::records::RecordTable;
use mailroom_core::envelope::{self, Message, Payload};
use mailroom_core::inbound::{
    self, Found, Location, Normalized, ObjectFacts, Receipt, Rules, Structure, Unreadable,
};
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::notification::{Notice, Reading};
use mailroom_core::ours::Foreign;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::settings::Settings;

/// Mails looked at at a time, where a payload brings several: each waits for S3 alone.
const PARALLEL: usize = 8;

/// The function: its ports and what the template told it.
pub struct Inbound<T, O, M> {
    /// Where records are appended.
    pub table: T,
    /// Where mail lies.
    pub objects: O,
    /// Where counts go.
    pub metrics: M,
    /// What the template told.
    pub settings: Settings,
}

/// The invocation fails as a whole: Lambda tries a direct event again, twice, and then hands it to the failure
/// destination.
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
    Ignore(Notice),
    Append(Normalized),
}

impl<T: RecordTable, O: ObjectStore, M: Metrics> Inbound<T, O, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`HandlerError`].
    pub async fn handle(&self, payload: &str, deadline: Instant) -> Result<Response, HandlerError> {
        let Payload { source, messages } = envelope::open(payload).map_err(|error| {
            HandlerError::Payload { field: error.field().to_owned(), problem: error.problem() }
        })?;
        let look = |message| async move {
            timeout_at(deadline, self.work(message)).await.unwrap_or(Err(Trouble::Deadline))
        };
        let worked: Vec<_> = stream::iter(&messages).map(look).buffered(PARALLEL).collect().await;

        let mut failed = vec![false; messages.len()];
        let mut ignored = 0;
        let mut batch = Batch::default();
        for (index, (message, work)) in messages.iter().zip(worked).enumerate() {
            match work {
                Ok(Work::Ignore(notice)) => {
                    ignored += 1;
                    info!(message = message.id, %notice, "ignored");
                }
                Ok(Work::Append(Normalized { records, malformed })) => {
                    for record in records {
                        batch.add(record, index);
                    }
                    for malformed in malformed {
                        failed[index] = true;
                        log_trouble(message, &Trouble::Malformed(malformed.within(&message.path)));
                    }
                }
                Err(trouble) => {
                    failed[index] = true;
                    log_trouble(message, &trouble);
                }
            }
        }
        let troubled = failed.iter().filter(|failed| **failed).count();
        let not_durable = self.table.append(batch.records(), deadline).await;
        for lost in &not_durable {
            batch.messages_of(lost.index).iter().for_each(|message| failed[*message] = true);
        }
        if let Some(lost) = not_durable.first() {
            warn!(records = not_durable.len(), "not written: {}", lost.error);
        }
        self.metrics.count(&[
            ("Messages", messages.len()),
            ("MessagesIgnored", ignored),
            ("MessagesFailed", troubled),
            ("RecordsWritten", batch.records().len() - not_durable.len()),
            ("RecordsNotWritten", not_durable.len()),
        ]);
        Ok(respond(source, &messages, &failed)?)
    }

    async fn work(&self, message: &Message) -> Result<Work, Trouble> {
        let receipt = match message.reading.as_ref().map_err(Malformed::clone)? {
            Reading::Ignored(notice) => return Ok(Work::Ignore(*notice)),
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

    /// What S3 says of the mail. Content that came with the notification is put there first, once: a second version would
    /// make another record of the same mail.
    async fn find(&self, receipt: &Receipt, location: &Location) -> Result<ObjectFacts, Trouble> {
        let found = self.objects.head(location).await;
        if found != Err(ObjectError::NotFound) {
            return Ok(found?);
        }
        let Some(content) = receipt.content()? else { return Ok(found?) };
        self.objects.put(location, content.into_owned()).await?;
        Ok(self.objects.head(location).await?)
    }

    /// What is in the mail, from its first bytes; nothing if none are to be read.
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

/// The one line that says why a message comes back or ends as a dead letter: where and what, never a value.
fn log_trouble(message: &Message, trouble: &Trouble) {
    let ses_message = match &message.reading {
        Ok(Reading::Received(receipt)) => Some(receipt.message_id()),
        Ok(Reading::Feedback(notification)) => Some(notification.message_id()),
        _ => None,
    };
    match trouble {
        Trouble::Object(_) | Trouble::Deadline => {
            warn!(message = message.id, ses_message, "not recorded: {trouble}");
        }
        _ => warn!(message = message.id, ses_message, "can never be processed: {trouble}"),
    }
}
