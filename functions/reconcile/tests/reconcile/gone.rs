//! What has gone from a list without Mailroom's doing.

use std::time::Duration;

use doubles::{Fault, ListRules};
use mailroom_aws::clock::Clock;
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::address_state::ApplyAttempt;
use mailroom_core::suppression::reconcile::MissingEntryPolicy;
use reconcile::handler::{PassCounts, PassOutcome};

use crate::world::{entries, regions, settle};

#[tokio::test]
async fn what_is_removed_by_hand_is_left_off_until_there_is_new_evidence() {
    let (home, peer) = regions();
    home.suppress_users(20);
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
    home.list.remove("user7@example.com");
    let counts = home.counts().await;
    assert_eq!((counts.expected, counts.gone, counts.asked, counts.drifted), (20, 1, 1, 1));
    assert_eq!(home.counted("Drift"), 1);
    settle(&home, &peer).await;
    assert_eq!((home.listed().len(), peer.listed().len()), (19, 20));
    assert_eq!(home.counts().await.gone, 0);
    home.suppress("user7@example.com", SuppressionReason::Bounce);
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
}

#[tokio::test]
async fn what_is_removed_by_hand_is_put_back_if_so_set() {
    let (mut home, peer) = regions();
    home.shared.parameters.gone = MissingEntryPolicy::PutBack;
    home.suppress("a@example.com", SuppressionReason::Bounce);
    settle(&home, &peer).await;
    home.list.remove("a@example.com");
    settle(&home, &peer).await;
    assert_eq!(home.listed(), entries([("a@example.com", SuppressionReason::Bounce)]));
}

#[tokio::test]
async fn nothing_is_concluded_from_a_list_that_has_been_emptied() {
    let (mut home, peer) = regions();
    home.suppress_users(20);
    settle(&home, &peer).await;
    for n in 0..20 {
        home.list.remove(&format!("user{n}@example.com"));
    }
    let before = home.table.states();
    for _ in 0..2 {
        assert!(matches!(
            home.pass().await.1,
            PassOutcome::GuardTripped(PassCounts { gone: 20, mended: 0, .. })
        ));
    }
    assert_eq!(home.table.states(), before);
    assert_eq!((home.counted("ListGone"), home.counted("Drift")), (2, 0));
    // Somebody has looked, and wants them back.
    home.shared.parameters.guard.max_missing_percent = 100;
    home.shared.parameters.gone = MissingEntryPolicy::PutBack;
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
}

/// An account that does not send has a short list, too, and then none.
#[tokio::test]
async fn nothing_is_concluded_from_a_short_list_that_has_been_emptied() {
    for entries in [2, 3, 4] {
        let (home, peer) = regions();
        home.suppress_users(entries);
        settle(&home, &peer).await;
        for n in 0..entries {
            home.list.remove(&format!("user{n}@example.com"));
        }
        let before = home.table.states();
        assert!(
            matches!(home.pass().await.1, PassOutcome::GuardTripped(PassCounts { mended: 0, .. })),
            "{entries}"
        );
        assert_eq!((home.table.states(), home.counted("ListGone")), (before, 1), "{entries}");
    }
}

#[tokio::test]
async fn a_single_entry_may_be_taken_off_a_short_list_by_hand() {
    for entries in [1, 2, 3, 4] {
        let (home, peer) = regions();
        home.suppress_users(entries);
        settle(&home, &peer).await;
        home.list.remove("user0@example.com");
        assert_eq!(home.counts().await.drifted, 1, "{entries}");
        settle(&home, &peer).await;
        assert_eq!(home.listed().len(), entries - 1, "it is left off");
    }
}

/// SES refuses every call with a slash in the address (aws/aws-sdk#158).
#[tokio::test]
async fn an_entry_that_ses_cannot_be_asked_for_keeps_no_other_from_being_asked_for() {
    let (home, peer) = regions();
    home.suppress_users(20);
    home.suppress("a/b@example.com", SuppressionReason::Bounce);
    settle(&home, &peer).await;
    for spelling in ["a/b@example.com", "user3@example.com", "user7@example.com"] {
        home.list.remove(spelling);
    }
    let counts = home.counts().await;
    assert_eq!((counts.gone, counts.asked, counts.drifted, counts.mended), (3, 3, 3, 3));
    assert_eq!(home.counts().await.gone, 0);
    // It is taken for gone on the list's word, and would be noted if it were there all the same.
    home.list.insert("a/b@example.com", SuppressionReason::Bounce);
    assert_eq!(home.counts().await.mended, 1);
    let state = home.state("a/b@example.com").unwrap();
    assert_eq!(state.last_known_entry().and_then(|applied| applied.reason), Some(SuppressionReason::Bounce));
}

#[tokio::test]
async fn an_entry_that_ses_refuses_to_tell_of_is_left_as_it_is() {
    let (home, peer) = regions();
    home.suppress_users(20);
    settle(&home, &peer).await;
    home.list.remove("user3@example.com");
    home.list.remove("user7@example.com");
    // The account, the page, and the first of the two.
    home.list.fault([Fault::None, Fault::None, Fault::Refused]);
    let counts = home.counts().await;
    assert_eq!((counts.gone, counts.asked, counts.drifted, counts.left), (2, 2, 1, 1));
    let counts = home.counts().await;
    assert_eq!((counts.gone, counts.asked, counts.drifted), (1, 1, 1));
}

/// Nobody knows when a job writes that SES has not said to have ended. What it writes is no news.
#[tokio::test]
async fn what_an_overdue_import_job_puts_is_not_taken_in_as_somebody_elses() {
    for reason in [SuppressionReason::Bounce, SuppressionReason::Complaint] {
        let (home, peer) = regions();
        // The first pass, so that bounces may be put.
        home.counts().await;
        let job_wait = Duration::from_hours(3);
        home.list.set_rules(ListRules { import_wait: job_wait, ..ListRules::default() });
        for n in 0..100 {
            home.suppress(&format!("user{n}@example.com"), reason);
        }
        home.wake_apply(Duration::from_mins(2)).await;
        home.clock.advance(Duration::from_hours(1));
        home.release("user1@example.com");
        home.release("user2@example.com");
        home.clock.advance(Duration::from_secs(1));
        home.suppress("user2@example.com", SuppressionReason::Bounce);
        home.apply().await;
        assert_eq!((home.listed().len(), home.listed().get("user1@example.com")), (99, None));
        home.clock.advance(Duration::from_mins(100));
        home.apply().await;
        let until = home.clock.now().plus(Duration::from_mins(25));
        while home.clock.now() < until {
            home.counts().await;
        }
        assert_eq!(home.listed().get("user1@example.com"), Some(&reason), "the job has run");
        home.counts().await;
        assert_eq!(home.effective()["user1@example.com"], None);
        assert_eq!(home.effective()["user2@example.com"], Some(SuppressionReason::Bounce));
        home.clock.advance(Duration::from_hours(1));
        settle(&home, &peer).await;
        assert_eq!((home.listed().len(), home.listed().get("user1@example.com")), (99, None));
        assert_eq!(home.listed()["user2@example.com"], SuppressionReason::Bounce);
        assert_eq!((peer.listed().len(), peer.effective()["user1@example.com"]), (99, None));
    }
}

/// It looks like an entry that somebody has taken off: a state does not know whether its entry was ever seen.
#[tokio::test]
async fn a_put_that_ses_accepted_and_never_did_is_drift_and_comes_with_the_next_bounce() {
    let (home, peer) = regions();
    home.suppress_users(20);
    settle(&home, &peer).await;
    home.suppress("lost@example.com", SuppressionReason::Bounce);
    let state = home.state("lost@example.com").unwrap();
    let accepted = ApplyAttempt::Written { reason: Some(SuppressionReason::Bounce), enabled: true };
    let version = state.version();
    home.write(state.record_attempt(version, accepted, home.clock.now()), Some(version)).await;
    let counts = home.counts().await;
    assert_eq!((counts.gone, counts.drifted, home.counted("Drift")), (1, 1, 1));
    home.apply().await;
    assert_eq!(home.listed().len(), 20);
    home.suppress("lost@example.com", SuppressionReason::Bounce);
    home.apply().await;
    assert_eq!(home.listed().len(), 21);
}
