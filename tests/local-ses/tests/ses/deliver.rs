//! Mails through the rules, to the bucket in another Region, the topic and the function.

use crate::aws::{Aws, function, started, topic};
use local_ses::clock::Clock;
use local_ses::delivery::{BounceReason, Delivery, Disposition, Outcome};
use local_ses::mail::{Envelope, Verdicts};
use local_ses::template::TemplateRuleSet;
use local_ses::{Config, LocalSes, NotDelivered};
use serde_json::{Value, json};
use time::macros::datetime;

const RAW: &[u8] =
    b"From: Sender <sender@example.org>\r\nTo: a@example.com\r\nSubject: Hello\r\n\r\nHow are you?\r\n";

fn config() -> Config {
    Config { clock: Clock::at(datetime!(2026-01-01 00:00 UTC)), seed: Some(7), ..Config::default() }
}

/// Rules of us-east-1 as JSON, active.
async fn with_rules(config: Config, rules: Value) -> (LocalSes, Aws) {
    let (ses, aws) = started(config).await;
    let mut rules: Vec<Value> = serde_json::from_value(rules).expect("a list");
    for (number, rule) in rules.iter_mut().enumerate() {
        rule["Enabled"] = rule.get("Enabled").cloned().unwrap_or(json!(true));
        rule["Name"] = json!(format!("rule{number}"));
    }
    let rules = serde_json::from_value(json!(rules)).expect("rules");
    let inbound = [TemplateRuleSet { name: "inbound".to_owned(), rules }];
    ses.install("us-east-1", &inbound, Some("inbound")).await.expect("installed");
    (ses, aws)
}

async fn deliver(ses: &LocalSes, envelope: Envelope) -> Delivery {
    ses.deliver("us-east-1", envelope).await.expect("delivered")
}

fn mail(recipients: &[&'static str]) -> Envelope {
    Envelope::new("sender@example.org", recipients.iter().copied(), RAW)
}

fn s3() -> Value {
    json!({ "S3Action": { "BucketName": "mail", "ObjectKeyPrefix": "in/" } })
}

fn lambda() -> Value {
    json!({ "LambdaAction": { "FunctionArn": function("us-east-1"), "InvocationType": "Event" } })
}

fn sns(encoding: &str) -> Value {
    json!({ "SNSAction": { "TopicArn": topic("us-east-1"), "Encoding": encoding } })
}

fn stop() -> Value {
    json!({ "StopAction": { "Scope": "RuleSet" } })
}

fn bounce() -> Value {
    json!({ "BounceAction": { "SmtpReplyCode": "550", "StatusCode": "5.1.1", "Message": "no", "Sender": "p@example.com" } })
}

/// Which rules ran, for whom.
fn ran(delivery: &Delivery) -> Vec<(&str, Vec<&str>)> {
    delivery
        .rules
        .iter()
        .map(|run| (run.rule.as_str(), run.recipients.iter().map(String::as_str).collect()))
        .collect()
}

#[tokio::test]
async fn stored_in_the_other_region_then_the_function_is_told() {
    let (ses, aws) = with_rules(
        config(),
        json!([{ "Recipients": ["example.com"], "ScanEnabled": true, "Actions": [s3(), lambda()] }]),
    )
    .await;
    let delivery =
        deliver(&ses, mail(&["a@example.com", "b+label@example.com", "c@elsewhere.example"])).await;
    assert_eq!(delivery.rejected, ["c@elsewhere.example"]);
    assert_eq!(delivery.failures().count(), 0);
    let key = format!("in/{}", delivery.message_id);
    let object = aws.object("mail", &key).expect("stored");
    assert!(object.content.ends_with(RAW));
    assert!(object.content.starts_with(b"Return-Path: <sender@example.org>\r\nReceived: from"));
    let outcomes: Vec<&Outcome> = delivery.outcomes().collect();
    let [Outcome::Stored { region, content, encrypted: false, .. }, Outcome::Invoked { event, .. }] =
        outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!((region.as_str(), content), ("eu-west-1", &object.content));

    let invoked = aws.change(|state| state.invoked.clone());
    let [(_, kind, given)] = &invoked[..] else { panic!("{invoked:?}") };
    assert_eq!((kind.as_str(), given), ("Event", event));
    let ses_part = &given["Records"][0]["ses"];
    assert_eq!(ses_part["mail"]["messageId"], delivery.message_id);
    assert_eq!(ses_part["mail"]["timestamp"], "2026-01-01T00:00:00.000Z");
    assert_eq!(ses_part["mail"]["destination"], json!(["a@example.com"]), "from the headers");
    assert_eq!(ses_part["mail"]["commonHeaders"]["returnPath"], "sender@example.org");
    assert_eq!(
        ses_part["receipt"]["recipients"],
        json!(["a@example.com", "b+label@example.com"]),
        "the envelope's"
    );
    assert_eq!(ses_part["receipt"]["spamVerdict"]["status"], "PASS");
}

#[tokio::test]
async fn delivered_again_it_is_the_same_mail_under_the_same_key() {
    let (ses, aws) = with_rules(config(), json!([{ "Actions": [s3(), lambda()] }])).await;
    let first = deliver(&ses, mail(&["a@example.com"])).await;
    ses.clock().advance(std::time::Duration::from_mins(1));
    let second = ses.deliver_again(&first).await.expect("delivered");
    assert_eq!((&first.message_id, first.received), (&second.message_id, second.received));
    assert_eq!(aws.change(|state| state.objects.len()), 2, "with the set-up object");
    let invoked = aws.change(|state| state.invoked.clone());
    let told = |index: usize| {
        let mut event = invoked[index].2.clone();
        event["Records"][0]["ses"]["receipt"]["processingTimeMillis"].take();
        event
    };
    assert_eq!(told(0), told(1));
    let other = deliver(&ses, mail(&["a@example.com"])).await;
    assert_ne!(other.message_id, first.message_id);
    let named = deliver(&ses, mail(&["a@example.com"]).message_id("mine")).await;
    assert_eq!(named.message_id, "mine");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_ids() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (ses, _aws) = with_rules(config(), json!([{ "Actions": [] }])).await;
        ids.push(deliver(&ses, mail(&["a@example.com"])).await.message_id);
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn rules_run_in_order_for_those_whom_they_are_for_until_one_stops() {
    let (ses, _aws) = with_rules(
        config(),
        json!([
            { "Recipients": ["a@example.com"], "Actions": [s3(), stop()] },
            { "Recipients": ["nobody@example.com"], "Actions": [s3()] },
            { "Recipients": ["example.com"], "Enabled": false, "Actions": [s3()] },
            { "Recipients": ["example.com"], "Actions": [bounce()] },
            { "Recipients": [], "Actions": [s3()] },
        ]),
    )
    .await;
    let delivery = deliver(&ses, mail(&["a@example.com", "b@example.com", "c@example.net"])).await;
    assert_eq!(
        ran(&delivery),
        [
            ("rule0", vec!["a@example.com"]),
            ("rule3", vec!["b@example.com"]),
            ("rule4", vec!["b@example.com", "c@example.net"]),
        ]
    );
    assert_eq!(delivery.rules[0].actions[1], Outcome::Stopped);
    assert_eq!(delivery.bounces.len(), 1);
    assert_eq!(delivery.bounces[0].recipients, ["b@example.com"]);
    assert!(
        matches!(&delivery.bounces[0].reason, BounceReason::Action { smtp_reply_code, .. } if smtp_reply_code == "550")
    );
}

#[tokio::test]
async fn a_synchronous_function_may_stop_rule_and_rule_set() {
    let waits = json!({ "LambdaAction": { "FunctionArn": function("us-east-1"), "InvocationType": "RequestResponse" } });
    let (ses, aws) = with_rules(config(), json!([{ "Actions": [waits, s3()] }, { "Actions": [s3()] }])).await;
    for (answer, disposition, stored) in [
        ("null", Disposition::Continue, 2),
        (r#"{"disposition":"CONTINUE"}"#, Disposition::Continue, 2),
        (r#"{"disposition":"STOP_RULE"}"#, Disposition::StopRule, 1),
        (r#"{"disposition":"STOP_RULE_SET"}"#, Disposition::StopRuleSet, 0),
    ] {
        aws.change(|state| state.functions.insert(function("us-east-1"), answer));
        let delivery = deliver(&ses, mail(&["a@example.com"])).await;
        let stores = delivery.outcomes().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
        assert_eq!(stores, stored, "{answer}");
        let told = delivery.outcomes().find_map(|outcome| match outcome {
            Outcome::Invoked { disposition, .. } => *disposition,
            _ => None,
        });
        assert_eq!(told, Some(disposition), "{answer}");
    }
}

#[tokio::test]
async fn the_sns_action_carries_the_mail_and_the_s3_actions_topic_does_not() {
    let told = json!({ "S3Action": { "BucketName": "mail", "TopicArn": topic("us-east-1") } });
    let (ses, aws) = with_rules(config(), json!([{ "Actions": [sns("UTF-8"), sns("Base64"), told] }])).await;
    aws.change(|state| state.published.clear());
    let delivery = deliver(&ses, mail(&["a@example.com"])).await;
    let published: Vec<Value> =
        aws.change(|state| state.published.iter().map(|(_, message)| message.clone()).collect());
    let [utf8, base64, alert] = &published[..] else { panic!("{published:?}") };
    let content = utf8["content"].as_str().expect("the mail");
    assert!(content.as_bytes().ends_with(RAW));
    assert_eq!(utf8["receipt"]["action"]["encoding"], "UTF8");
    assert_eq!(base64["receipt"]["action"]["encoding"], "BASE64");
    assert!(!base64["content"].as_str().expect("the mail").contains(' '));
    assert!(alert.get("content").is_none());
    assert_eq!(alert["notificationType"], "Received");
    let action = &alert["receipt"]["action"];
    assert_eq!(action["type"], "S3");
    assert_eq!(action["bucketName"], "mail");
    assert_eq!(action["objectKey"], delivery.message_id);
}

#[tokio::test]
async fn what_is_too_large_is_bounced() {
    let (ses, aws) = with_rules(
        Config { adds_headers: false, ..config() },
        json!([
            { "Recipients": ["topic@example.com"], "Actions": [sns("UTF-8"), lambda()] },
            { "Recipients": ["bucket@example.com"], "Actions": [s3(), lambda()] },
        ]),
    )
    .await;
    let of =
        |recipient: &'static str, size: usize| Envelope::new("s@example.org", [recipient], vec![b'x'; size]);
    for (recipient, limit) in [("topic@example.com", 150 * 1024), ("bucket@example.com", 40 * 1024 * 1024)] {
        assert_eq!(deliver(&ses, of(recipient, limit)).await.bounces, []);
        let before = aws.change(|state| state.invoked.len());
        let delivery = deliver(&ses, of(recipient, limit + 1)).await;
        let [bounce] = &delivery.bounces[..] else { panic!("{recipient}") };
        assert_eq!(bounce.reason, BounceReason::TooLarge { size: limit + 1, limit });
        assert_eq!(
            aws.change(|state| state.invoked.len()),
            before,
            "nobody is told of a mail that is not there"
        );
    }
}

#[tokio::test]
async fn a_kms_key_makes_it_unreadable_and_says_so() {
    let key = "arn:aws:kms:us-east-1:123456789012:key/k";
    let action = json!({ "S3Action": { "BucketName": "mail", "KmsKeyArn": key } });
    let (ses, aws) = with_rules(config(), json!([{ "Actions": [action] }])).await;
    let delivery = deliver(&ses, mail(&["a@example.com"])).await;
    let object = aws.object("mail", &delivery.message_id).expect("stored");
    assert!(!object.content.windows(5).any(|part| part == b"Hello"));
    let said = |name: &str| object.metadata.get(name).map(String::as_str);
    assert_eq!(said("x-amz-cek-alg"), Some("AES/GCM/NoPadding"));
    assert_eq!(said("x-amz-wrap-alg"), Some("kms"));
    assert!(said("x-amz-key-v2").is_some() && said("x-amz-iv").is_some());
    let length: usize =
        said("x-amz-unencrypted-content-length").expect("a length").parse().expect("a number");
    assert_eq!(object.content.len(), length + 16);
    let material: Value = serde_json::from_str(said("x-amz-matdesc").expect("a description")).expect("JSON");
    assert_eq!(material["kms_cmk_id"], key);
    assert_eq!(material["aws:ses:message-id"], delivery.message_id);
}

#[tokio::test]
async fn headers_tls_and_verdicts() {
    let header = json!({ "AddHeaderAction": { "HeaderName": "X-Seen", "HeaderValue": "yes" } });
    let (ses, aws) =
        with_rules(config(), json!([{ "TlsPolicy": "Require", "Actions": [header, lambda()] }])).await;
    let clear = deliver(&ses, mail(&["a@example.com"]).without_tls()).await;
    assert_eq!(clear.bounces[0].reason, BounceReason::WithoutTls);
    assert_eq!(clear.rules.len(), 0);
    deliver(&ses, mail(&["a@example.com"]).verdicts(Verdicts::dmarc_fails("quarantine"))).await;
    let event = aws.change(|state| state.invoked[0].2.clone());
    let ses_part = &event["Records"][0]["ses"];
    let headers = ses_part["mail"]["headers"].as_array().expect("headers");
    assert!(headers.contains(&json!({ "name": "X-Seen", "value": "yes" })));
    assert_eq!(ses_part["receipt"]["dmarcPolicy"], "quarantine");
    assert_eq!(ses_part["receipt"]["dmarcVerdict"]["status"], "FAIL");
    assert_eq!(ses_part["receipt"]["spamVerdict"]["status"], "DISABLED");
}

#[tokio::test]
async fn what_fails_is_told_and_nothing_after_it_runs() {
    let (ses, aws) = with_rules(config(), json!([{ "Actions": [s3(), lambda()] }])).await;
    aws.change(|state| state.denied = true);
    let delivery = deliver(&ses, mail(&["a@example.com"])).await;
    assert_eq!(delivery.failures().count(), 1);
    assert!(aws.change(|state| state.invoked.is_empty()));
    aws.change(|state| state.denied = false);
    assert_eq!(ses.deliver_again(&delivery).await.expect("delivered").failures().count(), 0);
}

#[tokio::test]
async fn without_an_active_set_or_in_another_region_nothing_comes_in() {
    let (ses, _aws) = with_rules(config(), json!([{ "Actions": [s3()] }])).await;
    let other = ses.deliver("eu-west-1", mail(&["a@example.com"])).await.expect("an answer");
    assert_eq!(other.rejected, ["a@example.com"]);
    let none = ses.deliver("us-west-1", mail(&["a@example.com"])).await;
    assert_eq!(none.err(), Some(NotDelivered::NotReceiving("us-west-1".to_owned())));
    let alone = LocalSes::start(Config::default()).await.expect("a port");
    let unconnected = alone.deliver("us-east-1", mail(&["a@example.com"])).await;
    assert_eq!(unconnected.err(), Some(NotDelivered::NotConnected));
}
