//! Leases.

use std::collections::HashMap;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::TableError;
use mailroom_aws::table::lease::{AcquireOutcome, LeaseStore};
use mailroom_core::timestamp::Timestamp;

use crate::{MemoryTable, lock};

/// The leases of one Region: the holder of each, and until when.
pub(crate) type Leases = HashMap<String, (String, Timestamp)>;

impl LeaseStore for MemoryTable {
    async fn acquire(
        &self,
        name: &str,
        invocation_id: &str,
        now: Timestamp,
        expires_at: Timestamp,
        _: Deadline,
    ) -> Result<AcquireOutcome, TableError> {
        self.fuse.effect().await;
        let leases = &mut lock(&self.inner).leases;
        if leases.get(name).is_some_and(|(_, until)| *until >= now) {
            return Ok(AcquireOutcome::HeldByOther);
        }
        leases.insert(name.to_owned(), (invocation_id.to_owned(), expires_at));
        Ok(AcquireOutcome::Acquired)
    }

    async fn release(&self, name: &str, invocation_id: &str, _: Deadline) -> Result<(), TableError> {
        self.fuse.effect().await;
        let leases = &mut lock(&self.inner).leases;
        if leases.get(name).is_some_and(|(holder, _)| holder == invocation_id) {
            leases.remove(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        use AcquireOutcome::{Acquired, HeldByOther};
        let table = MemoryTable::default();
        let deadline = Deadline::after(Duration::ZERO);
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let acquire =
            async |id, now, until| table.acquire("a", id, at(now), at(until), deadline).await.unwrap();
        let release = async |id| table.release("a", id, deadline).await.unwrap();
        assert_eq!(acquire("one", 0, 10).await, Acquired);
        assert_eq!(acquire("another", 10, 20).await, HeldByOther);
        assert_eq!(acquire("one", 10, 20).await, HeldByOther, "one event, delivered twice");
        assert_eq!(acquire("one", 11, 20).await, Acquired);
        release("another").await;
        assert_eq!(acquire("another", 20, 30).await, HeldByOther);
        assert_eq!(acquire("another", 21, 30).await, Acquired);
        release("another").await;
        assert_eq!(acquire("one", 22, 30).await, Acquired);
        assert_eq!(table.acquire("b", "another", at(22), at(30), deadline).await, Ok(Acquired));
    }
}
