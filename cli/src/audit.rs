//! `mailroom audit`: is every Region ready, and what to do where it is not?

mod audit_output;
mod live;
mod outcome;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use mailroom_audit::aws::table::AuditTable;
use mailroom_audit::compare::compare_and_dedup_verdicts;
use mailroom_audit::facts::{ApiAnswer, RegionFacts, StackFacts};
use mailroom_audit::{AuditSection, AuditVerdict, SectionVerdict, judge_sections};
use mailroom_aws::clock::{Clock, SystemClock};
use mailroom_aws::operator::{AwsAccess, OpenTableError};
use mailroom_core::region::Region;
use mailroom_core::timestamp::Timestamp;

use self::outcome::RegionOutcome;
use crate::aws::{self, TableArguments};
use crate::exit;
use crate::receiving::{self, ReceivingOverrides};
use crate::region_names::parse_distinct_regions;

/// How long a verdict holds. A stack's audit begins at least every 23 hours and ends within 24: what is older is of a function that
/// has stopped.
const VERDICT_VALIDITY: Duration = Duration::from_hours(48);

/// Report whether each Region is ready, section by section of AWS's page "Regions and Amazon SES", and what fixes it
///
/// Verdicts are read from the tables, where each stack's audit function writes them, and compared
/// between the Regions. A verdict is `pass`, `warn`, `FAIL`, `n/a` or `unknown`; what was found is
/// listed below, the worst first, with the commands and DNS records that fix it. A verdict older
/// than 48 hours is unknown: the function has stopped. Nothing is changed.
///
/// With --live the Regions are asked now, with your credentials, without the tables: at a request a
/// second, as SES has it, so that it takes a second for each identity.
///
/// With --json a line is an object, a section of a Region: `region`, `number`, `section`, `verdict`
/// (`pass`, `warn`, `fail`, `not_applicable`, `unknown`), `evidence`, `findings` (each with
/// `verdict`, `subject`, `evidence`, `todo` and `fixes`, each a `command`, or a `dns` record of
/// `name`, `type` and `value`), `more_findings` (how many more there are) and `checked_at`.
///
/// Exit status: 1 if something fails; else 2 if something is not known (no credentials; a Region
/// that could not be read, has no stack though it was named, or was not audited for 48 hours; a
/// part that the audit was not permitted to read) or for a wrong argument; else 0, with warnings
/// too.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom audit
  mailroom audit --regions us-east-1,eu-west-1 --live
  mailroom audit --json | jq -c 'select(.verdict == \"fail\") | {region, section, evidence}'"
)]
pub(crate) struct AuditCommand {
    /// The Regions, with commas; or all that have the stack
    #[arg(
        long,
        value_name = "all|LIST",
        value_delimiter = ',',
        default_value = "all",
        visible_alias = "region"
    )]
    regions: Vec<String>,
    /// Ask SES and IAM now instead of reading the tables
    #[arg(long, conflicts_with = "table")]
    live: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    receiving: receiving::ReceivingArguments,
    #[command(flatten)]
    named: TableArguments,
}

/// Which Regions are asked.
enum RegionSelection {
    /// All Regions of the credentials' partition, of which only those with the stack are reported.
    AllOfPartition,
    Named(Vec<Region>),
}

impl AuditCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let all = self.regions == ["all"];
        if all && self.named.has_table_name() {
            return exit::fail_with_usage_error(
                "--table: not every Region has that table. Name those that have it with --regions",
            );
        }
        if !self.live && !self.receiving.is_empty() {
            return exit::fail_with_usage_error(
                "--receiving is for --live: the tables hold what each stack's parameter Receiving says",
            );
        }
        let selection = if all {
            Ok(RegionSelection::AllOfPartition)
        } else {
            parse_distinct_regions(&self.regions).map(RegionSelection::Named)
        };
        let (selection, said) = match (selection, self.receiving.parse()) {
            (Ok(selection), Ok(said)) => (selection, said),
            (Err(why), _) | (_, Err(why)) => return exit::fail_with_usage_error(&why),
        };
        let got = match aws::block_on(self.collect_region_outcomes(selection, &said)) {
            Ok(Ok(got)) => got,
            Ok(Err(why)) => return exit::fail_with_usage_error(&why),
            Err(error) => return exit::fail_with_usage_error(&error.to_string()),
        };
        let now = SystemClock.now();
        let mut unread = Vec::new();
        let mut left_out = Vec::new();
        let mut verdicts = Vec::new();
        for (region, got) in got {
            match got {
                RegionOutcome::Verdicts(of) => {
                    verdicts.extend(fill_and_expire_verdicts(region.name(), of, now));
                }
                RegionOutcome::NoStack | RegionOutcome::NotEnabled(_) if all => left_out.push(region.name()),
                RegionOutcome::NoStack => {
                    let why = format!("no stack {}", self.named.stack());
                    verdicts.extend(unknown_verdicts(region.name(), &why, now));
                }
                RegionOutcome::NotAudited => {
                    let why = "not audited yet: the stack's audit function has not come to its end, or is of an older version";
                    verdicts.extend(unknown_verdicts(region.name(), why, now));
                }
                RegionOutcome::NotEnabled(code) => {
                    verdicts.extend(disabled_region_verdicts(region.name(), code, now));
                }
                RegionOutcome::Failed(why) => {
                    verdicts.extend(unknown_verdicts(region.name(), &why, now));
                    unread.push(why);
                }
            }
        }
        if verdicts.is_empty() {
            return exit::fail_with_usage_error(&format!(
                "no Region has a stack {}: name it with --stack",
                self.named.stack()
            ));
        }
        let verdicts = compare_and_dedup_verdicts(&verdicts);
        let mut out = io::stdout().lock();
        let printed = if self.json {
            audit_output::print_json_lines(&verdicts, &mut out)
        } else {
            audit_output::print_table(&verdicts, &left_out, &mut out)
        };
        for why in &unread {
            exit::print_error(why);
        }
        exit::exit_after_printing(printed, ExitCode::from(exit_code(&verdicts)))
    }

    /// What comes of asking the Regions.
    async fn collect_region_outcomes(
        &self,
        selection: RegionSelection,
        receiving_overrides: &ReceivingOverrides,
    ) -> Result<Vec<(Region, RegionOutcome)>, String> {
        let access = aws::load_access().await?;
        let stacks_only = matches!(selection, RegionSelection::AllOfPartition);
        let regions = match selection {
            RegionSelection::Named(regions) => regions,
            RegionSelection::AllOfPartition => {
                // Credentials are of one partition.
                let region = access.default_region().and_then(Region::find);
                let partition =
                    region.map_or(mailroom_core::region::Partition::Aws, |region| region.partition());
                Region::all().filter(|region| region.partition() == partition).collect()
            }
        };
        if self.live {
            return Ok(live::audit_regions(
                &access,
                &regions,
                self.named.stack(),
                receiving_overrides,
                stacks_only,
            )
            .await);
        }
        Ok(join_all(
            regions
                .into_iter()
                .map(async |region| (region, self.load_stored_verdicts(&access, region).await)),
        )
        .await)
    }

    /// What a Region's table says.
    async fn load_stored_verdicts(&self, access: &AwsAccess, region: Region) -> RegionOutcome {
        let name = region.name();
        let table = match self.named.try_open_table(access, Some(name)).await {
            Ok(table) => table,
            Err(error) => return self.classify_open_error(&error, name),
        };
        match table.verdicts(aws::call_deadline()).await {
            Ok(verdicts) if verdicts.is_empty() => RegionOutcome::NotAudited,
            Ok(verdicts) => RegionOutcome::Verdicts(verdicts),
            Err(error) => RegionOutcome::Failed(format!(
                "{} in {name}: {}",
                table.name(),
                aws::explain_table_error(&error, "dynamodb:Query")
            )),
        }
    }

    fn classify_open_error(&self, error: &OpenTableError, region: &str) -> RegionOutcome {
        match error {
            OpenTableError::StackNotFound => RegionOutcome::NoStack,
            OpenTableError::Refused(code) if aws::may_mean_region_disabled(code) => {
                RegionOutcome::NotEnabled(code.clone())
            }
            other => RegionOutcome::Failed(self.named.explain_open_error(other, region)),
        }
    }
}

/// What a pipeline is told: 1 if something fails, else 2 if something is not known, be it a section or a part of one.
fn exit_code(verdicts: &[SectionVerdict]) -> u8 {
    let any = |verdict| {
        verdicts.iter().any(|told| {
            told.verdict == verdict || told.findings.iter().any(|finding| finding.verdict == verdict)
        })
    };
    if any(AuditVerdict::Fail) {
        1
    } else if any(AuditVerdict::Unknown) {
        2
    } else {
        0
    }
}

/// A Region's verdicts on all ten sections: those that its table lacks are unknown, and so are those that hold no longer.
fn fill_and_expire_verdicts(
    region: &str,
    verdicts: Vec<SectionVerdict>,
    now: Timestamp,
) -> Vec<SectionVerdict> {
    let mut verdicts: Vec<_> = verdicts.into_iter().map(|told| expire_old_verdict(told, now)).collect();
    for section in AuditSection::ALL {
        if !verdicts.iter().any(|told| told.section == section) {
            verdicts.push(SectionVerdict::unknown(region, section, "not audited yet", now));
        }
    }
    verdicts.sort_by_key(|told| told.section);
    verdicts
}

/// A verdict; or, if it is too old to say how things are, that nothing is known.
fn expire_old_verdict(verdict: SectionVerdict, now: Timestamp) -> SectionVerdict {
    if now.since(verdict.checked_at) <= VERDICT_VALIDITY {
        return verdict;
    }
    let why = format!(
        "last audited {}, more than {} hours ago: see the log of the stack's audit function (output AuditFunctionName), and \
         whether its schedule wakes it",
        verdict.checked_at,
        VERDICT_VALIDITY.as_secs() / 3600
    );
    SectionVerdict::unknown(&verdict.region, verdict.section, &why, verdict.checked_at)
}

/// The verdicts on a Region of which nothing is known, and why.
fn unknown_verdicts(region: &str, evidence: &str, now: Timestamp) -> Vec<SectionVerdict> {
    AuditSection::ALL
        .into_iter()
        .map(|section| SectionVerdict::unknown(region, section, evidence, now))
        .collect()
}

/// The verdicts on a Region that is not enabled: section 1 fails, and nothing else is known.
fn disabled_region_verdicts(region: &str, code: String, now: Timestamp) -> Vec<SectionVerdict> {
    let facts = RegionFacts {
        stack: StackFacts { region: region.to_owned(), receives: true, ..StackFacts::default() },
        account: ApiAnswer::NotEnabled(code.clone()),
        identities: ApiAnswer::NotEnabled(code.clone()),
        configuration_sets: ApiAnswer::NotEnabled(code.clone()),
        last_list_pass: ApiAnswer::NotAsked,
        peer_pushes: ApiAnswer::NotAsked,
        access_keys: ApiAnswer::NotAsked,
        rule_set: ApiAnswer::NotEnabled(code),
        buckets: Vec::new(),
    };
    judge_sections(&facts, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use mailroom_audit::Finding;

    use super::*;

    fn new_section_verdict(verdict: AuditVerdict, found: &[AuditVerdict]) -> SectionVerdict {
        let at = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let finding = |verdict: &AuditVerdict| Finding {
            verdict: *verdict,
            subject: "example.com".to_owned(),
            evidence: "e".to_owned(),
            todo: "t".to_owned(),
            fixes: vec![],
        };
        let mut told = SectionVerdict::unknown("eu-west-1", AuditSection::Dkim, "it was looked at", at);
        told.verdict = verdict;
        told.findings = found.iter().map(finding).collect();
        told
    }

    #[test]
    fn what_is_not_known_is_no_success() {
        use AuditVerdict::{Fail, NotApplicable, Pass, Unknown, Warn};
        let fine = [
            new_section_verdict(Pass, &[]),
            new_section_verdict(NotApplicable, &[]),
            new_section_verdict(Warn, &[Warn]),
        ];
        for (verdict, found, expected) in [
            (Pass, &[][..], 0),
            (Unknown, &[], 2),
            (Unknown, &[Unknown], 2),
            (Warn, &[Warn, Unknown], 2),
            (Fail, &[Fail, Unknown], 1),
        ] {
            let verdicts = [&fine[..], &[new_section_verdict(verdict, found)]].concat();
            assert_eq!(exit_code(&verdicts), expected, "{verdict} {found:?}");
        }
        assert_eq!(exit_code(&[new_section_verdict(Unknown, &[]), new_section_verdict(Fail, &[Fail])]), 1);
    }

    #[test]
    fn an_old_verdict_holds_no_longer() {
        let failed = new_section_verdict(AuditVerdict::Fail, &[AuditVerdict::Fail]);
        let at = failed.checked_at;
        assert_eq!(expire_old_verdict(failed.clone(), at.plus(VERDICT_VALIDITY)), failed);
        // A clock that is behind.
        assert_eq!(expire_old_verdict(failed.clone(), at.minus(VERDICT_VALIDITY)), failed);
        let old = expire_old_verdict(failed, at.plus(VERDICT_VALIDITY + Duration::from_millis(1)));
        assert_eq!((old.verdict, old.findings.len(), old.checked_at), (AuditVerdict::Unknown, 0, at));
        let expected = "last audited 2026-11-23T12:00:00.000Z, more than 48 hours ago: see the log";
        assert!(old.evidence.starts_with(expected), "{}", old.evidence);
        let whole = fill_and_expire_verdicts("eu-west-1", vec![old], at.plus(VERDICT_VALIDITY));
        assert!(whole.iter().map(|told| told.section).eq(AuditSection::ALL));
    }
}
