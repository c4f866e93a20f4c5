//! More than single calls do in a minute, and what only an import job does.

use std::collections::BTreeSet;
use std::time::Duration;

use apply::handler::RunOutcome;
use doubles::{Fault, JobFaults};
use mailroom_aws::clock::Clock;
use mailroom_aws::suppression_list::{AccountStatus, SuppressionList};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;

use crate::world::{MINUTE, Say, World, entries};

#[tokio::test]
async fn a_storm_goes_by_job_and_what_is_said_meanwhile_wins() {
    let mut world = World::new();
    world.set_import_wait(Duration::from_secs(90));
    world.say_numbered("User", 100, Say::Bounced).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!((world.of("create_import_job"), world.of("put"), world.list.entries().len()), (1, 0, 0));
    world.say("user7@example.com", Say::Released).await;
    world.say("User8@example.com", Say::Complained).await;
    world.say("other@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(
        world.list.entries(),
        entries(&[("other@example.com", SuppressionReason::Bounce)]),
        "held by the job"
    );
    assert!(world.pending() == 100 && world.of("delete") == 0);
    world.run_until_quiet().await;
    assert!(!world.list.entries().contains_key("User7@example.com"));
    world.assert_right();

    // The other way round: deleted by job, in every spelling.
    world.say_numbered("user", 100, Say::Released).await;
    world.run_until_quiet().await;
    assert_eq!(world.list.entries().len(), 1);
    assert_eq!(world.of("create_import_job"), 2);
    world.assert_right();
}

#[tokio::test]
async fn a_storm_that_comes_while_a_job_runs_waits_for_its_end_and_goes_by_the_next() {
    let mut world = World::new();
    world.set_import_wait(Duration::from_secs(15));
    world.say_numbered("User", 100, Say::Bounced).await;
    world.run().await.ran();
    world.say_numbered("later", 100, Say::Bounced).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!((world.of("create_import_job"), world.of("put")), (2, 0));
    assert_eq!(world.of("import_job"), 3, "at once, and every ten seconds");
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn releases_and_complaints_do_not_wait_behind_bounces() {
    let mut world = World::new();
    world.set_import_wait(Duration::from_secs(90));
    world.list.insert("jane@example.com", SuppressionReason::Bounce);
    world.say_numbered("User", 100, Say::Bounced).await;
    world.run().await.ran();
    world.say_numbered("later", 100, Say::Bounced).await;
    world.say("jane@example.com", Say::Released).await;
    world.say("joe@example.com", Say::Complained).await;
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.run().await.ran(), RunOutcome::Left, "the bounces wait for the job's end");
    assert_eq!(world.list.entries(), entries(&[("joe@example.com", SuppressionReason::Complaint)]));
    assert_eq!((world.of("create_import_job"), world.of("put"), world.of("delete")), (1, 1, 1));
    world.run_until_quiet().await;
    world.assert_right();
}

/// More than a run looks at.
#[tokio::test]
async fn a_release_is_seen_behind_a_large_backlog() {
    let mut world = World::with_bounces(28_000).await;
    world.list.insert("jane@example.com", SuppressionReason::Bounce);
    world.clock.advance(MINUTE);
    world.say("jane@example.com", Say::Released).await;
    let start = world.clock.now();
    let _ = world.run_with("{}", usize::MAX).await;
    let deleted = world.list.writes(0).into_iter().find(|write| write.after.is_none()).unwrap();
    assert!(deleted.at < start.plus(MINUTE / 6), "{deleted:?}");
}

/// What is done without jobs: calls, and how long they take.
async fn one_put_per_bounce(count: usize) -> (usize, Duration) {
    let world = World::new();
    let start = world.clock.now();
    for n in 0..count {
        world.list.put(&format!("User{n}@example.com"), SuppressionReason::Bounce).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
    }
    (world.calls(), world.clock.now().since(start))
}

#[tokio::test]
async fn twenty_thousand_bounces_at_one_request_a_second() {
    const STORM: usize = 20_000;
    let baseline = one_put_per_bounce(STORM).await;
    let mut world = World::with_bounces(STORM).await;
    let start = world.clock.now();
    world.run_until_quiet().await;
    let took = world.clock.now().since(start);
    println!(
        "{STORM} bounces: {} SES calls in {} s: {:?}",
        world.calls(),
        took.as_secs(),
        world.list.calls()
    );
    println!("one Put per bounce: {} SES calls in {} s", baseline.0, baseline.1.as_secs());
    assert_eq!(world.list.entries().len(), STORM);
    assert!(world.calls() < 60 && took < 5 * MINUTE);
    world.assert_right();
}

/// No call deletes an address with a slash; whether a job fails at a spelling that is not there, nobody knows.
#[tokio::test]
async fn what_no_call_deletes_a_job_does() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new();
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        world.say_all(&["Dept/X@example.com", "joe@example.com"], Say::Bounced).await;
        world.run_until_quiet().await;
        world.assert_right();
        world.say_all(&["DEPT/X@example.com", "joe@example.com"], Say::Released).await;
        world.run_until_quiet().await;
        assert_eq!(world.list.entries(), entries(&[]));
        assert_eq!((world.of("create_import_job"), world.of("delete")), (1, 1));
        assert_eq!(world.outcome("dept/x@example.com").await, Some(ApplyOutcomeKind::Applied));
    }
}

#[tokio::test]
async fn what_only_a_job_deletes_waits_for_one_unless_there_are_none() {
    let mut world = World::new();
    world.say("a/b@example.com", Say::Bounced).await;
    world.run_until_quiet().await;
    world.say("a/b@example.com", Say::Released).await;
    world.clock.advance(MINUTE);
    // The account, the job: SES refuses it, and for a while none is made.
    world.list.fault([Fault::None, Fault::Refused]);
    assert_eq!((world.run().await.ran(), world.pending()), (RunOutcome::Left, 1));
    world.clock.advance(2 * MINUTE);
    assert_eq!((world.run().await.ran(), world.of("create_import_job")), (RunOutcome::Left, 1));
    assert!(world.run_until_quiet().await >= 8);
    assert_eq!((world.list.entries(), world.of("delete")), (entries(&[]), 0));

    let enabled = BTreeSet::from([SuppressionReason::Bounce, SuppressionReason::Complaint]);
    world.list.set_account(AccountStatus { has_production_access: false, enabled_reasons: enabled });
    world.say("a/b@example.com", Say::Released).await;
    world.clock.advance(MINUTE);
    world.run_until_quiet().await;
    assert_eq!(world.outcome("a/b@example.com").await, Some(ApplyOutcomeKind::FailedForGood));
}
