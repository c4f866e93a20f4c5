//! `mailroom show`: what each Region holds of an address, and why.

mod known;
mod shown;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;

use futures_util::future::join_all;
use mailroom_aws::operator::Access;
use mailroom_aws::table::history::RecordHistory;
use mailroom_aws::table::states::StateTable;
use mailroom_core::address::Address;
use mailroom_core::region::Region;

use self::known::Known;
use crate::aws::{self, Named};
use crate::exit;
use crate::region_names::parse_regions;

/// Tell what each Region holds of an address: whether it is suppressed, since when, by what; and its history
///
/// A state is `bounce`, `complaint`, `released`, or `none` where nothing was ever said against it.
/// The list's column is what SES's suppression list held when it was last written or seen. In the
/// history a star marks what a state rests on.
///
/// Characters that show nothing or turn the text around them, such as U+200B or U+202E, are shown as
/// escapes.
///
/// With --json a line is a Region's object: `region`, `table`, `address`, `state` (`bounce`,
/// `complaint`, `released` or `none`), `item` (the state as it is stored, or null), `history`
/// (records as they are stored, the newest first), and `error` in place of the last three where a
/// Region could not be read.
///
/// Exit status: 0; 1 if a Region could not be read (the others are shown); 2 if the address is
/// none.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom show jane@example.com --regions us-east-1,eu-west-1
  mailroom show jane@example.com --region eu-west-1 --json | jq '.history[0]'"
)]
pub(crate) struct Show {
    /// The address, in any spelling
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The Regions to ask, with commas; each must have the stack [default: the environment's]
    #[arg(long, value_name = "LIST", value_delimiter = ',', visible_alias = "region")]
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
            Err(error) => return exit::refuse(&error.within("ADDRESS").to_string()),
        };
        let regions = match parse_regions(&self.regions) {
            Ok(regions) => regions,
            Err(why) => return exit::refuse(&why),
        };
        let reports = match aws::run(self.ask(&address, &regions)) {
            Ok(Ok(reports)) => reports,
            Ok(Err(why)) => return exit::fail(&why),
            Err(error) => return exit::fail(&error.to_string()),
        };
        let mut out = io::stdout().lock();
        let printed = if reports.iter().all(|report| report.known.is_err()) && !self.json {
            Ok(())
        } else if self.json {
            shown::json(&address, &reports, &mut out)
        } else {
            shown::table(&address, &reports, &mut out)
        };
        let mut status = ExitCode::SUCCESS;
        for report in &reports {
            if let Err(why) = &report.known {
                status = exit::fail(why);
            }
        }
        exit::end(printed, status)
    }

    async fn ask(&self, address: &Address, named: &[Region]) -> Result<Vec<Report>, String> {
        let access = aws::access().await?;
        let mut regions: Vec<&str> = named.iter().map(Region::name).collect();
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
                let known = look(&table, &table, address.match_form(), self.limit).await;
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

/// Reads what a table holds of an address: its state, and so many records of its history.
async fn look(
    states: &impl StateTable,
    history: &impl RecordHistory,
    address: &str,
    limit: usize,
) -> Result<Known, String> {
    let deadline = aws::deadline();
    let state =
        states.get_state(address, deadline).await.map_err(|error| aws::table_failed(&error, aws::TO_READ))?;
    let history = history
        .newest_records(address, limit, deadline)
        .await
        .map_err(|error| aws::table_failed(&error, aws::TO_READ))?;
    Ok(Known { state, history })
}
