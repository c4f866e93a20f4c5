//! What has been said against and for an address, by whom and when: a join of maxima.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reason::SuppressionReason;
use crate::timestamp::Timestamp;

/// How far the clocks of two Regions, or of AWS and an operator, may differ before one of them is not believed. AWS refuses
/// requests that were signed by a clock that is further off.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// Three times, each of which only ever moves forward. Joining is commutative, associative and idempotent, so that any
/// order, any duplicate and any interleaving of Regions comes to the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionState {
    /// The last reason to believe that the address takes no mail; `None` if there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bounced: Option<Statement>,
    /// The last time that the address's reader did not want mail; `None` if there was none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub complained: Option<Statement>,
    /// The last time that somebody took all of that back; `None` if nobody has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub released: Option<Statement>,
}

/// When something was said, and by whom. Ordered by time first: of two at the same time the same one wins everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Statement {
    /// When it was said: a function of the record alone, wherever and however often that is read.
    pub at: Timestamp,
    /// What the statement rests on.
    pub source: StatementSource,
    /// The Region where it was decided.
    pub region: String,
    /// The id of the event that `at` is the time of, or the sort key of the operator's decision; empty for an entry that
    /// stood on a list.
    #[serde(default)]
    pub id: String,
}

/// What a statement about an address rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatementSource {
    /// A permanent bounce.
    Bounce,
    /// A complaint.
    Complaint,
    /// Transient bounces that reached the policy's threshold.
    Transient,
    /// An operator's decision.
    Operator,
    /// An entry of SES's list that nobody here had put there.
    List,
    /// A source that only a newer version of a peer knows.
    #[serde(other)]
    Unknown,
}

/// A peer's state that is not believed: its clock, or ours, is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {} s ahead of this Region's clock", .ahead_by.as_secs())]
pub struct ClockSkewError {
    /// Which of the three times lies ahead.
    pub field: &'static str,
    /// How far the time lies ahead.
    pub ahead_by: Duration,
}

impl SuppressionState {
    /// A state in which one reason to suppress was given.
    pub fn from_reason(reason: SuppressionReason, statement: Statement) -> Self {
        match reason {
            SuppressionReason::Bounce => Self { bounced: Some(statement), ..Self::default() },
            SuppressionReason::Complaint => Self { complained: Some(statement), ..Self::default() },
        }
    }

    /// A state in which the address was released.
    pub fn from_release(statement: Statement) -> Self {
        Self { released: Some(statement), ..Self::default() }
    }

    /// Joins two states by taking the later of each of the three times.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        Self {
            bounced: self.bounced.as_ref().max(other.bounced.as_ref()).cloned(),
            complained: self.complained.as_ref().max(other.complained.as_ref()).cloned(),
            released: self.released.as_ref().max(other.released.as_ref()).cloned(),
        }
    }

    /// When the address last bounced.
    pub fn bounced_at(&self) -> Option<Timestamp> {
        self.bounced.as_ref().map(|said| said.at)
    }

    /// When the address's reader last complained.
    pub fn complained_at(&self) -> Option<Timestamp> {
        self.complained.as_ref().map(|said| said.at)
    }

    /// When the address was last released.
    pub fn released_at(&self) -> Option<Timestamp> {
        self.released.as_ref().map(|said| said.at)
    }

    /// The reason that is in force, and what it rests on. A tie counts as released: whoever released knew of what was
    /// said till then.
    pub fn statement_in_force(&self) -> Option<(SuppressionReason, &Statement)> {
        let stands = |said: &&Statement| Some(said.at) > self.released_at();
        let complained =
            self.complained.as_ref().filter(stands).map(|said| (SuppressionReason::Complaint, said));
        complained
            .or_else(|| self.bounced.as_ref().filter(stands).map(|said| (SuppressionReason::Bounce, said)))
    }

    /// The reason that is in force; `None` if there is none.
    pub fn effective_reason(&self) -> Option<SuppressionReason> {
        self.statement_in_force().map(|(reason, _)| reason)
    }

    /// When anything was last said against the address.
    pub fn last_evidence_at(&self) -> Option<Timestamp> {
        self.bounced_at().max(self.complained_at())
    }

    /// When anything was last said about the address.
    pub fn last_statement_at(&self) -> Option<Timestamp> {
        self.last_evidence_at().max(self.released_at())
    }

    /// Checks that a peer's state is not more than [`MAX_CLOCK_SKEW`] ahead: a time in the year 9999 would never be released
    /// again.
    ///
    /// # Errors
    /// The first of the three times that lies too far ahead.
    pub fn check_clock_skew(&self, now: Timestamp) -> Result<(), ClockSkewError> {
        let times = [
            ("bounced", self.bounced_at()),
            ("complained", self.complained_at()),
            ("released", self.released_at()),
        ];
        for (field, at) in times {
            let by = at.map_or(Duration::ZERO, |at| at.since(now));
            if by > MAX_CLOCK_SKEW {
                return Err(ClockSkewError { field, ahead_by: by });
            }
        }
        Ok(())
    }
}

/// The time from which a record counts that gives its own time as `event_time`: that, unless it is more than
/// [`MAX_CLOCK_SKEW`] after the record was written. A wrong clock must neither lose the record nor have it count for years
/// to come.
pub fn replace_skewed_time(event_time: Timestamp, written_at: Timestamp) -> Timestamp {
    if event_time.since(written_at) > MAX_CLOCK_SKEW { written_at } else { event_time }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(at: i64) -> Option<Statement> {
        let at = Timestamp::from_millis(at).filter(|at| at.millis() > 0)?;
        Some(Statement {
            at,
            source: StatementSource::Bounce,
            region: "us-east-1".to_owned(),
            id: String::new(),
        })
    }

    #[test]
    fn what_is_in_force() {
        let (bounce, complaint) = (Some(SuppressionReason::Bounce), Some(SuppressionReason::Complaint));
        // Zero stands for never.
        let cases = [
            (0, 0, 0, None),
            (1, 0, 0, bounce),
            (0, 1, 0, complaint),
            (2, 1, 0, complaint),
            (0, 0, 1, None),
            (1, 0, 1, None),
            (2, 0, 1, bounce),
            (0, 1, 1, None),
            (3, 1, 2, bounce),
            (3, 2, 2, bounce),
            (3, 4, 2, complaint),
            (1, 2, 2, None),
            (2, 2, 1, complaint),
        ];
        for (bounced, complained, released, expected) in cases {
            let state = SuppressionState {
                bounced: said(bounced),
                complained: said(complained),
                released: said(released),
            };
            assert_eq!(state.effective_reason(), expected, "{bounced} {complained} {released}");
        }
    }

    #[test]
    fn nobody_is_believed_who_is_more_than_five_minutes_ahead() {
        let state = SuppressionState { bounced: said(1), released: said(1_300_000), ..Default::default() };
        assert_eq!(state.check_clock_skew(Timestamp::from_millis(1_000_000).unwrap()), Ok(()));
        let error = state.check_clock_skew(Timestamp::from_millis(999_999).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "released is 300 s ahead of this Region's clock");
    }

    #[test]
    fn a_source_that_a_newer_peer_names_is_no_error() {
        let text = r#"{"at":"2026-01-01T00:00:00.000Z","source":"oracle","region":"eu-west-1","more":1}"#;
        let said: Statement = serde_json::from_str(text).unwrap();
        assert_eq!((said.source, said.id.as_str()), (StatementSource::Unknown, ""));
    }
}
