//! Every sample of a mail received becomes exactly the records of its snapshot. Review a change with `cargo insta review`,
//! or accept it with `INSTA_UPDATE=always`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod common;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use mailroom_core::envelope::{self, InvocationSource, Payload, PayloadMessage};
use mailroom_core::inbound::{
    self, InboundRecord, InboundSettings, MailDisposition, MailInspection, MailStore, MailStructure,
    ObjectFacts, ObjectLocation, Receipt, UnreadableReason,
};
use mailroom_core::notification::ParsedMessage;
use mailroom_core::record::TableItem;
use proptest::prelude::*;
use serde_json::{Value, json};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/inbound");

#[test]
fn every_mail_becomes_its_records() {
    common::check_snapshots("every_mail_becomes_its_records", SAMPLES);
}

fn sample(name: &str) -> String {
    common::sample(SAMPLES, name)
}

fn bodies() -> Vec<String> {
    static BODIES: LazyLock<Vec<String>> = LazyLock::new(|| common::bodies(SAMPLES));
    BODIES.clone()
}

/// The mails that came with a notification.
fn mails() -> Vec<Vec<u8>> {
    static MAILS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let mail = |body: &String| {
            let payload = envelope::open_payload(body).ok()?;
            let (receipt, _) = first(&payload)?;
            Some(receipt.content().ok()??.into_owned())
        };
        bodies().iter().filter_map(mail).collect()
    });
    MAILS.clone()
}

fn first(payload: &Payload) -> Option<(&Receipt, &PayloadMessage)> {
    payload.messages.iter().find_map(|message| match &message.content {
        Ok(ParsedMessage::Received(receipt)) => Some((receipt.as_ref(), message)),
        _ => None,
    })
}

/// The records of a payload's only message.
fn records(payload: &str) -> Vec<InboundRecord> {
    with(payload, |_| MailInspection::default())
}

fn with(payload: &str, found: impl Fn(&Receipt) -> MailInspection) -> Vec<InboundRecord> {
    let payload = envelope::open_payload(payload).unwrap();
    let (receipt, message) = first(&payload).unwrap();
    let rules = InboundSettings { default_region: Some("us-east-1"), ..InboundSettings::default() };
    inbound::normalize_valid_recipients(receipt, &message.origin, &found(receipt), rules).unwrap().records
}

fn store() -> MailStore {
    MailStore { bucket: "local-mail".to_owned(), prefix: "mail/".to_owned() }
}

/// What the function finds out, as far as the mail is in `bucket_region`.
fn object(bucket_region: &str, metadata: &[(&str, &str)]) -> ObjectFacts {
    ObjectFacts {
        bucket_region: bucket_region.to_owned(),
        version_id: Some("3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo".to_owned()),
        etag: Some("\"9b2cf535f27731c974343645a3985328\"".to_owned()),
        size: Some(2048),
        server_side_encryption: Some("AES256".to_owned()),
        metadata: metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn body_of(sample: &str) -> Value {
    let event: Value = serde_json::from_str(sample).unwrap();
    let envelope: Value = serde_json::from_str(event["Records"][0]["body"].as_str().unwrap()).unwrap();
    serde_json::from_str(envelope["Message"].as_str().unwrap()).unwrap()
}

#[test]
fn the_wrapping_changes_nothing() {
    let said = body_of(&sample("s3-plain")).to_string();
    let sns =
        json!({"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t", "Message": said});
    let sqs = |body: String| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": body}]});
    let direct = common::sns_event(&said);
    let bare = records(&said);
    assert_eq!(bare.len(), 1);
    for wrapped in [&sns, &sqs(sns.to_string()), &sqs(said.clone()), &direct] {
        assert_eq!(records(&wrapped.to_string()), bare, "{wrapped}");
    }
}

#[test]
fn the_actions_of_one_rule_make_one_key_in_one_place() {
    let mut said = body_of(&sample("s3-plain"));
    let found = |receipt: &Receipt| MailInspection {
        location: ObjectLocation::from_receipt(receipt, Some(&store())),
        object: Some(object("eu-west-1", &[])),
        structure: None,
    };
    let by_s3 = with(&said.to_string(), found);
    let mut action = said["receipt"].clone();
    action["action"] =
        json!({"type": "Lambda", "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f"});
    // The later action is taken later: the mail's own time makes the key.
    action["timestamp"] = json!("2026-06-29T00:00:00Z");
    let ses = json!({"mail": said["mail"], "receipt": action});
    let by_lambda = with(&json!({"Records": [{"eventSource": "aws:ses", "ses": ses}]}).to_string(), found);
    said["receipt"]["action"] =
        json!({"type": "SNS", "encoding": "UTF8", "topicArn": "arn:aws:sns:us-east-1:123456789012:t"});
    said["content"] = json!("Subject: x\r\n\r\nx");
    let by_sns = with(&said.to_string(), found);
    assert_eq!(by_s3, by_lambda);
    assert_eq!(by_s3, by_sns);
    let reference = by_s3[0].reference.clone().unwrap();
    assert_eq!(
        (reference.bucket.as_str(), reference.bucket_region.as_deref()),
        ("local-mail", Some("eu-west-1"))
    );
    assert_eq!(reference.key, format!("mail/{}", by_s3[0].message_id));
    assert_eq!(reference.crosses_regions, Some(true));
}

/// The bucket's Region, user metadata, the encryption, and whether the mail crosses Regions.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, bool);

#[test]
fn the_reference_says_what_it_takes_to_read_the_mail() {
    let cases: &[Case] = &[
        ("us-east-1", &[], "sse-s3", false),
        ("eu-west-1", &[], "sse-s3", true),
        ("us-east-1", &[("x-amz-key-v2", "AQID"), ("x-amz-wrap-alg", "kms")], "client-kms", false),
    ];
    for (region, metadata, encryption, crosses) in cases {
        let found = |receipt: &Receipt| {
            let object = object(region, metadata);
            let structure = object
                .encryption()
                .is_client_side()
                .then(|| MailStructure::from_unreadable(UnreadableReason::Encrypted));
            MailInspection {
                location: ObjectLocation::from_receipt(receipt, Some(&store())),
                object: Some(object),
                structure,
            }
        };
        let record = serde_json::to_value(&with(&sample("plain"), found)[0]).unwrap();
        assert_eq!(record["reference"]["encryption"], *encryption);
        assert_eq!(record["reference"]["crosses_regions"], *crosses);
        assert_eq!(record["reference"]["etag"], "\"9b2cf535f27731c974343645a3985328\"");
        let unreadable = &record["structure"]["unreadable"];
        assert_eq!(unreadable.as_str(), metadata.first().map(|_| "encrypted on the client's side"));
    }
    assert!(records(&sample("plain"))[0].reference.is_none());
}

#[test]
fn ses_is_believed_before_the_mail_and_the_mail_where_ses_is_silent() {
    let mail = b"From: other@example.org\r\nSubject: Another\r\nIn-Reply-To: <a@b>\r\nList-Id: <l.example.net>\r\n\r\nx";
    let found = |_: &Receipt| MailInspection {
        structure: Some(MailStructure::parse(mail, true)),
        ..MailInspection::default()
    };
    let told = &with(&sample("plain"), found)[0];
    assert_eq!(told.subject.as_deref(), Some("A question about my order"));
    assert_eq!(told.from[0].address.as_deref(), Some("ines.keller@example.net"));
    assert_eq!(told.in_reply_to.as_deref(), Some("a@b"));
    let silent = &with(&sample("headers-absent"), found)[0];
    assert_eq!(silent.subject.as_deref(), Some("Another"));
    assert_eq!(silent.from[0].address.as_deref(), Some("other@example.org"));
    assert_eq!(silent.loop_signs.auto_reply_ok, Some(false));
    // A header that was seen to its end answers what SES left out; one that was cut does not.
    let person = b"Subject: Another\r\n\r\nx";
    let seen = |bytes: &'static [u8], whole| {
        let found = |_: &Receipt| MailInspection {
            structure: Some(MailStructure::parse(bytes, whole)),
            ..MailInspection::default()
        };
        with(&sample("headers-truncated"), found)[0].loop_signs.auto_reply_ok
    };
    assert_eq!(seen(person, false), Some(true));
    assert_eq!(seen(&person[..17], false), None);
}

#[test]
fn a_hundred_recipients_are_a_hundred_small_records() {
    let mut said = body_of(&sample("s3-plain"));
    let many = |text: &str| vec![text; 200].join(" ");
    said["receipt"]["recipients"] = (0..100).map(|n| json!(format!("r{n}@example.com"))).collect();
    said["mail"]["commonHeaders"]["from"] = json!(vec![format!("\"{}\" <a@example.net>", many("näme")); 50]);
    said["mail"]["commonHeaders"]["subject"] = json!(many("wörd"));
    let ids: String =
        (0..500).map(|n| format!("<{n}.{}@example.net> ", "i".repeat(300))).collect::<Vec<_>>().concat();
    said["mail"]["headers"] = json!([
        {"name": "References", "value": ids}, {"name": "In-Reply-To", "value": ids}, {"name": "List-Id", "value": ids},
    ]);
    let part = format!("--b\nContent-Type: {0}/{0}; name=\"{0}\"\n\nx\n", "ä".repeat(500));
    let mail = format!("Content-Type: multipart/mixed; boundary=b\n\n{}--b--\n", part.repeat(100));
    let found = |_: &Receipt| MailInspection {
        structure: Some(MailStructure::parse(mail.as_bytes(), true)),
        ..MailInspection::default()
    };
    let records = with(&said.to_string(), found);
    assert_eq!(records.len(), 100);
    let keys: std::collections::HashSet<_> = records.iter().map(TableItem::key).collect();
    assert_eq!(keys.len(), 100);
    for record in &records {
        assert_eq!((record.from.len(), record.references.len()), (5, 10));
        assert!(record.references[0].starts_with("0.") && record.references[9].starts_with("499."));
        let bytes = serde_json::to_string(record).unwrap().len();
        assert!(bytes < 16 * 1024, "{bytes}");
    }
}

#[test]
fn a_bad_recipient_costs_only_itself() {
    let payload = envelope::open_payload(&sample("recipient-malformed-among-good")).unwrap();
    let (receipt, message) = first(&payload).unwrap();
    let normalized = common::received(receipt, message).unwrap();
    assert_eq!(normalized.records.len(), 2);
    let errors: Vec<_> = normalized.malformed_recipients.iter().map(ToString::to_string).collect();
    assert_eq!(errors, ["ses.receipt.recipients[1]: not an e-mail address: not an address"]);
}

#[test]
fn what_the_stack_says_decides_the_disposition() {
    let mut rules = InboundSettings::default();
    rules.disposition_policy.spam = MailDisposition::Reject;
    rules.disposition_policy.unscanned = MailDisposition::Clean;
    for (name, expected) in [("spam", MailDisposition::Reject), ("scanning-disabled", MailDisposition::Clean)]
    {
        let payload = envelope::open_payload(&sample(name)).unwrap();
        let (receipt, message) = first(&payload).unwrap();
        let normalized =
            inbound::normalize_valid_recipients(receipt, &message.origin, &MailInspection::default(), rules)
                .unwrap();
        assert_eq!(normalized.records[0].disposition, expected, "{name}");
    }
}

/// What can't be read, and the field that the error names.
#[test]
fn malformed_input_names_the_field() {
    let lambda = |ses: &str| format!(r#"{{"Records":[{{"eventSource":"aws:ses","ses":{ses}}}]}}"#);
    let cases = [
        (lambda("7"), "Records[0].ses: of the wrong type"),
        (lambda("{}"), "Records[0].ses.mail: missing or empty"),
        (lambda(r#"{"mail":7}"#), "Records[0].ses.mail: of the wrong type"),
        (lambda(r#"{"mail":{"messageId":"m"},"receipt":{"recipients":"a@b"}}"#), "Records[0].ses.receipt.recipients: of the wrong type"),
        (r#"{"notificationType":"Received"}"#.to_owned(), "mail: missing or empty"),
        (r#"{"notificationType":"Received","mail":{"messageId":"m"}}"#.to_owned(), "receipt: missing or empty"),
        (
            json!({"notificationType": "Received", "mail": {"messageId": "m"}, "receipt": {"action": {"bucketName": "b", "objectKey": "k".repeat(1025)}}}).to_string(),
            "receipt.action.objectKey: too long",
        ),
        (
            json!({"notificationType": "Received", "mail": {"messageId": "m".repeat(256)}, "receipt": {}}).to_string(),
            "mail.messageId: too long",
        ),
    ];
    for (payload, expected) in cases {
        let error = common::told(&envelope::open_payload(&payload).unwrap());
        let error = error.strip_prefix("malformed: ").unwrap_or(&error);
        assert!(error.starts_with(expected), "{payload}\n  said {error}\n  not  {expected}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

/// See the test of the same name over feedback.
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
        let payload = envelope::open_payload(&damaged).unwrap_or(Payload { source: InvocationSource::Direct, messages: Vec::new() });
        for message in payload.messages {
            if let Ok(ParsedMessage::Received(receipt)) = &message.content
                && let Ok(normalized) = common::received(receipt, &message)
            {
                for record in normalized.records {
                    prop_assert!((1..=2048).contains(&record.pk.len()));
                    prop_assert!((1..=1024).contains(&record.sk.len()));
                    prop_assert_eq!(record.sk.split('#').count(), 3, "{}", record.sk);
                    prop_assert!((1..=2048).contains(&record.message_id.len()));
                }
            }
        }
    }

    /// A ranged read ends anywhere, and mail is what anybody cares to send.
    #[test]
    fn no_cut_and_no_damage_panics(
        which in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        whole in any::<bool>(),
    ) {
        let mut mail = which.get(&mails()).clone();
        for (at, byte) in damage {
            let at = at.index(mail.len());
            mail[at] = byte;
        }
        mail.truncate(cut.index(mail.len() + 1));
        let structure = MailStructure::parse(&mail, whole);
        prop_assert!(structure.attachments.iter().filter_map(|a| a.size).sum::<u64>() <= mail.len() as u64);
        let found = MailInspection { structure: Some(structure), ..MailInspection::default() };
        prop_assert_eq!(with(&sample("headers-absent"), |_| found.clone()).len(), 1);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512), whole in any::<bool>()) {
        let _ = MailStructure::parse(&bytes, whole);
        let _ = MailStructure::parse(&[b"Subject: x\nContent-Type: multipart/mixed; boundary=".as_slice(), &bytes].concat(), whole);
    }

    /// Whatever delimiters, escapes and halves of encoded words stand in the fields that are read.
    #[test]
    fn no_header_panics(values in prop::collection::vec(hostile_value(), 4), whole in any::<bool>()) {
        let names = ["Subject", "From", "Content-Type", "Content-Disposition"];
        let fields = names.iter().zip(&values);
        let mail: Vec<u8> = fields.flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\n"].concat()).collect();
        let structure = MailStructure::parse(&mail, whole);
        let found = MailInspection { structure: Some(structure), ..MailInspection::default() };
        for record in with(&sample("headers-absent"), |_| found.clone()) {
            prop_assert!(record.subject.is_none_or(|subject| subject.chars().count() <= 256));
            prop_assert!(record.from.len() <= 5);
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
    }
}

/// Pieces of what header fields are made of, and bytes that break them.
fn hostile_value() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"=?",
        b"?=",
        b"=?utf-8?Q?",
        b"=?gb2312?b?",
        b"=?iso-2022-jp?B?",
        b"GyRC",
        b"=C3",
        b"_",
        b"?",
        b"=",
        b"\"",
        b"\\",
        b"(",
        b")",
        b"<",
        b">",
        b",",
        b";",
        b":",
        b"@",
        b" ",
        b"\r",
        b"\n ",
        b"\r\n\t",
        b"\x1b$B",
        b"\x1b(J",
        b"\x1b",
        b"\x81",
        b"\xe6\x97",
        b"\xff",
        b"a",
        b"a@b.example",
        b"multipart/mixed; boundary=",
        b"charset=big5",
        b"*0*=",
        b"*1=",
        b"''",
        b"%8",
        b"filename",
        b"name*=",
        b"\0",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

/// Mail that somebody made to keep a reader busy: whatever repeats in it, the time grows with the size only. The limit is
/// generous, as other processes take time, too; a reader that goes back for each line or part would take 10^10 steps.
#[test]
fn hostile_mail_takes_time_in_proportion_to_its_size() {
    // More than is decoded of a value, and enough lines and parts that their square shows.
    const VALUE_BYTES: usize = 1 << 15;
    const MAIL_BYTES: usize = 1 << 17;
    let repeated = |bytes: usize, before: &str, piece: &str, after: &str| {
        [before.as_bytes(), &piece.as_bytes().repeat(bytes / piece.len()), after.as_bytes()].concat()
    };
    let mut mails = Vec::new();
    for field in [
        "Subject: ",
        "From: ",
        "Reply-To: ",
        "References: ",
        "Content-Type: text/plain; name=",
        "Content-Type: ",
    ] {
        for piece in [
            "=?",
            "=?a?q?",
            "=?utf-8?Q?=C3?= ",
            "=?a?b?x=",
            "=?iso-2022-jp?B?GyRC?=\n ",
            "\"",
            "\\\"",
            "\"\\",
            "(",
            "()",
            "(\\",
            "<",
            "<>",
            "<@,",
            ",",
            "a,",
            "a@b.example,",
            ":",
            ":;",
            "a:;",
            ">",
            "@",
            ";a=b",
            "; name*1*=a",
            "; name*0*=%",
            "a\n b",
            "\n\t",
            "\r",
            "\r\r\n ",
            "=",
            "\u{1b}$B",
            "\u{1b}",
            "\u{e9}",
        ] {
            mails.push(repeated(VALUE_BYTES, field, piece, "\n\nx"));
        }
    }
    for piece in [
        "X: y\n",
        "X: y\r",
        "List-Id: y\n",
        "Subject: =?utf-8?Q?a?=\n",
        "junk\n",
        "junk\r",
        "\r",
        "\n",
        ":\n",
    ] {
        mails.push(repeated(MAIL_BYTES, "From: a@b.example\n", piece, "\nx"));
    }
    for piece in [
        "--b\n",
        "--b\n\n",
        "--b--\n",
        "--",
        "--b\nContent-Type: multipart/mixed; boundary=b\n\n",
        "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n",
        "--b\nContent-Type: message/rfc822\n\n",
        "--b\nA: b\n",
        "\r--b\r\r",
    ] {
        mails.push(repeated(MAIL_BYTES, "Content-Type: multipart/mixed; boundary=b\n\n", piece, "\n--b--\n"));
    }
    let nested =
        (0..MAIL_BYTES / 64).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n"));
    mails.push(nested.collect::<String>().into_bytes());
    let sample = sample("headers-absent");
    for mail in mails {
        let begun = std::time::Instant::now();
        for whole in [true, false] {
            let structure = MailStructure::parse(&mail, whole);
            let found = MailInspection { structure: Some(structure), ..MailInspection::default() };
            assert_eq!(with(&sample, |_| found.clone()).len(), 1);
        }
        let begins = String::from_utf8_lossy(&mail[..80]).into_owned();
        assert!(begun.elapsed().as_secs() < 60, "{begins:?} took {:?}", begun.elapsed());
    }
}

/// What a table holds after these payloads.
fn table(payloads: &[String]) -> common::Table {
    let mut table = BTreeMap::new();
    for payload in payloads {
        let Ok(payload) = envelope::open_payload(payload) else { continue };
        for message in &payload.messages {
            let Ok(ParsedMessage::Received(receipt)) = &message.content else { continue };
            // What S3 has to say is the same whichever action told of the mail.
            let found = MailInspection {
                location: ObjectLocation::from_receipt(receipt, Some(&store())),
                ..MailInspection::default()
            };
            let normalized = inbound::normalize_valid_recipients(
                receipt,
                &message.origin,
                &found,
                InboundSettings::default(),
            );
            for record in normalized.unwrap_or_default().records {
                let (pk, sk) = record.key();
                table.insert((pk.to_owned(), sk.to_owned()), serde_json::to_string(&record).unwrap());
            }
        }
    }
    table
}
