//! `mailroom normalize` as a user runs it: arguments, streams and exit status. What the records are is core's business.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../events/feedback");

struct Output {
    status: i32,
    records: Vec<serde_json::Value>,
    stderr: Vec<String>,
}

fn normalize(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailroom"))
        .arg("normalize")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    Output {
        status: output.status.code().unwrap(),
        records: lines(output.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect(),
        stderr: lines(output.stderr),
    }
}

fn sample(name: &str) -> String {
    format!("{SAMPLES}/{name}.json")
}

const BARE: &str = r#"{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":"General",
    "bouncedRecipients":[{"emailAddress":"Jane@Example.com"}],"timestamp":"2026-01-27 14:59:38 +0000","feedbackId":"f-1"},
    "mail":{"messageId":"m-1","timestamp":"2026-01-27T14:59:00Z","destination":["jane@example.com"]}}"#;

#[test]
fn a_bare_notification_from_standard_input() {
    for arguments in [&[][..], &["-"]] {
        let output = normalize(arguments, BARE);
        assert_eq!((output.status, output.stderr.len()), (0, 0));
        let [record] = &output.records[..] else { unreachable!("{:?}", output.records) };
        let expected = [
            ("kind", "bounce"),
            ("recipient", "Jane@Example.com"),
            ("address", "jane@example.com"),
            ("occurred_at", "2026-01-27T14:59:38.000Z"),
            ("event_id", "f-1"),
            ("message_id", "m-1"),
            ("evidence", "bounce"),
            ("bounce_type", "Permanent"),
            ("bounce_subtype", "General"),
        ];
        for (field, value) in expected {
            assert_eq!(record[field], value, "{field}");
        }
        assert!(record["region"].is_null());
    }
}

#[test]
fn the_region_is_the_arns_else_the_arguments() {
    assert_eq!(normalize(&["--region", "eu-west-1"], BARE).records[0]["region"], "eu-west-1");
    let sample = sample("bounce-permanent-general");
    assert_eq!(normalize(&["--region", "eu-west-1", &sample], "").records[0]["region"], "us-east-1");
}

#[test]
fn what_is_ignored_is_a_line_on_stderr() {
    let output = normalize(&[], "Successfully validated SNS topic for Amazon SES event publishing.");
    assert_eq!((output.status, output.records.len()), (0, 0));
    assert_eq!(output.stderr, ["mailroom: ignored: SES has validated the topic for event publishing"]);
}

#[test]
fn what_is_malformed_is_a_line_that_names_the_field() {
    let output = normalize(&[], r#"{"eventType":"Bounce","bounce":{},"mail":{"messageId":"m"}}"#);
    assert_eq!((output.status, output.records.len()), (2, 0));
    assert_eq!(output.stderr, ["mailroom: bounce.bouncedRecipients: missing or empty"]);
    let output = normalize(&[], "{\"eventType\":\n");
    assert_eq!(
        (output.status, output.stderr),
        (2, vec!["mailroom: payload: not JSON: {\"eventType\":".to_owned()])
    );
}

#[test]
fn a_batch_prints_what_it_can() {
    let output = normalize(&[&sample("batch-good-and-bad")], "");
    assert_eq!(output.status, 2);
    let kinds: Vec<_> = output.records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["bounce", "complaint", "delivery_delay"]);
    assert_eq!(output.stderr.iter().filter(|line| line.starts_with("mailroom: ignored: ")).count(), 1);
    assert_eq!(output.stderr.iter().filter(|line| line.starts_with("mailroom: Records[")).count(), 2);
}

#[test]
fn received_mail_with_what_is_known_without_s3() {
    let inbound = |name: &str| format!("{SAMPLES}/../inbound/{name}.json");
    let output = normalize(&[&inbound("several-recipients")], "");
    assert_eq!((output.status, output.records.len(), output.stderr.len()), (0, 3, 0));
    assert_eq!(output.records[2]["address"], "press@example.com");
    assert_eq!(
        (&output.records[2]["kind"], &output.records[2]["disposition"]),
        (&"received".into(), &"clean".into())
    );
    assert!(output.records[2]["reference"].is_null());
    let stored = &normalize(&[&inbound("s3-plain")], "").records[0]["reference"];
    assert_eq!(stored["bucket"], "local-mail");
    assert!(stored["size"].is_null());
    let inline = &normalize(&[&inbound("sns-base64-attachments")], "").records[0]["structure"];
    assert_eq!(inline["attachments"][0]["type"], "application/pdf");
    let damaged = normalize(&[&inbound("malformed-base64")], "");
    assert_eq!(
        (damaged.status, damaged.stderr),
        (2, vec!["mailroom: Records[0].body.content: not Base64".to_owned()])
    );
}

#[test]
fn a_file_that_is_not_there() {
    let output = normalize(&["nowhere.json"], "");
    assert_eq!((output.status, output.records.len(), output.stderr.len()), (1, 0, 1));
    assert!(output.stderr[0].starts_with("mailroom: nowhere.json: "), "{:?}", output.stderr);
}
