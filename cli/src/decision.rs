//! `mailroom suppress` and `mailroom release`: an operator's decisions, written as records. The functions do the rest.

mod decision_writer;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use mailroom_aws::clock::SystemClock;
use mailroom_core::suppression::operator::OperatorAction;
use mailroom_core::suppression::reason::SuppressionReason;

use self::decision_writer::{
    CHUNK_SIZE, DecisionDetails, DecisionRun, DecisionTally, append_decision_records,
};
use crate::address_list::{self, AddressList, ListedAddress, ListedAddresses};
use crate::aws::{self, TableArguments};
use crate::exit;
use crate::region_names::parse_region;

/// Decide that addresses get no more mail, from any Region
///
/// The decision is written into one Region's table; any will do whose stack keeps the suppression
/// list (Suppression=on). Its functions tell the other Regions and have each put the addresses on
/// SES's list, within seconds, or minutes for a long list. `mailroom show` tells what has become of
/// it, `mailroom release` takes it back.
///
/// An address that is suppressed already for this reason or a graver one, and on the list or about
/// to be, is left alone: to do it again costs nothing. How many were new is told in the end.
///
/// Exit status: 0 if all is written; 2 if an address could not be read, or has no reason: of
/// arguments nothing is written then, of a list all the others; 1 if AWS or a file stood in the way.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom suppress jane@example.com --reason complaint --why \"wrote to support, ticket 7\"
  mailroom suppress --file export.csv --reason bounce --why \"bounced at our former provider\"
  mailroom suppress --file ses-import.json --why \"the list of our former account\""
)]
pub(crate) struct SuppressCommand {
    #[command(flatten)]
    decision: DecisionArguments,
    /// What SES's list is to give as the reason; of a list, for the lines that do not give one
    #[arg(long, value_name = "REASON", required_unless_present = "file")]
    reason: Option<ReasonArgument>,
}

/// Decide that addresses may get mail again, in every Region
///
/// The decision is written into one Region's table; any will do whose stack keeps the suppression
/// list (Suppression=on). Its functions tell the other Regions and have each delete the addresses
/// from SES's list, in every spelling. All that happened before is void, and so is all that this
/// Region's table says of them already, even if it bears a later time. What happens afterwards counts.
///
/// It is written also for an address that this Region takes for released: another one may know of a
/// bounce that has not got here yet. How many were new is told in the end.
///
/// Exit status: 0 if all is written; 2 if an address could not be read: of arguments nothing is
/// written then, of a list all the others; 1 if AWS or a file stood in the way.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom release jane@example.com --why \"mailbox is back, ticket 8\"
  mailroom release --file returned.txt --region eu-west-1 --why \"their provider was down, ticket 9\""
)]
pub(crate) struct ReleaseCommand {
    #[command(flatten)]
    decision: DecisionArguments,
}

#[derive(clap::Args)]
struct DecisionArguments {
    /// The addresses
    #[arg(value_name = "ADDRESS", required_unless_present = "file")]
    addresses: Vec<String>,
    /// A list of addresses: one a line; CSV with a column headed email or address, else the first column; or what SES imports,
    /// CSV (`ADDRESS,BOUNCE`) or a JSON object a line (`{"emailAddress": ..., "reason": "COMPLAINT"}`). A reason, BOUNCE or
    /// COMPLAINT in a column headed reason or else the second, goes before --reason; a release ignores it. `-` is standard
    /// input
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
    named: TableArguments,
}

/// The addresses to decide on.
struct UsableAddresses {
    addresses: Vec<ListedAddress>,
    /// How many lines of the list have no address that can be read, or need a reason and have none.
    unusable_count: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReasonArgument {
    /// The address takes no mail
    Bounce,
    /// Whoever reads it wants no mail
    Complaint,
}

impl SuppressCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let reason = self.reason.map(|because| match because {
            ReasonArgument::Bounce => SuppressionReason::Bounce,
            ReasonArgument::Complaint => SuppressionReason::Complaint,
        });
        self.decision.run_decision(OperatorAction::Suppress, reason)
    }
}

impl ReleaseCommand {
    pub(crate) fn run(&self) -> ExitCode {
        self.decision.run_decision(OperatorAction::Release, None)
    }
}

impl DecisionArguments {
    fn run_decision(&self, action: OperatorAction, default_reason: Option<SuppressionReason>) -> ExitCode {
        if self.why.trim().is_empty() {
            return exit::fail_with_usage_error("--why is empty: whoever asks later will want to know");
        }
        let user = std::env::var("USER").ok();
        let Some(who) = self.who.as_ref().or(user.as_ref()).filter(|who| !who.trim().is_empty()) else {
            return exit::fail_with_usage_error("who decides? Say it with --who; $USER is not set");
        };
        if let Some(Err(why)) = self.region.as_deref().map(parse_region) {
            return exit::fail_with_usage_error(&why);
        }
        if action == OperatorAction::Suppress && default_reason.is_none() && !self.addresses.is_empty() {
            return exit::fail_with_usage_error(
                "--reason is missing: only lines of a list can give their own",
            );
        }
        let usable = match self.read_addresses(action, default_reason) {
            Ok(read) => read,
            Err(status) => return status,
        };
        let what = DecisionDetails { action, operator: who, justification: &self.why };
        match aws::block_on(self.write_and_report(&what, &usable)) {
            Ok(Ok(status)) => status,
            Ok(Err(why)) => exit::fail_with_error(&why),
            Err(error) => exit::fail_with_error(&error.to_string()),
        }
    }

    /// The addresses with their reasons.
    fn read_addresses(
        &self,
        action: OperatorAction,
        default_reason: Option<SuppressionReason>,
    ) -> Result<UsableAddresses, ExitCode> {
        let mut bad = 0;
        let mut addresses = Vec::new();
        for text in &self.addresses {
            match address_list::parse_non_simulator_address(text) {
                Ok(address) => addresses.push(address),
                Err(why) => {
                    bad += 1;
                    exit::print_error(&why);
                }
            }
        }
        if bad > 0 {
            return Err(exit::fail_with_usage_error("nothing has been written"));
        }
        let mut entries = ListedAddresses::default();
        for address in addresses {
            entries.add_keeping_graver_reason(address, default_reason);
        }
        let Some(file) = &self.file else {
            return Ok(UsableAddresses { addresses: entries.into_vec(), unusable_count: 0 });
        };
        let bytes = if file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            std::fs::read(file)
        };
        let bytes = bytes.map_err(|error| exit::fail_with_error(&format!("{}: {error}", file.display())))?;
        let list = AddressList::parse(&bytes, default_reason).map_err(|garbled| {
            exit::fail_with_usage_error(&format!("{}: {garbled}; nothing has been written", file.display()))
        })?;
        for unreadable in &list.unreadable_lines {
            exit::print_error(&format!(
                "{}:{}: {}",
                file.display(),
                unreadable.line_number,
                unreadable.problem
            ));
        }
        for ListedAddress { address, reason } in list.addresses.into_vec() {
            entries.add_keeping_graver_reason(address, reason);
        }
        let mut entries = entries.into_vec();
        let all = entries.len();
        if action == OperatorAction::Suppress {
            entries.retain(|entry| entry.reason.is_some());
        }
        let without_reason = all - entries.len();
        if without_reason > 0 {
            let file = file.display();
            exit::print_error(&format!(
                "{file}: {without_reason} have no reason: say with --reason which it is"
            ));
        }
        let unusable_count = list.unreadable_lines.len() + without_reason;
        Ok(UsableAddresses { addresses: entries, unusable_count })
    }

    async fn write_and_report(
        &self,
        details: &DecisionDetails<'_>,
        usable: &UsableAddresses,
    ) -> Result<ExitCode, String> {
        let UsableAddresses { addresses, unusable_count } = usable;
        let status = if *unusable_count > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS };
        if addresses.is_empty() {
            print_line(&format!("no address, nothing written; {unusable_count} could not be read"));
            return Ok(status);
        }
        let access = aws::load_access().await?;
        let table = self.named.open_table_for_decisions(&access, self.region.as_deref()).await?;
        let place = format!("{} in {}", table.name(), table.region());
        let bar = new_address_progress_bar(addresses.len());
        let DecisionRun { tally, stop_reason } =
            append_decision_records(&table, &table, &SystemClock, details, addresses, |done| bar.inc(done))
                .await;
        bar.finish_and_clear();
        let DecisionTally { newly_decided: new, already_in_effect: already, .. } = tally;
        let (done, again) = match details.action {
            OperatorAction::Suppress => ("newly suppressed", "were already (left alone)"),
            OperatorAction::Release => ("newly released", "were not suppressed here (released all the same)"),
        };
        if tally.processed > 0 {
            print_line(&format!(
                "{place}: {new} {done}, {already} {again}, {unusable_count} could not be read"
            ));
        }
        match stop_reason {
            None => Ok(status),
            Some(why) => Err(format!(
                "{place}: {why}\nmailroom: {} of {} are not written. The same command again does the rest: what is written \
                 already stays as it is",
                addresses.len() - tally.processed,
                addresses.len(),
            )),
        }
    }
}

/// A bar that only a terminal sees, and only if there is something to wait for.
fn new_address_progress_bar(address_count: usize) -> ProgressBar {
    if address_count <= CHUNK_SIZE || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {eta} left");
    let bar = ProgressBar::new(address_count as u64);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Prints a line. A decision that is written is not taken back because nobody hears of it.
fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
