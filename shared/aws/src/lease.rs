//! A lease, by which only one of several instances of a function works. It is the item `REGION#<region>` / `LEASE#<name>`
//! in the table.
//!
//! ```text
//! one      acquires until 12:05                                  releases
//! another  acquires: held, goes home                                       acquires until 12:09, and is killed
//! a third                                                                  acquires: held ... until 12:09
//! ```
//!
//! A lease lasts longer than its holder may run, so that nobody goes on working after losing it.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_core::timestamp::Timestamp;

/// Hands out leases.
pub trait Lease {
    /// Takes a lease, unless somebody still holds it. The holder may not take it again: Lambda may deliver one event
    /// twice, to two instances that use the same name.
    ///
    /// # Errors
    /// [`LeaseError`]. It may have been taken nevertheless.
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Acquired, LeaseError>;

    /// Gives a lease back. It is no error if somebody else holds it by now.
    ///
    /// # Errors
    /// [`LeaseError`]. The lease then ends by itself.
    async fn release(&self, name: &str, holder: &str) -> Result<(), LeaseError>;
}

/// Whether a lease was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquired {
    /// The lease was taken.
    Yes,
    /// Somebody else holds the lease, or another instance of the same name.
    Held,
}

/// Why the table did not do as asked. A retry can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lease: {0}")]
pub struct LeaseError(String);

/// DynamoDB's table. Nothing is retried here: a function that wants a lease is woken again soon.
pub struct DynamoLease {
    client: Client,
    table: String,
    region: String,
}

impl DynamoLease {
    /// A table in the configuration's own Region.
    pub fn new(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { client: Client::new(config), table: table.into(), region }
    }

    fn key(&self, name: &str) -> [(String, AttributeValue); 2] {
        [
            ("pk".to_owned(), text(&format!("REGION#{}", self.region))),
            ("sk".to_owned(), text(&format!("LEASE#{name}"))),
        ]
    }
}

impl Lease for DynamoLease {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Acquired, LeaseError> {
        let mut put = self.client.put_item().table_name(&self.table);
        for (name, value) in self.key(name) {
            put = put.item(name, value);
        }
        let put = put
            .item("holder", text(holder))
            .item("until", text(&until))
            // Timestamps are texts of one length: their order is the order in time.
            .condition_expression("attribute_not_exists(pk) OR #until < :now")
            .expression_attribute_names("#until", "until")
            .expression_attribute_values(":now", text(&now));
        match put.send().await {
            Ok(_) => Ok(Acquired::Yes),
            Err(error) if is_condition(&error) => Ok(Acquired::Held),
            Err(error) => Err(told(&error)),
        }
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LeaseError> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete
            .set_key(Some(self.key(name).into_iter().collect()))
            .condition_expression("#holder = :holder")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_values(":holder", text(holder));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_condition(&error) => Ok(()),
            Err(error) => Err(told(&error)),
        }
    }
}

fn text(value: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn is_condition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("ConditionalCheckFailedException")
}

fn told<E: ProvideErrorMetadata>(error: &SdkError<E>) -> LeaseError {
    LeaseError(error.code().map_or_else(|| error.to_string(), str::to_owned))
}
