//! `mailroom regions`: the catalogue.

use std::io::{self, Write};
use std::process::ExitCode;

use mailroom_core::region::{Listed, Receiving, Region};
use serde_json::json;

/// Print the Regions that have Amazon SES, what it does in each, and its endpoints
///
/// What the catalogue says of SMTP and of receiving mail is from AWS's lists as they were in a month: `yes (2024-01)` is
/// the first list that has the Region, `no` is a source that says so, and `unknown` is none that says either. Their
/// sources are in shared/core/data/regions.csv.
///
/// With --json a line is an object: `region`, `partition`, `title`, `api_endpoint`, `smtp` and `receiving` (a month, "no"
/// or "unknown"), `smtp_endpoint` (null if `smtp` is "no"), `receives` (--receiving is taken into account),
/// `inbound_endpoint` (null unless it receives) and `mail_from_endpoint`.
///
/// Exit status: 0; 2 if the catalogue lacks a Region that was asked for.
#[derive(clap::Args)]
pub(crate) struct Regions {
    /// Only these, in this order; all of them by default
    #[arg(value_name = "REGION")]
    names: Vec<String>,
    /// One JSON object a line, with every endpoint's name
    #[arg(long)]
    json: bool,
    /// What you know better than the catalogue of receiving in a Region, as you told the stack there by its parameter
    /// `Receiving` [possible values: on, off, auto]; may be repeated
    #[arg(long, value_name = "REGION=VALUE", value_delimiter = ',')]
    receiving: Vec<String>,
}

impl Regions {
    pub(crate) fn run(&self) -> ExitCode {
        let choices = match self.receiving.iter().map(|text| choice(text)).collect::<Result<Vec<_>, _>>() {
            Ok(choices) => choices,
            Err(why) => return crate::refuse(&why),
        };
        let regions = match self.names.iter().map(|name| crate::region(name)).collect::<Result<Vec<_>, _>>() {
            Ok(named) if named.is_empty() => Region::all().collect(),
            Ok(named) => named,
            Err(why) => return crate::refuse(&why),
        };
        let rows: Vec<_> = regions
            .into_iter()
            .map(|region| {
                // The last word counts.
                let said = choices.iter().rev().find(|(of, _)| *of == region);
                Row { region, receiving: said.map_or(Receiving::Auto, |(_, receiving)| *receiving) }
            })
            .collect();
        let mut out = io::stdout().lock();
        let printed = if self.json { print_json(&rows, &mut out) } else { print_table(&rows, &mut out) };
        crate::end(printed.map(|()| ExitCode::SUCCESS))
    }
}

/// `il-central-1=off`
fn choice(text: &str) -> Result<(Region, Receiving), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let region = crate::region(name)?;
    let receiving = Receiving::parse(value)
        .ok_or_else(|| format!("--receiving {name}={value}: what it says is none of on, off, auto"))?;
    Ok((region, receiving))
}

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
    let [first, second, third, fourth, _] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    for [region, partition, smtp, receives, name] in &lines {
        writeln!(out, "{region:first$}  {partition:second$}  {smtp:third$}  {receives:fourth$}  {name}")?;
    }
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
