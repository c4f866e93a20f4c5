//! What peers are told.

use std::time::Duration;

use mailroom_aws::clock::Clock;
use mailroom_aws::peer_queues::PeerError;
use mailroom_aws::table::notes::{PeerNote, peer_note_name};
use mailroom_core::suppression::SuppressionReason;
use reconcile::handler::{PassOutcome, PushCounts, ReconcileRequest};

use crate::world::{A_WHILE, PEER, WAKE, regions};

#[tokio::test]
async fn a_peer_that_cannot_be_told_is_told_later_and_the_pass_goes_on() {
    let (home, peer) = regions();
    home.queues.fail(PEER, Some(PeerError::QueueNotFound));
    home.list.insert("a@example.com", SuppressionReason::Bounce);
    home.pass().await;
    for _ in 0..2 {
        let (pushed, passed) = home.pass().await;
        assert!(pushed.peers_failed == 1 && matches!(passed, PassOutcome::Ended(_)));
    }
    assert_eq!(home.counted("PeersFailed"), 2);
    home.queues.fail(PEER, None);
    assert_eq!(home.pass().await.0, PushCounts { states: 1, messages: 1, ..PushCounts::default() });
    assert_eq!(peer.merge().await, 1);
    assert_eq!(peer.effective()["a@example.com"], Some(SuppressionReason::Bounce));
    // It has been told, and is not told again.
    assert_eq!(home.pass().await.0, PushCounts::default());
}

#[tokio::test]
async fn a_state_that_a_queue_refuses_costs_only_itself() {
    let (home, peer) = regions();
    for address in ["a@example.com", "b@example.com", "c@example.com"] {
        home.suppress(address, SuppressionReason::Bounce);
    }
    home.queues.refuse("b@example.com");
    let (pushed, _) = home.pass().await;
    assert_eq!((pushed.states, pushed.states_refused, pushed.peers_failed), (3, 1, 0));
    assert_eq!(home.counted("PeerStatesRefused"), 1);
    peer.merge().await;
    assert!(peer.effective().keys().eq(["a@example.com", "c@example.com"]));
    // What was refused holds up nothing that comes after it.
    home.suppress("d@example.com", SuppressionReason::Bounce);
    assert_eq!(home.pass().await.0.states_refused, 0);
    peer.merge().await;
    assert!(peer.effective().contains_key("d@example.com"));
}

#[tokio::test]
async fn a_message_that_was_accepted_and_lost_is_made_good_within_a_week() {
    let (home, peer) = regions();
    home.suppress("a@example.com", SuppressionReason::Bounce);
    assert_eq!(home.pass().await.0.states, 1);
    home.queues.receive(PEER);
    assert_eq!(home.pass().await.0.states, 0);
    assert_eq!(peer.merge().await, 0);
    home.clock.advance(Duration::from_hours(7 * 24));
    home.pass().await;
    assert_eq!(peer.merge().await, 1);
    // Or when an operator asks for it.
    home.clock.advance(A_WHILE);
    home.wake(ReconcileRequest { full_push: true, ..WAKE }, 900).await.unwrap();
    assert_eq!(peer.merge().await, 1);
}

#[tokio::test]
async fn a_peer_that_is_added_late_is_told_everything() {
    let (mut home, peer) = regions();
    home.shared.parameters.peers.clear();
    home.suppress_users(3000);
    home.clock.advance(Duration::from_hours(24));
    home.pass().await;
    home.apply().await;
    home.shared.parameters.peers.push(PEER.to_owned());
    let (pushed, _) = home.pass().await;
    assert_eq!((pushed.states, pushed.messages), (3000, 3));
    peer.pass().await;
    peer.merge().await;
    peer.apply().await;
    assert_eq!(peer.listed(), home.listed());
    assert_eq!(peer.listed().len(), 3000);
}

#[tokio::test]
async fn the_audit_finds_in_the_note_how_far_a_peer_has_been_told() {
    let (home, peer) = regions();
    let begun = home.clock.now().plus(A_WHILE);
    home.counts().await;
    let note = home.table.note::<PeerNote>(&peer_note_name(peer.name)).unwrap().value;
    assert_eq!(note, PeerNote { pushed_until: Some(begun) });
}
