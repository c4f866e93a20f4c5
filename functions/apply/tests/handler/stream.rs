//! What the table's stream tells before the index shows it.

use apply::handler::RunOutcome;
use doubles::stream_event;
use mailroom_aws::clock::Clock;
use mailroom_core::suppression::SuppressionReason;

use crate::world::{MINUTE, REGION, Say, World};

#[tokio::test]
async fn an_index_that_lags_shows_nothing_that_is_done_twice_or_put_wrongly() {
    let mut world = World::new();
    world.say("a@example.com", Say::Bounced).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.say("b@example.com", Say::Bounced).await;
    world.say("b@example.com", Say::Complained).await;
    // The index shows b as it was when only the bounce was known.
    world.table.lag(1);
    world.clock.advance(MINUTE);
    let _ = world.run().await;
    assert_eq!(world.list.entries().get("b@example.com"), Some(&SuppressionReason::Complaint));
    assert_eq!(world.of("put"), 2);

    // It does not show c at all; the stream tells of it.
    world.say("c@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    let images = world.table.stream(0);
    let event = stream_event(images.last().map(|image| (image, world.clock.now())), REGION).to_string();
    world.run_with(&event, usize::MAX).await.ran();
    assert_eq!(world.list.entries().get("c@example.com"), Some(&SuppressionReason::Bounce));
    world.table.lag(0);
    world.run_until_quiet().await;
    world.assert_right();
}

/// `sam local invoke` takes them. The index shows neither address yet: only the stream tells of one.
#[tokio::test]
async fn sample_events() {
    for (sample, listed) in [("schedule", false), ("pending", true)] {
        let path = format!("{}/../../events/apply/{sample}.json", env!("CARGO_MANIFEST_DIR"));
        let event = std::fs::read_to_string(path).unwrap();
        let mut world = World::new();
        world.say("Jane@example.com", Say::Bounced).await;
        world.table.lag(1);
        world.clock.advance(MINUTE);
        world.run_with(&event, usize::MAX).await.ran();
        assert_eq!(world.list.entries().contains_key("Jane@example.com"), listed, "{sample}");
    }
}

#[tokio::test]
async fn records_of_the_stream_that_can_not_be_read_are_counted() {
    let mut world = World::new();
    world.say("a@example.com", Say::Bounced).await;
    let images = world.table.stream(0);
    let mut event = stream_event(images.iter().map(|image| (image, world.clock.now())), REGION);
    let records = event["Records"].as_array_mut().unwrap();
    records.push(serde_json::json!({"dynamodb": {"NewImage": {"sk": {"S": "SUPPRESSION"}}}}));
    records.push(serde_json::json!({"dynamodb": 1}));
    let report = world.run_with(&event.to_string(), usize::MAX).await;
    assert_eq!((report.metrics.get("StreamRecordsUnread"), report.ran()), (2, RunOutcome::Drained));
    world.assert_right();
}
