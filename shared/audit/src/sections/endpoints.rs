//! Section 1: the Region is enabled and answers.
//!
//! A denied call is an answer, and so is a throttled one: from an enabled Region, to credentials that it knows.

use mailroom_core::region::Region;

use crate::facts::{ApiAnswer, RegionFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge_region_enabled(facts: &RegionFacts) -> Judgement {
    let name = facts.stack.region.as_str();
    let mut judged = Judgement::passes(format!("email.{name}.amazonaws.com answers"));
    match &facts.account {
        ApiAnswer::Answered(_) | ApiAnswer::Denied(_) | ApiAnswer::Throttled(_) => {}
        ApiAnswer::NotEnabled(code) => {
            judged.evidence = format!("{code} from email.{name}.amazonaws.com");
            judged.add_finding(
                AuditVerdict::Fail,
                "",
                format!("SES answers {code}: the account has not enabled the Region, or the credentials are not valid"),
                "Enable the Region, and wait until AWS says that it is enabled.",
                Fix::aws_command(&["account", "enable-region", "--region-name", name], account_management_region(name)),
            );
        }
        ApiAnswer::Failed { action, why } => {
            judged.evidence = format!("no answer but an error from email.{name}.amazonaws.com");
            judged.add_finding(
                AuditVerdict::Fail,
                "",
                format!("{action}: {why}"),
                "See AWS's health dashboard, and whether the network lets requests out to the endpoint. Then audit again.",
                [],
            );
        }
        ApiAnswer::NotAsked => judged = Judgement::unknown(&facts.account),
    }
    if Region::find(name).is_none() {
        judged.add_finding(
            AuditVerdict::Warn,
            "",
            "the catalogue has no such Region (`mailroom regions` prints it)",
            "What the catalogue says of other Regions (SMTP, receiving) is not known of this one: look it up in the AWS General Reference.",
            [],
        );
    }
    judged
}

/// The Region in which the partition's accounts are managed. A Region that is not enabled does not take the call that
/// enables it.
fn account_management_region(region: &str) -> &'static str {
    if region.starts_with("us-gov-") { "us-gov-west-1" } else { "us-east-1" }
}
