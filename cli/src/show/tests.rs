//! What is shown of tables in memory.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use doubles::MemoryTable;
use mailroom_aws::table::records::RecordTable;
use mailroom_core::record::TableItem;
use mailroom_core::suppression::SuppressionState;
use mailroom_core::suppression::address_state::AddressState;
use mailroom_core::suppression::address_state::ApplyAttempt;
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::reason::SuppressionReason;
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::*;

fn at(second: u32) -> Timestamp {
    Timestamp::parse(&format!("2026-03-01T12:00:{second:02}Z")).unwrap()
}

/// A record as it lies in a table.
#[derive(Serialize)]
struct Stored(Value);

impl TableItem for Stored {
    fn key(&self) -> (&str, &str) {
        (self.0["pk"].as_str().unwrap(), self.0["sk"].as_str().unwrap())
    }
}

async fn bounce(table: &MemoryTable, second: u32) {
    let record = json!({
        "pk": "ADDR#jane@example.com",
        "sk": format!("FEEDBACK#{}#bounce#f-{second}#identity", at(second)),
        "kind": "bounce", "occurred_at": at(second), "event_id": format!("f-{second}"),
        "bounce_type": "Permanent", "bounce_subtype": "General", "action": "failed", "status": "5.1.1",
        "diagnostic": "smtp; 550 5.1.1 user unknown",
    });
    assert!(table.append(&[Stored(record)], aws::call_deadline()).await.is_empty());
}

/// Records a decision and takes it in, as decide does.
async fn decide(table: &MemoryTable, suppress: Option<SuppressionReason>, second: u32) {
    let address = Address::parse("Jane@Example.com").unwrap();
    let known = table.get_state("jane@example.com", aws::call_deadline()).await.unwrap();
    let before = known.as_ref().map(|known| known.state().clone()).unwrap_or_default();
    let decision = OperatorDecision::new(&address, suppress, "ops", "ticket 7", at(second), &before, "");
    table.append(std::slice::from_ref(&decision), aws::call_deadline()).await;
    let next = AddressState::join_change(known.as_ref(), &decision.to_state_change("us-east-1"), at(second))
        .unwrap();
    table.put_state(&next, known.map(|known| known.version()), aws::call_deadline()).await.unwrap();
}

async fn report(region: &str, table: &MemoryTable) -> RegionReport {
    let known = read_stored_address(table, table, "jane@example.com", 20).await;
    RegionReport { region: region.to_owned(), table: Some("records".to_owned()), stored: known }
}

async fn reports() -> Vec<RegionReport> {
    let (one, two) = (MemoryTable::default(), MemoryTable::default());
    bounce(&one, 1).await;
    decide(&one, Some(SuppressionReason::Complaint), 2).await;
    let state = one.states().remove(0);
    let written = ApplyAttempt::Written { reason: Some(SuppressionReason::Complaint), enabled: false };
    let done = state.record_attempt(state.version(), written, at(3));
    one.put_state(&done, Some(state.version()), aws::call_deadline()).await.unwrap();
    decide(&two, Some(SuppressionReason::Bounce), 4).await;
    decide(&two, None, 5).await;
    let lost = RegionReport { region: "eu-west-2".to_owned(), table: None, stored: Err("down".to_owned()) };
    let empty = MemoryTable::default();
    vec![
        report("us-east-1", &one).await,
        report("eu-west-1", &two).await,
        lost,
        report("eu-west-3", &empty).await,
    ]
}

#[tokio::test]
async fn a_table_for_people() {
    let mut out = Vec::new();
    show_output::print_table(&Address::parse("JANE@example.com").unwrap(), &reports().await, &mut out)
        .unwrap();
    let expected = "\
jane@example.com
also spelled Jane@Example.com

REGION     STATE      SINCE                     BY                   SES'S LIST
us-east-1  complaint  2026-03-01T12:00:02.000Z  operator, us-east-1  complaint 2026-03-01T12:00:03.000Z; has no effect: the reason is not enabled there
eu-west-1  released   2026-03-01T12:00:05.000Z  operator, us-east-1  never written; pending since 2026-03-01T12:00:04.000Z
eu-west-2  ?          -                         -                    could not be read
eu-west-3  none       -                         -                    -

WHEN                      REGION     WHAT                     WHY
2026-03-01T12:00:05.000Z  eu-west-1  release*                 ops: ticket 7
2026-03-01T12:00:04.000Z  eu-west-1  suppress bounce          ops: ticket 7
2026-03-01T12:00:02.000Z  us-east-1  suppress complaint*      ops: ticket 7
2026-03-01T12:00:01.000Z  us-east-1  bounce Permanent/General  failed, 5.1.1, smtp; 550 5.1.1 user unknown
";
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let out = String::from_utf8(out).unwrap();
    let (lines, expected): (Vec<_>, Vec<_>) =
        (out.lines().map(plain).collect(), expected.lines().map(plain).collect());
    assert_eq!(lines, expected, "\n{out}");
}

#[tokio::test]
async fn an_object_a_region() {
    let mut out = Vec::new();
    show_output::print_json_lines(&Address::parse("jane@example.com").unwrap(), &reports().await, &mut out)
        .unwrap();
    let lines: Vec<Value> =
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = lines.iter().map(|line| line["state"].clone()).collect();
    assert_eq!(states, [json!("complaint"), json!("released"), json!(null), json!("none")]);
    assert_eq!(lines[0]["item"]["applied"]["reason"], "complaint");
    let kinds: Vec<_> =
        lines[0]["history"].as_array().unwrap().iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["operator", "bounce"]);
    assert_eq!(
        lines[2],
        json!({"region": "eu-west-2", "table": null, "address": "jane@example.com", "error": "down"})
    );
    assert_eq!((&lines[3]["item"], &lines[3]["history"]), (&json!(null), &json!([])));
}

#[tokio::test]
async fn what_would_hide_or_turn_text_is_shown() {
    let table = MemoryTable::default();
    let odd = "j\u{202e}a\u{200b}ne@example.com";
    let address = Address::parse(&odd.to_uppercase()).unwrap();
    let nothing = SuppressionState::default();
    let decision = OperatorDecision::new(
        &address,
        Some(SuppressionReason::Bounce),
        "ops",
        "ticket\u{2060} 7",
        at(2),
        &nothing,
        "",
    );
    table.append(std::slice::from_ref(&decision), aws::call_deadline()).await;
    let change = decision.to_state_change("us-east-1");
    table
        .put_state(&AddressState::join_change(None, &change, at(2)).unwrap(), None, aws::call_deadline())
        .await
        .unwrap();
    let known = read_stored_address(&table, &table, odd, 20).await;
    let reports = [RegionReport { region: "us-east-1".to_owned(), table: None, stored: known }];
    let (mut table, mut lines) = (Vec::new(), Vec::new());
    show_output::print_table(&address, &reports, &mut table).unwrap();
    show_output::print_json_lines(&address, &reports, &mut lines).unwrap();
    let [table, lines] = [table, lines].map(|out| String::from_utf8(out).unwrap());
    assert!(table.starts_with("j\\u{202e}a\\u{200b}ne@example.com\nalso spelled J\\u{202e}A"), "{table}");
    assert!(table.contains(r"ops: ticket\u{2060} 7"), "{table}");
    for out in [&table, &lines] {
        assert!(!out.contains(['\u{202e}', '\u{200b}', '\u{2060}']), "{out}");
    }
    let line: Value = serde_json::from_str(&lines).unwrap();
    assert_eq!((&line["address"], &line["history"][0]["why"]), (&json!(odd), &json!("ticket\u{2060} 7")));
}

#[tokio::test]
async fn a_decision_that_waits_is_told() {
    let table = MemoryTable::default();
    let record = json!({
        "pk": "ADDR#jane@example.com", "sk": format!("OPERATOR#{}#1", at(9)), "kind": "operator",
        "decidable": "operator", "decided_at": at(9), "action": "release", "recipient": "jane@example.com",
        "address": "jane@example.com", "who": "ops", "why": "ticket 8",
    });
    for taken_in in [None, Some(5)] {
        if let Some(second) = taken_in {
            decide(&table, Some(SuppressionReason::Bounce), second).await;
        }
        table.append(&[Stored(record.clone())], aws::call_deadline()).await;
        let mut out = Vec::new();
        let reports = [report("us-east-1", &table).await];
        show_output::print_table(&Address::parse("jane@example.com").unwrap(), &reports, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let told = "us-east-1: what was decided at 2026-03-01T12:00:09.000Z has not been taken in yet";
        assert!(out.lines().any(|line| line == told), "{out}");
    }
    decide(&table, None, 9).await;
    assert_eq!(report("us-east-1", &table).await.stored.unwrap().pending_decision_at(), None);
}

#[tokio::test]
async fn the_newest_only() {
    let table = MemoryTable::default();
    for second in 0..30 {
        bounce(&table, second).await;
    }
    decide(&table, None, 10).await;
    let known = read_stored_address(&table, &table, "jane@example.com", 2).await.unwrap();
    let times: Vec<_> = known.history.iter().map(|record| record["occurred_at"].clone()).collect();
    assert_eq!(times, [json!(at(29)), json!(at(28))]);
    assert_eq!(known.pending_decision_at(), None);
    table.fail(1);
    let why = read_stored_address(&table, &table, "jane@example.com", 2).await.unwrap_err();
    assert_eq!(why, "no answer but errors until the deadline, the last: injected failure");
}

#[tokio::test]
async fn what_decides_nothing_says_why() {
    let table = MemoryTable::default();
    let record = json!({
        "pk": "ADDR#jane@example.com", "sk": format!("FEEDBACK#{}#bounce#f-1#event", at(1)), "kind": "bounce",
        "occurred_at": at(1), "event_id": "f-1", "bounce_type": "Transient", "bounce_subtype": "General",
        "auto_response": true, "not_in_destination": true,
    });
    assert!(table.append(&[Stored(record)], aws::call_deadline()).await.is_empty());
    let mut out = Vec::new();
    let address = Address::parse("jane@example.com").unwrap();
    show_output::print_table(&address, &[report("us-east-1", &table).await], &mut out).unwrap();
    let out = String::from_utf8(out).unwrap();
    let expected = "bounce Transient/General  automatic reply, the mail was not sent to this address";
    assert!(out.contains(expected), "{out}");
}
