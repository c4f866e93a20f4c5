//! decide: a batch of the stream, of a bounce in both formats, a dead mailbox, a complaint and a release.

use local_aws::clients::ACCOUNT;
use local_aws::expected::{Expected, Settings};
use mailroom_core::address::Address;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::{
    AddressState, StateChange, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::place::{Lab, PEERS, Place, REGION};
use super::{Scenario, kill_everywhere};

struct Decide {
    /// In the table before.
    before: Vec<Value>,
    event: Value,
}

pub(super) fn at(time: &str) -> Timestamp {
    Timestamp::parse(time).expect("a time")
}

/// A notification's one record.
fn record(lab: &Lab, message: &Value) -> Value {
    let mut records = Expected::of(&message.to_string(), &Settings::of(lab.stack())).records;
    let record = records.pop().expect("a record");
    assert!(records.is_empty());
    json!(record)
}

/// The record of a permanent bounce.
pub(super) fn bounced(lab: &Lab, time: &str, address: &str) -> Value {
    record(lab, &bounce("eventType", "Permanent", time, address))
}

fn mail(time: &str, address: &str) -> Value {
    json!({
        "timestamp": time, "messageId": format!("message-{time}"), "destination": [address], "sendingAccountId": ACCOUNT,
        "sourceArn": format!("arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.com"),
    })
}

fn bounce(which: &str, kind: &str, time: &str, address: &str) -> Value {
    json!({
        which: "Bounce",
        "bounce": {
            "feedbackId": format!("feedback-{time}"), "bounceType": kind, "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": address, "action": "failed"}], "timestamp": time,
        },
        "mail": mail(time, address),
    })
}

fn complaint(time: &str, address: &str) -> Value {
    json!({
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": format!("feedback-{time}"), "complaintFeedbackType": "abuse",
            "complainedRecipients": [{"emailAddress": address}], "timestamp": time,
        },
        "mail": mail(time, address),
    })
}

/// A record of the stream.
fn written(item: &impl Serialize) -> Value {
    let image: serde_dynamo::Item = serde_dynamo::to_item(item).expect("an item");
    let change = json!({
        "ApproximateCreationDateTime": at("2026-11-20T12:00:00Z").seconds(), "SequenceNumber": "1",
        "NewImage": image,
    });
    json!({"eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": change})
}

impl Decide {
    fn new(lab: &Lab) -> Self {
        let transient = |time: &str| record(lab, &bounce("eventType", "Transient", time, "full@example.com"));
        let mut before: Vec<Value> =
            (15..19).map(|day| transient(&format!("2026-11-{day}T12:00:00.000Z"))).collect();
        // What is to be released: on the list for a bounce of another Region's.
        let said = Statement {
            at: at("2026-11-01T12:00:00Z"),
            source: StatementSource::Bounce,
            region: PEERS[0].to_owned(),
            id: "1".to_owned(),
        };
        let change = StateChange {
            address: "back@example.com".to_owned(),
            spellings: ["Back@example.com"].into_iter().collect(),
            state: SuppressionState::from_reason(SuppressionReason::Bounce, said),
        };
        let known = AddressState::join_change(None, &change, at("2026-11-01T12:00:01Z")).expect("new");
        before.push(json!(known));
        let back = Address::parse("back@example.com").expect("an address");
        let decided_at = at("2026-11-20T11:59:59Z");
        let release = OperatorDecision::new(&back, None, "ops", "is back", decided_at, known.state(), "");
        let noon = "2026-11-20T11:59:50.000Z";
        let new = [
            bounced(lab, noon, "Gone@example.com"),
            record(lab, &bounce("notificationType", "Permanent", noon, "gone@example.com")),
            transient("2026-11-19T12:00:00.000Z"),
            record(lab, &complaint(noon, "angry@example.com")),
            json!(release),
        ];
        let records: Vec<_> = new.iter().map(written).collect();
        before.extend(new);
        Self { before, event: json!({ "Records": records }) }
    }
}

/// How decide and reconcile are told by which policy to judge, and whom to tell.
pub(super) fn policy_and_peers(place: &Place) -> Vec<(&'static str, String)> {
    vec![
        ("PEERS", PEERS.join(",")),
        ("QUEUE_NAME", place.queue.clone()),
        ("SOFT_BOUNCES", "count".to_owned()),
        ("UNDETERMINED_BOUNCES", "ignore".to_owned()),
        ("COMPLAINT_CANDIDATES", "all".to_owned()),
        ("TENANTS", "account".to_owned()),
    ]
}

impl Scenario for Decide {
    const FUNCTION: &'static str = "decide";

    fn variables(&self, place: &Place) -> Vec<(&'static str, String)> {
        policy_and_peers(place)
    }

    async fn prepare(&self, place: &Place) {
        for item in &self.before {
            place.put(item).await;
        }
    }

    fn event(&self) -> Value {
        self.event.clone()
    }

    /// A batch that has succeeded never comes back.
    async fn is_done(&self, _: &Place) -> bool {
        true
    }

    async fn outcome(&self, place: &Place) -> Value {
        json!({"states": place.outcome_of_states().await, "told": place.outcome_of_queues().await})
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_records_becomes_the_same_states_and_every_peer_is_told_them() {
    let lab = Lab::start().await;
    let (kills, outcome) = kill_everywhere(&lab, &Decide::new(&lab)).await;
    // Reads, four states, two peers.
    assert!(kills >= 10, "{kills}");
    let states = &outcome["states"];
    let bounced = |address: &str| &states[address]["state"]["bounced"];
    assert_eq!(bounced("gone@example.com")["at"], "2026-11-20T11:59:50.000Z");
    assert_eq!(states["gone@example.com"]["spellings"], json!(["Gone@example.com", "gone@example.com"]));
    assert_eq!(bounced("full@example.com")["source"], "transient");
    assert_eq!(states["angry@example.com"]["state"]["complained"]["source"], "complaint");
    assert_eq!(states["back@example.com"]["state"]["released"]["source"], "operator");
    for peer in PEERS {
        let told = outcome["told"][peer].as_object().expect("told");
        assert_eq!(told.len(), 4, "{peer}");
        for (address, state) in told {
            assert_eq!(*state, states[address]["state"], "{peer}: {address}");
        }
    }
}
