//! `mailroom show`: what each Region holds of an address, and why.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::ExitCode;

use futures_util::future::join_all;
use mailroom_aws::history::History;
use mailroom_aws::operator::Access;
use mailroom_aws::states::StateTable;
use mailroom_core::address::Address;
use mailroom_core::suppression::item::{AddressState, Applied, OutcomeKind};
use mailroom_core::suppression::reason::Reason;
use mailroom_core::suppression::state::Source;
use mailroom_core::text::visible;
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};

use crate::aws::{self, Named};

/// What a line of history has room for.
const WHY: usize = 100;

/// Tell what each Region holds of an address: whether it is suppressed, since when, by what; and its history
///
/// A state is `bounce`, `complaint`, `released`, or `none` where nothing was ever said against it. The list's column is
/// what SES's suppression list held when it was last written or seen. In the history a star marks what a state rests on.
///
/// With --json a line is a Region's object: `region`, `table`, `address`, `state` (`bounce`, `complaint`, `released` or
/// `none`), `item` (the state as it is stored, or null), `history` (records as they are stored, the newest first), and
/// `error` in place of the last three where a Region could not be read.
///
/// Exit status: 0; 1 if a Region could not be read (the others are shown); 2 if the address is none.
#[derive(clap::Args)]
pub(crate) struct Show {
    /// Whose
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The Regions to ask, with commas; each must have the stack [default: the environment's]
    #[arg(long, value_name = "LIST", value_delimiter = ',', alias = "region")]
    regions: Vec<String>,
    /// How many records of history, at most, from each Region
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    named: Named,
}

impl Show {
    pub(crate) fn run(&self) -> ExitCode {
        let address = match Address::parse(&self.address) {
            Ok(address) => address,
            Err(error) => return crate::refuse(&error.within("ADDRESS").to_string()),
        };
        if let Some(why) = self.regions.iter().find_map(|name| crate::region(name).err()) {
            return crate::refuse(&why);
        }
        let reports = match aws::run(self.ask(&address)) {
            Ok(Ok(reports)) => reports,
            Ok(Err(why)) => return crate::fail(&why),
            Err(error) => return crate::fail(&error.to_string()),
        };
        let mut out = io::stdout().lock();
        let printed = if reports.iter().all(|report| report.known.is_err()) && !self.json {
            Ok(())
        } else if self.json {
            print_json(&address, &reports, &mut out)
        } else {
            print_table(&address, &reports, &mut out)
        };
        let mut status = ExitCode::SUCCESS;
        for report in &reports {
            if let Err(why) = &report.known {
                status = crate::fail(why);
            }
        }
        crate::end(printed.map(|()| status))
    }

    async fn ask(&self, address: &Address) -> Result<Vec<Report>, String> {
        let access = aws::access().await?;
        let mut regions: Vec<&str> = Vec::new();
        for region in self.regions.iter().map(String::as_str) {
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
        if regions.is_empty() {
            regions.push(access.region().ok_or("which Region? Say it with --regions, or by AWS_REGION")?);
        }
        Ok(join_all(regions.into_iter().map(|region| self.ask_one(&access, region, address))).await)
    }

    async fn ask_one(&self, access: &Access, region: &str, address: &Address) -> Report {
        let mut report = Report { region: region.to_owned(), table: None, known: Ok(Known::default()) };
        report.known = match self.named.open(access, Some(region)).await {
            Ok(table) => {
                report.table = Some(table.name().to_owned());
                let known = look(&table.states(), &table.history(), address.match_form(), self.limit).await;
                known.map_err(|why| format!("{} in {region}: {why}", table.name()))
            }
            Err(why) => Err(why),
        };
        report
    }
}

/// What a Region says.
struct Report {
    region: String,
    table: Option<String>,
    /// Or, in words, why it says nothing.
    known: Result<Known, String>,
}

/// What a Region knows.
#[derive(Debug, Default)]
struct Known {
    state: Option<AddressState>,
    history: Vec<Value>,
}

async fn look(
    states: &impl StateTable,
    history: &impl History,
    address: &str,
    limit: usize,
) -> Result<Known, String> {
    let deadline = aws::deadline();
    let state = states.get(address, deadline).await.map_err(|error| aws::not_read(&error, aws::TO_READ))?;
    let history = history
        .newest(address, limit, deadline)
        .await
        .map_err(|error| aws::not_read(&error, aws::TO_READ))?;
    Ok(Known { state, history })
}

impl Known {
    /// In one word.
    fn word(&self) -> &'static str {
        let Some(state) = &self.state else { return "none" };
        match state.effective() {
            Some(reason) => reason_in_words(reason),
            None if state.state().released.is_some() => "released",
            None => "none",
        }
    }

    /// What the state rests on: when, by what and where it was decided, and the record's id.
    fn rests_on(&self) -> Option<(Timestamp, String, &str)> {
        let state = self.state.as_ref()?.state();
        let said = state.in_force().map(|(_, said)| said).or(state.released.as_ref())?;
        let source = match said.source {
            Source::Bounce => "bounce",
            Source::Complaint => "complaint",
            Source::Transient => "transient bounces",
            Source::Operator => "operator",
            Source::List => "SES's list",
            Source::Unknown => "unknown",
        };
        Some((said.at, format!("{source}, {}", said.region), &said.id))
    }

    /// The operator's last decision, if the functions have not got to it yet: both are told by clocks, and in some
    /// seconds they have.
    fn waits(&self) -> Option<Timestamp> {
        let last = self.history.iter().find(|record| record["kind"] == "operator")?;
        let decided_at = Timestamp::parse(last["decided_at"].as_str()?)?;
        let taken_in = self.state.as_ref().is_some_and(|state| state.changed_at() >= decided_at);
        (!taken_in).then_some(decided_at)
    }

    /// What SES's list holds, and what it waits for.
    fn list(&self) -> String {
        let Some(state) = &self.state else { return "-".to_owned() };
        let mut told = match state.applied() {
            None => "never written".to_owned(),
            Some(Applied { reason: Some(reason), at, .. }) => format!("{} {at}", reason_in_words(reason)),
            Some(Applied { left_off: true, at, .. }) => {
                format!("taken off by others {at}, left off")
            }
            Some(Applied { at, .. }) => format!("not on it {at}"),
        };
        if let Some(outcome) = state.outcome() {
            told += match outcome.kind {
                OutcomeKind::Applied => "",
                OutcomeKind::RefusedSandbox => "; refused: the account is in the sandbox there",
                OutcomeKind::ReasonNotEnabled => "; has no effect: the reason is not enabled there",
                OutcomeKind::Failed => "; failed, is tried again",
                OutcomeKind::FailedForGood => "; failed for good",
            };
            if let Some(why) = &outcome.why {
                // Writing to a String cannot fail.
                let _ = write!(told, ": {why}");
            }
        }
        if let Some(since) = state.pending_since() {
            let by = if state.job().is_some() { "in an import job" } else { "pending" };
            let _ = write!(told, "; {by} since {since}");
        }
        told
    }
}

fn reason_in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Bounce => "bounce",
        Reason::Complaint => "complaint",
    }
}

fn print_json(address: &Address, reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    for report in reports {
        let mut object = json!({
            "region": report.region,
            "table": report.table,
            "address": address.match_form(),
        });
        match &report.known {
            Ok(known) => {
                object["state"] = known.word().into();
                object["item"] = serde_json::to_value(&known.state)?;
                object["history"] = known.history.clone().into();
            }
            Err(why) => object["error"] = why.as_str().into(),
        }
        writeln!(out, "{object}")?;
    }
    out.flush()
}

fn print_table(address: &Address, reports: &[Report], out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", address.match_form())?;
    let mut spellings: Vec<&str> = Vec::new();
    for state in reports.iter().filter_map(|report| report.known.as_ref().ok()?.state.as_ref()) {
        spellings.extend(state.spellings().iter().filter(|spelling| *spelling != address.match_form()));
    }
    spellings.sort_unstable();
    spellings.dedup();
    if !spellings.is_empty() {
        writeln!(out, "also spelled {}", spellings.join(", "))?;
    }
    writeln!(out)?;

    let mut rows = vec![["REGION", "STATE", "SINCE", "BY", "SES'S LIST"].map(str::to_owned)];
    let mut history = Vec::new();
    for report in reports {
        let Ok(known) = &report.known else {
            rows.push([report.region.as_str(), "?", "-", "-", "could not be read"].map(str::to_owned));
            continue;
        };
        let rests_on = known.rests_on();
        let id = rests_on.as_ref().map_or("", |(_, _, id)| id);
        let (since, by) = rests_on
            .as_ref()
            .map_or(("-".to_owned(), "-".to_owned()), |(at, by, _)| (at.to_string(), by.clone()));
        rows.push([report.region.clone(), known.word().to_owned(), since, by, known.list()]);
        history.extend(known.history.iter().map(|record| event(record, &report.region, id)));
    }
    columns(&rows, out)?;
    for report in reports {
        if let Some(at) = report.known.as_ref().ok().and_then(Known::waits) {
            writeln!(out, "\n{}: what was decided at {at} has not been taken in yet", report.region)?;
        }
    }
    // Of one time: Region by Region, as they were asked.
    history.sort_by_key(|[when, ..]| Reverse(when.clone()));
    if history.is_empty() {
        writeln!(out, "\nNo records.")?;
    } else {
        writeln!(out)?;
        history.insert(0, ["WHEN", "REGION", "WHAT", "WHY"].map(str::to_owned));
        columns(&history, out)?;
    }
    out.flush()
}

/// A record as a line: when, where it is kept, what, why. `id` is of the one that the Region's state rests on.
fn event(record: &Value, region: &str, id: &str) -> [String; 4] {
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
        let why = joined(
            &["action", "status", "diagnostic", "reject_reason", "smtp_response", "failure_message"],
            ", ",
        );
        (text("occurred_at"), what, why)
    };
    let rests = !id.is_empty() && (text("sk") == Some(id) || text("event_id") == Some(id));
    let star = if rests { "*" } else { "" };
    [
        when.unwrap_or("?").to_owned(),
        region.to_owned(),
        format!("{}{star}", visible(what.trim(), WHY)),
        visible(&why, WHY),
    ]
}

fn columns<const N: usize>(rows: &[[String; N]], out: &mut impl Write) -> io::Result<()> {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    for row in rows {
        let line: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use mailroom_aws::records::RecordTable;
    use mailroom_aws::states::MemoryStates;
    use mailroom_core::record::Record;
    use mailroom_core::suppression::Seen;
    use mailroom_core::suppression::item::Attempt;
    use mailroom_core::suppression::operator::OperatorDecision;
    use serde::Serialize;

    use super::*;

    fn at(second: u32) -> Timestamp {
        Timestamp::parse(&format!("2026-03-01T12:00:{second:02}Z")).unwrap()
    }

    /// A record as it lies in a table.
    #[derive(Serialize)]
    struct Stored(Value);

    impl Record for Stored {
        fn key(&self) -> (&str, &str) {
            (self.0["pk"].as_str().unwrap(), self.0["sk"].as_str().unwrap())
        }
    }

    async fn bounce(table: &MemoryStates, second: u32) {
        let record = json!({
            "pk": "ADDR#jane@example.com",
            "sk": format!("FEEDBACK#{}#bounce#f-{second}#identity", at(second)),
            "kind": "bounce", "occurred_at": at(second), "event_id": format!("f-{second}"),
            "bounce_type": "Permanent", "bounce_subtype": "General", "action": "failed", "status": "5.1.1",
            "diagnostic": "smtp; 550 5.1.1 user unknown",
        });
        assert!(table.append(&[Stored(record)], aws::deadline()).await.is_empty());
    }

    /// Records a decision and takes it in, as decide does.
    async fn decide(table: &MemoryStates, suppress: Option<Reason>, second: u32) {
        let address = Address::parse("Jane@Example.com").unwrap();
        let decision = OperatorDecision::new(&address, suppress, "ops", "ticket 7", at(second), "");
        table.append(std::slice::from_ref(&decision), aws::deadline()).await;
        let known = table.get("jane@example.com", aws::deadline()).await.unwrap();
        let before = known.as_ref().map(|known| known.state().clone()).unwrap_or_default();
        let change = decision.change(&before, "us-east-1", Seen::InStream(at(second)));
        let next = AddressState::advance(known.as_ref(), &change, at(second)).unwrap();
        table.put(&next, known.map(|known| known.version()), aws::deadline()).await.unwrap();
    }

    async fn report(region: &str, table: &MemoryStates) -> Report {
        let known = look(table, table, "jane@example.com", 20).await;
        Report { region: region.to_owned(), table: Some("records".to_owned()), known }
    }

    async fn reports() -> Vec<Report> {
        let (one, two) = (MemoryStates::default(), MemoryStates::default());
        bounce(&one, 1).await;
        decide(&one, Some(Reason::Complaint), 2).await;
        let state = one.states().remove(0);
        let written = Attempt::Written { reason: Some(Reason::Complaint), enabled: false };
        let done = state.attempted(state.version(), written, at(3));
        one.put(&done, Some(state.version()), aws::deadline()).await.unwrap();
        decide(&two, Some(Reason::Bounce), 4).await;
        decide(&two, None, 5).await;
        let lost = Report { region: "eu-west-2".to_owned(), table: None, known: Err("down".to_owned()) };
        let empty = MemoryStates::default();
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
        print_table(&Address::parse("JANE@example.com").unwrap(), &reports().await, &mut out).unwrap();
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
        print_json(&Address::parse("jane@example.com").unwrap(), &reports().await, &mut out).unwrap();
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
    async fn a_decision_that_waits_is_told() {
        let table = MemoryStates::default();
        let record = json!({
            "pk": "ADDR#jane@example.com", "sk": format!("OPERATOR#{}#1", at(9)), "kind": "operator",
            "decided_at": at(9), "action": "release", "who": "ops", "why": "ticket 8",
        });
        for taken_in in [None, Some(5)] {
            if let Some(second) = taken_in {
                decide(&table, Some(Reason::Bounce), second).await;
            }
            table.append(&[Stored(record.clone())], aws::deadline()).await;
            let mut out = Vec::new();
            let reports = [report("us-east-1", &table).await];
            print_table(&Address::parse("jane@example.com").unwrap(), &reports, &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            let told = "us-east-1: what was decided at 2026-03-01T12:00:09.000Z has not been taken in yet";
            assert!(out.lines().any(|line| line == told), "{out}");
        }
        decide(&table, None, 9).await;
        assert_eq!(report("us-east-1", &table).await.known.unwrap().waits(), None);
    }

    #[tokio::test]
    async fn the_newest_only() {
        let table = MemoryStates::default();
        for second in 0..30 {
            bounce(&table, second).await;
        }
        decide(&table, None, 10).await;
        let known = look(&table, &table, "jane@example.com", 2).await.unwrap();
        let times: Vec<_> = known.history.iter().map(|record| record["occurred_at"].clone()).collect();
        assert_eq!(times, [json!(at(29)), json!(at(28))]);
        assert_eq!(known.waits(), None);
        table.fail(1);
        let why = look(&table, &table, "jane@example.com", 2).await.unwrap_err();
        assert_eq!(why, "no answer but errors until the deadline, the last: told to fail");
    }
}
