//! Records of feedback and of received mail.

use std::collections::BTreeMap;

use golden::{GoldenFile, items, plain};
use mailroom_core::suppression::{FeedbackSummary, SuppressionReason};
use mailroom_core::timestamp::Timestamp;

use crate::shape::{self, FEEDBACK, RECEIVED};
use crate::world::{effective_reasons, empty_region, read, run, run_decide, stream_event};

/// The samples whose records were evidence at 405ee81 and no longer are, since SES itself refused to send, or a machine
/// answered. See docs/design.md, "From a bounce to every list".
const NO_LONGER_EVIDENCE: [&str; 5] = [
    "bounce-permanent-unknown-subtype",
    "bounce-permanent-unsubscribed-recipient",
    "own-auto-response",
    "own-complaint-refused",
    "own-validation",
];

pub(crate) fn check_feedback(file: &mut GoldenFile) {
    let written_at = Timestamp::parse("2026-11-01T00:00:00Z").unwrap();
    for (sample, entry) in file.take_rest() {
        let mut expected = BTreeMap::new();
        for item in items(&entry) {
            shape::assert_fits(&plain(item), FEEDBACK, &sample);
            let fact: FeedbackSummary = read(item);
            let stored = item["decidable"]["S"].as_str();
            let read_today = fact.decidable.map(|decidable| serde_json::to_value(decidable).unwrap());
            let rejudged = NO_LONGER_EVIDENCE.contains(&sample.as_str());
            let means = stored.filter(|_| !rejudged);
            assert_eq!(read_today.as_ref().and_then(|decidable| decidable.as_str()), means, "{sample}");
            assert!(!rejudged || stored.is_some(), "{sample}");
            let reason = match means {
                Some("bounce") => SuppressionReason::Bounce,
                Some("complaint") => SuppressionReason::Complaint,
                // Soft bounces are counted only if the template says so.
                _ => continue,
            };
            expected.insert(fact.address, Some(reason));
        }
        let region = empty_region(written_at);
        run(run_decide(&region, &stream_event(items(&entry), written_at)));
        assert_eq!(effective_reasons(&region), expected, "{sample}");
    }
}

/// Nothing of ours reads records of received mail. What others read stays where it is, of the same type.
pub(crate) fn check_received(file: &mut GoldenFile) {
    for (sample, entry) in file.take_rest() {
        for item in items(&entry) {
            shape::assert_fits(&plain(item), RECEIVED, &sample);
        }
    }
}
