//! Judges what was read of a Region.

use mailroom_core::timestamp::Timestamp;

use crate::facts::RegionFacts;
use crate::section::AuditSection;
use crate::section_verdict::SectionVerdict;
use crate::sections::{
    authorization, dkim, endpoints, feedback, mail_from, receiving, sandbox, smtp_credentials,
    suppression_list, verification,
};

/// Judges all ten sections, in the page's order, by facts whose collection ended at `checked_at`.
pub fn judge_sections(facts: &RegionFacts, checked_at: Timestamp) -> Vec<SectionVerdict> {
    AuditSection::ALL.into_iter().map(|section| judge_section(section, facts, checked_at)).collect()
}

fn judge_section(section: AuditSection, facts: &RegionFacts, checked_at: Timestamp) -> SectionVerdict {
    let judgement = match section {
        AuditSection::Endpoints => endpoints::judge_region_enabled(facts),
        AuditSection::Sandbox => sandbox::judge(facts),
        AuditSection::Verification => verification::judge(facts),
        AuditSection::Dkim => dkim::judge(facts),
        AuditSection::SuppressionList => suppression_list::judge(facts, checked_at),
        AuditSection::Feedback => feedback::judge(facts),
        AuditSection::SmtpCredentials => smtp_credentials::judge(facts),
        AuditSection::MailFrom => mail_from::judge(facts),
        AuditSection::Authorization => authorization::judge(facts),
        AuditSection::Receiving => receiving::judge(facts),
    };
    SectionVerdict::new(&facts.stack.region, section, judgement, checked_at)
}
