//! Judges what was read of a Region.

use mailroom_core::timestamp::Timestamp;

use crate::facts::Facts;
use crate::section::Section;
use crate::section_verdict::SectionVerdict;
use crate::sections::{
    authorization, dkim, endpoints, feedback, mail_from, receiving, sandbox, smtp_credentials,
    suppression_list, verification,
};

/// Judges all ten sections, in the page's order, by facts whose collection ended at `checked_at`.
pub fn judge_sections(facts: &Facts, checked_at: Timestamp) -> Vec<SectionVerdict> {
    Section::ALL.into_iter().map(|section| judge_section(section, facts, checked_at)).collect()
}

fn judge_section(section: Section, facts: &Facts, checked_at: Timestamp) -> SectionVerdict {
    let judgement = match section {
        Section::Endpoints => endpoints::judge(facts),
        Section::Sandbox => sandbox::judge(facts),
        Section::Verification => verification::judge(facts),
        Section::Dkim => dkim::judge(facts),
        Section::SuppressionList => suppression_list::judge(facts, checked_at),
        Section::Feedback => feedback::judge(facts),
        Section::SmtpCredentials => smtp_credentials::judge(facts),
        Section::MailFrom => mail_from::judge(facts),
        Section::Authorization => authorization::judge(facts),
        Section::Receiving => receiving::judge(facts),
    };
    SectionVerdict::new(&facts.stack.region, section, judgement, checked_at)
}
