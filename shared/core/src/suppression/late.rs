//! What a record still changes that is found in the table long after it was written, without having been decided on.
//!
//! When such a record came to light is no longer known, so its own time has to do, by a clock that may be ahead. What is
//! known of about that time was known then, so the record must not undo a release whose operator knew of it.

use super::item::Change;
use super::operator::{Action, OperatorDecision};
use super::policy::{FeedbackFact, Policy, Verdict};
use super::reason::Reason;
use super::seen::{MAX_SKEW, Seen};
use super::state::SuppressionState;
use crate::timestamp::Timestamp;

/// What a feedback record still changes; `region` is this one. `None` if all that it says is known. A new spelling alone
/// is not worth a write. `history` is as [`Policy::judge`] takes it.
pub fn feedback(
    told: &FeedbackFact,
    policy: &Policy,
    history: &[FeedbackFact],
    known: &SuppressionState,
    region: &str,
    now: Timestamp,
) -> Option<Change> {
    let verdict = policy.judge(told, history, known.released_at(), Seen::Later(now));
    let Verdict::Suppress { reason, at, .. } = verdict else { return None };
    let followed = said_for(reason, known).max(known.released_at());
    let unknown = followed.map(|at| at.plus(MAX_SKEW)) < Some(at);
    told.change(&verdict, region).filter(|change| unknown && says_more(change, known))
}

/// What an operator's decision still changes; `region` is this one. `None` if the decision was already followed.
pub fn decision(
    decision: &OperatorDecision,
    known: &SuppressionState,
    region: &str,
    now: Timestamp,
) -> Option<Change> {
    let followed = match decision.action {
        Action::Release => known.released_at(),
        Action::Suppress => said_for(decision.reason.unwrap_or(Reason::Bounce), known),
    };
    // A decision may overrule evidence that is a little newer, so it must not be taken in again without need.
    let unknown = followed < Some(decision.decided_at);
    let change = || decision.change(known, region, Seen::Later(now));
    unknown.then(change).filter(|change| says_more(change, known))
}

fn said_for(reason: Reason, known: &SuppressionState) -> Option<Timestamp> {
    match reason {
        Reason::Bounce => known.bounced_at(),
        Reason::Complaint => known.complained_at(),
    }
}

fn says_more(change: &Change, known: &SuppressionState) -> bool {
    known.join(&change.state) != *known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Address;
    use crate::evidence::Decidable;
    use crate::notification::Format;
    use crate::suppression::state::{Said, Source};

    const NOW: i64 = 100_000;
    /// [`MAX_SKEW`] in seconds.
    const SKEW: i64 = 300;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000).unwrap()
    }

    /// A state with these times in seconds; zero stands for never.
    fn known([bounced, complained, released]: [i64; 3]) -> SuppressionState {
        let said = |seconds| {
            let at = Some(at(seconds)).filter(|at| at.millis() > 0)?;
            Some(Said { at, source: Source::Bounce, region: "us-east-1".to_owned(), id: "known".to_owned() })
        };
        SuppressionState { bounced: said(bounced), complained: said(complained), released: said(released) }
    }

    fn times(change: Option<Change>) -> Option<[i64; 3]> {
        let state = change?.state;
        let times = [state.bounced_at(), state.complained_at(), state.released_at()];
        Some(times.map(|at| at.map_or(0, |at| at.millis() / 1000)))
    }

    #[test]
    fn feedback_says_what_is_not_known_and_undoes_no_release_of_about_its_time() {
        let cases = [
            // Nothing is known.
            (Decidable::Bounce, 5000, [0, 0, 0], Some([5000, 0, 0])),
            (Decidable::Complaint, 5000, [0, 0, 0], Some([0, 5000, 0])),
            // The same is known, or something newer, or something a little older, which was the same by another clock.
            (Decidable::Bounce, 5000, [5000, 0, 0], None),
            (Decidable::Bounce, 5000, [9000, 0, 0], None),
            (Decidable::Bounce, 5000, [5000 - SKEW, 0, 0], None),
            (Decidable::Bounce, 5000, [4999 - SKEW, 0, 0], Some([5000, 0, 0])),
            // What is known of the other reason does not matter.
            (Decidable::Complaint, 5000, [5000, 0, 0], Some([0, 5000, 0])),
            (Decidable::Complaint, 5000, [0, 5000, 0], None),
            // The address was released since, or so little before that the operator may have known.
            (Decidable::Bounce, 5000, [0, 0, 9000], None),
            (Decidable::Bounce, 5000, [0, 0, 5000 - SKEW], None),
            (Decidable::Bounce, 5000, [0, 0, 4999 - SKEW], Some([5000, 0, 0])),
            (Decidable::Complaint, 5000, [1000, 1000, 5000], None),
            // The record's time lies ahead.
            (Decidable::Bounce, NOW + 1, [0, 0, 0], None),
            // One transient bounce is not enough.
            (Decidable::Transient, 5000, [0, 0, 0], None),
        ];
        for (decidable, occurred_at, before, expected) in cases {
            let told = FeedbackFact {
                kind: "bounce".to_owned(),
                event_id: "1".to_owned(),
                occurred_at: at(occurred_at),
                sent_at: None,
                decidable: Some(decidable),
                recipient: "Jane@example.com".to_owned(),
                address: "jane@example.com".to_owned(),
                tenant: None,
                candidates: None,
                format: Some(Format::Event),
            };
            let change = feedback(&told, &Policy::default(), &[], &known(before), "us-east-1", at(NOW));
            assert_eq!(times(change), expected, "{decidable:?} {occurred_at} {before:?}");
        }
    }

    #[test]
    fn a_decision_that_was_not_followed_is() {
        let (bounce, complaint, release) = (Some(Reason::Bounce), Some(Reason::Complaint), None);
        let cases = [
            (bounce, 5000, [0, 0, 0], Some([5000, 0, 0])),
            (complaint, 5000, [0, 0, 0], Some([0, 5000, 0])),
            (release, 5000, [0, 0, 0], Some([0, 0, 5000])),
            // The decision was followed, or something later was said.
            (bounce, 5000, [5000, 0, 0], None),
            (bounce, 5000, [9000, 0, 0], None),
            (complaint, 5000, [9000, 5000, 0], None),
            (release, 5000, [9000, 9000, 5000], None),
            // The time of the other reason does not matter.
            (complaint, 5000, [9000, 0, 0], Some([0, 5000, 0])),
            (release, 5000, [3000, 0, 4000], Some([0, 0, 5000])),
            // A release takes the time of what it overrules, within what clocks may differ by.
            (release, 5000, [5000 + SKEW, 0, 0], Some([0, 0, 5000 + SKEW])),
            (release, 5000, [5001 + SKEW, 0, 0], Some([0, 0, 5000])),
            // A decision that is dated ahead counts from when it was found.
            (release, NOW + 50, [0, 0, 0], Some([0, 0, NOW])),
        ];
        for (suppress, decided_at, before, expected) in cases {
            let jane = Address::parse("jane@example.com").unwrap();
            let decided = OperatorDecision::new(&jane, suppress, "ops", "ticket", at(decided_at), "");
            let change = decision(&decided, &known(before), "us-east-1", at(NOW));
            assert_eq!(times(change), expected, "{suppress:?} {decided_at} {before:?}");
        }
    }
}
