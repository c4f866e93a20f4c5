//! Two Regions with their ports in memory, and the shipped functions that work together there.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use apply::handler::ApplyFunction;
use doubles::{Fuse, MemoryClock, MemoryList, MemoryMetrics, MemoryPeers, change, failed_ids, sqs_event};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::PutOutcome;
use mailroom_aws::table::states::StateTable;
use mailroom_core::suppression::policy::{SuppressionPolicy, TransientThreshold};
use mailroom_core::suppression::{
    AddressState, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use merge::handler::MergeFunction;
use reconcile::handler::{
    PassCounts, PassOutcome, PushCounts, ReconcileError, ReconcileFunction, ReconcileRequest,
    ReconcileRunOutcome,
};
use simulated_region::{Parameters, Simulated, SimulatedRegion};

pub(crate) type Function = ReconcileFunction<Simulated<MemoryList<MemoryClock>, MemoryClock>>;

pub(crate) const HOME: &str = "us-east-1";
pub(crate) const PEER: &str = "eu-west-1";
pub(crate) const WAKE: ReconcileRequest =
    ReconcileRequest { start_pass: false, full_push: false, start_look_back: false };
/// Longer than an invocation, so that whoever died at it holds nothing, and than what counts as moving.
pub(crate) const A_WHILE: Duration = Duration::from_mins(20);
/// How long the template lets them run.
pub(crate) const RECONCILE: Duration = Duration::from_mins(4);
const APPLY: Duration = Duration::from_mins(2);
/// Messages in a batch of `MergeMapping`.
const BATCH: usize = 10;

/// A Region and its functions.
pub(crate) struct Region {
    /// What the functions share.
    pub(crate) shared: SimulatedRegion<MemoryClock>,
    metrics: MemoryMetrics,
}

impl Deref for Region {
    type Target = SimulatedRegion<MemoryClock>;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

pub(crate) fn regions() -> (Region, Region) {
    let clock = MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap());
    let queues = MemoryPeers::default();
    let region = |name| {
        let parameters = Parameters {
            pass_every: Duration::from_mins(10),
            policy: SuppressionPolicy {
                transient_threshold: Some(TransientThreshold::default()),
                ..SuppressionPolicy::default()
            },
            ..Parameters::of(name, &[HOME, PEER])
        };
        let shared = SimulatedRegion::new(name, clock.clone(), clock.clone(), &queues, parameters);
        Region { shared, metrics: MemoryMetrics::default() }
    };
    (region(HOME), region(PEER))
}

impl Region {
    pub(crate) fn function(&self, fuse: &Fuse) -> Function {
        let function = self.with_fuse(fuse).reconcile(self.list.with_fuse(fuse));
        ReconcileFunction { metrics: self.metrics.clone(), ..function }
    }

    pub(crate) async fn wake(
        &self,
        wake: ReconcileRequest,
        seconds: u64,
    ) -> Result<ReconcileRunOutcome, ReconcileError> {
        let deadline = Deadline::after(Duration::from_secs(seconds));
        self.function(&Fuse::default()).handle_request(wake, "an invocation", deadline).await
    }

    /// What a function in this Region has counted so far under a name by which the template's alarms know it.
    pub(crate) fn counted(&self, metric: &str) -> usize {
        self.metrics.get(metric)
    }

    /// Wakes it later, in time for a whole pass.
    pub(crate) async fn pass(&self) -> (PushCounts, PassOutcome) {
        self.clock.advance(A_WHILE);
        match self.wake(WAKE, RECONCILE.as_secs()).await.unwrap() {
            ReconcileRunOutcome::Completed { push_counts: pushed, pass_outcome: passed, .. } => {
                (pushed, passed)
            }
            ReconcileRunOutcome::Busy => panic!("held"),
        }
    }

    pub(crate) async fn counts(&self) -> PassCounts {
        match self.pass().await.1 {
            PassOutcome::Ended(counts) => counts,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&self, address: &str) -> Option<AddressState> {
        self.table.state(address)
    }

    pub(crate) async fn write(&self, next: AddressState, read: Option<u64>) {
        assert_eq!(
            self.table.put_state(&next, read, Deadline::after(RECONCILE)).await,
            Ok(PutOutcome::Written)
        );
    }

    fn say(&self, spelling: &str, state: impl FnOnce(Statement) -> SuppressionState) {
        let said = Statement {
            at: self.clock.now(),
            source: StatementSource::Operator,
            region: self.name.to_owned(),
            id: "OPERATOR#".to_owned(),
        };
        self.table.join(&change(spelling, state(said)), self.clock.now());
    }

    pub(crate) fn suppress(&self, spelling: &str, reason: SuppressionReason) {
        self.say(spelling, |said| SuppressionState::from_reason(reason, said));
    }

    /// Suppresses so many: `user0@example.com` and so on.
    pub(crate) fn suppress_users(&self, count: usize) {
        for n in 0..count {
            self.suppress(&format!("user{n}@example.com"), SuppressionReason::Bounce);
        }
    }

    pub(crate) fn release(&self, spelling: &str) {
        self.say(spelling, SuppressionState::from_release);
    }

    /// Wakes merge with all that its queue holds; how many messages that was.
    pub(crate) async fn merge(&self) -> usize {
        let messages = self.queues.receive(self.name);
        let function = MergeFunction { metrics: self.metrics.clone(), ..self.shared.merge() };
        for batch in messages.chunks(BATCH) {
            let payload = sqs_event(batch.iter().enumerate()).to_string();
            let response = function.handle(&payload, Deadline::after(Duration::from_secs(30))).await.unwrap();
            assert_eq!(failed_ids(response), [""; 0]);
        }
        messages.len()
    }

    /// Wakes apply once; it is given this long.
    pub(crate) async fn wake_apply(&self, time: Duration) {
        let function = self.shared.apply(self.list.clone(), self.clock.clone());
        let function = ApplyFunction { metrics: self.metrics.clone(), ..function };
        function.handle("{}", "a run", Deadline::after(time)).await.unwrap();
    }

    /// Wakes apply each minute until all is done that is due, but for what waits for something else.
    pub(crate) async fn apply(&self) {
        for _ in 0..10 {
            self.wake_apply(APPLY).await;
            let now = self.clock.now();
            let is_due = |state: &AddressState| {
                state.assigned_job().is_some() || state.due_at().is_some_and(|due_at| due_at <= now)
            };
            if !self.table.states().iter().any(is_due) {
                return;
            }
            self.clock.advance(Duration::from_mins(1));
        }
    }

    pub(crate) fn listed(&self) -> BTreeMap<String, SuppressionReason> {
        self.list.entries()
    }

    pub(crate) fn effective(&self) -> BTreeMap<String, Option<SuppressionReason>> {
        self.table
            .states()
            .iter()
            .map(|state| (state.address().to_owned(), state.effective_reason()))
            .collect()
    }
}

/// All functions of both Regions, often enough to be done.
pub(crate) async fn settle(home: &Region, peer: &Region) {
    for _ in 0..3 {
        for region in [home, peer] {
            region.pass().await;
            region.apply().await;
        }
        for region in [home, peer] {
            region.merge().await;
            region.apply().await;
        }
    }
}

pub(crate) fn entries<const N: usize>(
    entries: [(&str, SuppressionReason); N],
) -> BTreeMap<String, SuppressionReason> {
    entries.into_iter().map(|(spelling, reason)| (spelling.to_owned(), reason)).collect()
}
