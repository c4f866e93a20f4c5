//! The spellings in which a list may hold an address: SES manages its list by exact case.

use serde::{Deserialize, Serialize};

use crate::address::Address;

/// More than any mailing program makes of one address; without a cap, whoever varies the case of each mail would grow an
/// item beyond what a table takes.
const MAX: usize = 32;

/// An address as it was spelled, in the order in which the spellings were seen. The first is the one that is put, so that
/// putting again replaces an entry and does not add one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Spellings(Vec<String>);

impl Spellings {
    /// Adds one; whether it was new. Beyond the cap the second oldest goes: what is left on a list in a spelling that was
    /// forgotten, reconcile finds there.
    pub fn add(&mut self, spelling: &str) -> bool {
        if self.0.iter().any(|known| known == spelling) {
            return false;
        }
        if self.0.len() == MAX {
            self.0.remove(1);
        }
        self.0.push(spelling.to_owned());
        true
    }

    /// Adds them all; whether any was new.
    pub fn add_all<'a>(&mut self, spellings: impl IntoIterator<Item = &'a str>) -> bool {
        let mut new = false;
        for spelling in spellings {
            new |= self.add(spelling);
        }
        new
    }

    /// Makes this one the first: the one that is put.
    pub(super) fn prefer(&mut self, spelling: &str) {
        self.0.retain(|known| known != spelling);
        self.0.insert(0, spelling.to_owned());
        self.0.truncate(MAX);
    }

    /// In the order in which they were seen.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The one that is put.
    pub fn first(&self) -> Option<&str> {
        self.iter().next()
    }

    /// Whether each of them is a spelling of this match form.
    pub(super) fn all_match(&self, match_form: &str) -> bool {
        self.iter().all(|spelling| {
            Address::parse(spelling)
                .is_ok_and(|address| address.match_form() == match_form && address.raw() == spelling)
        })
    }
}

impl<S: AsRef<str>> FromIterator<S> for Spellings {
    fn from_iter<T: IntoIterator<Item = S>>(spellings: T) -> Self {
        let mut all = Self::default();
        for spelling in spellings {
            all.add(spelling.as_ref());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_once_in_order_and_no_more_than_the_cap() {
        let mut spellings: Spellings = ["Jane@Example.com", "jane@example.com"].into_iter().collect();
        assert!(!spellings.add("Jane@Example.com"));
        assert!(spellings.add_all(["jane@example.com", "JANE@example.com"]));
        assert!(spellings.iter().eq(["Jane@Example.com", "jane@example.com", "JANE@example.com"]));
        assert!(spellings.all_match("jane@example.com"));
        for n in 0..2 * MAX {
            spellings.add(&format!("{n}"));
        }
        assert_eq!((spellings.first(), spellings.iter().count()), (Some("Jane@Example.com"), MAX));
        spellings.prefer("5");
        assert_eq!((spellings.first(), spellings.iter().count()), (Some("5"), MAX));
        assert!(!spellings.all_match("jane@example.com"));
    }
}
