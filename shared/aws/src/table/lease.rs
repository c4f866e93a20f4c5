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

use std::time::Duration;

use mailroom_core::timestamp::Timestamp;
use tracing::{info, warn};

use super::item::{Item, string_attribute};
use super::{RegionTable, TableError, is_condition_failed};
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::retry::retry_until_deadline;

/// Hands out leases.
pub trait LeaseStore {
    /// Takes a lease until `expires_at`, unless an invocation holds it at `now`. The holder may not take it again: Lambda may
    /// deliver one event twice, to two instances under the same invocation id. So an invocation that took the lease, and did
    /// not get the answer, waits for its end like anyone else.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been taken nevertheless.
    async fn acquire(
        &self,
        name: &str,
        invocation_id: &str,
        now: Timestamp,
        expires_at: Timestamp,
        deadline: Deadline,
    ) -> Result<AcquireOutcome, TableError>;

    /// Gives a lease back. It is no error if another invocation holds it by now.
    ///
    /// # Errors
    /// See [`TableError`]. The lease then ends by itself.
    async fn release(&self, name: &str, invocation_id: &str, deadline: Deadline) -> Result<(), TableError>;
}

/// Whether a lease was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcquireOutcome {
    /// The lease was taken.
    Acquired,
    /// Another invocation holds the lease, or another instance with the same event.
    HeldByOther,
}

/// Runs `work_until`, which gets the time at which the invocation ends by `clock`, while holding a lease, and then releases
/// the lease; returns `None` if another invocation holds it. The lease lasts `lease_margin` longer than the invocation, for
/// clocks that differ and for the response's way.
///
/// # Errors
/// If it is not known whether the lease was taken. One that can't be given back ends by itself, which is no error.
pub async fn run_with_lease<T>(
    leases: &impl LeaseStore,
    clock: &impl Clock,
    name: &str,
    invocation_id: &str,
    lease_margin: Duration,
    deadline: Deadline,
    work_until: impl AsyncFnOnce(Timestamp) -> T,
) -> Result<Option<T>, TableError> {
    let now = clock.now();
    let ends_at = deadline.by_clock(now);
    if leases.acquire(name, invocation_id, now, ends_at.plus(lease_margin), deadline).await?
        == AcquireOutcome::HeldByOther
    {
        info!(lease = name, "another invocation is at work");
        return Ok(None);
    }
    let result = work_until(ends_at).await;
    if let Err(error) = leases.release(name, invocation_id, deadline).await {
        warn!(lease = name, %error, "the lease is not given back, and ends by itself");
    }
    Ok(Some(result))
}

impl RegionTable {
    fn lease_key(&self, name: &str) -> Item {
        let key = [("pk", self.region_key()), ("sk", format!("LEASE#{name}"))];
        key.map(|(name, text)| (name.to_owned(), string_attribute(&text))).into()
    }
}

impl LeaseStore for RegionTable {
    async fn acquire(
        &self,
        name: &str,
        invocation_id: &str,
        now: Timestamp,
        expires_at: Timestamp,
        deadline: Deadline,
    ) -> Result<AcquireOutcome, TableError> {
        let put = || {
            let put = self.client.put_item().table_name(&self.name).set_item(Some(self.lease_key(name)));
            put.item("holder", string_attribute(invocation_id))
                .item("until", string_attribute(&expires_at))
                // Timestamps are texts of one length: their order is the order in time.
                .condition_expression("attribute_not_exists(pk) OR #until < :now")
                .expression_attribute_names("#until", "until")
                .expression_attribute_values(":now", string_attribute(&now))
                .send()
        };
        match retry_until_deadline(deadline, put).await {
            Ok(_) => Ok(AcquireOutcome::Acquired),
            Err(failure) if is_condition_failed(&failure) => Ok(AcquireOutcome::HeldByOther),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn release(&self, name: &str, invocation_id: &str, deadline: Deadline) -> Result<(), TableError> {
        let delete = || {
            let delete = self.client.delete_item().table_name(&self.name);
            delete
                .set_key(Some(self.lease_key(name)))
                .condition_expression("#holder = :holder")
                .expression_attribute_names("#holder", "holder")
                .expression_attribute_values(":holder", string_attribute(invocation_id))
                .send()
        };
        match retry_until_deadline(deadline, delete).await {
            Ok(_) => Ok(()),
            Err(failure) if is_condition_failed(&failure) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }
}
