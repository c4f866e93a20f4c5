//! apply: single calls, and import jobs that put and that delete.

use std::collections::BTreeSet;

use local_ses::suppression::{Entry, Reason as Listed};
use mailroom_core::suppression::{
    AddressState, StateChange, Statement, StatementSource, SuppressionReason, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};
use time::macros::datetime;

use super::place::{BUCKET, Lab, PEERS, Place, REGION};
use super::{Scenario, kill_everywhere};

struct Apply {
    requests_per_second: &'static str,
    states: Vec<AddressState>,
    /// On the list before.
    list: Vec<(String, Listed)>,
}

/// That somebody elsewhere decided so, of an address in these spellings.
fn pending(reason: Option<SuppressionReason>, spellings: &[&str]) -> AddressState {
    let at = Timestamp::parse("2026-11-20T12:00:00Z").expect("a time");
    let said =
        Statement { at, source: StatementSource::Operator, region: PEERS[0].to_owned(), id: "1".to_owned() };
    let state = reason.map_or_else(
        || SuppressionState::from_release(said.clone()),
        |reason| SuppressionState::from_reason(reason, said.clone()),
    );
    let address = spellings[0].to_lowercase();
    let spellings = spellings.iter().copied().collect();
    let change = StateChange { address, spellings, state };
    AddressState::join_change(None, &change, at).expect("new")
}

impl Scenario for Apply {
    const FUNCTION: &'static str = "apply";

    fn variables(&self, _: &Place) -> Vec<(&'static str, String)> {
        vec![
            ("REQUESTS_PER_SECOND", self.requests_per_second.to_owned()),
            ("TRANSIT_BUCKET", BUCKET.to_owned()),
            ("TRUST_ORIGIN", "false".to_owned()),
        ]
    }

    async fn prepare(&self, place: &Place) {
        place.note("first-pass", &json!({"ended_at": "2026-11-20T12:00:00.000Z"})).await;
        for state in &self.states {
            place.put(state).await;
        }
        let entry = |reason: &Listed| Entry::new(*reason, datetime!(2026-11-20 12:00 UTC));
        place.ses.seed(REGION, self.list.iter().map(|(spelling, reason)| (spelling.clone(), entry(reason))));
    }

    /// As the schedule wakes it.
    fn event(&self) -> Value {
        json!({})
    }

    async fn is_done(&self, place: &Place) -> bool {
        let intent = place
            .notes()
            .await
            .remove("import-job")
            .and_then(|mut note| note.get_mut("intent").map(Value::take));
        let pending = place.states().await.iter().any(AddressState::is_pending);
        !pending && intent.is_none_or(|intent| intent.is_null())
    }

    async fn outcome(&self, place: &Place) -> Value {
        // Whoever was killed may have planned a job that was never made; none is made twice.
        let jobs = place.ses.suppression(REGION, |list, now| list.jobs(now).to_vec());
        let objects: BTreeSet<_> = jobs.iter().map(|job| &job.import.source).collect();
        assert_eq!(objects.len(), jobs.len(), "{jobs:#?}");
        json!({
            "states": place.outcome_of_states().await,
            "list": place.outcome_of_list(),
            "by job": !jobs.is_empty(),
        })
    }
}

fn listed(list: &[(&str, Listed)]) -> Vec<(String, Listed)> {
    list.iter().map(|(spelling, reason)| ((*spelling).to_owned(), *reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_leave_the_list_as_the_states_say() {
    let apply = Apply {
        requests_per_second: "1000",
        states: vec![
            pending(Some(SuppressionReason::Bounce), &["New@example.com"]),
            pending(Some(SuppressionReason::Complaint), &["worse@example.com"]),
            pending(Some(SuppressionReason::Bounce), &["there@example.com"]),
            pending(None, &["Back@example.com", "BACK@example.com"]),
        ],
        list: listed(&[
            ("worse@example.com", Listed::Bounce),
            ("there@example.com", Listed::Bounce),
            ("Back@example.com", Listed::Complaint),
            ("BACK@example.com", Listed::Bounce),
            ("back@example.com", Listed::Bounce),
            ("other@example.com", Listed::Complaint),
        ]),
    };
    let lab = Lab::start().await;
    let (kills, outcome) = kill_everywhere(&lab, &apply).await;
    // The lease and its end, reads, three puts and three deletes, each state read before and written after.
    assert!(kills >= 45, "{kills}");
    let expected = json!({
        "New@example.com": "BOUNCE", "worse@example.com": "COMPLAINT", "there@example.com": "BOUNCE",
        "other@example.com": "COMPLAINT",
    });
    assert_eq!(outcome["list"], expected);
    assert_eq!(outcome["by job"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_job_that_puts_is_made_once_and_found_again() {
    let spellings: Vec<_> = (0..13).map(|n| format!("user{n}@example.com")).collect();
    let apply = Apply {
        // Twelve a minute go singly.
        requests_per_second: "0.2",
        states: spellings
            .iter()
            .map(|spelling| pending(Some(SuppressionReason::Bounce), &[spelling.as_str()]))
            .collect(),
        list: listed(&[("other@example.com", Listed::Complaint)]),
    };
    let lab = Lab::start().await;
    let (kills, outcome) = kill_everywhere(&lab, &apply).await;
    // Of the run that makes it: the lease, reads, the intent, the marks, the object, the try, the job, its id, reads, the end
    // of the lease. Of the one that finds it ended: as many.
    assert!(kills >= 80, "{kills}");
    let list = outcome["list"].as_object().expect("a list");
    assert_eq!((list.len(), &outcome["by job"]), (14, &json!(true)));
    assert!(spellings.iter().all(|spelling| list[spelling] == "BOUNCE"), "{list:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_job_that_deletes_leaves_no_spelling() {
    // Every way to write four letters, but for the last ones: with the match form that is 16 entries each.
    let variant = |address: &str, bits: u8| {
        let letter = |(index, letter): (usize, char)| {
            if index < 4 && bits & (1 << index) != 0 { letter.to_ascii_uppercase() } else { letter }
        };
        address.chars().enumerate().map(letter).collect::<String>()
    };
    let addresses = ["abcd1@example.com", "abcd2@example.com", "abcd3@example.com", "abcd4@example.com"];
    let spelled = |address: &&str| (1..16).map(|bits| variant(address, bits)).collect::<Vec<_>>();
    let state = |address: &&str| {
        let spellings = spelled(address);
        pending(None, &spellings.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut list = listed(&[("other@example.com", Listed::Complaint)]);
    for address in addresses {
        list.extend(spelled(&address).into_iter().map(|spelling| (spelling, Listed::Bounce)));
        list.push((address.to_owned(), Listed::Complaint));
    }
    let apply = Apply { requests_per_second: "1", states: addresses.iter().map(state).collect(), list };
    let lab = Lab::start().await;
    let (kills, outcome) = kill_everywhere(&lab, &apply).await;
    assert!(kills >= 65, "{kills}");
    assert_eq!(
        (&outcome["list"], &outcome["by job"]),
        (&json!({"other@example.com": "COMPLAINT"}), &json!(true))
    );
}
