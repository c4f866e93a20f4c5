//! A section's verdict, as the table keeps it.

use mailroom_core::text::sanitize_text;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::comparable::Comparable;
use crate::judgement::{Judgement, join_and_cap_findings};
use crate::section::AuditSection;
use crate::verdict::{AuditVerdict, Finding};

/// How many characters are kept of evidence that comes from outside this module.
const MAX_EVIDENCE_CHARS: usize = 600;

/// A section's verdict in a Region: the table's item `REGION#<region>` / `AUDIT#<section>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionVerdict {
    pub(crate) pk: String,
    pub(crate) sk: String,
    /// The Region that was audited.
    pub region: String,
    /// The section of AWS's page that was judged.
    pub section: AuditSection,
    /// The worst verdict among the section's findings.
    pub verdict: AuditVerdict,
    /// What was looked at, in a line. A pass has evidence, too.
    pub evidence: String,
    /// The findings, the worst first, and no more than fit into an item.
    pub findings: Vec<Finding>,
    /// How many more findings there are that did not fit.
    #[serde(default)]
    pub more_findings: usize,
    /// When all the facts had been collected.
    pub checked_at: Timestamp,
    /// What of this Region is compared with its peers; `None` if the section has nothing to compare.
    #[serde(default, rename = "compared", skip_serializing_if = "Option::is_none")]
    pub comparable: Option<Comparable>,
}

impl SectionVerdict {
    pub(crate) fn new(
        region: &str,
        section: AuditSection,
        judgement: Judgement,
        checked_at: Timestamp,
    ) -> Self {
        let verdict = judgement.verdict();
        let (findings, more_findings) = join_and_cap_findings(judgement.findings);
        Self {
            pk: Self::partition_key(region),
            sk: format!("{}{}", Self::SORT_KEY_PREFIX, section.as_str()),
            region: region.to_owned(),
            section,
            verdict,
            evidence: judgement.evidence,
            findings,
            more_findings,
            checked_at,
            comparable: judgement.comparable,
        }
    }

    /// The verdict on a section of which nothing is known; `cause` says why.
    pub fn unknown(region: &str, section: AuditSection, cause: &str, checked_at: Timestamp) -> Self {
        let judgement =
            Judgement { evidence: sanitize_text(cause, MAX_EVIDENCE_CHARS), ..Judgement::default() };
        Self { verdict: AuditVerdict::Unknown, ..Self::new(region, section, judgement, checked_at) }
    }

    /// The table's partition key of a Region's verdicts.
    pub fn partition_key(region: &str) -> String {
        format!("REGION#{region}")
    }

    /// The prefix of a verdict's sort key.
    pub const SORT_KEY_PREFIX: &str = "AUDIT#";
}
