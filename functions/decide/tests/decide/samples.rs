use mailroom_core::suppression::{AddressState, Reason};

use crate::world::{deadline, world};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/decide");

#[tokio::test]
async fn what_becomes_of_them() {
    let (bounce, complaint) = (Some(Reason::Bounce), Some(Reason::Complaint));
    let expected: [(&str, bool, &[Option<Reason>]); 7] = [
        ("bounce", true, &[bounce]),
        ("complaint-of-several", true, &[complaint, complaint]),
        ("transient", true, &[]),
        ("release", true, &[None]),
        ("suppress", true, &[complaint]),
        ("nothing-to-decide", true, &[]),
        ("unreadable-beside-good", false, &[bounce]),
    ];
    for (name, done, states) in expected {
        let (regions, _) = world();
        let payload = std::fs::read_to_string(format!("{SAMPLES}/{name}.json")).unwrap();
        let decided = regions[0].decide.handle(&payload, deadline()).await;
        assert_eq!(decided.is_ok(), done, "{name}: {decided:?}");
        let effective: Vec<_> = regions[0].table.states().iter().map(AddressState::effective).collect();
        assert_eq!(effective, states, "{name}");
    }
}
