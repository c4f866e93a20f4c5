//! The handler with its ports in memory: what is recorded of a mail, and what comes back because the mail is not there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use doubles::{MemoryDeadLetters, MemoryMetrics, MemoryObjects, MemoryTable, sqs_event};
use inbound::handler::InboundFunction;
use inbound::settings::Settings;
use mailroom_aws::dead_letters::DeadLetterError;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{InvocationError, SqsBatchResponse};
use mailroom_aws::objects::ObjectError;
use mailroom_core::inbound::{DispositionPolicy, MailStore, ObjectFacts, ObjectLocation};
use mailroom_core::ownership::StackScope;
use mailroom_core::record::Retention;
use serde_json::{Value, json};

const MAIL: &[u8] = b"From: Ann <ann@example.org>\r\nTo: box@example.com\r\nSubject: Hello\r\n\
    Message-ID: <1@example.org>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nHi\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\r\n%PDF\r\n--b--\r\n";

type Function = InboundFunction<MemoryTable, MemoryObjects, MemoryDeadLetters, MemoryMetrics>;

fn function() -> Function {
    InboundFunction {
        table: MemoryTable::default(),
        objects: MemoryObjects::default(),
        dead_letters: MemoryDeadLetters::default(),
        metrics: MemoryMetrics::default(),
        settings: Settings {
            stack_scope: StackScope {
                account: "123456789012".to_owned(),
                region: "us-east-1".to_owned(),
                topic_arn: None,
            },
            mail_store: MailStore { bucket: "local-mail".to_owned(), prefix: "mail/".to_owned() },
            disposition_policy: DispositionPolicy::default(),
            retention: Retention::default(),
        },
    }
}

async fn handle(function: &Function, payload: &Value) -> Result<SqsBatchResponse, InvocationError> {
    function.handle(&payload.to_string(), Deadline::after(std::time::Duration::from_secs(5))).await
}

fn at(key: &str) -> ObjectLocation {
    ObjectLocation { bucket: "local-mail".to_owned(), key: key.to_owned() }
}

fn facts() -> ObjectFacts {
    ObjectFacts {
        bucket_region: "eu-west-1".to_owned(),
        version_id: Some("v1".to_owned()),
        etag: Some("\"etag\"".to_owned()),
        size: u64::try_from(MAIL.len()).ok(),
        server_side_encryption: Some("AES256".to_owned()),
        ..ObjectFacts::default()
    }
}

fn mail(id: &str) -> Value {
    json!({"timestamp": "2026-11-23T09:15:27.123Z", "source": "ann@example.org", "messageId": id, "destination": ["box@example.com"]})
}

/// The Lambda action's event.
fn event(id: &str, recipients: &[&str]) -> Value {
    let pass = json!({"status": "PASS"});
    json!({"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {
        "mail": mail(id),
        "receipt": {"timestamp": "2026-11-23T09:15:27.123Z", "recipients": recipients,
            "spamVerdict": pass, "virusVerdict": pass, "spfVerdict": pass, "dkimVerdict": pass, "dmarcVerdict": pass,
            "action": {"type": "Lambda", "invocationType": "Event",
                "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:inbound"}},
    }}]})
}

/// The SNS action's notification, by a queue.
fn inline(id: &str, content: &str) -> Value {
    let said = json!({"notificationType": "Received", "mail": mail(id), "content": content,
        "receipt": {"recipients": ["box@example.com"], "action": {"type": "SNS", "encoding": "UTF8",
            "topicArn": "arn:aws:sns:us-east-1:123456789012:mail"}}});
    sqs_event([("id-0", said.to_string())])
}

#[tokio::test]
async fn a_mail_is_a_record_for_each_recipient_that_says_where_it_lies() {
    let function = function();
    function.objects.insert(&at("mail/m-1"), facts(), MAIL.to_vec());
    handle(&function, &event("m-1", &["Box@Example.com", "other@example.com"])).await.unwrap();
    let records = function.table.records();
    assert_eq!(records.len(), 2);
    let record = &records[0];
    assert_eq!(record["pk"], "MAILBOX#box@example.com");
    assert_eq!(record["sk"], "INBOUND#2026-11-23T09:15:27.123Z#m-1");
    assert_eq!(record["disposition"], "clean");
    assert_eq!(record["subject"], "Hello");
    assert_eq!(
        record["reference"],
        json!({
            "bucket": "local-mail", "bucket_region": "eu-west-1", "key": "mail/m-1", "version_id": "v1", "etag": "\"etag\"",
            "size": MAIL.len(), "encryption": "sse-s3", "crosses_regions": true,
        })
    );
    assert_eq!(record["structure"]["read"], "complete");
    assert_eq!(
        record["structure"]["attachments"],
        json!([{"name": "a.pdf", "type": "application/pdf", "size": 4}])
    );
}

#[tokio::test]
async fn the_same_mail_again_is_the_same_record() {
    let function = function();
    function.objects.insert(&at("mail/m-1"), facts(), MAIL.to_vec());
    handle(&function, &event("m-1", &["box@example.com"])).await.unwrap();
    let once = function.table.records();
    for _ in 0..3 {
        handle(&function, &event("m-1", &["box@example.com"])).await.unwrap();
    }
    assert_eq!(function.table.records(), once);
}

#[tokio::test]
async fn a_mail_that_is_not_there_is_no_record_and_is_tried_again() {
    let errors = [
        ObjectError::ObjectNotFound,
        ObjectError::BucketNotFound,
        ObjectError::Denied,
        ObjectError::Unavailable("SlowDown".to_owned()),
    ];
    for error in errors {
        let function = function();
        function.objects.refuse(&at("mail/m-1"), error.clone());
        let failed = handle(&function, &event("m-1", &["box@example.com"])).await.unwrap_err();
        assert_eq!(failed.to_string(), "1 of 1 messages failed; see the log", "{error}");
        assert!(function.table.records().is_empty(), "{error}");
        function.objects.insert(&at("mail/m-1"), facts(), MAIL.to_vec());
        handle(&function, &event("m-1", &["box@example.com"])).await.unwrap();
        assert_eq!(function.table.records().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_recorded_and_says_so() {
    let function = function();
    let encrypted = ObjectFacts {
        metadata: [
            ("x-amz-key-v2".to_owned(), "AQID".to_owned()),
            ("x-amz-wrap-alg".to_owned(), "kms".to_owned()),
        ]
        .into(),
        ..facts()
    };
    function.objects.insert(&at("mail/m-1"), encrypted, b"\x00\x01ciphertext".to_vec());
    function.objects.insert(&at("mail/m-2"), facts(), b"\x00\x01nonsense".to_vec());
    function.objects.insert(&at("mail/m-3"), ObjectFacts { size: Some(0), ..facts() }, Vec::new());
    for id in ["m-1", "m-2", "m-3"] {
        handle(&function, &event(id, &["box@example.com"])).await.unwrap();
    }
    let records = function.table.records();
    let unreadable: Vec<_> =
        records.iter().map(|record| record["structure"]["unreadable"].as_str().unwrap()).collect();
    assert_eq!(unreadable, ["encrypted on the client's side", "not a mail", "empty"]);
    assert_eq!(records[0]["reference"]["encryption"], "client-kms");
}

#[tokio::test]
async fn only_the_start_of_a_long_mail_is_read() {
    let function = function();
    let long = [MAIL, "x".repeat(65_536).as_bytes()].concat();
    for (id, mail, read) in [("m-1", MAIL.to_vec(), "complete"), ("m-2", long, "truncated")] {
        let size = Some(mail.len() as u64);
        function.objects.insert(&at(&format!("mail/{id}")), ObjectFacts { size, ..facts() }, mail);
        handle(&function, &event(id, &["box@example.com"])).await.unwrap();
        assert_eq!(function.table.records().last().unwrap()["structure"]["read"], read, "{id}");
    }
}

/// Every record refers to S3; a second version of the same mail would make another record.
#[tokio::test]
async fn inline_content_is_stored_first_and_once() {
    let function = function();
    let content = std::str::from_utf8(MAIL).unwrap();
    for _ in 0..2 {
        assert_eq!(handle(&function, &inline("m-1", content)).await.unwrap(), SqsBatchResponse::default());
    }
    assert_eq!(function.objects.content(&at("mail/m-1")).unwrap(), MAIL);
    let records = function.table.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["reference"]["key"], "mail/m-1");
    assert_eq!(records[0]["reference"]["version_id"], Value::Null);
    // A bucket that can't be written to is no reason to point nowhere.
    function.objects.refuse(&at("mail/m-2"), ObjectError::Denied);
    assert_eq!(handle(&function, &inline("m-2", content)).await.unwrap().batch_item_failures.len(), 1);
    assert_eq!(function.table.records().len(), 1);
}

#[tokio::test]
async fn a_mail_to_a_hundred_recipients_is_a_hundred_records() {
    let function = function();
    function.objects.insert(&at("mail/m-1"), facts(), MAIL.to_vec());
    let recipients: Vec<_> = (0..100).map(|n| format!("user{n}@example.com")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    handle(&function, &event("m-1", &recipients)).await.unwrap();
    assert_eq!(function.table.records().len(), 100);
}

#[tokio::test]
async fn feedback_and_foreign_receipts_are_dead_letters() {
    let function = function();
    let feedback = sqs_event([(
        "id-0",
        r#"{"eventType":"Send","mail":{"messageId":"m","destination":["a@example.com"],"timestamp":"2026-01-01T00:00:00Z"}}"#,
    )]);
    assert_eq!(handle(&function, &feedback).await.unwrap(), SqsBatchResponse::default());
    let mut foreign = event("m-1", &["box@example.com"]);
    foreign["Records"][0]["ses"]["receipt"]["action"]["functionArn"] =
        json!("arn:aws:lambda:us-east-1:333333333333:function:inbound");
    assert_eq!(handle(&function, &foreign).await.unwrap(), SqsBatchResponse::default());
    assert!(handle(&function, &event("AMAZON_SES_SETUP_NOTIFICATION", &["box@example.com"])).await.is_ok());
    assert!(function.table.records().is_empty());
    assert_eq!(function.metrics.get("MessagesIgnored"), 1);
    let letters = function.dead_letters.letters();
    assert_eq!(letters[0].body, feedback["Records"][0]["body"]);
    assert_eq!(letters[1].reason.to_string(), "receipt.action: another AWS account");
    // An event that no queue will bring again fails until it lies in one.
    function.dead_letters.fail(Some(DeadLetterError::Unavailable("InternalError".to_owned())));
    assert!(handle(&function, &foreign).await.is_err());
}

/// Lambda tries an event three times in three minutes, and then puts it into the function's queue, which brings it for
/// days.
#[tokio::test]
async fn an_event_that_lambda_has_given_up_comes_back_from_the_queue_until_the_mail_is_there() {
    let function = function();
    let body = event("m-1", &["box@example.com"]).to_string();
    let given_up = json!({"Records": [{"eventSource": "aws:sqs", "messageId": "id-0", "body": body,
        "messageAttributes": {"ErrorCode": {"stringValue": "200", "dataType": "Number"}}}]});
    let response = handle(&function, &given_up).await.unwrap();
    assert_eq!(response.batch_item_failures.len(), 1);
    assert_eq!((function.dead_letters.letters().len(), function.metrics.get("MessagesReturned")), (0, 1));
    function.objects.insert(&at("mail/m-1"), facts(), MAIL.to_vec());
    assert_eq!(handle(&function, &given_up).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(function.table.records().len(), 1);
}

/// What Lambda hands over has no body: the dead letter is a payload of its own, which is read when a queue brings it again.
#[tokio::test]
async fn a_malformed_event_is_a_dead_letter_and_not_a_failed_invocation() {
    let function = function();
    let mut malformed = event("m-1", &["box@example.com"]);
    malformed["Records"][0]["ses"]["mail"]["messageId"] = Value::Null;
    assert_eq!(handle(&function, &malformed).await.unwrap(), SqsBatchResponse::default());
    let [letter] = &function.dead_letters.letters()[..] else { panic!() };
    assert_eq!(letter.reason.to_string(), "ses.mail.messageId: missing or empty");
    assert_eq!(serde_json::from_str::<Value>(&letter.body).unwrap(), malformed);
    let again = sqs_event([("id-0", &letter.body)]);
    assert_eq!(handle(&function, &again).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(function.dead_letters.letters()[1].body, letter.body);
}

#[tokio::test]
async fn service_events_are_acknowledged_and_counted() {
    let function = function();
    let payload = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../events/inbound/ignored-service-event.json"
    ));
    let payload: Value = serde_json::from_str(&payload.unwrap()).unwrap();
    assert_eq!(handle(&function, &payload).await.unwrap(), SqsBatchResponse::default());
    assert_eq!(["MessagesIgnored", "ServiceEvents"].map(|name| function.metrics.get(name)), [1, 1]);
}
