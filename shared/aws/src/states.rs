//! Addresses' suppression states in the table, and the records that a decision looks back on.
//!
//! Two sparse indexes, each of which projects ALL (a state is small, and whoever reads a page needs the whole of it):
//!
//! | index | partition key | sort key |
//! |---|---|---|
//! | `pending` | `pending` | `due_at` |
//! | `states` | `shard` | `changed_at` |
//!
//! An index lags behind the table: who acts on a page reads the address again, consistently, before it writes.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use mailroom_core::record::Record;
use mailroom_core::suppression::item::{self, AddressState, SORT_KEY};
use mailroom_core::suppression::policy::Told;
use mailroom_core::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tracing::error;

use crate::dynamo::{Failure, retried, told};
use crate::fuse::Fuse;
use crate::records::{AppendError, NotDurable, RecordTable};

/// Reads and writes states. Each method returns by `deadline`.
pub trait StateTable {
    /// The state of an address (match form), as the last write left it.
    ///
    /// # Errors
    /// See [`TableError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn get(&self, address: &str, deadline: Instant) -> Result<Option<AddressState>, TableError>;

    /// Writes a state, on condition that the table still holds the version that was read (`None`: no state). Writing what
    /// the table holds already is done, not in conflict: an earlier attempt's answer was lost.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn put(
        &self,
        item: &AddressState,
        read_version: Option<u64>,
        deadline: Instant,
    ) -> Result<Put, TableError>;

    /// What an address's feedback tells the policy: of the newest `limit` records of that time, those that it can read
    /// something from, newest first.
    ///
    /// # Errors
    /// See [`TableError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn history(
        &self,
        address: &str,
        time: &RangeInclusive<Timestamp>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Told>, TableError>;

    /// What is pending in a [shard](item::shards) and due by then, the longest due first.
    ///
    /// # Errors
    /// See [`TableError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn pending(
        &self,
        shard: &str,
        due: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, TableError>;

    /// What has changed in a [shard](item::shards) since then (that moment included), in the order of change. What was
    /// written just now may be missing still, also from among what is returned: whoever keeps a watermark overlaps.
    ///
    /// # Errors
    /// See [`TableError`].
    #[expect(async_fn_in_trait, reason = "called through generics by functions that run on one thread")]
    async fn changed(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, TableError>;
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is durable.
    Done,
    /// The table holds another version than was read: read again.
    Conflict,
}

/// States, as an index holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In the index's order.
    pub items: Vec<AddressState>,
    /// How many there were besides that could not be read. They are in the log.
    pub unreadable: usize,
    /// Where to go on; `None` after the last page. A page may be empty and not the last.
    pub next: Option<Cursor>,
}

/// The last state of a page, as its index orders it. To be kept in JSON between invocations, if need be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    at: Timestamp,
    pk: String,
}

/// Why the table did not do as asked. Names no key: it holds an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// Throttled, failed or unanswered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    Deadline(String),
    /// Refused in a way that this invocation can't mend, such as a missing permission. A retry can help once it is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// It can't be put as a DynamoDB item, or is none that this version can read. No retry can help.
    #[error("not an item: {0}")]
    NotAnItem(String),
}

impl<E: aws_sdk_dynamodb::error::ProvideErrorMetadata> From<Failure<E>> for TableError {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Deadline(trouble) => Self::Deadline(trouble),
            Failure::Refused(error) => Self::Refused(told(&error)),
        }
    }
}

/// One of the two indexes.
#[derive(Debug, Clone, Copy)]
enum Index {
    Pending,
    States,
}

impl Index {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::States => "states",
        }
    }

    fn partition_key(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::States => "shard",
        }
    }

    fn sort_key(self) -> &'static str {
        match self {
            Self::Pending => "due_at",
            Self::States => "changed_at",
        }
    }

    /// By which times a page is bounded.
    fn bound(self) -> &'static str {
        match self {
            Self::Pending => "#shard = :shard AND #at <= :bound",
            Self::States => "#shard = :shard AND #at >= :bound",
        }
    }
}

/// DynamoDB's table.
pub struct DynamoStates {
    pub(crate) client: Client,
    pub(crate) table: String,
}

type Item = HashMap<String, AttributeValue>;

impl DynamoStates {
    /// A table in the configuration's own Region.
    pub fn new(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into() }
    }

    async fn page(
        &self,
        index: Index,
        shard: &str,
        bound: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, TableError> {
        let start = after.map(|cursor| {
            HashMap::from([
                ("pk".to_owned(), text(&cursor.pk)),
                ("sk".to_owned(), text(SORT_KEY)),
                (index.partition_key().to_owned(), text(shard)),
                (index.sort_key().to_owned(), text(&cursor.at)),
            ])
        });
        let query = || {
            let query = self.client.query().table_name(&self.table).index_name(index.name());
            query
                .key_condition_expression(index.bound())
                .expression_attribute_names("#shard", index.partition_key())
                .expression_attribute_names("#at", index.sort_key())
                .expression_attribute_values(":shard", text(shard))
                .expression_attribute_values(":bound", text(&bound))
                .set_exclusive_start_key(start.clone())
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .send()
        };
        let output = retried(deadline, query).await?;
        let next = output.last_evaluated_key.map(|key| cursor(&key, index)).transpose()?;
        let mut page = Page { next, ..Page::default() };
        for found in output.items.unwrap_or_default() {
            match read(found) {
                Ok(state) => page.items.push(state),
                Err(why) => {
                    page.unreadable += 1;
                    error!(index = index.name(), shard, "a state is left out: {why}");
                }
            }
        }
        Ok(page)
    }
}

fn text(value: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn read<T: DeserializeOwned>(item: Item) -> Result<T, TableError> {
    serde_dynamo::from_item(item).map_err(|error| TableError::NotAnItem(error.to_string()))
}

fn cursor(key: &Item, index: Index) -> Result<Cursor, TableError> {
    let text = |name: &str| key.get(name).and_then(|value| value.as_s().ok());
    let at = text(index.sort_key()).and_then(|at| Timestamp::parse(at));
    let cursor = at.zip(text("pk")).map(|(at, pk)| Cursor { at, pk: pk.clone() });
    cursor.ok_or_else(|| TableError::NotAnItem("key of a page's end".to_owned()))
}

impl StateTable for DynamoStates {
    async fn get(&self, address: &str, deadline: Instant) -> Result<Option<AddressState>, TableError> {
        let get = || {
            let get = self.client.get_item().table_name(&self.table).consistent_read(true);
            get.key("pk", text(&item::partition_key(address))).key("sk", text(SORT_KEY)).send()
        };
        retried(deadline, get).await?.item.map(read).transpose()
    }

    async fn put(
        &self,
        item: &AddressState,
        read_version: Option<u64>,
        deadline: Instant,
    ) -> Result<Put, TableError> {
        let mut new: Item =
            serde_dynamo::to_item(item).map_err(|error| TableError::NotAnItem(error.to_string()))?;
        new.retain(|_, value| !value.is_null());
        let put = || {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(new.clone()));
            let put =
                put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match read_version {
                None => put.condition_expression("attribute_not_exists(pk)"),
                Some(version) => put
                    .condition_expression("#version = :read")
                    .expression_attribute_names("#version", "version")
                    .expression_attribute_values(":read", AttributeValue::N(version.to_string())),
            }
            .send()
        };
        match retried(deadline, put).await {
            Ok(_) => Ok(Put::Done),
            Err(Failure::Refused(error)) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let ours = failed.item() == Some(&new);
                    Ok(if ours { Put::Done } else { Put::Conflict })
                }
                _ => Err(TableError::Refused(told(&error))),
            },
            Err(failure) => Err(failure.into()),
        }
    }

    async fn history(
        &self,
        address: &str,
        time: &RangeInclusive<Timestamp>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Vec<Told>, TableError> {
        let (mut told, mut left) = (Vec::new(), limit);
        let mut start = None;
        let (from, to) = feedback_keys(time);
        while left > 0 {
            let query = || {
                let query = self.client.query().table_name(&self.table).consistent_read(true);
                query
                    .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
                    // Opens and clicks, where they are stored, say nothing and would be most of what is carried.
                    .filter_expression("attribute_exists(#decidable) OR #kind = :delivery")
                    .expression_attribute_names("#pk", "pk")
                    .expression_attribute_names("#sk", "sk")
                    .expression_attribute_names("#decidable", "decidable")
                    .expression_attribute_names("#kind", "kind")
                    .expression_attribute_values(":pk", text(&item::partition_key(address)))
                    .expression_attribute_values(":from", text(&from))
                    .expression_attribute_values(":to", text(&to))
                    .expression_attribute_values(":delivery", text("delivery"))
                    .scan_index_forward(false)
                    .limit(i32::try_from(left).unwrap_or(i32::MAX))
                    .set_exclusive_start_key(start.clone())
                    .send()
            };
            let output = retried(deadline, query).await?;
            told.extend(output.items.unwrap_or_default().into_iter().filter_map(|item| readable(read(item))));
            start = output.last_evaluated_key;
            if start.is_none() {
                break;
            }
            left = left.saturating_sub(usize::try_from(output.scanned_count).unwrap_or(0).max(1));
        }
        Ok(told)
    }

    async fn pending(
        &self,
        shard: &str,
        due: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, TableError> {
        self.page(Index::Pending, shard, due, after, limit, deadline).await
    }

    async fn changed(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        deadline: Instant,
    ) -> Result<Page, TableError> {
        self.page(Index::States, shard, since, after, limit, deadline).await
    }
}

/// The sort keys between which the feedback of that time lies: `$` comes right after the `#` that ends a key's time.
fn feedback_keys(time: &RangeInclusive<Timestamp>) -> (String, String) {
    (format!("FEEDBACK#{}#", time.start()), format!("FEEDBACK#{}$", time.end()))
}

/// A record of the past that can't be read counts for nothing; to fail for it would keep the address from every decision.
fn readable(told: Result<Told, TableError>) -> Option<Told> {
    told.inspect_err(|why| error!("a record is left out of an address's history: {why}")).ok()
}

/// The table in memory, with DynamoDB's rules that a handler can run into: conditions, indexes that lag, a stream; and
/// trouble on demand. Clones are one table. It takes records too, so that what one function appends another reads.
#[derive(Debug, Clone, Default)]
pub struct MemoryStates {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<String, AddressState>,
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
    /// Before.
    pub old: Option<Value>,
    /// After.
    pub new: Value,
}

impl MemoryStates {
    /// The same table, by way of a function that may die.
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

    /// What has changed since the table was made, in order, records and states, without the first so many.
    pub fn stream(&self, skip: usize) -> Vec<Image> {
        self.lock().map_or_else(|_| Vec::new(), |inner| inner.stream.iter().skip(skip).cloned().collect())
    }

    /// From now on the indexes do not show the last `writes` of states.
    pub fn lag(&self, writes: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.lag = writes;
        }
    }

    /// The next writes of states are in conflict, as if somebody else had been faster.
    pub fn conflict(&self, times: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.conflicts = times;
        }
    }

    /// The next calls are not answered until their deadline.
    pub fn fail(&self, times: usize) {
        if let Ok(mut inner) = self.lock() {
            inner.failures = times;
        }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, TableError> {
        self.inner.lock().map_err(|_| TableError::Deadline("poisoned".to_owned()))
    }

    /// For a call, unless it is to fail.
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
        key: impl Fn(&AddressState) -> Option<Timestamp>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, TableError> {
        let inner = self.answering()?;
        let lagging = inner.lagging();
        let mut found = Vec::new();
        for (address, state) in &inner.states {
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
    /// What the indexes show of the addresses that were written last.
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
            return Ok(Put::Conflict);
        }
        let held = inner.states.get(item.address());
        if held == Some(item) {
            return Ok(Put::Done);
        }
        if held.map(AddressState::version) != read_version {
            return Ok(Put::Conflict);
        }
        let json = |state: &AddressState| {
            serde_json::to_value(state).map_err(|error| TableError::NotAnItem(error.to_string()))
        };
        let image = Image { old: held.map(json).transpose()?, new: json(item)? };
        inner.stream.push(image);
        inner.states.insert(item.address().to_owned(), item.clone());
        Ok(Put::Done)
    }

    async fn history(
        &self,
        address: &str,
        time: &RangeInclusive<Timestamp>,
        limit: usize,
        _: Instant,
    ) -> Result<Vec<Told>, TableError> {
        let inner = self.answering()?;
        let pk = item::partition_key(address);
        let (from, to) = feedback_keys(time);
        let newest = inner.records.range((pk.clone(), from)..=(pk, to)).rev().take(limit);
        let says = |record: &&Value| !record["decidable"].is_null() || record["kind"] == "delivery";
        let told = newest.map(|(_, record)| record).filter(says).map(|record| {
            serde_json::from_value(record.clone()).map_err(|error| TableError::NotAnItem(error.to_string()))
        });
        Ok(told.filter_map(readable).collect())
    }

    async fn pending(
        &self,
        shard: &str,
        due: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        _: Instant,
    ) -> Result<Page, TableError> {
        let key = |state: &AddressState| state.due_at().filter(|at| *at <= due && state.shard() == shard);
        self.page(key, after, limit)
    }

    async fn changed(
        &self,
        shard: &str,
        since: Timestamp,
        after: Option<&Cursor>,
        limit: usize,
        _: Instant,
    ) -> Result<Page, TableError> {
        let key = |state: &AddressState| {
            Some(state.changed_at()).filter(|at| *at >= since && state.shard() == shard)
        };
        self.page(key, after, limit)
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
                // Writing the same again is no change.
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
    use mailroom_core::suppression::item::Change;
    use mailroom_core::suppression::{Reason, Said, Source, SuppressionState};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    fn change(address: &str, millis: i64) -> Change {
        let said = Said { at: at(millis), source: Source::Bounce, region: String::new(), id: String::new() };
        Change {
            address: address.to_owned(),
            spellings: [address].into_iter().collect(),
            state: SuppressionState::suppressed(Reason::Bounce, said),
            decision: None,
        }
    }

    /// That an item is read back is up to the mapping, which takes more care of types than JSON does.
    #[test]
    fn an_item_of_dynamodb_is_read_back() {
        let first = AddressState::advance(None, &change("a@example.com", 1), at(1)).unwrap();
        let state = first.attempted(
            1,
            mailroom_core::suppression::item::Attempt::Failed { why: "x".to_owned(), may_pass: true },
            at(2),
        );
        let item: Item = serde_dynamo::to_item(&state).unwrap();
        assert_eq!(item["version"], AttributeValue::N("2".to_owned()));
        assert_eq!(item["pending"], AttributeValue::S(item::shard("a@example.com")));
        assert_eq!(item["due_at"].as_s().map(String::as_str), Ok("1970-01-01T00:01:00.002Z"));
        assert!(item.values().all(|value| !value.is_null()));
        assert_eq!(read::<AddressState>(item).unwrap(), state);
    }

    #[test]
    fn where_a_page_ends() {
        for index in [Index::Pending, Index::States] {
            let key = [("pk", "ADDR#a"), ("sk", SORT_KEY), (index.partition_key(), "03")];
            let key = key.into_iter().chain([(index.sort_key(), "1970-01-01T00:00:00.001Z")]);
            let key: Item = key.map(|(name, value)| (name.to_owned(), text(value))).collect();
            assert_eq!(cursor(&key, index), Ok(Cursor { at: at(1), pk: "ADDR#a".to_owned() }));
        }
        assert!(cursor(&Item::new(), Index::States).is_err());
    }

    #[tokio::test]
    async fn the_table_in_memory_has_the_rules() {
        let (table, deadline) = (MemoryStates::default(), Instant::now());
        let first = AddressState::advance(None, &change("a@example.com", 1), at(1)).unwrap();
        assert_eq!(table.put(&first, None, deadline).await, Ok(Put::Done));
        assert_eq!(table.put(&first, None, deadline).await, Ok(Put::Done));
        let second = AddressState::advance(Some(&first), &change("a@example.com", 2), at(2)).unwrap();
        assert_eq!(table.put(&second, None, deadline).await, Ok(Put::Conflict));
        assert_eq!(table.put(&second, Some(2), deadline).await, Ok(Put::Conflict));
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
            // Two at a time of one moment.
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
