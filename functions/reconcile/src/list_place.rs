//! Where in the list a pass is: the window that is being read, and those that are still to be read.

use mailroom_core::suppression::window::Window;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pass_counts::PassCounts;

/// The most pages of a window of which a time is remembered: about as many as are read in one invocation.
const MOST_TIMES: usize = 256;

/// A place in the list, as it is kept between invocations. The token of the next page is kept beside it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ListPlace {
    /// The window that is being read.
    pub(crate) window: Window,
    /// The windows that are still to be read, the next one last.
    later: Vec<Window>,
    /// For each of the first pages of the window, the time of its median entry: a sample by which the window can be split.
    times: Vec<Timestamp>,
    /// What was found in the window so far.
    pub(crate) counts: PassCounts,
}

impl ListPlace {
    /// Whether no page was read, of the whole list.
    pub(crate) fn is_new(&self) -> bool {
        self.window == Window::default() && self.later.is_empty() && self.times.is_empty()
    }

    /// Records that a page of the window was read: the times of its entries, and what was found.
    pub(crate) fn read_page(&mut self, mut times: Vec<Timestamp>, found: PassCounts) {
        self.counts.join(found);
        times.sort_unstable();
        if self.times.len() < MOST_TIMES {
            self.times.extend(times.get(times.len() / 2));
        }
    }

    /// Begins the window again, or the earlier part of it if it can be split. Returns whether it was split.
    pub(crate) fn restart(&mut self, now: Timestamp) -> bool {
        let parts = self.window.split(&self.times, now);
        let (begun, later) = parts.map_or((self.window, None), |(earlier, later)| (earlier, Some(later)));
        self.later.extend(later);
        self.begin(begun);
        parts.is_some()
    }

    /// Ends the window and begins the next one. Returns what was found in the window, and whether there is a next one.
    pub(crate) fn end_window(&mut self) -> (PassCounts, bool) {
        let (found, next) = (self.counts, self.later.pop());
        self.begin(next.unwrap_or_default());
        (found, next.is_some())
    }

    fn begin(&mut self, window: Window) {
        self.window = window;
        self.times.clear();
        self.counts = PassCounts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_split_by_a_sample_of_bounded_size_and_its_parts_are_read_one_after_the_other() {
        let at = |second: i64| Timestamp::from_millis(second * 1000).unwrap();
        let mut place = ListPlace::default();
        let found = PassCounts { entries: 3, ..PassCounts::default() };
        for second in 0..1000 {
            place.read_page(vec![at(second + 900), at(second), at(second + 1)], found);
        }
        assert_eq!((place.times.len(), place.counts.entries), (MOST_TIMES, 3000));
        assert!(place.restart(at(2000)));
        assert_eq!(place.counts, PassCounts::default(), "what was found is found again");
        let middle = place.window.until.unwrap();
        assert_eq!(middle, at(129));
        place.read_page(Vec::new(), found);
        assert_eq!(place.end_window(), (found, true));
        assert_eq!(place.window, Window { from: Some(middle), until: None });
        assert_eq!(place.end_window(), (PassCounts::default(), false));
    }
}
