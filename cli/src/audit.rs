//! `mailroom audit`: is every Region ready, and what to do where it is not?

mod live;
mod shown;

use std::io;
use std::process::ExitCode;

use futures_util::future::join_all;
use mailroom_aws::audit_table::AuditTable;
use mailroom_aws::clock::{Clock, SystemClock};
use mailroom_aws::operator::{Access, OpenError};
use mailroom_core::audit::compared::compare;
use mailroom_core::audit::facts::{Asked, Facts, Stack};
use mailroom_core::audit::{Section, SectionVerdict, Verdict, audit};
use mailroom_core::region::Region;
use mailroom_core::timestamp::Timestamp;

use crate::aws::{self, Named};

/// Tell for each Region and each section of AWS's page "Regions and Amazon SES" whether it is ready, and what mends it
///
/// Verdicts are read from the tables, where each stack's audit function writes them, and compared between the Regions. A
/// verdict is `pass`, `warn`, `FAIL`, `n/a` or `unknown`; what was found is told beneath, the worst first, with the commands
/// and DNS records that mend it. Nothing is changed.
///
/// With --live the Regions are asked now, with your credentials, without the tables: at a request a second, as SES has it, so that
/// it takes a second for each identity.
///
/// With --json a line is an object, a section of a Region: `region`, `number`, `section`, `verdict` (`pass`, `warn`, `fail`,
/// `not_applicable`, `unknown`), `evidence`, `findings` (each with `verdict`, `subject`, `evidence`, `todo` and `fixes`),
/// `more_findings` and `checked_at`.
///
/// Exit status: 1 if a section of a Region fails; else 2 if a Region could not be read, or for a wrong argument; else 0.
#[derive(clap::Args)]
pub(crate) struct Audit {
    /// The Regions, with commas; or all that have the stack
    #[arg(long, value_name = "all|LIST", value_delimiter = ',', default_value = "all", alias = "region")]
    regions: Vec<String>,
    /// Ask SES and IAM now instead of reading the tables
    #[arg(long, conflicts_with = "table")]
    live: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    named: Named,
}

/// What came of a Region.
enum Got {
    /// Its verdicts.
    Verdicts(Vec<SectionVerdict>),
    /// There is no stack.
    NoStack,
    /// There is a stack, and nothing to be read yet.
    NotAudited,
    /// The account has not enabled it: what AWS said.
    NotEnabled(String),
    /// It could not be read, and why.
    Failed(String),
}

impl Audit {
    pub(crate) fn run(&self) -> ExitCode {
        let all = self.regions == ["all"];
        let named = match self.regions.iter().map(|name| crate::region(name)).collect::<Result<Vec<_>, _>>() {
            _ if all => Vec::new(),
            Ok(named) => named,
            Err(why) => return crate::refuse(&why),
        };
        let got = match aws::run(self.ask(&named)) {
            Ok(Ok(got)) => got,
            Ok(Err(why)) => return crate::refuse(&why),
            Err(error) => return crate::refuse(&error.to_string()),
        };
        let now = SystemClock.now();
        let mut unread = Vec::new();
        let mut left_out = Vec::new();
        let mut verdicts = Vec::new();
        for (region, got) in got {
            match got {
                Got::Verdicts(of) => verdicts.extend(whole(region.name(), of, now)),
                Got::NoStack | Got::NotEnabled(_) if all => left_out.push(region.name()),
                Got::NoStack => {
                    let why = format!("no stack {}", self.named.stack());
                    verdicts.extend(nothing(region.name(), &why, now));
                }
                Got::NotAudited => {
                    let why = "not audited yet: the stack's audit function has not come to its end, or is of an older version";
                    verdicts.extend(nothing(region.name(), why, now));
                }
                Got::NotEnabled(code) => verdicts.extend(not_enabled(region.name(), code, now)),
                Got::Failed(why) => {
                    verdicts.extend(nothing(region.name(), &why, now));
                    unread.push(why);
                }
            }
        }
        if verdicts.is_empty() {
            return crate::refuse(&format!(
                "no Region has a stack {}: name it with --stack",
                self.named.stack()
            ));
        }
        let verdicts = compare(&verdicts);
        let mut out = io::stdout().lock();
        let printed = if self.json {
            shown::json(&verdicts, &mut out)
        } else {
            shown::table(&verdicts, &left_out, &mut out)
        };
        let mut status = ExitCode::SUCCESS;
        for why in &unread {
            status = crate::refuse(why);
        }
        if verdicts.iter().any(|told| told.verdict == Verdict::Fail) {
            status = ExitCode::from(1);
        }
        crate::end(printed.map(|()| status))
    }

    async fn ask(&self, named: &[Region]) -> Result<Vec<(Region, Got)>, String> {
        let access = aws::access().await?;
        let mut regions: Vec<Region> = Vec::new();
        for region in named {
            if !regions.contains(region) {
                regions.push(*region);
            }
        }
        if regions.is_empty() {
            // Credentials are of one partition.
            let partition = access.region().and_then(Region::find).map(|region| region.partition());
            let partition = partition.unwrap_or(mailroom_core::region::Partition::Aws);
            regions.extend(Region::all().filter(|region| region.partition() == partition));
        }
        if self.live {
            return Ok(live::ask(&access, &regions, self.named.stack(), named.is_empty()).await);
        }
        Ok(join_all(regions.into_iter().map(async |region| (region, self.read(&access, region).await))).await)
    }

    /// From the table.
    async fn read(&self, access: &Access, region: Region) -> Got {
        let name = region.name();
        let table = match self.named.try_open(access, Some(name)).await {
            Ok(table) => table,
            Err(error) => return self.not_open(&error, name),
        };
        match table.audits().verdicts(aws::deadline()).await {
            Ok(verdicts) if verdicts.is_empty() => Got::NotAudited,
            Ok(verdicts) => Got::Verdicts(verdicts),
            Err(error) => Got::Failed(format!(
                "{} in {name}: {}",
                table.name(),
                aws::not_read(&error, "dynamodb:Query")
            )),
        }
    }

    fn not_open(&self, error: &OpenError, region: &str) -> Got {
        match error {
            OpenError::NoStack => Got::NoStack,
            OpenError::Refused(code) if aws::is_not_enabled(code) => Got::NotEnabled(code.clone()),
            other => Got::Failed(self.named.not_opened(other, region)),
        }
    }
}

/// All ten sections: those that a table lacks are unknown.
fn whole(region: &str, verdicts: Vec<SectionVerdict>, now: Timestamp) -> Vec<SectionVerdict> {
    let mut verdicts = verdicts;
    for section in Section::ALL {
        if !verdicts.iter().any(|told| told.section == section) {
            verdicts.push(SectionVerdict::unknown(region, section, "not audited yet", now));
        }
    }
    verdicts.sort_by_key(|told| told.section);
    verdicts
}

fn nothing(region: &str, why: &str, now: Timestamp) -> Vec<SectionVerdict> {
    Section::ALL.into_iter().map(|section| SectionVerdict::unknown(region, section, why, now)).collect()
}

/// That is section 1's to tell.
fn not_enabled(region: &str, code: String, now: Timestamp) -> Vec<SectionVerdict> {
    let facts = Facts {
        stack: Stack { region: region.to_owned(), receives: true, ..Stack::default() },
        account: Asked::NotEnabled(code.clone()),
        identities: Asked::NotEnabled(code.clone()),
        configuration_sets: Asked::NotEnabled(code.clone()),
        list: Asked::NotAsked,
        access_keys: Asked::NotAsked,
        rule_set: Asked::NotEnabled(code),
        buckets: Vec::new(),
    };
    audit(&facts, now)
}
