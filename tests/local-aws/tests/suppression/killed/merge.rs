//! merge: three messages of peers, of which two say something of the same address.

use local_aws::clients::ACCOUNT;
use serde_json::{Value, json};

use super::place::{Lab, PEERS, Place, REGION};
use super::{Scenario, kill_everywhere};

struct Merge;

fn message(origin: &str, states: &[Value]) -> String {
    json!({"version": 1, "origin": origin, "states": states}).to_string()
}

fn state(address: &str, field: &str, time: &str) -> Value {
    let said = json!({"at": time, "source": "operator", "region": PEERS[0], "id": "1"});
    json!({"address": address, "spellings": [address], field: said})
}

impl Scenario for Merge {
    const FUNCTION: &'static str = "merge";

    fn variables(&self, place: &Place) -> Vec<(&'static str, String)> {
        // Never sent to: no message here is poison.
        vec![("DEAD_LETTER_QUEUE_URL", place.queue.clone())]
    }

    async fn prepare(&self, _: &Place) {}

    fn event(&self) -> Value {
        let bodies = [
            message(
                PEERS[0],
                &[
                    state("a@example.com", "bounced", "2026-11-20T12:00:00.000Z"),
                    state("b@example.com", "complained", "2026-11-20T12:00:00.000Z"),
                ],
            ),
            message(PEERS[1], &[state("a@example.com", "released", "2026-11-20T13:00:00.000Z")]),
            message(PEERS[1], &[state("c@example.com", "bounced", "2026-11-20T13:00:00.000Z")]),
        ];
        let record = |(n, body): (usize, &String)| {
            json!({"eventSource": "aws:sqs", "messageId": format!("id-{n}"), "body": body,
                   "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:suppression")})
        };
        json!({ "Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>() })
    }

    /// Messages that nobody says failed are deleted. The test's outcome would lack what they said.
    async fn is_done(&self, _: &Place) -> bool {
        true
    }

    async fn outcome(&self, place: &Place) -> Value {
        place.outcome_of_states().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_peers_told_is_joined_once_and_for_all() {
    let lab = Lab::start().await;
    let (kills, states) = kill_everywhere(&lab, &Merge).await;
    // Reads, three states.
    assert!(kills >= 6, "{kills}");
    let said = |address: &str, field: &str| states[address]["state"][field]["at"].clone();
    assert_eq!(said("a@example.com", "bounced"), "2026-11-20T12:00:00.000Z");
    assert_eq!(said("a@example.com", "released"), "2026-11-20T13:00:00.000Z");
    assert_eq!(said("b@example.com", "complained"), "2026-11-20T12:00:00.000Z");
    assert_eq!(said("c@example.com", "bounced"), "2026-11-20T13:00:00.000Z");
    assert!(states.as_object().expect("states").values().all(|state| state["pending"] == true));
}
