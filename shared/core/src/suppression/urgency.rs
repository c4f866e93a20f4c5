//! How soon a change must reach the list.

use super::reason::SuppressionReason;

/// How soon a change must reach the list, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// An entry that stops mail to somebody who complained.
    Complaint,
    /// A deletion that lets mail through again.
    Release,
    /// An entry that stops mail to an address that bounced.
    Bounce,
    /// A deletion that an import job has failed at. Most likely there is no such entry.
    RepeatedDeletion,
}

impl Urgency {
    /// The urgency of making the list say what is in force; `effective_reason` is `None` after a release.
    pub fn of_effective_reason(effective_reason: Option<SuppressionReason>) -> Self {
        match effective_reason {
            Some(SuppressionReason::Complaint) => Self::Complaint,
            Some(SuppressionReason::Bounce) => Self::Bounce,
            None => Self::Release,
        }
    }

    /// Whether the change must not wait behind bounces: in a storm those are too many.
    pub fn is_complaint_or_release(self) -> bool {
        self < Self::Bounce
    }
}
