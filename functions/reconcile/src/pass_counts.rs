//! What a pass counts.

use mailroom_core::suppression::reconcile::{ReconcileAction, SkipReason};
use serde::{Deserialize, Serialize};

/// What a pass has found so far. What was done twice, because of a crash, is counted twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassCounts {
    /// The number of entries on the list.
    pub entries: usize,
    /// The number of entries on the list that Mailroom can't take for an address, or whose reason it does not know.
    pub unread: usize,
    /// The number of states that can't be read.
    pub unreadable: usize,
    /// The number of addresses of which list and state say the same.
    pub agree: usize,
    /// The number of addresses of which list and state do not say the same.
    pub differ: usize,
    /// The number of those that differ whose state was written: taken in, marked as pending, or noted.
    pub mended: usize,
    /// The number of addresses that somebody else is working on, or was when the pass began. They are left to the next
    /// pass.
    pub busy: usize,
    /// The number of addresses that are left as they are, for good reason.
    pub left: usize,
    /// The number of entries that should be on the list, by the states.
    pub expected: usize,
    /// The number of entries that should be on the list and were not seen there.
    pub gone: usize,
    /// The number of entries not seen on the list that SES was asked for one by one.
    pub asked: usize,
    /// The number of entries that SES was asked for and did not have: drift.
    pub drifted: usize,
    /// How often a window of the list was begun again, because SES no longer took a page's token.
    pub restarts: usize,
}

impl PassCounts {
    /// Counts what became of an address; `mended` says whether its state was written.
    pub(crate) fn add_action(&mut self, action: &ReconcileAction, mended: bool) {
        match action {
            ReconcileAction::NoChange => self.agree += 1,
            ReconcileAction::Skip(
                SkipReason::Pending | SkipReason::HeldByJob | SkipReason::RecentlyChanged,
            ) => self.busy += 1,
            ReconcileAction::Skip(
                SkipReason::RemovalAccepted
                | SkipReason::InSandbox
                | SkipReason::FailedForGood
                | SkipReason::LookupRefused
                | SkipReason::MailboxSimulator,
            ) => {
                self.left += 1;
            }
            ReconcileAction::Adopt(_)
            | ReconcileAction::JoinComplaint(_)
            | ReconcileAction::MarkForDelete
            | ReconcileAction::MarkForPut(_)
            | ReconcileAction::LookUpEntry
            | ReconcileAction::AcceptRemoval
            | ReconcileAction::RecordListedEntry(_)
            | ReconcileAction::RecordSpellings => self.differ += 1,
        }
        self.mended += usize::from(mended);
    }

    /// Adds the counts of another part of the pass.
    pub(crate) fn add_counts(&mut self, other: Self) {
        self.entries += other.entries;
        self.unread += other.unread;
        self.unreadable += other.unreadable;
        self.agree += other.agree;
        self.differ += other.differ;
        self.mended += other.mended;
        self.busy += other.busy;
        self.left += other.left;
        self.expected += other.expected;
        self.gone += other.gone;
    }
}
