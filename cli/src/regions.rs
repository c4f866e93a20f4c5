//! `mailroom regions`: the catalogue.

use std::io::{self, Write};
use std::process::ExitCode;

use mailroom_core::region::{FeatureAvailability, ReceivingSetting, Region};
use serde_json::json;

use crate::exit;
use crate::region_names::parse_region;
use crate::{columns, receiving};

/// Print the Regions that have Amazon SES, what it does in each, and its endpoints
///
/// What the catalogue says of SMTP and of receiving mail is from AWS's lists as they were in a
/// month: `yes (2024-01)` is the first list that has the Region, `no` is a source that says so, and
/// `unknown` is none that says either. Their sources are in shared/core/data/regions.csv.
///
/// With --json a line is an object: `region`, `partition`, `title`, `api_endpoint`, `smtp` and
/// `receiving` (a month, "no" or "unknown"), `smtp_endpoint` (null if `smtp` is "no"), `receives`
/// (--receiving is taken into account), `inbound_endpoint` (null unless it receives) and
/// `mail_from_endpoint`.
///
/// Exit status: 0; 2 if the catalogue lacks a Region that was asked for.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom regions
  mailroom regions --json eu-west-1 | jq -r .inbound_endpoint"
)]
pub(crate) struct RegionsCommand {
    /// Only these, in this order; all of them by default
    #[arg(value_name = "REGION")]
    names: Vec<String>,
    /// One JSON object a line, with every endpoint's name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    receiving: receiving::ReceivingArguments,
}

impl RegionsCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let said = match self.receiving.parse() {
            Ok(said) => said,
            Err(why) => return exit::fail_with_usage_error(&why),
        };
        let regions = match self.names.iter().map(|name| parse_region(name)).collect::<Result<Vec<_>, _>>() {
            Ok(named) if named.is_empty() => Region::all().collect(),
            Ok(named) => named,
            Err(why) => return exit::fail_with_usage_error(&why),
        };
        let row = |region| RegionRow { region, receiving: said.for_region(region) };
        let rows: Vec<_> = regions.into_iter().map(row).collect();
        let mut out = io::stdout().lock();
        let printed =
            if self.json { print_json_lines(&rows, &mut out) } else { print_table(&rows, &mut out) };
        exit::exit_after_printing(printed, ExitCode::SUCCESS)
    }
}

/// A line of the catalogue, and what the operator says of it.
struct RegionRow {
    region: Region,
    receiving: ReceivingSetting,
}

impl RegionRow {
    fn counts_as_receiving(&self) -> bool {
        self.receiving.receives_in(self.region)
    }

    fn receiving_text(&self) -> String {
        match self.receiving {
            ReceivingSetting::Auto => availability_text(self.region.receiving_availability()),
            ReceivingSetting::On => "yes (you)".to_owned(),
            ReceivingSetting::Off => "no (you)".to_owned(),
        }
    }
}

fn availability_text(availability: FeatureAvailability) -> String {
    match availability {
        FeatureAvailability::Since(month) => format!("yes ({month})"),
        FeatureAvailability::No | FeatureAvailability::Unknown => availability.as_str().to_owned(),
    }
}

fn print_json_lines(rows: &[RegionRow], out: &mut impl Write) -> io::Result<()> {
    for row in rows {
        let region = row.region;
        let object = json!({
            "region": region.name(),
            "partition": region.partition().as_str(),
            "title": region.title(),
            "api_endpoint": region.api_endpoint(),
            "smtp": region.smtp_availability().as_str(),
            "smtp_endpoint": region.smtp_endpoint(),
            "receiving": region.receiving_availability().as_str(),
            "receives": row.counts_as_receiving(),
            "inbound_endpoint": row.counts_as_receiving().then(|| region.inbound_endpoint()),
            "mail_from_endpoint": region.mail_from_endpoint(),
        });
        writeln!(out, "{object}")?;
    }
    out.flush()
}

fn print_table(rows: &[RegionRow], out: &mut impl Write) -> io::Result<()> {
    let head = ["REGION", "PARTITION", "SMTP", "RECEIVES", "NAME"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let region = row.region;
        [
            region.name().to_owned(),
            region.partition().as_str().to_owned(),
            availability_text(region.smtp_availability()),
            row.receiving_text(),
            region.title().to_owned(),
        ]
    });
    let lines: Vec<_> = std::iter::once(head).chain(cells).collect();
    columns::print_rows(&lines, out)?;
    writeln!(
        out,
        "\n\
         API                  email.REGION.amazonaws.com\n\
         SMTP                 email-smtp.REGION.amazonaws.com\n\
         Received mail (MX)   inbound-smtp.REGION.amazonaws.com\n\
         Custom MAIL FROM     feedback-smtp.REGION.amazonses.com"
    )?;
    out.flush()
}
