//! A storm of permanent bounces in one Region, through the shipped handlers of three: what the lists of all cost.
//!
//! Mappings and schedules are the template's. Time goes by only with what SES does and with the waits between invocations;
//! the table and the queues answer at once.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use apply::handler::RunOutcome;
use doubles::{EventKind, Fuse, MailEvent, MemoryClock, MemoryList, MemoryObjects, MemoryPeers, Vocabulary};
use fastrand::Rng;
use mailroom_aws::clock::Timer;
use mailroom_aws::suppression_list::{ListError, SuppressionList};
use mailroom_core::suppression::{AddressState, SuppressionReason};
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::{PassOutcome, ReconcileRequest};
use simulated_region::{ACCOUNT, Parameters};

use crate::law::{Broken, broken};
use crate::region::{Ended, Region};
use crate::tasks::{Tasks, Turn};
use crate::time::Time;

/// The Regions; mail bounces in the first one.
pub const REGIONS: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];
/// The time at which the simulation begins, in milliseconds since 1970.
pub const START: i64 = 1_769_940_000_000;
const SECOND: Duration = Duration::from_secs(1);
/// `FeedbackMapping`, `DecideMapping` and `MergeMapping`: the messages of a batch, and the number of batches at a time.
const FEEDBACK: (usize, usize) = (100, 10);
const DECIDE: (usize, usize) = (100, 10);
const MERGE: (usize, usize) = (10, 5);
/// `ApplySchedule` and `ReconcileSchedule`: the period, and the second within it, both in seconds. Nobody knows which
/// second it will be; this is one.
const APPLY: (usize, usize) = (60, 37);
const RECONCILE: (usize, usize) = (300, 90);
/// The event of a schedule.
const NOTHING: &str = "{}";
/// The seconds between two looks at the lists.
const LOOK_EVERY: usize = 5;
/// The seconds after which the storm must be over, whatever it cost.
const MAX_SECONDS: usize = 3600;

/// The SES of every Region, and how the functions call it.
pub trait Ses {
    /// The port by which a function calls a Region's list.
    type List: SuppressionList + 'static;

    /// Makes the SES of a Region, with the objects that its import jobs are to read.
    fn open(&self, region: &'static str, objects: &MemoryObjects);

    /// The port to a Region's list, for one invocation.
    fn list(&self, region: &str) -> Self::List;

    /// Whether a call is waiting for its answer, which takes no virtual time.
    fn is_asked(&self) -> bool;

    /// Lets virtual time go by.
    fn go_on(&self, by: Duration);

    /// The entries of a Region's list.
    fn entries(&self, region: &str) -> BTreeMap<String, SuppressionReason>;

    /// The number of calls of each action in a Region so far.
    fn calls(&self, region: &str) -> BTreeMap<String, usize>;
}

/// A storm: so many distinct addresses, all of whose mail bounces in one Region.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    /// The number of bounces.
    pub bounces: usize,
    /// The number of bounces in a second.
    pub per_second: usize,
}

/// What the storm cost in one Region.
#[derive(Debug, Clone)]
pub struct Cost {
    /// The Region.
    pub region: &'static str,
    /// The time from the first bounce until the list held all of them, to within five seconds.
    pub complete_after: Duration,
    /// The number of calls of SES by action, from the start of the storm until nothing was left to do.
    pub calls: BTreeMap<String, usize>,
}

impl Cost {
    /// The number of calls of all actions.
    pub fn total(&self) -> usize {
        self.calls.values().sum()
    }
}

/// What the storm would cost with one call for each bounce: the number of calls, and the time that they take.
///
/// # Errors
/// SES refuses a call.
pub async fn one_put_per_bounce(bounces: usize) -> Result<(usize, Duration), ListError> {
    let start = Timestamp::from_millis(START).unwrap_or(Timestamp::MIN);
    let clock = MemoryClock::at(start);
    let list = MemoryList::new(clock.clone(), &MemoryObjects::default());
    for index in 0..bounces {
        list.put(&address(index), SuppressionReason::Bounce).await?;
        clock.sleep(SECOND).await;
    }
    let took = mailroom_aws::clock::Clock::now(&clock).since(start);
    Ok((list.calls().values().sum(), took))
}

fn address(index: usize) -> String {
    format!("user{index}@example.com")
}

/// What woke an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Stream,
    Others,
}

struct Run<'a, S> {
    storm: Storm,
    ses: &'a S,
    time: Time,
    rng: Rng,
    peers: MemoryPeers,
    regions: Vec<Region>,
    tasks: Tasks<(Ended, By)>,
    /// By Region, whether the stream's mapping waits for apply to return.
    mapping_waits: [bool; REGIONS.len()],
    passed: usize,
    said: usize,
}

/// Lets a storm pass over three Regions whose lists have been gone through once, and waits until nothing is left to do.
///
/// # Errors
/// Something was lost, or a function failed.
pub fn run(storm: Storm, ses: &impl Ses) -> Result<Vec<Cost>, Broken> {
    let time = Time::at(Timestamp::from_millis(START).unwrap_or(Timestamp::MIN));
    let peers = MemoryPeers::default();
    let region = |name: &'static str| {
        let parameters = Parameters::of(name, &REGIONS);
        let region = Region::new(name, [time.clock(0), time.clock(0), time.clock(0)], &peers, parameters);
        ses.open(name, &region.objects);
        region
    };
    let regions = REGIONS.map(region).into();
    Run {
        storm,
        ses,
        time,
        rng: Rng::with_seed(1),
        peers,
        regions,
        tasks: Tasks::new(),
        mapping_waits: [false; REGIONS.len()],
        passed: 0,
        said: 0,
    }
    .go()
}

impl<S: Ses> Run<'_, S> {
    fn go(mut self) -> Result<Vec<Cost>, Broken> {
        for index in 0..self.regions.len() {
            self.reconcile(index, true);
        }
        self.pass(Duration::from_mins(5))?;
        if self.passed != self.regions.len() {
            return broken("a first pass did not end");
        }
        let before: Vec<_> = REGIONS.iter().map(|region| self.ses.calls(region)).collect();
        let mut complete = [None; REGIONS.len()];
        for second in 1..=MAX_SECONDS {
            self.second(second)?;
            if second % LOOK_EVERY != 0 {
                continue;
            }
            for (region, complete) in REGIONS.iter().zip(&mut complete) {
                if complete.is_none() && self.ses.entries(region).len() == self.storm.bounces {
                    *complete = Some(SECOND * u32::try_from(second).unwrap_or(u32::MAX));
                }
            }
            if complete.iter().all(Option::is_some) && self.is_at_rest() {
                self.is_right()?;
                let cost =
                    |((region, complete), before): ((&&'static str, Option<Duration>), &BTreeMap<_, _>)| {
                        let mut calls = self.ses.calls(region);
                        for (action, count) in &mut calls {
                            *count -= before.get(action).copied().unwrap_or(0);
                        }
                        calls.retain(|_, count| *count > 0);
                        Cost { region, complete_after: complete.unwrap_or_default(), calls }
                    };
                return Ok(REGIONS.iter().zip(complete).zip(&before).map(cost).collect());
            }
        }
        let listed = REGIONS.map(|region| self.ses.entries(region).len());
        broken(format!("not over after {MAX_SECONDS} seconds: {listed:?}"))
    }

    /// Lets SES say what it says in one second of the storm, and wakes the functions as their mappings and schedules do.
    fn second(&mut self, second: usize) -> Result<(), Broken> {
        for _ in 0..self.storm.per_second.min(self.storm.bounces - self.said) {
            let (to, id) = (address(self.said), format!("event-{}", self.said));
            let (occurred_at, region) = (self.time.now(), REGIONS[0]);
            let event = MailEvent {
                kind: EventKind::Permanent,
                to: &[&to],
                destination: &[&to],
                id: &id,
                sent_at: occurred_at.minus(2 * SECOND),
                occurred_at,
                account: ACCOUNT,
                region,
            };
            for body in event.messages(Vocabulary::Publishing) {
                self.regions[0].feedback_queue.send(body);
            }
            self.said += 1;
        }
        for index in 0..self.regions.len() {
            self.wake(index, second);
        }
        self.pass(SECOND)
    }

    fn wake(&mut self, index: usize, second: usize) {
        let region = &mut self.regions[index];
        region.observe();
        for message in self.peers.receive(region.name) {
            region.merge_queue.send(message);
        }
        for _ in 0..FEEDBACK.1 {
            let Some(batch) = region.feedback_queue.receive(FEEDBACK.0, false, &mut self.rng) else { break };
            let invocation = region.feedback(batch, Fuse::default());
            self.tasks.spawn(index, async move { (invocation.await, By::Stream) });
        }
        for _ in 0..MERGE.1 {
            let Some(batch) = region.merge_queue.receive(MERGE.0, false, &mut self.rng) else { break };
            let invocation = region.merge(batch, Fuse::default());
            self.tasks.spawn(index, async move { (invocation.await, By::Others) });
        }
        for _ in 0..DECIDE.1 {
            let (batch, until) = region.undecided(DECIDE.0);
            // This may count as decided already, since no function fails here.
            region.decided = until;
            if batch.is_empty() {
                break;
            }
            let payload = region.batch(batch.into_iter());
            let invocation = region.decide(payload, None, Fuse::default());
            self.tasks.spawn(index, async move { (invocation.await, By::Stream) });
        }
        if !self.mapping_waits[index] {
            let payload = region.newly_pending();
            if payload != NOTHING {
                self.mapping_waits[index] = true;
                let list = self.ses.list(region.name);
                let invocation = region.apply_to(list, payload, Fuse::default());
                self.tasks.spawn(index, async move { (invocation.await, By::Stream) });
            }
        }
        if second % APPLY.0 == APPLY.1 {
            let list = self.ses.list(region.name);
            let invocation = region.apply_to(list, NOTHING.to_owned(), Fuse::default());
            self.tasks.spawn(index, async move { (invocation.await, By::Others) });
        }
        if second % RECONCILE.0 == RECONCILE.1 {
            self.reconcile(index, false);
        }
    }

    fn reconcile(&mut self, index: usize, pass: bool) {
        let region = &mut self.regions[index];
        let wake = ReconcileRequest { start_pass: pass, ..ReconcileRequest::default() };
        let invocation = region.reconcile_with(self.ses.list(region.name), wake, Fuse::default());
        self.tasks.spawn(index, async move { (invocation.await, By::Others) });
    }

    /// Lets time go by, in which everybody does what they can.
    fn pass(&mut self, by: Duration) -> Result<(), Broken> {
        let until = self.time.now().plus(by);
        loop {
            if let Some(Turn { region, ended }) = self.tasks.turn(&mut self.rng) {
                if let Some((ended, by)) = ended {
                    self.ended(region, by, &ended)?;
                }
                continue;
            }
            if self.ses.is_asked() {
                std::thread::sleep(Duration::from_micros(100));
                continue;
            }
            let next = self.time.next().filter(|next| *next <= until);
            let then = next.unwrap_or(until);
            self.ses.go_on(then.since(self.time.now()));
            self.time.go_on_to(then);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn ended(&mut self, index: usize, by: By, ended: &Ended) -> Result<(), Broken> {
        let region = &mut self.regions[index];
        let (name, went_well) = match ended {
            Ended::Feedback { batch, failed } => {
                region.feedback_queue.settle(batch, failed.as_ref());
                ("feedback", failed.as_ref().is_some_and(HashSet::is_empty))
            }
            Ended::Merge { batch, failed } => {
                region.merge_queue.settle(batch, failed.as_ref());
                ("merge", failed.as_ref().is_some_and(HashSet::is_empty))
            }
            Ended::Decide { done, .. } => ("decide", *done == Some(true)),
            Ended::Apply { ran, failed, .. } => {
                if by == By::Stream {
                    self.mapping_waits[index] = false;
                }
                (
                    "apply",
                    matches!(ran, Some(RunOutcome::Busy | RunOutcome::Drained | RunOutcome::Left))
                        && *failed == 0,
                )
            }
            Ended::Reconcile { woken, .. } => {
                let passed = woken.map(|woken| woken.passed);
                self.passed += usize::from(matches!(passed, Some(PassOutcome::Ended(_))));
                ("reconcile", passed.is_some())
            }
        };
        if went_well { Ok(()) } else { broken(format!("{name} failed in {}", region.name)) }
    }

    fn is_at_rest(&self) -> bool {
        let left = |state: &AddressState| state.is_pending() || state.assigned_job().is_some();
        let rests = |region: &Region| {
            region.feedback_queue.len() + region.merge_queue.len() == 0
                && !region.table.states().iter().any(left)
        };
        self.tasks.is_empty() && self.regions.iter().all(rests)
    }

    /// Checks that all bounces, and nothing else, are on every list, and that every state says so.
    fn is_right(&self) -> Result<(), Broken> {
        let expected: BTreeMap<_, _> =
            (0..self.storm.bounces).map(|index| (address(index), SuppressionReason::Bounce)).collect();
        for region in &self.regions {
            if self.ses.entries(region.name) != expected {
                return broken(format!("{}: the list is not right", region.name));
            }
            let says =
                |state: AddressState| Some((state.address().to_owned(), state.last_known_entry()?.reason?));
            let applied: BTreeMap<_, _> = region.table.states().into_iter().filter_map(says).collect();
            if applied != expected {
                return broken(format!("{}: the states are not right", region.name));
            }
        }
        Ok(())
    }
}
