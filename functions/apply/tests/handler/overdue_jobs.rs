//! Import jobs that do not end in time.

use std::time::Duration;

use doubles::{Fault, JobFaults, ListRules, MemoryClock, MemoryList};
use mailroom_core::suppression::SuppressionReason;

use crate::world::{MINUTE, Say, World, entries};

/// How an import job may never come to its end, as far as SES tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// It is told to run.
    Processing,
    /// It has a status that SES has added since.
    Unknown,
    /// SES does not say how far it is.
    Unseen,
    /// SES made it without an answer, and it can't be looked for.
    Unfound,
}

impl Stuck {
    const ALL: [Self; 4] = [Self::Processing, Self::Unknown, Self::Unseen, Self::Unfound];

    /// From now on import jobs take this long, and are stuck as far as SES tells.
    pub(crate) fn set(self, list: &MemoryList<MemoryClock>, import_wait: Duration) {
        list.set_rules(ListRules { import_wait, ..ListRules::default() });
        list.set_job_faults(JobFaults {
            reading_denied: matches!(self, Self::Unseen | Self::Unfound),
            status: (self == Self::Unknown).then_some("SUSPENDED"),
            ..JobFaults::default()
        });
    }
}

#[tokio::test]
async fn a_job_that_never_ends_holds_its_addresses_for_an_hour() {
    for stuck in Stuck::ALL {
        let mut world = World::new();
        stuck.set(&world.list, Duration::from_hours(1000));
        world.list.insert("user9@example.com", SuppressionReason::Bounce);
        world.say_numbered("User", 100, Say::Bounced).await;
        let create = if stuck == Stuck::Unfound { Fault::Unanswered } else { Fault::None };
        world.list.fault([Fault::None, create]);
        world.run().await.ran();
        world.say("user9@example.com", Say::Released).await;
        world.clock.advance(Duration::from_mins(50));
        let report = world.run().await;
        let unknown = report.metrics.get("ImportJobStatusesUnknown");
        assert_eq!(unknown > 0, stuck == Stuck::Unknown, "{stuck:?}");
        assert_eq!(
            (report.metrics.get("ImportJobsOverdue"), world.list.entries().len()),
            (0, 1),
            "{stuck:?}"
        );
        world.clock.advance(Duration::from_mins(10));
        let report = world.run().await;
        assert_eq!(report.metrics.get("ImportJobsOverdue"), 1, "{stuck:?}");
        assert!(world.list.entries().len() > 20, "{stuck:?}: what it held goes one by one");
        assert!(!world.list.entries().contains_key("user9@example.com"), "the release first");
        // As long as it may still run there is no other job, whatever comes.
        world.say_numbered("later", 100, Say::Bounced).await;
        assert!(world.let_pass(1).await >= 59, "{stuck:?}");
        world.assert_right();
        assert_eq!((world.of("create_import_job"), world.list.entries().len()), (1, 199), "{stuck:?}");
        // Only the release is still looked after, since the job would undo that, and not for ever.
        assert_eq!(world.pending(), 1);
        world.clock.advance(Duration::from_hours(6 * 24));
        assert_eq!((world.let_pass(1).await > 0, world.pending()), (true, 1), "{stuck:?}");
        world.clock.advance(Duration::from_hours(24));
        world.let_pass(1).await;
        assert_eq!((world.let_pass(1).await, world.pending()), (0, 0), "{stuck:?}");
        world.say_numbered("User", 100, Say::Bounced).await;
        world.run_until_quiet().await;
        assert_eq!(world.of("create_import_job"), 2, "{stuck:?}");
    }
}

#[tokio::test]
async fn what_an_overdue_job_overwrites_in_the_end_is_put_right() {
    for stuck in Stuck::ALL {
        let mut world = World::new();
        let job_wait = Duration::from_hours(10);
        stuck.set(&world.list, job_wait);
        world.say_numbered("User", 100, Say::Bounced).await;
        let create = if stuck == Stuck::Unfound { Fault::Unanswered } else { Fault::None };
        world.list.fault([Fault::None, create]);
        world.run().await.ran();
        // Before the job is overdue, and after it, in time for it to be overwritten.
        world.say("User1@example.com", Say::Released).await;
        world.say("User2@example.com", Say::Complained).await;
        world.let_pass(4).await;
        world.say("User3@example.com", Say::Released).await;
        world.say("User4@example.com", Say::Complained).await;
        world.let_pass(4).await;
        world.assert_right();
        world.clock.advance(Duration::from_hours(2) + MINUTE);
        assert_eq!(world.list.entries().len(), 100, "{stuck:?}: the job has run");
        world.let_pass(1).await;
        world.assert_right();
        assert_eq!(world.list.entries().len(), 98, "{stuck:?}");
        if stuck == Stuck::Processing {
            assert_eq!((world.pending(), world.let_pass(1).await), (0, 0), "SES has told its end");
        }
    }
}

#[tokio::test]
async fn what_an_overdue_job_deletes_in_the_end_is_put_again() {
    let mut world = World::with_bounces(100).await;
    world.run_until_quiet().await;
    Stuck::Processing.set(&world.list, Duration::from_hours(10));
    world.say_numbered("User", 100, Say::Released).await;
    world.run().await.ran();
    world.let_pass(2).await;
    world.assert_right();
    world.say("User1@example.com", Say::Bounced).await;
    world.let_pass(7).await;
    assert_eq!(world.list.entries(), entries(&[("User1@example.com", SuppressionReason::Bounce)]));
    world.clock.advance(Duration::from_hours(2));
    assert_eq!(world.list.entries(), entries(&[]), "the job has run");
    world.let_pass(1).await;
    assert_eq!(world.list.entries(), entries(&[("User1@example.com", SuppressionReason::Bounce)]));
}

/// A job that takes longer than it should has not been for nothing.
#[tokio::test]
async fn what_an_overdue_job_has_done_counts_once_it_has_ended() {
    let mut world = World::new();
    Stuck::Processing.set(&world.list, Duration::from_mins(65));
    world.list.fail_in_jobs("User999@example.com");
    world.say_numbered("User", 1000, Say::Bounced).await;
    world.run().await.ran();
    world.let_pass(2).await;
    world.assert_right();
    assert_eq!((world.of("create_import_job"), world.list.entries().len()), (1, 1000));
    assert!(world.of("put") < 400, "{}", world.of("put"));
}
