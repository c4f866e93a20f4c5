//! `mailroom show`: what each Region holds of an address, and why.

mod show_output;
mod stored_address;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;

use futures_util::future::join_all;
use mailroom_aws::operator::AwsAccess;
use mailroom_aws::table::history::RecordHistory;
use mailroom_aws::table::states::StateTable;
use mailroom_core::address::Address;
use mailroom_core::region::Region;

use self::stored_address::StoredAddress;
use crate::aws::{self, TableArguments};
use crate::exit;
use crate::region_names::parse_distinct_regions;

/// Show what each Region holds for an address: whether it is suppressed, since when, by what; and its history
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
pub(crate) struct ShowCommand {
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
    named: TableArguments,
}

impl ShowCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let address = match Address::parse(&self.address) {
            Ok(address) => address,
            Err(error) => return exit::fail_with_usage_error(&error.prefix_field("ADDRESS").to_string()),
        };
        let regions = match parse_distinct_regions(&self.regions) {
            Ok(regions) => regions,
            Err(why) => return exit::fail_with_usage_error(&why),
        };
        let reports = match aws::block_on(self.read_region_reports(&address, &regions)) {
            Ok(Ok(reports)) => reports,
            Ok(Err(why)) => return exit::fail_with_error(&why),
            Err(error) => return exit::fail_with_error(&error.to_string()),
        };
        let mut out = io::stdout().lock();
        let printed = if reports.iter().all(|report| report.stored.is_err()) && !self.json {
            Ok(())
        } else if self.json {
            show_output::print_json_lines(&address, &reports, &mut out)
        } else {
            show_output::print_table(&address, &reports, &mut out)
        };
        let mut status = ExitCode::SUCCESS;
        for report in &reports {
            if let Err(why) = &report.stored {
                status = exit::fail_with_error(why);
            }
        }
        exit::exit_after_printing(printed, status)
    }

    async fn read_region_reports(
        &self,
        address: &Address,
        requested_regions: &[Region],
    ) -> Result<Vec<RegionReport>, String> {
        let access = aws::load_access().await?;
        let mut regions: Vec<&str> = requested_regions.iter().map(Region::name).collect();
        if regions.is_empty() {
            regions.push(
                access.default_region().ok_or("which Region? Say it with --regions, or by AWS_REGION")?,
            );
        }
        Ok(join_all(regions.into_iter().map(|region| self.read_region_report(&access, region, address)))
            .await)
    }

    async fn read_region_report(&self, access: &AwsAccess, region: &str, address: &Address) -> RegionReport {
        let mut report =
            RegionReport { region: region.to_owned(), table: None, stored: Ok(StoredAddress::default()) };
        report.stored = match self.named.open_table(access, Some(region)).await {
            Ok(table) => {
                report.table = Some(table.name().to_owned());
                let known = read_stored_address(&table, &table, address.match_form(), self.limit).await;
                known.map_err(|why| format!("{} in {region}: {why}", table.name()))
            }
            Err(why) => Err(why),
        };
        report
    }
}

/// What a Region says.
struct RegionReport {
    region: String,
    table: Option<String>,
    /// Or, in words, why it says nothing.
    stored: Result<StoredAddress, String>,
}

/// Reads what a table holds of an address: its state, and so many records of its history.
async fn read_stored_address(
    states: &impl StateTable,
    history: &impl RecordHistory,
    address: &str,
    limit: usize,
) -> Result<StoredAddress, String> {
    let deadline = aws::call_deadline();
    let state = states
        .get_state(address, deadline)
        .await
        .map_err(|error| aws::explain_table_error(&error, aws::READ_ACTIONS))?;
    let history = history
        .newest_records(address, limit, deadline)
        .await
        .map_err(|error| aws::explain_table_error(&error, aws::READ_ACTIONS))?;
    Ok(StoredAddress { state, history })
}
