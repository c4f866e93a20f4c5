//! `mailroom regions`: the catalogue.

use std::io::{self, Write};
use std::process::ExitCode;

use mailroom_core::region::{Listed, Receiving, Region};
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
pub(crate) struct Regions {
    /// Only these, in this order; all of them by default
    #[arg(value_name = "REGION")]
    names: Vec<String>,
    /// One JSON object a line, with every endpoint's name
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    receiving: receiving::Arguments,
}

impl Regions {
    pub(crate) fn run(&self) -> ExitCode {
        let said = match self.receiving.read() {
            Ok(said) => said,
            Err(why) => return exit::refuse(&why),
        };
        let regions = match self.names.iter().map(|name| parse_region(name)).collect::<Result<Vec<_>, _>>() {
            Ok(named) if named.is_empty() => Region::all().collect(),
            Ok(named) => named,
            Err(why) => return exit::refuse(&why),
        };
        let row = |region| Row { region, receiving: said.of(region) };
        let rows: Vec<_> = regions.into_iter().map(row).collect();
        let mut out = io::stdout().lock();
        let printed = if self.json { print_json(&rows, &mut out) } else { print_table(&rows, &mut out) };
        exit::end(printed, ExitCode::SUCCESS)
    }
}

/// A line of the catalogue, and what the operator says of it.
struct Row {
    region: Region,
    receiving: Receiving,
}

impl Row {
    fn receives(&self) -> bool {
        self.receiving.in_region(self.region)
    }

    fn receiving_in_words(&self) -> String {
        match self.receiving {
            Receiving::Auto => in_words(self.region.receiving()),
            Receiving::On => "yes (you)".to_owned(),
            Receiving::Off => "no (you)".to_owned(),
        }
    }
}

fn in_words(listed: Listed) -> String {
    match listed {
        Listed::Since(month) => format!("yes ({month})"),
        Listed::No | Listed::Unknown => listed.as_str().to_owned(),
    }
}

fn print_json(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    for row in rows {
        let region = row.region;
        let object = json!({
            "region": region.name(),
            "partition": region.partition().as_str(),
            "title": region.title(),
            "api_endpoint": region.api_endpoint(),
            "smtp": region.smtp().as_str(),
            "smtp_endpoint": region.smtp_endpoint(),
            "receiving": region.receiving().as_str(),
            "receives": row.receives(),
            "inbound_endpoint": row.receives().then(|| region.inbound_endpoint()),
            "mail_from_endpoint": region.mail_from_endpoint(),
        });
        writeln!(out, "{object}")?;
    }
    out.flush()
}

fn print_table(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let head = ["REGION", "PARTITION", "SMTP", "RECEIVES", "NAME"].map(str::to_owned);
    let cells = rows.iter().map(|row| {
        let region = row.region;
        [
            region.name().to_owned(),
            region.partition().as_str().to_owned(),
            in_words(region.smtp()),
            row.receiving_in_words(),
            region.title().to_owned(),
        ]
    });
    let lines: Vec<_> = std::iter::once(head).chain(cells).collect();
    columns::print(&lines, out)?;
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
