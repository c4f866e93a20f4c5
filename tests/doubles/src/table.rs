//! The table: records, latest deliveries and states. Its notes, leases and audit items are in modules of their own.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::deliveries::DeliveryTable;
use mailroom_aws::table::history::RecordHistory;
use mailroom_aws::table::record_scan::{RecordKey, RecordPage, RecordScan};
use mailroom_aws::table::records::{AppendFailure, RecordTable};
use mailroom_aws::table::states::{StateCursor, StatePage, StateTable};
use mailroom_aws::table::{PutOutcome, TableError};
use mailroom_core::address::Address;
use mailroom_core::record::TableItem;
use mailroom_core::suppression::address_state::{self, AddressState, STATE_SORT_KEY, StateChange};
use mailroom_core::suppression::delivery::{self, LatestDelivery};
use mailroom_core::suppression::{FeedbackSummary, SuppressionState};
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

use crate::audit::table::AuditItems;
use crate::lease::Leases;
use crate::notes::Notes;
use crate::{Fuse, ItemChange, lock};

/// The number of records that a page of a scan looks at: two are enough to see whether the caller asks for the next page.
const SCANNED_PER_PAGE: usize = 2;

/// The table, with the rules of DynamoDB that a handler can run into: conditions, keys that may be named only once in a
/// call, indexes that lag, a stream.
#[derive(Debug, Clone, Default)]
pub struct MemoryTable {
    pub(crate) inner: Arc<Mutex<Inner>>,
    pub(crate) fuse: Fuse,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) notes: Notes,
    pub(crate) leases: Leases,
    pub(crate) audit: AuditItems,
    states: BTreeMap<String, AddressState>,
    /// The addresses of the states, by the indexes' partitions.
    shards: HashMap<String, BTreeSet<String>>,
    records: BTreeMap<(String, String), Value>,
    stream: Vec<ItemChange>,
    /// How many writes of states the indexes lag behind.
    lag: usize,
    conflicts: usize,
    failures: usize,
    failing_pks: HashSet<String>,
}

impl MemoryTable {
    /// The same table, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// All states, by address.
    pub fn states(&self) -> Vec<AddressState> {
        lock(&self.inner).states.values().cloned().collect()
    }

    /// The state of an address (match form); `None` if there is none.
    pub fn state(&self, address: &str) -> Option<AddressState> {
        lock(&self.inner).states.get(address).cloned()
    }

    /// Joins a change into an address's state, as `merge` does.
    pub fn join(&self, change: &StateChange, now: Timestamp) {
        let mut inner = lock(&self.inner);
        if let Some(next) = AddressState::join_change(inner.states.get(&change.address), change, now) {
            inner.write(&next);
        }
    }

    /// All records and latest deliveries, by key.
    pub fn records(&self) -> Vec<Value> {
        lock(&self.inner).records.values().cloned().collect()
    }

    /// The changes since the table was made, in order, of records and states, without the first `skip`.
    pub fn stream(&self, skip: usize) -> Vec<ItemChange> {
        lock(&self.inner).stream.iter().skip(skip).cloned().collect()
    }

    /// From now on the indexes do not show the last `writes` writes of states.
    pub fn lag(&self, writes: usize) {
        lock(&self.inner).lag = writes;
    }

    /// Has the next `times` writes of states be in conflict, as if somebody else had been faster.
    pub fn conflict(&self, times: usize) {
        lock(&self.inner).conflicts = times;
    }

    /// Has the next `times` calls not be answered until their deadline.
    pub fn fail(&self, times: usize) {
        lock(&self.inner).failures = times;
    }

    /// From now on records and deliveries under these partition keys are not written.
    pub fn fail_keys(&self, pks: &[&str]) {
        lock(&self.inner).failing_pks = pks.iter().map(|pk| (*pk).to_owned()).collect();
    }

    /// The table for a call, unless the call is to fail.
    fn answering(&self) -> Result<MutexGuard<'_, Inner>, TableError> {
        let mut inner = lock(&self.inner);
        match inner.failures.checked_sub(1) {
            None => Ok(inner),
            Some(left) => {
                inner.failures = left;
                Err(TableError::DeadlineExceeded("injected failure".to_owned()))
            }
        }
    }

    /// Changes records, of which the one under `pk` is written.
    async fn write(&self, pk: &str, change: impl FnOnce(&mut Inner)) -> Result<(), TableError> {
        self.fuse.effect().await;
        let mut inner = self.answering()?;
        if inner.failing_pks.contains(pk) {
            return Err(TableError::DeadlineExceeded("injected failure".to_owned()));
        }
        change(&mut inner);
        Ok(())
    }

    fn page(
        &self,
        shard: &str,
        key: impl Fn(&AddressState) -> Option<Timestamp>,
        after: Option<&StateCursor>,
        limit: usize,
    ) -> Result<StatePage, TableError> {
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
                let cursor = StateCursor { at, pk: address_state::partition_key(address) };
                if after.is_none_or(|after| *after < cursor) {
                    found.push((cursor, shown));
                }
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(cursor, _)| cursor.clone());
        Ok(StatePage {
            items: found.into_iter().map(|(_, state)| state.clone()).collect(),
            unreadable_count: 0,
            next_cursor: next,
        })
    }
}

impl Inner {
    fn write(&mut self, state: &AddressState) {
        let json = |state: &AddressState| serde_json::to_value(state).unwrap();
        let old = self.states.insert(state.address().to_owned(), state.clone());
        self.stream.push(ItemChange { old: old.as_ref().map(json), new: json(state) });
        self.shards.entry(state.shard().to_owned()).or_default().insert(state.address().to_owned());
    }

    /// What the indexes still show of the addresses that were written last.
    fn lagging(&self) -> HashMap<String, Option<AddressState>> {
        let states = self.stream.iter().rev().filter(|change| change.new["sk"] == STATE_SORT_KEY);
        let mut shown = HashMap::new();
        for change in states.take(self.lag) {
            let address = change.new["address"].as_str().unwrap_or_default().to_owned();
            shown.insert(address, change.old.clone().and_then(|old| serde_json::from_value(old).ok()));
        }
        shown
    }
}

impl StateTable for MemoryTable {
    async fn get_state(&self, match_form: &str, _: Deadline) -> Result<Option<AddressState>, TableError> {
        Ok(self.answering()?.states.get(match_form).cloned())
    }

    async fn put_state(
        &self,
        state: &AddressState,
        expected_version: Option<u64>,
        _: Deadline,
    ) -> Result<PutOutcome<Option<Box<AddressState>>>, TableError> {
        self.fuse.effect().await;
        let mut inner = self.answering()?;
        if let Some(left) = inner.conflicts.checked_sub(1) {
            inner.conflicts = left;
            return Ok(PutOutcome::Conflict(None));
        }
        let held = inner.states.get(state.address());
        if held == Some(state) {
            return Ok(PutOutcome::Written);
        }
        if held.map(AddressState::version) != expected_version {
            return Ok(PutOutcome::Conflict(held.cloned().map(Box::new)));
        }
        inner.write(state);
        Ok(PutOutcome::Written)
    }

    async fn feedback_and_latest_delivery(
        &self,
        match_form: &str,
        period: &RangeInclusive<Timestamp>,
        max_records_read: usize,
        _: Deadline,
    ) -> Result<Vec<FeedbackSummary>, TableError> {
        let inner = self.answering()?;
        let pk = address_state::partition_key(match_form);
        let key = |sk: String| (pk.clone(), sk);
        let (from, to) = (format!("FEEDBACK#{}#", period.start()), format!("FEEDBACK#{}$", period.end()));
        let newest = inner.records.range(key(from)..=key(to)).rev().take(max_records_read);
        let counts = |record: &&Value| !record["decidable"].is_null() || record["kind"] == "delivery";
        let counted = newest.map(|(_, record)| record).filter(counts);
        let delivered = inner.records.get(&key(delivery::DELIVERY_SORT_KEY.to_owned()));
        let fact = |record: &Value| serde_json::from_value(record.clone()).ok();
        Ok(counted.chain(delivered).filter_map(fact).collect())
    }

    async fn pending_states(
        &self,
        shard: &str,
        due_by: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        _: Deadline,
    ) -> Result<StatePage, TableError> {
        self.page(shard, |state| state.due_at().filter(|at| *at <= due_by), after, limit)
    }

    async fn changed_states(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&StateCursor>,
        limit: usize,
        _: Deadline,
    ) -> Result<StatePage, TableError> {
        self.page(shard, |state| Some(state.last_joined_at()).filter(|at| *at >= since), after, limit)
    }
}

impl DeliveryTable for MemoryTable {
    async fn put_if_latest(&self, deliveries: &[LatestDelivery], _: Deadline) -> Vec<AppendFailure> {
        let mut failures = Vec::new();
        for (index, delivery) in deliveries.iter().enumerate() {
            let new = serde_json::to_value(delivery).unwrap();
            let keep = |inner: &mut Inner| {
                let key = (delivery.pk.clone(), delivery.sk.to_owned());
                let held = inner.records.get(&key).and_then(|held| held["occurred_at"].as_str());
                if held.and_then(Timestamp::parse) < Some(delivery.occurred_at) {
                    let old = inner.records.insert(key, new.clone());
                    inner.stream.push(ItemChange { old, new });
                }
            };
            let kept = self.write(&delivery.pk, keep).await;
            failures.extend(kept.err().map(|error| AppendFailure { index, error }));
        }
        failures
    }
}

impl RecordTable for MemoryTable {
    async fn append<R: TableItem>(&self, records: &[R], _: Deadline) -> Vec<AppendFailure> {
        if records.iter().map(TableItem::key).collect::<HashSet<_>>().len() < records.len() {
            let error = TableError::Refused("Provided list of item keys contains duplicates".to_owned());
            return (0..records.len()).map(|index| AppendFailure { index, error: error.clone() }).collect();
        }
        let mut failures = Vec::new();
        for (index, record) in records.iter().enumerate() {
            let new = serde_json::to_value(record).unwrap();
            let (pk, sk) = record.key();
            let append = |inner: &mut Inner| {
                let old = inner.records.insert((pk.to_owned(), sk.to_owned()), new.clone());
                // Writing the same again is no change of the table.
                if old.as_ref() != Some(&new) {
                    inner.stream.push(ItemChange { old, new });
                }
            };
            let appended = self.write(pk, append).await;
            failures.extend(appended.err().map(|error| AppendFailure { index, error }));
        }
        failures
    }
}

impl RecordScan for MemoryTable {
    async fn decidable_records(
        &self,
        occurred_since: Timestamp,
        after: Option<&RecordKey>,
        _: Deadline,
    ) -> Result<RecordPage, TableError> {
        let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let key = |record: &Value| RecordKey { pk: text(record, "pk"), sk: text(record, "sk") };
        let at = |record: &Value| {
            let at = record["occurred_at"].as_str().or(record["decided_at"].as_str());
            at.and_then(Timestamp::parse)
        };
        let mut records = self.records();
        records.retain(|record| after.is_none_or(|after| *after < key(record)));
        let more = records.len() > SCANNED_PER_PAGE;
        records.truncate(SCANNED_PER_PAGE);
        let mut page =
            RecordPage { next_key: records.last().filter(|_| more).map(key), ..RecordPage::default() };
        records.retain(|record| record["decidable"].is_string() && at(record) >= Some(occurred_since));
        for record in records {
            let read = if text(&record, "sk").starts_with("OPERATOR#") {
                serde_json::from_value(record).map(|decision| page.decisions.push(decision))
            } else {
                serde_json::from_value(record).map(|fact| page.feedback_summaries.push(fact))
            };
            page.unreadable_count += usize::from(read.is_err());
        }
        Ok(page)
    }
}

impl RecordHistory for MemoryTable {
    async fn newest_records(
        &self,
        match_form: &str,
        limit: usize,
        _: Deadline,
    ) -> Result<Vec<Value>, TableError> {
        let pk = address_state::partition_key(match_form);
        let sk = |record: &Value| record["sk"].as_str().unwrap_or_default().to_owned();
        let mut records = self.records();
        records.retain(|record| {
            let sk = sk(record);
            record["pk"] == pk.as_str() && (sk.starts_with("FEEDBACK#") || sk.starts_with("OPERATOR#"))
        });
        // The time follows the prefix, and both prefixes are of one length.
        records.sort_by_cached_key(|record| Reverse(sk(record).split('#').nth(1).map(str::to_owned)));
        records.truncate(limit);
        Ok(records)
    }
}

/// A change of one address, which is seen in this spelling.
pub fn change(spelling: &str, state: SuppressionState) -> StateChange {
    let address = Address::parse(spelling).unwrap().match_form().to_owned();
    StateChange { address, spellings: [spelling].into_iter().collect(), state }
}

#[cfg(test)]
mod tests {
    use mailroom_core::suppression::{Statement, StatementSource, SuppressionReason};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn bounce(address: &str, millis: i64) -> StateChange {
        let said = Statement {
            at: at(millis),
            source: StatementSource::Bounce,
            region: String::new(),
            id: String::new(),
        };
        change(address, SuppressionState::from_reason(SuppressionReason::Bounce, said))
    }

    #[tokio::test]
    async fn writes_are_conditional_and_indexes_lag() {
        let (table, deadline) = (MemoryTable::default(), Deadline::after(std::time::Duration::ZERO));
        let first = AddressState::join_change(None, &bounce("a@example.com", 1), at(1)).unwrap();
        assert_eq!(table.put_state(&first, None, deadline).await, Ok(PutOutcome::Written));
        assert_eq!(table.put_state(&first, None, deadline).await, Ok(PutOutcome::Written));
        let second = AddressState::join_change(Some(&first), &bounce("a@example.com", 2), at(2)).unwrap();
        let held = Ok(PutOutcome::Conflict(Some(Box::new(first.clone()))));
        assert_eq!(table.put_state(&second, None, deadline).await, held);
        assert_eq!(table.put_state(&second, Some(2), deadline).await, held);
        assert_eq!(table.put_state(&second, Some(1), deadline).await, Ok(PutOutcome::Written));
        assert_eq!(table.get_state("a@example.com", deadline).await, Ok(Some(second.clone())));
        assert_eq!(table.stream(0).len(), 2);

        let shard = address_state::shard("a@example.com");
        let shown = async |lag| {
            table.lag(lag);
            table.pending_states(&shard, at(9), None, 9, deadline).await.unwrap().items
        };
        assert_eq!(shown(0).await, [second]);
        assert_eq!(shown(1).await, [first]);
        assert_eq!(shown(2).await, []);
        table.fail(1);
        assert!(table.get_state("a@example.com", deadline).await.is_err());
        assert!(table.get_state("a@example.com", deadline).await.is_ok());
    }

    #[tokio::test]
    async fn pages_hold_each_once_and_in_order() {
        let (table, deadline) = (MemoryTable::default(), Deadline::after(std::time::Duration::ZERO));
        for n in 0..100 {
            // Two states have the same time.
            let time = at(n / 2);
            let state =
                AddressState::join_change(None, &bounce(&format!("u{n}@example.com"), 1), time).unwrap();
            table.put_state(&state, None, deadline).await.unwrap();
        }
        let (mut pending, mut changed) = (0, 0);
        for shard in address_state::all_shards() {
            for (count, due) in [(&mut pending, true), (&mut changed, false)] {
                let (mut seen, mut after) = (Vec::new(), None);
                loop {
                    let page = if due {
                        table.pending_states(&shard, at(20), after.as_ref(), 3, deadline).await.unwrap()
                    } else {
                        table.changed_states(&shard, at(20), after.as_ref(), 3, deadline).await.unwrap()
                    };
                    seen.extend(page.items.iter().map(AddressState::last_joined_at));
                    after = page.next_cursor;
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
        let (table, fuse, deadline) =
            (MemoryTable::default(), Fuse::default(), Deadline::after(std::time::Duration::ZERO));
        let dying = table.with_fuse(&fuse);
        let invocation = async || {
            for n in 0..3 {
                let state =
                    AddressState::join_change(None, &bounce(&format!("u{n}@example.com"), 1), at(1)).unwrap();
                dying.put_state(&state, None, deadline).await.unwrap();
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
