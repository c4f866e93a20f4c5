//! Import jobs that fail, in whole or in part, or that SES does not make.

use std::time::Duration;

use apply::handler::RunOutcome;
use doubles::{Fault, JobFaults, MemoryList, MemoryObjects};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;

use crate::world::{MINUTE, Say, World, entries};

#[tokio::test]
async fn records_that_fail_in_a_job_are_tried_singly() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new();
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        world.list.poison("User3@example.com");
        world.say_numbered("User", 100, Say::Bounced).await;
        world.run_until_quiet().await;
        assert_eq!(world.outcome("user3@example.com").await, Some(ApplyOutcomeKind::FailedForGood));
        assert_eq!((world.list.entries().len(), world.of("create_import_job")), (99, 1));
        // A refusal is believed when it is repeated.
        assert_eq!(world.of("put"), if failed_records_hidden { 101 } else { 2 });
    }
}

#[tokio::test]
async fn a_job_that_can_not_be_is_no_dead_end() {
    // SES can't read the object, say because the bucket's policy is wrong.
    let mut world = World::new();
    let unreadable = MemoryList::new(world.clock.clone(), &MemoryObjects::default());
    world.shared.list = unreadable;
    world.say_numbered("User", 100, Say::Bounced).await;
    let minutes = world.run_until_quiet().await;
    assert!(minutes < 6, "{minutes}");
    assert_eq!(world.of("create_import_job"), 1);
    world.assert_right();
}

#[tokio::test]
async fn a_job_that_was_made_without_an_answer_is_found_again() {
    for fault in [Fault::Unanswered, Fault::Unavailable, Fault::Throttled] {
        let mut world = World::with_bounces(100).await;
        world.list.fault([Fault::None, fault]);
        let _ = world.run().await;
        // SES may not show it yet.
        let _ = world.run().await;
        assert_eq!(world.of("create_import_job"), if fault == Fault::Throttled { 2 } else { 1 });
        world.run_until_quiet().await;
        // One that failed without a trace is planned anew.
        let made = if fault == Fault::Unanswered { 1 } else { 2 };
        assert_eq!((world.of("create_import_job"), world.of("put")), (made, 0), "{fault:?}");
        world.assert_right();
    }
}

#[tokio::test]
async fn a_job_that_nobody_can_look_at_stops_nothing_else() {
    for (create, look) in [
        (Fault::None, &[Fault::Unavailable; 3][..]),
        (Fault::None, &[Fault::Denied]),
        (Fault::Unanswered, &[Fault::Unavailable; 3]),
        (Fault::Unanswered, &[Fault::Refused]),
    ] {
        let mut world = World::new();
        let job_wait = Duration::from_hours(1);
        world.set_import_wait(job_wait);
        world.list.insert("jane@example.com", SuppressionReason::Bounce);
        world.say_numbered("User", 100, Say::Bounced).await;
        world.list.fault([Fault::None, create]);
        let _ = world.run().await;
        world.clock.advance(3 * MINUTE);
        world.say("joe@example.com", Say::Complained).await;
        world.say("jane@example.com", Say::Released).await;
        // Much else waits for the end of the job.
        world.say_numbered("later", 100, Say::Bounced).await;
        world.list.fault(look.iter().copied());
        let report = world.run().await;
        assert!(report.metrics.get("OldestPendingSeconds") >= 180, "{look:?}");
        assert_eq!(report.ran(), RunOutcome::Left);
        assert_eq!(
            world.list.entries(),
            entries(&[("joe@example.com", SuppressionReason::Complaint)]),
            "{look:?}"
        );
        world.clock.advance(job_wait);
        world.run_until_quiet().await;
        world.assert_right();
    }
}

#[tokio::test]
async fn what_is_pending_is_counted_though_there_is_no_time_to_look_at_the_job() {
    let mut world = World::with_bounces(100).await;
    let _ = world.run().await;
    world.clock.advance(3 * MINUTE);
    world.list.fault([Fault::Throttled; 6]);
    let report = world.run().await;
    assert!(report.metrics.get("OldestPendingSeconds") >= 180);
    assert_eq!(report.ran(), RunOutcome::Left);
}

#[tokio::test]
async fn a_job_that_ses_does_not_make_is_told_and_the_addresses_go_singly_at_once() {
    for fault in [Fault::Refused, Fault::Denied] {
        let mut world = World::with_bounces(100).await;
        world.list.fault([Fault::None, fault]);
        let report = world.run().await;
        assert_eq!((report.metrics.get("ImportJobsFailed"), report.metrics.get("Failed")), (1, 0));
        assert!(world.of("put") > 40, "{fault:?}: {}", world.of("put"));
        world.run_until_quiet().await;
        assert_eq!(world.of("create_import_job"), 1);
        world.assert_right();
    }
}

#[tokio::test]
async fn a_run_ends_while_the_index_still_shows_marks_that_were_taken_off() {
    let mut world = World::with_bounces(100).await;
    world.list.fault([Fault::None, Fault::Refused]);
    world.table.lag(3);
    world.run().await.ran();
    world.table.lag(0);
    world.run_until_quiet().await;
    world.assert_right();
}

/// Each of the jobs that are tried would keep an address waiting longer than the one before, if it were the address's fault.
#[tokio::test]
async fn a_role_that_may_never_make_jobs_is_no_dead_end() {
    let mut world = World { requests_per_second: 0.2, ..World::new() };
    world.list.set_job_faults(JobFaults { creation_denied: true, ..JobFaults::default() });
    world.say_numbered("User", 500, Say::Bounced).await;
    let minutes = world.run_until_quiet().await;
    assert!(minutes < 70, "{minutes}");
    world.assert_right();
}

#[tokio::test]
async fn no_job_is_made_of_what_was_right_long_ago() {
    let mut world = World::with_bounces(100).await;
    // SES is down for an hour, from the call that was to make the job.
    world.list.fault([Fault::None, Fault::Unavailable]);
    assert_eq!(world.run().await.ran(), RunOutcome::Left);
    world.clock.advance(Duration::from_hours(1));
    world.list.insert("User1@example.com", SuppressionReason::Complaint);
    world.say("User1@example.com", Say::Complained).await;
    world.say("User2@example.com", Say::Released).await;
    world.run_until_quiet().await;
    world.assert_right();
    let wrong = world.list.writes(0).into_iter().find(|write| match write.spelling.as_str() {
        "User1@example.com" => write.after == Some(SuppressionReason::Bounce),
        "User2@example.com" => write.after.is_some(),
        _ => false,
    });
    assert_eq!(wrong, None);
}

/// Every address is on the list as it was spelled, and not as it is kept: half of a job's deletions find nothing.
#[tokio::test]
async fn a_job_that_fails_at_what_is_not_there_stands_in_nobodys_way() {
    for failed_records_hidden in [false, true] {
        let mut world = World::new();
        world.list.set_job_faults(JobFaults { failed_records_hidden, ..JobFaults::default() });
        for say in [Say::Bounced, Say::Released] {
            world.say_numbered("User", 70, say).await;
            let _ = world.run().await;
            world.clock.advance(MINUTE);
        }
        assert_eq!((world.list.entries(), world.of("create_import_job")), (entries(&[]), 2));
        world.say_numbered("new", 70, Say::Bounced).await;
        assert!(world.run_until_quiet().await < 10);
        assert_eq!((world.list.entries().len(), world.of("create_import_job")), (70, 3));
        world.assert_right();
    }
}
