//! `mailroom audit` as a user runs it, before an AWS that answers what a test has it answer.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod aws;

use std::time::Duration;

use aws::{Answer, Request, mailroom, mailroom_unread};
use mailroom_audit::facts::{AccountFacts, ApiAnswer, RegionFacts, StackFacts};
use mailroom_audit::judge_sections;
use mailroom_aws::clock::{Clock, SystemClock};
use serde_json::{Value, json};

/// The account of a Region in which nothing is set up, and in which mail may be sent or not.
fn facts(region: &str, sends: bool) -> RegionFacts {
    RegionFacts {
        stack: StackFacts { region: region.to_owned(), ..StackFacts::default() },
        account: ApiAnswer::Answered(AccountFacts {
            production_access_enabled: true,
            sending_enabled: sends,
            enforcement_status: None,
            send_quota: None,
            suppressed_reasons: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
            review: None,
        }),
        identities: ApiAnswer::Answered(vec![]),
        configuration_sets: ApiAnswer::Answered(vec![]),
        last_list_pass: ApiAnswer::NotAsked,
        peer_pushes: ApiAnswer::NotAsked,
        access_keys: ApiAnswer::Answered(vec![]),
        rule_set: ApiAnswer::NotAsked,
        buckets: vec![],
    }
}

/// As DynamoDB's API has an item.
fn item(value: &Value) -> Value {
    let object = |of: &serde_json::Map<String, Value>| {
        of.iter().map(|(name, of)| (name.clone(), item(of))).collect::<Value>()
    };
    match value {
        Value::Null => json!({"NULL": true}),
        Value::Bool(of) => json!({"BOOL": of}),
        Value::Number(of) => json!({"N": of.to_string()}),
        Value::String(of) => json!({"S": of}),
        Value::Array(of) => json!({"L": of.iter().map(item).collect::<Vec<_>>()}),
        Value::Object(of) => json!({"M": object(of)}),
    }
}

/// The verdicts of an audit of some hours ago.
fn items(region: &str, sends: bool, hours: u64) -> String {
    let at = SystemClock.now().minus(Duration::from_hours(hours));
    let verdicts = judge_sections(&facts(region, sends), at);
    let items: Vec<_> =
        verdicts.iter().map(|told| item(&serde_json::to_value(told).unwrap())["M"].clone()).collect();
    json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items}).to_string()
}

/// Stacks in us-east-1, which fails, in us-west-2, which passes, in eu-west-1, which has not been audited, and in eu-west-2, where
/// the table can't be read. eu-west-3 has a table and no stack, and passed too long ago. ap-south-2 is not enabled. Elsewhere there
/// is no stack.
fn account(request: &Request) -> Answer {
    let region = request.region.as_str();
    match (request.service.as_str(), region) {
        ("cloudformation", "us-east-1" | "us-west-2" | "eu-west-1" | "eu-west-2") => {
            aws::stack(&[("TableName", "t")])
        }
        ("cloudformation", "ap-south-2") => (403, error("InvalidClientTokenId")),
        ("cloudformation", _) => (400, error("ValidationError")),
        ("dynamodb", "us-east-1") => (200, items(region, false, 1)),
        ("dynamodb", "us-west-2") => (200, items(region, true, 47)),
        ("dynamodb", "eu-west-3") => (200, items(region, true, 49)),
        ("dynamodb", "eu-west-1") => (200, json!({"Count": 0, "ScannedCount": 0, "Items": []}).to_string()),
        ("dynamodb", "eu-west-2") => (
            400,
            json!({"__type": "com.amazon.coral.service#AccessDeniedException", "message": "no"}).to_string(),
        ),
        (service, region) => panic!("{service} in {region}: {}", request.line),
    }
}

fn error(code: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    )
}

#[test]
fn all_that_have_the_stack() {
    let (status, out, err) = mailroom(&["audit"], Some(account));
    assert_eq!(status, 1, "{out}{err}");
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("REGION     1 endpoints  2 sandbox  3 verified  4 DKIM"), "{out}");
    let rows: Vec<_> = lines.iter().skip(1).take_while(|line| !line.is_empty()).collect();
    let cells = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(rows[0])[..5], ["eu-west-1", "?", "unknown", "?", "unknown"]);
    assert_eq!(cells(rows[1])[0], "eu-west-2");
    assert_eq!(cells(rows[2])[..5], ["us-east-1", "✓", "pass", "✗", "FAIL"]);
    assert_eq!(cells(rows[3])[..5], ["us-west-2", "✓", "pass", "✓", "pass"]);
    assert_eq!(rows.len(), 4, "{out}");
    assert!(
        out.contains("\nus-east-1\n  ✗ FAIL  2 sandbox\n      sending is paused in this Region\n"),
        "{out}"
    );
    assert!(
        out.contains(
            "\n        aws sesv2 put-account-sending-attributes --sending-enabled --region us-east-1\n"
        ),
        "{out}"
    );
    assert!(out.contains("\neu-west-1\n  ? unknown  not audited yet"), "{out}");
    let left_out = lines.iter().find(|line| line.starts_with("Not here")).unwrap();
    assert!(
        left_out.contains("ap-south-2") && left_out.contains("sa-east-1") && !left_out.contains("us-gov"),
        "{out}"
    );
    assert_eq!(
        err,
        "mailroom: t in eu-west-2: these credentials may not do that (AccessDeniedException): it takes dynamodb:Query\n"
    );
}

#[test]
fn the_exit_status_tells_what_the_worst_is() {
    for (regions, expected) in [
        ("us-west-2", 0),
        ("us-west-2,eu-west-1", 2),
        ("us-west-2,sa-east-1", 2),
        ("us-west-2,eu-west-2", 2),
        ("us-east-1,eu-west-2", 1),
        ("ap-south-2", 1),
    ] {
        let (status, out, err) = mailroom(&["audit", "--regions", regions], Some(account));
        assert_eq!(status, expected, "{regions}: {out}{err}");
    }
}

#[test]
fn passes_of_a_function_that_has_stopped_are_no_success() {
    let (status, out, err) =
        mailroom(&["audit", "--table", "t", "--regions", "us-west-2,eu-west-3"], Some(account));
    assert_eq!((status, err.as_str()), (2, ""), "{out}");
    assert!(out.contains("\neu-west-3\n  ? unknown  last audited 20"), "{out}");
    // IAM is global, and the other Region has asked it.
    assert!(out.contains("\n2 Regions, 20 sections: 0 fail, 0 warn, 9 unknown; audited "), "{out}");
}

#[test]
fn whoever_reads_only_the_start_is_told_the_same_by_the_status() {
    for (regions, expected) in [("us-west-2", 0), ("us-east-1", 1), ("eu-west-1", 2)] {
        for json in [&[][..], &["--json"]] {
            let (status, err) = mailroom_unread(&[&["audit", "--regions", regions], json].concat(), account);
            assert_eq!((status, err.as_str()), (expected, ""), "{regions}");
        }
    }
}

#[test]
fn regions_that_were_named_have_a_row_and_say_why_they_are_unknown() {
    let (_, out, _) = mailroom(&["audit", "--regions", "sa-east-1,ap-south-2,us-west-2"], Some(account));
    assert!(out.contains("\nsa-east-1\n  ? unknown  no stack mailroom\n"), "{out}");
    assert!(
        out.contains("SES answers InvalidClientTokenId: the account has not enabled the Region"),
        "{out}"
    );
    assert!(
        out.contains("\n        aws account enable-region --region-name ap-south-2 --region us-east-1\n"),
        "{out}"
    );
    assert!(!out.contains("Not here"), "{out}");
}

#[test]
fn a_section_is_a_line_of_json() {
    let (status, out, _) =
        mailroom(&["audit", "--json", "--table", "t", "--regions", "us-east-1,eu-west-1"], Some(account));
    assert_eq!(status, 1);
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 20);
    assert_eq!(
        (&lines[1]["region"], &lines[1]["section"], &lines[1]["verdict"]),
        (&json!("us-east-1"), &json!("sandbox"), &json!("fail"))
    );
    assert_eq!(
        (&lines[19]["region"], &lines[19]["number"], &lines[19]["verdict"]),
        (&json!("eu-west-1"), &json!(10), &json!("unknown"))
    );
}

#[test]
fn what_is_wrong_is_said() {
    for (arguments, expected) in [
        (&["--regions", "mars-1"][..], "mailroom: mars-1 is no Region"),
        (&["--regions", "all,us-east-1"], "mailroom: all is no Region"),
        (&["--table", "t"], "mailroom: --table: not every Region has that table. Name those that have it"),
        (&["--receiving", "us-east-1=on"], "mailroom: --receiving is for --live"),
        (&["--live", "--receiving", "us-east-1"], "mailroom: --receiving us-east-1=: what it says"),
        (&["--live", "--table", "t"], "error: the argument '--live' cannot be used with '--table"),
        (&[], "mailroom: no credentials"),
    ] {
        let (status, out, err) = mailroom(&[&["audit"], arguments].concat(), None);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.starts_with(expected), "{arguments:?}: {err}");
    }
}
