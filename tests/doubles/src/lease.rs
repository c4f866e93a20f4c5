//! Leases.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::lease::{Acquired, Lease, LeaseError};
use mailroom_core::timestamp::Timestamp;

use crate::{Fuse, lock};

/// The leases of one Region.
#[derive(Debug, Clone, Default)]
pub struct MemoryLease {
    held: Arc<Mutex<HashMap<String, (String, Timestamp)>>>,
    fuse: Fuse,
}

impl MemoryLease {
    /// The same leases, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { held: Arc::clone(&self.held), fuse: fuse.clone() }
    }
}

impl Lease for MemoryLease {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Acquired, LeaseError> {
        self.fuse.effect().await;
        let mut held = lock(&self.held);
        if held.get(name).is_some_and(|(_, until)| *until >= now) {
            return Ok(Acquired::Held);
        }
        held.insert(name.to_owned(), (holder.to_owned(), until));
        Ok(Acquired::Yes)
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), LeaseError> {
        self.fuse.effect().await;
        let mut held = lock(&self.held);
        if held.get(name).is_some_and(|(other, _)| other == holder) {
            held.remove(name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let leases = MemoryLease::default();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let acquire =
            async |holder, now, until| leases.acquire("a", holder, at(now), at(until)).await.unwrap();
        assert_eq!(acquire("one", 0, 10).await, Acquired::Yes);
        assert_eq!(acquire("another", 10, 20).await, Acquired::Held);
        assert_eq!(acquire("one", 10, 20).await, Acquired::Held, "one event, delivered twice");
        assert_eq!(acquire("one", 11, 20).await, Acquired::Yes);
        leases.release("a", "another").await.unwrap();
        assert_eq!(acquire("another", 20, 30).await, Acquired::Held);
        assert_eq!(acquire("another", 21, 30).await, Acquired::Yes);
        leases.release("a", "another").await.unwrap();
        assert_eq!(acquire("one", 22, 30).await, Acquired::Yes);
        assert_eq!(leases.acquire("b", "another", at(22), at(30)).await, Ok(Acquired::Yes));
    }
}
