//! Messages to peers.

use std::time::Duration;

use doubles::MemoryPeers;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::peer_queues::{PeerError, SentAndRefusedCounts, send_or_halve_message};
use mailroom_core::suppression::peer_message::{self, PeerState};
use mailroom_core::suppression::{Statement, StatementSource, SuppressionReason, SuppressionState};
use mailroom_core::timestamp::Timestamp;

#[tokio::test]
async fn a_state_that_the_queue_refuses_costs_only_itself() {
    let at = Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap();
    let said = Statement {
        at,
        source: StatementSource::Bounce,
        region: "us-east-1".to_owned(),
        id: "0100".to_owned(),
    };
    let state = |name: &str| PeerState {
        address: format!("{name}@example.com"),
        spellings: [format!("{name}@example.com")].into_iter().collect(),
        state: SuppressionState::from_reason(SuppressionReason::Bounce, said.clone()),
    };
    let deadline = Deadline::after(Duration::from_secs(10));
    for (names, refused) in [("abcde", 0), ("xabcd", 1), ("abxcd", 1), ("abcdx", 1), ("axbxc", 2), ("x", 1)] {
        let peers = MemoryPeers::default();
        peers.refuse("x@example.com");
        let states: Vec<_> = names.chars().map(|name| state(&name.to_string())).collect();
        let message = peer_message::pack_states("us-east-1", states.clone()).next().unwrap();
        let sent = send_or_halve_message(&peers, "eu-west-1", &message, deadline).await.unwrap();
        let received = peers.receive("eu-west-1");
        assert_eq!(
            sent,
            SentAndRefusedCounts { messages_sent: received.len(), states_refused: refused },
            "{names}"
        );
        let read: Vec<_> = received
            .iter()
            .flat_map(|message| peer_message::parse_peer_message(message).unwrap().states)
            .collect();
        let good: Vec<_> = states.into_iter().filter(|state| state.address != "x@example.com").collect();
        assert_eq!(read, good, "{names}");
    }
    let peers = MemoryPeers::default();
    peers.fail("eu-west-1", Some(PeerError::QueueNotFound));
    let sent = send_or_halve_message(&peers, "eu-west-1", "{}", deadline).await;
    assert_eq!(sent, Err(PeerError::QueueNotFound));
}
