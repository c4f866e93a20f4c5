//! Is a Region ready? A verdict for every section of AWS's page "Regions and Amazon SES" (Amazon SES Developer Guide), which
//! lists what is separate in every Region.
//!
//! | module | is |
//! |---|---|
//! | [`facts`] | what the APIs answered |
//! | a section's own | what to make of it: [`audit`](audit()) calls each |
//! | [`compared`] | how a Region compares with its peers |
//! | [`dns`] | the records that SES asks for |
//! | [`zone`] | all of a domain's, for a zone file |
//!
//! A fix is printed for a person, who decides. Where the page is silent on how bad something is: what does not work fails, what
//! works for now or for some warns, and what could not be asked or is not known to this version is unknown and never a pass.

mod authorization;
pub mod compared;
mod dkim;
pub mod dns;
mod endpoints;
pub mod facts;
mod feedback;
mod fix;
mod judged;
mod mail_from;
mod receiving;
mod replication;
mod sandbox;
mod smtp_credentials;
mod suppression_list;
mod verification;
pub mod zone;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::fix::{DnsRecord, Fix};

use self::compared::Compared;
use self::facts::Facts;
use self::judged::{Judged, capped};
use crate::text::visible;
use crate::timestamp::Timestamp;

/// How many characters are kept of evidence that comes from outside this module.
const MAX_EVIDENCE_CHARS: usize = 600;

/// A section of AWS's page, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Section 1: the Region is enabled and answers.
    Endpoints,
    /// Section 2: sandbox and sending limits.
    Sandbox,
    /// Section 3: identities are verified.
    Verification,
    /// Section 4: Easy DKIM.
    Dkim,
    /// Section 5: the account-level suppression list.
    SuppressionList,
    /// Section 6: feedback notifications.
    Feedback,
    /// Section 7: SMTP credentials. IAM is global, so this is the same in every Region.
    SmtpCredentials,
    /// Section 8: custom MAIL FROM domains.
    MailFrom,
    /// Section 9: sending authorization.
    Authorization,
    /// Section 10: receiving mail.
    Receiving,
}

impl Section {
    /// All sections, in the page's order.
    pub const ALL: [Self; 10] = [
        Self::Endpoints,
        Self::Sandbox,
        Self::Verification,
        Self::Dkim,
        Self::SuppressionList,
        Self::Feedback,
        Self::SmtpCredentials,
        Self::MailFrom,
        Self::Authorization,
        Self::Receiving,
    ];

    /// The section's number on the page, from 1.
    pub fn number(self) -> u8 {
        match self {
            Self::Endpoints => 1,
            Self::Sandbox => 2,
            Self::Verification => 3,
            Self::Dkim => 4,
            Self::SuppressionList => 5,
            Self::Feedback => 6,
            Self::SmtpCredentials => 7,
            Self::MailFrom => 8,
            Self::Authorization => 9,
            Self::Receiving => 10,
        }
    }

    /// The section's name in sort keys and metrics, such as `mail_from`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Endpoints => "endpoints",
            Self::Sandbox => "sandbox",
            Self::Verification => "verification",
            Self::Dkim => "dkim",
            Self::SuppressionList => "suppression_list",
            Self::Feedback => "feedback",
            Self::SmtpCredentials => "smtp_credentials",
            Self::MailFrom => "mail_from",
            Self::Authorization => "authorization",
            Self::Receiving => "receiving",
        }
    }
}

/// How a section fares, ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// There is nothing here that could be wrong.
    NotApplicable,
    /// All is as it should be.
    Pass,
    /// How the section fares could not be found out.
    Unknown,
    /// It works now, but may stop working, or does not work as well as it could.
    Warn,
    /// It does not work, or does not work for all.
    Fail,
}

impl Verdict {
    /// The verdict's name in the table, such as `not_applicable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is worth a person's look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is: [`Verdict::Fail`], [`Verdict::Warn`] or [`Verdict::Unknown`].
    pub verdict: Verdict,
    /// What the finding is about, such as an identity's name; empty if it is about the whole Region.
    pub subject: String,
    /// What AWS said.
    pub evidence: String,
    /// What to do about it, in words.
    pub todo: String,
    /// The commands and DNS records that do it, in the order in which they are to be carried out.
    #[serde(default)]
    pub fixes: Vec<Fix>,
}

/// A section's verdict in a Region: the table's item `REGION#<region>` / `AUDIT#<section>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SectionVerdict {
    pk: String,
    sk: String,
    /// The Region that was audited.
    pub region: String,
    /// The section of AWS's page that was judged.
    pub section: Section,
    /// The worst verdict among the section's findings.
    pub verdict: Verdict,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
}

/// Judges all ten sections, in the page's order, by facts whose collection ended at `checked_at`.
pub fn audit(facts: &Facts, checked_at: Timestamp) -> Vec<SectionVerdict> {
    Section::ALL.into_iter().map(|section| section.audit(facts, checked_at)).collect()
}

impl Section {
    /// Judges this section by facts whose collection ended at `checked_at`.
    pub fn audit(self, facts: &Facts, checked_at: Timestamp) -> SectionVerdict {
        let judged = match self {
            Self::Endpoints => endpoints::judge(facts),
            Self::Sandbox => sandbox::judge(facts),
            Self::Verification => verification::judge(facts),
            Self::Dkim => dkim::judge(facts),
            Self::SuppressionList => suppression_list::judge(facts, checked_at),
            Self::Feedback => feedback::judge(facts),
            Self::SmtpCredentials => smtp_credentials::judge(facts),
            Self::MailFrom => mail_from::judge(facts),
            Self::Authorization => authorization::judge(facts),
            Self::Receiving => receiving::judge(facts),
        };
        SectionVerdict::new(&facts.stack.region, self, judged, checked_at)
    }
}

impl SectionVerdict {
    fn new(region: &str, section: Section, judged: Judged, checked_at: Timestamp) -> Self {
        let verdict = judged.verdict();
        let (findings, more_findings) = capped(judged.findings);
        Self {
            pk: Self::partition_key(region),
            sk: format!("{}{}", Self::SORT_KEY_PREFIX, section.as_str()),
            region: region.to_owned(),
            section,
            verdict,
            evidence: judged.evidence,
            findings,
            more_findings,
            checked_at,
            compared: judged.compared,
        }
    }

    /// The verdict on a section of which nothing is known; `why` says why.
    pub fn unknown(region: &str, section: Section, why: &str, at: Timestamp) -> Self {
        let judged = Judged { evidence: visible(why, MAX_EVIDENCE_CHARS), ..Judged::default() };
        Self { verdict: Verdict::Unknown, ..Self::new(region, section, judged, at) }
    }

    /// The table's partition key of a Region's verdicts.
    pub fn partition_key(region: &str) -> String {
        format!("REGION#{region}")
    }

    /// The prefix of a verdict's sort key.
    pub const SORT_KEY_PREFIX: &str = "AUDIT#";
}
