//! What was said, about whom and when, each by its own word. The functions are judged by it.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use mailroom_core::suppression::SuppressionReason;
use mailroom_core::timestamp::Timestamp;

use crate::soft::SoftBounces;

/// By how much any two clocks of the world may differ, with the second to which DynamoDB rounds.
pub(crate) const SKEW: Duration = Duration::from_secs(6);

/// How much an event says against its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The event says nothing, whatever comes with it.
    Nothing,
    /// The event suppresses by itself.
    Enough(SuppressionReason),
    /// The event suppresses together with others.
    Counts,
    /// The event is a delivery: what counted before it counts no more.
    Resets,
}

/// An event of which SES tells.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) region: &'static str,
    pub(crate) addresses: Vec<String>,
    pub(crate) weight: Weight,
    /// When the event happened, by its own word.
    pub(crate) occurred_at: Timestamp,
}

/// A decision of an operator.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) address: String,
    pub(crate) suppress: Option<SuppressionReason>,
    /// When the decision counts from.
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

/// When an address last bounced, complained and was released.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) bounced: Option<Timestamp>,
    pub(crate) complained: Option<Timestamp>,
    pub(crate) released: Option<Timestamp>,
}

impl Truth {
    fn events_of<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a Event> {
        self.events.values().filter(move |event| event.addresses.iter().any(|known| known == address))
    }

    pub(crate) fn last_entry(&self, address: &str) -> Option<Timestamp> {
        self.entries.iter().filter(|entry| entry.address == address).map(|entry| entry.at).max()
    }

    /// The first of the events that it takes for enough of those that count, in any one of the Regions; `None` if there are
    /// too few in each.
    fn counted_from(&self, address: &str) -> Option<Timestamp> {
        let threshold = self.soft.threshold?;
        let regions: BTreeSet<_> = self.events_of(address).map(|event| event.region).collect();
        let counted_from = |region| {
            let events = self.events_of(address).filter(|event| event.region == region);
            let mut times: Vec<_> = events
                .filter(|event| event.weight == Weight::Counts)
                .map(|event| event.occurred_at)
                .collect();
            times.sort_unstable();
            let days = |times: &[Timestamp]| {
                times.iter().map(|at| at.seconds() / 86_400).collect::<BTreeSet<_>>().len()
            };
            let enough = |first: &usize| {
                times.len() - first >= threshold.events && days(&times[*first..]) >= threshold.days
            };
            (0..times.len()).rev().find(enough).map(|first| times[first])
        };
        regions.into_iter().filter_map(counted_from).max()
    }

    /// The times that an address's state must have in the end, whatever arrived in which order; entries of lists aside.
    /// Where mail was delivered, it depends on the order whether those that count with others were enough: the least and
    /// the most that may have come of it.
    pub(crate) fn times(&self, address: &str) -> [Times; 2] {
        let decisions = self.decisions.values().filter(|decision| decision.address == address);
        let mut times = Times::default();
        let events = self.events_of(address).filter_map(|event| match event.weight {
            Weight::Enough(reason) => Some((Some(reason), event.occurred_at)),
            Weight::Nothing | Weight::Counts | Weight::Resets => None,
        });
        for (suppress, at) in events.chain(decisions.map(|decision| (decision.suppress, decision.at))) {
            let last = match suppress {
                Some(SuppressionReason::Bounce) => &mut times.bounced,
                Some(SuppressionReason::Complaint) => &mut times.complained,
                None => &mut times.released,
            };
            *last = (*last).max(Some(at));
        }
        let counted = Times { bounced: times.bounced.max(self.counted_from(address)), ..times };
        let delivered = self.events_of(address).any(|event| event.weight == Weight::Resets);
        [if delivered { times } else { counted }, counted]
    }
}
