//! The feedback function's own binary under the largest payloads that Lambda delivers: how much memory it takes.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a test says what failed by panicking")]

use std::time::Duration;

use local_aws::paths;
use local_aws::runtime_api::{Outcome, Sandbox, Spec};
use local_aws::tls::TlsDynamoDb;
use serde_json::{Map, Value, json};

/// Lambda's quota on a payload ("Lambda quotas": 6 MB for a synchronous invocation, as event source mappings make).
const MAX_PAYLOAD: usize = 6 * 1024 * 1024;
/// Half of what the template gives the function.
const MAX_PEAK: u64 = 128 * 1024 * 1024;
/// The most messages of a batch of SQS.
const MAX_MESSAGES: usize = 10_000;

/// As many messages as fit into a payload; `message` makes the one with this number.
fn payload(message: impl Fn(usize) -> Value) -> Value {
    let mut left = MAX_PAYLOAD - 100;
    let records: Vec<Value> = (0..MAX_MESSAGES)
        .map(|n| json!({"messageId": format!("id-{n}"), "eventSource": "aws:sqs", "body": message(n).to_string()}))
        .take_while(|record| {
            let fits = left.checked_sub(record.to_string().len() + 1);
            left = fits.unwrap_or_default();
            fits.is_some()
        })
        .collect();
    json!({ "Records": records })
}

fn mail(n: usize, tags: &Value) -> Value {
    json!({"messageId": format!("m{n}"), "timestamp": "2026-07-01T08:00:00.000Z", "tags": tags,
           "sourceArn": "arn:aws:ses:us-east-1:123456789012:identity/x.eu", "sendingAccountId": "123456789012"})
}

/// A bounce of recipients that differ, each with this diagnostic text.
fn bounce(n: usize, recipients: usize, diagnostic: &str, tags: &Value) -> Value {
    let recipient = |r| {
        json!({"emailAddress": format!("user{r}.of.mail{n}@example.com"), "action": "failed", "status": "5.1.1",
               "diagnosticCode": diagnostic})
    };
    json!({
        "eventType": "Bounce",
        "bounce": {
            "bounceType": "Permanent", "bounceSubType": "General", "feedbackId": format!("f{n}"),
            "timestamp": "2026-07-01T08:00:04.000Z",
            "bouncedRecipients": (0..recipients).map(recipient).collect::<Vec<_>>(),
        },
        "mail": mail(n, tags),
    })
}

fn delivery(n: usize, recipients: usize) -> Value {
    let recipients: Vec<_> = (0..recipients).map(|r| format!("{n}.{r}@x.eu")).collect();
    json!({"eventType": "Delivery", "delivery": {"timestamp": "2026-07-01T08:00:04.000Z", "recipients": recipients},
           "mail": mail(n, &json!({}))})
}

#[tokio::test(flavor = "multi_thread")]
async fn no_payload_takes_more_than_128_mb() {
    let none = json!({});
    let tags: Map<_, _> =
        (0..50).map(|n| (format!("tag-{n:03}{}", "x".repeat(200)), json!(["y".repeat(256)]))).collect();
    let tags = json!(tags);
    let payloads = [
        ("one recipient each", payload(|n| bounce(n, 1, "smtp; 550", &none))),
        (
            "50 recipients each",
            payload(|n| bounce(n, 50, "smtp; 550 5.1.1 user unknown, see our help pages", &none)),
        ),
        ("50 short recipients each", payload(|n| delivery(n, 50))),
        ("as many recipients as fit into SNS's 256 KB", payload(|n| delivery(n, 15_000))),
        ("long diagnostic texts", payload(|n| bounce(n, 50, &"ü".repeat(2000), &none))),
        ("long tags", payload(|n| bounce(n, 50, "smtp; 550", &tags))),
        ("nothing that can be read", payload(|_| json!("Hello"))),
        ("large messages that cannot be read", payload(|_| json!("x".repeat(250_000)))),
    ];
    for (name, payload) in payloads {
        for soft_bounces in ["off", "count"] {
            let (peak, calls) = peak(&payload, soft_bounces).await;
            let messages = payload["Records"].as_array().map_or(0, Vec::len);
            println!(
                "{name}, soft bounces {soft_bounces}: {messages} messages, {calls} calls, {} MiB",
                peak / 1024 / 1024
            );
            assert!(peak < MAX_PEAK, "{name}, soft bounces {soft_bounces}: {peak} bytes");
        }
    }
}

/// The most memory that a new instance of the function takes for one payload, in bytes, and how many calls it makes.
async fn peak(payload: &Value, soft_bounces: &str) -> (u64, usize) {
    let aws = TlsDynamoDb::start().await.expect("a DynamoDB");
    let folder = tempfile::tempdir().expect("a folder");
    let roots = folder.path().join("roots.pem");
    aws.write_bundle(&roots).expect("a bundle");
    let spec = Spec::new(paths::binary("feedback"), "us-east-1")
        // What is not written by then comes back, and takes no less memory.
        .timeout(Duration::from_secs(15))
        .endpoint(aws.endpoint())
        .variable("SSL_CERT_FILE", roots.display().to_string())
        .variable("ACCOUNT_ID", "123456789012")
        .variable("FEEDBACK_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:local-feedback")
        .variable("DEAD_LETTER_QUEUE_URL", format!("{}/123456789012/dead-letters", aws.endpoint()))
        .variable("SOFT_BOUNCES", soft_bounces)
        .variable("RETENTION_DAYS", "400")
        .variable("KINDS_NOT_STORED", "")
        .variable("TABLE_NAME", "table");
    let function = Sandbox::start(spec).await.expect("the build of `feedback`: `make local`");
    let outcome = function.invoke(payload).await;
    assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
    (function.first_response().expect("a response").peak_memory, aws.requests())
}
