//! Decides whether a new record is reason to suppress its address.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::feedback_fact::FeedbackFact;
use super::item::Change;
use super::reason::Reason;
use super::spellings::Spellings;
use super::state::{Said, Source, SuppressionState};
use crate::evidence::Decidable;
use crate::notification::Format;
use crate::timestamp::Timestamp;

/// How many of the newest records of an address are read. More are not needed: an address with more than that within the
/// window, and still below the threshold, gets mail that arrives.
pub const HISTORY_LIMIT: usize = 500;

const DAY: Duration = Duration::from_hours(24);

/// When to suppress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many transient bounces mean that a mailbox is dead; `None`: they are not counted, and none does. Default: none,
    /// since they can be counted only where deliveries are told.
    pub transient: Option<Threshold>,
    /// Whether a bounce of which SES knows nothing counts as a transient one, where those count. Default: no.
    pub count_undetermined: bool,
    /// Which recipients to suppress if one of several complained. Default: all.
    pub candidates: Candidates,
    /// What mail that was sent on behalf of a tenant decides. Default: the same as any other mail.
    pub tenants: Tenants,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            transient: None,
            count_undetermined: false,
            candidates: Candidates::All,
            tenants: Tenants::AccountWide,
        }
    }
}

/// How many transient bounces mean that a mailbox is dead: this many events, on at least this many days, within so many
/// days. A mail that is delivered starts the count again, and so does a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// The number of events, counted by event id. Default: 5.
    pub events: usize,
    /// The number of different days (UTC). Default: 3, since one bad day of a server does not mean that a mailbox is
    /// dead.
    pub days: usize,
    /// The number of days within which the events must lie. Default: 30.
    pub within_days: u16,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { events: 5, days: 3, within_days: 30 }
    }
}

impl Threshold {
    fn within(self) -> Duration {
        DAY * u32::from(self.within_days)
    }
}

/// Which recipients to suppress if one of several complained: the provider did not say which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All of them: a second complaint costs more than mail that is not sent.
    All,
    /// None of them.
    None,
}

/// What mail that was sent on behalf of a tenant decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// It decides the same as any other mail, since the account's list answers for the account's reputation.
    AccountWide,
    /// It decides nothing, since each tenant has a suppression list of its own.
    TheirOwn,
}

/// What the policy says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The address is to be suppressed.
    Suppress {
        /// The reason for which to suppress it.
        reason: Reason,
        /// What the reason rests on.
        source: Source,
        /// When that counts from: a release at that time or later stands.
        at: Timestamp,
        /// The id of the event that this is the time of.
        id: String,
    },
    /// The address is left as it is.
    Leave(Leave),
}

/// Why an address is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Leave {
    /// The record says nothing about the address.
    #[error("says nothing about the address")]
    NotDecidable,
    /// It is not known which recipient the complaint came from.
    #[error("one of several complained, and the policy suppresses none of them")]
    Candidates,
    /// The mail was a tenant's, and the tenant's own list deals with it.
    #[error("mail of a tenant, and the policy leaves those to their own lists")]
    Tenant,
    /// There are too few bounces so far.
    #[error("too few bounces so far")]
    BelowThreshold,
}

impl Policy {
    /// The time whose records of the address the policy must see; `None` if it needs none.
    pub fn history(&self, new: &FeedbackFact) -> Option<RangeInclusive<Timestamp>> {
        let threshold = self.transient.filter(|_| self.counts(new))?;
        let within = threshold.within();
        Some(new.occurred_at.minus(within)..=new.occurred_at.plus(within))
    }

    /// Judges a new record. `history` holds the address's other records of that [time](Self::history), in any order, and
    /// may hold the new one, too. The verdict does not depend on the address's state: whether a release overrules it shows
    /// when both are joined, whichever came first.
    pub fn judge<'a>(
        &self,
        new: &'a FeedbackFact,
        history: impl IntoIterator<Item = &'a FeedbackFact>,
    ) -> Verdict {
        let Some(decidable) = new.decidable else { return Verdict::Leave(Leave::NotDecidable) };
        if self.tenants == Tenants::TheirOwn && new.tenant.is_some() {
            return Verdict::Leave(Leave::Tenant);
        }
        let (reason, source, (at, id)) = match decidable {
            Decidable::Bounce => (Reason::Bounce, Source::Bounce, (new.counts_from(), new.event_id.as_str())),
            Decidable::Complaint => {
                if self.candidates == Candidates::None && new.candidates.unwrap_or(1) > 1 {
                    return Verdict::Leave(Leave::Candidates);
                }
                (Reason::Complaint, Source::Complaint, (new.counts_from(), new.event_id.as_str()))
            }
            Decidable::Transient | Decidable::Undetermined => {
                let Some(threshold) = self.transient.filter(|_| self.counts(new)) else {
                    return Verdict::Leave(Leave::NotDecidable);
                };
                let history: Vec<_> = history.into_iter().collect();
                match self.first_counted(threshold, new, &history) {
                    Some(first) => (Reason::Bounce, Source::Transient, first),
                    None => return Verdict::Leave(Leave::BelowThreshold),
                }
            }
        };
        Verdict::Suppress { reason, source, at, id: id.to_owned() }
    }

    /// Whether a record counts towards the threshold. Only event publishing tells deliveries, too: the stack does not ask
    /// for an identity's delivery notifications. So what an identity's notifications alone tell is not counted, since a
    /// delivery in between would not be known.
    fn counts(&self, told: &FeedbackFact) -> bool {
        let counted = match told.decidable {
            Some(Decidable::Transient) => true,
            Some(Decidable::Undetermined) => self.count_undetermined,
            Some(Decidable::Bounce | Decidable::Complaint) | None => false,
        };
        counted
            && told.format == Some(Format::Event)
            && !(self.tenants == Tenants::TheirOwn && told.tenant.is_some())
    }

    /// The first of the latest bounces that, the new one among them, reach the threshold; only those after the last
    /// delivery count. Records come in any order, so the new one need not be the last.
    ///
    /// It is the first and not the last since a release starts the count again: if it comes at the time of the first or
    /// later, too few are left. So the release need not be known here.
    fn first_counted<'a>(
        &self,
        threshold: Threshold,
        new: &'a FeedbackFact,
        history: &[&'a FeedbackFact],
    ) -> Option<(Timestamp, &'a str)> {
        let same_address = || history.iter().filter(|told| told.address == new.address);
        // A delivery after the new record counts, too, if the record is found late: the mailbox is not dead.
        let delivered_at =
            same_address().filter(|told| told.kind == "delivery").map(|told| told.occurred_at).max();
        // An event that both formats tell has one id and one time, so it counts once.
        let mut events: BTreeSet<(Timestamp, &str)> = same_address()
            .filter(|told| self.counts(told))
            .map(|told| (told.occurred_at, told.event_id.as_str()))
            .collect();
        let new = (new.occurred_at, new.event_id.as_str());
        events.insert(new);
        events.retain(|(at, _)| Some(*at) > delivered_at);

        events.range(..=new).rev().copied().find(|first| {
            let until = first.0.plus(threshold.within());
            let counted: Vec<_> = events.range(*first..).take_while(|(at, _)| *at <= until).collect();
            let ids: BTreeSet<_> = counted.iter().map(|(_, id)| id).collect();
            let days: BTreeSet<_> = counted.iter().map(|(at, _)| at.seconds() / 86_400).collect();
            counted.contains(&&new) && ids.len() >= threshold.events && days.len() >= threshold.days
        })
    }
}

impl FeedbackFact {
    /// The change that a verdict on a record comes to; `region` is this one. `None` if the address is left as it is.
    pub fn change(&self, verdict: &Verdict, region: &str) -> Option<Change> {
        let Verdict::Suppress { reason, source, at, ref id } = *verdict else { return None };
        let said = Said { at, source, region: region.to_owned(), id: id.clone() };
        Some(Change {
            address: self.address.clone(),
            spellings: Spellings::from_iter([&self.recipient]),
            state: SuppressionState::suppressed(reason, said),
        })
    }
}
