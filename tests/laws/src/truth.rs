//! What was said, of whom and when, by the world's own time: what to judge the functions by.

use std::collections::HashMap;
use std::time::Duration;

use mailroom_core::suppression::Reason;
use mailroom_core::suppression::seen::MAX_SKEW;
use mailroom_core::timestamp::Timestamp;

/// By which any two clocks of the world may differ, and the second to which DynamoDB rounds.
pub(crate) const SKEW: Duration = Duration::from_secs(6);
/// By how much an operator's decision may come before what it overrules, by the functions' own word.
pub(crate) const OVERRULES: Duration = Duration::from_secs(MAX_SKEW.as_secs() + SKEW.as_secs());

/// What an event says against its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Nothing, whatever comes with it.
    Nothing,
    /// Enough by itself.
    Enough(Reason),
    /// Something, with others.
    Counts,
}

/// An event.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) addresses: Vec<String>,
    pub(crate) weight: Weight,
    /// By its own word.
    pub(crate) occurred_at: Timestamp,
    /// When its first record stood in the table.
    pub(crate) recorded_at: Option<Timestamp>,
}

impl Event {
    /// When it was so at the latest: what it says of a later time is not to be believed. But what counts with others counts
    /// from the time that it says, which may not lie ahead any more when the last of them comes.
    pub(crate) fn was_at(&self) -> Option<Timestamp> {
        let recorded_at = self.recorded_at?;
        Some(if self.weight == Weight::Counts { self.occurred_at } else { recorded_at.min(self.occurred_at) })
    }
}

/// An operator's decision.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) address: String,
    pub(crate) suppress: Option<Reason>,
    pub(crate) at: Timestamp,
}

/// Somebody else's entry on a list.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) address: String,
    pub(crate) at: Timestamp,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// By event id.
    pub(crate) events: HashMap<String, Event>,
    /// By sort key.
    pub(crate) decisions: HashMap<String, Decision>,
    pub(crate) entries: Vec<Entry>,
}

impl Truth {
    /// A record stands in a table.
    pub(crate) fn recorded(&mut self, event_id: &str, now: Timestamp) {
        if let Some(event) = self.events.get_mut(event_id) {
            event.recorded_at.get_or_insert(now);
        }
    }

    pub(crate) fn events_of<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.values().filter(move |event| event.addresses.iter().any(|known| known == address))
    }

    fn decisions_of<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a Decision> {
        self.decisions.values().filter(move |decision| decision.address == address)
    }

    pub(crate) fn last_entry(&self, address: &str) -> Option<Timestamp> {
        self.entries.iter().filter(|entry| entry.address == address).map(|entry| entry.at).max()
    }

    /// When it was last released.
    pub(crate) fn released_at(&self, address: &str) -> Option<Timestamp> {
        self.decisions_of(address)
            .filter(|decision| decision.suppress.is_none())
            .map(|decision| decision.at)
            .max()
    }

    /// The last moment at which something that counts together with others was so.
    pub(crate) fn last_counted(&self, address: &str) -> Option<Timestamp> {
        self.events_of(address).filter(|event| event.weight == Weight::Counts).filter_map(Event::was_at).max()
    }

    /// Whether it must be released in the end: all that was ever said against it was so before somebody took it back.
    pub(crate) fn must_be_released(&self, address: &str) -> bool {
        let Some(released_at) = self.released_at(address) else { return false };
        let events = self.events_of(address).filter(|event| event.weight != Weight::Nothing);
        let suppressed = self.decisions_of(address).filter(|decision| decision.suppress.is_some());
        events.filter_map(Event::was_at).all(|at| at.plus(SKEW) < released_at)
            && suppressed.map(|decision| decision.at).all(|at| at.plus(OVERRULES) < released_at)
            && self.last_entry(address).is_none_or(|at| at.plus(SKEW) < released_at)
    }

    /// What must at least be in force in the end: the greatest of what was said after it was last released.
    pub(crate) fn must_be_suppressed(&self, address: &str) -> Option<Reason> {
        let since = self.released_at(address).map(|at| at.plus(OVERRULES));
        let events = self.events_of(address).filter_map(|event| match event.weight {
            Weight::Enough(reason) => Some((event.was_at()?, reason)),
            Weight::Nothing | Weight::Counts => None,
        });
        let decisions =
            self.decisions_of(address).filter_map(|decision| Some((decision.at, decision.suppress?)));
        events.chain(decisions).filter(|(at, _)| Some(*at) > since).map(|(_, reason)| reason).max()
    }
}
