//! The JSON that SES gives to Lambda and SNS (guide, "Contents of notifications for Amazon SES email receiving").

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::clock::iso;
use crate::mail::{Headers, Verdicts};
use crate::rules::{Action, ReceiptRule};

/// What SES tells about a mail when an action is run on it.
pub(crate) struct Told<'a> {
    pub(crate) message_id: &'a str,
    pub(crate) mail_from: &'a str,
    pub(crate) verdicts: &'a Verdicts,
    pub(crate) headers: &'a Headers,
    pub(crate) received: OffsetDateTime,
    pub(crate) processing_millis: u64,
    pub(crate) rule: &'a ReceiptRule,
    /// Those of the envelope's recipients that the rule matched.
    pub(crate) recipients: &'a [String],
}

/// The event that a function is invoked with.
pub(crate) fn for_lambda(told: &Told<'_>, action: &Action) -> Value {
    json!({ "Records": [{
        "eventSource": "aws:ses",
        "eventVersion": "1.0",
        "ses": { "mail": mail(told), "receipt": receipt(told, action) },
    }] })
}

/// The notification that is published to a topic. Only the SNS action adds the mail itself, as `content`.
pub(crate) fn for_topic(told: &Told<'_>, action: &Action, content: Option<String>) -> Value {
    let mut notification = json!({
        "notificationType": "Received",
        "mail": mail(told),
        "receipt": receipt(told, action),
    });
    if let Some(content) = content {
        notification["content"] = Value::String(content);
    }
    notification
}

/// A JSON object of those members that are not null or an empty list.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let there = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    members
        .into_iter()
        .filter(|(_, value)| there(value))
        .map(|(name, value)| (name.to_owned(), value))
        .collect::<Map<_, _>>()
        .into()
}

fn mail(told: &Told<'_>) -> Value {
    let headers = told.headers;
    let all: Vec<Value> =
        headers.all.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let common = &headers.common;
    json!({
        "timestamp": iso(told.received),
        "source": told.mail_from,
        "messageId": told.message_id,
        "destination": headers.destination,
        "headersTruncated": headers.truncated,
        "headers": all,
        "commonHeaders": object([
            ("returnPath", json!(common.return_path)),
            ("from", json!(common.from)),
            ("sender", json!(common.sender)),
            ("replyTo", json!(common.reply_to)),
            ("date", json!(common.date)),
            ("to", json!(common.to)),
            ("cc", json!(common.cc)),
            ("bcc", json!(common.bcc)),
            ("messageId", json!(common.message_id)),
            ("subject", json!(common.subject)),
        ]),
    })
}

fn receipt(told: &Told<'_>, action: &Action) -> Value {
    let verdicts = told.verdicts;
    let status = |verdict: &Option<String>| match verdict {
        Some(status) => json!({ "status": status }),
        None => Value::Null,
    };
    // Where the rule does not scan, the verdict is DISABLED (seen).
    let disabled = Some("DISABLED".to_owned());
    let scanned = |verdict| status(if told.rule.scan_enabled { verdict } else { &disabled });
    let failed = verdicts.dmarc.as_deref() == Some("FAIL");
    let mut receipt = object([
        ("timestamp", json!(iso(told.received))),
        ("processingTimeMillis", json!(told.processing_millis)),
        ("spamVerdict", scanned(&verdicts.spam)),
        ("virusVerdict", scanned(&verdicts.virus)),
        ("spfVerdict", status(&verdicts.spf)),
        ("dkimVerdict", status(&verdicts.dkim)),
        ("dmarcVerdict", status(&verdicts.dmarc)),
        ("dmarcPolicy", json!(verdicts.dmarc_policy.as_ref().filter(|_| failed))),
        ("action", told_action(told, action)),
    ]);
    receipt["recipients"] = json!(told.recipients);
    receipt
}

fn told_action(told: &Told<'_>, action: &Action) -> Value {
    let topic = json!(action.topic());
    match action {
        Action::S3(s3) => {
            let prefix = s3.object_key_prefix.as_deref().unwrap_or_default();
            object([
                ("type", json!("S3")),
                ("topicArn", topic),
                ("bucketName", json!(s3.bucket_name)),
                ("objectKeyPrefix", json!(prefix)),
                ("objectKey", json!(format!("{prefix}{}", told.message_id))),
            ])
        }
        Action::Sns(sns) => object([
            ("type", json!("SNS")),
            ("topicArn", topic),
            ("encoding", json!(if sns.encoding == "Base64" { "BASE64" } else { "UTF8" })),
        ]),
        Action::Lambda(lambda) => object([
            ("type", json!("Lambda")),
            ("topicArn", topic),
            ("functionArn", json!(lambda.function_arn)),
            ("invocationType", json!(lambda.invocation_type)),
        ]),
        Action::Bounce(bounce) => object([
            ("type", json!("Bounce")),
            ("topicArn", topic),
            ("smtpReplyCode", json!(bounce.smtp_reply_code)),
            ("statusCode", json!(bounce.status_code)),
            ("message", json!(bounce.message)),
            ("sender", json!(bounce.sender)),
        ]),
        Action::Stop(_) => object([("type", json!("Stop")), ("topicArn", topic)]),
        Action::AddHeader(_) => object([("type", json!("AddHeader"))]),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn rule(scan: bool) -> ReceiptRule {
        serde_json::from_value(json!({
            "Name": "rule", "ScanEnabled": scan,
            "Actions": [
                { "LambdaAction": { "FunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:IncomingEmail" } },
                { "S3Action": { "BucketName": "bucket", "ObjectKeyPrefix": "mail/" } },
            ],
        }))
        .expect("a rule")
    }

    /// This is the guide's example ("Sample incoming email event"), with only those headers that matter here.
    #[test]
    fn a_function_is_given_what_the_guide_shows() {
        let headers = Headers::of(
            b"Return-Path: <prvs=144d0cba7=sender@example.com>\r\nFrom: \"Doe, John\" <sender@example.com>\r\n\
              To: \"recipient@example.com\" <recipient@example.com>\r\nSubject: This is a test\r\n\
              Date: Mon, 5 Aug 2019 21:29:57 +0000\r\nMessage-ID: <F8098FDD@example.com>\r\n\r\n",
        );
        let rule = rule(true);
        let told = Told {
            message_id: "EXAMPLE7c191be45",
            mail_from: "prvs=144d0cba7=sender@example.com",
            verdicts: &Verdicts { dmarc: Some("GRAY".to_owned()), ..Verdicts::default() },
            headers: &headers,
            received: datetime!(2019-08-05 21:30:02.028 UTC),
            processing_millis: 1205,
            rule: &rule,
            recipients: &["recipient@example.com".to_owned()],
        };
        let header = |name: &str, value: &str| json!({ "name": name, "value": value });
        let pass = json!({ "status": "PASS" });
        assert_eq!(
            for_lambda(&told, &rule.actions[0]),
            json!({ "Records": [{ "eventSource": "aws:ses", "eventVersion": "1.0", "ses": {
                "mail": {
                    "timestamp": "2019-08-05T21:30:02.028Z",
                    "source": "prvs=144d0cba7=sender@example.com",
                    "messageId": "EXAMPLE7c191be45",
                    "destination": ["recipient@example.com"],
                    "headersTruncated": false,
                    "headers": [
                        header("Return-Path", "<prvs=144d0cba7=sender@example.com>"),
                        header("From", "\"Doe, John\" <sender@example.com>"),
                        header("To", "\"recipient@example.com\" <recipient@example.com>"),
                        header("Subject", "This is a test"),
                        header("Date", "Mon, 5 Aug 2019 21:29:57 +0000"),
                        header("Message-ID", "<F8098FDD@example.com>"),
                    ],
                    "commonHeaders": {
                        "returnPath": "prvs=144d0cba7=sender@example.com",
                        "from": ["\"Doe, John\" <sender@example.com>"],
                        "date": "Mon, 5 Aug 2019 21:29:57 +0000",
                        "to": ["\"recipient@example.com\" <recipient@example.com>"],
                        "messageId": "<F8098FDD@example.com>",
                        "subject": "This is a test",
                    },
                },
                "receipt": {
                    "timestamp": "2019-08-05T21:30:02.028Z",
                    "processingTimeMillis": 1205,
                    "recipients": ["recipient@example.com"],
                    "spamVerdict": pass, "virusVerdict": pass, "spfVerdict": pass, "dkimVerdict": pass,
                    "dmarcVerdict": { "status": "GRAY" },
                    "action": {
                        "type": "Lambda",
                        "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:IncomingEmail",
                        "invocationType": "Event",
                    },
                },
            } }] })
        );
    }

    #[test]
    fn the_policy_is_told_if_dmarc_fails_and_unscanned_is_disabled() {
        let (headers, rule) = (Headers::default(), rule(false));
        let told = |verdicts: &Verdicts| {
            for_topic(
                &Told {
                    message_id: "id",
                    mail_from: "",
                    verdicts,
                    headers: &headers,
                    received: datetime!(2026-01-01 00:00 UTC),
                    processing_millis: 1,
                    rule: &rule,
                    recipients: &[],
                },
                &rule.actions[1],
                None,
            )
        };
        let failed = told(&Verdicts::dmarc_fails("reject"));
        assert_eq!(failed["receipt"]["dmarcPolicy"], "reject");
        assert_eq!(failed["receipt"]["spamVerdict"]["status"], "DISABLED");
        assert_eq!(failed["receipt"]["action"]["objectKey"], "mail/id");
        assert_eq!(failed["mail"]["destination"], json!([]));
        assert!(failed.get("content").is_none());
        let passed = told(&Verdicts { dmarc_policy: Some("reject".to_owned()), ..Verdicts::default() });
        assert!(passed["receipt"].get("dmarcPolicy").is_none());
        let silent = told(&Verdicts { spf: None, ..Verdicts::default() });
        assert!(silent["receipt"].get("spfVerdict").is_none());
    }
}
