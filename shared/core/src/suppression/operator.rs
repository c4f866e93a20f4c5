//! What an operator decides: a record like any other, except that it never expires and overrules what came before it.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::address_state::{StateChange, partition_key};
use super::reason::SuppressionReason;
use super::spellings::Spellings;
use super::state::{Statement, StatementSource, SuppressionState, replace_skewed_time};
use crate::address::Address;
use crate::record::TableItem;
use crate::text::sanitize_text;
use crate::timestamp::Timestamp;

/// How many characters are kept of an operator's name.
const MAX_OPERATOR_CHARS: usize = 256;
const MAX_JUSTIFICATION_CHARS: usize = 1000;
/// How much of the hash is kept. Half of SHA-256 is more than enough to tell the decisions of one millisecond apart.
const HASH_BYTES: usize = 16;
const RECORD_KIND: &str = "operator";
/// The resolution of a [`Timestamp`].
const MILLISECOND: Duration = Duration::from_millis(1);

/// A fact: an operator decided this. It never expires. Deciding the same again is another decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDecision {
    /// `ADDR#<match address>`: the table's partition key.
    pub pk: String,
    /// `OPERATOR#<time>#<id>`: the table's sort key.
    pub sk: String,
    /// The kind of record, which is always `operator`.
    pub kind: String,
    /// What the table's stream is filtered by: always `operator`.
    pub decidable: String,
    /// When the operator decided, by the operator's clock.
    pub decided_at: Timestamp,
    /// The latest time in the address's state as it was read before deciding; `None` if there was no state, or if an earlier
    /// version wrote the decision. The decision comes after it even if the operator's clock is behind.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub overrules: Option<Timestamp>,
    /// What the operator decided.
    pub action: OperatorAction,
    /// Why the list is to hold the address; `None` for a release.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<SuppressionReason>,
    /// The address as the operator spelled it.
    pub recipient: String,
    /// The address in match form.
    pub address: String,
    /// Who decided, as AWS names the caller.
    #[serde(rename = "who")]
    pub operator: String,
    /// Why, in the operator's words.
    #[serde(rename = "why")]
    pub justification: String,
}

/// What an operator may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperatorAction {
    /// No more mail is to go to the address.
    Suppress,
    /// Mail may go to the address again.
    Release,
}

impl OperatorDecision {
    /// A decision to suppress for this reason, or to release if there is none. `current_state` is the state of the address as the
    /// operator's tool read it before `decided_at`. `nonce` tells two decisions apart that have the same content and
    /// millisecond; with the same one, writing again changes nothing.
    pub fn new(
        address: &Address,
        suppression_reason: Option<SuppressionReason>,
        operator: &str,
        justification: &str,
        decided_at: Timestamp,
        current_state: &SuppressionState,
        nonce: &str,
    ) -> Self {
        let action =
            if suppression_reason.is_some() { OperatorAction::Suppress } else { OperatorAction::Release };
        let reason = suppression_reason.map_or("", SuppressionReason::as_ses);
        let overrules = current_state.last_statement_at();
        let latest_known = overrules.map(|at| at.to_string()).unwrap_or_default();
        let content =
            [address.match_form(), reason, address.spelling(), operator, justification, &latest_known, nonce];
        let mut sk = format!("OPERATOR#{decided_at}#");
        let mut hash = Sha256::new();
        for part in content {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        for byte in hash.finalize().iter().take(HASH_BYTES) {
            // Writing to a String cannot fail.
            let _ = write!(sk, "{byte:02x}");
        }
        Self {
            pk: partition_key(address.match_form()),
            sk,
            kind: RECORD_KIND.to_owned(),
            decidable: RECORD_KIND.to_owned(),
            decided_at,
            overrules,
            action,
            reason: suppression_reason,
            recipient: address.spelling().to_owned(),
            address: address.match_form().to_owned(),
            operator: sanitize_text(operator, MAX_OPERATOR_CHARS),
            justification: sanitize_text(justification, MAX_JUSTIFICATION_CHARS),
        }
    }

    /// The decision with a skewed time [replaced](replace_skewed_time) by when it was written. What it overrules was read and
    /// stays.
    #[must_use]
    pub fn replace_skewed_time(mut self, written_at: Timestamp) -> Self {
        self.decided_at = replace_skewed_time(self.decided_at, written_at);
        self
    }

    /// When the decision counts from: when it was made, but not before what it overrules. A release may tie with that; a
    /// suppression comes after it, since a tie counts as released.
    pub fn takes_effect_at(&self) -> Timestamp {
        let after = match self.action {
            OperatorAction::Release => self.overrules,
            OperatorAction::Suppress => self.overrules.map(|at| at.plus(MILLISECOND)),
        };
        after.map_or(self.decided_at, |after| after.max(self.decided_at))
    }

    /// The change that the decision comes to; `region` is this one. It depends on the decision alone, so that decisions and
    /// evidence may be joined in any order.
    pub fn to_state_change(&self, region: &str) -> StateChange {
        let said = Statement {
            at: self.takes_effect_at(),
            source: StatementSource::Operator,
            region: region.to_owned(),
            id: self.sk.clone(),
        };
        StateChange {
            address: self.address.clone(),
            spellings: Spellings::from_iter([&self.recipient]),
            state: match self.action {
                OperatorAction::Release => SuppressionState::from_release(said),
                OperatorAction::Suppress => SuppressionState::from_reason(self.reason_or_bounce(), said),
            },
        }
    }

    /// Whether the decision has been joined into a state.
    pub fn is_joined_into(&self, state: &SuppressionState) -> bool {
        let joined_at = match self.action {
            OperatorAction::Release => state.released_at(),
            OperatorAction::Suppress => match self.reason_or_bounce() {
                SuppressionReason::Bounce => state.bounced_at(),
                SuppressionReason::Complaint => state.complained_at(),
            },
        };
        joined_at >= Some(self.takes_effect_at())
    }

    fn reason_or_bounce(&self) -> SuppressionReason {
        self.reason.unwrap_or(SuppressionReason::Bounce)
    }
}

impl TableItem for OperatorDecision {
    fn key(&self) -> (&str, &str) {
        (&self.pk, &self.sk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    fn evidence(seconds: i64) -> SuppressionState {
        let said = Statement {
            at: at(seconds),
            source: StatementSource::Bounce,
            region: String::new(),
            id: String::new(),
        };
        SuppressionState::from_reason(SuppressionReason::Bounce, said)
    }

    fn decision(
        suppress: Option<SuppressionReason>,
        decided_at: Timestamp,
        known: &SuppressionState,
        nonce: &str,
    ) -> OperatorDecision {
        let address = Address::parse("Jane@Example.com").unwrap();
        let who = "arn:aws:iam::123456789012:user/ops";
        OperatorDecision::new(&address, suppress, who, "ticket 7", decided_at, known, nonce)
    }

    #[test]
    fn the_record() {
        let known = evidence(1_780_000_007);
        let decision = decision(Some(SuppressionReason::Complaint), at(1_780_000_000), &known, "1");
        insta::assert_snapshot!(serde_json::to_string_pretty(&decision).unwrap());
        let read: OperatorDecision =
            serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        assert_eq!(read, decision);
        assert_eq!(decision.key(), (decision.pk.as_str(), decision.sk.as_str()));
    }

    /// Versions before `overrules` was added wrote this.
    #[test]
    fn a_record_that_does_not_say_what_it_overrules_counts_from_when_it_was_made() {
        let record = r#"{"pk": "ADDR#jane@example.com", "sk": "OPERATOR#2026-01-27T14:59:38.237Z#0", "kind": "operator",
            "decidable": "operator", "decided_at": "2026-01-27T14:59:38.237Z", "action": "release",
            "recipient": "Jane@Example.com", "address": "jane@example.com", "who": "ops", "why": "ticket 7"}"#;
        let decision: OperatorDecision = serde_json::from_str(record).unwrap();
        assert_eq!(decision.overrules, None);
        assert_eq!(decision.to_state_change("us-east-1").state.released_at(), Some(decision.decided_at));
    }

    #[test]
    fn the_same_decision_is_the_same_record_and_another_is_not() {
        let nothing = SuppressionState::default();
        let first = decision(None, at(1), &nothing, "1");
        assert_eq!(first, decision(None, at(1), &nothing, "1"));
        assert_ne!(first.sk, decision(None, at(1), &nothing, "2").sk);
        assert_ne!(first.sk, decision(Some(SuppressionReason::Bounce), at(1), &nothing, "1").sk);
        assert_ne!(first.sk, decision(None, at(2), &nothing, "1").sk);
        assert_ne!(first.sk, decision(None, at(1), &evidence(1), "1").sk);
    }

    #[test]
    fn of_decisions_that_each_knew_of_the_one_before_the_last_stands() {
        let mut state = evidence(100);
        for (n, suppress) in [Some(SuppressionReason::Bounce), None, Some(SuppressionReason::Complaint), None]
            .into_iter()
            .enumerate()
        {
            // The operator's clock is far behind.
            let decision = decision(suppress, at(1), &state, &n.to_string());
            assert!(!decision.is_joined_into(&state), "{n}");
            state = state.join(&decision.to_state_change("us-east-1").state);
            assert_eq!(state.effective_reason(), suppress, "{n}");
            assert!(decision.is_joined_into(&state), "{n}");
        }
    }

    #[test]
    fn a_decision_that_is_dated_far_ahead_counts_from_when_it_was_written() {
        for (decided_at, expected) in [(50, 50), (400, 400), (401, 100), (1_000_000, 100)] {
            let decision = decision(None, at(decided_at), &evidence(20), "").replace_skewed_time(at(100));
            assert_eq!(decision.takes_effect_at(), at(expected));
        }
    }

    #[test]
    fn a_release_overrules_what_came_before_it_and_what_was_read_and_nothing_else() {
        let nothing = SuppressionState::default();
        // The time of a bounce, the state that was read before a release at 100, and whether the release stands.
        let cases = [
            (50, &nothing, true),
            (100, &nothing, true),
            (101, &nothing, false),
            (340, &nothing, false),
            (340, &evidence(340), true),
            (339, &evidence(340), true),
            (341, &evidence(340), false),
            (10_000, &evidence(10_000), true),
        ];
        for (bounced, known, released) in cases {
            let release = decision(None, at(100), known, "").to_state_change("us-east-1").state;
            assert_eq!(
                evidence(bounced).join(&release).effective_reason().is_none(),
                released,
                "{bounced} {known:?}"
            );
        }
    }
}
