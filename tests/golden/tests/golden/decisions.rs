//! Operators' decisions.

use golden::GoldenFile;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::{StatementSource, SuppressionReason};
use mailroom_core::timestamp::Timestamp;

use crate::world::{effective_reasons, empty_region, read, run, run_decide, stream_event};

pub(crate) fn check(file: &mut GoldenFile) {
    let cases = [
        ("release", "released@example.com", None, "mailbox is back"),
        ("suppress-bounce", "suppressed@example.com", Some(SuppressionReason::Bounce), "ticket 7"),
        (
            "suppress-complaint",
            "unwanted@example.com",
            Some(SuppressionReason::Complaint),
            "asked by post \u{2014} \u{fc}bel",
        ),
    ];
    for (name, address, reason, why) in cases {
        let item = file.take(name);
        let decision: OperatorDecision = read(&item);
        assert_eq!(
            (decision.reason, decision.justification.as_str(), decision.overrules),
            (reason, why, None)
        );
        let written_at = Timestamp::parse("2026-03-01T12:00:03Z").unwrap();
        let region = empty_region(written_at);
        run(run_decide(&region, &stream_event(&[item], written_at)));
        assert_eq!(effective_reasons(&region), [(address.to_owned(), reason)].into());
        let state = &region.table.states()[0];
        assert!(decision.is_joined_into(state.state()));
        let suppressed = state.state().bounced.as_ref().or(state.state().complained.as_ref());
        let decided = state.state().released.as_ref().or(suppressed).unwrap();
        assert_eq!(
            (decided.source, decided.at, decided.id.as_str()),
            (StatementSource::Operator, decision.decided_at, decision.sk.as_str())
        );
    }
}
