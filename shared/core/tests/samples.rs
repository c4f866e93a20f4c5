//! Every sample event becomes exactly the records of its snapshot: the specification of the parser and the normalizer.
//! Review a change with `cargo insta review`, or accept it with `INSTA_UPDATE=always`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod common;

use std::sync::LazyLock;

use mailroom_core::envelope::{self, Payload};
use mailroom_core::feedback::{self, FeedbackRecord, Retention};
use mailroom_core::notification::ParsedMessage;
use proptest::prelude::*;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/feedback");

#[test]
fn every_sample_becomes_its_records() {
    common::check_snapshots("every_sample_becomes_its_records", SAMPLES);
}

/// The records of a message that SES published, however it was wrapped.
fn records(payload: &str) -> Vec<FeedbackRecord> {
    let payload = envelope::open_payload(payload).unwrap();
    let notification = |message: &envelope::PayloadMessage| match &message.content {
        Ok(ParsedMessage::Feedback(notification)) => {
            feedback::normalize(notification, &message.origin, Some("us-east-1"), Retention::default())
                .map_or_else(|_| Vec::new(), |normalized| normalized.records)
        }
        _ => Vec::new(),
    };
    payload.messages.iter().flat_map(notification).collect()
}

fn sample(name: &str) -> String {
    common::sample(SAMPLES, name)
}

/// All samples that become records, as the text inside.
fn bodies() -> Vec<String> {
    static BODIES: LazyLock<Vec<String>> = LazyLock::new(|| common::bodies(SAMPLES));
    BODIES.clone()
}

#[test]
fn the_wrapping_changes_nothing() {
    let said = r#"{"eventType":"Open","open":{"timestamp":"2026-01-01T00:00:01Z","ipAddress":"192.0.2.1"},"mail":{
        "timestamp":"2026-01-01T00:00:00Z","messageId":"m","destination":["a@example.com"],
        "sourceArn":"arn:aws:ses:us-east-1:123456789012:identity/example.com"}}"#;
    let sns = serde_json::json!({"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": said});
    let detail: serde_json::Value = serde_json::from_str(said).unwrap();
    let bus = serde_json::json!({"detail-type": "Email Opened", "source": "aws.ses", "region": "us-east-1", "detail": detail});
    let by_sns = serde_json::json!({"Type": "Notification", "Message": bus.to_string()});
    let sqs = |body: String| serde_json::json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": body}]});
    let direct = common::sns_event(said);
    let bare = records(said);
    assert_eq!(bare.len(), 1);
    for wrapped in
        [&sns, &bus, &by_sns, &sqs(sns.to_string()), &sqs(said.to_owned()), &sqs(bus.to_string()), &direct]
    {
        assert_eq!(records(&wrapped.to_string()), bare, "{wrapped}");
    }
}

#[test]
fn both_vocabularies_tell_one_event_id() {
    let both = records(&sample("batch-both-vocabularies"));
    assert_eq!(both.len(), 2);
    assert_eq!(both[0].event_id, both[1].event_id);
    assert_ne!(both[0].sk, both[1].sk);
    // A delivery has no feedback id, and only one of the two vocabularies need name the remote MTA.
    let delivery = |kind: &str, more: &str| {
        format!(
            r#"{{"{kind}":"Delivery","delivery":{{"timestamp":"2026-01-01T00:00:01.5Z","recipients":["B@example.com","a@example.com"]{more}}},
               "mail":{{"messageId":"m","timestamp":"2026-01-01T00:00:00Z","destination":[]}}}}"#
        )
    };
    let identity = records(&delivery("notificationType", r#","remoteMtaIp":"192.0.2.1""#));
    let event = records(&delivery("eventType", ""));
    assert_eq!((identity.len(), &identity[0].event_id), (2, &event[0].event_id));
    assert_ne!(identity[0].sk, event[0].sk);
}

#[test]
fn two_events_of_one_mail_are_two() {
    let open = |ip: &str| {
        format!(
            r#"{{"eventType":"Open","open":{{"timestamp":"2026-01-01T00:00:01Z","ipAddress":"{ip}"}},
               "mail":{{"messageId":"m","destination":["a@example.com"]}}}}"#
        )
    };
    assert_ne!(records(&open("192.0.2.1"))[0].sk, records(&open("192.0.2.2"))[0].sk);
}

#[test]
fn a_bad_recipient_costs_only_itself() {
    let said = r#"{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","timestamp":"2026-01-01T00:00:00Z",
        "feedbackId":"f","bouncedRecipients":[{"emailAddress":"a@example.com"},{"emailAddress":"nobody"},{"status":"5.1.1"}]},
        "mail":{"messageId":"m"}}"#;
    let payload = envelope::open_payload(said).unwrap();
    let Ok(ParsedMessage::Feedback(notification)) = &payload.messages[0].content else {
        panic!("{payload:?}")
    };
    let normalized =
        feedback::normalize(notification, &payload.messages[0].origin, None, Retention::default()).unwrap();
    assert_eq!(normalized.records.len(), 1);
    let errors: Vec<_> = normalized.malformed_recipients.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "bounce.bouncedRecipients[1].emailAddress: not an e-mail address: nobody",
            "bounce.bouncedRecipients[2].emailAddress: missing or empty",
        ]
    );
}

/// What can't be read, and the field that the error names.
#[test]
fn malformed_input_names_the_field() {
    let cases = [
        ("Hello", "payload: not JSON: Hello"),
        ("", "payload: not JSON"),
        ("[]", "payload: of the wrong type"),
        ("{}", "eventType (or notificationType): missing or empty"),
        (r#"{"eventType":"Bounce"}"#, "mail: missing or empty"),
        (r#"{"eventType":"Bounce","mail":7}"#, "mail: of the wrong type"),
        (r#"{"eventType":"Bounce","mail":{}}"#, "mail.messageId: missing or empty"),
        (r#"{"eventType":"Bounce","mail":{"messageId":"m"}}"#, "bounce: missing or empty"),
        (
            r#"{"eventType":"Bounce","mail":{"messageId":"m"},"bounce":{"bouncedRecipients":7}}"#,
            "bounce.bouncedRecipients: of the wrong type",
        ),
        (
            r#"{"eventType":"Bounce","mail":{"messageId":"m"},"bounce":{}}"#,
            "bounce.bouncedRecipients: missing or empty",
        ),
        (
            r#"{"eventType":"Complaint","mail":{"messageId":"m"},"complaint":{"complainedRecipients":[]}}"#,
            "complaint.complainedRecipients: missing or empty",
        ),
        (
            r#"{"eventType":"Send","mail":{"messageId":"m","destination":[]}}"#,
            "mail.destination: missing or empty",
        ),
        (
            r#"{"eventType":"Send","mail":{"messageId":"m","destination":["a@example.com"],"timestamp":"soon"}}"#,
            "mail.timestamp: no readable time",
        ),
        (r#"{"Type":"Notification","TopicArn":"t"}"#, "Message: missing or empty"),
        (r#"{"Type":"Notification","Message":"{\"eventType\":\"Send\"}"}"#, "Message.mail: missing or empty"),
        (
            r#"{"Type":"Notification","Message":{"eventType":"Send"}}"#,
            r#"Message: must be a string: {"eventType":"Send"}"#,
        ),
        (r#"{"detail-type":"Email Sent","source":"aws.ses","detail":{}}"#, "detail.eventType (or"),
        (r#"{"detail-type":"Email Sent","source":"aws.ses","detail":"x"}"#, "detail: of the wrong type"),
        (
            r#"{"detail-type":"Email Bounced","source":"aws.ses","detail":{"mail":{}}}"#,
            "detail.eventType (or",
        ),
        (
            r#"{"detail-type":"x","source":"aws.s3","detail":{}}"#,
            "source: not a source of what SES says: aws.s3",
        ),
        (
            r#"{"eventType":"Send\ud83d","mail":{"messageId":"\ud83d","timestamp":"\ud83d"}"#,
            "payload: not JSON",
        ),
        (r#"{"Records":7}"#, "Records: of the wrong type"),
        (
            r#"{"Records":[{"eventSource":"aws:s3"}]}"#,
            "Records[0].eventSource: not a source of what SES says",
        ),
        (r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1"}]}"#, "Records[0].body: missing or empty"),
        (
            r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":[]}]}"#,
            "Records[0].body: of the wrong type: invalid type: sequence, expected a string",
        ),
        (
            r#"{"Records":[{"eventSource":"aws:sqs","messageId":"1","body":"{}"}]}"#,
            "Records[0].body.eventType (or notificationType): missing",
        ),
    ];
    for (payload, expected) in cases {
        let error = match envelope::open_payload(payload) {
            Err(error) => error.to_string(),
            Ok(payload) => {
                let lines = common::told(&payload);
                // Whose the message is does not matter here.
                lines.lines().filter(|line| !line.starts_with("foreign: ")).collect::<Vec<_>>().join("\n")
            }
        };
        let error = error.strip_prefix("malformed: ").unwrap_or(&error);
        assert!(error.starts_with(expected), "{payload}\n  said {error}\n  not  {expected}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn what_ses_has_added_is_told() {
    let unknown = |name: &str| {
        let payload = envelope::open_payload(&sample(name)).unwrap();
        let Ok(ParsedMessage::Feedback(notification)) = &payload.messages[0].content else {
            panic!("{name}")
        };
        notification.fields_with_unknown_values()
    };
    assert_eq!(unknown("unknown-kind"), ["eventType"]);
    assert_eq!(unknown("bounce-unknown-type"), ["bounce.bounceType", "bounce.bounceSubType"]);
    assert_eq!(unknown("bounce-permanent-unknown-subtype"), ["bounce.bounceSubType"]);
    assert_eq!(unknown("complaint-unknown-feedback-type"), ["complaint.complaintFeedbackType"]);
    assert_eq!(unknown("complaint-unknown-subtype"), ["complaint.complaintSubType"]);
    assert!(unknown("bounce-permanent-email-validation-suppressed").is_empty());
    assert!(unknown("bounce-permanent-unsubscribed-recipient").is_empty());
    assert!(unknown("delivery-delay").is_empty());
    assert!(unknown("bounce-permanent-general").is_empty());
}

/// At every level of wrapping, an odd character costs itself: the records are those of U+FFFD in its place.
#[test]
fn an_odd_character_costs_only_itself() {
    let said = |odd: &str| {
        format!(
            r#"{{"eventType":"Bounce","bounce":{{"bounceType":"Permanent","timestamp":"2026-01-01T00:00:00Z","feedbackId":"f",
            "bouncedRecipients":[{{"emailAddress":"a@example.com","diagnosticCode":"550 {odd}"}}]}},
            "mail":{{"messageId":"m","destination":["a@example.com"],"tags":{{"campaign":["{odd}"]}},"{odd}":1}}}}"#
        )
    };
    let wrapped = |said: &str, odd: &str| {
        let text = serde_json::Value::from(said);
        let sns = format!(r#"{{"Type":"Notification","Subject":"{odd}","Message":{text}}}"#);
        let bus = format!(
            r#"{{"detail-type":"Email Bounced","source":"aws.ses","region":"us-east-1","{odd}":1,"detail":{said}}}"#
        );
        let sqs = |body: &str| {
            let body = serde_json::Value::from(body);
            format!(
                r#"{{"Records":[{{"eventSource":"aws:sqs","messageId":"1","body":{body},"attributes":{{"{odd}":"{odd}"}}}}]}}"#
            )
        };
        let message = |text: &str| format!(r#""Subject":"{odd}","Message":{text}"#);
        let direct =
            common::sns_event("said").to_string().replace(r#""Message":"said""#, &message(&text.to_string()));
        [said.to_owned(), sqs(said), sqs(&sns), sqs(&bus), direct, sns, bus]
    };
    for (odd, same) in [
        (r"\ud83d", r"\ufffd"),
        (r"\uDE00!", r"\ufffd!"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        ("\n", r"\n"),
        ("\u{1}", r"\u0001"),
        (r"\x", r"\\x"),
    ] {
        let expected = records(&said(same));
        assert_eq!(expected.len(), 1);
        for payload in wrapped(&said(odd), odd) {
            assert_eq!(records(&payload), expected, "{payload}");
        }
    }
}

#[test]
fn fields_that_ses_has_added_are_told_without_their_values() {
    let unknown = |name: &str| {
        let payload = envelope::open_payload(&sample(name)).unwrap();
        let Ok(ParsedMessage::Feedback(notification)) = &payload.messages[0].content else {
            panic!("{name}")
        };
        notification.unknown_field_names().into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        unknown("bounce-unknown-fields"),
        ["bounce.bounceScore", "bounce.bouncedRecipients.retryAfterSeconds"]
    );
    assert_eq!(unknown("bounce-several-unknown-fields"), ["bounce.bouncedRecipients.attempt"]);
    assert_eq!(unknown("open-unknown-fields"), ["open.isAutomated"]);
    assert_eq!(unknown("send-unknown-fields"), ["send.queue"]);
    assert!(unknown("bounce-permanent-general").is_empty());
    assert!(unknown("unknown-kind").is_empty());
    let said = r#"{"eventType":"Open","open":{"jane@example.com":1,"newField":2},"mail":{"messageId":"m"}}"#;
    let payload = envelope::open_payload(said).unwrap();
    let Ok(ParsedMessage::Feedback(notification)) = &payload.messages[0].content else {
        panic!("{payload:?}")
    };
    assert_eq!(
        notification.unknown_field_names().into_iter().collect::<Vec<_>>(),
        ["open.?", "open.newField"]
    );
}

/// Of two samples with the same key for a record, both make the same record: otherwise each has ids of its own, as SES's would.
#[test]
fn no_two_samples_contradict_each_other() {
    assert_eq!(common::contradictions(&bodies(), table), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Any damage to a real message is an error or a record, never a panic, and never a key that the table refuses.
    #[test]
    fn damage_never_panics(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), with in ".{0,3}") {
        let bodies = bodies();
        let body: &String = which.get(&bodies);
        let (start, c) = *at.get(&body.char_indices().collect::<Vec<_>>());
        let damaged = format!("{}{with}{}", &body[..start], &body[start + c.len_utf8()..]);
        let payload = envelope::open_payload(&damaged).unwrap_or(Payload { source: envelope::InvocationSource::Direct, messages: Vec::new() });
        for message in payload.messages {
            if let Ok(ParsedMessage::Feedback(notification)) = message.content
                && let Ok(normalized) = feedback::normalize(&notification, &message.origin, None, Retention::default())
            {
                for record in normalized.records {
                    prop_assert!((1..=2048).contains(&record.pk.len()));
                    prop_assert!((1..=1024).contains(&record.sk.len()));
                    prop_assert_eq!(record.sk.split('#').count(), 5, "{}", record.sk);
                    prop_assert!((1..=2048).contains(&record.message_id.len()));
                }
            }
        }
    }

    /// Redelivered any number of times, in any order, in any company: the same records under the same keys.
    #[test]
    fn any_order_and_duplication_converges(
        once in prop::sample::subsequence(bodies(), 0..8),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..16),
    ) {
        let mut all = once.clone();
        all.extend(again.iter().filter(|_| !once.is_empty()).map(|index| index.get(&once).clone()));
        prop_assert_eq!(&table(&all), &table(&once));
        all.reverse();
        prop_assert_eq!(&table(&all), &table(&once));
    }
}

/// What a table holds after one batch of these messages.
fn table(bodies: &[String]) -> common::Table {
    let message = |body| serde_json::json!({"eventSource": "aws:sqs", "messageId": "1", "body": body});
    let batch = serde_json::json!({ "Records": bodies.iter().map(message).collect::<Vec<_>>() });
    let records = records(&batch.to_string());
    records.into_iter().map(|r| ((r.pk.clone(), r.sk.clone()), serde_json::to_string(&r).unwrap())).collect()
}
