//! A Region of which the function is woken, and what is said of addresses there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::time::Duration;

use apply::handler::{ApplyError, RunOutcome};
use doubles::{Fuse, ListRules, MemoryClock, MemoryMetrics, MemoryPeers};
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::suppression_list::AccountStatus;
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote};
use mailroom_aws::table::states::StateTable;
use mailroom_core::address::Address;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;
use mailroom_core::suppression::{
    AddressState, StateChange, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use simulated_region::{Parameters, SimulatedRegion};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const MINUTE: Duration = Duration::from_mins(1);

/// One Region, between runs of the function.
pub(crate) struct World {
    pub(crate) shared: SimulatedRegion<MemoryClock>,
    pub(crate) requests_per_second: f64,
    pub(crate) trust_origin: bool,
    pub(crate) runs: usize,
}

impl Deref for World {
    type Target = SimulatedRegion<MemoryClock>;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

/// A run, and what it counted.
pub(crate) struct Report {
    /// `None`: it died.
    pub(crate) ran: Option<Result<RunOutcome, ApplyError>>,
    pub(crate) metrics: MemoryMetrics,
}

impl Report {
    pub(crate) fn ran(self) -> RunOutcome {
        self.ran.unwrap().unwrap()
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Say {
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
    async fn sleep(&self, duration: Duration) {
        self.world.clock.sleep(duration).await;
        let say = self.says.borrow_mut().pop_front();
        if let Some((spelling, say)) = say {
            self.world.say(&spelling, say).await;
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self::before_first_pass();
        let ended = FirstPassNote { ended_at: world.clock.now() };
        world.table.write_note(FIRST_PASS_NOTE, &ended);
        world
    }

    /// A world in which `User0@example.com` and so on have bounced.
    pub(crate) async fn with_bounces(count: usize) -> Self {
        let world = Self::new();
        world.say_numbered("User", count, Say::Bounced).await;
        world
    }

    pub(crate) fn before_first_pass() -> Self {
        let clock = MemoryClock::at(Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap());
        let (queues, parameters) = (MemoryPeers::default(), Parameters::default());
        Self {
            shared: SimulatedRegion::new(REGION, clock.clone(), clock, &queues, parameters),
            requests_per_second: 1.0,
            trust_origin: false,
            runs: 0,
        }
    }

    pub(crate) fn deadline() -> Deadline {
        Deadline::after(Duration::from_hours(1))
    }

    pub(crate) async fn say(&self, spelling: &str, say: Say) {
        if matches!(say, Say::Sandboxed) {
            let enabled = BTreeSet::from([SuppressionReason::Bounce, SuppressionReason::Complaint]);
            return self
                .list
                .set_account(AccountStatus { has_production_access: false, enabled_reasons: enabled });
        }
        self.clock.advance(Duration::from_millis(1));
        let now = self.clock.now();
        let address = Address::parse(spelling).unwrap();
        let (source, region) = (StatementSource::Bounce, "eu-west-1".to_owned());
        let said = |source| Statement { at: now, source, region: region.clone(), id: String::new() };
        let state = match say {
            Say::Bounced => SuppressionState::from_reason(SuppressionReason::Bounce, said(source)),
            Say::Complained => {
                SuppressionState::from_reason(SuppressionReason::Complaint, said(StatementSource::Complaint))
            }
            Say::Released => SuppressionState::from_release(said(StatementSource::Operator)),
            Say::Sandboxed => SuppressionState::default(),
        };
        self.join(address.match_form(), spelling, state).await;
    }

    pub(crate) async fn join(&self, address: &str, spelling: &str, state: SuppressionState) {
        let known = self.table.get_state(address, Self::deadline()).await.unwrap();
        let spellings = [spelling].into_iter().collect();
        let change = StateChange { address: address.to_owned(), spellings, state };
        if let Some(next) = AddressState::join_change(known.as_ref(), &change, self.clock.now()) {
            let read = known.map(|known| known.version());
            self.table.put_state(&next, read, Self::deadline()).await.unwrap();
        }
    }

    /// Says the same of each.
    pub(crate) async fn say_all(&self, spellings: &[&str], say: Say) {
        for spelling in spellings {
            self.say(spelling, say).await;
        }
    }

    /// Says the same of so many addresses: `User0@example.com` and so on.
    pub(crate) async fn say_numbered(&self, name: &str, count: usize, say: Say) {
        for n in 0..count {
            self.say(&format!("{name}{n}@example.com"), say).await;
        }
    }

    /// From now on import jobs take this long.
    pub(crate) fn set_import_wait(&self, import_wait: Duration) {
        self.list.set_rules(ListRules { import_wait, ..ListRules::default() });
    }

    pub(crate) async fn state(&self, address: &str) -> AddressState {
        self.table.get_state(address, Self::deadline()).await.unwrap().unwrap()
    }

    pub(crate) async fn outcome(&self, address: &str) -> Option<ApplyOutcomeKind> {
        self.state(address).await.current_apply_outcome().map(|outcome| outcome.kind)
    }

    pub(crate) fn pending(&self) -> usize {
        self.table.states().iter().filter(|state| state.is_pending()).count()
    }

    pub(crate) fn calls(&self) -> usize {
        self.list.calls().values().sum()
    }

    pub(crate) fn of(&self, name: &str) -> usize {
        self.list.calls().get(name).copied().unwrap_or(0)
    }

    /// A run of a minute that bears so many effects.
    pub(crate) async fn run_with(&mut self, payload: &str, effects: usize) -> Report {
        self.run_while(payload, effects, Vec::new()).await
    }

    /// A run while which this is said, a thing each time that it waits.
    pub(crate) async fn run_while(
        &mut self,
        payload: &str,
        effects: usize,
        says: Vec<(String, Say)>,
    ) -> Report {
        self.runs += 1;
        let fuse = Fuse::default();
        fuse.set(effects);
        let mut region = self.with_fuse(&fuse);
        region.parameters.requests_per_second = self.requests_per_second;
        region.parameters.trust_origin = self.trust_origin;
        let clock = Meanwhile { world: self, says: RefCell::new(says.into()) };
        let apply = region.apply(region.list.clone(), clock);
        let holder = format!("run {}", self.runs);
        let ran = fuse.run(apply.handle(payload, &holder, Deadline::after(MINUTE))).await;
        Report { ran, metrics: apply.metrics }
    }

    pub(crate) async fn run(&mut self) -> Report {
        self.run_with("{}", usize::MAX).await
    }

    /// Runs every minute until nothing is pending; how many minutes that took.
    pub(crate) async fn run_until_quiet(&mut self) -> u64 {
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

    /// Hours pass, in which the function runs every minute. Returns how many minutes it told that a job is overdue.
    pub(crate) async fn let_pass(&mut self, hours: u64) -> usize {
        let until = self.clock.now().plus(Duration::from_hours(hours));
        let mut overdue = 0;
        while self.clock.now() < until {
            let start = self.clock.now();
            overdue += self.run().await.metrics.get("ImportJobsOverdue");
            self.clock.set(self.clock.now().max(start.plus(MINUTE)));
        }
        overdue
    }

    /// The list is what the states say, in no spelling more.
    pub(crate) fn assert_right(&self) {
        let mut expected = BTreeMap::new();
        for state in self.table.states() {
            if let Some(reason) = state.effective_reason() {
                expected.insert(state.spellings().first().unwrap().to_owned(), reason);
            }
            assert!(state.assigned_job().is_none(), "{state:?}");
        }
        assert_eq!(self.list.entries(), expected);
    }
}

pub(crate) fn entries(expected: &[(&str, SuppressionReason)]) -> BTreeMap<String, SuppressionReason> {
    expected.iter().map(|(spelling, reason)| ((*spelling).to_owned(), *reason)).collect()
}
