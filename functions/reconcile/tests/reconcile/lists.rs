//! What stands on a list, and what is made of it.

use std::time::Duration;

use doubles::ListRules;
use mailroom_aws::clock::Clock;
use mailroom_aws::suppression_list::{AccountStatus, SuppressionList};
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::address_state::ApplyAttempt;

use crate::world::{A_WHILE, entries, regions, settle};

#[tokio::test]
async fn what_stood_on_a_list_is_taken_in_and_comes_to_the_others() {
    let (home, peer) = regions();
    home.list.insert("Jane@Example.com", SuppressionReason::Bounce);
    home.list.insert("joe@example.com", SuppressionReason::Complaint);
    home.list.insert("success@simulator.amazonses.com", SuppressionReason::Bounce);
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.differ, counts.mended, counts.left), (3, 2, 2, 1));
    assert!(home.table.note::<FirstPassNote>(FIRST_PASS_NOTE).is_some());
    settle(&home, &peer).await;
    assert_eq!(
        peer.listed(),
        entries([
            ("Jane@Example.com", SuppressionReason::Bounce),
            ("joe@example.com", SuppressionReason::Complaint)
        ])
    );
    let counts = peer.counts().await;
    assert_eq!((counts.agree, counts.differ, counts.mended, counts.busy), (2, 0, 0, 0));
}

#[tokio::test]
async fn what_is_no_address_stays_on_the_list_and_is_counted() {
    let (home, _) = regions();
    for spelling in ["a@example.com", "no address", "two@signs@example.com"] {
        home.list.insert(spelling, SuppressionReason::Bounce);
    }
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.unread), (3, 2));
    assert_eq!((home.list.entries().len(), home.table.states().len()), (3, 1));
}

#[tokio::test]
async fn a_bounce_is_not_put_over_a_complaint_that_nobody_knew_of() {
    let (home, _) = regions();
    home.clock.advance(A_WHILE);
    home.list.insert("joe@example.com", SuppressionReason::Complaint);
    home.suppress("joe@example.com", SuppressionReason::Bounce);
    home.apply().await;
    assert_eq!(home.listed(), entries([("joe@example.com", SuppressionReason::Complaint)]));
    home.counts().await;
    home.apply().await;
    assert_eq!(home.listed(), entries([("joe@example.com", SuppressionReason::Complaint)]));
    assert_eq!(home.effective()["joe@example.com"], Some(SuppressionReason::Complaint));
}

#[tokio::test]
async fn what_is_added_by_hand_on_either_side_comes_to_both() {
    let (home, peer) = regions();
    settle(&home, &peer).await;
    home.list.insert("a@example.com", SuppressionReason::Bounce);
    peer.list.insert("b@example.com", SuppressionReason::Complaint);
    settle(&home, &peer).await;
    let both = entries([
        ("a@example.com", SuppressionReason::Bounce),
        ("b@example.com", SuppressionReason::Complaint),
    ]);
    assert_eq!((home.listed(), peer.listed()), (both.clone(), both));
}

#[tokio::test]
async fn what_was_released_and_is_on_the_list_goes() {
    let (home, peer) = regions();
    home.suppress("a@example.com", SuppressionReason::Bounce);
    settle(&home, &peer).await;
    home.release("a@example.com");
    settle(&home, &peer).await;
    assert!(home.listed().is_empty() && peer.listed().is_empty());
    // By hand, in another spelling, and after the release: that is new.
    home.clock.advance(A_WHILE);
    home.list.insert("A@example.com", SuppressionReason::Complaint);
    settle(&home, &peer).await;
    assert_eq!(home.effective()["a@example.com"], Some(SuppressionReason::Complaint));
    assert!(peer.listed().values().eq([&SuppressionReason::Complaint]));
    // A delete that SES accepted and did not do.
    home.release("a@example.com");
    let state = home.state("a@example.com").unwrap();
    let attempt = ApplyAttempt::Written { reason: None, enabled: true };
    let version = state.version();
    home.write(state.record_attempt(version, attempt, home.clock.now()), Some(version)).await;
    assert_eq!(home.listed().len(), 1);
    settle(&home, &peer).await;
    assert!(home.listed().is_empty() && peer.listed().is_empty());
}

#[tokio::test]
async fn an_entry_with_another_reason_is_put_over() {
    let (home, peer) = regions();
    home.suppress("a@example.com", SuppressionReason::Complaint);
    settle(&home, &peer).await;
    home.clock.advance(A_WHILE);
    home.list.insert("a@example.com", SuppressionReason::Bounce);
    settle(&home, &peer).await;
    assert_eq!(home.listed(), entries([("a@example.com", SuppressionReason::Complaint)]));
}

#[tokio::test]
async fn what_jobs_hold_is_left_to_apply_which_finishes_what_they_failed_at() {
    let (home, peer) = regions();
    settle(&home, &peer).await;
    home.suppress_users(100);
    home.list.fail_in_jobs("user7@example.com");
    home.list.poison("user9@example.com");
    // It makes a job, and has no time to see it end.
    home.list.set_rules(ListRules { import_wait: Duration::from_mins(10), ..ListRules::default() });
    home.wake_apply(Duration::from_mins(2)).await;
    assert!(home.table.states().iter().all(|state| state.assigned_job().is_some()));
    let counts = home.counts().await;
    assert_eq!((counts.busy, counts.left, counts.mended), (100, 0, 0));
    for _ in 0..3 {
        home.clock.advance(A_WHILE);
        home.apply().await;
    }
    let listed = home.listed();
    assert!(listed.len() == 99 && listed.contains_key("user7@example.com"), "{}", listed.len());
    // What SES has refused for good is left as it is.
    let counts = home.counts().await;
    assert_eq!((counts.agree, counts.busy, counts.left, counts.mended), (99, 0, 1, 0));
}

#[tokio::test]
async fn every_listed_spelling_is_remembered_and_goes_with_a_release() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 1, ..ListRules::default() });
    home.list.insert("JANE@example.com", SuppressionReason::Bounce);
    home.list.insert("Jane@example.com", SuppressionReason::Bounce);
    // The second page is judged when the first has just been taken in.
    assert_eq!(home.counts().await.busy, 1);
    let counts = home.counts().await;
    assert_eq!((counts.agree, counts.differ, counts.mended), (1, 1, 1));
    let state = home.state("jane@example.com").unwrap();
    assert!(state.spellings().iter().eq(["JANE@example.com", "Jane@example.com"]));
    assert_eq!(home.counts().await.agree, 2);
    home.release("jane@example.com");
    home.apply().await;
    assert!(home.listed().is_empty());
}

#[tokio::test]
async fn what_the_sandbox_refused_is_put_once_the_account_has_left_it() {
    let (home, _) = regions();
    home.pass().await;
    home.clock.advance(A_WHILE);
    let account = home.list.account_status().await.unwrap();
    home.list.set_account(AccountStatus { has_production_access: false, ..account.clone() });
    home.suppress("a@example.com", SuppressionReason::Bounce);
    home.clock.advance(A_WHILE);
    home.apply().await;
    assert_eq!(home.counts().await.left, 1);
    home.list.set_account(account);
    assert_eq!(home.counts().await.mended, 1);
    home.clock.advance(A_WHILE);
    home.apply().await;
    assert_eq!(home.listed().len(), 1);
}

#[tokio::test]
async fn what_ses_was_trusted_with_is_put_if_it_is_not_there() {
    let (home, _) = regions();
    home.pass().await;
    home.clock.advance(A_WHILE);
    home.suppress("a@example.com", SuppressionReason::Bounce);
    let state = home.state("a@example.com").unwrap();
    let trusted = ApplyAttempt::TrustedSes { reason: SuppressionReason::Bounce, enabled: true };
    let version = state.version();
    home.write(state.record_attempt(version, trusted, home.clock.now()), Some(version)).await;
    let counts = home.counts().await;
    assert_eq!((counts.mended, counts.drifted), (1, 0));
    home.apply().await;
    assert_eq!(home.listed(), entries([("a@example.com", SuppressionReason::Bounce)]));
}
