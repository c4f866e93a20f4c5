//! The Regions of a history, what happens to them, and how they come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;
use std::time::Duration;

use apply::handler::RunOutcome;
use doubles::{EventKind, Fault, Fuse, JobFaults, ListRules, ListWriter, MailEvent, MemoryPeers, Vocabulary};
use fastrand::Rng;
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::peer_queues::PeerError;
use mailroom_aws::suppression_list::AccountStatus;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::address::Address;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::{CandidatePolicy, SuppressionPolicy, TransientThreshold};
use mailroom_core::suppression::reconcile::{EmptiedListGuard, MissingEntryPolicy};
use mailroom_core::suppression::{AddressState, SuppressionReason};
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::{PassOutcome, ReconcileRequest};
use simulated_region::{ACCOUNT, Parameters};

use crate::coverage::Coverage;
use crate::law::soft::latest_deliveries_are_kept;
use crate::law::{Broken, broken, is_what_was_said};
use crate::region::{Ended, Region, at_once};
use crate::soft::SoftBounces;
use crate::step::{Function, Lost, Step};
use crate::tasks::{Tasks, Turn};
use crate::time::Time;
use crate::truth::{self, Truth, Weight};

const NAMES: [&str; 3] = ["us-east-1", "us-west-2", "eu-west-1"];
/// The spellings of three addresses. The last one of each is one that only comes from editing a list by hand.
const ADDRESSES: [[&str; 3]; 3] = [
    ["Ann@example.com", "ann@example.com", "ANN@example.com"],
    ["bob@example.com", "Bob@Example.com", "BOB@example.com"],
    ["Cy@example.com", "cy@example.com", "cY@example.com"],
];
/// Whoever reads the mail whose bounce names somebody else.
const READER: &str = "reader@example.net";
const SIMULATOR: &str = "bounce@simulator.amazonses.com";
const START: i64 = 1_769_940_000_000;
/// The number of turns in which whatever is at work must come to its end.
const MOST_TURNS: usize = 200_000;
const MINUTE: Duration = Duration::from_mins(1);
/// A little longer than the time from one pass of reconcile to the next.
const PASS: Duration = Duration::from_mins(6 * 60 + 11);
const WEEK: Duration = Duration::from_hours(7 * 24);

/// What is fixed during a history: parameters, clocks, and how SES behaves.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own")]
pub struct Config {
    /// The number of Regions: two or three.
    pub regions: usize,
    /// The number of addresses that anything is said about.
    pub addresses: usize,
    /// Apply's pace, in calls per second. At a slow pace few addresses go singly within a minute, and the rest by import
    /// job.
    pub requests_per_second: f64,
    /// Apply's parameter `TrustOrigin`.
    pub trust_origin: bool,
    /// Reconcile's parameter `PutBack`.
    pub put_back: bool,
    /// Decide's parameter `ComplaintCandidates`: whether it is `all`.
    pub all_candidates: bool,
    /// Decide's parameter `UndeterminedBounces`: whether it is `count`.
    pub count_undetermined: bool,
    /// Decide's parameter `SoftBounces`: how many suppress if it is `count`; `None` if it is `off`.
    pub soft_bounces: Option<TransientThreshold>,
    /// Whether reconcile has been through all lists before anything happens.
    pub settled: bool,
    /// How long SES's import jobs wait before their first record, and how long they take for each.
    pub job: (Duration, Duration),
    /// Whether SES tells which records of a job have failed.
    pub tells_failed: bool,
    /// The address whose records fail in jobs; `None` if none do.
    pub fails_in_jobs: Option<usize>,
    /// The number of entries on a page of a list.
    pub page: usize,
    /// By how many milliseconds clocks are ahead: those of Lambda, DynamoDB and SES in each Region, then the operators'.
    pub clocks: Vec<i64>,
    /// The seed that decides whose turn it is.
    pub seed: u64,
}

/// A history: what is on the lists at first, and what happens then.
#[derive(Debug, Clone)]
pub struct History {
    /// What is fixed during the history.
    pub config: Config,
    /// The entries that were on lists before Mailroom came: Region, address, spelling, reason.
    pub entries: Vec<(usize, usize, usize, SuppressionReason)>,
    /// The steps, one after the other.
    pub steps: Vec<Step>,
}

struct World {
    config: Config,
    time: Time,
    rng: Rng,
    regions: Vec<Region>,
    peers: MemoryPeers,
    tasks: Tasks<Ended>,
    truth: Truth,
    coverage: Coverage,
    said: usize,
    decisions: usize,
    /// The number of invocations under way, by Region and function.
    under_way: BTreeMap<(usize, &'static str), usize>,
}

/// Runs a history, lets everything come to rest, and checks the laws. Returns what happened in it.
///
/// # Errors
/// The first law that was broken.
pub fn run(history: &History) -> Result<Coverage, Broken> {
    // Nothing waits for this runtime's time: deadlines are far away, and only virtual time goes by.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| Broken(format!("no runtime: {error}")))?;
    let _entered = runtime.enter();
    let mut world = World::new(history);
    if history.config.settled {
        world.reconcile_all()?;
    }
    for step in &history.steps {
        world.take(step)?;
    }
    world.come_to_rest()?;
    Ok(world.coverage)
}

impl World {
    fn new(history: &History) -> Self {
        let config = history.config.clone();
        let time = Time::at(Timestamp::from_millis(START).unwrap_or(Timestamp::MIN));
        let peers = MemoryPeers::default();
        let policy = SuppressionPolicy {
            transient_threshold: config.soft_bounces,
            count_undetermined: config.count_undetermined,
            candidate_policy: if config.all_candidates {
                CandidatePolicy::SuppressAll
            } else {
                CandidatePolicy::SuppressNone
            },
            ..SuppressionPolicy::default()
        };
        let names = &NAMES[..config.regions.clamp(1, NAMES.len())];
        let clock = |index: usize| time.clock(config.clocks.get(index).copied().unwrap_or(0));
        let region = |(index, name): (usize, &&'static str)| {
            let parameters = Parameters {
                policy: policy.clone(),
                requests_per_second: config.requests_per_second,
                trust_origin: config.trust_origin,
                gone: if config.put_back {
                    MissingEntryPolicy::PutBack
                } else {
                    MissingEntryPolicy::AcceptRemoval
                },
                ..Parameters::of(name, names)
            };
            let clocks = [clock(3 * index), clock(3 * index + 1), clock(3 * index + 2)];
            let region = Region::new(name, clocks, &peers, parameters);
            region.list.set_rules(ListRules {
                import_wait: config.job.0,
                import_per_record: config.job.1,
                page: config.page,
                ..ListRules::default()
            });
            region.list.set_job_faults(JobFaults {
                failed_records_hidden: !config.tells_failed,
                ..JobFaults::default()
            });
            if let Some(who) = config.fails_in_jobs {
                for spelling in ADDRESSES[who % ADDRESSES.len()] {
                    region.list.fail_in_jobs(spelling);
                }
            }
            region
        };
        let regions: Vec<_> = names.iter().enumerate().map(region).collect();
        let mut world = Self {
            rng: Rng::with_seed(config.seed),
            config,
            time,
            regions,
            peers,
            tasks: Tasks::new(),
            truth: Truth { soft: SoftBounces::new(history.config.soft_bounces), ..Truth::default() },
            coverage: Coverage::default(),
            said: 0,
            decisions: 0,
            under_way: BTreeMap::new(),
        };
        for (region, who, spelling, reason) in &history.entries {
            world.edit(*region, *who, *spelling, Some(*reason));
        }
        // The entries were put there long ago.
        world.time.go_on_to(world.time.now().plus(PASS));
        world
    }

    fn spelling(&self, who: usize, spelling: usize) -> &'static str {
        // An address that always fails in jobs must go singly. Its three spellings would be three calls, which at the slow
        // pace is enough for a job.
        let spellings = if self.config.fails_in_jobs.is_some() { 2 } else { 3 };
        ADDRESSES[who % self.config.addresses.clamp(1, ADDRESSES.len())][spelling % spellings]
    }

    fn take(&mut self, step: &Step) -> Result<(), Broken> {
        let count = self.regions.len();
        let of = |region: usize| region % count;
        match *step {
            Step::Says { region, said, who, spelling, ago, told, copies, lists } => {
                self.says(of(region), said, (who, spelling), ago, (told, copies), lists);
            }
            Step::Decides { region, who, suppress } => self.decides(of(region), who, suppress)?,
            Step::Edits { region, who, spelling, put } => {
                self.coverage.note(if put.is_some() {
                    "entries put by hand"
                } else {
                    "entries taken off by hand"
                });
                self.edit(of(region), who, spelling, put);
            }
            Step::Wakes { region, function, dies_after } => self.wake(of(region), function, dies_after),
            Step::Loses { region, what } => self.lose(of(region), what),
            Step::Unreachable { region, down } => {
                let error = down.then(|| PeerError::Unavailable("down".to_owned()));
                self.coverage.count("Regions that could not be reached", usize::from(down));
                self.peers.fail(self.regions[of(region)].name, error);
            }
            Step::Sandbox { region, inside } => self.set_account(of(region), !inside),
            Step::Faults { region, fault, calls } => {
                let region = &mut self.regions[of(region)];
                region.list.fault(repeat_n(fault, calls));
                let what = match fault {
                    Fault::Throttled => "calls throttled",
                    Fault::Unanswered => "calls done and not answered",
                    _ => "calls that failed",
                };
                self.coverage.count(what, calls);
                region.excuses += 3 * calls;
            }
            Step::Lags { region, writes } => self.regions[of(region)].table.lag(writes),
            Step::Turns(turns) => self.turns(turns)?,
            Step::Time(by) => self.pass(by)?,
            Step::Minute { region } => {
                let region = of(region);
                for function in [Function::Feedback, Function::Decide, Function::Merge, Function::Apply] {
                    self.wake(region, function, None);
                    self.pass(Duration::from_secs(1))?;
                }
                self.pass(MINUTE)?;
            }
        }
        self.observe_all()
    }

    fn says(
        &mut self,
        index: usize,
        said: EventKind,
        (who, spelling): (usize, usize),
        ago: i32,
        (told, copies): (Vocabulary, usize),
        lists: bool,
    ) {
        let first = self.spelling(who, spelling % 2);
        let second = self.spelling(who + 1, spelling % 2);
        let to: &[&str] = match said {
            EventKind::Simulator => &[SIMULATOR],
            EventKind::ComplaintOfSeveral => &[first, second],
            _ => &[first],
        };
        let destination: &[&str] = if said == EventKind::ThirdParty { &[READER] } else { to };
        // If an event is dated ahead, the second of its formats can't be told from an event that happened later.
        let told = if ago < 0 && told == Vocabulary::Both { Vocabulary::Identity } else { told };
        // An identity's notifications tell of no deliveries, so what they alone tell is not counted.
        let counts = self.config.soft_bounces.is_some() && told != Vocabulary::Identity;
        let several = said == EventKind::ComplaintOfSeveral && to.iter().collect::<BTreeSet<_>>().len() > 1;
        let weight = match said {
            EventKind::Permanent => Weight::Enough(SuppressionReason::Bounce),
            EventKind::Complaint => Weight::Enough(SuppressionReason::Complaint),
            EventKind::ComplaintOfSeveral if self.config.all_candidates || !several => {
                Weight::Enough(SuppressionReason::Complaint)
            }
            EventKind::Transient if counts => Weight::Counts,
            EventKind::Undetermined if counts && self.config.count_undetermined => Weight::Counts,
            EventKind::ComplaintOfSeveral
            | EventKind::Transient
            | EventKind::Undetermined
            | EventKind::AutoResponse
            | EventKind::Refusal
            | EventKind::ThirdParty
            | EventKind::TooLarge
            | EventKind::Delayed
            | EventKind::NotSpam
            | EventKind::EchoOfBounce
            | EventKind::EchoOfComplaint
            | EventKind::Simulator => Weight::Nothing,
            EventKind::Delivery => Weight::Resets,
        };
        self.coverage.note(match said {
            EventKind::EchoOfBounce | EventKind::EchoOfComplaint => "echoes",
            EventKind::Simulator => "bounces at the simulator",
            EventKind::Transient => "transient bounces",
            EventKind::AutoResponse => "automatic replies",
            EventKind::Refusal => "refusals by SES",
            EventKind::ThirdParty => "bounces of third parties",
            EventKind::Delivery => "deliveries",
            EventKind::ComplaintOfSeveral => "complaints of one of several",
            EventKind::Permanent | EventKind::Complaint => "permanent bounces and complaints",
            _ => "events that say nothing against an address",
        });
        self.coverage.count("events dated ahead", usize::from(ago < 0));
        self.coverage.count("events in both vocabularies", usize::from(told == Vocabulary::Both));
        self.coverage.count("events told again", copies);
        self.said += 1;
        let id = format!("event-{}", self.said);
        let now = self.time.now();
        let by = Duration::from_secs(ago.unsigned_abs().into());
        let occurred_at = if ago < 0 { now.plus(by) } else { now.minus(by) };
        let sent_at = occurred_at.minus(Duration::from_secs(2));
        let name = self.regions[index].name;
        let event = MailEvent {
            kind: said,
            to,
            destination,
            id: &id,
            sent_at,
            occurred_at,
            account: ACCOUNT,
            region: name,
        };
        for body in event.messages(told) {
            for _ in 0..=copies {
                self.regions[index].feedback_queue.send(body.clone());
            }
        }
        let reason = match said {
            EventKind::Permanent => Some(SuppressionReason::Bounce),
            EventKind::Complaint => Some(SuppressionReason::Complaint),
            _ => None,
        };
        // SES does not put a bounce over its own complaint.
        let stands = self.regions[index].list.entries().get(first).copied();
        if let Some(reason) = reason.filter(|reason| lists && stands < Some(*reason)) {
            self.coverage.note("entries put by SES itself");
            self.edit(index, who, spelling % 2, Some(reason));
        }
        if weight == Weight::Counts {
            self.truth.soft.bounce(name, &first.to_lowercase(), &id, occurred_at);
        }
        if said == EventKind::Delivery {
            self.truth.soft.delivery(name, &first.to_lowercase(), occurred_at);
        }
        let addresses = to.iter().map(|to| to.to_lowercase()).collect();
        let event = truth::Event { region: name, addresses, weight, occurred_at };
        self.truth.events.insert(id, event);
    }

    fn decides(
        &mut self,
        index: usize,
        who: usize,
        suppress: Option<SuppressionReason>,
    ) -> Result<(), Broken> {
        self.decisions += 1;
        let spelling = self.spelling(who, 0);
        let address = Address::parse(spelling).map_err(|_| Broken(format!("{spelling} is no address")))?;
        let operators = self.time.clock(self.config.clocks.last().copied().unwrap_or(0));
        let nonce = self.decisions.to_string();
        let known = self.regions[index].state(address.match_form());
        let known = known.map(|state| state.state().clone()).unwrap_or_default();
        let decision =
            OperatorDecision::new(&address, suppress, "ops", "why", operators.now(), &known, &nonce);
        // A law: a decision stands over whatever the operator had read, whatever the clocks.
        let decided =
            known.join(&decision.to_state_change(self.regions[index].name).state).effective_reason();
        if decided != suppress && (suppress.is_none() || decided < suppress) {
            return broken(format!("{decision:?} changes nothing of {known:?}"));
        }
        self.coverage.count(
            "decisions that overrule later times",
            usize::from(decision.overrules >= Some(decision.decided_at)),
        );
        let at = decision.takes_effect_at();
        let decided = truth::Decision { address: decision.address.clone(), suppress, at };
        self.truth.decisions.insert(decision.sk.clone(), decided);
        let decisions = [decision];
        let append = self.regions[index].table.append(&decisions, Deadline::after(std::time::Duration::ZERO));
        if at_once(append).is_none_or(|failures| !failures.is_empty()) {
            return broken("a decision could not be recorded");
        }
        Ok(())
    }

    fn edit(&mut self, region: usize, who: usize, spelling: usize, put: Option<SuppressionReason>) {
        let spelling = self.spelling(who, spelling);
        let index = region % self.regions.len();
        let list = &self.regions[index].list;
        match put {
            Some(reason) => {
                list.insert(spelling, reason);
                let address = spelling.to_lowercase();
                self.truth.entries.push(truth::Entry { address, at: self.time.now() });
            }
            None => list.remove(spelling),
        }
    }

    fn set_account(&mut self, index: usize, production_access: bool) {
        let enabled = BTreeSet::from([SuppressionReason::Bounce, SuppressionReason::Complaint]);
        self.coverage.count("accounts in the sandbox", usize::from(!production_access));
        self.regions[index].list.set_account(AccountStatus {
            has_production_access: production_access,
            enabled_reasons: enabled,
        });
    }

    fn lose(&mut self, index: usize, what: Lost) {
        match what {
            Lost::StreamRecords => {
                let (lost, until) = self.regions[index].undecided(usize::MAX);
                self.coverage.count("stream records lost", lost.len());
                self.regions[index].decided = until;
            }
            Lost::PeersMessages => {
                self.bring_messages();
                let lost = self.regions[index].merge_queue.lose();
                self.coverage.count("peers' messages lost", lost);
            }
        }
    }

    fn bring_messages(&mut self) {
        for region in &mut self.regions {
            for message in self.peers.receive(region.name) {
                region.merge_queue.send(message);
            }
        }
    }

    fn wake(&mut self, index: usize, function: Function, dies_after: Option<usize>) {
        self.bring_messages();
        let fuse = Fuse::default();
        if let Some(effects) = dies_after {
            fuse.set(effects);
        }
        let name = name(function);
        let others = self.under_way.entry((index, name)).or_default();
        let twice = *others > 0;
        let most = self.rng.usize(1..6);
        let rng = &mut self.rng;
        let region = &mut self.regions[index];
        match function {
            Function::Feedback => {
                let Some(batch) = region.feedback_queue.receive(most, twice, rng) else { return };
                let invocation = region.feedback(batch, fuse);
                self.tasks.spawn(index, invocation);
            }
            Function::Merge => {
                let Some(batch) = region.merge_queue.receive(most, twice, rng) else { return };
                let invocation = region.merge(batch, fuse);
                self.tasks.spawn(index, invocation);
            }
            Function::Decide => {
                let (batch, until) = region.undecided(most);
                if batch.is_empty() {
                    region.decided = until;
                    return;
                }
                let payload = region.batch(batch.into_iter());
                let invocation = region.decide(payload, Some(until), fuse);
                self.tasks.spawn(index, invocation);
            }
            Function::DecideAgain => {
                let done: Vec<_> = (0..region.decided).filter(|index| region.is_decidable(*index)).collect();
                if done.is_empty() {
                    return;
                }
                let from = rng.usize(0..done.len());
                let payload = region.batch(done.into_iter().skip(from).take(most));
                let invocation = region.decide(payload, None, fuse);
                self.coverage.note("stream records brought again");
                self.tasks.spawn(index, invocation);
            }
            Function::Apply => {
                let payload = region.newly_pending();
                let invocation = region.apply(payload, fuse);
                self.tasks.spawn(index, invocation);
            }
            Function::Reconcile => {
                let wake = ReconcileRequest { start_pass: rng.bool(), ..ReconcileRequest::default() };
                let invocation = region.reconcile(wake, fuse);
                self.tasks.spawn(index, invocation);
            }
        }
        *others += 1;
        if twice {
            self.coverage.note(match function {
                Function::Feedback => "two instances of feedback",
                Function::Decide | Function::DecideAgain => "two instances of decide",
                Function::Merge => "two instances of merge",
                Function::Apply => "two instances of apply",
                Function::Reconcile => "two instances of reconcile",
            });
        }
    }

    fn ended(&mut self, index: usize, ended: Ended) {
        let (name, died) = match &ended {
            Ended::Feedback { failed, .. } => ("feedback", failed.is_none()),
            Ended::Merge { failed, .. } => ("merge", failed.is_none()),
            Ended::Decide { done, .. } => ("decide", done.is_none()),
            Ended::Apply { died, .. } => ("apply", *died),
            Ended::Reconcile { died, .. } => ("reconcile", *died),
        };
        if let Some(count) = self.under_way.get_mut(&(index, name)) {
            *count = count.saturating_sub(1);
        }
        if died {
            self.coverage.note(match name {
                "feedback" => "deaths of feedback",
                "merge" => "deaths of merge",
                "decide" => "deaths of decide",
                "apply" => "deaths of apply",
                _ => "deaths of reconcile",
            });
        }
        let region = &mut self.regions[index];
        match ended {
            Ended::Feedback { batch, failed } => region.feedback_queue.settle(&batch, failed.as_ref()),
            Ended::Merge { batch, failed } => region.merge_queue.settle(&batch, failed.as_ref()),
            Ended::Decide { until, done } => {
                if done == Some(true) {
                    region.decided = region.decided.max(until.unwrap_or(0));
                }
            }
            Ended::Apply { died, ran, started, failed } => {
                self.coverage.count("import jobs", started);
                // A run that was cut off is begun again, and may write what was written already.
                region.excuses += match ran {
                    None if died => 3,
                    None | Some(RunOutcome::Left) => 1,
                    Some(RunOutcome::Busy | RunOutcome::Drained) => 0,
                };
                self.coverage.count(
                    "apply had to leave something",
                    usize::from(matches!(ran, Some(RunOutcome::Left))),
                );
                self.coverage
                    .count("apply found another at work", usize::from(matches!(ran, Some(RunOutcome::Busy))));
                let in_jobs = self.config.fails_in_jobs.is_some() && self.config.requests_per_second < 1.0;
                self.coverage.count("records that failed in import jobs", if in_jobs { failed } else { 0 });
            }
            Ended::Reconcile { woken, .. } => {
                if let Some(woken) = woken {
                    self.coverage.count("records decided late", woken.looked_back.records_decided);
                    self.coverage.count("states pushed", woken.pushed.states);
                    if let PassOutcome::Ended(counts) = woken.passed {
                        self.coverage.count("mended by reconcile", counts.mended);
                        self.coverage.count("drift", counts.drifted);
                    }
                }
            }
        }
    }

    fn turn(&mut self) -> Result<bool, Broken> {
        let Some(Turn { region, ended }) = self.tasks.turn(&mut self.rng) else { return Ok(false) };
        self.observe(region)?;
        if let Some(ended) = ended {
            self.ended(region, ended);
        }
        Ok(true)
    }

    fn turns(&mut self, turns: usize) -> Result<(), Broken> {
        for _ in 0..turns {
            if !self.turn()? {
                break;
            }
        }
        Ok(())
    }

    /// Lets time go by, in which everybody does what they can.
    fn pass(&mut self, by: Duration) -> Result<(), Broken> {
        let until = self.time.now().plus(by);
        for _ in 0..MOST_TURNS {
            if self.turn()? {
                continue;
            }
            match self.time.next() {
                Some(next) if next <= until => self.time.go_on_to(next),
                _ => {
                    self.time.go_on_to(until);
                    return self.observe_all();
                }
            }
        }
        broken("somebody is at work and does not come to an end")
    }

    fn observe_all(&mut self) -> Result<(), Broken> {
        (0..self.regions.len()).try_for_each(|region| self.observe(region))
    }

    /// Checks what was written since this was last called against the laws of a moment.
    fn observe(&mut self, index: usize) -> Result<(), Broken> {
        let now = self.time.now();
        let region = &mut self.regions[index];
        for image in region.observe() {
            if let Some(event_id) = image.new["event_id"].as_str()
                && image.new["format"] == "event"
            {
                self.truth.soft.recorded(region.name, event_id, now);
            }
            if image.new["sk"] == "DELIVERED" {
                let at = image.new["occurred_at"].as_str().and_then(Timestamp::parse);
                let address = image.new["address"].as_str();
                if let Some((address, at)) = address.zip(at) {
                    self.truth.soft.written(region.name, address, at, now);
                }
            }
            if image.new["sk"] == "SUPPRESSION" {
                let state = serde_json::from_value(image.new).map_err(|error| Broken(error.to_string()))?;
                let coverage = &mut self.coverage;
                region.chronicle.state_written(region.name, state, now, &self.truth, coverage)?;
            }
        }
        let writes = region.list.writes(region.writes);
        region.writes += writes.len();
        for write in writes {
            let ended = region.first_pass_ended;
            region.chronicle.list_written(region.name, &write, ended, now, &mut self.coverage)?;
        }
        Ok(())
    }

    /// Ends all trouble, and lets everybody do what is left to do.
    fn come_to_rest(&mut self) -> Result<(), Broken> {
        for index in 0..self.regions.len() {
            self.peers.fail(self.regions[index].name, None);
            self.set_account(index, true);
            self.regions[index].table.lag(0);
            self.regions[index].list.recover();
            // Entries that were removed by hand are a large share of so short a list: an operator has looked.
            self.regions[index].shared.parameters.guard = EmptiedListGuard { max_missing_percent: 100 };
        }
        for round in 0..12 {
            let before: Vec<_> = self.regions.iter().map(|region| region.changes.len()).collect();
            // Longer than any lease, and than reconcile waits; once also longer than what reconcile does every week.
            self.pass(if round == 1 { WEEK + PASS } else { PASS })?;
            self.deliver()?;
            self.apply_all()?;
            self.pass(MINUTE * 10)?;
            let agree = self.reconcile_all()?;
            self.deliver()?;
            self.apply_all()?;
            let after = self.regions.iter().map(|region| region.changes.len());
            if round >= 3 && agree && before.into_iter().eq(after) {
                return self.at_rest();
            }
        }
        broken(format!("no rest: {:?}", self.regions.iter().map(states).collect::<Vec<_>>()))
    }

    /// Wakes the functions until nothing is left in queues and streams.
    fn deliver(&mut self) -> Result<(), Broken> {
        for _ in 0..1000 {
            self.bring_messages();
            let mut idle = true;
            for index in 0..self.regions.len() {
                let region = &self.regions[index];
                let waits = [
                    (Function::Feedback, region.feedback_queue.len() > 0),
                    (Function::Decide, region.decided < region.changes.len()),
                    (Function::Merge, region.merge_queue.len() > 0),
                ];
                for (function, waits) in waits {
                    if waits {
                        idle = false;
                        self.wake(index, function, None);
                    }
                }
            }
            if idle {
                return Ok(());
            }
            self.pass(Duration::from_secs(1))?;
        }
        broken("queues and streams do not become empty")
    }

    /// Wakes apply every two minutes until nothing is due.
    fn apply_all(&mut self) -> Result<(), Broken> {
        for minute in 0..60 {
            // What has failed is due again soon, so it counts as due.
            let soon = self.time.now().plus(MINUTE * 15);
            let due = |region: &Region| {
                region.table.states().iter().any(|state| state.due_at().is_some_and(|at| at <= soon))
            };
            // Everybody is woken at first: even if nothing is due, an import job may have to be ended.
            let due: Vec<_> =
                (0..self.regions.len()).filter(|index| minute == 0 || due(&self.regions[*index])).collect();
            if due.is_empty() {
                break;
            }
            for index in due {
                self.wake(index, Function::Apply, None);
            }
            self.pass(MINUTE * 2)?;
        }
        Ok(())
    }

    /// Wakes reconcile every five minutes until a pass has ended in each Region. Returns whether lists and states agree in
    /// all of them.
    fn reconcile_all(&mut self) -> Result<bool, Broken> {
        let mut agree = true;
        for index in 0..self.regions.len() {
            let mut ended = None;
            for _ in 0..12 {
                let wake = ReconcileRequest { start_pass: ended.is_none(), ..ReconcileRequest::default() };
                let invocation = self.regions[index].reconcile(wake, Fuse::default());
                self.tasks.spawn(index, invocation);
                let until = self.time.now().plus(MINUTE * 5);
                while let Some(Turn { region, ended: end }) = self.next_turn(until)? {
                    self.observe(region)?;
                    if let Some(Ended::Reconcile { woken: Some(woken), .. }) = &end
                        && region == index
                    {
                        ended = match woken.passed {
                            PassOutcome::Ended(counts) => Some(counts.differ + counts.busy == 0),
                            PassOutcome::GuardTripped(_) => Some(false),
                            PassOutcome::NotDue | PassOutcome::Unfinished(_) => None,
                        };
                    }
                    if let Some(end) = end {
                        self.ended(region, end);
                    }
                }
                if ended.is_some() {
                    break;
                }
            }
            let Some(ended) = ended else { return broken("a pass does not end") };
            agree &= ended;
        }
        Ok(agree)
    }

    /// Gives the next turn before `until`, and lets time go by while everybody waits for it. `None` if there is no turn
    /// before that.
    fn next_turn(&mut self, until: Timestamp) -> Result<Option<Turn<Ended>>, Broken> {
        for _ in 0..MOST_TURNS {
            if let Some(turn) = self.tasks.turn(&mut self.rng) {
                return Ok(Some(turn));
            }
            match self.time.next() {
                Some(next) if next <= until => self.time.go_on_to(next),
                _ => {
                    self.time.go_on_to(until);
                    return Ok(None);
                }
            }
        }
        broken("somebody sleeps and sleeps")
    }

    /// Checks the laws that hold once everything is at rest.
    fn at_rest(&mut self) -> Result<(), Broken> {
        if !self.tasks.is_empty() {
            return broken("somebody is still at work");
        }
        let home = said(&self.regions[0]);
        for region in &self.regions {
            if said(region) != home {
                return broken(format!(
                    "{} and {} differ: {:?} {:?}",
                    NAMES[0],
                    region.name,
                    home,
                    said(region)
                ));
            }
            list_is_right(region)?;
            latest_deliveries_are_kept(region.name, &region.table.records(), &self.truth)?;
            calls_are_bounded(region)?;
            let most = 4 * (region.chronicle.needs() + region.excuses);
            let others = region.list.writes(0).iter().filter(|write| write.by == ListWriter::Others).count();
            if region.writes - others > most {
                return broken(format!(
                    "{}: {} writes where {most} were enough",
                    region.name,
                    region.writes - others
                ));
            }
        }
        for [spelling, ..] in ADDRESSES {
            let address = spelling.to_lowercase();
            is_what_was_said(&address, self.regions[0].state(&address).as_ref(), &self.truth)?;
        }
        self.stays_at_rest()
    }

    /// A law: what is right costs no call and no write.
    fn stays_at_rest(&mut self) -> Result<(), Broken> {
        let calls = |world: &Self| world.regions.iter().map(|region| region.list.calls()).collect::<Vec<_>>();
        let before = calls(self);
        for index in 0..self.regions.len() {
            self.wake(index, Function::Apply, None);
        }
        self.pass(MINUTE)?;
        if calls(self) != before {
            return broken(format!("calls of SES for nothing: {before:?} {:?}", calls(self)));
        }
        Ok(())
    }
}

fn name(function: Function) -> &'static str {
    match function {
        Function::Feedback => "feedback",
        Function::Decide | Function::DecideAgain => "decide",
        Function::Merge => "merge",
        Function::Apply => "apply",
        Function::Reconcile => "reconcile",
    }
}

fn states(region: &Region) -> Vec<AddressState> {
    region.table.states()
}

fn said(region: &Region) -> BTreeMap<String, mailroom_core::suppression::SuppressionState> {
    let said = |state: AddressState| (state.address().to_owned(), state.state().clone());
    region.table.states().into_iter().map(said).collect()
}

/// Calls of apply are bounded by what there was to do, the failed ones among them. An address has up to four spellings to be
/// deleted, and costs nothing else; a job costs its making, and a look in each run that finds it: most find none, so that
/// as many looks as runs are more than are ever needed.
fn calls_are_bounded(region: &Region) -> Result<(), Broken> {
    let calls = region.list.calls();
    let of = |names: &[&str]| names.iter().filter_map(|name| calls.get(name)).sum::<usize>();
    let needs = region.chronicle.needs() + region.excuses;
    for (names, most) in [
        (&["put", "delete"][..], 4 * needs),
        (&["create_import_job"], needs),
        (&["import_job", "import_jobs"], region.runs + region.excuses),
    ] {
        if of(names) > most {
            return broken(format!(
                "{}: {} calls {names:?} where {most} were enough",
                region.name,
                of(names)
            ));
        }
    }
    Ok(())
}

/// A law: the list holds what is in force and nothing else, except what somebody has taken off by hand.
fn list_is_right(region: &Region) -> Result<(), Broken> {
    let mut listed = BTreeMap::<String, SuppressionReason>::new();
    for (spelling, reason) in region.list.entries() {
        let entry = listed.entry(spelling.to_lowercase()).or_insert(reason);
        *entry = reason.max(*entry);
    }
    let mut wanted = BTreeMap::new();
    for state in region.table.states() {
        if state.is_pending() || state.assigned_job().is_some() {
            return broken(format!("{}: pending for good: {state:?}", region.name));
        }
        let left_off = state.last_known_entry().is_some_and(|applied| applied.removal_accepted);
        if let Some(reason) = state.effective_reason().filter(|_| !left_off) {
            wanted.insert(state.address().to_owned(), reason);
        }
    }
    if listed != wanted {
        return broken(format!(
            "{}: the list is {:?}, and the states want {wanted:?}: {:?}",
            region.name,
            region.list.entries(),
            states(region)
        ));
    }
    Ok(())
}
