//! Decides whether a new record is reason to suppress its address.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::address_state::StateChange;
use super::feedback_fact::FeedbackSummary;
use super::reason::SuppressionReason;
use super::spellings::Spellings;
use super::state::{Statement, StatementSource, SuppressionState};
use crate::evidence::DecisionTrigger;
use crate::notification::NotificationFormat;
use crate::timestamp::Timestamp;

/// How many of the newest records of an address are read. More are not needed: an address with more than that within the
/// window, and still below the threshold, gets mail that arrives.
pub const HISTORY_LIMIT: usize = 500;

const DAY: Duration = Duration::from_hours(24);

/// When to suppress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionPolicy {
    /// How many transient bounces mean that a mailbox is dead; `None`: they are not counted, and none does. Default: none,
    /// since they can be counted only where deliveries are told.
    pub transient_threshold: Option<TransientThreshold>,
    /// Whether a bounce of which SES knows nothing counts as a transient one, where those count. Default: no.
    pub count_undetermined: bool,
    /// Which recipients to suppress if one of several complained. Default: all.
    pub candidate_policy: CandidatePolicy,
    /// What mail that was sent on behalf of a tenant decides. Default: the same as any other mail.
    pub tenant_policy: TenantPolicy,
}

impl Default for SuppressionPolicy {
    fn default() -> Self {
        Self {
            transient_threshold: None,
            count_undetermined: false,
            candidate_policy: CandidatePolicy::SuppressAll,
            tenant_policy: TenantPolicy::AccountWide,
        }
    }
}

/// How many transient bounces mean that a mailbox is dead: this many events, on at least this many days, within so many
/// days. A mail that is delivered starts the count again, and so does a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransientThreshold {
    /// The number of events, counted by event id. Default: 5.
    pub events: usize,
    /// The number of different days (UTC). Default: 3, since one bad day of a server does not mean that a mailbox is
    /// dead.
    pub days: usize,
    /// The number of days within which the events must lie. Default: 30.
    pub within_days: u16,
}

impl Default for TransientThreshold {
    fn default() -> Self {
        Self { events: 5, days: 3, within_days: 30 }
    }
}

impl TransientThreshold {
    fn period(self) -> Duration {
        DAY * u32::from(self.within_days)
    }
}

/// Which recipients to suppress if one of several complained: the provider did not say which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidatePolicy {
    /// All of them: a second complaint costs more than mail that is not sent.
    SuppressAll,
    /// None of them.
    SuppressNone,
}

/// What mail that was sent on behalf of a tenant decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantPolicy {
    /// It decides the same as any other mail, since the account's list answers for the account's reputation.
    AccountWide,
    /// It decides nothing, since each tenant has a suppression list of its own.
    TenantLists,
}

/// What the policy says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyDecision {
    /// The address is to be suppressed.
    Suppress {
        /// The reason for which to suppress it.
        reason: SuppressionReason,
        /// What the reason rests on.
        source: StatementSource,
        /// When that counts from: a release at that time or later stands.
        at: Timestamp,
        /// The id of the event that this is the time of.
        id: String,
    },
    /// The address is left as it is.
    Leave(LeaveReason),
}

/// Why an address is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaveReason {
    /// The record says nothing about the address.
    #[error("says nothing about the address")]
    NothingToDecide,
    /// It is not known which recipient the complaint came from.
    #[error("one of several complained, and the policy suppresses none of them")]
    SeveralCandidates,
    /// The mail was a tenant's, and the tenant's own list deals with it.
    #[error("mail of a tenant, and the policy leaves those to their own lists")]
    TenantMail,
    /// There are too few bounces so far.
    #[error("too few bounces so far")]
    BelowThreshold,
}

/// The event that a suppression goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DecidingEvent<'a> {
    at: Timestamp,
    event_id: &'a str,
}

impl SuppressionPolicy {
    /// The time whose records of the address the policy must see; `None` if it needs none.
    pub fn history_range(&self, record: &FeedbackSummary) -> Option<RangeInclusive<Timestamp>> {
        let threshold = self.transient_threshold.filter(|_| self.counts_towards_threshold(record))?;
        let within = threshold.period();
        Some(record.occurred_at.minus(within)..=record.occurred_at.plus(within))
    }

    /// Judges a new record. `history` holds the address's other records of that [time](Self::history_range), in any order, and
    /// may hold the new one, too. The verdict does not depend on the address's state: whether a release overrules it shows
    /// when both are joined, whichever came first.
    pub fn decide<'a>(
        &self,
        record: &'a FeedbackSummary,
        history: impl IntoIterator<Item = &'a FeedbackSummary>,
    ) -> PolicyDecision {
        let Some(decidable) = record.decidable else {
            return PolicyDecision::Leave(LeaveReason::NothingToDecide);
        };
        if self.tenant_policy == TenantPolicy::TenantLists && record.tenant.is_some() {
            return PolicyDecision::Leave(LeaveReason::TenantMail);
        }
        let (reason, source, event) = match decidable {
            DecisionTrigger::Bounce => (
                SuppressionReason::Bounce,
                StatementSource::Bounce,
                DecidingEvent { at: record.takes_effect_at(), event_id: &record.event_id },
            ),
            DecisionTrigger::Complaint => {
                if self.candidate_policy == CandidatePolicy::SuppressNone
                    && record.candidates.unwrap_or(1) > 1
                {
                    return PolicyDecision::Leave(LeaveReason::SeveralCandidates);
                }
                (
                    SuppressionReason::Complaint,
                    StatementSource::Complaint,
                    DecidingEvent { at: record.takes_effect_at(), event_id: &record.event_id },
                )
            }
            DecisionTrigger::Transient | DecisionTrigger::Undetermined => {
                let Some(threshold) =
                    self.transient_threshold.filter(|_| self.counts_towards_threshold(record))
                else {
                    return PolicyDecision::Leave(LeaveReason::NothingToDecide);
                };
                let history: Vec<_> = history.into_iter().collect();
                match self.find_first_counted_event(threshold, record, &history) {
                    Some(first) => (SuppressionReason::Bounce, StatementSource::Transient, first),
                    None => return PolicyDecision::Leave(LeaveReason::BelowThreshold),
                }
            }
        };
        PolicyDecision::Suppress { reason, source, at: event.at, id: event.event_id.to_owned() }
    }

    /// Whether a record counts towards the threshold. Only event publishing tells deliveries, too: the stack does not ask
    /// for an identity's delivery notifications. So what an identity's notifications alone tell is not counted, since a
    /// delivery in between would not be known.
    fn counts_towards_threshold(&self, record: &FeedbackSummary) -> bool {
        let counted = match record.decidable {
            Some(DecisionTrigger::Transient) => true,
            Some(DecisionTrigger::Undetermined) => self.count_undetermined,
            Some(DecisionTrigger::Bounce | DecisionTrigger::Complaint) | None => false,
        };
        counted
            && record.format == Some(NotificationFormat::Event)
            && !(self.tenant_policy == TenantPolicy::TenantLists && record.tenant.is_some())
    }

    /// The first of the latest bounces that, the new one among them, reach the threshold; only those after the last
    /// delivery count. Records come in any order, so the new one need not be the last.
    ///
    /// It is the first and not the last since a release starts the count again: if it comes at the time of the first or
    /// later, too few are left. So the release need not be known here.
    fn find_first_counted_event<'a>(
        &self,
        threshold: TransientThreshold,
        record: &'a FeedbackSummary,
        history: &[&'a FeedbackSummary],
    ) -> Option<DecidingEvent<'a>> {
        let same_address = || history.iter().filter(|told| told.address == record.address);
        // A delivery after the new record counts, too, if the record is found late: the mailbox is not dead.
        let delivered_at =
            same_address().filter(|told| told.kind == "delivery").map(|told| told.occurred_at).max();
        // An event that both formats tell has one id and one time, so it counts once.
        let event =
            |told: &&'a FeedbackSummary| DecidingEvent { at: told.occurred_at, event_id: &told.event_id };
        let mut events: BTreeSet<_> =
            same_address().filter(|told| self.counts_towards_threshold(told)).map(event).collect();
        let new = event(&record);
        events.insert(new);
        events.retain(|event| Some(event.at) > delivered_at);

        events.range(..=new).rev().copied().find(|first| {
            let until = first.at.plus(threshold.period());
            let counted: Vec<_> = events.range(*first..).take_while(|event| event.at <= until).collect();
            let ids: BTreeSet<_> = counted.iter().map(|event| event.event_id).collect();
            let days: BTreeSet<_> = counted.iter().map(|event| event.at.seconds() / 86_400).collect();
            counted.contains(&&new) && ids.len() >= threshold.events && days.len() >= threshold.days
        })
    }
}

impl FeedbackSummary {
    /// The change that a verdict on a record comes to; `region` is this one. `None` if the address is left as it is.
    pub fn to_state_change(&self, decision: &PolicyDecision, region: &str) -> Option<StateChange> {
        let PolicyDecision::Suppress { reason, source, at, ref id } = *decision else { return None };
        let said = Statement { at, source, region: region.to_owned(), id: id.clone() };
        Some(StateChange {
            address: self.address.clone(),
            spellings: Spellings::from_iter([&self.recipient]),
            state: SuppressionState::from_reason(reason, said),
        })
    }
}
