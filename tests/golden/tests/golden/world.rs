//! One Region of today with what 405ee81 left there.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doubles::{Fuse, MemoryClock, MemoryPeers, MemoryTable};
use golden::{items, plain};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::stream::{self, StreamItem};
use mailroom_aws::table::PutOutcome;
use mailroom_aws::table::records::RecordTable;
use mailroom_aws::table::states::StateTable;
use mailroom_core::inbound::ObjectLocation;
use mailroom_core::record::TableItem;
use mailroom_core::suppression::{AddressState, SuppressionReason};
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::{ReconcileRequest, ReconcileRunOutcome};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use simulated_region::{Parameters, SimulatedRegion};

pub(crate) type Region = SimulatedRegion<MemoryClock>;

pub(crate) const HOME: &str = "us-east-1";
pub(crate) const PEER: &str = "eu-west-1";
const BUCKET: &str = "transit";

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

pub(crate) fn within(time: Duration) -> Deadline {
    Deadline::after(time)
}

pub(crate) fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

/// A batch of the table's stream with these items as new.
pub(crate) fn stream_event(items: &[Value], written_at: Timestamp) -> String {
    let record = |item: &Value| {
        json!({"eventName": "INSERT", "dynamodb": {
            "ApproximateCreationDateTime": written_at.seconds(), "SequenceNumber": "1", "NewImage": item,
        }})
    };
    json!({ "Records": items.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// Reads an item as today's functions read it from the table's stream.
pub(crate) fn read<T: DeserializeOwned>(item: &Value) -> T {
    let mut written =
        stream::parse_stream_event(&stream_event(std::slice::from_ref(item), Timestamp::MIN)).unwrap();
    let written: StreamItem = written.remove(0).unwrap();
    written.parse().unwrap_or_else(|error| panic!("{error}: {item}"))
}

/// An item that is in the table as it is.
struct StoredItem {
    item: Value,
    key: (String, String),
}

impl serde::Serialize for StoredItem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.item.serialize(serializer)
    }
}

impl TableItem for StoredItem {
    fn key(&self) -> (&str, &str) {
        (&self.key.0, &self.key.1)
    }
}

/// The name, text and version of a note. The filter's bits are kept as the bytes that are not zero.
pub(crate) fn note(item: &Value) -> (String, Value, u64) {
    assert_eq!(item["pk"]["S"], format!("REGION#{HOME}"));
    let name = item["sk"]["S"].as_str().unwrap().strip_prefix("NOTE#").unwrap().to_owned();
    let content = match item["note"]["S"].as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => expand_filter(&item["note"]["sparse"]),
    };
    (name, content, item["version"]["N"].as_str().unwrap().parse().unwrap())
}

/// The note of a filter with all its bits.
fn expand_filter(sparse: &Value) -> Value {
    let mut content = sparse.clone();
    let length = content["bits"]["length"].as_u64().unwrap();
    let mut bits = vec![0; usize::try_from(length).unwrap()];
    for (place, byte) in content["bits"]["bytes"].as_object().unwrap() {
        bits[place.parse::<usize>().unwrap()] = u8::try_from(byte.as_u64().unwrap()).unwrap();
    }
    content["bits"] = STANDARD.encode(bits).into();
    content
}

/// Writes the notes of an entry, each with its version.
pub(crate) fn restore_notes(table: &MemoryTable, entry: &Value) {
    for item in items(&entry["notes"]) {
        let (name, content, version) = note(item);
        for _ in 0..version {
            table.write_note(&name, &content);
        }
    }
}

/// A Region with nothing in it, whose `apply` makes a call every twenty seconds, so that more than three go by import job.
pub(crate) fn empty_region(now: Timestamp) -> Region {
    let clock = MemoryClock::at(now);
    let parameters = Parameters { requests_per_second: 0.05, ..Parameters::of(HOME, &[HOME, PEER]) };
    SimulatedRegion::new(HOME, clock.clone(), clock, &MemoryPeers::default(), parameters)
}

/// A Region as an entry describes it.
pub(crate) async fn restore_region(entry: &Value) -> Region {
    let region = empty_region(time(&entry["now"]));
    restore_notes(&region.table, entry);
    let deadline = within(Duration::from_secs(1));
    for item in items(&entry["states"]) {
        let state: AddressState = read(item);
        // The double takes a first state of any version.
        assert_eq!(region.table.put_state(&state, None, deadline).await, Ok(PutOutcome::Written));
    }
    for (spelling, reason) in entry["list"].as_object().unwrap() {
        region.list.insert(
            spelling,
            if reason == "BOUNCE" { SuppressionReason::Bounce } else { SuppressionReason::Complaint },
        );
    }
    if let Some(content) = entry["object"].as_str() {
        let key = job_intent(&region)["key"].as_str().unwrap().to_owned();
        let location = ObjectLocation { bucket: BUCKET.to_owned(), key };
        region.objects.put(&location, content.as_bytes().to_vec()).await.unwrap();
    }
    if entry["records"].is_array() {
        let stored = |item: &Value| {
            let item = plain(item);
            let key = ["pk", "sk"].map(|name| item[name].as_str().unwrap().to_owned());
            StoredItem { item, key: key.into() }
        };
        let records: Vec<_> = items(&entry["records"]).iter().map(stored).collect();
        assert!(region.table.append(&records, deadline).await.is_empty());
    }
    region
}

pub(crate) fn note_content(region: &Region, name: &str) -> Value {
    region.table.note::<Value>(name).map_or(Value::Null, |note| note.value)
}

/// The import job's intent.
pub(crate) fn job_intent(region: &Region) -> Value {
    note_content(region, "import-job")["intent"].clone()
}

pub(crate) fn object_url(key: &str) -> String {
    format!("s3://{BUCKET}/{key}")
}

pub(crate) fn effective_reasons(region: &Region) -> BTreeMap<String, Option<SuppressionReason>> {
    region.table.states().iter().map(|state| (state.address().to_owned(), state.effective_reason())).collect()
}

/// Runs `decide`, which has to understand every record.
pub(crate) async fn run_decide(region: &Region, payload: &str) {
    let decide = region.decide();
    decide.handle(payload, within(Duration::from_mins(1))).await.unwrap();
    assert_eq!(decide.metrics.get("RecordsUnreadable"), 0, "{payload}");
}

pub(crate) async fn run_apply(region: &Region) {
    run_apply_until(region, usize::MAX).await;
}

/// Runs `apply`, which is killed after so many effects.
pub(crate) async fn run_apply_until(region: &Region, effects: usize) {
    let fuse = Fuse::default();
    fuse.set(effects);
    let region = region.with_fuse(&fuse);
    let apply = region.apply(region.list.clone(), region.clock.clone());
    let deadline = within(Duration::from_mins(10));
    if let Some(ended) = fuse.run(apply.handle("{}", "an invocation", deadline)).await {
        ended.unwrap();
    }
}

pub(crate) async fn run_reconcile(region: &Region) -> ReconcileRunOutcome {
    run_reconcile_until(region, usize::MAX).await.unwrap()
}

/// Runs `reconcile`, which is killed after so many effects.
pub(crate) async fn run_reconcile_until(region: &Region, effects: usize) -> Option<ReconcileRunOutcome> {
    let fuse = Fuse::default();
    fuse.set(effects);
    let region = region.with_fuse(&fuse);
    let reconcile = region.reconcile(region.list.clone());
    let wake = ReconcileRequest { start_pass: false, full_push: false, start_look_back: false };
    let deadline = within(Duration::from_mins(4));
    fuse.run(reconcile.handle_request(wake, "an invocation", deadline)).await.map(Result::unwrap)
}
