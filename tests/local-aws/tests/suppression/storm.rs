//! A storm of permanent bounces in all Regions at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use local_ses::suppression::JobStatus;
use serde_json::json;

use crate::world::{REGIONS, World, address, bounce, bounced};

const BOUNCES: usize = 2000;
/// What the storm of ten times as many may cost.
const CALLS: u64 = 60;
/// Far more than it takes.
const STORM_ENDS_WITHIN: Duration = Duration::from_mins(5);

/// The stacks as they are deployed, with a local SES that takes a request a second and tells others 429. What is told in one
/// Region goes by stream to apply there and by queue to the other two; the first ten addresses go singly, since nobody knows
/// that a storm has begun.
///
/// What the local AWS does not have of a storm: more than one shard of a stream, and a feedback queue that feeds more than
/// ten functions.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_bounces_are_on_every_list_by_import_job() {
    let world = World::start().await;
    let before = calls(&world);
    let started = Instant::now();
    let publish = REGIONS.iter().enumerate().map(|(index, region)| {
        let messages = (index..BOUNCES).step_by(REGIONS.len()).map(|n| bounce(region, n));
        world.aws.region(region).publish_all(messages)
    });
    try_join_all(publish).await.expect("published");
    let published = started.elapsed().as_secs();
    world.wait_for(&REGIONS, &bounced(0..BOUNCES), STORM_ENDS_WITHIN).await;
    let on_the_lists = started.elapsed().as_secs();
    world.wait_until_settled(STORM_ENDS_WITHIN).await;

    println!("{BOUNCES} bounces in {} Regions: told after {published} s,", REGIONS.len());
    println!("    on every list after {on_the_lists} s, each Region's SES calls:");
    for (region, now) in calls(&world) {
        let calls = now - before.get(&region).copied().unwrap_or_default();
        println!("    {region}: {calls}");
        assert!(calls < CALLS, "{:?}", world.ses.requests());
    }
    println!(
        "baseline, one PutSuppressedDestination per bounce: {BOUNCES} calls and {BOUNCES} s in each Region"
    );

    for region in REGIONS {
        assert_eq!(world.list(region), bounced(0..BOUNCES), "{region}");
        let states = world.states(region).await;
        assert_eq!(states.len(), BOUNCES, "{region}");
        for n in 0..BOUNCES {
            let state = &states[&address(n)];
            let written = (&state["applied"]["reason"], &state["outcome"]["kind"]);
            assert_eq!(written, (&json!("bounce"), &json!("applied")), "{region}: {state}");
        }
        for (queue, depth) in world.aws.region(region).queues().await.expect("queues") {
            assert_eq!(depth.total(), 0, "{region}: {queue} holds {depth}");
        }
        let jobs = world.ses.suppression(region, |list, now| list.jobs(now).to_vec());
        assert!(!jobs.is_empty(), "{region}: no import job");
        for job in jobs {
            assert_eq!((job.status(), job.failed.len()), (JobStatus::Completed, 0), "{region}: {job:?}");
        }
    }
}

/// How often each Region's SES was called.
fn calls(world: &World) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for ((region, _), count) in world.ses.requests() {
        *calls.entry(region).or_default() += count;
    }
    calls
}
