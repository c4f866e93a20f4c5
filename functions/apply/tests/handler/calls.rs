//! Single calls: what they put and delete, in which order, and what becomes of those that fail.

use apply::handler::{LEASE_NAME, RunOutcome};
use doubles::{Fault, ListWriter};
use mailroom_aws::clock::Clock;
use mailroom_aws::table::lease::LeaseStore;
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;

use crate::world::{MINUTE, Say, World, entries};

#[tokio::test]
async fn what_is_in_force_is_put_and_what_was_released_is_deleted_in_every_spelling() {
    let mut world = World::new();
    world.say("Jane@example.com", Say::Bounced).await;
    world.say("joe@example.com", Say::Complained).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(
        world.list.entries(),
        entries(&[
            ("Jane@example.com", SuppressionReason::Bounce),
            ("joe@example.com", SuppressionReason::Complaint)
        ])
    );
    assert_eq!(
        (world.pending(), world.outcome("jane@example.com").await),
        (0, Some(ApplyOutcomeKind::Applied))
    );

    let calls = world.calls();
    assert_eq!((calls, world.run().await.ran()), (3, RunOutcome::Drained));
    assert_eq!(world.calls(), calls, "nothing is due: no call");

    world.list.insert("JANE@example.com", SuppressionReason::Complaint);
    world.list.insert("jane@example.com", SuppressionReason::Bounce);
    world.say("JANE@example.com", Say::Released).await;
    world.say("joe@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    assert_eq!(world.list.entries(), entries(&[("joe@example.com", SuppressionReason::Complaint)]));
    world.assert_right();
}

#[tokio::test]
async fn no_bounce_before_reconcile_has_been_through_the_list() {
    let mut world = World::before_first_pass();
    world.list.insert("jane@example.com", SuppressionReason::Complaint);
    world.say_all(&["jane@example.com", "b@example.com"], Say::Bounced).await;
    world.say("joe@example.com", Say::Complained).await;
    world.say("c@example.com", Say::Released).await;
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    let complaints = [
        ("jane@example.com", SuppressionReason::Complaint),
        ("joe@example.com", SuppressionReason::Complaint),
    ];
    assert_eq!((world.list.entries(), world.pending()), (entries(&complaints), 2));
    world.say("jane@example.com", Say::Complained).await;
    world.table.write_note(FIRST_PASS_NOTE, &FirstPassNote { ended_at: world.clock.now() });
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.assert_right();
}

#[tokio::test]
async fn a_bounce_that_waits_for_its_turn_is_not_put_over_a_complaint() {
    for throttled in [false, true] {
        let mut world = World::new();
        world.say_all(&["a@example.com", "b@example.com"], Say::Bounced).await;
        // The account, and a; b waits a second, and SES adds what it is told of at once.
        if throttled {
            world.list.fault([Fault::None, Fault::None, Fault::Throttled]);
        }
        world.list.insert("b@example.com", SuppressionReason::Complaint);
        let calls_before = if throttled { 3 } else { 2 };
        let mut says = vec![("c@example.com".to_owned(), Say::Bounced); calls_before];
        says.push(("b@example.com".to_owned(), Say::Complained));
        world.run_while("{}", usize::MAX, says).await.ran();
        world.run_until_quiet().await;
        let puts = world.list.writes(0).into_iter().filter(|write| write.by == ListWriter::Call);
        let of_b: Vec<_> = puts.filter(|put| put.spelling == "b@example.com").map(|put| put.after).collect();
        assert_eq!(of_b, [Some(SuppressionReason::Complaint)], "throttled: {throttled}");
    }
}

#[tokio::test]
async fn a_throttled_call_is_made_again_later() {
    let mut world = World::new();
    world.say("a@example.com", Say::Bounced).await;
    world.list.fault([Fault::Throttled, Fault::None, Fault::Throttled, Fault::Throttled]);
    let report = world.run().await;
    assert_eq!((report.metrics.get("SesCallsThrottled"), world.calls()), (3, 5));
    assert_eq!(report.metrics.get("SesCalls"), 5);
    assert_eq!(report.ran(), RunOutcome::Drained);
    world.assert_right();

    world.say("b@example.com", Say::Bounced).await;
    world.clock.advance(MINUTE);
    world.list.fault([Fault::Throttled; 6]);
    assert_eq!((world.run().await.ran(), world.pending()), (RunOutcome::Left, 1));
    assert_eq!(world.outcome("b@example.com").await, None, "its own fault it is not");
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn a_refusal_is_for_good_and_no_answer_is_not() {
    let mut world = World::new();
    world.list.poison("a@example.com");
    world.say_all(&["a@example.com", "b@example.com", "c@example.com"], Say::Bounced).await;
    // The account; what is refused; the account, which is not to blame; then SES is down.
    world.list.fault([Fault::None, Fault::None, Fault::None]);
    world.list.fault([Fault::Unanswered, Fault::Unavailable, Fault::Unavailable]);
    let report = world.run().await;
    assert_eq!((report.metrics.get("Failed"), report.ran()), (2, RunOutcome::Left));
    assert_eq!(
        world.outcome("a@example.com").await,
        Some(ApplyOutcomeKind::Failed),
        "not before it is repeated"
    );
    assert_eq!(world.outcome("b@example.com").await, Some(ApplyOutcomeKind::Failed));
    assert_eq!((world.outcome("c@example.com").await, world.calls()), (None, 6));
    world.run_until_quiet().await;
    let bounced =
        [("b@example.com", SuppressionReason::Bounce), ("c@example.com", SuppressionReason::Bounce)];
    assert_eq!(world.list.entries(), entries(&bounced));
}

#[tokio::test]
async fn what_there_is_no_time_for_stays_pending() {
    let mut world = World::new();
    world.say_numbered("a", 60, Say::Bounced).await;
    let start = world.clock.now();
    assert_eq!(world.run().await.ran(), RunOutcome::Left);
    let (took, put) = (world.clock.now().since(start), world.of("put"));
    assert!(took < MINUTE && (50..60).contains(&put) && world.pending() == 60 - put, "{took:?} {put}");
    assert_eq!(world.of("create_import_job"), 0);
    world.run_until_quiet().await;
    world.assert_right();
}

#[tokio::test]
async fn one_instance_works_and_a_dead_one_keeps_others_out_until_its_lease_ends() {
    let mut world = World::new();
    world.say("a@example.com", Say::Bounced).await;
    let (now, until) = (world.clock.now(), world.clock.now().plus(2 * MINUTE));
    world.table.acquire(LEASE_NAME, "another", now, until, World::deadline()).await.unwrap();
    assert_eq!((world.run().await.ran(), world.calls()), (RunOutcome::Busy, 0));
    world.table.release(LEASE_NAME, "another", World::deadline()).await.unwrap();
    // Dies with the lease.
    assert!(world.run_with("{}", 2).await.ran.is_none());
    assert_eq!(world.run().await.ran(), RunOutcome::Busy);
    world.clock.advance(2 * MINUTE);
    assert_eq!(world.run().await.ran(), RunOutcome::Drained);
    world.assert_right();
}

#[tokio::test]
async fn what_is_said_between_reading_and_recording_stays_pending() {
    for waits in 0..4 {
        let mut world = World::new();
        world.say("a@example.com", Say::Bounced).await;
        let mut says = vec![("b@example.com".to_owned(), Say::Released); waits];
        says.push(("a@example.com".to_owned(), Say::Released));
        world.run_while("{}", usize::MAX, says).await.ran();
        world.run_until_quiet().await;
        assert_eq!(world.list.entries(), entries(&[]), "{waits}");
    }
}
