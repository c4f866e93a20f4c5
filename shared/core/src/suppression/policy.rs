//! Whether a new record is reason to suppress its address.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

use super::item::Change;
use super::reason::Reason;
use super::seen::Seen;
use super::spellings::Spellings;
use super::state::{Said, Source, SuppressionState};
use crate::evidence::Decidable;
use crate::timestamp::Timestamp;

/// Of an address's history the newest this many records are enough to read: an address with more than that within the
/// window, and still below the threshold, gets mail that arrives.
pub const HISTORY_LIMIT: usize = 500;

const DAY: Duration = Duration::from_hours(24);

/// When to suppress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How many transient bounces are a dead mailbox. `None`: no number is. Default: see [`Threshold`].
    pub transient: Option<Threshold>,
    /// Whether a bounce of which SES knows nothing counts as a transient one. Default: no.
    pub count_undetermined: bool,
    /// Whom to suppress of several recipients, one of whom complained. Default: all.
    pub candidates: Candidates,
    /// What mail sent on behalf of a tenant decides. Default: as any other mail.
    pub tenants: Tenants,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            transient: Some(Threshold::default()),
            count_undetermined: false,
            candidates: Candidates::All,
            tenants: Tenants::AccountWide,
        }
    }
}

/// How many transient bounces are a dead mailbox: this many events, on at least this many days, within so many days. A
/// mail that is delivered starts the count again, and so does a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Counted by event id: default 5.
    pub events: usize,
    /// Different days of UTC: default 3, since a server's bad day is not its user's.
    pub days: usize,
    /// Default 30.
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

/// Whom to suppress of several recipients, one of whom complained: the provider did not say who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// All: a second complaint costs more than a silence.
    All,
    /// None.
    None,
}

/// What mail sent on behalf of a tenant decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// The same as any other mail: the account's list answers for the account's reputation.
    AccountWide,
    /// Nothing: each tenant has a suppression list of its own.
    TheirOwn,
}

/// What the policy reads of a record: of a new one in the stream, and of those before it in the table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// `bounce`, `complaint`, `delivery`, …
    pub kind: String,
    /// By which events are counted.
    pub event_id: String,
    /// When it happened, by SES.
    pub occurred_at: Timestamp,
    /// When SES took the mail.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// As what it is worth deciding on.
    #[serde(default)]
    pub decidable: Option<Decidable>,
    /// As SES spelled it.
    pub recipient: String,
    /// Match form.
    pub address: String,
    /// The tenant for whom the mail was sent.
    #[serde(default)]
    pub tenant: Option<String>,
    /// How many recipients a complaint may have come from.
    #[serde(default)]
    pub candidates: Option<usize>,
}

/// What the policy says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Suppress the address.
    Suppress {
        /// For this.
        reason: Reason,
        /// Because of this.
        source: Source,
        /// From then on: a release after that stands.
        at: Timestamp,
    },
    /// Leave it as it is.
    Leave(Leave),
}

/// Why an address is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Leave {
    /// The record says nothing about the address.
    #[error("says nothing about the address")]
    NotDecidable,
    /// It is not known whose complaint it is.
    #[error("one of several complained, and the policy suppresses none of them")]
    Candidates,
    /// Its tenant's list has it.
    #[error("mail of a tenant, and the policy leaves those to their own lists")]
    Tenant,
    /// Too few of the kind, so far.
    #[error("too few bounces so far")]
    BelowThreshold,
    /// Found later, with a time that lies ahead still.
    #[error("its time lies ahead")]
    Ahead,
}

impl Policy {
    /// Of what time the policy must see the address's other records, if it must see them at all.
    pub fn history(&self, new: &Told) -> Option<RangeInclusive<Timestamp>> {
        let threshold = self.transient.filter(|_| self.counts(new))?;
        let within = threshold.within();
        Some(new.occurred_at.minus(within)..=new.occurred_at.plus(within))
    }

    /// Judges a new record. `history` are the address's other records of that [time](Self::history), in any order, the new
    /// one among them or not; `released_at` is when the address was last released.
    pub fn judge<'a>(
        &self,
        new: &'a Told,
        history: impl IntoIterator<Item = &'a Told>,
        released_at: Option<Timestamp>,
        seen: Seen,
    ) -> Verdict {
        let Some(decidable) = new.decidable else { return Verdict::Leave(Leave::NotDecidable) };
        if self.tenants == Tenants::TheirOwn && new.tenant.is_some() {
            return Verdict::Leave(Leave::Tenant);
        }
        let (reason, source, occurred_at) = match decidable {
            Decidable::Bounce => (Reason::Bounce, Source::Bounce, new.occurred_at),
            Decidable::Complaint => {
                if self.candidates == Candidates::None && new.candidates.unwrap_or(1) > 1 {
                    return Verdict::Leave(Leave::Candidates);
                }
                (Reason::Complaint, Source::Complaint, new.occurred_at)
            }
            Decidable::Transient | Decidable::Undetermined => {
                let Some(threshold) = self.transient.filter(|_| self.counts(new)) else {
                    return Verdict::Leave(Leave::NotDecidable);
                };
                let history: Vec<_> = history.into_iter().collect();
                match self.reached(threshold, new, &history, released_at) {
                    Some(reached_at) => (Reason::Bounce, Source::Transient, reached_at),
                    None => return Verdict::Leave(Leave::BelowThreshold),
                }
            }
        };
        match seen.evidence(occurred_at, new.sent_at) {
            Some(at) => Verdict::Suppress { reason, source, at },
            None => Verdict::Leave(Leave::Ahead),
        }
    }

    /// Whether a record counts towards the threshold.
    fn counts(&self, told: &Told) -> bool {
        let counted = match told.decidable {
            Some(Decidable::Transient) => true,
            Some(Decidable::Undetermined) => self.count_undetermined,
            Some(Decidable::Bounce | Decidable::Complaint) | None => false,
        };
        counted && !(self.tenants == Tenants::TheirOwn && told.tenant.is_some())
    }

    /// When the threshold was reached, with the new record's help: the end of the last window that holds enough of what
    /// came after the last delivery or release. Records come in any order, so the new one need not be the last.
    fn reached(
        &self,
        threshold: Threshold,
        new: &Told,
        history: &[&Told],
        released_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        let same_address = || history.iter().filter(|told| told.address == new.address);
        let deliveries = same_address().filter(|told| told.kind == "delivery");
        // Also one that came after the new record, which is then found late: the mailbox is not dead.
        let after = released_at.max(deliveries.map(|told| told.occurred_at).max());
        // Both formats of one event have its id and its time.
        let mut events: BTreeSet<(Timestamp, &str)> = same_address()
            .filter(|told| self.counts(told))
            .map(|told| (told.occurred_at, told.event_id.as_str()))
            .collect();
        events.insert((new.occurred_at, &new.event_id));
        events.retain(|(at, _)| Some(*at) > after);

        let ends = events.range((new.occurred_at, "")..).rev().map(|(end, _)| *end);
        ends.into_iter().find(|end| {
            let from = end.minus(threshold.within()).max(Timestamp::MIN);
            let counted: Vec<_> = events.iter().filter(|(at, _)| (from..=*end).contains(at)).collect();
            let ids: BTreeSet<_> = counted.iter().map(|(_, id)| id).collect();
            let days: BTreeSet<_> = counted.iter().map(|(at, _)| at.seconds() / 86_400).collect();
            counted.iter().any(|(at, _)| *at == new.occurred_at)
                && ids.len() >= threshold.events
                && days.len() >= threshold.days
        })
    }
}

impl Told {
    /// What a verdict on it comes to. `region` is this one. `None` if the address is left as it is.
    pub fn change(&self, verdict: &Verdict, region: &str) -> Option<Change> {
        let Verdict::Suppress { reason, source, at } = *verdict else { return None };
        let said = Said { at, source, region: region.to_owned(), id: self.event_id.clone() };
        Some(Change {
            address: self.address.clone(),
            spellings: Spellings::from_iter([&self.recipient]),
            state: SuppressionState::suppressed(reason, said),
            decision: None,
        })
    }
}
