//! Messages to peers.

use std::time::Duration;

use doubles::MemoryPeers;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::peers::{PeerError, Sent, send_states};
use mailroom_core::suppression::message::{self, PeerState};
use mailroom_core::suppression::{Reason, Said, Source, SuppressionState};
use mailroom_core::timestamp::Timestamp;

#[tokio::test]
async fn a_state_that_the_queue_refuses_costs_only_itself() {
    let at = Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap();
    let said = Said { at, source: Source::Bounce, region: "us-east-1".to_owned(), id: "0100".to_owned() };
    let state = |name: &str| PeerState {
        address: format!("{name}@example.com"),
        spellings: [format!("{name}@example.com")].into_iter().collect(),
        state: SuppressionState::suppressed(Reason::Bounce, said.clone()),
    };
    let deadline = Deadline::after(Duration::from_secs(10));
    for (names, refused) in [("abcde", 0), ("xabcd", 1), ("abxcd", 1), ("abcdx", 1), ("axbxc", 2), ("x", 1)] {
        let peers = MemoryPeers::default();
        peers.refuse("x@example.com");
        let states: Vec<_> = names.chars().map(|name| state(&name.to_string())).collect();
        let message = message::pack("us-east-1", states.clone()).next().unwrap();
        let sent = send_states(&peers, "eu-west-1", &message, deadline).await.unwrap();
        let received = peers.receive("eu-west-1");
        assert_eq!(sent, Sent { messages: received.len(), states_refused: refused }, "{names}");
        let read: Vec<_> =
            received.iter().flat_map(|message| message::read(message).unwrap().states).collect();
        let good: Vec<_> = states.into_iter().filter(|state| state.address != "x@example.com").collect();
        assert_eq!(read, good, "{names}");
    }
    let peers = MemoryPeers::default();
    peers.fail("eu-west-1", Some(PeerError::NoQueue));
    let sent = send_states(&peers, "eu-west-1", "{}", deadline).await;
    assert_eq!(sent, Err(PeerError::NoQueue));
}
