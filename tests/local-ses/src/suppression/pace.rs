//! SES's pace: by default one request a second.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

/// How many requests SES accepts (guide, "Service quotas": all actions but those that send are throttled at one request per
/// second). The guide names no burst and does not say whether actions count together. Both are as strict here as its words
/// allow, unless a test says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The time between two requests.
    pub interval: Duration,
    /// The number of requests that may come at once after a pause.
    pub burst: u32,
    /// Whether all actions count together; else each counts by itself.
    pub together: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), burst: 1, together: true }
    }
}

/// Keeps the pace in one Region.
#[derive(Debug, Clone, Default)]
pub struct Pacer {
    /// When the requests so far would have been done if they had come one by one, by action; all under one key if they
    /// count together.
    done: BTreeMap<String, OffsetDateTime>,
}

impl Pacer {
    /// Whether a request may be served now. One that may not does not count.
    pub fn admit(&mut self, pace: Pace, action: &str, now: OffsetDateTime) -> bool {
        let key = if pace.together { "" } else { action };
        let done = self.done.get(key).copied().unwrap_or(now);
        if done > now + pace.interval * pace.burst.saturating_sub(1) {
            return false;
        }
        self.done.insert(key.to_owned(), done.max(now) + pace.interval);
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn admitted(pace: Pace, requests: &[(u64, &str)]) -> Vec<bool> {
        let mut pacer = Pacer::default();
        requests
            .iter()
            .map(|(at, action)| pacer.admit(pace, action, START + Duration::from_millis(*at)))
            .collect()
    }

    #[test]
    fn one_a_second_for_all_actions_together() {
        let requests = [(0, "A"), (500, "B"), (999, "A"), (1000, "B"), (1999, "A"), (5000, "A"), (5001, "A")];
        let expected = [true, false, false, true, false, true, false];
        assert_eq!(admitted(Pace::default(), &requests), expected);
    }

    #[test]
    fn apart_and_with_a_burst_if_a_test_wants_it() {
        let apart = Pace { together: false, ..Pace::default() };
        assert_eq!(admitted(apart, &[(0, "A"), (1, "B"), (2, "A")]), [true, true, false]);
        let burst = Pace { burst: 2, ..Pace::default() };
        assert_eq!(admitted(burst, &[(0, "A"), (1, "A"), (2, "A"), (1000, "A")]), [true, true, false, true]);
    }

    proptest! {
        #[test]
        fn never_more_than_it_says(waits in proptest::collection::vec(0..1500_u64, 1..60), burst in 1..4_u32) {
            let pace = Pace { burst, ..Pace::default() };
            let mut pacer = Pacer::default();
            let (mut at, mut served) = (0, 0);
            for wait in waits {
                at += wait;
                served += u64::from(pacer.admit(pace, "A", START + Duration::from_millis(at)));
            }
            prop_assert!(served <= at / 1000 + u64::from(burst));
        }
    }
}
