//! What a difference between a Region's list and its states means, and what to do about it.
//!
//! Reconcile reads the list page by page, and marks; `apply` writes the list. A pass takes long and is no snapshot: what
//! moved since it began is judged in the next one. The first pass takes in what stood there before Mailroom came.

use super::item::{AddressState, Change, OutcomeKind};
use super::reason::Reason;
use super::spellings::Spellings;
use super::state::{MAX_SKEW, Said, Source, SuppressionState};
use crate::address::Address;
use crate::timestamp::Timestamp;

/// An entry of SES's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The entry's address (`EmailAddress`), exactly as SES spells it.
    pub spelling: String,
    /// The entry's reason (`Reason`).
    pub reason: Reason,
    /// When the entry was last written (`LastUpdateTime`).
    pub updated_at: Timestamp,
}

/// The entries of one address that were read together. Another one on another page may be judged by itself: each
/// judgement is right for its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    address: String,
    entries: Vec<Entry>,
}

impl Listing {
    /// Groups entries by address, and counts those whose address can't be read. Such an entry can't belong to any state,
    /// so it is left on the list.
    pub fn group(entries: impl IntoIterator<Item = Entry>) -> (Vec<Self>, usize) {
        let mut listings = std::collections::BTreeMap::<String, Vec<Entry>>::new();
        let mut unread = 0;
        for entry in entries {
            match Address::parse(&entry.spelling) {
                Ok(address) if address.raw() == entry.spelling => {
                    listings.entry(address.match_form().to_owned()).or_default().push(entry);
                }
                Ok(_) | Err(_) => unread += 1,
            }
        }
        let listing = |(address, entries)| Self { address, entries };
        (listings.into_iter().map(listing).collect(), unread)
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
    fn telling(&self, released: Option<Timestamp>, in_force: Option<Reason>) -> Option<&Entry> {
        let rank = |entry: &&Entry| (entry.reason, entry.updated_at);
        let most = self.entries.iter().max_by_key(rank);
        let since = self.entries.iter().filter(|entry| Some(entry.updated_at) > released).max_by_key(rank);
        since.filter(|since| Some(since.reason) != in_force).or(most)
    }

    /// The entry that says something else than what is in force; `None` if there is none.
    fn wrong(&self, in_force: Option<Reason>) -> Option<&Entry> {
        self.entries.iter().find(|entry| Some(entry.reason) != in_force)
    }
}

/// One run over the whole list.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// This Region's name.
    pub region: &'a str,
    /// When the pass began.
    pub started_at: Timestamp,
    /// Whether the account is in the sandbox, in which nothing can be put.
    pub sandbox: bool,
    /// What to do with an entry that has gone without our doing.
    pub gone: Gone,
}

impl<'a> Pass<'a> {
    /// A pass with the default settings.
    pub fn new(region: &'a str, started_at: Timestamp) -> Self {
        Self { region, started_at, sandbox: false, gone: Gone::LeaveOff }
    }
}

/// What to do with an entry that has gone without our doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Leave it off until there is new evidence: somebody wanted it off.
    LeaveOff,
    /// Put it back.
    PutBack,
}

/// Guards against a list that SES has emptied (after 90 days without sending), or that could not be read: it must not be
/// mistaken for one from which everybody was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The guard trips if more than this share of the list has gone, in percent. Default: 10. If fewer than five entries
    /// have gone, it takes more than half of the list, since a few removals by hand are a large share of a short list.
    pub percent: usize,
}

impl Default for Guard {
    fn default() -> Self {
        Self { percent: 10 }
    }
}

impl Guard {
    /// The number of entries that are not removed one by one by hand.
    const MANY: usize = 5;
    /// The share, in percent, above which the guard trips if fewer entries than that have gone.
    const PERCENT_OF_FEW: usize = 50;

    /// Whether so many entries have gone, of those that should be there, that nothing may be concluded: raise an alarm
    /// instead. A single entry never trips the guard, since somebody may have taken it off a list of one.
    pub fn trips(self, expected: usize, gone: usize) -> bool {
        let percent = if gone < Self::MANY { self.percent.max(Self::PERCENT_OF_FEW) } else { self.percent };
        gone > 1 && gone.saturating_mul(100) > expected.saturating_mul(percent)
    }
}

/// What to do about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Join an entry that nobody here had put there, with SES's own time.
    TakeIn(Entry),
    /// Join a complaint that only SES knew of.
    Join(Entry),
    /// Mark the address: its entry must go.
    Delete,
    /// Mark the address: an entry must be put, over this one if there is one.
    Put(Option<Entry>),
    /// Ask SES for this very entry, then call [`confirmed`]: the list is not read in one moment.
    Confirm,
    /// Record that the entry had gone, and leave it off.
    LeaveOff,
    /// Record that the list is right, which nobody here knew. Holds the entry, if there is one.
    Note(Option<Entry>),
    /// Record the spellings in which the address is listed, since not all of them were known: a release is to delete each
    /// of them.
    Spell,
    /// Do nothing: all is as it should be.
    Agree,
    /// Do nothing, for now or at all, for this cause.
    Leave(Leave),
}

/// Why nothing is done about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Leave {
    /// `apply` will do what is needed.
    Pending,
    /// An import job holds the address.
    Job,
    /// The address has changed since the pass began.
    Moved,
    /// The entry had gone without our doing, and nothing new was said.
    LeftOff,
    /// The account is still in the sandbox.
    Sandbox,
    /// SES has refused the entry for good.
    Failed,
    /// SES refuses to tell whether the entry is there.
    Untold,
    /// The address is the mailbox simulator's, which is never suppressed.
    Simulator,
}

/// What stands on the list of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnList {
    Nothing,
    Bounce,
    Complaint,
}

/// How old the entry is, compared with the release and our last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    /// The entry is older than the release, or not newer by [`MAX_SKEW`], or counts as that old: see [`age`].
    Older,
    /// The entry is newer than the release, but not than our own last write, and is not our own complaint from before we
    /// knew of the release.
    AfterRelease,
    /// The entry is newer than both, so it is not our doing.
    AfterWrite,
}

/// Which reason is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InForce {
    /// There is no state of the address.
    Unknown,
    Released,
    Bounce,
    Complaint,
}

/// What was last applied, or why it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Never,
    Nothing,
    Bounce,
    Complaint,
    LeftOff,
    /// SES refused, and the account is still in the sandbox.
    Refused,
    Failed,
}

/// Whether something else is at work on the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Free,
    Pending,
    Job,
    Moved,
}

/// An [`Action`] without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    TakeIn,
    Join,
    Delete,
    Put,
    Confirm,
    Note,
    Agree,
    Leave(Leave),
}

/// The truth table of what to do.
fn verb(on_list: OnList, age: Age, in_force: InForce, before: Before, hold: Hold) -> Verb {
    let busy = match hold {
        Hold::Free => return free(on_list, age, in_force, before),
        // The job may have written this very entry after the release.
        Hold::Job => return Verb::Leave(Leave::Job),
        Hold::Pending => Verb::Leave(Leave::Pending),
        Hold::Moved => Verb::Leave(Leave::Moved),
    };
    // A BOUNCE that waits for the first pass to end must not be put over the COMPLAINT that the pass found.
    match (in_force, on_list, age) {
        (InForce::Bounce, OnList::Complaint, Age::AfterRelease | Age::AfterWrite) => Verb::Join,
        (InForce::Bounce, OnList::Complaint, Age::Older)
        | (
            InForce::Bounce,
            OnList::Nothing | OnList::Bounce,
            Age::Older | Age::AfterRelease | Age::AfterWrite,
        )
        | (
            InForce::Unknown | InForce::Released | InForce::Complaint,
            OnList::Nothing | OnList::Bounce | OnList::Complaint,
            Age::Older | Age::AfterRelease | Age::AfterWrite,
        ) => busy,
    }
}

fn free(on_list: OnList, age: Age, in_force: InForce, before: Before) -> Verb {
    match (in_force, on_list) {
        (InForce::Unknown, OnList::Nothing) => Verb::Agree,
        (InForce::Unknown, OnList::Bounce | OnList::Complaint) => Verb::TakeIn,
        (InForce::Released, OnList::Nothing) => match before {
            Before::Bounce | Before::Complaint => Verb::Note,
            Before::Never | Before::Nothing | Before::LeftOff | Before::Refused | Before::Failed => {
                Verb::Agree
            }
        },
        (InForce::Released, OnList::Bounce | OnList::Complaint) => match age {
            Age::AfterWrite => Verb::TakeIn,
            Age::Older | Age::AfterRelease => match before {
                Before::Failed => Verb::Leave(Leave::Failed),
                // SES deletes entries in the sandbox, too.
                Before::Never
                | Before::Nothing
                | Before::Bounce
                | Before::Complaint
                | Before::LeftOff
                | Before::Refused => Verb::Delete,
            },
        },
        (InForce::Bounce | InForce::Complaint, OnList::Nothing) => match before {
            Before::Bounce | Before::Complaint => Verb::Confirm,
            Before::LeftOff => Verb::Leave(Leave::LeftOff),
            Before::Never | Before::Nothing | Before::Refused | Before::Failed => put(before),
        },
        (InForce::Bounce, OnList::Bounce) => note(before, Before::Bounce),
        (InForce::Complaint, OnList::Complaint) => note(before, Before::Complaint),
        (InForce::Complaint, OnList::Bounce) => put(before),
        (InForce::Bounce, OnList::Complaint) => match age {
            // The complaint on the list was released.
            Age::Older => put(before),
            Age::AfterRelease | Age::AfterWrite => Verb::Join,
        },
    }
}

fn put(before: Before) -> Verb {
    match before {
        Before::Refused => Verb::Leave(Leave::Sandbox),
        Before::Failed => Verb::Leave(Leave::Failed),
        Before::Never | Before::Nothing | Before::Bounce | Before::Complaint | Before::LeftOff => Verb::Put,
    }
}

fn note(before: Before, right: Before) -> Verb {
    if before == right { Verb::Agree } else { Verb::Note }
}

/// Judges an address by what stands on the list and what is known. Every entry of the list is to be judged, and every
/// state whose address was not on it.
pub fn judge(listing: Option<&Listing>, state: Option<&AddressState>, pass: &Pass<'_>) -> Action {
    if state.is_none() && listing.is_some_and(|listing| is_simulator(&listing.address)) {
        return Action::Leave(Leave::Simulator);
    }
    let released = state.and_then(|state| state.state().released_at()).map(|at| at.plus(MAX_SKEW));
    let effective = state.and_then(AddressState::effective);
    let entry = listing.and_then(|listing| listing.telling(released, effective));
    let on_list = match entry.map(|entry| entry.reason) {
        None => OnList::Nothing,
        Some(Reason::Bounce) => OnList::Bounce,
        Some(Reason::Complaint) => OnList::Complaint,
    };
    let in_force = match state.map(AddressState::effective) {
        None => InForce::Unknown,
        Some(None) => InForce::Released,
        Some(Some(Reason::Bounce)) => InForce::Bounce,
        Some(Some(Reason::Complaint)) => InForce::Complaint,
    };
    let verb = verb(on_list, age(entry, released, state), in_force, before(state, pass), hold(state, pass));
    match (verb, entry) {
        (Verb::TakeIn, Some(entry)) => Action::TakeIn(entry.clone()),
        (Verb::Join, Some(entry)) => Action::Join(entry.clone()),
        (Verb::Agree, Some(_)) if has_unknown_spelling(listing, state) => Action::Spell,
        (Verb::TakeIn | Verb::Join | Verb::Agree, _) => Action::Agree,
        (Verb::Delete, _) => Action::Delete,
        (Verb::Put, _) => Action::Put(listing.and_then(|listing| listing.wrong(effective)).cloned()),
        (Verb::Confirm, _) => Action::Confirm,
        (Verb::Note, entry) => Action::Note(entry.cloned()),
        (Verb::Leave(leave), _) => Action::Leave(leave),
    }
}

/// Whether the state would remember one more spelling. One that it has no room for is found again by each pass, so it is
/// not recorded.
fn has_unknown_spelling(listing: Option<&Listing>, state: Option<&AddressState>) -> bool {
    listing.zip(state).is_some_and(|(listing, state)| state.spellings().clone().add_all(listing.spellings()))
}

fn is_simulator(address: &str) -> bool {
    Address::parse(address).is_ok_and(|address| address.is_simulator())
}

fn age(entry: Option<&Entry>, released: Option<Timestamp>, state: Option<&AddressState>) -> Age {
    let Some(entry) = entry else { return Age::Older };
    let wrote = state.and_then(AddressState::applied).map(|applied| applied.at.plus(MAX_SKEW));
    // An entry that was put before we knew of the release, in another spelling than the last write's, is our own
    // complaint and no news.
    let said = state.map(AddressState::state);
    let complaint_released =
        said.is_some_and(|said| said.complained_at().is_some() && said.complained_at() <= said.released_at());
    // So is one that an overdue import job has put since.
    let overdue_complaint =
        state.and_then(AddressState::overdue_job).is_some_and(|job| job.reason == Some(Reason::Complaint));
    let put_by_job = overdue_complaint && complaint_released && entry.reason == Reason::Complaint;
    if Some(entry.updated_at) <= released || put_by_job {
        Age::Older
    } else if Some(entry.updated_at) <= wrote {
        if complaint_released && entry.reason == Reason::Complaint { Age::Older } else { Age::AfterRelease }
    } else {
        Age::AfterWrite
    }
}

fn before(state: Option<&AddressState>, pass: &Pass<'_>) -> Before {
    match state.and_then(AddressState::outcome).map(|outcome| outcome.kind) {
        Some(OutcomeKind::RefusedSandbox) if pass.sandbox => return Before::Refused,
        Some(OutcomeKind::FailedForGood) => return Before::Failed,
        Some(
            OutcomeKind::Applied
            | OutcomeKind::ReasonNotEnabled
            | OutcomeKind::RefusedSandbox
            | OutcomeKind::Failed,
        )
        | None => {}
    }
    match state.and_then(AddressState::applied) {
        None => Before::Never,
        Some(applied) if applied.left_off => Before::LeftOff,
        // Nothing was written, so the entry has gone only if it was ever there.
        Some(applied) if applied.trusted => Before::Never,
        Some(applied) => match applied.reason {
            None => Before::Nothing,
            Some(Reason::Bounce) => Before::Bounce,
            Some(Reason::Complaint) => Before::Complaint,
        },
    }
}

fn hold(state: Option<&AddressState>, pass: &Pass<'_>) -> Hold {
    let Some(state) = state else { return Hold::Free };
    let since = pass.started_at.minus(MAX_SKEW);
    let moved = state.changed_at() >= since || state.last_tried_at() >= Some(since);
    match (state.job(), state.is_pending(), moved) {
        (Some(_), _, _) => Hold::Job,
        (None, true, _) => Hold::Pending,
        (None, false, true) => Hold::Moved,
        (None, false, false) => Hold::Free,
    }
}

/// Judges an address again that was to be [confirmed](Action::Confirm), by what SES said of that very entry just now.
///
/// A put of ours that SES accepted and never did looks the same as an entry that somebody has taken off: a state does not
/// know whether its entry was ever seen on the list, since that would take a write for each entry that is found in order.
/// It is counted as drift and, with [`Gone::LeaveOff`], stays off until there is new evidence, such as the next bounce.
pub fn confirmed(found: Option<Entry>, state: &AddressState, pass: &Pass<'_>) -> Action {
    if let Some(entry) = found {
        let listing = Listing { address: state.address().to_owned(), entries: vec![entry] };
        return judge(Some(&listing), Some(state), pass);
    }
    match pass.gone {
        Gone::LeaveOff => Action::LeaveOff,
        Gone::PutBack => Action::Put(None),
    }
}

/// The item that results from an action, for the caller to write on condition of the version that was judged. `None` if
/// there is nothing to write.
pub fn carried_out(
    action: &Action,
    listing: Option<&Listing>,
    state: Option<&AddressState>,
    pass: &Pass<'_>,
    now: Timestamp,
) -> Option<AddressState> {
    let found = || listing.into_iter().flat_map(Listing::spellings);
    match action {
        Action::TakeIn(entry) | Action::Join(entry) => {
            let at = entry.updated_at.min(now);
            let said = Said { at, source: Source::List, region: pass.region.to_owned(), id: String::new() };
            let change = Change {
                address: listing?.address.clone(),
                // The spelling of the entry that stands there comes first, since that is the one to put again.
                spellings: [entry.spelling.as_str()].into_iter().chain(found()).collect::<Spellings>(),
                state: SuppressionState::suppressed(entry.reason, said),
            };
            AddressState::taken_in(state, &change, entry.reason, now)
        }
        Action::Delete => state?.marked(found(), None, now),
        Action::Put(over) => state?.marked(found(), over.as_ref().map(|entry| entry.spelling.as_str()), now),
        Action::Note(entry) => {
            let at = entry.as_ref().map_or(pass.started_at, |entry| entry.updated_at);
            state?.seen_on_list(entry.as_ref().map(|entry| entry.reason), at, found())
        }
        Action::Spell => {
            let spellings = found().collect();
            let address = listing?.address.clone();
            let change = Change { address, spellings, state: SuppressionState::default() };
            AddressState::advance(Some(state?), &change, now)
        }
        Action::LeaveOff => Some(state?.left_off(now)),
        Action::Confirm | Action::Agree | Action::Leave(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON_LIST: [OnList; 3] = [OnList::Nothing, OnList::Bounce, OnList::Complaint];
    const AGES: [Age; 3] = [Age::Older, Age::AfterRelease, Age::AfterWrite];
    const IN_FORCE: [InForce; 4] = [InForce::Unknown, InForce::Released, InForce::Bounce, InForce::Complaint];
    const BEFORE: [Before; 7] = [
        Before::Never,
        Before::Nothing,
        Before::Bounce,
        Before::Complaint,
        Before::LeftOff,
        Before::Refused,
        Before::Failed,
    ];
    const HOLDS: [Hold; 4] = [Hold::Free, Hold::Pending, Hold::Job, Hold::Moved];

    /// What is to be done, as it was written down before the code. The first line that fits counts; `*` is any, `!` not.
    const TABLE: &str = "
        # in force   list       age          before            held      do
        *            *          *            *                 Job       Leave(Job)
        Bounce       Complaint  !Older       *                 Pending   Join
        Bounce       Complaint  !Older       *                 Moved     Join
        *            *          *            *                 Pending   Leave(Pending)
        *            *          *            *                 Moved     Leave(Moved)

        Unknown      Nothing    *            *                 Free      Agree
        Unknown      !Nothing   *            *                 Free      TakeIn

        Released     Nothing    *            Bounce            Free      Note
        Released     Nothing    *            Complaint         Free      Note
        Released     Nothing    *            *                 Free      Agree
        Released     !Nothing   AfterWrite   *                 Free      TakeIn
        Released     !Nothing   *            Failed            Free      Leave(Failed)
        Released     !Nothing   *            *                 Free      Delete

        *            Nothing    *            Never             Free      Put
        *            Nothing    *            Nothing           Free      Put
        *            Nothing    *            Bounce            Free      Confirm
        *            Nothing    *            Complaint         Free      Confirm
        *            Nothing    *            LeftOff           Free      Leave(LeftOff)
        *            Nothing    *            Refused           Free      Leave(Sandbox)
        *            Nothing    *            Failed            Free      Leave(Failed)

        Bounce       Bounce     *            Bounce            Free      Agree
        Bounce       Bounce     *            *                 Free      Note
        Complaint    Complaint  *            Complaint         Free      Agree
        Complaint    Complaint  *            *                 Free      Note

        Bounce       Complaint  !Older       *                 Free      Join
        Bounce       Complaint  Older        Refused           Free      Leave(Sandbox)
        Bounce       Complaint  Older        Failed            Free      Leave(Failed)
        Bounce       Complaint  Older        *                 Free      Put
        Complaint    Bounce     *            Refused           Free      Leave(Sandbox)
        Complaint    Bounce     *            Failed            Free      Leave(Failed)
        Complaint    Bounce     *            *                 Free      Put
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
                            let verb = format!("{:?}", verb(on_list, age, in_force, before, hold));
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
            assert_eq!(Guard::default().trips(expected, gone), trips, "{gone} of {expected}");
            assert!(!Guard { percent: 100 }.trips(expected, gone), "100 always concludes");
        }
        assert!(Guard { percent: 0 }.trips(100, 5) && !Guard { percent: 0 }.trips(100, 4));
    }
}
