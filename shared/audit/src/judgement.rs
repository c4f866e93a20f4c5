//! What a section's module hands over, and how much of it fits into the table.

use std::collections::BTreeMap;

use mailroom_core::text::sanitize_text;

use crate::comparable::Comparable;
use crate::facts::ApiAnswer;
use crate::fix::Fix;
use crate::verdict::{AuditVerdict, Finding};

/// The most bytes of an item's 400 KB that findings may take (DynamoDB Developer Guide, "Quotas"). The data by which
/// Regions are compared takes as much again, and all else the rest. Counted in JSON, which is longer than DynamoDB's own
/// count.
const MAX_FINDINGS_BYTES: usize = 150_000;
/// The most findings that are kept, which is more than a person reads.
const MAX_FINDINGS: usize = 200;
/// How many characters of a finding's text are kept.
const MAX_TEXT_CHARS: usize = 600;

/// What a section's judgement comes to.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    /// What was looked at.
    pub(crate) evidence: String,
    /// Whether the Region has anything that could be wrong.
    pub(crate) applies: bool,
    pub(crate) findings: Vec<Finding>,
    pub(crate) comparable: Option<Comparable>,
}

impl Judgement {
    /// A section in which there is nothing that could be wrong.
    pub(crate) fn not_applicable(evidence: impl Into<String>) -> Self {
        Self { evidence: evidence.into(), ..Self::default() }
    }

    /// A section that passes, unless something is found.
    pub(crate) fn passes(evidence: impl Into<String>) -> Self {
        Self { evidence: evidence.into(), applies: true, ..Self::default() }
    }

    /// A section that could not be judged, since there was no answer.
    pub(crate) fn unknown<T>(asked: &ApiAnswer<T>) -> Self {
        let mut judged = Self::passes("");
        judged.add_unanswered("", asked);
        judged
    }

    pub(crate) fn add_finding(
        &mut self,
        verdict: AuditVerdict,
        subject: &str,
        evidence: impl AsRef<str>,
        todo: impl AsRef<str>,
        fixes: impl IntoIterator<Item = Fix>,
    ) {
        self.findings.push(Finding {
            verdict,
            subject: sanitize_text(subject, MAX_TEXT_CHARS),
            evidence: sanitize_text(evidence.as_ref(), MAX_TEXT_CHARS),
            todo: sanitize_text(todo.as_ref(), MAX_TEXT_CHARS),
            fixes: fixes.into_iter().collect(),
        });
    }

    /// Notes that something about a subject could not be found out.
    pub(crate) fn add_unanswered<T>(&mut self, subject: &str, asked: &ApiAnswer<T>) {
        if let Some((evidence, todo)) = explain_missing_answer(asked) {
            self.add_finding(AuditVerdict::Unknown, subject, evidence, todo, []);
        }
    }

    /// The worst verdict among the findings.
    pub(crate) fn verdict(&self) -> AuditVerdict {
        let clean = if self.applies { AuditVerdict::Pass } else { AuditVerdict::NotApplicable };
        self.findings.iter().map(|finding| finding.verdict).max().map_or(clean, |worst| worst.max(clean))
    }
}

/// Why there is no answer, and what to do about it; `None` if there is one.
fn explain_missing_answer<T>(answer: &ApiAnswer<T>) -> Option<(String, String)> {
    match answer {
        ApiAnswer::Answered(_) => None,
        ApiAnswer::Denied(action) => Some((
            format!("not permitted: {action}"),
            format!(
                "Allow {action} to whoever audits: the audit function's role, or the credentials of --live."
            ),
        )),
        ApiAnswer::NotEnabled(code) => Some((
            format!("AWS does not take these credentials in this Region ({code})"),
            "See section 1.".to_owned(),
        )),
        ApiAnswer::Throttled(action) => Some((
            format!("{action}: throttled"),
            "Audit again, at a time when less calls AWS, or more slowly (parameter RequestsPerSecond)."
                .to_owned(),
        )),
        ApiAnswer::Failed { action, why } => Some((
            format!("{action}: {why}"),
            "Audit again. If it stays, look at AWS's health dashboard.".to_owned(),
        )),
        ApiAnswer::NotAsked => Some(("not asked".to_owned(), "Audit again.".to_owned())),
    }
}

/// The findings that are kept, the worst first, and how many more there are.
pub(crate) fn join_and_cap_findings(mut findings: Vec<Finding>) -> (Vec<Finding>, usize) {
    findings = join_unanswered(findings);
    findings.sort_by(|a, b| {
        b.verdict.cmp(&a.verdict).then_with(|| finding_sort_key(a).cmp(&finding_sort_key(b)))
    });
    findings.dedup();
    let mut bytes = 0;
    let fit = findings
        .iter()
        .take(MAX_FINDINGS)
        .take_while(|finding| {
            bytes += serde_json::to_string(finding).map_or(MAX_FINDINGS_BYTES, |text| text.len());
            bytes <= MAX_FINDINGS_BYTES
        })
        .count();
    let more = findings.len() - fit;
    findings.truncate(fit);
    (findings, more)
}

fn finding_sort_key(finding: &Finding) -> (&str, &str, &str, &[Fix]) {
    (&finding.subject, &finding.evidence, &finding.todo, &finding.fixes)
}

/// Joins findings that lack the same answer: a missing permission is one thing to fix, however many identities could not
/// be read for it.
fn join_unanswered(findings: Vec<Finding>) -> Vec<Finding> {
    let (unknown, mut rest): (Vec<_>, Vec<_>) = findings
        .into_iter()
        .partition(|finding| finding.verdict == AuditVerdict::Unknown && finding.fixes.is_empty());
    let mut by_cause: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for finding in unknown {
        by_cause.entry((finding.evidence, finding.todo)).or_default().push(finding.subject);
    }
    for ((mut evidence, todo), mut subjects) in by_cause {
        subjects.sort_unstable();
        subjects.dedup();
        let more = subjects.len() - 1;
        if more > 0 {
            evidence = format!("{evidence} (and of {more} more)");
        }
        let subject = subjects.into_iter().next().unwrap_or_default();
        rest.push(Finding { verdict: AuditVerdict::Unknown, subject, evidence, todo, fixes: Vec::new() });
    }
    rest
}
