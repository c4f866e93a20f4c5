//! A bounce, and a Region that is down.

use std::time::{Duration, Instant};

use local_aws::proxy::{Action, Matcher, Rule};
use local_ses::faults::Fault;

use crate::world::{REGIONS, World, bounced};

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_in_one_region_is_on_every_list() {
    let world = World::start().await;
    let begun = Instant::now();
    for (n, region) in (1..).zip(REGIONS) {
        world.bounce(region, n).await;
        world.wait_for(&REGIONS, &bounced(1..=n), Duration::from_mins(2)).await;
    }
    // One after the other: were apply woken by its schedule alone, the second and the third would take a minute each.
    assert!(
        begun.elapsed() < Duration::from_secs(110),
        "{:?}: the stream does not wake apply",
        begun.elapsed()
    );
}

/// What a dead peer has missed, it gets from reconcile's push; nobody else waits for it. Its queue does not even answer: a
/// refusal would cost nobody any time.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_down_catches_up_and_the_others_never_wait() {
    const DOWN: &str = "ap-southeast-2";
    const UP: [&str; 2] = ["us-east-1", "eu-west-1"];
    let world = World::start().await;
    let queue = world.aws.proxy().rule(Rule::new(Matcher::service("sqs").in_region(DOWN), Action::Hang));
    world.ses.fault(Fault::down().in_region(DOWN));

    let begun = Instant::now();
    for n in 1..=3 {
        world.bounce("us-east-1", n).await;
        world.wait_for(&UP, &bounced(1..=n), Duration::from_mins(2)).await;
    }
    // A decide that waits for an answer is given a minute, and its next batch waits with it.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}: they waited", begun.elapsed());
    assert!(world.states(DOWN).await.is_empty(), "its queue was to be out of reach");
    assert!(world.list(DOWN).is_empty());

    world.aws.proxy().remove(queue);
    world.ses.clear_faults();
    // What the schedule does every few minutes.
    let until = Instant::now() + Duration::from_mins(1);
    while world.list(DOWN).is_empty() && Instant::now() < until {
        world.reconcile("us-east-1").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world.wait_for(&REGIONS, &bounced(1..=3), Duration::from_mins(2)).await;
}
