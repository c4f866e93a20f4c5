//! The table: one client, one error, one way to retry, for all kinds of items.
//!
//! | module | is |
//! |---|---|
//! | [`records`] | the records, appended: [`records::RecordTable`] |
//! | [`deliveries`] | the latest delivery to each address: [`deliveries::DeliveryTable`] |
//! | [`states`] | suppression states, written on condition of their version: [`states::StateTable`] |
//! | [`record_scan`] | a scan of the records that call for a decision: [`record_scan::RecordScan`] |
//! | [`history`] | all that the table holds of an address, to be read by a person: [`history::RecordHistory`] |
//! | [`notes`] | what a Region's functions keep between invocations: [`notes::NoteStore`] |
//! | [`lease`] | of several instances of a function one works: [`lease::LeaseStore`] |
//! | [`item`] | items, read and written by serde |
//!
//! Every call is retried until it is answered or its deadline has come.

pub mod deliveries;
pub mod history;
pub mod item;
pub mod lease;
pub mod notes;
pub mod record_scan;
pub mod records;
pub mod states;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};

use self::item::{Item, string_attribute};
use crate::deadline::Deadline;
use crate::retry::{CallFailure, error_code_or_text, retry_until_deadline};

/// The table of one Region. Clones share their connections.
#[derive(Debug, Clone)]
pub struct RegionTable {
    client: Client,
    name: String,
    region: String,
}

/// Why the table did not do as asked. Names no key, since a key holds an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The calls were throttled, failed or were not answered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    DeadlineExceeded(String),
    /// DynamoDB refused the call in a way that this invocation can't fix, such as for a missing permission. A retry can help
    /// once that is fixed.
    #[error("refused: {0}")]
    Refused(String),
    /// The value can't be put as a DynamoDB item, or the item can't be read by this version. Names the attribute, and quotes
    /// no value. No retry can help.
    #[error("not an item: {0}")]
    InvalidItem(String),
    /// Other instances kept writing the same item. A retry can help.
    #[error("other instances keep writing the same item")]
    Contended,
}

impl TableError {
    /// Whether a retry can help.
    pub fn may_succeed_later(&self) -> bool {
        !matches!(self, Self::InvalidItem(_))
    }
}

impl<E: ProvideErrorMetadata> From<CallFailure<E>> for TableError {
    fn from(failure: CallFailure<E>) -> Self {
        match failure {
            CallFailure::DeadlineExceeded(last_error) => Self::DeadlineExceeded(last_error),
            CallFailure::Refused(error) => Self::Refused(error_code_or_text(&error)),
        }
    }
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome<T> {
    /// What was to be written is durable.
    Written,
    /// The table holds another version than the one that was read. Holds what was learned of that version.
    Conflict(T),
}

/// A value and the version under which the table holds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// The version that was read or written last, which is the condition of the next write; `None` if the table does not
    /// hold the value yet.
    pub version: Option<u64>,
}

impl RegionTable {
    /// A table by its name, in the configuration's own Region.
    pub fn new(config: &SdkConfig, name: impl Into<String>) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { client: Client::new(config), name: name.into(), region }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Region that the table is in.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The partition key of what a Region's functions keep for themselves.
    pub fn region_key(&self) -> String {
        format!("REGION#{}", self.region)
    }

    /// An item as the last write left it; `None` if there is none.
    ///
    /// # Errors
    /// See [`TableError`].
    pub async fn get_item(&self, pk: &str, sk: &str, deadline: Deadline) -> Result<Option<Item>, TableError> {
        let get = || {
            let get = self.client.get_item().table_name(&self.name).consistent_read(true);
            get.key("pk", string_attribute(pk)).key("sk", string_attribute(sk)).send()
        };
        Ok(retry_until_deadline(deadline, get).await?.item)
    }

    /// Writes an item, whatever is in its place.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    pub async fn put_item(&self, item: Item, deadline: Deadline) -> Result<(), TableError> {
        let put = || self.client.put_item().table_name(&self.name).set_item(Some(item.clone())).send();
        retry_until_deadline(deadline, put).await?;
        Ok(())
    }

    /// All items under a partition key whose sort keys begin with a prefix.
    ///
    /// # Errors
    /// See [`TableError`].
    pub async fn query_prefix(
        &self,
        pk: &str,
        prefix: &str,
        deadline: Deadline,
    ) -> Result<Vec<Item>, TableError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = || {
                let query = self.client.query().table_name(&self.name).consistent_read(true);
                query
                    .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                    .expression_attribute_names("#pk", "pk")
                    .expression_attribute_names("#sk", "sk")
                    .expression_attribute_values(":pk", string_attribute(pk))
                    .expression_attribute_values(":prefix", string_attribute(prefix))
                    .set_exclusive_start_key(start.clone())
                    .send()
            };
            let page = retry_until_deadline(deadline, query).await?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Writes an item, which has an attribute `version`, on condition that the table still holds the version that was read
    /// (`None`: no item). If the table already holds this very item, that counts as written, not as a conflict: an earlier
    /// attempt's answer was lost. A conflict holds the item in the table, if DynamoDB showed it.
    async fn put_version(
        &self,
        item: &Item,
        expected_version: Option<u64>,
        deadline: Deadline,
    ) -> Result<PutOutcome<Option<Item>>, TableError> {
        let put = || {
            let put = self.client.put_item().table_name(&self.name).set_item(Some(item.clone()));
            let put =
                put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match expected_version {
                None => put.condition_expression("attribute_not_exists(pk)"),
                Some(version) => put
                    .condition_expression("#version = :read")
                    .expression_attribute_names("#version", "version")
                    .expression_attribute_values(":read", AttributeValue::N(version.to_string())),
            }
            .send()
        };
        match retry_until_deadline(deadline, put).await {
            Ok(_) => Ok(PutOutcome::Written),
            Err(CallFailure::Refused(error)) => match error.into_service_error() {
                PutItemError::ConditionalCheckFailedException(failed) => Ok(match failed.item {
                    Some(held) if held == *item => PutOutcome::Written,
                    held => PutOutcome::Conflict(held),
                }),
                error => {
                    Err(TableError::Refused(error.code().map_or_else(|| error.to_string(), str::to_owned)))
                }
            },
            Err(failure) => Err(failure.into()),
        }
    }
}

/// Whether a call failed since its condition did not hold.
fn is_condition_failed<E: ProvideErrorMetadata>(failure: &CallFailure<E>) -> bool {
    matches!(failure, CallFailure::Refused(error) if error.code() == Some("ConditionalCheckFailedException"))
}
