//! What a Region knows of an address, in words.

use std::fmt::Write as _;

use mailroom_core::suppression::address_state::{AddressState, ApplyOutcomeKind, LastKnownEntry};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::reason::SuppressionReason;
use mailroom_core::suppression::state::StatementSource;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

/// What a Region's table holds.
#[derive(Debug, Default)]
pub(super) struct StoredAddress {
    pub(super) state: Option<AddressState>,
    /// Records as they are stored, the newest first.
    pub(super) history: Vec<Value>,
}

/// What a state rests on.
pub(super) struct DecidingStatement<'a> {
    pub(super) at: Timestamp,
    /// By what and where it was decided.
    pub(super) origin_text: String,
    pub(super) record_id: &'a str,
}

impl StoredAddress {
    /// The state in one word.
    pub(super) fn reason_or_release_word(&self) -> &'static str {
        let Some(state) = &self.state else { return "none" };
        match state.effective_reason() {
            Some(reason) => reason_text(reason),
            None if state.state().released.is_some() => "released",
            None => "none",
        }
    }

    /// What the state rests on; `None` if there is nothing.
    pub(super) fn deciding_statement(&self) -> Option<DecidingStatement<'_>> {
        let state = self.state.as_ref()?.state();
        let said = state.statement_in_force().map(|(_, said)| said).or(state.released.as_ref())?;
        let source = match said.source {
            StatementSource::Bounce => "bounce",
            StatementSource::Complaint => "complaint",
            StatementSource::Transient => "transient bounces",
            StatementSource::Operator => "operator",
            StatementSource::List => "SES's list",
            StatementSource::Unknown => "unknown",
        };
        let origin_text = format!("{source}, {}", said.region);
        Some(DecidingStatement { at: said.at, origin_text, record_id: &said.id })
    }

    /// When the operator last decided, if the functions have not got to that decision yet. In some seconds they have.
    pub(super) fn pending_decision_at(&self) -> Option<Timestamp> {
        let last = self.history.iter().find(|record| record["kind"] == "operator")?;
        let decision: OperatorDecision = serde_json::from_value(last.clone()).ok()?;
        let joined = self.state.as_ref().is_some_and(|state| decision.is_joined_into(state.state()));
        (!joined).then_some(decision.decided_at)
    }

    /// What SES's list holds, and what it waits for.
    pub(super) fn applied_entry_text(&self) -> String {
        let Some(state) = &self.state else { return "-".to_owned() };
        let mut told = match state.last_known_entry() {
            None => "never written".to_owned(),
            Some(LastKnownEntry { reason: Some(reason), at, .. }) => format!("{} {at}", reason_text(reason)),
            Some(LastKnownEntry { removal_accepted: true, at, .. }) => {
                format!("taken off by others {at}, left off")
            }
            Some(LastKnownEntry { at, .. }) => format!("not on it {at}"),
        };
        if let Some(outcome) = state.current_apply_outcome() {
            told += match outcome.kind {
                ApplyOutcomeKind::Applied => "",
                ApplyOutcomeKind::RefusedSandbox => "; refused: the account is in the sandbox there",
                ApplyOutcomeKind::ReasonNotEnabled => "; has no effect: the reason is not enabled there",
                ApplyOutcomeKind::Failed => "; failed, is tried again",
                ApplyOutcomeKind::FailedForGood => "; failed for good",
            };
            if let Some(why) = &outcome.cause {
                // Writing to a String cannot fail.
                let _ = write!(told, ": {why}");
            }
        }
        if let Some(since) = state.pending_since() {
            let written = state.overdue_job().is_some() && Some(since) > state.last_list_access_at();
            let _ = if written {
                write!(told, "; written again {since}, since an overdue import job may overwrite it")
            } else {
                let by = if state.assigned_job().is_some() { "in an import job" } else { "pending" };
                write!(told, "; {by} since {since}")
            };
        }
        told
    }
}

fn reason_text(reason: SuppressionReason) -> &'static str {
    match reason {
        SuppressionReason::Bounce => "bounce",
        SuppressionReason::Complaint => "complaint",
    }
}
