//! Section 2: production access, sending enabled for the account and for each configuration set, enforcement, quota.

use crate::facts::{AccountFacts, ApiAnswer, ProductionAccessReview, RegionFacts, SendQuota};
use crate::fix::{Fix, quote_for_shell};
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

/// The share of the quota from which on it is worth raising: AWS takes a day or more to answer.
const QUOTA_WARNING_SHARE: f64 = 0.8;
/// The code of SES's "Sending quota" (mails in 24 hours) in Service Quotas, under the service code `ses`.
///
/// Source: AWS's documentation of Amazon Connect's quotas, which names it, and several public tools, read 2026-11.
const SENDING_QUOTA_CODE: &str = "L-804C8AE8";

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(account) = facts.account.answer() else { return Judgement::unknown(&facts.account) };
    let region = &facts.stack.region;
    let mut judged = Judgement::passes(summarize_account(account));
    if !account.production_access_enabled {
        add_sandbox_finding(&mut judged, account.review.as_ref(), region);
    }
    if !account.sending_enabled {
        judged.add_finding(
            AuditVerdict::Fail,
            "",
            "sending is paused in this Region",
            "Find out who paused it and why (SES does it for an account in trouble), then enable it.",
            Fix::aws_command(&["sesv2", "put-account-sending-attributes", "--sending-enabled"], region),
        );
    }
    match account.enforcement_status.as_deref() {
        None | Some("HEALTHY") => {}
        Some("PROBATION") => judged.add_finding(
            AuditVerdict::Warn,
            "",
            "enforcement status PROBATION: SES reviews the account",
            "Look at the support case that SES opened, and fix what it names before SES pauses sending.",
            [],
        ),
        Some("SHUTDOWN") => judged.add_finding(
            AuditVerdict::Fail,
            "",
            "enforcement status SHUTDOWN: SES has paused sending",
            "Look at the support case that SES opened; only SES resumes sending.",
            [],
        ),
        Some(other) => judged.add_finding(
            AuditVerdict::Unknown,
            "",
            format!("enforcement status {other}, which Mailroom does not know"),
            "Look it up in SES's API reference, GetAccount.",
            [],
        ),
    }
    if let Some(used) = account.send_quota {
        judge_quota(&mut judged, used, region);
    }
    judge_configuration_sets(&mut judged, facts);
    judged
}

/// SES refuses mail that names a configuration set for which sending is off.
fn judge_configuration_sets(judged: &mut Judgement, facts: &RegionFacts) {
    const SUBJECT: &str = "configuration sets";
    let ApiAnswer::Answered(sets) = &facts.configuration_sets else {
        return judged.add_unanswered(SUBJECT, &facts.configuration_sets);
    };
    for set in sets {
        let Some(set) = set.answer() else {
            judged.add_unanswered(SUBJECT, set);
            continue;
        };
        if set.sending_enabled {
            continue;
        }
        let put = ["sesv2", "put-configuration-set-sending-options", "--configuration-set-name", &set.name];
        judged.add_finding(
            AuditVerdict::Warn,
            &set.name,
            "sending is paused for mail with this configuration set",
            "Unless it is meant so, find out who paused it and why (an alarm on its reputation may), then enable it.",
            Fix::aws_command(&[&put[..], &["--sending-enabled"]].concat(), &facts.stack.region),
        );
    }
}

fn summarize_account(account: &AccountFacts) -> String {
    let access = if account.production_access_enabled { "production access" } else { "sandbox" };
    let quota = account.send_quota.map_or_else(String::new, |quota| {
        let most = if is_unlimited(quota) {
            "any number".to_owned()
        } else {
            format!("{:.0}", quota.max_24_hour_send)
        };
        format!(
            "; {:.0} of {most} mails sent in 24 hours, {} a second",
            quota.sent_last_24_hours, quota.max_send_rate
        )
    });
    format!("{access}{quota}")
}

/// Whether the quota is unlimited, which SES documents as -1.
fn is_unlimited(quota: SendQuota) -> bool {
    quota.max_24_hour_send < 0.0
}

fn add_sandbox_finding(judged: &mut Judgement, review: Option<&ProductionAccessReview>, region: &str) {
    let status = review.and_then(|review| review.status.as_deref());
    let case = review.and_then(|review| review.case_id.as_deref()).unwrap_or("without a number");
    // No API and no table knows the site's address, so the command takes it from the shell's environment.
    let site = r#""${WEBSITE_URL:?set it to the address of the site that the mail is about}""#;
    let words =
        "aws sesv2 put-account-details --production-access-enabled --mail-type TRANSACTIONAL --website-url"
            .split(' ')
            .chain([site, "--region"])
            .map(Into::into)
            .chain([quote_for_shell(region)]);
    let (told, todo, fix) = match status {
        Some("PENDING") => ("; AWS reviews a request", format!("Wait for AWS (case {case})."), None),
        Some("DENIED") => (
            "; AWS has denied a request",
            format!("Answer in the support case ({case}) and ask again there."),
            None,
        ),
        _ => (
            "",
            "Request production access; --mail-type MARKETING if most of the mail is that.".to_owned(),
            Fix::shell_command(words),
        ),
    };
    judged.add_finding(
        AuditVerdict::Fail,
        "",
        format!(
            "the account is in this Region's sandbox: mail goes only to verified identities, 200 a day{told}"
        ),
        todo,
        fix,
    );
}

fn judge_quota(judged: &mut Judgement, quota: SendQuota, region: &str) {
    let SendQuota { max_24_hour_send: most, sent_last_24_hours: sent, .. } = quota;
    // A share that is not a number is not below the threshold.
    if is_unlimited(quota) || sent < most * QUOTA_WARNING_SHARE {
        return;
    }
    let verdict = if sent < most { AuditVerdict::Warn } else { AuditVerdict::Fail };
    let wanted = format!("{:.0}", (sent.max(most) * 2.0).clamp(200.0, 1e12));
    let increase =
        ["service-quotas", "request-service-quota-increase", "--service-code", "ses", "--quota-code"];
    judged.add_finding(
        verdict,
        "",
        format!("{sent:.0} of {most:.0} mails that may be sent in 24 hours"),
        "Ask for a higher sending quota, or send less from this Region.",
        Fix::aws_command(
            &[&increase[..], &[SENDING_QUOTA_CODE, "--desired-value", &wanted]].concat(),
            region,
        ),
    );
}
