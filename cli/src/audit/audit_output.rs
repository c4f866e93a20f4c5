//! The matrix, Regions by sections, and what was found.

use std::io::{self, Write};

use mailroom_audit::{AuditSection, AuditVerdict, Finding, SectionVerdict};
use mailroom_core::text::escape_invisible;
use serde_json::json;

use crate::columns;

/// What a line that others wrote has room for; commands are as long as they are.
const MAX_LINE_CHARS: usize = 700;

pub(super) fn print_json_lines(verdicts: &[SectionVerdict], out: &mut impl Write) -> io::Result<()> {
    for told in verdicts {
        let object = json!({
            "region": told.region,
            "number": told.section.number(),
            "section": told.section,
            "verdict": told.verdict,
            "evidence": told.evidence,
            "findings": told.findings,
            "more_findings": told.more_findings,
            "checked_at": told.checked_at,
        });
        writeln!(out, "{object}")?;
    }
    out.flush()
}

pub(super) fn print_table(
    verdicts: &[SectionVerdict],
    skipped_regions: &[&str],
    out: &mut impl Write,
) -> io::Result<()> {
    let mut regions: Vec<&str> = Vec::new();
    for told in verdicts {
        if !regions.contains(&told.region.as_str()) {
            regions.push(&told.region);
        }
    }
    print_matrix(verdicts, &regions, out)?;
    if !skipped_regions.is_empty() {
        writeln!(out, "\nNot here, for there is no stack: {}", skipped_regions.join(", "))?;
    }
    for region in &regions {
        let of: Vec<_> = verdicts.iter().filter(|told| told.region == *region).collect();
        print_findings_with_fixes(region, &of, out)?;
    }
    print_summary(verdicts, regions.len(), out)?;
    out.flush()
}

/// A section's name, in a word or two.
fn section_name(section: AuditSection) -> &'static str {
    match section {
        AuditSection::Endpoints => "endpoints",
        AuditSection::Sandbox => "sandbox",
        AuditSection::Verification => "verified",
        AuditSection::Dkim => "DKIM",
        AuditSection::SuppressionList => "list",
        AuditSection::Feedback => "feedback",
        AuditSection::SmtpCredentials => "SMTP keys",
        AuditSection::MailFrom => "MAIL FROM",
        AuditSection::Authorization => "delegates",
        AuditSection::Receiving => "receiving",
    }
}

/// A verdict as it stands in the matrix, where it is to be told apart without colours, and by a search.
fn verdict_cell(verdict: AuditVerdict) -> &'static str {
    match verdict {
        AuditVerdict::Pass => "✓ pass",
        AuditVerdict::Warn => "! warn",
        AuditVerdict::Fail => "✗ FAIL",
        AuditVerdict::NotApplicable => "· n/a",
        AuditVerdict::Unknown => "? unknown",
    }
}

fn print_matrix(verdicts: &[SectionVerdict], regions: &[&str], out: &mut impl Write) -> io::Result<()> {
    let heads = AuditSection::ALL.map(|section| format!("{} {}", section.number(), section_name(section)));
    let row =
        |first: &str, cells: [String; AuditSection::ALL.len()]| [&[first.to_owned()], &cells[..]].concat();
    let mut rows = vec![row("REGION", heads)];
    rows.extend(regions.iter().map(|region| {
        let cells = AuditSection::ALL.map(|section| {
            let told = verdicts.iter().find(|told| told.region == *region && told.section == section);
            told.map_or("", |told| verdict_cell(told.verdict)).to_owned()
        });
        row(region, cells)
    }));
    columns::print_rows(&rows, out)
}

/// What was found in a Region, the worst first.
fn print_findings_with_fixes(
    region: &str,
    verdicts: &[&SectionVerdict],
    out: &mut impl Write,
) -> io::Result<()> {
    if let Some(why) = evidence_if_region_unknown(verdicts) {
        return writeln!(
            out,
            "\n{region}\n  {}  {}",
            verdict_cell(AuditVerdict::Unknown),
            escape_invisible(why, MAX_LINE_CHARS)
        );
    }
    let mut all: Vec<(&SectionVerdict, Option<&Finding>)> = Vec::new();
    for told in verdicts {
        all.extend(told.findings.iter().map(|finding| (*told, Some(finding))));
        if told.verdict == AuditVerdict::Unknown && told.findings.is_empty() {
            all.push((told, None));
        }
    }
    let more: usize = verdicts.iter().map(|told| told.more_findings).sum();
    if all.is_empty() && more == 0 {
        return Ok(());
    }
    all.sort_by_key(|(told, finding)| {
        (std::cmp::Reverse(finding.map_or(told.verdict, |finding| finding.verdict)), told.section)
    });
    writeln!(out, "\n{region}")?;
    for (told, finding) in all {
        let section = format!("{} {}", told.section.number(), section_name(told.section));
        match finding {
            None => writeln!(
                out,
                "  {}  {section}: {}",
                verdict_cell(told.verdict),
                escape_invisible(&told.evidence, MAX_LINE_CHARS)
            )?,
            Some(finding) => {
                let subject =
                    if finding.subject.is_empty() { String::new() } else { format!(": {}", finding.subject) };
                let head = format!("{}  {section}{subject}", verdict_cell(finding.verdict));
                writeln!(out, "  {}", escape_invisible(&head, MAX_LINE_CHARS))?;
                writeln!(out, "      {}", escape_invisible(&finding.evidence, MAX_LINE_CHARS))?;
                writeln!(out, "      {}", escape_invisible(&finding.todo, MAX_LINE_CHARS))?;
                for fix in &finding.fixes {
                    writeln!(out, "        {}", escape_invisible(&fix.to_string(), usize::MAX))?;
                }
            }
        }
    }
    if more > 0 {
        writeln!(out, "  and {more} findings more")?;
    }
    Ok(())
}

/// Why nothing at all is known of a Region.
fn evidence_if_region_unknown<'a>(verdicts: &[&'a SectionVerdict]) -> Option<&'a str> {
    let first = verdicts.first()?;
    let alike = |told: &&SectionVerdict| {
        // Section 7 is told by another Region.
        let silent = told.section == AuditSection::SmtpCredentials
            || (told.verdict == AuditVerdict::Unknown && told.evidence == first.evidence);
        silent && told.findings.is_empty()
    };
    verdicts.iter().all(alike).then_some(first.evidence.as_str())
}

fn print_summary(verdicts: &[SectionVerdict], region_count: usize, out: &mut impl Write) -> io::Result<()> {
    let count = |verdict| verdicts.iter().filter(|told| told.verdict == verdict).count();
    let known =
        verdicts.iter().filter(|told| told.verdict != AuditVerdict::Unknown).map(|told| told.checked_at);
    let (fail, warn, unknown) =
        (count(AuditVerdict::Fail), count(AuditVerdict::Warn), count(AuditVerdict::Unknown));
    let sections = verdicts.len();
    write!(
        out,
        "\n{region_count} Regions, {sections} sections: {fail} fail, {warn} warn, {unknown} unknown"
    )?;
    match (known.clone().min(), known.max()) {
        (Some(from), Some(to)) if from == to => writeln!(out, "; audited {from}"),
        (Some(from), Some(to)) => writeln!(out, "; audited {from} to {to}"),
        _ => writeln!(out),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use mailroom_audit::facts::{AccountFacts, ApiAnswer, RegionFacts, StackFacts};
    use mailroom_audit::judge_sections;
    use mailroom_core::timestamp::Timestamp;

    use super::*;

    fn region(name: &str, sends: bool) -> Vec<SectionVerdict> {
        let facts = RegionFacts {
            stack: StackFacts { region: name.to_owned(), ..StackFacts::default() },
            account: ApiAnswer::Answered(AccountFacts {
                production_access_enabled: true,
                sending_enabled: sends,
                enforcement_status: None,
                send_quota: None,
                suppressed_reasons: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
                review: None,
            }),
            identities: ApiAnswer::Answered(vec![]),
            configuration_sets: ApiAnswer::Denied("ses:ListConfigurationSets".to_owned()),
            last_list_pass: ApiAnswer::NotAsked,
            peer_pushes: ApiAnswer::NotAsked,
            access_keys: ApiAnswer::Answered(vec![]),
            rule_set: ApiAnswer::NotAsked,
            buckets: vec![],
        };
        judge_sections(&facts, Timestamp::parse("2026-11-23T12:00:00Z").unwrap())
    }

    fn shown(verdicts: &[SectionVerdict], left_out: &[&str]) -> String {
        let mut out = Vec::new();
        print_table(verdicts, left_out, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_matrix_and_what_was_found() {
        let at = Timestamp::parse("2026-11-23T13:00:00Z").unwrap();
        let nothing =
            AuditSection::ALL.map(|of| SectionVerdict::unknown("eu-west-1", of, "no stack mailroom", at));
        let all = [region("us-east-1", false), nothing.to_vec()].concat();
        let expected = "\
REGION     1 endpoints  2 sandbox  3 verified  4 DKIM     5 list     6 feedback  7 SMTP keys  8 MAIL FROM  9 delegates  10 receiving
us-east-1  ✓ pass       ✗ FAIL     · n/a       · n/a      ? unknown  · n/a       ✓ pass       · n/a        · n/a        · n/a
eu-west-1  ? unknown    ? unknown  ? unknown   ? unknown  ? unknown  ? unknown   ? unknown    ? unknown    ? unknown    ? unknown

Not here, for there is no stack: sa-east-1

us-east-1
  ✗ FAIL  2 sandbox
      sending is paused in this Region
      Find out who paused it and why (SES does it for an account in trouble), then enable it.
        aws sesv2 put-account-sending-attributes --sending-enabled --region us-east-1
  ? unknown  2 sandbox: configuration sets
      not permitted: ses:ListConfigurationSets
      Allow ses:ListConfigurationSets to whoever audits: the audit function's role, or the credentials of --live.
  ? unknown  5 list: configuration sets
      not permitted: ses:ListConfigurationSets
      Allow ses:ListConfigurationSets to whoever audits: the audit function's role, or the credentials of --live.

eu-west-1
  ? unknown  no stack mailroom

2 Regions, 20 sections: 1 fail, 0 warn, 11 unknown; audited 2026-11-23T12:00:00.000Z
";
        let shown = shown(&all, &["sa-east-1"]);
        assert_eq!(shown, expected);
    }

    #[test]
    fn where_all_is_well_there_is_only_the_matrix() {
        let mut all = region("us-east-1", true);
        for told in &mut all {
            told.verdict = AuditVerdict::Pass;
            told.findings.clear();
        }
        let shown = shown(&all, &[]);
        assert_eq!(shown.lines().count(), 4, "{shown}");
        assert!(shown.ends_with(
            "1 Regions, 10 sections: 0 fail, 0 warn, 0 unknown; audited 2026-11-23T12:00:00.000Z\n"
        ));
    }

    #[test]
    fn a_line_is_an_object() {
        let mut out = Vec::new();
        print_json_lines(&region("us-east-1", false), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!((&lines[1]["section"], &lines[1]["number"]), (&json!("sandbox"), &json!(2)));
        assert_eq!(lines[1]["verdict"], "fail");
        let keys = |of: &serde_json::Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let told = "checked_at evidence findings more_findings number region section verdict";
        assert_eq!(keys(&lines[1]).join(" "), told, "as --help has it");
        let finding = &lines[1]["findings"][0];
        assert_eq!(keys(finding).join(" "), "evidence fixes subject todo verdict", "as --help has it");
        assert!(lines[1]["findings"][0]["fixes"][0]["command"].as_str().unwrap().starts_with("aws sesv2"));
    }
}
