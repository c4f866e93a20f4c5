//! Days of soft bounces, automatic replies and deliveries, with soft bounces counted and not: who is suppressed by them.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::time::Duration;

use doubles::{EventKind, Vocabulary};
use laws::step::Step;
use laws::world::{Config, History, run};
use mailroom_core::suppression::policy::TransientThreshold;

const DAY: Duration = Duration::from_hours(24);

fn config(soft_bounces: Option<TransientThreshold>) -> Config {
    Config {
        regions: 2,
        addresses: 1,
        requests_per_second: 1.0,
        trust_origin: false,
        put_back: false,
        all_candidates: true,
        count_undetermined: false,
        soft_bounces,
        settled: true,
        job: (Duration::from_secs(5), Duration::ZERO),
        tells_failed: true,
        fails_in_jobs: None,
        page: 3,
        clocks: vec![0; 7],
        seed: 1,
    }
}

fn says(said: EventKind, told: Vocabulary) -> Step {
    Step::Says { region: 0, said, who: 0, spelling: 0, ago: 0, told, copies: 0, lists: false }
}

/// How often soft bounces suppress an address of which this is said, one thing a day, by the template's threshold.
fn suppressed(days: &[EventKind], told: Vocabulary, counted: bool) -> usize {
    let day = |said: &EventKind| [says(*said, told), Step::Minute { region: 0 }, Step::Time(DAY)];
    let steps = days.iter().flat_map(day).collect();
    let config = config(counted.then(TransientThreshold::default));
    let coverage = run(&History { config, entries: Vec::new(), steps }).unwrap();
    coverage.of("suppressed by soft bounces")
}

#[test]
fn five_days_of_soft_bounces() {
    use EventKind::{AutoResponse, Delivery, Refusal, ThirdParty, Transient};
    let cases: [(&str, &[EventKind], bool); 6] = [
        ("five without a delivery", &[Transient; 5], true),
        ("four", &[Transient; 4], false),
        ("out of office", &[AutoResponse; 5], false),
        ("a delivery in between", &[Transient, Transient, Delivery, Transient, Transient, Transient], false),
        (
            "five after a delivery",
            &[Transient, Delivery, Transient, Transient, Transient, Transient, Transient],
            true,
        ),
        (
            "four, and what does not count",
            &[Transient, AutoResponse, Transient, Refusal, Transient, ThirdParty, Transient],
            false,
        ),
    ];
    for (name, days, enough) in cases {
        // Both Regions' states are written.
        let expected = if enough { 2 } else { 0 };
        assert_eq!(suppressed(days, Vocabulary::Publishing, true), expected, "{name}");
        assert_eq!(suppressed(days, Vocabulary::Both, true), expected, "{name}, in both vocabularies");
        // An identity's notifications tell of no deliveries.
        assert_eq!(suppressed(days, Vocabulary::Identity, true), 0, "{name}, told by an identity alone");
        assert_eq!(suppressed(days, Vocabulary::Publishing, false), 0, "{name}, SoftBounces=off");
    }
}
