//! One Region with the shipped suppression functions, wired to doubles of their ports.
//!
//! This is a crate of its own, since it depends on the functions: a change of one of them does not rebuild the doubles. Each
//! function counts by itself.

use std::marker::PhantomData;
use std::time::Duration;

use apply::handler::ApplyFunction;
use decide::handler::DecideFunction;
use doubles::{Fuse, MemoryDeadLetters, MemoryList, MemoryMetrics, MemoryObjects, MemoryPeers, MemoryTable};
use feedback::handler::FeedbackFunction;
use feedback::settings::KindsNotStored;
use mailroom_aws::clock::Timer;
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_core::ownership::StackScope;
use mailroom_core::record::Retention;
use mailroom_core::suppression::policy::SuppressionPolicy;
use mailroom_core::suppression::reconcile::{EmptiedListGuard, MissingEntryPolicy};
use merge::handler::MergeFunction;
use reconcile::handler::ReconcileFunction;

/// The account to which all Regions belong.
pub const ACCOUNT: &str = "123456789012";

/// The template's parameters, as far as tests set them.
#[derive(Debug, Clone)]
pub struct Parameters {
    /// `Peers`, without the Region itself.
    pub peers: Vec<String>,
    /// What decides about suppression.
    pub policy: SuppressionPolicy,
    /// Apply's pace, in calls per second.
    pub requests_per_second: f64,
    /// `TrustOrigin`
    pub trust_origin: bool,
    /// `PutBack`
    pub gone: MissingEntryPolicy,
    /// How much of a list may be gone at once.
    pub guard: EmptiedListGuard,
    /// The time from one pass of reconcile over the list to the next.
    pub pass_every: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            peers: Vec::new(),
            policy: SuppressionPolicy::default(),
            requests_per_second: 1.0,
            trust_origin: false,
            gone: MissingEntryPolicy::AcceptRemoval,
            guard: EmptiedListGuard::default(),
            pass_every: Duration::from_hours(6),
        }
    }
}

impl Parameters {
    /// The defaults of one of several Regions, each of which is the others' peer.
    pub fn of(region: &str, regions: &[&str]) -> Self {
        let peers = regions.iter().filter(|peer| **peer != region).map(|peer| (*peer).to_owned());
        Self { peers: peers.collect(), ..Self::default() }
    }
}

/// The doubles with which a function runs that has ports of many types: with this list and this clock.
pub struct Simulated<L, C>(PhantomData<(L, C)>);

impl<L: SuppressionList, C: Timer> apply::handler::Ports for Simulated<L, C> {
    type Table = MemoryTable;
    type List = L;
    type Objects = MemoryObjects;
    type Clock = C;
    type Metrics = MemoryMetrics;
}

impl<L: SuppressionList, C: Timer> reconcile::handler::Ports for Simulated<L, C> {
    type Table = MemoryTable;
    type List = L;
    type Peers = MemoryPeers;
    type Clock = C;
    type Metrics = MemoryMetrics;
}

/// One Region: what its functions share. Clones are the same Region.
#[derive(Clone)]
pub struct SimulatedRegion<C> {
    /// The Region's name.
    pub name: &'static str,
    /// The stack's parameters.
    pub parameters: Parameters,
    /// The table.
    pub table: MemoryTable,
    /// The suppression list.
    pub list: MemoryList<C>,
    /// The bucket of import jobs.
    pub objects: MemoryObjects,
    /// The queues of all Regions.
    pub queues: MemoryPeers,
    /// The clock of Lambda.
    pub clock: C,
}

impl<C: Timer + Clone> SimulatedRegion<C> {
    /// A Region without anything in it, whose SES goes by another clock.
    pub fn new(
        name: &'static str,
        clock: C,
        ses_clock: C,
        queues: &MemoryPeers,
        parameters: Parameters,
    ) -> Self {
        let objects = MemoryObjects::default();
        Self {
            name,
            parameters,
            table: MemoryTable::default(),
            list: MemoryList::new(ses_clock, &objects),
            objects,
            queues: queues.clone(),
            clock,
        }
    }

    /// The same Region, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self {
            table: self.table.with_fuse(fuse),
            list: self.list.with_fuse(fuse),
            objects: self.objects.with_fuse(fuse),
            queues: self.queues.with_fuse(fuse),
            ..self.clone()
        }
    }

    /// The function `feedback`, which stores everything but deliveries and expects no poison.
    pub fn feedback(&self) -> FeedbackFunction<MemoryTable, MemoryDeadLetters, MemoryMetrics> {
        FeedbackFunction {
            table: self.table.clone(),
            dead_letters: MemoryDeadLetters::refusing(),
            metrics: MemoryMetrics::default(),
            settings: feedback::settings::Settings {
                stack_scope: StackScope {
                    account: ACCOUNT.to_owned(),
                    region: self.name.to_owned(),
                    topic_arn: None,
                },
                retention: Retention::default(),
                kinds_not_stored: KindsNotStored::parse("delivery"),
                stores_deliveries: self.parameters.policy.transient_threshold.is_some(),
            },
        }
    }

    /// The function `merge`, which expects no poison.
    pub fn merge(&self) -> MergeFunction<MemoryTable, MemoryDeadLetters, C, MemoryMetrics> {
        MergeFunction {
            table: self.table.clone(),
            dead_letters: MemoryDeadLetters::refusing(),
            clock: self.clock.clone(),
            metrics: MemoryMetrics::default(),
        }
    }

    /// The function `decide`.
    pub fn decide(&self) -> DecideFunction<MemoryTable, MemoryPeers, C, MemoryMetrics> {
        DecideFunction {
            table: self.table.clone(),
            peers: self.queues.clone(),
            clock: self.clock.clone(),
            metrics: MemoryMetrics::default(),
            settings: decide::settings::Settings {
                region: self.name.to_owned(),
                peers: self.parameters.peers.clone(),
                policy: self.parameters.policy.clone(),
            },
        }
    }

    /// The function `apply`, with this list and this clock.
    pub fn apply<L: SuppressionList, K: Timer>(&self, list: L, clock: K) -> ApplyFunction<Simulated<L, K>> {
        ApplyFunction {
            table: self.table.clone(),
            list,
            objects: self.objects.clone(),
            clock,
            metrics: MemoryMetrics::default(),
            settings: apply::settings::Settings {
                region: self.name.to_owned(),
                bucket: "transit".to_owned(),
                requests_per_second: self.parameters.requests_per_second,
                trust_origin: self.parameters.trust_origin,
            },
        }
    }

    /// The function `reconcile`, with this list.
    pub fn reconcile<L: SuppressionList>(&self, list: L) -> ReconcileFunction<Simulated<L, C>> {
        ReconcileFunction {
            table: self.table.clone(),
            list,
            peers: self.queues.clone(),
            clock: self.clock.clone(),
            metrics: MemoryMetrics::default(),
            settings: reconcile::settings::Settings {
                region: self.name.to_owned(),
                peers: self.parameters.peers.clone(),
                missing_entry_policy: self.parameters.gone,
                emptied_list_guard: self.parameters.guard,
                pass_interval: self.parameters.pass_every,
                policy: self.parameters.policy.clone(),
                call_interval: Duration::from_secs(1),
            },
        }
    }
}
