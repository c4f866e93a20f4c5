//! reconcile: entries are taken in page by page, what has gone is asked for, a record that nobody decided on is decided on,
//! and every peer is told.

use local_ses::suppression::{Entry, Reason as Listed};
use mailroom_core::suppression::address_state::ApplyAttempt;
use mailroom_core::suppression::{
    AddressState, StateChange, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::decide::policy_and_peers;
use super::place::{Lab, PEERS, Place, REGION};
use super::{Scenario, kill_everywhere};

struct Reconcile {
    items: Vec<Value>,
    list: Vec<(&'static str, Listed, OffsetDateTime)>,
}

/// This many days ago: reconcile looks back nine days, by its own clock.
fn days_ago(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::days(days)
}

fn timestamp(time: OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(time.unix_timestamp() * 1000).expect("a time")
}

/// What a peer said of an address, and what was made of it then: so much was on the list.
fn state(address: &str, reason: Option<SuppressionReason>, at: Timestamp) -> Value {
    let said =
        Statement { at, source: StatementSource::Operator, region: PEERS[0].to_owned(), id: "1".to_owned() };
    let state = reason.map_or_else(
        || SuppressionState::from_release(said.clone()),
        |reason| SuppressionState::from_reason(reason, said.clone()),
    );
    let spellings = [address].into_iter().collect();
    let change = StateChange { address: address.to_owned(), spellings, state };
    let known = AddressState::join_change(None, &change, at).expect("new");
    let written = ApplyAttempt::Written { reason, enabled: true };
    json!(known.record_attempt(known.version(), written, at))
}

impl Reconcile {
    fn new(lab: &Lab) -> Self {
        let known = days_ago(18);
        let decided_at = timestamp(known);
        let missed_at = timestamp(days_ago(5)).to_string();
        Self {
            items: vec![
                state("stays@example.com", Some(SuppressionReason::Bounce), decided_at),
                state("went@example.com", Some(SuppressionReason::Bounce), decided_at),
                state("went.too@example.com", Some(SuppressionReason::Complaint), decided_at),
                state("back@example.com", None, decided_at),
                super::decide::bounced(lab, &missed_at, "missed@example.com"),
            ],
            list: vec![
                ("stays@example.com", Listed::Bounce, known),
                // Older than its release.
                ("back@example.com", Listed::Bounce, days_ago(19)),
                ("One@example.com", Listed::Bounce, days_ago(27)),
                ("one@example.com", Listed::Complaint, days_ago(26)),
                ("two@example.com", Listed::Bounce, days_ago(25)),
                ("three@example.com", Listed::Complaint, days_ago(24)),
            ],
        }
    }
}

impl Scenario for Reconcile {
    const FUNCTION: &'static str = "reconcile";

    fn variables(&self, place: &Place) -> Vec<(&'static str, String)> {
        let mut variables = policy_and_peers(place);
        let own = [("PUT_BACK", "false"), ("GONE_SHARE_PERCENT", "10"), ("REQUESTS_PER_SECOND", "1000")];
        variables.extend(own.map(|(name, value)| (name, value.to_owned())));
        variables
    }

    async fn prepare(&self, place: &Place) {
        for item in &self.items {
            place.put(item).await;
        }
        let entries = self.list.iter().map(|(spelling, reason, at)| (*spelling, Entry::new(*reason, *at)));
        place.ses.seed(REGION, entries);
    }

    /// As the schedule wakes it.
    fn event(&self) -> Value {
        json!({})
    }

    /// Passed, looked back, and told every peer all that came of it.
    async fn is_done(&self, place: &Place) -> bool {
        let notes = place.notes().await;
        let last = |note: &str| !notes.get(note).is_none_or(|note| note["last"].is_null());
        let changed = place.states().await.iter().map(AddressState::last_joined_at).max();
        let told = |peer: &&str| {
            let until = notes.get(&format!("peer-{peer}")).and_then(|note| note["until"].as_str());
            until.and_then(Timestamp::parse) >= changed
        };
        last("reconcile") && last("records") && PEERS.iter().all(told)
    }

    async fn outcome(&self, place: &Place) -> Value {
        json!({
            "states": place.outcome_of_states().await,
            "list": place.outcome_of_list(),
            "told": place.outcome_of_queues().await,
            "notes": place.notes().await.keys().collect::<Vec<_>>(),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_finds_what_it_would_have_found_and_every_peer_is_told() {
    let lab = Lab::start().await;
    let (kills, outcome) = kill_everywhere(&lab, &Reconcile::new(&lab)).await;
    assert!(kills >= 100, "{kills}");
    let states = outcome["states"].as_object().expect("states");
    let brief = |address: &str| {
        let state = &states[address];
        json!([state["applied"], state["pending"]])
    };
    for (address, expected) in [
        ("stays@example.com", json!([["bounce", false], false])),
        ("went@example.com", json!([[null, true], false])),
        ("went.too@example.com", json!([[null, true], false])),
        ("back@example.com", json!([[null, false], true])),
        ("one@example.com", json!([["complaint", false], false])),
        ("two@example.com", json!([["bounce", false], false])),
        ("three@example.com", json!([["complaint", false], false])),
        ("missed@example.com", json!([null, true])),
    ] {
        assert_eq!(brief(address), expected, "{address}");
    }
    // As the local SES pages them.
    assert_eq!(states["one@example.com"]["spellings"], json!(["One@example.com", "one@example.com"]));
    assert_eq!(outcome["list"].as_object().map(serde_json::Map::len), Some(6), "reconcile never writes it");
    for peer in PEERS {
        let told = outcome["told"][peer].as_object().expect("told");
        assert_eq!(told.len(), states.len(), "{peer}");
        for (address, state) in told {
            assert_eq!(*state, states[address]["state"], "{peer}: {address}");
        }
    }
}
