//! Section 1: the Region is enabled and answers.
//!
//! A denied call is an answer, and so is a throttled one: from an enabled Region, to credentials that it knows.

use super::Verdict;
use super::facts::{Asked, Facts};
use super::fix::Fix;
use super::judged::Judged;
use crate::region::Region;

pub(super) fn judge(facts: &Facts) -> Judged {
    let name = facts.stack.region.as_str();
    let mut judged = Judged::passes(format!("email.{name}.amazonaws.com answers"));
    match &facts.account {
        Asked::Answered(_) | Asked::Denied(_) | Asked::Throttled(_) => {}
        Asked::NotEnabled(code) => {
            judged.evidence = format!("{code} from email.{name}.amazonaws.com");
            judged.found(
                Verdict::Fail,
                "",
                format!("SES answers {code}: the account has not enabled the Region, or the credentials are not valid"),
                "Enable the Region, and wait until AWS says that it is enabled.",
                Fix::aws(&["account", "enable-region", "--region-name", name], home(name)),
            );
        }
        Asked::Failed { action, why } => {
            judged.evidence = format!("no answer but an error from email.{name}.amazonaws.com");
            judged.found(
                Verdict::Fail,
                "",
                format!("{action}: {why}"),
                "See AWS's health dashboard, and whether the network lets requests out to the endpoint. Then audit again.",
                [],
            );
        }
        Asked::NotAsked => judged = Judged::unknown(&facts.account),
    }
    if Region::find(name).is_none() {
        judged.found(
            Verdict::Warn,
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
fn home(region: &str) -> &'static str {
    if region.starts_with("us-gov-") { "us-gov-west-1" } else { "us-east-1" }
}
