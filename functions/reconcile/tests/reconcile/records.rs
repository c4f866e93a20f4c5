//! Records that the stream has lost.

use std::time::Duration;

use doubles::{Fuse, sqs_event};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::SqsBatchResponse;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::address::Address;
use mailroom_core::record::TableItem;
use mailroom_core::suppression::delivery::LatestDelivery;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::{SuppressionReason, SuppressionState};
use mailroom_core::timestamp::Timestamp;
use reconcile::handler::{
    AbandonedRecordsError, LookBackCounts, ReconcileError, ReconcileEvent, ReconcileRequest,
    ReconcileResponse, ReconcileRunOutcome,
};
use serde_json::{Value, json};

use crate::world::{A_WHILE, Region, WAKE, regions, settle};

/// Records whose stream records were lost: in the table, and nobody has decided on them.
fn bounce(address: &str, event: u32, kind: &str, at: Timestamp) -> Value {
    let (bounce_type, subtype) =
        if kind == "bounce" { ("Permanent", "General") } else { ("Transient", "MailboxFull") };
    json!({
        "pk": format!("ADDR#{address}"), "sk": format!("FEEDBACK#{at}#bounce#{event}#event"),
        "kind": "bounce", "format": "event", "event_id": format!("{event}"), "occurred_at": at, "sent_at": at, "decidable": kind,
        "recipient": address, "address": address, "bounce_type": bounce_type, "bounce_subtype": subtype,
    })
}

/// A record that an earlier version took for evidence: its subtype says that it is none.
fn of_an_earlier_version(mut record: Value, subtype: &str) -> Value {
    record["bounce_subtype"] = json!(subtype);
    record
}

#[tokio::test]
async fn what_the_stream_has_lost_is_decided_on_late() {
    let (home, peer) = regions();
    let at = home.clock.now();
    let day = |n: u64| at.plus(Duration::from_hours(24 * n));
    let decision = |address: &str, suppress, at| {
        let address = Address::parse(address).unwrap();
        let nothing = SuppressionState::default();
        let decision = OperatorDecision::new(&address, suppress, "ops", "ticket", at, &nothing, "");
        serde_json::to_value(decision).unwrap()
    };
    let records = [
        bounce("gone@example.com", 1, "bounce", day(2)),
        bounce("full@example.com", 2, "transient", day(0)),
        bounce("full@example.com", 3, "transient", day(0).plus(Duration::from_secs(1))),
        bounce("full@example.com", 4, "transient", day(1)),
        bounce("full@example.com", 5, "transient", day(2)),
        bounce("full@example.com", 6, "transient", day(3)),
        bounce("slow@example.com", 7, "transient", day(3)),
        bounce("known@example.com", 8, "bounce", day(3)),
        bounce("freed@example.com", 9, "bounce", day(3)),
        of_an_earlier_version(bounce("left@example.com", 10, "bounce", day(3)), "UnsubscribedRecipient"),
        of_an_earlier_version(bounce("away@example.com", 11, "transient", day(0)), "General"),
        of_an_earlier_version(bounce("away@example.com", 12, "transient", day(1)), "General"),
        of_an_earlier_version(bounce("away@example.com", 13, "transient", day(2)), "General"),
        of_an_earlier_version(bounce("away@example.com", 14, "transient", day(3)), "General"),
        bounce("away@example.com", 15, "transient", day(4)),
        bounce("fine@example.com", 16, "transient", day(0)),
        bounce("fine@example.com", 17, "transient", day(0).plus(Duration::from_secs(1))),
        bounce("fine@example.com", 18, "transient", day(1)),
        bounce("fine@example.com", 19, "transient", day(2)),
        bounce("fine@example.com", 20, "transient", day(4)),
        serde_json::to_value(LatestDelivery::new("fine@example.com", "fine@example.com", "d", day(3)))
            .unwrap(),
        decision("freed@example.com", None, day(4)),
        decision("unwanted@example.com", Some(SuppressionReason::Complaint), day(4)),
        json!({"pk": "ADDR#odd@example.com", "sk": "FEEDBACK#x", "decidable": "bounce", "occurred_at": day(4)}),
        json!({"pk": "ADDR#gone@example.com", "sk": "FEEDBACK#y", "kind": "delivery", "occurred_at": day(4)}),
    ];
    let records: Vec<_> = records.into_iter().map(Stored::new).collect();
    assert!(home.table.append(&records, Deadline::after(Duration::ZERO)).await.is_empty());
    home.clock.set(day(5));
    home.suppress("known@example.com", SuppressionReason::Bounce);
    home.suppress("freed@example.com", SuppressionReason::Bounce);
    home.release("freed@example.com");
    let before = home.table.states();
    home.clock.advance(A_WHILE);
    let looked_back = |done| match done {
        Ok(ReconcileRunOutcome::Completed { look_back_counts: looked_back, .. }) => looked_back,
        other => panic!("{other:?}"),
    };
    let done = looked_back(home.wake(WAKE, 900).await);
    assert_eq!((done.decidable_records, done.unreadable_records), (22, 1));
    assert!(done.records_decided >= 3, "{done:?}");
    settle(&home, &peer).await;
    let wanted = [
        ("full@example.com", Some(SuppressionReason::Bounce)),
        ("gone@example.com", Some(SuppressionReason::Bounce)),
        ("known@example.com", Some(SuppressionReason::Bounce)),
        ("unwanted@example.com", Some(SuppressionReason::Complaint)),
    ];
    let mut effective = peer.effective();
    effective.retain(|_, reason| reason.is_some());
    assert_eq!(effective, wanted.map(|(address, reason)| (address.to_owned(), reason)).into());
    assert_eq!(peer.listed(), wanted.map(|(address, reason)| (address.to_owned(), reason.unwrap())).into());
    for state in before {
        assert_eq!(home.state(state.address()).unwrap().state(), state.state());
    }
    // Once a week, or when an operator asks; what is known changes nothing.
    home.clock.advance(A_WHILE);
    assert_eq!(looked_back(home.wake(WAKE, 900).await).decidable_records, 0);
    home.clock.advance(A_WHILE);
    let done = looked_back(home.wake(ReconcileRequest { start_look_back: true, ..WAKE }, 900).await);
    assert_eq!((done.decidable_records, done.records_decided), (22, 0));
}

/// A bounce of just before a release, and one of just after: it does not matter whether the Region knows of the release when
/// it looks back.
#[tokio::test]
async fn a_bounce_that_is_found_late_counts_from_its_own_time() {
    let (home, peer) = regions();
    let second = |seconds: u64| home.clock.now().plus(Duration::from_secs(seconds));
    let records: Vec<_> = [
        ("before-known@example.com", 59),
        ("before-unknown@example.com", 59),
        ("after-known@example.com", 61),
        ("after-unknown@example.com", 61),
    ]
    .into_iter()
    .map(|(address, seconds)| Stored::new(bounce(address, 1, "bounce", second(seconds))))
    .collect();
    assert!(home.table.append(&records, Deadline::after(Duration::ZERO)).await.is_empty());
    home.clock.advance(Duration::from_mins(1));
    for address in ["before-known@example.com", "after-known@example.com"] {
        home.release(address);
    }
    for address in ["before-unknown@example.com", "after-unknown@example.com"] {
        peer.release(address);
    }
    home.clock.advance(Duration::from_hours(2));
    settle(&home, &peer).await;
    settle(&home, &peer).await;
    let expected = [
        ("after-known@example.com", Some(SuppressionReason::Bounce)),
        ("after-unknown@example.com", Some(SuppressionReason::Bounce)),
        ("before-known@example.com", None),
        ("before-unknown@example.com", None),
    ];
    assert_eq!(home.effective(), expected.map(|(address, reason)| (address.to_owned(), reason)).into());
    assert_eq!((home.effective(), home.listed()), (peer.effective(), peer.listed()));
}

/// A scan dies after any effect; the next one finds what it had not decided on.
#[tokio::test]
async fn a_look_back_that_dies_goes_on() {
    for effects in 0..20 {
        let (home, _) = regions();
        let names: Vec<_> = (0..7).map(|n| format!("user{n}@example.com")).collect();
        let records = names.iter().map(|name| Stored::new(bounce(name, 1, "bounce", home.clock.now())));
        assert!(
            home.table.append(&records.collect::<Vec<_>>(), Deadline::after(Duration::ZERO)).await.is_empty()
        );
        home.clock.advance(Duration::from_hours(2));
        let fuse = Fuse::default();
        let function = home.function(&fuse);
        fuse.set(effects);
        fuse.run(function.handle_request(WAKE, "dies", Deadline::after(Duration::from_mins(15)))).await;
        home.pass().await;
        assert!(home.effective().keys().eq(&names), "{effects}");
    }
}

/// What Lambda puts into the queue when decide has failed too often.
fn failure(arrived_at: Timestamp) -> Value {
    json!({
        "requestContext": {"requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81", "condition": "RetryAttemptsExhausted",
            "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:decide", "approximateInvokeCount": 51},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": arrived_at.plus(Duration::from_mins(40)),
        "DDBStreamBatchInfo": {
            "shardId": "shardId-00000001573689847184-864758bb",
            "startSequenceNumber": "800000000003126276362", "endSequenceNumber": "800000000003126276362",
            "approximateArrivalOfFirstRecord": arrived_at, "approximateArrivalOfLastRecord": arrived_at,
            "batchSize": 1,
            "streamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/table/stream/2026-11-14T00:04:06.388",
        },
    })
}

async fn give_up(region: &Region, bodies: &[String]) -> Result<ReconcileResponse, ReconcileError> {
    let payload = sqs_event(bodies.iter().enumerate()).to_string();
    let event = ReconcileEvent::parse(&payload).unwrap();
    region
        .function(&Fuse::default())
        .handle_event(event, "another", Deadline::after(Duration::from_mins(1)))
        .await
}

/// As the schedule does, for so long; what came of looking back, each time that it was done.
async fn wakes(region: &Region, minutes: u64) -> Vec<LookBackCounts> {
    let mut looked_back = Vec::new();
    for _ in 0..minutes / 5 {
        region.clock.advance(Duration::from_mins(5));
        match region.wake(WAKE, 240).await.unwrap() {
            ReconcileRunOutcome::Completed { look_back_counts: done, .. } => looked_back.push(done),
            ReconcileRunOutcome::Busy => panic!("held"),
        }
    }
    looked_back.retain(|done| *done != LookBackCounts::default());
    looked_back
}

async fn append(region: &Region, records: impl IntoIterator<Item = Value>) {
    let records: Vec<_> = records.into_iter().map(Stored::new).collect();
    assert!(region.table.append(&records, Deadline::after(Duration::ZERO)).await.is_empty());
}

/// Nothing is looked for in the days between two look-backs, unless decide says that it has given up.
#[tokio::test]
async fn what_decide_gave_up_is_decided_on_within_an_hour() {
    let (home, _) = regions();
    wakes(&home, 5).await;
    home.clock.advance(Duration::from_hours(1));
    let at = home.clock.now();
    append(
        &home,
        [
            bounce("gone@example.com", 1, "bounce", at),
            bounce("new@example.com", 2, "bounce", at.plus(A_WHILE)),
        ],
    )
    .await;
    assert_eq!(wakes(&home, 20).await, []);
    assert_eq!(
        give_up(&home, &[failure(at).to_string()]).await,
        Ok(ReconcileResponse::Batch(SqsBatchResponse::default()))
    );
    assert_eq!(home.counted("BatchesGivenUp"), 1);
    let found = wakes(&home, 60).await;
    // It is younger than an hour, and the other one is still decide's.
    assert_eq!(
        found.iter().map(|done| (done.decidable_records, done.records_decided)).collect::<Vec<_>>(),
        [(2, 1)]
    );
    assert!(home.effective().keys().eq(["gone@example.com"]));
    assert_eq!(wakes(&home, 600).await, [], "once is enough");
}

/// In an outage decide gives up one record after the other, each with a message of its own, and a look-back reads the whole
/// table.
#[tokio::test]
async fn an_outage_of_hours_is_a_look_back_every_half_hour_and_loses_nobody() {
    let (home, _) = regions();
    wakes(&home, 5).await;
    let mut look_backs = 0;
    for n in 0..36 {
        let at = home.clock.now();
        append(&home, [bounce(&format!("user{n:02}@example.com"), n, "bounce", at)]).await;
        // At least once each.
        let bodies = [failure(at).to_string(), failure(at).to_string()];
        give_up(&home, &bodies).await.unwrap();
        look_backs += wakes(&home, 5).await.len();
    }
    look_backs += wakes(&home, 60).await.len();
    assert_eq!(home.effective().len(), 36);
    assert!((6..=8).contains(&look_backs), "{look_backs}");
}

#[tokio::test]
async fn a_message_that_does_not_say_when_is_a_sign_all_the_same() {
    for body in ["", "{}", r#"{"DDBStreamBatchInfo":{"approximateArrivalOfLastRecord":"soon"}}"#] {
        let (home, _) = regions();
        wakes(&home, 5).await;
        append(&home, [bounce("gone@example.com", 1, "bounce", home.clock.now())]).await;
        give_up(&home, &[body.to_owned()]).await.unwrap();
        wakes(&home, 60).await;
        assert!(home.effective().keys().eq(["gone@example.com"]), "{body}");
    }
}

#[tokio::test]
async fn what_is_not_noted_comes_back() {
    let (home, _) = regions();
    home.table.fail_notes(Some("given-up"));
    let failed = give_up(&home, &[failure(home.clock.now()).to_string()]).await;
    assert!(
        matches!(failed, Err(ReconcileError::AbandonedRecords(AbandonedRecordsError::Table(_)))),
        "{failed:?}"
    );
    home.table.fail_notes(None);
    assert!(give_up(&home, &[]).await.is_ok());
    assert!(ReconcileEvent::parse("[]").is_err());
    assert!(matches!(
        ReconcileEvent::parse(r#"{"pass": true}"#),
        Ok(ReconcileEvent::Request(ReconcileRequest { start_pass: true, .. }))
    ));
}

/// A record as it lies in the table.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Stored {
    record: Value,
    #[serde(skip)]
    key: (String, String),
}

impl Stored {
    fn new(record: Value) -> Self {
        let [pk, sk] = ["pk", "sk"].map(|name| record[name].as_str().unwrap().to_owned());
        Self { record, key: (pk, sk) }
    }
}

impl TableItem for Stored {
    fn key(&self) -> (&str, &str) {
        (&self.key.0, &self.key.1)
    }
}
