//! What Regions know of an address, as a table for people and as JSON.

use std::cmp::Reverse;
use std::io::{self, Write};

use mailroom_core::address::Address;
use mailroom_core::text::{escape_invisible, is_invisible};
use serde_json::{Value, json};

use super::RegionReport;
use super::stored_address::StoredAddress;
use crate::columns;

/// What a line of history has room for.
const MAX_CELL_CHARS: usize = 100;

pub(super) fn print_json_lines(
    address: &Address,
    reports: &[RegionReport],
    out: &mut impl Write,
) -> io::Result<()> {
    for report in reports {
        let mut object = json!({
            "region": report.region,
            "table": report.table,
            "address": address.match_form(),
        });
        match &report.stored {
            Ok(known) => {
                object["state"] = known.reason_or_release_word().into();
                object["item"] = serde_json::to_value(&known.state)?;
                object["history"] = known.history.clone().into();
            }
            Err(why) => object["error"] = why.as_str().into(),
        }
        writeln!(out, "{}", mailroom_core::escaped_json::to_escaped_json(&object, is_invisible)?)?;
    }
    out.flush()
}

pub(super) fn print_table(
    address: &Address,
    reports: &[RegionReport],
    out: &mut impl Write,
) -> io::Result<()> {
    let shown = |text: &str| escape_invisible(text, usize::MAX);
    writeln!(out, "{}", shown(address.match_form()))?;
    let mut spellings: Vec<&str> = Vec::new();
    for state in reports.iter().filter_map(|report| report.stored.as_ref().ok()?.state.as_ref()) {
        spellings.extend(state.spellings().iter().filter(|spelling| *spelling != address.match_form()));
    }
    spellings.sort_unstable();
    spellings.dedup();
    if !spellings.is_empty() {
        writeln!(out, "also spelled {}", shown(&spellings.join(", ")))?;
    }
    writeln!(out)?;

    let mut rows = vec![["REGION", "STATE", "SINCE", "BY", "SES'S LIST"].map(str::to_owned)];
    let mut history = Vec::new();
    for report in reports {
        let Ok(known) = &report.stored else {
            rows.push([report.region.as_str(), "?", "-", "-", "could not be read"].map(str::to_owned));
            continue;
        };
        let rests_on = known.deciding_statement();
        let id = rests_on.as_ref().map_or("", |said| said.record_id);
        let (since, by) =
            rests_on.map_or(("-".to_owned(), "-".to_owned()), |said| (said.at.to_string(), said.origin_text));
        rows.push([
            report.region.clone(),
            known.reason_or_release_word().to_owned(),
            since,
            by,
            known.applied_entry_text(),
        ]);
        history.extend(known.history.iter().map(|record| history_row(record, &report.region, id)));
    }
    columns::print_rows(&rows, out)?;
    for report in reports {
        if let Some(at) = report.stored.as_ref().ok().and_then(StoredAddress::pending_decision_at) {
            writeln!(out, "\n{}: what was decided at {at} has not been taken in yet", report.region)?;
        }
    }
    // Those of one time stay Region by Region, as they were asked.
    history.sort_by_key(|[when, ..]| Reverse(when.clone()));
    if history.is_empty() {
        writeln!(out, "\nNo records.")?;
    } else {
        writeln!(out)?;
        history.insert(0, ["WHEN", "REGION", "WHAT", "WHY"].map(str::to_owned));
        columns::print_rows(&history, out)?;
    }
    out.flush()
}

/// A record as a line: when, where it is kept, what, why. `deciding_id` is of the one that the Region's state rests on.
fn history_row(record: &Value, region: &str, deciding_id: &str) -> [String; 4] {
    let text = |name: &str| record[name].as_str().filter(|text| !text.is_empty());
    let joined =
        |names: &[&str], by: &str| names.iter().filter_map(|name| text(name)).collect::<Vec<_>>().join(by);
    let (when, what, why) = if text("kind") == Some("operator") {
        (text("decided_at"), joined(&["action", "reason"], " "), joined(&["who", "why"], ": "))
    } else {
        let subtype = joined(
            &["bounce_type", "bounce_subtype", "complaint_feedback_type", "complaint_subtype", "delay_type"],
            "/",
        );
        let what = [text("kind").unwrap_or("?").to_owned(), subtype].join(" ");
        let no_evidence = [
            ("auto_response", "automatic reply"),
            ("not_in_destination", "the mail was not sent to this address"),
        ];
        let no_evidence =
            no_evidence.iter().filter(|(name, _)| record[*name] == true).map(|(_, words)| *words);
        let why = ["action", "status", "diagnostic", "reject_reason", "smtp_response", "failure_message"];
        let why = no_evidence.chain(why.into_iter().filter_map(text)).collect::<Vec<_>>().join(", ");
        (text("occurred_at"), what, why)
    };
    let rests =
        !deciding_id.is_empty() && (text("sk") == Some(deciding_id) || text("event_id") == Some(deciding_id));
    let star = if rests { "*" } else { "" };
    [
        when.unwrap_or("?").to_owned(),
        region.to_owned(),
        format!("{}{star}", escape_invisible(what.trim(), MAX_CELL_CHARS)),
        escape_invisible(&why, MAX_CELL_CHARS),
    ]
}
