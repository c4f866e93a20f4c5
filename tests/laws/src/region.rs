//! One Region: its table, list and queues, and its functions.

use std::collections::HashSet;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use apply::handler::RunOutcome;
use doubles::{Fuse, ItemChange, MemoryPeers, stream_event};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::SqsBatchResponse;
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote, NoteStore};
use mailroom_core::suppression::AddressState;
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::{LookBackCounts, PassOutcome, PushCounts, ReconcileRequest, ReconcileRunOutcome};
use simulated_region::{Parameters, SimulatedRegion};

use crate::law::Chronicle;
use crate::queue::{Batch, Queue};
use crate::time::SkewedClock;

/// A change of the table, with the time that its stream gives it.
pub(crate) struct Change {
    pub(crate) image: ItemChange,
    created_at: Timestamp,
}

/// What became of an invocation. What it returned is `None` if it died or failed.
pub(crate) enum Ended {
    Feedback { batch: Batch, failed: Option<HashSet<String>> },
    Merge { batch: Batch, failed: Option<HashSet<String>> },
    Decide { until: Option<usize>, done: Option<bool> },
    Apply { died: bool, ran: Option<RunOutcome>, started: usize, failed: usize },
    Reconcile { died: bool, woken: Option<Woken> },
}

/// What reconcile did, if no other invocation was at work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Woken {
    pub(crate) pushed: PushCounts,
    pub(crate) passed: PassOutcome,
    pub(crate) looked_back: LookBackCounts,
}

/// One Region, with all that Mailroom has in it.
pub(crate) struct Region {
    /// What the functions share.
    pub(crate) shared: SimulatedRegion<SkewedClock>,
    /// The clock of DynamoDB.
    pub(crate) table_clock: SkewedClock,
    pub(crate) feedback_queue: Queue,
    pub(crate) merge_queue: Queue,
    pub(crate) changes: Vec<Change>,
    /// How far decide has done the stream; `told_apply` is how far apply was told of it.
    pub(crate) decided: usize,
    pub(crate) told_apply: usize,
    pub(crate) chronicle: Chronicle,
    pub(crate) writes: usize,
    pub(crate) first_pass_ended: bool,
    /// How often apply may have written to the list for a reason other than need, such as a fault.
    pub(crate) excuses: usize,
    /// Of apply.
    pub(crate) runs: usize,
}

impl Deref for Region {
    type Target = SimulatedRegion<SkewedClock>;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl Region {
    pub(crate) fn new(
        name: &'static str,
        [clock, table_clock, ses_clock]: [SkewedClock; 3],
        peers: &MemoryPeers,
        parameters: Parameters,
    ) -> Self {
        Self {
            shared: SimulatedRegion::new(name, clock, ses_clock, peers, parameters),
            table_clock,
            feedback_queue: Queue::default(),
            merge_queue: Queue::default(),
            changes: Vec::new(),
            decided: 0,
            told_apply: 0,
            chronicle: Chronicle::default(),
            writes: 0,
            first_pass_ended: false,
            excuses: 0,
            runs: 0,
        }
    }

    /// The changes of the table since this was last called.
    pub(crate) fn observe(&mut self) -> Vec<ItemChange> {
        let new = self.table.stream(self.changes.len());
        let created_at = self.table_clock.now();
        let change = |image: &ItemChange| Change { image: image.clone(), created_at };
        self.changes.extend(new.iter().map(change));
        if !self.first_pass_ended {
            self.first_pass_ended = at_once(self.table.get_note::<FirstPassNote>(FIRST_PASS_NOTE, within(1)))
                .is_some_and(|note| note.is_ok_and(|note| note.is_some()));
        }
        new
    }

    pub(crate) fn state(&self, address: &str) -> Option<AddressState> {
        self.table.state(address)
    }

    /// New records of the stream that decide's mapping lets through, `most` of them at most, and how far the stream is with
    /// them.
    pub(crate) fn undecided(&self, most: usize) -> (Vec<usize>, usize) {
        let new = (self.decided..self.changes.len()).filter(|index| self.is_decidable(*index));
        let batch: Vec<_> = new.take(most).collect();
        let until = if batch.len() < most {
            self.changes.len()
        } else {
            batch.last().map_or(self.decided, |last| last + 1)
        };
        (batch, until)
    }

    pub(crate) fn is_decidable(&self, index: usize) -> bool {
        self.changes.get(index).is_some_and(|change| change.image.new["decidable"].is_string())
    }

    /// The event that brings these changes of the table by the stream.
    pub(crate) fn batch(&self, indexes: impl Iterator<Item = usize>) -> String {
        let changes = indexes.filter_map(|index| self.changes.get(index));
        stream_event(changes.map(|change| (&change.image, change.created_at)), self.name).to_string()
    }

    /// The event that the stream wakes apply with: the states that became pending.
    pub(crate) fn newly_pending(&mut self) -> String {
        let is_pending = |image: &serde_json::Value| image["pending"].is_string();
        let new: Vec<_> = (self.told_apply..self.changes.len())
            .filter(|index| {
                let image = &self.changes[*index].image;
                is_pending(&image.new) && !image.old.as_ref().is_some_and(is_pending)
            })
            .collect();
        self.told_apply = self.changes.len();
        if new.is_empty() { "{}".to_owned() } else { self.batch(new.into_iter()) }
    }

    pub(crate) fn feedback(&self, batch: Batch, fuse: Fuse) -> impl Future<Output = Ended> + 'static {
        let function = self.with_fuse(&fuse).feedback();
        async move {
            let payload = batch.payload.to_string();
            let ended = fuse.run(function.handle(&payload, within(30))).await;
            Ended::Feedback { batch, failed: ended.and_then(Result::ok).as_ref().map(failed) }
        }
    }

    pub(crate) fn merge(&self, batch: Batch, fuse: Fuse) -> impl Future<Output = Ended> + 'static {
        let function = self.with_fuse(&fuse).merge();
        async move {
            let payload = batch.payload.to_string();
            let ended = fuse.run(function.handle(&payload, within(30))).await;
            Ended::Merge { batch, failed: ended.and_then(Result::ok).as_ref().map(failed) }
        }
    }

    /// Runs decide. If that succeeds the stream is done up to `until`; `None`: it was done that far before.
    pub(crate) fn decide(
        &self,
        payload: String,
        until: Option<usize>,
        fuse: Fuse,
    ) -> impl Future<Output = Ended> + 'static {
        let function = self.with_fuse(&fuse).decide();
        async move {
            let ended = fuse.run(function.handle(&payload, within(60))).await;
            Ended::Decide { until, done: ended.map(|ended| ended.is_ok()) }
        }
    }

    pub(crate) fn apply(&mut self, payload: String, fuse: Fuse) -> impl Future<Output = Ended> + 'static {
        let list = self.list.with_fuse(&fuse);
        self.apply_to(list, payload, fuse)
    }

    /// Runs apply with another list.
    pub(crate) fn apply_to<L: SuppressionList + 'static>(
        &mut self,
        list: L,
        payload: String,
        fuse: Fuse,
    ) -> impl Future<Output = Ended> + 'static {
        self.runs += 1;
        let holder = format!("run {}", self.runs);
        let function = self.with_fuse(&fuse).apply(list, self.clock.clone());
        async move {
            let ended = fuse.run(function.handle(&payload, &holder, within(120))).await;
            let (died, ran) = (ended.is_none(), ended.and_then(Result::ok));
            let of = |name| function.metrics.get(name);
            Ended::Apply { died, ran, started: of("ImportJobsStarted"), failed: of("Failed") }
        }
    }

    pub(crate) fn reconcile(
        &mut self,
        wake: ReconcileRequest,
        fuse: Fuse,
    ) -> impl Future<Output = Ended> + 'static {
        let list = self.list.with_fuse(&fuse);
        self.reconcile_with(list, wake, fuse)
    }

    /// Runs reconcile with another list.
    pub(crate) fn reconcile_with<L: SuppressionList + 'static>(
        &mut self,
        list: L,
        wake: ReconcileRequest,
        fuse: Fuse,
    ) -> impl Future<Output = Ended> + 'static {
        self.runs += 1;
        let holder = format!("run {}", self.runs);
        let function = self.with_fuse(&fuse).reconcile(list);
        async move {
            let ended = fuse.run(function.handle_request(wake, &holder, within(240))).await;
            let woken = |done| match done {
                Ok(ReconcileRunOutcome::Completed {
                    push_counts: pushed,
                    pass_outcome: passed,
                    look_back_counts: looked_back,
                }) => Some(Woken { pushed, passed, looked_back }),
                Ok(ReconcileRunOutcome::Busy) | Err(_) => None,
            };
            Ended::Reconcile { died: ended.is_none(), woken: ended.and_then(woken) }
        }
    }
}

/// A deadline so far from now. The runtime's time stands still, so that it stays as far.
fn within(seconds: u64) -> Deadline {
    Deadline::after(Duration::from_secs(seconds))
}

fn failed(response: &SqsBatchResponse) -> HashSet<String> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.clone()).collect()
}

/// The answer of a port that does not wait; `None` if it does wait.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..8 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}
