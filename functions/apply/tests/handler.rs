//! The handler with its ports in memory: what it writes to the list, in which order, what it leaves, and that whatever
//! becomes of it the next run mends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::time::Duration;

use apply::handler::{ApplyError, LEASE, RunOutcome};
use doubles::{
    Fault, Fuse, JobFaults, ListRules, ListWriter, MemoryClock, MemoryList, MemoryMetrics, MemoryObjects,
    MemoryPeers, stream_event,
};
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::lease::Lease;
use mailroom_aws::notes::{FIRST_PASS, FirstPass, Notes};
use mailroom_aws::states::StateTable;
use mailroom_aws::suppression_list::{Account, SuppressionList};
use mailroom_core::address::Address;
use mailroom_core::suppression::item::OutcomeKind;
use mailroom_core::suppression::{AddressState, Change, Reason, Said, Source, SuppressionState};
use mailroom_core::timestamp::Timestamp;
use proptest::prelude::*;
use simulated_region::{Parameters, SimulatedRegion};
use tokio::time::Instant;

const REGION: &str = "us-east-1";
const MINUTE: Duration = Duration::from_mins(1);

/// One Region, between runs of the function.
struct World {
    shared: SimulatedRegion<MemoryClock>,
    requests_per_second: f64,
    trust_origin: bool,
    runs: usize,
}

impl Deref for World {
    type Target = SimulatedRegion<MemoryClock>;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

/// A run, and what it counted.
struct Report {
    /// `None`: it died.
    ran: Option<Result<RunOutcome, ApplyError>>,
    metrics: MemoryMetrics,
}

impl Report {
    fn ran(self) -> RunOutcome {
        self.ran.unwrap().unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
enum Say {
    Bounced,
    Complained,
    Released,
    /// Of the account.
    Sandboxed,
}

/// A clock during whose waits things are said.
struct Meanwhile<'a> {
    world: &'a World,
    says: RefCell<VecDeque<(String, Say)>>,
}

impl Clock for Meanwhile<'_> {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

impl Timer for Meanwhile<'_> {
    async fn sleep(&self, by: Duration) {
        self.world.clock.sleep(by).await;
        let say = self.says.borrow_mut().pop_front();
        if let Some((spelling, say)) = say {
            self.world.say(&spelling, say).await;
        }
    }
}

impl World {
    async fn new() -> Self {
        let world = Self::before_first_pass();
        let ended = FirstPass { ended_at: world.clock.now() };
        world.notes.put(FIRST_PASS, &ended, None).await.unwrap();
        world
    }

    fn before_first_pass() -> Self {
        let clock = MemoryClock::at(Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap());
        let (queues, parameters) = (MemoryPeers::default(), Parameters::default());
        Self {
            shared: SimulatedRegion::new(REGION, clock.clone(), clock, &queues, parameters),
            requests_per_second: 1.0,
            trust_origin: false,
            runs: 0,
        }
    }

    fn deadline() -> Instant {
        Instant::now() + Duration::from_hours(1)
    }

    async fn say(&self, spelling: &str, say: Say) {
        if matches!(say, Say::Sandboxed) {
            let enabled = BTreeSet::from([Reason::Bounce, Reason::Complaint]);
            return self.list.set_account(Account { production_access: false, enabled });
        }
        self.clock.advance(Duration::from_millis(1));
        let now = self.clock.now();
        let address = Address::parse(spelling).unwrap();
        let (source, region) = (Source::Bounce, "eu-west-1".to_owned());
        let said = |source| Said { at: now, source, region: region.clone(), id: String::new() };
        let state = match say {
            Say::Bounced => SuppressionState::suppressed(Reason::Bounce, said(source)),
            Say::Complained => SuppressionState::suppressed(Reason::Complaint, said(Source::Complaint)),
            Say::Released => SuppressionState::released(said(Source::Operator)),
            Say::Sandboxed => SuppressionState::default(),
        };
        self.join(address.match_form(), spelling, state).await;
    }

    async fn join(&self, address: &str, spelling: &str, state: SuppressionState) {
        let known = self.table.get(address, Self::deadline()).await.unwrap();
        let spellings = [spelling].into_iter().collect();
        let change = Change { address: address.to_owned(), spellings, state };
        if let Some(next) = AddressState::advance(known.as_ref(), &change, self.clock.now()) {
            let read = known.map(|known| known.version());
            self.table.put(&next, read, Self::deadline()).await.unwrap();
        }
    }

    async fn state(&self, address: &str) -> AddressState {
        self.table.get(address, Self::deadline()).await.unwrap().unwrap()
    }

    async fn outcome(&self, address: &str) -> Option<OutcomeKind> {
        self.state(address).await.outcome().map(|outcome| outcome.kind)
    }

    fn pending(&self) -> usize {
        self.table.states().iter().filter(|state| state.is_pending()).count()
    }

    fn calls(&self) -> usize {
        self.list.calls().values().sum()
    }

    fn of(&self, name: &str) -> usize {
        self.list.calls().get(name).copied().unwrap_or(0)
    }

    /// A run of a minute that bears so many effects.
    async fn run_with(&mut self, payload: &str, effects: usize) -> Report {
        self.run_while(payload, effects, Vec::new()).await
    }

    /// A run while which this is said, a thing each time that it waits.
    async fn run_while(&mut self, payload: &str, effects: usize, says: Vec<(String, Say)>) -> Report {
        self.runs += 1;
        let fuse = Fuse::default();
        fuse.set(effects);
        let mut region = self.with_fuse(&fuse);
        region.parameters.requests_per_second = self.requests_per_second;
        region.parameters.trust_origin = self.trust_origin;
        let clock = Meanwhile { world: self, says: RefCell::new(says.into()) };
        let apply = region.apply(region.list.clone(), clock);
        let holder = format!("run {}", self.runs);
        let ran = fuse.run(apply.handle(payload, &holder, Instant::now() + MINUTE)).await;
        Report { ran, metrics: apply.metrics }
    }

    async fn run(&mut self) -> Report {
        self.run_with("{}", usize::MAX).await
    }

    /// Runs every minute until nothing is pending; how many minutes that took.
    async fn run_until_quiet(&mut self) -> u64 {
        for minutes in 0..100 {
            let start = self.clock.now();
            let _ = self.run().await;
            if self.pending() == 0 {
                return minutes;
            }
            self.clock.set(self.clock.now().max(start.plus(MINUTE)));
        }
        panic!("{} pending for good: {:?}", self.pending(), self.table.states().first());
    }

    /// The list is what the states say, in no spelling more.
    fn assert_right(&self) {
        let mut expected = BTreeMap::new();
        for state in self.table.states() {
            if let Some(reason) = state.effective() {
                expected.insert(state.spellings().first().unwrap().to_owned(), reason);
            }
            assert!(state.job().is_none(), "{state:?}");
        }
        assert_eq!(self.list.entries(), expected);
    }
}

fn entries(expected: &[(&str, Reason)]) -> BTreeMap<String, Reason> {
    expected.iter().map(|(spelling, reason)| ((*spelling).to_owned(), *reason)).collect()
}

#[tokio::test]
async fn what_is_in_force_is_put_and_what_was_released_is_deleted_in_every_spelling() {
    let mut world = World::new().await;
    world.say("Jane@example.com", Say::Bounced).await;
    world.say("joe@example.com", Say::Complained).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(
        world.list.entries(),
        entries(&[("Jane@example.com", Reason::Bounce), ("joe@example.com", Reason::Complaint)])
    );
    assert_eq!((world.pending(), world.outcome("jane@example.com").await), (0, Some(OutcomeKind::Applied)));

    let calls = world.calls();
    assert_eq!((calls, world.run().await.ran()), (3, RunOutcome::Drained));
    assert_eq!(world.calls(), calls, "nothing is due: no call");

    world.list.insert("JANE@example.com", Reason::Complaint);
    world.list.insert("jane@example.com", Reason::Bounce);
    world.say("JANE@example.com", Say::Released).await;
    world.say("joe@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(world.list.entries(), entries(&[("joe@example.com", Reason::Complaint)]));
    world.assert_right();
}

#[tokio::test]
async fn no_bounce_before_reconcile_has_been_through_the_list() {
    let mut world = World::before_first_pass();
    world.list.insert("jane@example.com", Reason::Complaint);
    for spelling in ["jane@example.com", "b@example.com"] {
        world.say(spelling, Say::Bounced).await;
    }
    world.say("joe@example.com", Say::Complained).await;
    world.say("c@example.com", Say::Released).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    let complaints = [("jane@example.com", Reason::Complaint), ("joe@example.com", Reason::Complaint)];
    assert_eq!((world.list.entries(), world.pending()), (entries(&complaints), 2));
    world.say("jane@example.com", Say::Complained).await;
    world.notes.put(FIRST_PASS, &FirstPass { ended_at: world.clock.now() }, None).await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.assert_right();
}

#[tokio::test]
async fn the_sandbox_and_a_reason_that_is_not_enabled_are_outcomes() {
    let mut world = World::new().await;
    let account = |production_access, enabled: &[Reason]| Account {
        production_access,
        enabled: enabled.iter().copied().collect::<BTreeSet<_>>(),
    };
    world.list.set_account(account(false, &[Reason::Bounce]));
    world.list.insert("c@example.com", Reason::Bounce);
    world.say("a@example.com", Say::Bounced).await;
    world.say("c@example.com", Say::Released).await;
    let report = world.run().await;
    assert_eq!(report.metrics.get("RefusedSandbox"), 1);
    assert_eq!((report.ran(), world.of("put"), world.pending()), (RunOutcome::Drained, 0, 0));
    assert_eq!(world.outcome("a@example.com").await, Some(OutcomeKind::RefusedSandbox));
    assert_eq!(world.list.entries(), entries(&[]), "what was released goes from a sandbox's list, too");

    world.list.set_account(account(true, &[Reason::Bounce]));
    world.say("a@example.com", Say::Bounced).await;
    world.say("b@example.com", Say::Complained).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.metrics.get("ReasonNotEnabled"), 1);
    assert_eq!(world.outcome("a@example.com").await, Some(OutcomeKind::Applied));
    assert_eq!(world.outcome("b@example.com").await, Some(OutcomeKind::ReasonNotEnabled));
    world.assert_right();
}

#[tokio::test]
async fn ses_is_trusted_with_its_own_bounces_if_told_so() {
    for trust_origin in [false, true] {
        let mut world = World { trust_origin, ..World::new().await };
        let said = |region: &str| Said {
            at: world.clock.now(),
            source: Source::Bounce,
            region: region.to_owned(),
            id: "1".to_owned(),
        };
        let (here, there) = (said(REGION), said("eu-west-1"));
        world
            .join("a@example.com", "a@example.com", SuppressionState::suppressed(Reason::Bounce, here))
            .await;
        world
            .join("b@example.com", "b@example.com", SuppressionState::suppressed(Reason::Bounce, there))
            .await;
        assert_eq!(world.run().await.ran(), RunOutcome::Drained);
        assert_eq!((world.of("put"), world.pending()), (if trust_origin { 1 } else { 2 }, 0));
        assert_eq!(world.outcome("a@example.com").await, Some(OutcomeKind::Applied));
    }
}

#[tokio::test]
async fn what_ses_was_trusted_with_and_is_not_there_is_put() {
    let mut world = World { trust_origin: true, ..World::new().await };
    for id in ["1", "2"] {
        let (source, region, id) = (Source::Bounce, REGION.to_owned(), id.to_owned());
        let here = Said { at: world.clock.now(), source, region, id };
        world
            .join("a@example.com", "a@example.com", SuppressionState::suppressed(Reason::Bounce, here))
            .await;
    }
    // The index shows it as it was before.
    world.table.lag(1);
    assert_eq!((world.run().await.ran(), world.of("put")), (RunOutcome::Drained, 0));
    world.table.lag(0);
    let state = world.state("a@example.com").await;
    assert!(state.applied().unwrap().trusted);
    // What reconcile writes.
    let marked = state.marked([], None, world.clock.now()).unwrap();
    world.table.put(&marked, Some(state.version()), World::deadline()).await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!((world.run().await.ran(), world.of("put")), (RunOutcome::Drained, 1));
    world.assert_right();
}

#[tokio::test]
async fn a_refusal_is_the_sandboxs_if_the_account_has_come_into_it() {
    let mut world = World::new().await;
    for spelling in ["a@example.com", "b@example.com"] {
        world.say(spelling, Say::Bounced).await;
    }
    // After it was asked.
    let says = vec![("c@example.com".to_owned(), Say::Bounced), (String::new(), Say::Sandboxed)];
    assert_eq!(world.run_while("{}", usize::MAX, says).await.metrics.get("RefusedSandbox"), 3);
    assert_eq!(world.outcome("a@example.com").await, Some(OutcomeKind::RefusedSandbox));
    assert_eq!(world.outcome("b@example.com").await, Some(OutcomeKind::RefusedSandbox));
}

#[tokio::test]
async fn a_bounce_that_waits_for_its_turn_is_not_put_over_a_complaint() {
    for throttled in [false, true] {
        let mut world = World::new().await;
        for spelling in ["a@example.com", "b@example.com"] {
            world.say(spelling, Say::Bounced).await;
        }
        // The account, and a; b waits a second, and SES adds what it is told of at once.
        if throttled {
            world.list.fault([Fault::None, Fault::None, Fault::Throttled]);
        }
        world.list.insert("b@example.com", Reason::Complaint);
        let calls_before = if throttled { 3 } else { 2 };
        let mut says = vec![("c@example.com".to_owned(), Say::Bounced); calls_before];
        says.push(("b@example.com".to_owned(), Say::Complained));
        world.run_while("{}", usize::MAX, says).await.ran();
        world.run_until_quiet().await;
        let puts = world.list.writes(0).into_iter().filter(|write| write.by == ListWriter::Call);
        let of_b: Vec<_> = puts.filter(|put| put.spelling == "b@example.com").map(|put| put.after).collect();
        assert_eq!(of_b, [Some(Reason::Complaint)], "throttled: {throttled}");
    }
}

#[tokio::test]
async fn a_throttled_call_is_made_again_later() {
    let mut world = World::new().await;
    world.say("a@example.com", Say::Bounced).await;
    world.list.fault([Fault::Throttled, Fault::None, Fault::Throttled, Fault::Throttled]);
    let report = world.run().await;
    assert_eq!((report.metrics.get("SesCallsThrottled"), world.calls()), (3, 5));
    assert_eq!(report.metrics.get("SesCalls"), 5);
    assert_eq!(report.ran(), RunOutcome::Drained);
    world.assert_right();

    world.say("b@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    world.list.fault([Fault::Throttled; 6]);
    assert_eq!((world.run().await.ran(), world.pending()), (RunOutcome::Left, 1));
    assert_eq!(world.outcome("b@example.com").await, None, "its own fault it is not");
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn a_refusal_is_for_good_and_no_answer_is_not() {
    let mut world = World::new().await;
    world.list.poison("a@example.com");
    for spelling in ["a@example.com", "b@example.com", "c@example.com"] {
        world.say(spelling, Say::Bounced).await;
    }
    // The account; what is refused; the account, which is not to blame; then SES is down.
    world.list.fault([Fault::None, Fault::None, Fault::None]);
    world.list.fault([Fault::Unanswered, Fault::Unavailable, Fault::Unavailable]);
    let report = world.run().await;
    assert_eq!((report.metrics.get("Failed"), report.ran()), (2, RunOutcome::Left));
    assert_eq!(world.outcome("a@example.com").await, Some(OutcomeKind::Failed), "not before it is repeated");
    assert_eq!(world.outcome("b@example.com").await, Some(OutcomeKind::Failed));
    assert_eq!((world.outcome("c@example.com").await, world.calls()), (None, 6));
    world.run_until_quiet().await;
    let bounced = [("b@example.com", Reason::Bounce), ("c@example.com", Reason::Bounce)];
    assert_eq!(world.list.entries(), entries(&bounced));
}

#[tokio::test]
async fn what_there_is_no_time_for_stays_pending() {
    let mut world = World::new().await;
    for n in 0..60 {
        world.say(&format!("a{n}@example.com"), Say::Bounced).await;
    }
    let start = world.clock.now();
    assert_eq!(world.run().await.ran(), RunOutcome::Left);
    let (took, put) = (world.clock.now().since(start), world.of("put"));
    assert!(took < MINUTE && (50..60).contains(&put) && world.pending() == 60 - put, "{took:?} {put}");
    assert_eq!(world.of("create_import_job"), 0);
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn one_instance_works_and_a_dead_one_keeps_others_out_until_its_lease_ends() {
    let mut world = World::new().await;
    world.say("a@example.com", Say::Bounced).await;
    let (now, until) = (world.clock.now(), world.clock.now().plus(2 * MINUTE));
    world.leases.acquire(LEASE, "another", now, until).await.unwrap();
    assert_eq!((world.run().await.ran(), world.calls()), (RunOutcome::Busy, 0));
    world.leases.release(LEASE, "another").await.unwrap();
    // Dies with the lease.
    assert!(world.run_with("{}", 2).await.ran.is_none());
    assert_eq!(world.run().await.ran(), RunOutcome::Busy);
    world.clock.advance(2 * MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.assert_right();
}

#[tokio::test]
async fn an_index_that_lags_shows_nothing_that_is_done_twice_or_put_wrongly() {
    let mut world = World::new().await;
    world.say("a@example.com", Say::Bounced).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.say("b@example.com", Say::Bounced).await;
    world.say("b@example.com", Say::Complained).await;
    // The index shows b as it was when only the bounce was known.
    world.table.lag(1);
    world.clock.advance(MINUTE);
    let _ = world.run().await;
    assert_eq!(world.list.entries().get("b@example.com"), Some(&Reason::Complaint));
    assert_eq!(world.of("put"), 2);

    // It does not show c at all; the stream tells of it.
    world.say("c@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    let images = world.table.stream(0);
    let event = stream_event(images.last().map(|image| (image, world.clock.now())), REGION).to_string();
    world.run_with(&event, usize::MAX).await.ran();
    assert_eq!(world.list.entries().get("c@example.com"), Some(&Reason::Bounce));
    world.table.lag(0);
    world.run_until_quiet().await;
    world.assert_right();
}

/// `sam local invoke` takes them. The index shows neither address yet: only the stream tells of one.
#[tokio::test]
async fn sample_events() {
    for (sample, listed) in [("schedule", false), ("pending", true)] {
        let path = format!("{}/../../events/apply/{sample}.json", env!("CARGO_MANIFEST_DIR"));
        let event = std::fs::read_to_string(path).unwrap();
        let mut world = World::new().await;
        world.say("Jane@example.com", Say::Bounced).await;
        world.table.lag(1);
        world.clock.advance(MINUTE);
        world.run_with(&event, usize::MAX).await.ran();
        assert_eq!(world.list.entries().contains_key("Jane@example.com"), listed, "{sample}");
    }
}

#[tokio::test]
async fn what_is_said_between_reading_and_recording_stays_pending() {
    for waits in 0..4 {
        let mut world = World::new().await;
        world.say("a@example.com", Say::Bounced).await;
        let mut says = vec![("b@example.com".to_owned(), Say::Released); waits];
        says.push(("a@example.com".to_owned(), Say::Released));
        world.run_while("{}", usize::MAX, says).await.ran();
        world.run_until_quiet().await;
        assert_eq!(world.list.entries(), entries(&[]), "{waits}");
    }
}

async fn bounces(world: &World, count: usize) {
    for n in 0..count {
        world.say(&format!("User{n}@example.com"), Say::Bounced).await;
    }
}

#[tokio::test]
async fn a_storm_goes_by_job_and_what_is_said_meanwhile_wins() {
    let mut world = World::new().await;
    world.list.set_rules(ListRules { import_wait: Duration::from_secs(90), ..ListRules::default() });
    bounces(&world, 100).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!((world.of("create_import_job"), world.of("put"), world.list.entries().len()), (1, 0, 0));
    world.say("user7@example.com", Say::Released).await;
    world.say("User8@example.com", Say::Complained).await;
    world.say("other@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(world.list.entries(), entries(&[("other@example.com", Reason::Bounce)]), "held by the job");
    assert!(world.pending() == 100 && world.of("delete") == 0);
    world.run_until_quiet().await;
    assert!(!world.list.entries().contains_key("User7@example.com"));
    world.assert_right();

    // The other way round: deleted by job, in every spelling.
    for n in 0..100 {
        world.say(&format!("user{n}@example.com"), Say::Released).await;
    }
    world.run_until_quiet().await;
    assert_eq!(world.list.entries().len(), 1);
    assert_eq!(world.of("create_import_job"), 2);
    world.assert_right();
}

#[tokio::test]
async fn a_storm_that_comes_while_a_job_runs_waits_for_its_end_and_goes_by_the_next() {
    let mut world = World::new().await;
    world.list.set_rules(ListRules { import_wait: Duration::from_secs(15), ..ListRules::default() });
    bounces(&world, 100).await;
    world.run().await.ran();
    for n in 0..100 {
        world.say(&format!("later{n}@example.com"), Say::Bounced).await;
    }
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!((world.of("create_import_job"), world.of("put")), (2, 0));
    assert_eq!(world.of("import_job"), 3, "at once, and every ten seconds");
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn records_that_fail_in_a_job_are_tried_singly() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new().await;
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        world.list.poison("User3@example.com");
        bounces(&world, 100).await;
        world.run_until_quiet().await;
        assert_eq!(world.outcome("user3@example.com").await, Some(OutcomeKind::FailedForGood));
        assert_eq!((world.list.entries().len(), world.of("create_import_job")), (99, 1));
        // A refusal is believed when it is repeated.
        assert_eq!(world.of("put"), if failed_records_hidden { 101 } else { 2 });
    }
}

#[tokio::test]
async fn a_job_that_can_not_be_is_no_dead_end() {
    // SES can't read the object, say because the bucket's policy is wrong.
    let mut world = World::new().await;
    let unreadable = MemoryList::new(world.clock.clone(), &MemoryObjects::default());
    world.shared.list = unreadable;
    bounces(&world, 100).await;
    let minutes = world.run_until_quiet().await;
    assert!(minutes < 6, "{minutes}");
    assert_eq!(world.of("create_import_job"), 1);
    world.assert_right();
}

#[tokio::test]
async fn a_job_that_was_made_without_an_answer_is_found_again() {
    for fault in [Fault::Unanswered, Fault::Unavailable, Fault::Throttled] {
        let mut world = World::new().await;
        bounces(&world, 100).await;
        world.list.fault([Fault::None, fault]);
        let _ = world.run().await;
        // SES may not show it yet.
        let _ = world.run().await;
        assert_eq!(world.of("create_import_job"), if fault == Fault::Throttled { 2 } else { 1 });
        world.run_until_quiet().await;
        // One that failed without a trace is planned anew.
        let made = if fault == Fault::Unanswered { 1 } else { 2 };
        assert_eq!((world.of("create_import_job"), world.of("put")), (made, 0), "{fault:?}");
        world.assert_right();
    }
}

#[tokio::test]
async fn a_job_that_nobody_can_look_at_stops_nothing_else() {
    for (create, look) in [
        (Fault::None, &[Fault::Unavailable; 3][..]),
        (Fault::None, &[Fault::Denied]),
        (Fault::Unanswered, &[Fault::Unavailable; 3]),
        (Fault::Unanswered, &[Fault::Refused]),
    ] {
        let mut world = World::new().await;
        let job_wait = Duration::from_hours(1);
        world.list.set_rules(ListRules { import_wait: job_wait, ..ListRules::default() });
        world.list.insert("jane@example.com", Reason::Bounce);
        bounces(&world, 100).await;
        world.list.fault([Fault::None, create]);
        let _ = world.run().await;
        world.clock.advance(3 * MINUTE);
        world.say("joe@example.com", Say::Complained).await;
        world.say("jane@example.com", Say::Released).await;
        // Much else waits for the end of the job.
        for n in 0..100 {
            world.say(&format!("later{n}@example.com"), Say::Bounced).await;
        }
        world.list.fault(look.iter().copied());
        let report = world.run().await;
        assert!(report.metrics.get("OldestPendingSeconds") >= 180, "{look:?}");
        assert_eq!(report.ran(), RunOutcome::Left);
        assert_eq!(world.list.entries(), entries(&[("joe@example.com", Reason::Complaint)]), "{look:?}");
        world.clock.advance(job_wait);
        world.run_until_quiet().await;
        world.assert_right();
    }
}

#[tokio::test]
async fn what_is_pending_is_counted_though_there_is_no_time_to_look_at_the_job() {
    let mut world = World::new().await;
    bounces(&world, 100).await;
    let _ = world.run().await;
    world.clock.advance(3 * MINUTE);
    world.list.fault([Fault::Throttled; 6]);
    let report = world.run().await;
    assert!(report.metrics.get("OldestPendingSeconds") >= 180);
    assert_eq!(report.ran(), RunOutcome::Left);
}

/// How an import job may never come to its end, as far as SES tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stuck {
    /// It is told to run.
    Processing,
    /// It has a status that SES has added since.
    Unknown,
    /// SES does not say how far it is.
    Unseen,
    /// SES made it without an answer, and it can't be looked for.
    Unfound,
}

impl Stuck {
    const ALL: [Self; 4] = [Self::Processing, Self::Unknown, Self::Unseen, Self::Unfound];

    /// From now on import jobs take this long, and are stuck as far as SES tells.
    fn set(self, list: &MemoryList<MemoryClock>, import_wait: Duration) {
        list.set_rules(ListRules { import_wait, ..ListRules::default() });
        list.set_job_faults(JobFaults {
            reading_denied: matches!(self, Self::Unseen | Self::Unfound),
            status: (self == Self::Unknown).then_some("SUSPENDED"),
            ..JobFaults::default()
        });
    }
}

/// Hours pass, in which the function runs every minute. Returns how many minutes it told that a job is overdue.
async fn let_pass(world: &mut World, hours: u64) -> usize {
    let until = world.clock.now().plus(Duration::from_hours(hours));
    let mut overdue = 0;
    while world.clock.now() < until {
        let start = world.clock.now();
        overdue += world.run().await.metrics.get("ImportJobsOverdue");
        world.clock.set(world.clock.now().max(start.plus(MINUTE)));
    }
    overdue
}

#[tokio::test]
async fn a_job_that_never_ends_holds_its_addresses_for_an_hour() {
    for stuck in Stuck::ALL {
        let mut world = World::new().await;
        stuck.set(&world.list, Duration::from_hours(1000));
        world.list.insert("user9@example.com", Reason::Bounce);
        bounces(&world, 100).await;
        let create = if stuck == Stuck::Unfound { Fault::Unanswered } else { Fault::None };
        world.list.fault([Fault::None, create]);
        world.run().await.ran.unwrap().unwrap();
        world.say("user9@example.com", Say::Released).await;
        world.clock.advance(Duration::from_mins(50));
        let report = world.run().await;
        let unknown = report.metrics.get("ImportJobStatusesUnknown");
        assert_eq!(unknown > 0, stuck == Stuck::Unknown, "{stuck:?}");
        assert_eq!(
            (report.metrics.get("ImportJobsOverdue"), world.list.entries().len()),
            (0, 1),
            "{stuck:?}"
        );
        world.clock.advance(Duration::from_mins(10));
        let report = world.run().await;
        assert_eq!(report.metrics.get("ImportJobsOverdue"), 1, "{stuck:?}");
        assert!(world.list.entries().len() > 20, "{stuck:?}: what it held goes one by one");
        assert!(!world.list.entries().contains_key("user9@example.com"), "the release first");
        // As long as it may still run there is no other job, whatever comes.
        for n in 0..100 {
            world.say(&format!("later{n}@example.com"), Say::Bounced).await;
        }
        assert!(let_pass(&mut world, 1).await >= 59, "{stuck:?}");
        world.assert_right();
        assert_eq!((world.of("create_import_job"), world.list.entries().len()), (1, 199), "{stuck:?}");
        // Only the release is still looked after, since the job would undo that, and not for ever.
        assert_eq!(world.pending(), 1);
        world.clock.advance(Duration::from_hours(6 * 24));
        assert_eq!((let_pass(&mut world, 1).await > 0, world.pending()), (true, 1), "{stuck:?}");
        world.clock.advance(Duration::from_hours(24));
        let_pass(&mut world, 1).await;
        assert_eq!((let_pass(&mut world, 1).await, world.pending()), (0, 0), "{stuck:?}");
        bounces(&world, 100).await;
        world.run_until_quiet().await;
        assert_eq!(world.of("create_import_job"), 2, "{stuck:?}");
    }
}

#[tokio::test]
async fn what_an_overdue_job_overwrites_in_the_end_is_put_right() {
    for stuck in Stuck::ALL {
        let mut world = World::new().await;
        let job_wait = Duration::from_hours(10);
        stuck.set(&world.list, job_wait);
        bounces(&world, 100).await;
        let create = if stuck == Stuck::Unfound { Fault::Unanswered } else { Fault::None };
        world.list.fault([Fault::None, create]);
        world.run().await.ran.unwrap().unwrap();
        // Before the job is overdue, and after it, in time for it to be overwritten.
        world.say("User1@example.com", Say::Released).await;
        world.say("User2@example.com", Say::Complained).await;
        let_pass(&mut world, 4).await;
        world.say("User3@example.com", Say::Released).await;
        world.say("User4@example.com", Say::Complained).await;
        let_pass(&mut world, 4).await;
        world.assert_right();
        world.clock.advance(Duration::from_hours(2) + MINUTE);
        assert_eq!(world.list.entries().len(), 100, "{stuck:?}: the job has run");
        let_pass(&mut world, 1).await;
        world.assert_right();
        assert_eq!(world.list.entries().len(), 98, "{stuck:?}");
        if stuck == Stuck::Processing {
            assert_eq!((world.pending(), let_pass(&mut world, 1).await), (0, 0), "SES has told its end");
        }
    }
}

#[tokio::test]
async fn what_an_overdue_job_deletes_in_the_end_is_put_again() {
    let mut world = World::new().await;
    bounces(&world, 100).await;
    world.run_until_quiet().await;
    Stuck::Processing.set(&world.list, Duration::from_hours(10));
    for n in 0..100 {
        world.say(&format!("User{n}@example.com"), Say::Released).await;
    }
    world.run().await.ran.unwrap().unwrap();
    let_pass(&mut world, 2).await;
    world.assert_right();
    world.say("User1@example.com", Say::Bounced).await;
    let_pass(&mut world, 7).await;
    assert_eq!(world.list.entries(), entries(&[("User1@example.com", Reason::Bounce)]));
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(world.list.entries(), entries(&[]), "the job has run");
    let_pass(&mut world, 1).await;
    assert_eq!(world.list.entries(), entries(&[("User1@example.com", Reason::Bounce)]));
}

/// A job that takes longer than it should has not been for nothing.
#[tokio::test]
async fn what_an_overdue_job_has_done_counts_once_it_has_ended() {
    let mut world = World::new().await;
    Stuck::Processing.set(&world.list, Duration::from_mins(65));
    world.list.fail_in_jobs("User999@example.com");
    bounces(&world, 1000).await;
    world.run().await.ran.unwrap().unwrap();
    let_pass(&mut world, 2).await;
    world.assert_right();
    assert_eq!((world.of("create_import_job"), world.list.entries().len()), (1, 1000));
    assert!(world.of("put") < 400, "{}", world.of("put"));
}

#[tokio::test]
async fn a_run_that_finds_a_job_overdue_may_die_after_any_effect() {
    let mut effects = 0;
    loop {
        let mut world = World { requests_per_second: 0.1, ..World::new().await };
        Stuck::Processing.set(&world.list, Duration::from_hours(3));
        bounces(&world, 8).await;
        world.run().await.ran.unwrap().unwrap();
        world.say("User1@example.com", Say::Complained).await;
        world.say("User2@example.com", Say::Released).await;
        world.clock.advance(Duration::from_hours(1));
        let died = world.run_with("{}", effects).await.ran.is_none();
        world.clock.advance(2 * MINUTE);
        let_pass(&mut world, 4).await;
        world.run_until_quiet().await;
        world.assert_right();
        if !died {
            break;
        }
        effects += 1;
    }
    assert!(effects > 10, "{effects}");
}

#[tokio::test]
async fn a_job_that_ses_does_not_make_is_told_and_the_addresses_go_singly_at_once() {
    for fault in [Fault::Refused, Fault::Denied] {
        let mut world = World::new().await;
        bounces(&world, 100).await;
        world.list.fault([Fault::None, fault]);
        let report = world.run().await;
        assert_eq!((report.metrics.get("ImportJobsFailed"), report.metrics.get("Failed")), (1, 0));
        assert!(world.of("put") > 40, "{fault:?}: {}", world.of("put"));
        world.run_until_quiet().await;
        assert_eq!(world.of("create_import_job"), 1);
        world.assert_right();
    }
}

#[tokio::test]
async fn a_run_ends_while_the_index_still_shows_marks_that_were_taken_off() {
    let mut world = World::new().await;
    bounces(&world, 100).await;
    world.list.fault([Fault::None, Fault::Refused]);
    world.table.lag(3);
    world.run().await.ran();
    world.table.lag(0);
    world.run_until_quiet().await;
    world.assert_right();
}

/// Each of the jobs that are tried would keep an address waiting longer than the one before, if it were the address's fault.
#[tokio::test]
async fn a_role_that_may_never_make_jobs_is_no_dead_end() {
    let mut world = World { requests_per_second: 0.2, ..World::new().await };
    world.list.set_job_faults(JobFaults { creation_denied: true, ..JobFaults::default() });
    bounces(&world, 500).await;
    let minutes = world.run_until_quiet().await;
    assert!(minutes < 70, "{minutes}");
    world.assert_right();
}

#[tokio::test]
async fn no_job_is_made_of_what_was_right_long_ago() {
    let mut world = World::new().await;
    bounces(&world, 100).await;
    // SES is down for an hour, from the call that was to make the job.
    world.list.fault([Fault::None, Fault::Unavailable]);
    assert_eq!(world.run().await.ran(), RunOutcome::Left);
    world.clock.advance(Duration::from_hours(1));
    world.list.insert("User1@example.com", Reason::Complaint);
    world.say("User1@example.com", Say::Complained).await;
    world.say("User2@example.com", Say::Released).await;
    world.run_until_quiet().await;
    world.assert_right();
    let wrong = world.list.writes(0).into_iter().find(|write| match write.spelling.as_str() {
        "User1@example.com" => write.after == Some(Reason::Bounce),
        "User2@example.com" => write.after.is_some(),
        _ => false,
    });
    assert_eq!(wrong, None);
}

#[tokio::test]
async fn releases_and_complaints_do_not_wait_behind_bounces() {
    let mut world = World::new().await;
    let rules = ListRules { import_wait: Duration::from_secs(90), ..ListRules::default() };
    world.list.set_rules(rules);
    world.list.insert("jane@example.com", Reason::Bounce);
    bounces(&world, 100).await;
    world.run().await.ran();
    for n in 0..100 {
        world.say(&format!("later{n}@example.com"), Say::Bounced).await;
    }
    world.say("jane@example.com", Say::Released).await;
    world.say("joe@example.com", Say::Complained).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.run().await.ran(), RunOutcome::Left, "the bounces wait for the job's end");
    assert_eq!(world.list.entries(), entries(&[("joe@example.com", Reason::Complaint)]));
    assert_eq!((world.of("create_import_job"), world.of("put"), world.of("delete")), (1, 1, 1));
    world.run_until_quiet().await;
    world.assert_right();
}

/// More than a run looks at.
#[tokio::test]
async fn a_release_is_seen_behind_a_large_backlog() {
    let mut world = World::new().await;
    bounces(&world, 28_000).await;
    world.list.insert("jane@example.com", Reason::Bounce);
    world.clock.advance(MINUTE);
    world.say("jane@example.com", Say::Released).await;
    let start = world.clock.now();
    let _ = world.run_with("{}", usize::MAX).await;
    let deleted = world.list.writes(0).into_iter().find(|write| write.after.is_none()).unwrap();
    assert!(deleted.at < start.plus(MINUTE / 6), "{deleted:?}");
}

#[tokio::test]
async fn records_of_the_stream_that_can_not_be_read_are_counted() {
    let mut world = World::new().await;
    world.say("a@example.com", Say::Bounced).await;
    let images = world.table.stream(0);
    let mut event = stream_event(images.iter().map(|image| (image, world.clock.now())), REGION);
    let records = event["Records"].as_array_mut().unwrap();
    records.push(serde_json::json!({"dynamodb": {"NewImage": {"sk": {"S": "SUPPRESSION"}}}}));
    records.push(serde_json::json!({"dynamodb": 1}));
    let report = world.run_with(&event.to_string(), usize::MAX).await;
    assert_eq!((report.metrics.get("StreamRecordsUnread"), report.ran()), (2, RunOutcome::Drained));
    world.assert_right();
}

#[tokio::test]
async fn a_run_may_die_after_any_effect() {
    // Few, so that they go singly; and by job, with an interval that makes 5 a minute's worth.
    for (count, requests_per_second) in [(4, 1.0), (8, 0.1)] {
        let mut effects = 0;
        loop {
            let mut world = World { requests_per_second, ..World::new().await };
            world.say("gone@example.com", Say::Bounced).await;
            world.run_until_quiet().await;
            world.clock.advance(MINUTE);
            bounces(&world, count).await;
            world.say("gone@example.com", Say::Released).await;
            let died = world.run_with("{}", effects).await.ran.is_none();
            world.say("User1@example.com", Say::Complained).await;
            world.say("User2@example.com", Say::Released).await;
            world.clock.advance(2 * MINUTE);
            world.run_until_quiet().await;
            world.assert_right();
            if !died {
                break;
            }
            effects += 1;
        }
        assert!(effects > 10, "{effects}");
    }
}

/// What is done without jobs: calls, and how long they take.
async fn one_put_per_bounce(count: usize) -> (usize, Duration) {
    let world = World::new().await;
    let start = world.clock.now();
    for n in 0..count {
        world.list.put(&format!("User{n}@example.com"), Reason::Bounce).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
    }
    (world.calls(), world.clock.now().since(start))
}

#[tokio::test]
async fn twenty_thousand_bounces_at_one_request_a_second() {
    const STORM: usize = 20_000;
    let baseline = one_put_per_bounce(STORM).await;
    let mut world = World::new().await;
    bounces(&world, STORM).await;
    let start = world.clock.now();
    world.run_until_quiet().await;
    let took = world.clock.now().since(start);
    println!(
        "{STORM} bounces: {} SES calls in {} s: {:?}",
        world.calls(),
        took.as_secs(),
        world.list.calls()
    );
    println!("one Put per bounce: {} SES calls in {} s", baseline.0, baseline.1.as_secs());
    assert_eq!(world.list.entries().len(), STORM);
    assert!(world.calls() < 60 && took < 5 * MINUTE);
    world.assert_right();
}

/// No call deletes an address with a slash; whether a job fails at a spelling that is not there, nobody knows.
#[tokio::test]
async fn what_no_call_deletes_a_job_does() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new().await;
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        for spelling in ["Dept/X@example.com", "joe@example.com"] {
            world.say(spelling, Say::Bounced).await;
        }
        world.run_until_quiet().await;
        world.assert_right();
        for spelling in ["DEPT/X@example.com", "joe@example.com"] {
            world.say(spelling, Say::Released).await;
        }
        world.run_until_quiet().await;
        assert_eq!(world.list.entries(), entries(&[]));
        assert_eq!((world.of("create_import_job"), world.of("delete")), (1, 1));
        assert_eq!(world.outcome("dept/x@example.com").await, Some(OutcomeKind::Applied));
    }
}

#[tokio::test]
async fn what_only_a_job_deletes_waits_for_one_unless_there_are_none() {
    let mut world = World::new().await;
    world.say("a/b@example.com", Say::Bounced).await;
    world.run_until_quiet().await;
    world.say("a/b@example.com", Say::Released).await;
    world.clock.advance(MINUTE);
    // The account, the job: SES refuses it, and for a while none is made.
    world.list.fault([Fault::None, Fault::Refused]);
    assert_eq!((world.run().await.ran(), world.pending()), (RunOutcome::Left, 1));
    world.clock.advance(2 * MINUTE);
    assert_eq!((world.run().await.ran(), world.of("create_import_job")), (RunOutcome::Left, 1));
    assert!(world.run_until_quiet().await >= 8);
    assert_eq!((world.list.entries(), world.of("delete")), (entries(&[]), 0));

    let enabled = BTreeSet::from([Reason::Bounce, Reason::Complaint]);
    world.list.set_account(Account { production_access: false, enabled });
    world.say("a/b@example.com", Say::Released).await;
    world.clock.advance(MINUTE);
    world.run_until_quiet().await;
    assert_eq!(world.outcome("a/b@example.com").await, Some(OutcomeKind::FailedForGood));
}

/// Every address is on the list as it was spelled, and not as it is kept: half of a job's deletions find nothing.
#[tokio::test]
async fn a_job_that_fails_at_what_is_not_there_stands_in_nobodys_way() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new().await;
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        for say in [Say::Bounced, Say::Released] {
            for n in 0..70 {
                world.say(&format!("User{n}@example.com"), say).await;
            }
            let _ = world.run().await;
            world.clock.advance(MINUTE);
        }
        assert_eq!((world.list.entries(), world.of("create_import_job")), (entries(&[]), 2));
        for n in 0..70 {
            world.say(&format!("new{n}@example.com"), Say::Bounced).await;
        }
        assert!(world.run_until_quiet().await < 10);
        assert_eq!((world.list.entries().len(), world.of("create_import_job")), (70, 3));
        world.assert_right();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Say(u8, bool, Say),
    Run(usize, Vec<(u8, bool, Say)>),
    Wait(u16),
    Fault(Fault),
    Lag(u8),
}

fn said() -> impl Strategy<Value = (u8, bool, Say)> {
    let say = prop_oneof![Just(Say::Bounced), Just(Say::Complained), Just(Say::Released)];
    (0_u8..6, any::<bool>(), say)
}

fn spelled(address: u8, upper: bool) -> String {
    format!("{}{address}@example.com", if upper { "USER" } else { "user" })
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Throttled), Just(Fault::Unavailable), Just(Fault::Unanswered)];
    prop_oneof![
        8 => said().prop_map(|(address, upper, say)| Step::Say(address, upper, say)),
        3 => (0_usize..40, prop::collection::vec(said(), 0..4)).prop_map(|(effects, says)| Step::Run(effects, says)),
        2 => prop::collection::vec(said(), 0..4).prop_map(|says| Step::Run(usize::MAX, says)),
        3 => (0_u16..200).prop_map(Step::Wait),
        1 => fault.prop_map(Step::Fault),
        1 => (0_u8..4).prop_map(Step::Lag),
    ]
}

async fn live(steps: &[Step], requests_per_second: f64) {
    let mut world = World { requests_per_second, ..World::new().await };
    let rules = ListRules { import_wait: Duration::from_secs(70), ..ListRules::default() };
    world.list.set_rules(rules);
    for step in steps {
        match step {
            Step::Say(address, upper, say) => {
                world.say(&spelled(*address, *upper), *say).await;
            }
            Step::Run(effects, says) => {
                let stands = |world: &World| {
                    let complained = |state: &AddressState| {
                        let applied = state.applied().and_then(|applied| applied.reason);
                        state.effective() == Some(Reason::Complaint) && applied == Some(Reason::Complaint)
                    };
                    let states = world.table.states().into_iter().filter(complained);
                    let list = world.list.entries();
                    states
                        .filter(|state| state.job().is_none())
                        .filter_map(|state| state.spellings().first().map(str::to_owned))
                        .filter(|spelling| list.get(spelling) == Some(&Reason::Complaint))
                        .collect::<BTreeSet<_>>()
                };
                let mut before = stands(&world);
                let says: Vec<_> =
                    says.iter().map(|(address, upper, say)| (spelled(*address, *upper), *say)).collect();
                before.retain(|spelling| says.iter().all(|(said, _)| !said.eq_ignore_ascii_case(spelling)));
                let _ = world.run_while("{}", *effects, says).await;
                let after = world.list.entries();
                for spelling in before {
                    assert_eq!(after.get(&spelling), Some(&Reason::Complaint), "a complaint was overwritten");
                }
            }
            Step::Wait(seconds) => world.clock.advance(Duration::from_secs((*seconds).into())),
            Step::Fault(fault) => world.list.fault([*fault]),
            Step::Lag(writes) => world.table.lag((*writes).into()),
        }
    }
    world.table.lag(0);
    world.clock.advance(2 * MINUTE);
    world.run_until_quiet().await;
    world.assert_right();
    let calls = world.calls();
    world.clock.advance(MINUTE);
    world.run().await.ran();
    assert_eq!(world.calls(), calls, "what is right costs no call");
}

proptest! {
    #[test]
    fn whatever_happens_the_list_comes_right(
        steps in prop::collection::vec(step(), 0..40),
        slow: bool,
    ) {
        // Slow: three calls a minute, so that more goes by job.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(&steps, if slow { 0.1 } else { 1.0 }));
    }
}
