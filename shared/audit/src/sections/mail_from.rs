//! Section 8: custom MAIL FROM domains.
//!
//! An identity without one is fine: SPF then passes for SES's own domain, and DMARC by DKIM. What to do about a domain that Regions
//! share is for [`crate::compare`], too.

use std::collections::BTreeSet;

use crate::comparable::{Comparable, MailFromDomains};
use crate::dns;
use crate::facts::{MailFromAttributes, RegionFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    let region = facts.stack.region.as_str();
    let mut judged = Judgement::passes("");
    let (mut custom, mut work) = (0, 0);
    let mut in_use = BTreeSet::new();
    for of in identities {
        let Some(identity) = of.identity.answer() else {
            judged.add_unanswered(&of.name, &of.identity);
            continue;
        };
        let Some(mail_from) = identity.mail_from.as_ref().filter(|mail_from| !mail_from.domain.is_empty())
        else {
            continue;
        };
        custom += 1;
        if mail_from.status == "SUCCESS" {
            work += 1;
            in_use.insert(mail_from.domain.to_ascii_lowercase());
        } else {
            add_domain_finding(&mut judged, &of.name, mail_from, region);
        }
    }
    judged.applies = custom > 0;
    judged.comparable = Some(Comparable::MailFrom(MailFromDomains::new(in_use)));
    judged.evidence = if custom == 0 {
        format!("none of {} identities has a custom MAIL FROM domain", identities.len())
    } else {
        format!("{work} of {custom} custom MAIL FROM domains are in use")
    };
    judged
}

fn add_domain_finding(judged: &mut Judgement, name: &str, mail_from: &MailFromAttributes, region: &str) {
    let MailFromAttributes { domain, status, behavior_on_mx_failure: behavior } = mail_from;
    let rejects = behavior == "REJECT_MESSAGE";
    let verdict = match status.as_str() {
        _ if rejects => AuditVerdict::Fail,
        "FAILED" => AuditVerdict::Fail,
        "PENDING" | "TEMPORARY_FAILURE" => AuditVerdict::Warn,
        _ => AuditVerdict::Unknown,
    };
    let then = match behavior.as_str() {
        "REJECT_MESSAGE" => "SES refuses mail from this identity",
        "USE_DEFAULT_VALUE" => "SES uses its own domain instead, so that SPF no longer aligns for DMARC",
        other => other,
    };
    let records = [dns::mail_from_mx(domain, region), dns::spf_record(domain)].map(Fix::Dns);
    // SES looks for the record for 72 hours, and then no more.
    let set =
        ["sesv2", "put-email-identity-mail-from-attributes", "--email-identity", name, "--mail-from-domain"];
    let with = [domain.as_str(), "--behavior-on-mx-failure", behavior.as_str()];
    let again =
        (status == "FAILED").then(|| Fix::aws_command(&[&set[..], &with[..]].concat(), region)).flatten();
    judged.add_finding(
        verdict,
        name,
        format!("MAIL FROM domain {domain}: status {status}; {then}"),
        "Publish the records: one MX, no other at that name (of Regions that share the domain, any one's), and SPF. SES looks \
         for 72 hours; begin again after that.",
        records.into_iter().chain(again),
    );
}
