//! A Region with a long list and a Region with none: what it takes until both lists are equal.
//!
//! Mappings, schedules and the functions' timeouts are the template's. Time goes by only with what SES does and with the
//! waits between invocations; the table and the queues answer at once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use doubles::{Fuse, MemoryPeers};
use fastrand::Rng;
use mailroom_core::suppression::{AddressState, SuppressionReason};
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::ReconcileRequest;
use simulated_region::Parameters;

use crate::law::{Broken, broken};
use crate::region::{Ended, Region};
use crate::storm::{Cost, START};
use crate::tasks::{Tasks, Turn};
use crate::time::Time;

/// The Region with the list, and the one with none.
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
const SECOND: Duration = Duration::from_secs(1);
/// `MergeMapping`: the messages of a batch, and the number of batches at a time.
const MERGE: (usize, usize) = (10, 5);
/// `ApplySchedule` and `ReconcileSchedule`: the period, and the second within it, both in seconds. Nobody knows which
/// second it will be; this is one.
const APPLY: (usize, usize) = (60, 37);
const RECONCILE: (usize, usize) = (300, 90);
/// The seconds between two looks at the lists.
const LOOK_EVERY: usize = 15;
/// The seconds after which both lists must be equal, whatever it cost.
const MAX_SECONDS: usize = 3600;

struct Run {
    time: Time,
    rng: Rng,
    peers: MemoryPeers,
    regions: [Region; 2],
    tasks: Tasks<Ended>,
}

/// Lets two Regions whose functions have never run come to the same list, which at first only one of them has. Returns what
/// that cost each.
///
/// # Errors
/// Something was lost, or a function failed.
pub fn run(list: &BTreeMap<String, SuppressionReason>) -> Result<[Cost; 2], Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Broken(error.to_string()))?;
    let _entered = runtime.enter();
    let time = Time::at(Timestamp::from_millis(START).unwrap_or(Timestamp::MIN));
    let peers = MemoryPeers::default();
    let region = |name: &'static str| {
        Region::new(
            name,
            [time.clock(0), time.clock(0), time.clock(0)],
            &peers,
            Parameters::of(name, &REGIONS),
        )
    };
    let regions = REGIONS.map(region);
    for (spelling, reason) in list {
        regions[0].list.insert(spelling, *reason);
    }
    // The list was made long ago, and not just now.
    time.go_on_to(time.now().plus(Duration::from_hours(24)));
    Run { time, rng: Rng::with_seed(1), peers, regions, tasks: Tasks::new() }.go(list)
}

impl Run {
    fn go(mut self, list: &BTreeMap<String, SuppressionReason>) -> Result<[Cost; 2], Broken> {
        for second in 1..=MAX_SECONDS {
            for index in 0..self.regions.len() {
                self.wake(index, second);
            }
            self.pass()?;
            if second % LOOK_EVERY == 0 && self.is_at_rest() && self.is_right(list) {
                let complete_after = SECOND * u32::try_from(second).unwrap_or(u32::MAX);
                return Ok(self.regions.each_ref().map(|region| Cost {
                    region: region.name,
                    complete_after,
                    calls: region.list.calls().into_iter().map(|(name, n)| (name.to_owned(), n)).collect(),
                }));
            }
        }
        let listed = self.regions.each_ref().map(|region| region.list.entries().len());
        broken(format!("not equal after {MAX_SECONDS} seconds: {listed:?}"))
    }

    fn wake(&mut self, index: usize, second: usize) {
        let region = &mut self.regions[index];
        for message in self.peers.receive(region.name) {
            region.merge_queue.send(message);
        }
        for _ in 0..MERGE.1 {
            let Some(batch) = region.merge_queue.receive(MERGE.0, false, &mut self.rng) else { break };
            self.tasks.spawn(index, region.merge(batch, Fuse::default()));
        }
        if second % APPLY.0 == APPLY.1 {
            self.tasks.spawn(index, region.apply("{}".to_owned(), Fuse::default()));
        }
        if second % RECONCILE.0 == RECONCILE.1 {
            self.tasks.spawn(index, region.reconcile(ReconcileRequest::default(), Fuse::default()));
        }
    }

    /// Lets a second go by, in which everybody does what they can.
    fn pass(&mut self) -> Result<(), Broken> {
        let until = self.time.now().plus(SECOND);
        loop {
            if let Some(Turn { region, ended }) = self.tasks.turn(&mut self.rng) {
                if let Some(ended) = ended {
                    self.ended(region, &ended)?;
                }
                continue;
            }
            let next = self.time.next().filter(|next| *next <= until);
            self.time.go_on_to(next.unwrap_or(until));
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn ended(&mut self, index: usize, ended: &Ended) -> Result<(), Broken> {
        let region = &mut self.regions[index];
        let went_well = match ended {
            Ended::Merge { batch, failed } => {
                region.merge_queue.settle(batch, failed.as_ref());
                failed.as_ref().is_some_and(HashSet::is_empty)
            }
            Ended::Apply { ran, failed, .. } => ran.is_some() && *failed == 0,
            Ended::Reconcile { woken, .. } => woken.is_some(),
            Ended::Feedback { .. } | Ended::Decide { .. } => false,
        };
        if went_well { Ok(()) } else { broken(format!("a function failed in {}", region.name)) }
    }

    fn is_at_rest(&self) -> bool {
        let queues = self.regions.iter().map(|region| region.merge_queue.len());
        self.tasks.is_empty() && queues.sum::<usize>() == 0
    }

    /// Whether both Regions have all entries, on the list and as states.
    fn is_right(&self, list: &BTreeMap<String, SuppressionReason>) -> bool {
        let says = |state: AddressState| {
            let reason = state.last_known_entry()?.reason?;
            (state.assigned_job().is_none()
                && !state.is_pending()
                && state.effective_reason() == Some(reason))
            .then_some(())
        };
        // The Region that had none is looked at first, since it takes longer.
        self.regions.iter().rev().all(|region| {
            let states = region.table.states();
            let count = states.len();
            let settled = states.into_iter().filter_map(says).count();
            (count, settled) == (list.len(), list.len()) && region.list.entries() == *list
        })
    }
}
