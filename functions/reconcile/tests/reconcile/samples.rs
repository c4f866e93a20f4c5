//! The sample events that `sam local invoke` takes.

use mailroom_core::suppression::Reason;
use reconcile::handler::{Done, LookedBack, Passed, Pushed, Wake};

use crate::world::{RECONCILE, regions};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/reconcile");

/// After a pass that left nothing to do, each sample has done what it asks for and nothing else.
#[tokio::test]
async fn what_becomes_of_them() {
    let everything = Pushed { states: 1, messages: 1, ..Pushed::default() };
    for (sample, pushes, passes) in [
        ("schedule", Pushed::default(), false),
        ("pass", Pushed::default(), true),
        ("everything", everything, false),
        ("records", Pushed::default(), false),
    ] {
        let (home, _) = regions();
        home.list.insert("a@example.com", Reason::Bounce);
        home.pass().await;
        home.pass().await;
        let event = std::fs::read_to_string(format!("{SAMPLES}/{sample}.json")).unwrap();
        let wake: Wake = serde_json::from_str(&event).unwrap();
        assert_eq!(wake.records, sample == "records");
        let Done::Woken { pushed, passed, looked_back } = home.wake(wake, RECONCILE.as_secs()).await.unwrap()
        else {
            panic!("{sample}: held");
        };
        assert_eq!((pushed, looked_back), (pushes, LookedBack::default()), "{sample}");
        assert_eq!(matches!(passed, Passed::Ended(_)), passes, "{sample}: {passed:?}");
    }
}
