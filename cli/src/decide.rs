//! `mailroom suppress` and `mailroom release`: an operator's decisions, written as records. The functions do the rest.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use mailroom_aws::clock::{Clock, SystemClock};
use mailroom_aws::records::RecordTable;
use mailroom_aws::states::{StateTable, TableError};
use mailroom_core::address::Address;
use mailroom_core::suppression::item::{AddressState, Applied};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::reason::Reason;

use crate::aws::{self, Named};
use crate::list::{self, List};

/// Addresses that are read and written at a time: what the table's adapter has under way at once.
const CHUNK: usize = 400;
/// States that are read at once.
const PARALLEL: usize = 32;

/// Decide that addresses get no more mail, from any Region
///
/// The decision is written into one Region's table, whichever; its functions tell the other Regions and have each put the
/// addresses on SES's suppression list, within seconds, or minutes for a long list. An address that is suppressed already
/// for this reason or a graver one, and on the list or about to be, is left alone: to do it again costs nothing.
/// `mailroom release` takes it back, `mailroom show` tells what has become of it.
///
///   mailroom suppress jane@example.com --reason complaint --why "wrote to support, ticket 7"
///   mailroom suppress --file export.csv --reason bounce --why "bounced at our former provider"
///
/// Exit status: 0 if all is written; 2 if an address could not be read: of arguments nothing is written then, of a list
/// all the others; 1 if AWS or a file stood in the way.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Suppress {
    #[command(flatten)]
    decision: Decision,
    /// What SES's list is to say of them
    #[arg(long, value_name = "REASON")]
    reason: Because,
}

/// Decide that addresses may get mail again, in every Region
///
/// The decision is written into one Region's table, whichever; its functions tell the other Regions and have each delete
/// the addresses from SES's suppression list, in every spelling. All that was said against them before is void; what is
/// said afterwards counts. It is written also for an address that this Region takes for released: another one may know
/// of a bounce that has not got here yet.
///
///   mailroom release jane@example.com --why "mailbox is back, ticket 8"
///
/// Exit status: 0 if all is written; 2 if an address could not be read: of arguments nothing is written then, of a list
/// all the others; 1 if AWS or a file stood in the way.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Release {
    #[command(flatten)]
    decision: Decision,
}

#[derive(clap::Args)]
struct Decision {
    /// Whom it concerns
    #[arg(value_name = "ADDRESS", required_unless_present = "file")]
    addresses: Vec<String>,
    /// A list of them: one a line, or CSV with a column headed email or address, else the first; `-` is standard input
    #[arg(long, value_name = "LIST")]
    file: Option<PathBuf>,
    /// Why, in words for whoever asks later; kept with the decision
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Who decides [default: $USER]
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// The Region whose table it is written to [default: the environment's]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    #[command(flatten)]
    named: Named,
}

#[derive(Clone, Copy, ValueEnum)]
enum Because {
    /// The address takes no mail
    Bounce,
    /// Whoever reads it wants no mail
    Complaint,
}

impl Suppress {
    pub(crate) fn run(&self) -> ExitCode {
        let reason = match self.reason {
            Because::Bounce => Reason::Bounce,
            Because::Complaint => Reason::Complaint,
        };
        self.decision.run(Some(reason))
    }
}

impl Release {
    pub(crate) fn run(&self) -> ExitCode {
        self.decision.run(None)
    }
}

impl Decision {
    fn run(&self, suppress: Option<Reason>) -> ExitCode {
        if self.why.trim().is_empty() {
            return crate::refuse("--why is empty: whoever asks later will want to know");
        }
        let user = std::env::var("USER").ok();
        let Some(who) = self.who.as_ref().or(user.as_ref()).filter(|who| !who.trim().is_empty()) else {
            return crate::refuse("who decides? Say it with --who; $USER is not set");
        };
        if let Some(Err(why)) = self.region.as_deref().map(crate::region) {
            return crate::refuse(&why);
        }
        let (addresses, unreadable) = match self.read() {
            Ok(read) => read,
            Err(status) => return status,
        };
        let what = What { suppress, who, why: &self.why };
        match aws::run(self.write(&what, &addresses, unreadable)) {
            Ok(Ok(status)) => status,
            Ok(Err(why)) => crate::fail(&why),
            Err(error) => crate::fail(&error.to_string()),
        }
    }

    /// The addresses, and how many others the list has.
    fn read(&self) -> Result<(Vec<Address>, usize), ExitCode> {
        let mut bad = 0;
        let mut addresses = Vec::new();
        for text in &self.addresses {
            match list::address(text) {
                Ok(address) => addresses.push(address),
                Err(why) => {
                    bad += 1;
                    let _ = writeln!(io::stderr(), "mailroom: {why}");
                }
            }
        }
        if bad > 0 {
            return Err(crate::refuse("nothing has been written"));
        }
        let Some(file) = &self.file else { return Ok((addresses, 0)) };
        let bytes = if file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            std::fs::read(file)
        };
        let bytes = bytes.map_err(|error| crate::fail(&format!("{}: {error}", file.display())))?;
        let list = List::read(&bytes).map_err(|garbled| {
            crate::refuse(&format!("{}: {garbled}; nothing has been written", file.display()))
        })?;
        for unreadable in &list.unreadable {
            let _ = writeln!(
                io::stderr(),
                "mailroom: {}:{}: {}",
                file.display(),
                unreadable.line,
                unreadable.why
            );
        }
        addresses.extend(list.addresses);
        Ok((addresses, list.unreadable.len()))
    }

    async fn write(
        &self,
        what: &What<'_>,
        addresses: &[Address],
        unreadable: usize,
    ) -> Result<ExitCode, String> {
        let status = if unreadable > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
        if addresses.is_empty() {
            tell(&format!("no address, nothing written; {unreadable} could not be read"));
            return Ok(status);
        }
        let access = aws::access().await?;
        let table = self.named.open(&access, self.region.as_deref()).await?;
        let place = format!("{} in {}", table.name(), table.region());
        let bar = bar(addresses.len());
        let (tally, stopped) =
            decide(&table.states(), &table.records(), &SystemClock, what, addresses, |done| bar.inc(done))
                .await;
        bar.finish_and_clear();
        let Tally { new, already, .. } = tally;
        let (done, again) = match what.suppress {
            Some(_) => ("newly suppressed", "were already (left alone)"),
            None => ("newly released", "were not suppressed here (released all the same)"),
        };
        if tally.done > 0 {
            tell(&format!("{place}: {new} {done}, {already} {again}, {unreadable} could not be read"));
        }
        match stopped {
            None => Ok(status),
            Some(why) => Err(format!(
                "{place}: {why}\nmailroom: {} of {} are not written. The same command again does the rest: what is written \
                 already stays as it is",
                addresses.len() - tally.done,
                addresses.len(),
            )),
        }
    }
}

/// One that only a terminal sees, and only if there is something to wait for.
fn bar(addresses: usize) -> ProgressBar {
    if addresses <= CHUNK || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {eta} left");
    let bar = ProgressBar::new(addresses as u64);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn tell(line: &str) {
    // What could be done about it is done.
    let _ = writeln!(io::stdout(), "{line}");
}

/// What is decided.
struct What<'a> {
    /// For this reason; `None`: released.
    suppress: Option<Reason>,
    who: &'a str,
    why: &'a str,
}

/// How many addresses, spellings not counted apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    /// It was otherwise before.
    new: usize,
    /// It was so before.
    already: usize,
    /// How many of the list are done with, whether or not anything was to be written.
    done: usize,
}

/// Writes the decisions, as many at a time as go at once. What has been done, and in words what stopped it.
async fn decide(
    states: &impl StateTable,
    records: &impl RecordTable,
    clock: &impl Clock,
    what: &What<'_>,
    addresses: &[Address],
    mut progress: impl FnMut(u64),
) -> (Tally, Option<String>) {
    let mut tally = Tally::default();
    let mut counted = HashSet::new();
    for chunk in addresses.chunks(CHUNK) {
        let deadline = aws::deadline();
        let read = stream::iter(chunk).map(|address| states.get(address.match_form(), deadline));
        let read: Vec<_> = read.buffered(PARALLEL).collect().await;
        // Not the whole run's time: a decision counts from the second in which it is written.
        let now = clock.now();
        let (mut decisions, mut were_so) = (Vec::new(), Vec::new());
        for (address, state) in chunk.iter().zip(read) {
            let state = match state {
                Ok(state) => state,
                // A newer version's, perhaps: the decision is good for it too.
                Err(TableError::NotAnItem(_)) => None,
                Err(error) => return (tally, Some(aws::not_read(&error, aws::TO_READ))),
            };
            let so = is_so(state.as_ref(), what.suppress);
            were_so.push(so);
            if !so || what.suppress.is_none() {
                decisions.push(OperatorDecision::new(address, what.suppress, what.who, what.why, now, ""));
            }
        }
        let lost = records.append(&decisions, aws::deadline()).await;
        let lost_of: HashSet<_> = lost.iter().map(|lost| decisions[lost.index].recipient.as_str()).collect();
        for (address, so) in chunk.iter().zip(were_so) {
            if lost_of.contains(address.raw()) {
                continue;
            }
            tally.done += 1;
            if counted.insert(address.match_form()) {
                *(if so { &mut tally.already } else { &mut tally.new }) += 1;
            }
        }
        if let Some(first) = lost.first() {
            return (tally, Some(aws::not_written(&first.error)));
        }
        progress(chunk.len() as u64);
    }
    (tally, None)
}

/// Whether an address is as was decided. A suppression must also have got to the list, or be on its way there: where it was
/// given up, or taken off by hand, saying so again is what makes it go there.
fn is_so(state: Option<&AddressState>, suppress: Option<Reason>) -> bool {
    let Some(wanted) = suppress else {
        return state.is_none_or(|state| state.effective().is_none());
    };
    state.is_some_and(|state| {
        let on_list = matches!(state.applied(), Some(Applied { reason, left_off: false, .. }) if reason == state.effective());
        state.effective() >= Some(wanted) && (state.is_pending() || on_list)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use mailroom_aws::clock::MemoryClock;
    use mailroom_aws::records::MemoryRecords;
    use mailroom_aws::states::MemoryStates;
    use mailroom_core::suppression::Seen;
    use mailroom_core::suppression::item::Attempt;
    use mailroom_core::timestamp::Timestamp;

    use super::*;

    const BOUNCE: Option<Reason> = Some(Reason::Bounce);
    const COMPLAINT: Option<Reason> = Some(Reason::Complaint);

    fn now() -> Timestamp {
        Timestamp::parse("2026-03-01T12:00:00Z").unwrap()
    }

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| list::address(text).unwrap()).collect()
    }

    async fn run(
        states: &MemoryStates,
        records: &impl RecordTable,
        suppress: Option<Reason>,
        addresses: &[Address],
    ) -> (Tally, Option<String>, u64) {
        let what = What { suppress, who: "ops", why: "ticket 7" };
        let mut seen = 0;
        let clock = MemoryClock::at(now());
        let (tally, stopped) = decide(states, records, &clock, &what, addresses, |done| seen += done).await;
        (tally, stopped, seen)
    }

    /// Takes all decisions in, as decide does, and has `apply` write the list.
    async fn settle(states: &MemoryStates, written: bool) {
        for record in states.records() {
            let decision: OperatorDecision = serde_json::from_value(record).unwrap();
            let known = states.get(&decision.address, aws::deadline()).await.unwrap();
            let before = known.as_ref().map(|known| known.state().clone()).unwrap_or_default();
            let change = decision.change(&before, "us-east-1", Seen::InStream(now()));
            let Some(next) = AddressState::advance(known.as_ref(), &change, now()) else { continue };
            states.put(&next, known.map(|known| known.version()), aws::deadline()).await.unwrap();
            if written {
                let attempt = Attempt::Written { reason: next.effective(), enabled: true };
                let done = next.attempted(next.version(), attempt, now());
                states.put(&done, Some(next.version()), aws::deadline()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_decision_is_a_record_and_making_it_again_is_none() {
        let states = MemoryStates::default();
        let two = addresses(&["Jane@Example.com", "joe@example.com"]);
        let (tally, stopped, seen) = run(&states, &states, COMPLAINT, &two).await;
        assert_eq!((tally, stopped, seen), (Tally { new: 2, already: 0, done: 2 }, None, 2));
        let records = states.records();
        assert_eq!(records.len(), 2);
        let jane = &records[0];
        for (field, value) in [
            ("pk", "ADDR#jane@example.com"),
            ("kind", "operator"),
            ("action", "suppress"),
            ("reason", "complaint"),
            ("recipient", "Jane@Example.com"),
            ("who", "ops"),
            ("why", "ticket 7"),
            ("decided_at", "2026-03-01T12:00:00.000Z"),
        ] {
            assert_eq!(jane[field], value, "{field}");
        }
        for written in [false, true] {
            settle(&states, written).await;
            // A complaint is the graver of the two.
            for reason in [COMPLAINT, BOUNCE] {
                let (tally, ..) = run(&states, &states, reason, &two).await;
                assert_eq!(tally, Tally { new: 0, already: 2, done: 2 });
                assert_eq!(states.records().len(), 2);
            }
        }
    }

    #[tokio::test]
    async fn a_graver_reason_and_a_lost_entry_are_new() {
        let states = MemoryStates::default();
        let jane = addresses(&["jane@example.com"]);
        run(&states, &states, BOUNCE, &jane).await;
        settle(&states, true).await;
        assert_eq!(run(&states, &MemoryRecords::default(), COMPLAINT, &jane).await.0.new, 1);
        let state = states.states().remove(0);
        states.put(&state.left_off(now()), Some(state.version()), aws::deadline()).await.unwrap();
        assert_eq!(run(&states, &MemoryRecords::default(), BOUNCE, &jane).await.0.new, 1);
        let refused = states.states().remove(0);
        let refused = refused.attempted(refused.version(), Attempt::RefusedSandbox, now());
        states.put(&refused, Some(refused.version() - 1), aws::deadline()).await.unwrap();
        assert_eq!(run(&states, &MemoryRecords::default(), BOUNCE, &jane).await.0.new, 1);
    }

    #[tokio::test]
    async fn a_release_is_always_written_in_every_spelling_and_counted_once() {
        let states = MemoryStates::default();
        run(&states, &states, BOUNCE, &addresses(&["jane@example.com"])).await;
        settle(&states, true).await;
        let records = MemoryRecords::default();
        let three = addresses(&["jane@example.com", "Jane@Example.com", "joe@example.com"]);
        let (tally, stopped, _) = run(&states, &records, None, &three).await;
        assert_eq!((tally, stopped), (Tally { new: 1, already: 1, done: 3 }, None));
        assert_eq!(records.records().len(), 3);
        assert!(records.records().iter().all(|record| record["action"] == "release"));
    }

    #[tokio::test]
    async fn a_long_list_goes_in_pieces_and_trouble_stops_it_where_it_is() {
        let many: Vec<_> = (0..1000).map(|n| format!("a{n}@example.com")).collect();
        let many = addresses(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let states = MemoryStates::default();
        let records = MemoryRecords::default();
        let (tally, stopped, seen) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!((tally.new, stopped, seen, records.records().len()), (1000, None, 1000, 1000));

        let records = MemoryRecords::default();
        records.fail(&["ADDR#a450@example.com"]);
        let (tally, stopped, seen) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!((tally, seen), (Tally { new: 799, already: 0, done: 799 }, 400));
        assert_eq!(
            stopped.as_deref(),
            Some("no answer but errors until the deadline, the last: told to fail")
        );
        assert_eq!(records.records().len(), 799);

        let records = MemoryRecords::default();
        states.fail(1);
        let (tally, stopped, _) = run(&states, &records, BOUNCE, &many).await;
        assert_eq!((tally.done, stopped.is_some(), records.records().len()), (0, true, 0));
    }
}
