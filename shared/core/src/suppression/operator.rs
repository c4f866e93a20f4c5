//! What an operator decides: a record like any other, except that it never expires and overrules what was said before it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::item::{Change, partition_key};
use super::reason::Reason;
use super::seen::{MAX_SKEW, Seen};
use super::spellings::Spellings;
use super::state::{Said, Source, SuppressionState};
use crate::address::Address;
use crate::record::Record;
use crate::text::visible;
use crate::timestamp::Timestamp;

/// How many characters are kept of an operator's name.
const MAX_WHO_CHARS: usize = 256;
const MAX_WHY_CHARS: usize = 1000;
/// How much of the hash is kept. Half of SHA-256 is more than enough to tell the decisions of one millisecond apart.
const HASH_BYTES: usize = 16;
const KIND: &str = "operator";

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
    /// What the operator decided.
    pub action: Action,
    /// Why the list is to hold the address; `None` for a release.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    /// The address as the operator spelled it.
    pub recipient: String,
    /// The address in match form.
    pub address: String,
    /// Who decided, as AWS names the caller.
    pub who: String,
    /// Why, in the operator's words.
    pub why: String,
}

/// What an operator may decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// No more mail is to go to the address.
    Suppress,
    /// Mail may go to the address again.
    Release,
}

impl OperatorDecision {
    /// A decision to suppress for this reason, or to release if there is none. `nonce` tells two decisions apart that
    /// have the same content and millisecond; with the same one, writing again changes nothing.
    pub fn new(
        address: &Address,
        suppress: Option<Reason>,
        who: &str,
        why: &str,
        decided_at: Timestamp,
        nonce: &str,
    ) -> Self {
        let action = if suppress.is_some() { Action::Suppress } else { Action::Release };
        let reason = suppress.map_or("", Reason::as_ses);
        let content = [address.match_form(), reason, address.raw(), who, why, nonce];
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
            kind: KIND.to_owned(),
            decidable: KIND.to_owned(),
            decided_at,
            action,
            reason: suppress,
            recipient: address.raw().to_owned(),
            address: address.match_form().to_owned(),
            who: visible(who, MAX_WHO_CHARS),
            why: visible(why, MAX_WHY_CHARS),
        }
    }

    /// The change that the decision comes to, given what is known; `region` is this one. The operator knew what was said
    /// till then, so a decision takes the time of what it overrules if a clock is ahead of ours. What lies further ahead
    /// than clocks may differ came after the decision, and stands.
    ///
    /// Since the result depends on what is known, a decision is taken in only once: [`Change::decision`] sees to that.
    pub fn change(&self, known: &SuppressionState, region: &str, seen: Seen) -> Change {
        let at = seen.decision(self.decided_at);
        let overruled = |said: Option<Timestamp>| said.filter(|said| *said <= at.plus(MAX_SKEW));
        let said = |at| Said { at, source: Source::Operator, region: region.to_owned(), id: self.sk.clone() };
        let state = match self.action {
            Action::Release => {
                let times = [known.bounced_at(), known.complained_at(), known.released_at()];
                let last = times.into_iter().filter_map(overruled).max();
                SuppressionState::released(said(last.map_or(at, |last| last.max(at))))
            }
            Action::Suppress => {
                // A tie counts as released, so a decision to suppress must come after the release.
                let after =
                    overruled(known.released_at()).map(|at| at.plus(std::time::Duration::from_millis(1)));
                let at = after.map_or(at, |after| after.max(at));
                SuppressionState::suppressed(self.reason.unwrap_or(Reason::Bounce), said(at))
            }
        };
        Change {
            address: self.address.clone(),
            spellings: Spellings::from_iter([&self.recipient]),
            state,
            decision: Some(self.sk.clone()),
        }
    }
}

impl Record for OperatorDecision {
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

    fn decision(suppress: Option<Reason>, decided_at: Timestamp, nonce: &str) -> OperatorDecision {
        let address = Address::parse("Jane@Example.com").unwrap();
        OperatorDecision::new(
            &address,
            suppress,
            "arn:aws:iam::123456789012:user/ops",
            "ticket 7",
            decided_at,
            nonce,
        )
    }

    #[test]
    fn the_record() {
        let decision = decision(Some(Reason::Complaint), at(1_780_000_000), "1");
        insta::assert_snapshot!(serde_json::to_string_pretty(&decision).unwrap());
        let read: OperatorDecision =
            serde_json::from_str(&serde_json::to_string(&decision).unwrap()).unwrap();
        assert_eq!(read, decision);
        assert_eq!(decision.key(), (decision.pk.as_str(), decision.sk.as_str()));
    }

    #[test]
    fn the_same_decision_is_the_same_record_and_another_is_not() {
        let first = decision(None, at(1), "1");
        assert_eq!(first, decision(None, at(1), "1"));
        assert_ne!(first.sk, decision(None, at(1), "2").sk);
        assert_ne!(first.sk, decision(Some(Reason::Bounce), at(1), "1").sk);
        assert_ne!(first.sk, decision(None, at(2), "1").sk);
    }

    #[test]
    fn the_last_decision_of_a_second_stands() {
        let mut state = SuppressionState::default();
        let seen = Seen::InStream(at(100));
        for (suppress, n) in [(Some(Reason::Bounce), 0), (None, 1), (Some(Reason::Complaint), 2), (None, 3)] {
            // The operator's clock is far behind, so all decisions count from the start of the second.
            let decision = decision(suppress, at(1), &n.to_string());
            state = state.join(&decision.change(&state, "us-east-1", seen).state);
            assert_eq!(state.effective(), suppress, "{n}");
        }
    }

    #[test]
    fn a_release_overrules_clocks_but_not_what_came_later() {
        let evidence = |seconds| {
            let said =
                Said { at: at(seconds), source: Source::Bounce, region: String::new(), id: String::new() };
            SuppressionState::suppressed(Reason::Bounce, said)
        };
        for (bounced, released) in [(50, true), (100, true), (400, true), (401, false), (10_000, false)] {
            let known = evidence(bounced);
            let change = decision(None, at(100), "").change(&known, "us-east-1", Seen::Later(at(100)));
            assert_eq!(known.join(&change.state).effective().is_none(), released, "{bounced}");
        }
    }
}
