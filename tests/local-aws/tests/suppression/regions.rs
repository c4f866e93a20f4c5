//! A bounce, and a Region that is down.

use std::time::{Duration, Instant};

use local_aws::proxy::{Action, Failure, Matcher, Rule};
use local_ses::faults::Fault;

use crate::world::{REGIONS, World, bounced};

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_in_one_region_is_on_every_list() {
    let world = World::start().await;
    world.bounce("us-east-1", 1).await;
    world.wait_for(&REGIONS, &bounced([1]), Duration::from_mins(2)).await;
    world.bounce("ap-southeast-2", 2).await;
    world.wait_for(&REGIONS, &bounced([1, 2]), Duration::from_mins(2)).await;
}

/// What a dead peer has missed, it gets from reconcile's push; nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_down_catches_up_and_the_others_never_wait() {
    const DOWN: &str = "ap-southeast-2";
    let world = World::start().await;
    let queue = world.aws.proxy().rule(Rule::new(
        Matcher::service("sqs").in_region(DOWN),
        Action::Fail(Failure::new(503, "ServiceUnavailable", "down")),
    ));
    world.ses.fault(Fault::down().in_region(DOWN));

    world.bounce("us-east-1", 1).await;
    world.wait_for(&["us-east-1", "eu-west-1"], &bounced([1]), Duration::from_mins(2)).await;
    assert!(world.list(DOWN).is_empty());

    world.aws.proxy().remove(queue);
    world.ses.clear_faults();
    // What the schedule does every few minutes.
    let until = Instant::now() + Duration::from_mins(1);
    while world.list(DOWN).is_empty() && Instant::now() < until {
        world.reconcile("us-east-1").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world.wait_for(&REGIONS, &bounced([1]), Duration::from_mins(2)).await;
}
