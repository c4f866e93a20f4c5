//! Counts what happened in the histories: that a law held means nothing if nobody tried to break it.

use std::collections::BTreeMap;
use std::fmt;

/// How often each kind of thing happened.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<&'static str, usize>);

impl Coverage {
    /// Counts that something happened once.
    pub fn note(&mut self, what: &'static str) {
        self.count(what, 1);
    }

    /// Counts that something happened so many times.
    pub fn count(&mut self, what: &'static str, times: usize) {
        *self.0.entry(what).or_default() += times;
    }

    /// Adds the counts of another history.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.count(what, *times);
        }
    }

    /// How often something happened.
    pub fn of(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, times)| writeln!(f, "{times:>10}  {what}"))
    }
}
