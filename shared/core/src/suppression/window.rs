//! The parts in which a long list is read.
//!
//! SES's list is read page by page, each by the token of the page before. How long a token is accepted is not documented
//! (nor is the order of entries), so a reader that is interrupted may have to begin anew, and would never come to the end
//! of a list that takes longer than it has. Therefore the list is read in windows of time, each small enough for one go:
//! `ListSuppressedDestinations` takes a `StartDate` and an `EndDate`.
//!
//! An entry that is written meanwhile moves on to the last window. Windows are read in the order of time, so that it is not
//! missed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The shortest window. SES documents no resolution of its filter, so all bounds are whole seconds.
const MIN_WINDOW: Duration = Duration::from_secs(1);

/// A span of time: the entries that were last written in it. Without bounds, all entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListWindow {
    /// The first moment in the window; `None` if it has no beginning.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Timestamp>,
    /// The first moment after the window; `None` if it has no end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub until: Option<Timestamp>,
}

impl ListWindow {
    /// Whether this moment is in the window.
    pub fn contains(self, updated_at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= updated_at) && self.until.is_none_or(|until| updated_at < until)
    }

    /// Splits the window into two, of which the earlier is given first. `None` if it is too short to be split. `entry_times` is a
    /// sample of the times of entries in the window: half of them fall into each part, if that can be. Without a sample
    /// both parts are of the same length. The entries are none from later than `now`.
    pub fn split(self, entry_times: &[Timestamp], now: Timestamp) -> Option<(Self, Self)> {
        let first = self.from.unwrap_or(EPOCH);
        let last = self.until.unwrap_or_else(|| now.max(first).plus(MIN_WINDOW + MIN_WINDOW));
        let mut inside: Vec<_> = entry_times.iter().copied().filter(|at| self.contains(*at)).collect();
        inside.sort_unstable();
        let middle = first.plus(last.since(first) / 2);
        let at = inside.get(inside.len() / 2).copied().unwrap_or(middle);
        let at = floor_to_second(at).max(first.plus(MIN_WINDOW)).min(floor_to_second(last.minus(MIN_WINDOW)));
        (first < at && at < last)
            .then_some((Self { until: Some(at), ..self }, Self { from: Some(at), ..self }))
    }
}

/// Earlier than any entry.
const EPOCH: Timestamp = Timestamp::MIN;

fn floor_to_second(at: Timestamp) -> Timestamp {
    let rest = at.millis().rem_euclid(1000).unsigned_abs();
    at.minus(Duration::from_millis(rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    fn window(from: Option<i64>, until: Option<i64>) -> ListWindow {
        ListWindow { from: from.map(at), until: until.map(at) }
    }

    #[test]
    fn it_is_split_where_half_of_the_entries_are() {
        let now = at(1000);
        let late = Timestamp::from_millis(900_250).unwrap();
        let cases: [(ListWindow, &[Timestamp], i64); 7] = [
            (window(None, None), &[at(10), late, at(950)], 900),
            (window(Some(100), Some(200)), &[at(110), at(120), at(190)], 120),
            // None seen, or none of this window.
            (window(Some(100), Some(200)), &[], 150),
            (window(Some(100), Some(200)), &[at(10), at(20)], 150),
            (window(None, None), &[], 501),
            // All in one second, which begins the window: the rest is split off.
            (window(Some(100), Some(200)), &[at(100); 3], 101),
            (window(Some(100), None), &[at(100); 3], 101),
        ];
        for (whole, times, expected) in cases {
            let (earlier, later) = whole.split(times, now).unwrap();
            assert_eq!((earlier.from, later.until), (whole.from, whole.until), "{whole:?}");
            assert_eq!((earlier.until, later.from), (Some(at(expected)), Some(at(expected))), "{whole:?}");
        }
        assert_eq!(window(Some(100), Some(101)).split(&[at(100)], now), None, "a second is the shortest");
    }

    #[test]
    fn a_note_without_a_window_is_about_all_entries() {
        assert_eq!(serde_json::from_str::<ListWindow>("{}").unwrap(), ListWindow::default());
        assert_eq!(serde_json::to_string(&ListWindow::default()).unwrap(), "{}");
    }

    proptest! {
        #[test]
        fn each_moment_is_in_one_part_and_splitting_comes_to_an_end(
            entries in prop::collection::vec(0_i64..2_000_000, 0..50),
            few in 1_usize..5,
        ) {
            let entries: Vec<_> = entries.into_iter().filter_map(Timestamp::from_millis).collect();
            let (mut windows, mut read) = (vec![ListWindow::default()], 0);
            let mut goes = 0;
            while let Some(window) = windows.pop() {
                goes += 1;
                prop_assert!(goes <= 4 * entries.len() + 10, "{windows:?}");
                let inside: Vec<_> = entries.iter().copied().filter(|at| window.contains(*at)).collect();
                if inside.len() <= few {
                    read += inside.len();
                    continue;
                }
                match window.split(&inside, at(2000)) {
                    Some((earlier, later)) => windows.extend([later, earlier]),
                    None => read += inside.len(),
                }
            }
            prop_assert_eq!(read, entries.len());
        }
    }
}
