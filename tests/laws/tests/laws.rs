//! Whatever happens, in whatever order and however often, and whoever dies meanwhile.
#![allow(clippy::panic, clippy::print_stdout, reason = "a test says what failed by panicking")]

use std::cell::RefCell;
use std::time::Duration;

use doubles::{EventKind, Fault, Vocabulary};
use laws::coverage::Coverage;
use laws::step::{Function, Lost, Step};
use laws::world::{Config, History, run};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::policy::TransientThreshold;
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, RngSeed, TestRunner};

/// How much of it goes by import job.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// Sixty calls go singly.
    Ses,
    /// Two do.
    Slow,
}

fn reason() -> impl Strategy<Value = SuppressionReason> {
    prop_oneof![Just(SuppressionReason::Bounce), Just(SuppressionReason::Complaint)]
}

fn says() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        8 => Just(EventKind::Permanent),
        4 => Just(EventKind::Transient),
        1 => Just(EventKind::AutoResponse),
        1 => Just(EventKind::Refusal),
        1 => Just(EventKind::ThirdParty),
        1 => Just(EventKind::TooLarge),
        1 => Just(EventKind::Undetermined),
        1 => Just(EventKind::Delayed),
        5 => Just(EventKind::Complaint),
        2 => Just(EventKind::ComplaintOfSeveral),
        1 => Just(EventKind::NotSpam),
        2 => Just(EventKind::EchoOfBounce),
        1 => Just(EventKind::EchoOfComplaint),
        1 => Just(EventKind::Simulator),
        2 => Just(EventKind::Delivery),
    ];
    // Just now, up to a day late, or by a clock that is ahead.
    let ago = prop_oneof![6 => 0..5_i32, 3 => 5..90_000_i32, 1 => -280..0_i32];
    let told = prop_oneof![2 => Just(Vocabulary::Publishing), 1 => Just(Vocabulary::Identity), 1 => Just(Vocabulary::Both)];
    let copies = prop_oneof![4 => Just(0), 1 => Just(1_usize)];
    (0..3_usize, said, 0..3_usize, 0..2_usize, ago, told, copies, any::<bool>()).prop_map(
        |(region, said, who, spelling, ago, told, copies, lists)| Step::Says {
            region,
            said,
            who,
            spelling,
            ago,
            told,
            copies,
            lists,
        },
    )
}

fn wakes() -> impl Strategy<Value = Step> {
    let function = prop_oneof![
        4 => Just(Function::Feedback),
        5 => Just(Function::Decide),
        1 => Just(Function::DecideAgain),
        4 => Just(Function::Merge),
        6 => Just(Function::Apply),
        2 => Just(Function::Reconcile),
    ];
    let dies_after = prop_oneof![3 => Just(None), 1 => (0..12_usize).prop_map(Some)];
    (0..3_usize, function, dies_after).prop_map(|(region, function, dies_after)| Step::Wakes {
        region,
        function,
        dies_after,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let region = || 0..3_usize;
    let suppress = prop_oneof![3 => Just(None), 2 => reason().prop_map(Some)];
    let put = prop_oneof![2 => Just(None), 1 => reason().prop_map(Some)];
    let lost = prop_oneof![Just(Lost::StreamRecords), Just(Lost::PeersMessages)];
    let fault = prop_oneof![Just(Fault::Throttled), Just(Fault::Unavailable), Just(Fault::Unanswered)];
    prop_oneof![
        10 => says(),
        4 => (region(), 0..3_usize, suppress)
            .prop_map(|(region, who, suppress)| Step::Decides { region, who, suppress }),
        2 => (region(), 0..3_usize, 0..3_usize, put)
            .prop_map(|(region, who, spelling, put)| Step::Edits { region, who, spelling, put }),
        16 => wakes(),
        1 => (region(), lost).prop_map(|(region, what)| Step::Loses { region, what }),
        1 => (region(), any::<bool>()).prop_map(|(region, down)| Step::Unreachable { region, down }),
        1 => (region(), any::<bool>()).prop_map(|(region, inside)| Step::Sandbox { region, inside }),
        2 => (region(), fault, 1..4_usize)
            .prop_map(|(region, fault, calls)| Step::Faults { region, fault, calls }),
        1 => (region(), 0..4_usize).prop_map(|(region, writes)| Step::Lags { region, writes }),
        6 => (1..20_usize).prop_map(Step::Turns),
        4 => (0..5_000_u64).prop_map(|millis| Step::Time(Duration::from_millis(millis))),
        3 => (5..400_u64).prop_map(|seconds| Step::Time(Duration::from_secs(seconds))),
        6 => region().prop_map(|region| Step::Minute { region }),
    ]
}

fn history(regions: usize, pace: Pace) -> impl Strategy<Value = History> {
    let soft_bounces = prop_oneof![
        1 => Just(None),
        3 => Just(Some(TransientThreshold { events: 3, days: 2, within_days: 30 })),
    ];
    let parameters = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), 0..4_u8, soft_bounces);
    let job = (5..200_u64, prop_oneof![Just(0_u64), Just(1), Just(20_000)]);
    let failing = (any::<bool>(), prop_oneof![3 => Just(None), 1 => (0..3_usize).prop_map(Some)]);
    let clocks = proptest::collection::vec(-1_000..1_000_i64, 3 * regions + 1);
    let entries = proptest::collection::vec((0..3_usize, 0..3_usize, 0..3_usize, reason()), 0..3);
    let steps = proptest::collection::vec(step(), 0..50);
    let config = (parameters, job, failing, clocks, 1..4_usize, 1..4_usize, any::<u64>());
    (config, entries, steps).prop_map(move |(config, entries, steps)| {
        let (
            parameters,
            (wait, per_record),
            (tells_failed, fails_in_jobs),
            clocks,
            addresses,
            per_page,
            seed,
        ) = config;
        let (put_back, all_candidates, count_undetermined, trust_origin, settled, soft_bounces) = parameters;
        let config = Config {
            regions,
            addresses: if pace == Pace::Slow { 3 } else { addresses },
            requests_per_second: if pace == Pace::Slow { 0.04 } else { 1.0 },
            trust_origin,
            put_back,
            all_candidates,
            count_undetermined,
            soft_bounces,
            settled: settled > 0,
            job: (Duration::from_secs(wait), Duration::from_millis(per_record)),
            tells_failed,
            fails_in_jobs,
            page: per_page,
            clocks,
            seed,
        };
        History { config, entries, steps }
    })
}

/// What a test's histories must hold, so that its laws are not kept by there being nothing to break them.
const TROUBLE: &[&str] = &[
    "Regions that could not be reached",
    "a BOUNCE over a COMPLAINT that was released, or that nobody knew of",
    "accounts in the sandbox",
    "apply found another at work",
    "attempts that failed",
    "automatic replies",
    "bounces at the simulator",
    "bounces of third parties",
    "bounces of who has complained",
    "calls done and not answered",
    "calls that failed",
    "calls throttled",
    "complaints of one of several",
    "complaints of who has bounced",
    "deaths of apply",
    "deaths of decide",
    "deaths of feedback",
    "deaths of merge",
    "deaths of reconcile",
    "decisions that overrule later times",
    "deliveries",
    "drift",
    "echoes",
    "entries left off after a hand took them off",
    "entries put by SES itself",
    "entries put by hand",
    "entries taken off by hand",
    "events dated ahead",
    "events in both vocabularies",
    "events that say nothing against an address",
    "events told again",
    "evidence from before a release",
    "mended by reconcile",
    "peers' messages lost",
    "records decided late",
    "refusals by SES",
    "refused in the sandbox",
    "releases",
    "states pushed",
    "stream records brought again",
    "stream records lost",
    "suppressed again after a release",
    "transient bounces",
    "two instances of apply",
    "two instances of decide",
    "two instances of feedback",
    "two instances of merge",
    "two instances of reconcile",
    "writes to a list by call",
];
/// The same of histories in which much goes by import job.
const TROUBLE_WITH_JOBS: &[&str] = &[
    "complaints while a job puts a BOUNCE",
    "evidence while a job holds the address",
    "import jobs",
    "records that failed in import jobs",
    "releases while a job puts the address",
    "writes to a list by job",
];

/// Tells so many histories (`PROPTEST_CASES` may be more), the same ones each time, so that a failure is the change's, and says
/// what they held.
fn hold(seed: u64, name: &str, cases: u32, histories: &impl Strategy<Value = History>, trouble: &[&[&str]]) {
    let cases = Cases::default().cases.max(cases);
    let coverage = RefCell::new(Coverage::default());
    let rng_seed = RngSeed::Fixed(seed);
    let config = Cases { cases, rng_seed, failure_persistence: None, ..Cases::default() };
    let told = TestRunner::new(config).run(histories, |history| {
        let held = run(&history).map_err(|broken| TestCaseError::fail(broken.to_string()))?;
        coverage.borrow_mut().add(&held);
        Ok(())
    });
    let coverage = coverage.into_inner();
    println!("{name}, seed {seed}: {cases} histories\n{coverage}");
    if let Err(error) = told {
        panic!("seed {seed}: {error}");
    }
    let missing: Vec<_> = trouble.iter().copied().flatten().filter(|what| coverage.of(what) == 0).collect();
    assert!(missing.is_empty(), "seed {seed}: in none of {cases} histories: {missing:?}");
}

/// What seed 808 found: of a complaint of two addresses one record is written, and the other after its address was released.
/// The event is dated ahead, so it counts from after the release, which the operator decided without having read of it.
#[test]
fn a_complaint_of_two_addresses_that_is_recorded_in_two_parts() {
    let config = Config {
        regions: 3,
        addresses: 3,
        requests_per_second: 1.0,
        trust_origin: false,
        put_back: false,
        all_candidates: true,
        count_undetermined: false,
        soft_bounces: None,
        settled: false,
        job: (Duration::from_secs(5), Duration::ZERO),
        tells_failed: false,
        fails_in_jobs: None,
        page: 1,
        clocks: vec![0; 10],
        seed: 0,
    };
    let wakes = |function, dies_after| Step::Wakes { region: 2, function, dies_after };
    let release = Step::Decides { region: 1, who: 1, suppress: None };
    let complaint = Step::Says {
        region: 2,
        said: EventKind::ComplaintOfSeveral,
        who: 0,
        spelling: 1,
        ago: -147,
        told: Vocabulary::Identity,
        copies: 0,
        lists: false,
    };
    let steps = vec![
        complaint,
        wakes(Function::Feedback, Some(1)),
        Step::Minute { region: 1 },
        release.clone(),
        Step::Minute { region: 2 },
        release,
        Step::Minute { region: 1 },
    ];
    run(&History { config, entries: Vec::new(), steps }).unwrap_or_else(|broken| panic!("{broken}"));
}

fn singly_in_two_regions(seed: u64) {
    hold(seed, "singly, two Regions", 3_500, &history(2, Pace::Ses), &[TROUBLE]);
}

fn by_job_in_two_regions(seed: u64) {
    let trouble = [TROUBLE, TROUBLE_WITH_JOBS];
    hold(seed, "by import job, two Regions", 3_500, &history(2, Pace::Slow), &trouble);
}

fn singly_and_by_job_in_three_regions(seed: u64) {
    let histories = prop_oneof![history(3, Pace::Ses), history(3, Pace::Slow)];
    let trouble = [TROUBLE, TROUBLE_WITH_JOBS];
    hold(seed, "singly and by import job, three Regions", 3_500, &histories, &trouble);
}

/// A test of its own for each seed, so that they run side by side.
macro_rules! tests_under {
    ($($name:ident: $seed:expr),*) => {
        $(mod $name {
            #[test]
            fn singly_in_two_regions() {
                super::singly_in_two_regions($seed);
            }

            #[test]
            fn by_job_in_two_regions() {
                super::by_job_in_two_regions($seed);
            }

            #[test]
            fn singly_and_by_job_in_three_regions() {
                super::singly_and_by_job_in_three_regions($seed);
            }
        })*
    };
}

// The laws themselves were once wrong under the last two.
tests_under!(seed_4: super::seed_or(4), seed_303: 303, seed_808: 808);

/// `PROPTEST_RNG_SEED` if it is set: go looking with it.
fn seed_or(seed: u64) -> u64 {
    match Cases::default().rng_seed {
        RngSeed::Random => seed,
        RngSeed::Fixed(seed) => seed,
    }
}
