//! Received mail: from the local SES through the template's own rules, S3 and the function's binary to the table; and the
//! binary alone, against an S3 that is not as it should be.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use local_aws::clients::ACCOUNT;
use local_aws::proxy::{Action, Failure, Matcher, Moment, Rule};
use local_aws::runtime_api::{Outcome, Sandbox, Spec};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, paths, receiving};
use local_ses::LocalSes;
use local_ses::delivery::{Delivery, Outcome as Done};
use local_ses::mail::Envelope;
use serde_json::{Value, json};

const HOME: &str = "us-east-1";
const ELSEWHERE: &str = "eu-west-1";
const BUCKET: &str = "mail-of-all-regions";

const MAIL: &[u8] = b"From: Ann <ann@example.org>\r\nTo: box@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
    Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nHi\r\n\
    --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\r\n%PDF\r\n--b--\r\n";

/// A stack in us-east-1 that receives into a bucket in eu-west-1, and the SES that it receives from.
struct Receiving {
    aws: LocalAws,
    ses: LocalSes,
    s3: Client,
}

impl Receiving {
    async fn start() -> Self {
        let mut aws = LocalAws::start().await.expect("a local AWS");
        let s3 = receiving::make_bucket(&aws, BUCKET, ELSEWHERE).await.expect("a bucket");
        let deployment = Deployment::new("mailroom")
            .parameter("Suppression", "off")
            .parameter("Receiving", "on")
            .parameter("ReceiptRules", "operator")
            .parameter("MailRecipients", "example.com")
            .parameter("MailBucket", BUCKET);
        aws.deploy(&deployment, &[HOME]).await.expect("a stack");
        let ses = receiving::start(&aws).await.expect("a local SES");
        receiving::install(&ses, aws.region(HOME), &deployment).await.expect("the template's rules");
        aws.proxy().forget();
        Self { aws, ses, s3 }
    }

    fn region(&self) -> &Regional {
        self.aws.region(HOME)
    }

    async fn deliver<'a>(&self, recipients: impl IntoIterator<Item = &'a str>, raw: &[u8]) -> Delivery {
        let envelope = Envelope::new("ann@example.org", recipients, raw.to_vec());
        let delivery = self.ses.deliver(HOME, envelope).await.expect("delivered");
        assert_eq!(delivery.failures().collect::<Vec<_>>(), Vec::<&str>::new());
        delivery
    }

    async fn wait_for(&self, records: usize) -> Vec<Value> {
        for _ in 0..200 {
            let items = self.region().items().await.expect("a scan");
            if items.len() >= records {
                return items;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {records} records, but {:#?}", self.region().items().await);
    }

    /// The function's own binary alone, with the stack's table and bucket.
    async fn sandbox(&self, changes: &[(&str, &str)]) -> Sandbox {
        let mut spec = Spec::new(paths::binary("inbound"), HOME)
            .endpoint(self.aws.proxy().endpoint())
            .timeout(Duration::from_secs(10))
            .variable("ACCOUNT_ID", ACCOUNT)
            .variable("DEAD_LETTER_QUEUE_URL", self.region().outputs().get("InboundDeadLetterQueueUrl"))
            .variable("INCONCLUSIVE_DISPOSITION", "suspect")
            .variable("MAIL_BUCKET", BUCKET)
            .variable("MAIL_BUCKET_REGION", "")
            .variable("MAIL_PREFIX", "mail/")
            .variable("RETENTION_DAYS", "400")
            .variable("SPAM_DISPOSITION", "suspect")
            .variable("TABLE_NAME", self.region().outputs().get("TableName"))
            .variable("UNSCANNED_DISPOSITION", "suspect");
        for (name, value) in changes {
            spec = spec.variable(name, *value);
        }
        Sandbox::start(spec).await.expect("the function starts")
    }

    async fn put(&self, key: &str, content: &[u8]) {
        let put = self.s3.put_object().bucket(BUCKET).key(key).body(content.to_vec().into());
        put.send().await.expect("an object");
    }
}

/// The Lambda action's event.
fn event(id: &str) -> Value {
    let pass = json!({"status": "PASS"});
    json!({"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {
        "mail": {"timestamp": "2026-11-23T09:15:27.123Z", "source": "ann@example.org", "messageId": id},
        "receipt": {"timestamp": "2026-11-23T09:15:27.123Z", "recipients": ["box@example.com"],
            "spamVerdict": pass, "virusVerdict": pass, "spfVerdict": pass, "dkimVerdict": pass, "dmarcVerdict": pass,
            "action": {"type": "Lambda", "invocationType": "Event",
                "functionArn": format!("arn:aws:lambda:{HOME}:{ACCOUNT}:function:inbound")}},
    }}]})
}

/// The S3 action's notification, by its topic and a queue.
fn stored_at(id: &str, key: &str) -> Value {
    let said = json!({"notificationType": "Received",
        "mail": {"timestamp": "2026-11-23T09:15:27.123Z", "source": "ann@example.org", "messageId": id},
        "receipt": {"recipients": ["box@example.com"], "action": {"type": "S3", "bucketName": BUCKET, "objectKey": key,
            "topicArn": format!("arn:aws:sns:{HOME}:{ACCOUNT}:mail")}}});
    json!({"Records": [{"eventSource": "aws:sqs", "messageId": "id-0", "body": said.to_string()}]})
}

fn writes() -> Matcher {
    Matcher::operation("dynamodb", "BatchWriteItem")
}

fn assert_done(outcome: &Outcome) {
    assert_eq!(*outcome, Outcome::Response(json!({"batchItemFailures": []})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_found_by_its_recipient_and_lies_where_the_record_says() {
    let receiving = Receiving::start().await;
    let delivery = receiving.deliver(["Box@example.com", "sales@example.com"], MAIL).await;
    let stored = delivery.outcomes().find_map(|outcome| match outcome {
        Done::Stored { content, .. } => Some(content.clone()),
        _ => None,
    });
    receiving.wait_for(2).await;

    let region = receiving.region();
    let found = region
        .clients()
        .dynamodb
        .query()
        .table_name(region.outputs().get("TableName"))
        .key_condition_expression("pk = :pk")
        .expression_attribute_values(
            ":pk",
            aws_sdk_dynamodb::types::AttributeValue::S("MAILBOX#box@example.com".into()),
        )
        .send()
        .await
        .expect("a query");
    let items: Vec<Value> = serde_dynamo::from_items(found.items().to_vec()).expect("items");
    let [record] = &items[..] else { panic!("{items:#?}") };
    assert_eq!(record["recipient"], "Box@example.com");
    assert_eq!(record["region"], HOME);
    assert_eq!(record["subject"], "Grüße");
    assert_eq!(record["disposition"], "clean");
    assert_eq!(record["structure"]["attachments"][0]["name"], "a.pdf");
    let reference = &record["reference"];
    assert_eq!(
        (&reference["bucket_region"], &reference["crosses_regions"]),
        (&json!(ELSEWHERE), &json!(true))
    );

    let text = |name: &str| reference[name].as_str().expect(name).to_owned();
    assert_eq!(text("bucket_region"), ELSEWHERE);
    let object =
        receiving.s3.get_object().bucket(text("bucket")).key(text("key")).send().await.expect("the mail");
    assert_eq!(object.e_tag().expect("an ETag"), text("etag"));
    let bytes = object.body.collect().await.expect("its bytes").into_bytes();
    assert_eq!(Some(&bytes), stored.as_ref());
    assert_eq!(reference["size"], bytes.len());
    assert!(bytes.ends_with(MAIL));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_mail_again_is_the_same_records_and_a_hundred_recipients_cost_four_writes() {
    let receiving = Receiving::start().await;
    let recipients: Vec<_> = (0..100).map(|n| format!("user{n}@example.com")).collect();
    let delivery = receiving.deliver(recipients.iter().map(String::as_str), MAIL).await;
    let once = receiving.wait_for(100).await;
    assert_eq!(once.len(), 100);
    assert!(receiving.aws.proxy().count(&writes()) <= 4, "{:?}", receiving.aws.proxy().counts());

    for n in 1..=2 {
        let again = receiving.ses.deliver_again(&delivery).await.expect("delivered again");
        assert_eq!(again.message_id, delivery.message_id);
        assert!(receiving.aws.proxy().wait_for(&writes(), 4 * (n + 1), Duration::from_secs(20)).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let keys = |items: &[Value]| {
        let mut keys: Vec<_> = items.iter().map(|item| format!("{} {}", item["pk"], item["sk"])).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&receiving.region().items().await.expect("a scan")), keys(&once));
}

/// What Lambda has tried in vain it puts into the function's queue, as it was. From there it becomes a record, or a dead letter.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_lambda_has_given_up_is_recorded_from_the_queue() {
    let receiving = Receiving::start().await;
    let region = receiving.region();
    let send = async |body: String| {
        let queue = region.outputs().get("InboundQueueUrl");
        region.clients().sqs.send_message().queue_url(queue).message_body(body).send().await.expect("sent");
    };
    receiving.put("mail/given-up", MAIL).await;
    let mut malformed = event("malformed");
    malformed["Records"][0]["ses"]["receipt"] = Value::Null;
    send(malformed.to_string()).await;
    send(event("given-up").to_string()).await;
    let records = receiving.wait_for(1).await;
    assert_eq!(records[0]["message_id"], "given-up");
    let dead = region.outputs().get("InboundDeadLetterQueueUrl");
    let mut letters = Vec::new();
    for _ in 0..100 {
        letters = region.bodies(dead).await.expect("dead letters");
        if !letters.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(letters, [malformed.to_string()]);
}

/// No record points nowhere: the invocation fails, so that Lambda tries again and then puts it into the function's queue;
/// the log says why, without a key or an address.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_missing_or_denied_fails_and_says_so_until_it_is_there() {
    let receiving = Receiving::start().await;
    let proxy = receiving.aws.proxy();
    let denied = Action::Fail(Failure::bare(403));
    for (id, fault, word) in [("gone", None, "no such object"), ("denied", Some(denied), "denies access")] {
        let function = receiving.sandbox(&[("MAIL_BUCKET_REGION", ELSEWHERE)]).await;
        let rule = fault.map(|action| proxy.rule(Rule::new(Matcher::service("s3"), action)));
        for _ in 0..2 {
            let outcome = function.invoke(&event(id)).await;
            assert!(matches!(outcome, Outcome::Error(_)), "{id}: {outcome:?}");
        }
        assert!(
            receiving.region().items().await.expect("a scan").iter().all(|item| item["message_id"] != id)
        );
        if let Some(rule) = rule {
            proxy.remove(rule);
        }
        receiving.put(&format!("mail/{id}"), MAIL).await;
        assert_done(&function.invoke(&event(id)).await);
        assert!(
            receiving.region().items().await.expect("a scan").iter().any(|item| item["message_id"] == id)
        );
        assert!(function.printed(word, 2, Duration::from_secs(20)).await, "{id}: {:#?}", function.output());
        let output = function.output();
        assert!(output.iter().all(|line| !line.contains('@')), "{output:#?}");
    }
    let function = receiving.sandbox(&[("MAIL_BUCKET", "no-such-bucket")]).await;
    let outcome = function.invoke(&event("gone")).await;
    assert!(matches!(outcome, Outcome::Error(_)), "{outcome:?}");
    let told = function.printed("no such bucket", 1, Duration::from_secs(20)).await;
    assert!(told, "{:#?}", function.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buckets_region_is_found_out_once_and_a_wrong_one_is_corrected() {
    let receiving = Receiving::start().await;
    let proxy = receiving.aws.proxy();
    for (setting, lookups) in [("", 1), ("us-west-2", 0), (ELSEWHERE, 0)] {
        let function = receiving.sandbox(&[("MAIL_BUCKET_REGION", setting)]).await;
        proxy.forget();
        for n in 0..3 {
            let id = format!("{setting}-{n}");
            receiving.put(&format!("mail/{id}"), MAIL).await;
            assert_done(&function.invoke(&event(&id)).await);
            let items = receiving.region().items().await.expect("a scan");
            let record = items.iter().find(|item| item["message_id"] == id.as_str()).expect("a record");
            assert_eq!(record["reference"]["bucket_region"], ELSEWHERE, "{setting}");
        }
        let s3 = |region: &str| proxy.count(&Matcher::service("s3").in_region(region));
        // HeadObject and GetObject of three mails, in the bucket's own Region.
        assert_eq!(s3(ELSEWHERE), 6, "{setting}: {:?}", proxy.counts());
        assert_eq!(s3(HOME), lookups, "{setting}: {:?}", proxy.counts());
        assert_eq!(s3("us-west-2"), usize::from(setting == "us-west-2"), "{setting}: {:?}", proxy.counts());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_odd_keys_and_encryption_on_the_clients_side_are_recorded() {
    let receiving = Receiving::start().await;
    let versioned = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let s3 = &receiving.s3;
    s3.put_bucket_versioning()
        .bucket(BUCKET)
        .versioning_configuration(versioned)
        .send()
        .await
        .expect("versions");
    let function = receiving.sandbox(&[("MAIL_PREFIX", "Eingang/ä b+c%20&=?#\"'/")]).await;

    let key = "Eingang/ä b+c%20&=?#\"'/odd";
    receiving.put(key, b"an older mail").await;
    receiving.put(key, MAIL).await;
    assert_done(&function.invoke(&event("odd")).await);
    let record = |items: Vec<Value>, id: &str| {
        items.into_iter().find(|item| item["message_id"] == id).expect("a record")
    };
    let odd = record(receiving.wait_for(1).await, "odd");
    assert_eq!(odd["reference"]["key"], key);
    assert_eq!(odd["structure"]["attachments"][0]["name"], "a.pdf");
    let version = odd["reference"]["version_id"].as_str().expect("a version");
    let read =
        s3.get_object().bucket(BUCKET).key(key).version_id(version).send().await.expect("that version");
    assert_eq!(read.body.collect().await.expect("bytes").into_bytes(), MAIL);

    // The S3 action says the key itself.
    receiving.put("+/ü /&", MAIL).await;
    assert_done(&function.invoke(&stored_at("said", "+/ü /&")).await);
    assert_eq!(record(receiving.wait_for(2).await, "said")["reference"]["key"], "+/ü /&");

    let encrypted = s3.put_object().bucket(BUCKET).key("+/encrypted").body(b"\x00ciphertext".to_vec().into());
    let encrypted = encrypted.metadata("x-amz-key-v2", "AQID").metadata("x-amz-wrap-alg", "kms");
    encrypted.send().await.expect("an object");
    assert_done(&function.invoke(&stored_at("encrypted", "+/encrypted")).await);
    let encrypted = record(receiving.wait_for(3).await, "encrypted");
    assert_eq!(encrypted["reference"]["encryption"], "client-kms");
    assert_eq!(encrypted["structure"]["read"], "unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_killed_at_any_request_leaves_nothing_that_another_try_does_not_mend() {
    let receiving = Receiving::start().await;
    let mut records = 0;
    // HeadBucket, HeadObject, GetObject, BatchWriteItem.
    for n in 1..=4 {
        for moment in [Moment::Before, Moment::After] {
            records += 1;
            let id = format!("m-{n}-{moment:?}");
            receiving.put(&format!("mail/{id}"), MAIL).await;
            let killed = receiving.sandbox(&[]).await;
            let rule = killed.kill_at(receiving.aws.proxy(), Matcher::any(), n, moment);
            let outcome = killed.invoke(&event(&id)).await;
            assert!(matches!(outcome, Outcome::Exited(_)), "{n} {moment:?}: {outcome:?}");
            receiving.aws.proxy().remove(rule);
            let again = receiving.sandbox(&[]).await;
            assert_done(&again.invoke(&event(&id)).await);
            assert_eq!(receiving.region().items().await.expect("a scan").len(), records);
        }
    }
}

/// Only the beginning of a mail is ever read.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_of_40_mb_costs_no_more_memory_than_one_of_4_kb() {
    let receiving = Receiving::start().await;
    let mut peaks = Vec::new();
    for (id, size) in [("small", 4 * 1024), ("large", 40 * 1024 * 1024)] {
        let mut mail = MAIL.to_vec();
        mail.resize(size, b'x');
        receiving.put(&format!("mail/{id}"), &mail).await;
        let function = receiving.sandbox(&[]).await;
        assert_done(&function.invoke(&event(id)).await);
        peaks.push(function.first_response().expect("a response").peak_memory);
    }
    let [small, large] = peaks[..] else { panic!("{peaks:?}") };
    println!("peak memory: {small} bytes for 4 KB, {large} bytes for 40 MB");
    assert!(large.saturating_sub(small) < 2 * 1024 * 1024, "{small} and {large} bytes");
}
