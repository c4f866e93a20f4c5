//! The table in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use mailroom_core::record::Record;
use mailroom_core::suppression::delivery::{self, LatestDelivery};
use mailroom_core::suppression::item::{self, AddressState, SORT_KEY};
use mailroom_core::suppression::policy::FeedbackFact;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{Cursor, Page, Put, StateTable, TableError, feedback_keys, readable};
use crate::deliveries::LatestDeliveries;
use crate::dynamo::read_value;
use crate::fuse::Fuse;
use crate::records::{AppendError, NotDurable, RecordTable};

/// The table in memory, with the rules of DynamoDB that a handler can run into (conditions, indexes that lag, a stream)
/// and with trouble on demand. Clones are one table. It takes records too, so that what one function appends another
/// reads.
#[derive(Debug, Clone, Default)]
pub struct MemoryStates {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<String, AddressState>,
    /// The addresses of the states, by the indexes' partitions.
    shards: HashMap<String, BTreeSet<String>>,
    records: BTreeMap<(String, String), Value>,
    stream: Vec<Image>,
    /// How many writes of states the indexes lag behind.
    lag: usize,
    conflicts: usize,
    failures: usize,
}

/// A change of the table, as its stream tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// The item before the change; `None` if there was none.
    pub old: Option<Value>,
    /// The item after the change.
    pub new: Value,
}

impl MemoryStates {
    /// The same table, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// All states, by address.
    pub fn states(&self) -> Vec<AddressState> {
        self.lock().map_or_else(|_| Vec::new(), |inner| inner.states.values().cloned().collect())
    }

    /// All records, by key.
    pub fn records(&self) -> Vec<Value> {
        self.lock().map_or_else(|_| Vec::new(), |inner| inner.records.values().cloned().collect())
    }

    /// The changes since the table was made, in order, of records and states, without the first `skip`.
    pub fn stream(&self, skip: usize) -> Vec<Image> {
        self.lock().map_or_else(|_| Vec::new(), |inner| inner.stream.iter().skip(skip).cloned().collect())
    }

    /// From now on the indexes do not show the last `writes` writes of states.
    pub fn lag(&self, writes: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.lag = writes;
        }
    }

    /// Has the next `times` writes of states be in conflict, as if somebody else had been faster.
    pub fn conflict(&self, times: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.conflicts = times;
        }
    }

    /// Has the next `times` calls not be answered until their deadline.
    pub fn fail(&self, times: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.failures = times;
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, TableError> {
        self.inner.lock().map_err(|_| TableError::Deadline("poisoned".to_owned()))
    }

    /// The table for a call, unless the call is to fail.
    fn answering(&self) -> Result<MutexGuard<'_, Inner>, TableError> {
        let mut inner = self.lock()?;
        match inner.failures.checked_sub(1) {
            None => Ok(inner),
            Some(left) => {
                inner.failures = left;
                Err(TableError::Deadline("told to fail".to_owned()))
            }
        }
    }

    fn page(
        &self,
        shard: &str,
        key: impl Fn(&AddressState) -> Option<Timestamp>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, TableError> {
        let inner = self.answering()?;
        let lagging = inner.lagging();
        let mut found = Vec::new();
        let addresses = inner.shards.get(shard).into_iter().flatten();
        for (address, state) in addresses.filter_map(|address| inner.states.get_key_value(address)) {
            let shown = match lagging.get(address) {
                Some(before) => before.as_ref(),
                None => Some(state),
            };
            if let Some((shown, at)) = shown.and_then(|shown| Some((shown, key(shown)?))) {
                let cursor = Cursor { at, pk: item::partition_key(address) };
                if after.is_none_or(|after| *after < cursor) {
                    found.push((cursor, shown));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.clone());
        Ok(Page { items: found.into_iter().map(|(_, state)| state.clone()).collect(), unreadable: 0, next })
    }
}

impl Inner {
    /// What the indexes still show of the addresses that were written last.
    fn lagging(&self) -> HashMap<String, Option<AddressState>> {
        let states = self.stream.iter().rev().filter(|image| image.new["sk"] == SORT_KEY);
        let mut shown = HashMap::new();
        for image in states.take(self.lag) {
            let address = image.new["address"].as_str().unwrap_or_default().to_owned();
            let old = image.old.clone().and_then(|old| serde_json::from_value(old).ok());
            shown.insert(address, old);
        }
        shown
    }
}

impl StateTable for MemoryStates {
    async fn get(&self, address: &str, _: Instant) -> Result<Option<AddressState>, TableError> {
        Ok(self.answering()?.states.get(address).cloned())
    }

    async fn put(
        &self,
        item: &AddressState,
        read_version: Option<u64>,
        _: Instant,
    ) -> Result<Put, TableError> {
        self.fuse.effect().await;
        let mut inner = self.answering()?;
        if let Some(left) = inner.conflicts.checked_sub(1) {
            inner.conflicts = left;
            return Ok(Put::Conflict(None));
        }
        let held = inner.states.get(item.address());
        if held == Some(item) {
            return Ok(Put::Done);
        }
        if held.map(AddressState::version) != read_version {
            return Ok(Put::Conflict(held.cloned().map(Box::new)));
        }
        let json = |state: &AddressState| {
            serde_json::to_value(state).map_err(|error| TableError::NotAnItem(error.to_string()))
        };
        let image = Image { old: held.map(json).transpose()?, new: json(item)? };
        inner.stream.push(image);
        inner.shards.entry(item.shard().to_owned()).or_default().insert(item.address().to_owned());
        inner.states.insert(item.address().to_owned(), item.clone());
        Ok(Put::Done)
    }

    async fn history(
        &self,
        address: &str,
        time: &RangeInclusive<Timestamp>,
        limit: usize,
        _: Instant,
    ) -> Result<Vec<FeedbackFact>, TableError> {
        let inner = self.answering()?;
        let pk = item::partition_key(address);
        let (from, to) = feedback_keys(time);
        let newest = inner.records.range((pk.clone(), from)..=(pk, to)).rev().take(limit);
        let says = |record: &&Value| !record["decidable"].is_null() || record["kind"] == "delivery";
        let told = newest.map(|(_, record)| record).filter(says);
        let delivered = inner.records.get(&(item::partition_key(address), delivery::SORT_KEY.to_owned()));
        Ok(told.chain(delivered).map(|record| read_value(record.clone())).filter_map(readable).collect())
    }

    async fn pending(
        &self,
        shard: &str,
        due: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        _: Instant,
    ) -> Result<Page, TableError> {
        self.page(shard, |state| state.due_at().filter(|at| *at <= due), after, limit)
    }

    async fn changed(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        _: Instant,
    ) -> Result<Page, TableError> {
        self.page(shard, |state| Some(state.changed_at()).filter(|at| *at >= since), after, limit)
    }
}

impl LatestDeliveries for MemoryStates {
    async fn keep_latest(&self, deliveries: &[LatestDelivery], _: Instant) -> Vec<NotDurable> {
        let mut not_durable = Vec::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            self.fuse.effect().await;
            let json =
                serde_json::to_value(delivery).map_err(|error| AppendError::NotAnItem(error.to_string()));
            let kept = json.and_then(|new| {
                let mut inner = self.answering().map_err(|error| AppendError::Deadline(error.to_string()))?;
                let key = (delivery.pk.clone(), delivery.sk.to_owned());
                let held = inner.records.get(&key).and_then(|held| held["occurred_at"].as_str());
                if held.and_then(Timestamp::parse) < Some(delivery.occurred_at) {
                    let old = inner.records.insert(key, new.clone());
                    inner.stream.push(Image { old, new });
                }
                Ok(())
            });
            not_durable.extend(kept.err().map(|error| NotDurable { index, error }));
        }
        not_durable
    }
}

impl RecordTable for MemoryStates {
    async fn append<R: Record>(&self, records: &[R], _: Instant) -> Vec<NotDurable> {
        let mut not_durable = Vec::new();
        for (index, record) in records.iter().enumerate() {
            self.fuse.effect().await;
            let json =
                serde_json::to_value(record).map_err(|error| AppendError::NotAnItem(error.to_string()));
            let appended = json.and_then(|new| {
                let mut inner = self.answering().map_err(|error| AppendError::Deadline(error.to_string()))?;
                let (pk, sk) = record.key();
                let old = inner.records.insert((pk.to_owned(), sk.to_owned()), new.clone());
                // Writing the same again is no change of the table.
                if old.as_ref() != Some(&new) {
                    inner.stream.push(Image { old, new });
                }
                Ok(())
            });
            if let Err(error) = appended {
                not_durable.push(NotDurable { index, error });
            }
        }
        not_durable
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, change};
    use super::*;

    #[tokio::test]
    async fn the_table_in_memory_has_the_rules() {
        let (table, deadline) = (MemoryStates::default(), Instant::now());
        let first = AddressState::advance(None, &change("a@example.com", 1), at(1)).unwrap();
        assert_eq!(table.put(&first, None, deadline).await, Ok(Put::Done));
        assert_eq!(table.put(&first, None, deadline).await, Ok(Put::Done));
        let second = AddressState::advance(Some(&first), &change("a@example.com", 2), at(2)).unwrap();
        let held = Ok(Put::Conflict(Some(Box::new(first.clone()))));
        assert_eq!(table.put(&second, None, deadline).await, held);
        assert_eq!(table.put(&second, Some(2), deadline).await, held);
        assert_eq!(table.put(&second, Some(1), deadline).await, Ok(Put::Done));
        assert_eq!(table.get("a@example.com", deadline).await, Ok(Some(second.clone())));
        assert_eq!(table.stream(0).len(), 2);

        let shard = item::shard("a@example.com");
        let shown = async |lag| {
            table.lag(lag);
            table.pending(&shard, at(9), None, 9, deadline).await.unwrap().items
        };
        assert_eq!(shown(0).await, [second]);
        assert_eq!(shown(1).await, [first]);
        assert_eq!(shown(2).await, []);
        table.fail(1);
        assert!(table.get("a@example.com", deadline).await.is_err());
        assert!(table.get("a@example.com", deadline).await.is_ok());
    }

    #[tokio::test]
    async fn pages_hold_each_once_and_in_order() {
        let (table, deadline) = (MemoryStates::default(), Instant::now());
        for n in 0..100 {
            // Two states have the same time.
            let time = at(n / 2);
            let state = AddressState::advance(None, &change(&format!("u{n}@example.com"), 1), time).unwrap();
            table.put(&state, None, deadline).await.unwrap();
        }
        let (mut pending, mut changed) = (0, 0);
        for shard in item::shards() {
            for (count, due) in [(&mut pending, true), (&mut changed, false)] {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = if due {
                        table.pending(&shard, at(20), after.as_ref(), 3, deadline).await.unwrap()
                    } else {
                        table.changed(&shard, at(20), after.as_ref(), 3, deadline).await.unwrap()
                    };
                    seen.extend(page.items.iter().map(AddressState::changed_at));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert!(seen.is_sorted());
                *count += seen.len();
            }
        }
        assert_eq!((pending, changed), (42, 60));
    }

    #[tokio::test]
    async fn a_fuse_lets_so_many_effects_through() {
        let (table, fuse, deadline) = (MemoryStates::default(), Fuse::default(), Instant::now());
        let dying = table.with_fuse(&fuse);
        let invocation = async || {
            for n in 0..3 {
                let state = AddressState::advance(None, &change(&format!("u{n}"), 1), at(1)).unwrap();
                dying.put(&state, None, deadline).await.unwrap();
            }
        };
        fuse.set(2);
        assert_eq!(fuse.run(invocation()).await, None);
        assert_eq!((table.states().len(), fuse.spent()), (2, 2));
        fuse.set(3);
        assert_eq!(fuse.run(invocation()).await, Some(()));
        assert_eq!(table.states().len(), 3);
    }
}
