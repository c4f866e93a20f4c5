//! The spellings in which a list may hold an address: SES manages its list by exact case.

use serde::{Deserialize, Serialize};

use crate::address::Address;

/// The most spellings that are kept, which is more than any mailing program makes of one address. Without a cap, somebody
/// who varies the case of each mail would grow an item beyond what a table takes.
const MAX_SPELLINGS: usize = 32;

/// The spellings of an address, in the order in which they were seen. The first is the one that is put, so that putting
/// again replaces an entry and does not add one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spellings(Vec<String>);

impl Spellings {
    /// Adds a spelling, and returns whether that changed anything. Beyond the cap nothing is added and nothing makes
    /// room: otherwise two Regions that know different spellings would tell each other for ever. Reconcile finds an entry
    /// that is left on the list in a spelling that was not kept.
    pub fn add_if_room(&mut self, spelling: &str) -> bool {
        if self.0.len() >= MAX_SPELLINGS || self.0.iter().any(|known| known == spelling) {
            return false;
        }
        self.0.push(spelling.to_owned());
        true
    }

    /// Adds several spellings, and returns whether that changed anything.
    pub fn add_all_if_room<'a>(&mut self, spellings: impl IntoIterator<Item = &'a str>) -> bool {
        let mut new = false;
        for spelling in spellings {
            new |= self.add_if_room(spelling);
        }
        new
    }

    /// Adds spellings that stand on the list, which must be known to be deleted: beyond the cap, others make room for
    /// them.
    pub(super) fn add_making_room<'a>(&mut self, listed_spellings: impl IntoIterator<Item = &'a str>) {
        let others = self.0.split_off(self.0.len().min(1));
        self.add_all_if_room(listed_spellings);
        self.add_all_if_room(others.iter().map(String::as_str));
    }

    /// Makes a spelling the first, which is the one that is put.
    pub(super) fn add_or_move_to_front(&mut self, spelling: &str) {
        self.0.retain(|known| known != spelling);
        self.0.insert(0, spelling.to_owned());
        self.0.truncate(MAX_SPELLINGS);
    }

    /// The spellings, in the order in which they were seen.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The spelling that is put; `None` if there is none.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// Whether each of them is a spelling of this match form.
    pub(super) fn all_match(&self, match_form: &str) -> bool {
        self.iter().all(|spelling| {
            Address::parse(spelling)
                .is_ok_and(|address| address.match_form() == match_form && address.spelling() == spelling)
        })
    }
}

impl<S: AsRef<str>> FromIterator<S> for Spellings {
    fn from_iter<T: IntoIterator<Item = S>>(spellings: T) -> Self {
        let mut all = Self::default();
        for spelling in spellings {
            all.add_if_room(spelling.as_ref());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_once_in_order_and_no_more_than_the_cap() {
        let mut spellings: Spellings = ["Jane@Example.com", "jane@example.com"].into_iter().collect();
        assert!(!spellings.add_if_room("Jane@Example.com"));
        assert!(spellings.add_all_if_room(["jane@example.com", "JANE@example.com"]));
        assert!(spellings.iter().eq(["Jane@Example.com", "jane@example.com", "JANE@example.com"]));
        assert!(spellings.all_match("jane@example.com"));
        for n in 0..2 * MAX_SPELLINGS {
            spellings.add_if_room(&format!("{n}"));
        }
        assert_eq!((spellings.first(), spellings.iter().count()), (Some("Jane@Example.com"), MAX_SPELLINGS));
        spellings.add_or_move_to_front("5");
        assert_eq!((spellings.first(), spellings.iter().count()), (Some("5"), MAX_SPELLINGS));
        assert!(!spellings.all_match("jane@example.com"));
    }

    #[test]
    fn what_stands_on_a_list_is_known_even_beyond_the_cap() {
        let numbers = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        let mut spellings: Spellings = numbers(0..MAX_SPELLINGS).into_iter().collect();
        let listed = numbers(MAX_SPELLINGS - 1..MAX_SPELLINGS + 9);
        spellings.add_making_room(listed.iter().map(String::as_str));
        assert_eq!((spellings.first(), spellings.iter().count()), (Some("0"), MAX_SPELLINGS));
        assert!(listed.iter().all(|listed| spellings.iter().any(|known| known == listed)));
    }

    proptest! {
        /// Spellings, as peers exchange them, come to rest: what was added once changes nothing any more.
        #[test]
        fn adding_again_changes_nothing_and_exchanging_ends(
            ours in prop::collection::vec(0_u8..80, 0..60),
            theirs in prop::collection::vec(0_u8..80, 0..60),
        ) {
            let spelled = |numbers: &[u8]| numbers.iter().map(u8::to_string).collect::<Spellings>();
            let (mut ours, mut theirs) = (spelled(&ours), spelled(&theirs));
            ours.add_all_if_room(theirs.iter());
            prop_assert!(!ours.add_all_if_room(theirs.iter()));
            theirs.add_all_if_room(ours.iter());
            prop_assert!(!ours.add_all_if_room(theirs.iter()) && !theirs.add_all_if_room(ours.iter()));
            prop_assert!(ours.iter().count() <= MAX_SPELLINGS && theirs.iter().count() <= MAX_SPELLINGS);
        }
    }
}
