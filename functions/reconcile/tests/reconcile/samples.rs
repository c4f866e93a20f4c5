//! The sample events that `sam local invoke` takes.

use mailroom_core::suppression::SuppressionReason;
use reconcile::handler::{LookBackCounts, PassOutcome, PushCounts, ReconcileRequest, ReconcileRunOutcome};

use crate::world::{RECONCILE, regions};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/reconcile");

/// After a pass that left nothing to do, each sample has done what it asks for and nothing else.
#[tokio::test]
async fn what_becomes_of_them() {
    let everything = PushCounts { states: 1, messages: 1, ..PushCounts::default() };
    for (sample, pushes, passes) in [
        ("schedule", PushCounts::default(), false),
        ("pass", PushCounts::default(), true),
        ("everything", everything, false),
        ("records", PushCounts::default(), false),
    ] {
        let (home, _) = regions();
        home.list.insert("a@example.com", SuppressionReason::Bounce);
        home.pass().await;
        home.pass().await;
        let event = std::fs::read_to_string(format!("{SAMPLES}/{sample}.json")).unwrap();
        let wake: ReconcileRequest = serde_json::from_str(&event).unwrap();
        assert_eq!(wake.start_look_back, sample == "records");
        let ReconcileRunOutcome::Completed {
            push_counts: pushed,
            pass_outcome: passed,
            look_back_counts: looked_back,
        } = home.wake(wake, RECONCILE.as_secs()).await.unwrap()
        else {
            panic!("{sample}: held");
        };
        assert_eq!((pushed, looked_back), (pushes, LookBackCounts::default()), "{sample}");
        assert_eq!(matches!(passed, PassOutcome::Ended(_)), passes, "{sample}: {passed:?}");
    }
}
