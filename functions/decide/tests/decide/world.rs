//! Regions with tables, streams and queues in memory.

use std::cell::RefCell;
use std::time::Duration;

use decide::handler::{DecideError, DecideFunction};
use doubles::{
    EventKind, Fuse, ItemChange, MailEvent, MemoryClock, MemoryDeadLetters, MemoryMetrics, MemoryPeers,
    MemoryTable, Vocabulary, failed_ids, sqs_event, stream_event,
};
use feedback::handler::FeedbackFunction;
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::address::Address;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::{SuppressionPolicy, TransientThreshold};
use mailroom_core::suppression::{AddressState, SuppressionReason};
use mailroom_core::timestamp::Timestamp;
use merge::handler::MergeFunction;
use serde_json::Value;
use simulated_region::{ACCOUNT, Parameters, SimulatedRegion};

const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];

pub(crate) type Deciding = DecideFunction<MemoryTable, MemoryPeers, MemoryClock, MemoryMetrics>;

/// One Region of Mailroom.
pub(crate) struct Region {
    pub(crate) name: &'static str,
    pub(crate) table: MemoryTable,
    pub(crate) clock: MemoryClock,
    /// Blows in the middle of decide, or of merge.
    pub(crate) fuse: Fuse,
    pub(crate) decide: Deciding,
    pub(crate) merge: MergeFunction<MemoryTable, MemoryDeadLetters, MemoryClock, MemoryMetrics>,
    feedback: FeedbackFunction<MemoryTable, MemoryDeadLetters, MemoryMetrics>,
    /// The table's stream so far, with the times that it tells.
    changes: RefCell<Vec<(ItemChange, Timestamp)>>,
}

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

/// Three Regions, each the others' peer, on 1 February 2026.
pub(crate) fn world() -> (Vec<Region>, MemoryPeers) {
    let peers = MemoryPeers::default();
    (REGIONS.iter().map(|name| region(name, &peers)).collect(), peers)
}

fn region(name: &'static str, peers: &MemoryPeers) -> Region {
    let clock = MemoryClock::at(at("2026-02-01T00:00:00Z"));
    let policy = SuppressionPolicy {
        transient_threshold: Some(TransientThreshold::default()),
        ..SuppressionPolicy::default()
    };
    let parameters = Parameters { policy, ..Parameters::of(name, &REGIONS) };
    let region = SimulatedRegion::new(name, clock.clone(), clock.clone(), peers, parameters);
    let fuse = Fuse::default();
    let fused = region.with_fuse(&fuse);
    Region {
        name,
        decide: fused.decide(),
        merge: fused.merge(),
        feedback: region.feedback(),
        table: region.table,
        clock,
        fuse,
        changes: RefCell::default(),
    }
}

/// An event of one mail to one address.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) to: String,
    pub(crate) id: String,
    pub(crate) occurred_at: Timestamp,
    /// In identity notifications' vocabulary, not in event publishing's.
    pub(crate) identity: bool,
}

impl Event {
    pub(crate) fn new(kind: EventKind, to: &str, id: &str, occurred_at: Timestamp) -> Self {
        Self { kind, to: to.to_owned(), id: id.to_owned(), occurred_at, identity: false }
    }

    fn notification(&self, region: &str) -> String {
        let Self { kind, to, id, occurred_at, identity } = self;
        // Long before any event.
        let sent_at = at("2026-01-01T00:00:00Z");
        let (kind, occurred_at, to) = (*kind, *occurred_at, &[to.as_str()][..]);
        let event =
            MailEvent { kind, to, destination: to, id, sent_at, occurred_at, account: ACCOUNT, region };
        let vocabulary = if *identity { Vocabulary::Identity } else { Vocabulary::Publishing };
        event.messages(vocabulary).remove(0)
    }
}

impl Region {
    /// SES says something, and it becomes a record.
    pub(crate) async fn happens(&self, event: &Event) {
        self.feedback.handle(&event.notification(self.name), deadline()).await.unwrap();
        self.stamp();
    }

    /// An operator decides.
    pub(crate) async fn decides(&self, address: &str, suppress: Option<SuppressionReason>, nonce: &str) {
        let address = Address::parse(address).unwrap();
        let known = self.state(address.match_form()).map(|state| state.state().clone()).unwrap_or_default();
        let now = self.clock.now();
        let decision = OperatorDecision::new(&address, suppress, "ops", "why", now, &known, nonce);
        assert!(self.table.append(&[decision], deadline()).await.is_empty());
        self.stamp();
    }

    fn stamp(&self) {
        let mut changes = self.changes.borrow_mut();
        let new = self.table.stream(changes.len());
        changes.extend(new.into_iter().map(|image| (image, self.clock.now())));
    }

    /// The changes of the table so far.
    pub(crate) fn changes(&self) -> Vec<(ItemChange, Timestamp)> {
        self.stamp();
        self.changes.borrow().clone()
    }

    /// Some of them, as the stream brings them.
    pub(crate) fn batch(&self, changes: &[(ItemChange, Timestamp)]) -> Value {
        stream_event(changes.iter().map(|(image, created_at)| (image, *created_at)), self.name)
    }

    /// The stream brings everything once (more).
    pub(crate) async fn decide_all(&self) -> Result<(), DecideError> {
        self.decide.handle(&self.batch(&self.changes()).to_string(), deadline()).await
    }

    /// The state of an address.
    pub(crate) fn state(&self, address: &str) -> Option<AddressState> {
        self.table.state(address)
    }

    /// What is in force for an address.
    pub(crate) fn effective(&self, address: &str) -> Option<SuppressionReason> {
        self.state(address)?.effective_reason()
    }

    /// Messages as the queue brings them; the ids of those that come back.
    pub(crate) async fn merge(&self, bodies: &[String]) -> Vec<String> {
        let event = sqs_event(bodies.iter().enumerate());
        failed_ids(self.merge.handle(&event.to_string(), deadline()).await.unwrap())
    }
}
