//! What a Region knows of an address, in words.

use std::fmt::Write as _;

use mailroom_core::suppression::item::{AddressState, Applied, OutcomeKind};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::reason::Reason;
use mailroom_core::suppression::state::Source;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

/// What a Region's table holds.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) state: Option<AddressState>,
    /// Records as they are stored, the newest first.
    pub(super) history: Vec<Value>,
}

impl Known {
    /// The state in one word.
    pub(super) fn word(&self) -> &'static str {
        let Some(state) = &self.state else { return "none" };
        match state.effective() {
            Some(reason) => reason_in_words(reason),
            None if state.state().released.is_some() => "released",
            None => "none",
        }
    }

    /// What the state rests on: when, by what and where it was decided, and the record's id.
    pub(super) fn rests_on(&self) -> Option<(Timestamp, String, &str)> {
        let state = self.state.as_ref()?.state();
        let said = state.in_force().map(|(_, said)| said).or(state.released.as_ref())?;
        let source = match said.source {
            Source::Bounce => "bounce",
            Source::Complaint => "complaint",
            Source::Transient => "transient bounces",
            Source::Operator => "operator",
            Source::List => "SES's list",
            Source::Unknown => "unknown",
        };
        Some((said.at, format!("{source}, {}", said.region), &said.id))
    }

    /// When the operator last decided, if the functions have not got to that decision yet. In some seconds they have.
    pub(super) fn waits(&self) -> Option<Timestamp> {
        let last = self.history.iter().find(|record| record["kind"] == "operator")?;
        let decision: OperatorDecision = serde_json::from_value(last.clone()).ok()?;
        let joined = self.state.as_ref().is_some_and(|state| decision.is_joined(state.state()));
        (!joined).then_some(decision.decided_at)
    }

    /// What SES's list holds, and what it waits for.
    pub(super) fn list(&self) -> String {
        let Some(state) = &self.state else { return "-".to_owned() };
        let mut told = match state.applied() {
            None => "never written".to_owned(),
            Some(Applied { reason: Some(reason), at, .. }) => format!("{} {at}", reason_in_words(reason)),
            Some(Applied { left_off: true, at, .. }) => {
                format!("taken off by others {at}, left off")
            }
            Some(Applied { at, .. }) => format!("not on it {at}"),
        };
        if let Some(outcome) = state.outcome() {
            told += match outcome.kind {
                OutcomeKind::Applied => "",
                OutcomeKind::RefusedSandbox => "; refused: the account is in the sandbox there",
                OutcomeKind::ReasonNotEnabled => "; has no effect: the reason is not enabled there",
                OutcomeKind::Failed => "; failed, is tried again",
                OutcomeKind::FailedForGood => "; failed for good",
            };
            if let Some(why) = &outcome.why {
                // Writing to a String cannot fail.
                let _ = write!(told, ": {why}");
            }
        }
        if let Some(since) = state.pending_since() {
            let written = state.overdue_job().is_some() && Some(since) > state.last_tried_at();
            let _ = if written {
                write!(told, "; written again {since}, since an overdue import job may overwrite it")
            } else {
                let by = if state.job().is_some() { "in an import job" } else { "pending" };
                write!(told, "; {by} since {since}")
            };
        }
        told
    }
}

fn reason_in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Bounce => "bounce",
        Reason::Complaint => "complaint",
    }
}
