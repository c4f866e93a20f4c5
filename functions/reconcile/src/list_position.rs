//! Where in the list a pass is: the window that is being read, and those that are still to be read.

use mailroom_core::suppression::window::ListWindow;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pass_counts::PassCounts;

/// The most pages of a window of which a time is remembered: about as many as are read in one invocation.
const MAX_MEDIAN_TIMES: usize = 256;

/// A place in the list, as it is kept between invocations. The token of the next page is kept beside it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ListPosition {
    /// The window that is being read.
    pub(crate) window: ListWindow,
    /// The windows that are still to be read, the next one last.
    #[serde(rename = "later")]
    remaining_windows: Vec<ListWindow>,
    /// For each of the first pages of the window, the time of its median entry: a sample by which the window can be split.
    #[serde(rename = "times")]
    median_times: Vec<Timestamp>,
    /// What was found in the window so far.
    pub(crate) counts: PassCounts,
}

/// How a window was begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowRestart {
    /// Only its earlier part.
    Split,
    /// All of it, since it can't be split.
    Whole,
}

impl ListPosition {
    /// Whether no page was read, of the whole list.
    pub(crate) fn is_new(&self) -> bool {
        self.window == ListWindow::default()
            && self.remaining_windows.is_empty()
            && self.median_times.is_empty()
    }

    /// Records that a page of the window was read: the times of its entries, and what was found.
    pub(crate) fn record_page(&mut self, mut entry_times: Vec<Timestamp>, page_counts: PassCounts) {
        self.counts.add_counts(page_counts);
        entry_times.sort_unstable();
        if self.median_times.len() < MAX_MEDIAN_TIMES {
            self.median_times.extend(entry_times.get(entry_times.len() / 2));
        }
    }

    /// Begins the window again, or the earlier part of it if it can be split.
    pub(crate) fn split_or_restart_window(&mut self, now: Timestamp) -> WindowRestart {
        let parts = self.window.split(&self.median_times, now);
        let Some((earlier, later)) = parts else {
            self.reset_for_window(self.window);
            return WindowRestart::Whole;
        };
        self.remaining_windows.push(later);
        self.reset_for_window(earlier);
        WindowRestart::Split
    }

    /// Ends the window and begins the next one. Returns what was found in the window, and whether there is a next one.
    pub(crate) fn end_window(&mut self) -> (PassCounts, bool) {
        let (found, next) = (self.counts, self.remaining_windows.pop());
        self.reset_for_window(next.unwrap_or_default());
        (found, next.is_some())
    }

    fn reset_for_window(&mut self, window: ListWindow) {
        self.window = window;
        self.median_times.clear();
        self.counts = PassCounts::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_split_by_a_sample_of_bounded_size_and_its_parts_are_read_one_after_the_other() {
        let at = |second: i64| Timestamp::from_millis(second * 1000).unwrap();
        let mut place = ListPosition::default();
        let found = PassCounts { entries: 3, ..PassCounts::default() };
        for second in 0..1000 {
            place.record_page(vec![at(second + 900), at(second), at(second + 1)], found);
        }
        assert_eq!((place.median_times.len(), place.counts.entries), (MAX_MEDIAN_TIMES, 3000));
        assert_eq!(place.split_or_restart_window(at(2000)), WindowRestart::Split);
        assert_eq!(place.counts, PassCounts::default(), "what was found is found again");
        let middle = place.window.until.unwrap();
        assert_eq!(middle, at(129));
        place.record_page(Vec::new(), found);
        assert_eq!(place.end_window(), (found, true));
        assert_eq!(place.window, ListWindow { from: Some(middle), until: None });
        assert_eq!(place.end_window(), (PassCounts::default(), false));
    }
}
