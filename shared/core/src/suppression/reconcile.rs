//! What a difference between a Region's list and its states means, and what to do about it.
//!
//! Reconcile reads the list page by page, and marks; `apply` writes the list. A pass takes long and is no snapshot: what
//! moved since it began is judged in the next one. The first pass takes in what stood there before Mailroom came.

use super::address_state::{AddressState, ApplyOutcomeKind, StateChange};
use super::reason::SuppressionReason;
use super::spellings::Spellings;
use super::state::{MAX_CLOCK_SKEW, Statement, StatementSource, SuppressionState};
use crate::address::Address;
use crate::timestamp::Timestamp;

/// An entry of SES's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListEntry {
    /// The entry's address (`EmailAddress`), exactly as SES spells it.
    pub spelling: String,
    /// The entry's reason (`SuppressionReason`).
    pub reason: SuppressionReason,
    /// When the entry was last written (`LastUpdateTime`).
    pub updated_at: Timestamp,
}

/// The entries of one address that were read together. Another one on another page may be judged by itself: each
/// judgement is right for its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressEntries {
    address: String,
    entries: Vec<ListEntry>,
}

/// Entries by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupedEntries {
    /// The addresses with their entries, in the order of the addresses.
    pub addresses: Vec<AddressEntries>,
    /// How many entries have an address that can't be read. Such an entry can't belong to any state, so it is left on the
    /// list.
    pub unreadable_count: usize,
}

impl AddressEntries {
    /// Groups entries by address.
    pub fn group_by_address(entries: impl IntoIterator<Item = ListEntry>) -> GroupedEntries {
        let mut listings = std::collections::BTreeMap::<String, Vec<ListEntry>>::new();
        let mut unreadable_count = 0;
        for entry in entries {
            match Address::parse(&entry.spelling) {
                Ok(address) if address.spelling() == entry.spelling => {
                    listings.entry(address.match_form().to_owned()).or_default().push(entry);
                }
                Ok(_) | Err(_) => unreadable_count += 1,
            }
        }
        let listing = |(address, entries)| Self { address, entries };
        GroupedEntries { addresses: listings.into_iter().map(listing).collect(), unreadable_count }
    }

    /// The address in match form.
    pub fn address(&self) -> &str {
        &self.address
    }

    fn spellings(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.spelling.as_str())
    }

    /// The entry that says most since the release: the one with the greatest reason, and the newest of those. If that is
    /// only what is in force, an entry from before the release that says more comes first, since it must go, too.
    fn gravest_entry(
        &self,
        release_cutoff: Option<Timestamp>,
        effective_reason: Option<SuppressionReason>,
    ) -> Option<&ListEntry> {
        let rank = |entry: &&ListEntry| (entry.reason, entry.updated_at);
        let most = self.entries.iter().max_by_key(rank);
        let since =
            self.entries.iter().filter(|entry| Some(entry.updated_at) > release_cutoff).max_by_key(rank);
        since.filter(|since| Some(since.reason) != effective_reason).or(most)
    }

    /// The entry that says something else than what is in force; `None` if there is none.
    fn mismatched_entry(&self, effective_reason: Option<SuppressionReason>) -> Option<&ListEntry> {
        self.entries.iter().find(|entry| Some(entry.reason) != effective_reason)
    }
}

/// One run over the whole list.
#[derive(Debug, Clone, Copy)]
pub struct PassContext<'a> {
    /// This Region's name.
    pub region: &'a str,
    /// When the pass began.
    pub started_at: Timestamp,
    /// Whether the account is in the sandbox, in which nothing can be put.
    pub in_sandbox: bool,
    /// What to do with an entry that has gone without our doing.
    pub missing_entry_policy: MissingEntryPolicy,
}

impl<'a> PassContext<'a> {
    /// A pass with the default settings.
    pub fn new(region: &'a str, started_at: Timestamp) -> Self {
        Self {
            region,
            started_at,
            in_sandbox: false,
            missing_entry_policy: MissingEntryPolicy::AcceptRemoval,
        }
    }
}

/// What to do with an entry that has gone without our doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissingEntryPolicy {
    /// Leave it off until there is new evidence: somebody wanted it off.
    AcceptRemoval,
    /// Put it back.
    PutBack,
}

/// Guards against a list that SES has emptied (after 90 days without sending), or that could not be read: it must not be
/// mistaken for one from which everybody was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmptiedListGuard {
    /// The guard trips if more than this share of the list has gone, in percent. Default: 10. If fewer than five entries
    /// have gone, it takes more than half of the list, since a few removals by hand are a large share of a short list.
    pub max_missing_percent: usize,
}

impl Default for EmptiedListGuard {
    fn default() -> Self {
        Self { max_missing_percent: 10 }
    }
}

impl EmptiedListGuard {
    /// The number of entries that are not removed one by one by hand.
    const MANY_ENTRIES: usize = 5;
    /// The share, in percent, above which the guard trips if fewer entries than that have gone.
    const MAX_PERCENT_OF_FEW: usize = 50;

    /// Whether so many entries have gone, of those that should be there, that nothing may be concluded: raise an alarm
    /// instead. A single entry never trips the guard, since somebody may have taken it off a list of one.
    pub fn trips(self, expected_entries: usize, missing_entries: usize) -> bool {
        let percent = if missing_entries < Self::MANY_ENTRIES {
            self.max_missing_percent.max(Self::MAX_PERCENT_OF_FEW)
        } else {
            self.max_missing_percent
        };
        missing_entries > 1 && missing_entries.saturating_mul(100) > expected_entries.saturating_mul(percent)
    }
}

/// What to do about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReconcileAction {
    /// Join an entry that nobody here had put there, with SES's own time.
    Adopt(ListEntry),
    /// Join a complaint that only SES knew of.
    JoinComplaint(ListEntry),
    /// Mark the address: its entry must go.
    MarkForDelete,
    /// Mark the address: an entry must be put, over this one if there is one.
    MarkForPut(Option<ListEntry>),
    /// Ask SES for this very entry, then call [`judge_after_lookup`]: the list is not read in one moment.
    LookUpEntry,
    /// Record that the entry had gone, and leave it off.
    AcceptRemoval,
    /// Record that the list is right, which nobody here knew. Holds the entry, if there is one.
    RecordListedEntry(Option<ListEntry>),
    /// Record the spellings in which the address is listed, since not all of them were known: a release is to delete each
    /// of them.
    RecordSpellings,
    /// Do nothing: all is as it should be.
    NoChange,
    /// Do nothing, for now or at all, for this cause.
    Skip(SkipReason),
}

/// Why nothing is done about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// `apply` will do what is needed.
    Pending,
    /// An import job holds the address.
    HeldByJob,
    /// The address has changed since the pass began.
    RecentlyChanged,
    /// The entry had gone without our doing, and nothing new was said.
    RemovalAccepted,
    /// The account is still in the sandbox.
    InSandbox,
    /// SES has refused the entry for good.
    FailedForGood,
    /// SES refuses to tell whether the entry is there.
    LookupRefused,
    /// The address is the mailbox simulator's, which is never suppressed.
    MailboxSimulator,
}

/// What stands on the list of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListedReason {
    NotListed,
    Bounce,
    Complaint,
}

/// How old the entry is, compared with the release and our last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryAge {
    /// The entry is older than the release, or not newer by [`MAX_CLOCK_SKEW`], or counts as that old: see [`entry_age`].
    BeforeRelease,
    /// The entry is newer than the release, but not than our own last write, and is not our own complaint from before we
    /// knew of the release.
    AfterRelease,
    /// The entry is newer than both, so it is not our doing.
    AfterWrite,
}

/// Which reason is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EffectiveState {
    /// There is no state of the address.
    NoState,
    Released,
    Bounce,
    Complaint,
}

/// What was last applied, or why it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KnownEntryKind {
    Never,
    Nothing,
    Bounce,
    Complaint,
    RemovalAccepted,
    /// SES refused, and the account is still in the sandbox.
    RefusedInSandbox,
    FailedForGood,
}

/// Whether something else is at work on the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressHold {
    Free,
    Pending,
    HeldByJob,
    RecentlyChanged,
}

/// An [`ReconcileAction`] without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReconcileActionKind {
    Adopt,
    JoinComplaint,
    MarkForDelete,
    MarkForPut,
    LookUpEntry,
    RecordListedEntry,
    NoChange,
    Skip(SkipReason),
}

/// The truth table of what to do.
fn choose_action(
    listed_reason: ListedReason,
    entry_age: EntryAge,
    effective_state: EffectiveState,
    known_entry: KnownEntryKind,
    hold: AddressHold,
) -> ReconcileActionKind {
    let busy = match hold {
        AddressHold::Free => {
            return choose_action_if_free(listed_reason, entry_age, effective_state, known_entry);
        }
        // The job may have written this very entry after the release.
        AddressHold::HeldByJob => return ReconcileActionKind::Skip(SkipReason::HeldByJob),
        AddressHold::Pending => ReconcileActionKind::Skip(SkipReason::Pending),
        AddressHold::RecentlyChanged => ReconcileActionKind::Skip(SkipReason::RecentlyChanged),
    };
    // A BOUNCE that waits for the first pass to end must not be put over the COMPLAINT that the pass found.
    match (effective_state, listed_reason, entry_age) {
        (EffectiveState::Bounce, ListedReason::Complaint, EntryAge::AfterRelease | EntryAge::AfterWrite) => {
            ReconcileActionKind::JoinComplaint
        }
        (EffectiveState::Bounce, ListedReason::Complaint, EntryAge::BeforeRelease)
        | (
            EffectiveState::Bounce,
            ListedReason::NotListed | ListedReason::Bounce,
            EntryAge::BeforeRelease | EntryAge::AfterRelease | EntryAge::AfterWrite,
        )
        | (
            EffectiveState::NoState | EffectiveState::Released | EffectiveState::Complaint,
            ListedReason::NotListed | ListedReason::Bounce | ListedReason::Complaint,
            EntryAge::BeforeRelease | EntryAge::AfterRelease | EntryAge::AfterWrite,
        ) => busy,
    }
}

fn choose_action_if_free(
    listed_reason: ListedReason,
    entry_age: EntryAge,
    effective_state: EffectiveState,
    known_entry: KnownEntryKind,
) -> ReconcileActionKind {
    match (effective_state, listed_reason) {
        (EffectiveState::NoState, ListedReason::NotListed) => ReconcileActionKind::NoChange,
        (EffectiveState::NoState, ListedReason::Bounce | ListedReason::Complaint) => {
            ReconcileActionKind::Adopt
        }
        (EffectiveState::Released, ListedReason::NotListed) => match known_entry {
            KnownEntryKind::Bounce | KnownEntryKind::Complaint => ReconcileActionKind::RecordListedEntry,
            KnownEntryKind::Never
            | KnownEntryKind::Nothing
            | KnownEntryKind::RemovalAccepted
            | KnownEntryKind::RefusedInSandbox
            | KnownEntryKind::FailedForGood => ReconcileActionKind::NoChange,
        },
        (EffectiveState::Released, ListedReason::Bounce | ListedReason::Complaint) => match entry_age {
            EntryAge::AfterWrite => ReconcileActionKind::Adopt,
            EntryAge::BeforeRelease | EntryAge::AfterRelease => match known_entry {
                KnownEntryKind::FailedForGood => ReconcileActionKind::Skip(SkipReason::FailedForGood),
                // SES deletes entries in the sandbox, too.
                KnownEntryKind::Never
                | KnownEntryKind::Nothing
                | KnownEntryKind::Bounce
                | KnownEntryKind::Complaint
                | KnownEntryKind::RemovalAccepted
                | KnownEntryKind::RefusedInSandbox => ReconcileActionKind::MarkForDelete,
            },
        },
        (EffectiveState::Bounce | EffectiveState::Complaint, ListedReason::NotListed) => match known_entry {
            KnownEntryKind::Bounce | KnownEntryKind::Complaint => ReconcileActionKind::LookUpEntry,
            KnownEntryKind::RemovalAccepted => ReconcileActionKind::Skip(SkipReason::RemovalAccepted),
            KnownEntryKind::Never
            | KnownEntryKind::Nothing
            | KnownEntryKind::RefusedInSandbox
            | KnownEntryKind::FailedForGood => mark_for_put_unless_refused(known_entry),
        },
        (EffectiveState::Bounce, ListedReason::Bounce) => {
            record_unless_known(known_entry, KnownEntryKind::Bounce)
        }
        (EffectiveState::Complaint, ListedReason::Complaint) => {
            record_unless_known(known_entry, KnownEntryKind::Complaint)
        }
        (EffectiveState::Complaint, ListedReason::Bounce) => mark_for_put_unless_refused(known_entry),
        (EffectiveState::Bounce, ListedReason::Complaint) => match entry_age {
            // The complaint on the list was released.
            EntryAge::BeforeRelease => mark_for_put_unless_refused(known_entry),
            EntryAge::AfterRelease | EntryAge::AfterWrite => ReconcileActionKind::JoinComplaint,
        },
    }
}

fn mark_for_put_unless_refused(known_entry: KnownEntryKind) -> ReconcileActionKind {
    match known_entry {
        KnownEntryKind::RefusedInSandbox => ReconcileActionKind::Skip(SkipReason::InSandbox),
        KnownEntryKind::FailedForGood => ReconcileActionKind::Skip(SkipReason::FailedForGood),
        KnownEntryKind::Never
        | KnownEntryKind::Nothing
        | KnownEntryKind::Bounce
        | KnownEntryKind::Complaint
        | KnownEntryKind::RemovalAccepted => ReconcileActionKind::MarkForPut,
    }
}

fn record_unless_known(known_entry: KnownEntryKind, expected: KnownEntryKind) -> ReconcileActionKind {
    if known_entry == expected {
        ReconcileActionKind::NoChange
    } else {
        ReconcileActionKind::RecordListedEntry
    }
}

/// Judges an address by what stands on the list and what is known. Every entry of the list is to be judged, and every
/// state whose address was not on it.
pub fn judge_address(
    entries: Option<&AddressEntries>,
    state: Option<&AddressState>,
    pass: &PassContext<'_>,
) -> ReconcileAction {
    if state.is_none() && entries.is_some_and(|listing| is_simulator(&listing.address)) {
        return ReconcileAction::Skip(SkipReason::MailboxSimulator);
    }
    let released = state.and_then(|state| state.state().released_at()).map(|at| at.plus(MAX_CLOCK_SKEW));
    let effective = state.and_then(AddressState::effective_reason);
    let entry = entries.and_then(|listing| listing.gravest_entry(released, effective));
    let on_list = match entry.map(|entry| entry.reason) {
        None => ListedReason::NotListed,
        Some(SuppressionReason::Bounce) => ListedReason::Bounce,
        Some(SuppressionReason::Complaint) => ListedReason::Complaint,
    };
    let in_force = match state.map(AddressState::effective_reason) {
        None => EffectiveState::NoState,
        Some(None) => EffectiveState::Released,
        Some(Some(SuppressionReason::Bounce)) => EffectiveState::Bounce,
        Some(Some(SuppressionReason::Complaint)) => EffectiveState::Complaint,
    };
    let verb = choose_action(
        on_list,
        entry_age(entry, released, state),
        in_force,
        known_entry_kind(state, pass),
        address_hold(state, pass),
    );
    match (verb, entry) {
        (ReconcileActionKind::Adopt, Some(entry)) => ReconcileAction::Adopt(entry.clone()),
        (ReconcileActionKind::JoinComplaint, Some(entry)) => ReconcileAction::JoinComplaint(entry.clone()),
        (ReconcileActionKind::NoChange, Some(_)) if has_spelling_to_record(entries, state) => {
            ReconcileAction::RecordSpellings
        }
        (
            ReconcileActionKind::Adopt | ReconcileActionKind::JoinComplaint | ReconcileActionKind::NoChange,
            _,
        ) => ReconcileAction::NoChange,
        (ReconcileActionKind::MarkForDelete, _) => ReconcileAction::MarkForDelete,
        (ReconcileActionKind::MarkForPut, _) => ReconcileAction::MarkForPut(
            entries.and_then(|listing| listing.mismatched_entry(effective)).cloned(),
        ),
        (ReconcileActionKind::LookUpEntry, _) => ReconcileAction::LookUpEntry,
        (ReconcileActionKind::RecordListedEntry, entry) => ReconcileAction::RecordListedEntry(entry.cloned()),
        (ReconcileActionKind::Skip(leave), _) => ReconcileAction::Skip(leave),
    }
}

/// Whether the state would remember one more spelling. One that it has no room for is found again by each pass, so it is
/// not recorded.
fn has_spelling_to_record(entries: Option<&AddressEntries>, state: Option<&AddressState>) -> bool {
    entries
        .zip(state)
        .is_some_and(|(listing, state)| state.spellings().clone().add_all_if_room(listing.spellings()))
}

fn is_simulator(address: &str) -> bool {
    Address::parse(address).is_ok_and(|address| address.is_simulator())
}

fn entry_age(
    entry: Option<&ListEntry>,
    release_cutoff: Option<Timestamp>,
    state: Option<&AddressState>,
) -> EntryAge {
    let Some(entry) = entry else { return EntryAge::BeforeRelease };
    let wrote = state.and_then(AddressState::last_known_entry).map(|applied| applied.at.plus(MAX_CLOCK_SKEW));
    // An entry that was put before we knew of the release, in another spelling than the last write's, is our own
    // complaint and no news.
    let said = state.map(AddressState::state);
    let complaint_released =
        said.is_some_and(|said| said.complained_at().is_some() && said.complained_at() <= said.released_at());
    // So is one that an overdue import job has put since.
    let overdue_complaint = state
        .and_then(AddressState::overdue_job)
        .is_some_and(|job| job.reason == Some(SuppressionReason::Complaint));
    let put_by_job = overdue_complaint && complaint_released && entry.reason == SuppressionReason::Complaint;
    if Some(entry.updated_at) <= release_cutoff || put_by_job {
        EntryAge::BeforeRelease
    } else if Some(entry.updated_at) <= wrote {
        if complaint_released && entry.reason == SuppressionReason::Complaint {
            EntryAge::BeforeRelease
        } else {
            EntryAge::AfterRelease
        }
    } else {
        EntryAge::AfterWrite
    }
}

fn known_entry_kind(state: Option<&AddressState>, pass: &PassContext<'_>) -> KnownEntryKind {
    match state.and_then(AddressState::current_apply_outcome).map(|outcome| outcome.kind) {
        Some(ApplyOutcomeKind::RefusedSandbox) if pass.in_sandbox => {
            return KnownEntryKind::RefusedInSandbox;
        }
        Some(ApplyOutcomeKind::FailedForGood) => return KnownEntryKind::FailedForGood,
        Some(
            ApplyOutcomeKind::Applied
            | ApplyOutcomeKind::ReasonNotEnabled
            | ApplyOutcomeKind::RefusedSandbox
            | ApplyOutcomeKind::Failed,
        )
        | None => {}
    }
    match state.and_then(AddressState::last_known_entry) {
        None => KnownEntryKind::Never,
        Some(applied) if applied.removal_accepted => KnownEntryKind::RemovalAccepted,
        // Nothing was written, so the entry has gone only if it was ever there.
        Some(applied) if applied.trusted => KnownEntryKind::Never,
        Some(applied) => match applied.reason {
            None => KnownEntryKind::Nothing,
            Some(SuppressionReason::Bounce) => KnownEntryKind::Bounce,
            Some(SuppressionReason::Complaint) => KnownEntryKind::Complaint,
        },
    }
}

fn address_hold(state: Option<&AddressState>, pass: &PassContext<'_>) -> AddressHold {
    let Some(state) = state else { return AddressHold::Free };
    let since = pass.started_at.minus(MAX_CLOCK_SKEW);
    let moved = state.last_joined_at() >= since || state.last_list_access_at() >= Some(since);
    match (state.assigned_job(), state.is_pending(), moved) {
        (Some(_), _, _) => AddressHold::HeldByJob,
        (None, true, _) => AddressHold::Pending,
        (None, false, true) => AddressHold::RecentlyChanged,
        (None, false, false) => AddressHold::Free,
    }
}

/// Judges an address again that was to be [confirmed](ReconcileAction::LookUpEntry), by what SES said of that very entry just now.
///
/// A put of ours that SES accepted and never did looks the same as an entry that somebody has taken off: a state does not
/// know whether its entry was ever seen on the list, since that would take a write for each entry that is found in order.
/// It is counted as drift and, with [`MissingEntryPolicy::AcceptRemoval`], stays off until there is new evidence, such as the next bounce.
pub fn judge_after_lookup(
    found_entry: Option<ListEntry>,
    state: &AddressState,
    pass: &PassContext<'_>,
) -> ReconcileAction {
    if let Some(entry) = found_entry {
        let listing = AddressEntries { address: state.address().to_owned(), entries: vec![entry] };
        return judge_address(Some(&listing), Some(state), pass);
    }
    match pass.missing_entry_policy {
        MissingEntryPolicy::AcceptRemoval => ReconcileAction::AcceptRemoval,
        MissingEntryPolicy::PutBack => ReconcileAction::MarkForPut(None),
    }
}

/// The item that results from an action, for the caller to write on condition of the version that was judged. `None` if
/// there is nothing to write.
pub fn state_after_action(
    action: &ReconcileAction,
    entries: Option<&AddressEntries>,
    state: Option<&AddressState>,
    pass: &PassContext<'_>,
    now: Timestamp,
) -> Option<AddressState> {
    let found = || entries.into_iter().flat_map(AddressEntries::spellings);
    match action {
        ReconcileAction::Adopt(entry) | ReconcileAction::JoinComplaint(entry) => {
            let at = entry.updated_at.min(now);
            let said = Statement {
                at,
                source: StatementSource::List,
                region: pass.region.to_owned(),
                id: String::new(),
            };
            let change = StateChange {
                address: entries?.address.clone(),
                // The spelling of the entry that stands there comes first, since that is the one to put again.
                spellings: [entry.spelling.as_str()].into_iter().chain(found()).collect::<Spellings>(),
                state: SuppressionState::from_reason(entry.reason, said),
            };
            AddressState::adopt_entry(state, &change, entry.reason, now)
        }
        ReconcileAction::MarkForDelete => state?.mark_newly_pending(found(), None, now),
        ReconcileAction::MarkForPut(over) => {
            state?.mark_newly_pending(found(), over.as_ref().map(|entry| entry.spelling.as_str()), now)
        }
        ReconcileAction::RecordListedEntry(entry) => {
            let at = entry.as_ref().map_or(pass.started_at, |entry| entry.updated_at);
            state?.record_listed_entry(entry.as_ref().map(|entry| entry.reason), at, found())
        }
        ReconcileAction::RecordSpellings => {
            let spellings = found().collect();
            let address = entries?.address.clone();
            let change = StateChange { address, spellings, state: SuppressionState::default() };
            AddressState::join_change(Some(state?), &change, now)
        }
        ReconcileAction::AcceptRemoval => Some(state?.record_accepted_removal(now)),
        ReconcileAction::LookUpEntry | ReconcileAction::NoChange | ReconcileAction::Skip(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_LIST: [ListedReason; 3] =
        [ListedReason::NotListed, ListedReason::Bounce, ListedReason::Complaint];
    const AGES: [EntryAge; 3] = [EntryAge::BeforeRelease, EntryAge::AfterRelease, EntryAge::AfterWrite];
    const IN_FORCE: [EffectiveState; 4] = [
        EffectiveState::NoState,
        EffectiveState::Released,
        EffectiveState::Bounce,
        EffectiveState::Complaint,
    ];
    const BEFORE: [KnownEntryKind; 7] = [
        KnownEntryKind::Never,
        KnownEntryKind::Nothing,
        KnownEntryKind::Bounce,
        KnownEntryKind::Complaint,
        KnownEntryKind::RemovalAccepted,
        KnownEntryKind::RefusedInSandbox,
        KnownEntryKind::FailedForGood,
    ];
    const HOLDS: [AddressHold; 4] =
        [AddressHold::Free, AddressHold::Pending, AddressHold::HeldByJob, AddressHold::RecentlyChanged];

    /// What is to be done, as it was written down before the code. The first line that fits counts; `*` is any, `!` not.
    const TABLE: &str = "
        # in force   list       age          before            held      do
        *            *            *                *                 HeldByJob        Skip(HeldByJob)
        Bounce       Complaint    !BeforeRelease   *                 Pending          JoinComplaint
        Bounce       Complaint    !BeforeRelease   *                 RecentlyChanged  JoinComplaint
        *            *            *                *                 Pending          Skip(Pending)
        *            *            *                *                 RecentlyChanged  Skip(RecentlyChanged)

        NoState      NotListed    *                *                 Free             NoChange
        NoState      !NotListed   *                *                 Free             Adopt

        Released     NotListed    *                Bounce            Free             RecordListedEntry
        Released     NotListed    *                Complaint         Free             RecordListedEntry
        Released     NotListed    *                *                 Free             NoChange
        Released     !NotListed   AfterWrite       *                 Free             Adopt
        Released     !NotListed   *                FailedForGood     Free             Skip(FailedForGood)
        Released     !NotListed   *                *                 Free             MarkForDelete

        *            NotListed    *                Never             Free             MarkForPut
        *            NotListed    *                Nothing           Free             MarkForPut
        *            NotListed    *                Bounce            Free             LookUpEntry
        *            NotListed    *                Complaint         Free             LookUpEntry
        *            NotListed    *                RemovalAccepted   Free             Skip(RemovalAccepted)
        *            NotListed    *                RefusedInSandbox  Free             Skip(InSandbox)
        *            NotListed    *                FailedForGood     Free             Skip(FailedForGood)

        Bounce       Bounce       *                Bounce            Free             NoChange
        Bounce       Bounce       *                *                 Free             RecordListedEntry
        Complaint    Complaint    *                Complaint         Free             NoChange
        Complaint    Complaint    *                *                 Free             RecordListedEntry

        Bounce       Complaint    !BeforeRelease   *                 Free             JoinComplaint
        Bounce       Complaint    BeforeRelease    RefusedInSandbox  Free             Skip(InSandbox)
        Bounce       Complaint    BeforeRelease    FailedForGood     Free             Skip(FailedForGood)
        Bounce       Complaint    BeforeRelease    *                 Free             MarkForPut
        Complaint    Bounce       *                RefusedInSandbox  Free             Skip(InSandbox)
        Complaint    Bounce       *                FailedForGood     Free             Skip(FailedForGood)
        Complaint    Bounce       *                *                 Free             MarkForPut
    ";

    #[test]
    fn every_combination_is_in_the_table_and_every_line_is_used() {
        let lines: Vec<Vec<&str>> = TABLE
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        let mut used = vec![0; lines.len()];
        let fits = |pattern: &str, value: &str| match pattern.strip_prefix('!') {
            Some(not) => not != value,
            None => pattern == "*" || pattern == value,
        };
        let mut combinations = 0;
        for on_list in ON_LIST {
            for age in AGES {
                for in_force in IN_FORCE {
                    for before in BEFORE {
                        for hold in HOLDS {
                            let case = [
                                format!("{in_force:?}"),
                                format!("{on_list:?}"),
                                format!("{age:?}"),
                                format!("{before:?}"),
                                format!("{hold:?}"),
                            ];
                            let line = lines
                                .iter()
                                .position(|line| {
                                    case.iter().zip(line).all(|(value, pattern)| fits(pattern, value))
                                })
                                .unwrap_or_else(|| panic!("{case:?} is in no line"));
                            used[line] += 1;
                            combinations += 1;
                            let verb = format!("{:?}", choose_action(on_list, age, in_force, before, hold));
                            assert_eq!(verb, lines[line][5], "{case:?}");
                        }
                    }
                }
            }
        }
        assert_eq!(combinations, 1_008);
        let unused: Vec<_> = lines.iter().zip(&used).filter(|(_, used)| **used == 0).collect();
        assert!(unused.is_empty(), "{unused:?}");
    }

    #[test]
    fn the_guard() {
        for (expected, gone, trips) in [
            (0, 0, false),
            // One entry that somebody has taken off by hand.
            (1, 1, false),
            (4, 1, false),
            // A short list from which a few were taken off, and one that is empty, or was until the next bounce came.
            (4, 2, false),
            (9, 4, false),
            (2, 2, true),
            (4, 4, true),
            (5, 4, true),
            (5, 5, true),
            // A long list.
            (100, 10, false),
            (100, 11, true),
            (1_000_000, 5, false),
        ] {
            assert_eq!(EmptiedListGuard::default().trips(expected, gone), trips, "{gone} of {expected}");
            assert!(
                !EmptiedListGuard { max_missing_percent: 100 }.trips(expected, gone),
                "100 always concludes"
            );
        }
        assert!(
            EmptiedListGuard { max_missing_percent: 0 }.trips(100, 5)
                && !EmptiedListGuard { max_missing_percent: 0 }.trips(100, 4)
        );
    }
}
