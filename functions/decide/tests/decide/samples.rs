use mailroom_core::suppression::{AddressState, SuppressionReason};

use crate::world::{deadline, world};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/decide");

#[tokio::test]
async fn what_becomes_of_them() {
    let (bounce, complaint) = (Some(SuppressionReason::Bounce), Some(SuppressionReason::Complaint));
    let expected: [(&str, usize, &[Option<SuppressionReason>]); 10] = [
        ("bounce", 0, &[bounce]),
        ("complaint-of-several", 0, &[complaint, complaint]),
        ("transient", 0, &[]),
        ("release", 0, &[None]),
        ("release-of-what-was-read", 0, &[None]),
        ("complaint-after-release", 0, &[complaint]),
        ("complaint-after-release-arrives-first", 0, &[complaint]),
        ("suppress", 0, &[complaint]),
        ("nothing-to-decide", 0, &[]),
        ("unreadable-beside-good", 1, &[bounce]),
    ];
    for (name, unreadable, states) in expected {
        let (regions, _) = world();
        let payload = std::fs::read_to_string(format!("{SAMPLES}/{name}.json")).unwrap();
        assert_eq!(regions[0].decide.handle(&payload, deadline()).await, Ok(()), "{name}");
        assert_eq!(regions[0].decide.metrics.get("RecordsUnreadable"), unreadable, "{name}");
        let effective: Vec<_> =
            regions[0].table.states().iter().map(AddressState::effective_reason).collect();
        assert_eq!(effective, states, "{name}");
    }
}
