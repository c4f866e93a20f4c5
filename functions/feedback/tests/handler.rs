//! The handler with its ports in memory: what is recorded, what comes back, what is logged of it.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::time::Duration;

use doubles::{MemoryDeadLetters, MemoryMetrics, MemoryTable, sqs_event};
use feedback::handler::FeedbackFunction;
use feedback::settings::{KindsNotStored, Settings};
use mailroom_aws::dead_letters::DeadLetterError;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{InvocationError, SqsBatchResponse};
use mailroom_core::feedback::Retention;
use mailroom_core::ownership::StackScope;
use serde_json::{Value, json};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/feedback");
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:local-feedback";

type Function = FeedbackFunction<MemoryTable, MemoryDeadLetters, MemoryMetrics>;

fn function() -> Function {
    FeedbackFunction {
        table: MemoryTable::default(),
        dead_letters: MemoryDeadLetters::default(),
        metrics: MemoryMetrics::default(),
        settings: Settings {
            stack_scope: StackScope {
                account: "123456789012".to_owned(),
                region: "us-east-1".to_owned(),
                topic_arn: Some(TOPIC.to_owned()),
            },
            retention: Retention::default(),
            kinds_not_stored: KindsNotStored::parse("send,delivery,open,click"),
            stores_deliveries: false,
        },
    }
}

async fn handle(function: &Function, payload: impl ToString) -> Result<SqsBatchResponse, InvocationError> {
    function.handle(&payload.to_string(), Deadline::after(Duration::from_mins(1))).await
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{SAMPLES}/{name}.json")).unwrap()
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

/// The reasons of the dead letters, in the order in which they were sent.
fn reasons(function: &Function) -> Vec<String> {
    function.dead_letters.letters().iter().map(|letter| letter.reason.to_string()).collect()
}

/// A permanent bounce of these recipients, told in SNS's envelope.
fn bounce(feedback_id: &str, recipients: &[&str]) -> String {
    let bounced: Vec<_> = recipients.iter().map(|address| json!({ "emailAddress": address })).collect();
    let said = json!({
        "eventType": "Bounce",
        "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": bounced,
            "timestamp": "2026-01-27T14:59:38.237Z", "feedbackId": feedback_id},
        "mail": {"messageId": "m", "timestamp": "2026-01-27T14:59:38.237Z", "destination": recipients,
            "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/example.com"},
    });
    json!({"Type": "Notification", "TopicArn": TOPIC, "Message": said.to_string()}).to_string()
}

fn batch(bodies: &[String]) -> Value {
    sqs_event(bodies.iter().enumerate().map(|(index, body)| (format!("id-{index}"), body)))
}

#[tokio::test]
async fn a_poison_message_is_a_dead_letter_at_once_and_costs_its_neighbours_nothing() {
    let function = function();
    let payload = sample("batch-good-and-bad");
    assert_eq!(handle(&function, &payload).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(function.table.records().len(), 3);
    let counted = ["Messages", "MessagesIgnored", "MessagesPoisoned", "MessagesReturned", "RecordsWritten"]
        .map(|n| function.metrics.get(n));
    assert_eq!(counted, [6, 1, 2, 0, 3]);
    let reasons = ["body: not JSON", "bounce.bouncedRecipients: missing or empty"];
    assert_eq!(self::reasons(&function), reasons);
    // Their bodies are what came, so that they can be sent through again.
    let payload: Value = serde_json::from_str(&payload).unwrap();
    for letter in function.dead_letters.letters() {
        let bodies = payload["Records"].as_array().unwrap().iter().map(|record| &record["body"]);
        assert_eq!(bodies.filter(|body| **body == letter.body).count(), 1);
    }
}

#[tokio::test]
async fn a_poison_message_comes_back_only_if_it_is_no_dead_letter() {
    let function = function();
    function.dead_letters.fail(Some(DeadLetterError::Unavailable("InternalError".to_owned())));
    let bodies = ["nonsense".to_owned(), bounce("1", &["a@example.com"])];
    assert_eq!(failed(&handle(&function, batch(&bodies)).await.unwrap()), ["id-0"]);
    assert_eq!(function.metrics.get("MessagesReturned"), 1);
    function.dead_letters.fail(None);
    assert_eq!(handle(&function, batch(&bodies)).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(function.dead_letters.letters()[0].body, "nonsense");
}

/// While its records are not durable a message comes back, and would be one dead letter more each time.
#[tokio::test]
async fn what_comes_back_is_no_dead_letter_yet() {
    let function = function();
    function.table.fail_keys(&["ADDR#a@example.com"]);
    let bodies = [bounce("1", &["a@example.com", "nobody"]), "nonsense".to_owned()];
    assert_eq!(failed(&handle(&function, batch(&bodies)).await.unwrap()), ["id-0"]);
    assert_eq!(reasons(&function), ["body: not JSON"]);
    function.table.fail_keys(&[]);
    assert_eq!(handle(&function, batch(&bodies[..1])).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(reasons(&function)[1], "bounce.bouncedRecipients[1].emailAddress: not an e-mail address");
}

/// A direct event that no retry can help is a dead letter, too, in a form that the queue can bring again; so is one that
/// Lambda has put into the queue because the invocation had failed.
#[tokio::test]
async fn a_direct_event_is_a_dead_letter_that_can_be_sent_through_again() {
    let function = function();
    let names = [
        "direct-sns-malformed-not-json",
        "direct-sns-bounce-permanent-general",
        "eventbridge-complaint-abuse",
    ];
    for name in names {
        let direct = sample(name);
        assert_eq!(handle(&function, &direct).await.unwrap(), SqsBatchResponse::default(), "{name}");
        let records = function.table.records();
        // As Lambda puts it into the queue.
        assert_eq!(handle(&function, batch(&[direct])).await.unwrap(), SqsBatchResponse::default(), "{name}");
        assert_eq!(function.table.records(), records, "{name}");
    }
    assert_eq!(function.table.records().len(), 2);
    assert_eq!(reasons(&function), ["Message: not JSON", "Records[0].Sns.Message: not JSON"]);
    let letter = function.dead_letters.letters()[0].body.clone();
    assert_eq!(
        handle(&function, batch(std::slice::from_ref(&letter))).await.unwrap(),
        SqsBatchResponse::default()
    );
    assert_eq!(function.dead_letters.letters()[2].body, letter);
}

#[tokio::test]
async fn what_decides_nothing_is_recorded_and_counted() {
    let function = function();
    for name in [
        "bounce-permanent-unsubscribed-recipient",
        "bounce-permanent-unknown-subtype",
        "bounce-auto-response",
        "identity-bounce-auto-response",
        "bounce-third-parties",
    ] {
        handle(&function, sample(name)).await.unwrap();
    }
    let counted = ["RecordsWritten", "RefusedBySes", "UnknownValues", "AutoResponses", "NotInDestination"]
        .map(|name| function.metrics.get(name));
    assert_eq!(counted, [8, 2, 1, 2, 3]);
    let decidable = function.table.records().iter().filter(|record| record["decidable"].is_string()).count();
    assert_eq!(decidable, 1);
}

#[tokio::test]
async fn an_odd_character_costs_no_message() {
    let function = function();
    let response = handle(&function, sample("batch-lone-surrogate-between-good")).await.unwrap();
    assert!(failed(&response).is_empty());
    assert_eq!(function.table.records().len(), 3);
}

#[tokio::test]
async fn service_events_are_acknowledged_and_counted() {
    let function = function();
    for name in [
        "eventbridge-ignored-advisor-open",
        "raw-ignored-advisor-resolved",
        "eventbridge-ignored-sending-status-disabled",
        "ignored-sending-status-enabled",
        "eventbridge-ignored-cloudtrail-api-call",
        "eventbridge-ignored-unknown-event",
        "ignored-topic-validated",
    ] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert_eq!(["MessagesIgnored", "ServiceEvents"].map(|name| function.metrics.get(name)), [7, 6]);
    for name in ["malformed-eventbridge-other-source", "malformed-eventbridge-bounce-without-mail"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert_eq!(function.dead_letters.letters().len(), 2);
    assert!(function.table.records().is_empty());
}

#[tokio::test]
async fn unknown_fields_are_stored_and_counted() {
    let function = function();
    for name in ["bounce-unknown-fields", "bounce-several-unknown-fields", "open-unknown-fields"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert_eq!(function.metrics.get("UnknownFields"), 4);
    let records = function.table.records();
    let extra = records.iter().filter_map(|record| record["extra"].as_str());
    assert_eq!(extra.count(), 4);
}

/// Of one destination it is a record that decides nothing, of several a notice: nobody knows whom it is about.
#[tokio::test]
async fn feedback_without_a_recipient_accuses_nobody() {
    let function = function();
    for name in ["bounce-without-recipients", "complaint-without-recipients"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    let records = function.table.records();
    assert_eq!(records.len(), 2);
    for record in records {
        assert_eq!(record["recipient_assumed"], true);
        assert!(record["evidence"].is_null() && record.get("decidable").is_none(), "{record}");
    }
    for name in ["ignored-bounce-without-recipients", "ignored-complaint-without-recipients"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert_eq!(["MessagesIgnored", "MessagesWithoutRecipient"].map(|n| function.metrics.get(n)), [2, 2]);
    assert_eq!(function.table.records().len(), 2);
}

#[tokio::test]
async fn received_mail_is_somebody_elses() {
    let received = json!({
        "notificationType": "Received", "mail": {"messageId": "m", "timestamp": "2026-01-27T14:59:38.237Z"},
        "receipt": {"recipients": ["a@example.com"], "action": {"type": "Stop"}},
    });
    let body =
        json!({"Type": "Notification", "TopicArn": TOPIC, "Message": received.to_string()}).to_string();
    let function = function();
    let response = handle(&function, batch(&[body, bounce("1", &["a@example.com"])])).await.unwrap();
    assert_eq!(response, SqsBatchResponse::default());
    assert_eq!((function.table.records().len(), function.metrics.get("MessagesPoisoned")), (1, 1));
    assert!(reasons(&function)[0].starts_with("notificationType: a mail that was received"));
}

#[tokio::test]
async fn exactly_the_messages_whose_records_are_not_durable_come_back() {
    let function = function();
    function.table.fail_keys(&["ADDR#b@example.com"]);
    let bodies = [
        bounce("1", &["a@example.com"]),
        bounce("2", &["b@example.com"]),
        bounce("3", &["a@example.com", "b@example.com"]),
        // The same event twice: one record, two messages that need it.
        bounce("2", &["b@example.com"]),
        bounce("4", &["c@example.com"]),
    ];
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert_eq!(failed(&response), ["id-1", "id-2", "id-3"]);
    assert_eq!(function.table.records().len(), 3);
    function.table.fail_keys(&[]);
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert!(failed(&response).is_empty());
    assert_eq!(function.table.records().len(), 5);
}

/// More records than are held at a time, and events that are told again after their records were appended.
#[tokio::test]
async fn a_large_batch_is_written_whole_and_fails_where_a_record_does() {
    let function = function();
    let address = |n: usize| format!("user{n}@example.com");
    let of = |message: usize| {
        let addresses: Vec<_> = (0..50).map(|r| address(message * 50 + r)).collect();
        bounce(&format!("f{message}"), &addresses.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut bodies: Vec<_> = (0..20).map(of).collect();
    bodies.extend([of(0), of(19), of(1)]);
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert_eq!(failed(&response), [""; 0]);
    assert_eq!((function.table.records().len(), function.metrics.get("RecordsNotWritten")), (1000, 0));

    let function = self::function();
    function.table.fail_keys(&["ADDR#user51@example.com", "ADDR#user999@example.com"]);
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert_eq!(failed(&response), ["id-1", "id-19", "id-21", "id-22"]);
    assert_eq!((function.table.records().len(), function.metrics.get("MessagesPoisoned")), (998, 0));
}

#[tokio::test]
async fn what_is_told_twice_is_written_once() {
    let function = function();
    handle(&function, sample("batch-same-notification-twice")).await.unwrap();
    assert_eq!(function.table.records().len(), 1);
    handle(&function, sample("batch-both-vocabularies")).await.unwrap();
    assert_eq!(function.table.records().len(), 3);
}

#[tokio::test]
async fn a_direct_event_fails_as_a_whole() {
    let function = function();
    let direct = sample("direct-sns-bounce-permanent-general");
    assert_eq!(handle(&function, &direct).await.unwrap(), SqsBatchResponse::default());
    let written = function.table.records();
    function.table.fail_keys(&[written[0]["pk"].as_str().unwrap()]);
    let error = handle(&function, &direct).await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 1 messages failed; see the log");
    function.dead_letters.fail(Some(DeadLetterError::Refused("AccessDenied".to_owned())));
    assert!(handle(&function, sample("direct-sns-malformed-not-json")).await.is_err());
    assert!(handle(&function, "{}").await.is_err());
}

#[tokio::test]
async fn errors_quote_nobody() {
    let error = handle(&function(), r#"{"Records": "jane@example.com"}"#).await.unwrap_err();
    assert_eq!(error.to_string(), "payload: Records: of the wrong type");
    assert!(!format!("{error:?}").contains("jane"));
}

#[tokio::test]
async fn kinds_that_are_not_stored_are_acknowledged() {
    let function = function();
    for name in ["send", "delivery", "open", "click", "identity-delivery"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert!(function.table.records().is_empty());
    assert_eq!(function.metrics.get("MessagesNotStored"), 5);
    handle(&function, sample("unknown-kind")).await.unwrap();
    assert_eq!(function.table.records().len(), 1);
    assert_eq!(function.metrics.get("UnknownValues"), 1);
}

#[tokio::test]
async fn what_is_not_ours_is_a_dead_letter() {
    let function = function();
    for name in ["malformed-another-account", "malformed-another-region", "malformed-foreign-topic"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert!(function.table.records().is_empty());
    let accounts = "mail.sendingAccountId, mail.sourceArn: another AWS account";
    let reasons = [accounts, "mail.sourceArn: another Region", "TopicArn: not this stack's topic"];
    assert_eq!(self::reasons(&function), reasons);
    // Sending authorization: their account sent it from our identity, or ours from theirs.
    for name in ["bounce-sending-authorization", "bounce-sent-as-delegate"] {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert_eq!(function.table.records().len(), 2);
}

/// Only SES can publish to the topic; whatever comes another way must say whose it is.
#[tokio::test]
async fn what_says_neither_account_nor_identity_must_come_by_our_topic() {
    let function = function();
    let names = [
        "raw-malformed-unidentified-bounce",
        "raw-malformed-unidentified-complaint",
        "bare-malformed-unidentified-bounce",
        "eventbridge-malformed-unidentified-bounce",
    ];
    for name in names {
        assert_eq!(handle(&function, sample(name)).await.unwrap(), SqsBatchResponse::default(), "{name}");
    }
    assert!(function.table.records().is_empty());
    let reason = "mail.sendingAccountId, mail.sourceArn: missing, and not by this stack's topic";
    assert_eq!(reasons(&function), [reason; 4]);
    let by_topic = sample("bounce-without-account-by-our-topic");
    assert_eq!(handle(&function, by_topic).await.unwrap(), SqsBatchResponse::default());
    assert_eq!((function.table.records().len(), reasons(&function).len()), (1, 4));
}

#[tokio::test]
async fn a_failure_that_cannot_be_named_fails_the_batch() {
    let nameless = json!({"Records": [{"eventSource": "aws:sqs", "body": "nonsense"}]});
    let function = function();
    assert_eq!(handle(&function, &nameless).await.unwrap(), SqsBatchResponse::default());
    function.dead_letters.fail(Some(DeadLetterError::Refused("AccessDenied".to_owned())));
    assert!(handle(&function, nameless).await.is_err());
}

/// A bad recipient makes its message a dead letter, and the others of the same message are recorded.
#[tokio::test]
async fn a_bad_recipient_is_a_dead_letter_beside_the_others_records() {
    let function = function();
    let response = handle(&function, batch(&[bounce("1", &["a@example.com", "nobody"])])).await.unwrap();
    assert_eq!(response, SqsBatchResponse::default());
    assert_eq!((function.table.records().len(), reasons(&function).len()), (1, 1));
}

/// A delivery to these recipients, told in SNS's envelope.
fn delivery(second: u32, recipients: &[&str]) -> String {
    let time = format!("2026-01-27T14:59:{second:02}.000Z");
    let said = json!({
        "eventType": "Delivery",
        "delivery": {"timestamp": time, "recipients": recipients, "smtpResponse": "250 ok"},
        "mail": {"messageId": format!("m-{second}"), "timestamp": time, "destination": recipients,
            "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/example.com"},
    });
    json!({"Type": "Notification", "TopicArn": TOPIC, "Message": said.to_string()}).to_string()
}

/// The keys and times of what is stored.
fn stored(function: &Function) -> Vec<[String; 3]> {
    let text = |record: &Value, name: &str| record[name].as_str().unwrap_or_default().to_owned();
    let records = function.table.records();
    records.iter().map(|record| ["pk", "sk", "occurred_at"].map(|name| text(record, name))).collect()
}

#[tokio::test]
async fn the_latest_delivery_to_each_address_is_kept_and_no_other() {
    let mut function = function();
    let bodies = [
        delivery(5, &["A@example.com", "b@example.com"]),
        delivery(9, &["a@example.com"]),
        delivery(7, &["a@example.com"]),
    ];
    assert_eq!(handle(&function, batch(&bodies)).await, Ok(SqsBatchResponse::default()));
    assert_eq!(stored(&function), [[""; 3]; 0], "SoftBounces=off");
    assert_eq!(function.metrics.get("MessagesNotStored"), 3);

    function.settings.stores_deliveries = true;
    let latest = |a: u32, b: u32| {
        [("a", a), ("b", b)].map(|(name, second)| {
            let time = format!("2026-01-27T14:59:{second:02}.000Z");
            [format!("ADDR#{name}@example.com"), "DELIVERED".to_owned(), time]
        })
    };
    assert_eq!(handle(&function, batch(&bodies)).await, Ok(SqsBatchResponse::default()));
    assert_eq!(stored(&function), latest(9, 5));
    // Both addresses were written once.
    assert_eq!(function.metrics.get("DeliveriesKept"), 2);
    // What comes late is no news.
    handle(&function, batch(&[delivery(8, &["a@example.com"]), delivery(6, &["b@example.com"])]))
        .await
        .unwrap();
    assert_eq!(stored(&function), latest(9, 6));
    // Records of deliveries are kept besides if they are asked for.
    function.settings.kinds_not_stored = KindsNotStored::default();
    handle(&function, batch(&bodies[..1])).await.unwrap();
    assert_eq!(stored(&function).len(), 4);
}

#[tokio::test]
async fn a_delivery_that_is_not_kept_comes_back() {
    let mut function = function();
    function.settings.stores_deliveries = true;
    function.table.fail_keys(&["ADDR#b@example.com"]);
    let bodies = [
        delivery(1, &["a@example.com"]),
        delivery(2, &["a@example.com", "b@example.com"]),
        // An earlier one of the same address is not known to be kept either.
        delivery(1, &["b@example.com"]),
        bounce("1", &["c@example.com"]),
    ];
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert_eq!(failed(&response), ["id-1", "id-2"]);
    let counted = ["DeliveriesKept", "DeliveriesNotKept", "RecordsWritten"].map(|n| function.metrics.get(n));
    assert_eq!(counted, [1, 1, 1]);
}

/// More deliveries than are held at a time.
#[tokio::test]
async fn many_deliveries_are_kept_and_fail_where_one_does() {
    let bodies: Vec<_> = (0..12)
        .map(|message| {
            let addresses: Vec<_> = (0..50).map(|r| format!("user{message}.{r}@example.com")).collect();
            delivery(0, &addresses.iter().map(String::as_str).collect::<Vec<_>>())
        })
        .collect();
    let mut function = function();
    function.settings.stores_deliveries = true;
    function.table.fail_keys(&["ADDR#user0.1@example.com", "ADDR#user11.49@example.com"]);
    let response = handle(&function, batch(&bodies)).await.unwrap();
    assert_eq!(failed(&response), ["id-0", "id-11"]);
    let counted = ["DeliveriesKept", "DeliveriesNotKept"].map(|name| function.metrics.get(name));
    assert_eq!(counted, [598, 2]);
}
