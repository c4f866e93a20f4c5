//! What was said, about whom and when, by the world's own time. The functions are judged by it.

use std::collections::HashMap;
use std::time::Duration;

use mailroom_core::suppression::Reason;
use mailroom_core::suppression::seen::MAX_SKEW;
use mailroom_core::timestamp::Timestamp;

use crate::soft::SoftBounces;

/// By how much any two clocks of the world may differ, with the second to which DynamoDB rounds.
pub(crate) const SKEW: Duration = Duration::from_secs(6);
/// By how much a decision may come before what it overrules: what the functions themselves allow, and the clocks.
pub(crate) const OVERRULES: Duration = Duration::from_secs(MAX_SKEW.as_secs() + SKEW.as_secs());

/// How much an event says against its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The event says nothing, whatever comes with it.
    Nothing,
    /// The event suppresses by itself.
    Enough(Reason),
    /// The event suppresses together with others.
    Counts,
}

/// An event of which SES tells.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) addresses: Vec<String>,
    pub(crate) weight: Weight,
    /// When the event happened, by its own word.
    pub(crate) occurred_at: Timestamp,
    /// When its first record stood in the table; `None` if none does yet.
    pub(crate) recorded_at: Option<Timestamp>,
}

impl Event {
    /// The latest time at which it can have been so: if the event names a later one than that of its record, that is not
    /// believed. But one that counts with others counts from the time that it names, which need not lie ahead any more when
    /// the last of them comes.
    pub(crate) fn was_at(&self) -> Option<Timestamp> {
        let recorded_at = self.recorded_at?;
        Some(if self.weight == Weight::Counts { self.occurred_at } else { recorded_at.min(self.occurred_at) })
    }
}

/// A decision of an operator.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) address: String,
    pub(crate) suppress: Option<Reason>,
    pub(crate) at: Timestamp,
}

/// An entry on a list that somebody other than Mailroom put there.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) address: String,
    pub(crate) at: Timestamp,
}

/// Everything that was said and done.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// The events by their ids.
    pub(crate) events: HashMap<String, Event>,
    /// The decisions by the sort keys of their items.
    pub(crate) decisions: HashMap<String, Decision>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) soft: SoftBounces,
}

impl Truth {
    /// Notes that a record of the event stands in a table.
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

    /// When the address was last released; `None` if it never was.
    pub(crate) fn released_at(&self, address: &str) -> Option<Timestamp> {
        self.decisions_of(address)
            .filter(|decision| decision.suppress.is_none())
            .map(|decision| decision.at)
            .max()
    }

    /// The last time at which something was so that counts together with others; `None` if there is none.
    pub(crate) fn last_counted(&self, address: &str) -> Option<Timestamp> {
        self.events_of(address).filter(|event| event.weight == Weight::Counts).filter_map(Event::was_at).max()
    }

    /// Whether the address must be released in the end: all that was ever said against it was so before it was released.
    pub(crate) fn must_be_released(&self, address: &str) -> bool {
        let Some(released_at) = self.released_at(address) else { return false };
        let events = self.events_of(address).filter(|event| event.weight != Weight::Nothing);
        let suppressed = self.decisions_of(address).filter(|decision| decision.suppress.is_some());
        events.filter_map(Event::was_at).all(|at| at.plus(SKEW) < released_at)
            && suppressed.map(|decision| decision.at).all(|at| at.plus(OVERRULES) < released_at)
            && self.last_entry(address).is_none_or(|at| at.plus(SKEW) < released_at)
    }

    /// The reason that must at least be in force in the end: the greatest of those said after the address was last
    /// released.
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
