//! Section 10: receiving mail.
//!
//! Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Email receiving", read 2026-11: an active rule set is
//! needed, and all that its rules name lies in the same Region, but for buckets.

use std::collections::BTreeSet;

use mailroom_core::arn::Arn;

use crate::facts::{ApiAnswer, ReceiptRule, ReceiptRuleSet, RegionFacts, StackFacts};
use crate::fix::{Fix, quote_for_shell};
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let stack = &facts.stack;
    if !stack.receives {
        return Judgement::not_applicable("SES does not receive here, or is not to (parameter Receiving)");
    }
    let Some(active) = facts.rule_set.answer() else { return Judgement::unknown(&facts.rule_set) };
    let mx = format!("MX: 10 inbound-smtp.{}.amazonaws.com", stack.region);
    let Some(active) = active else {
        if stack.feedback_topic.is_none() {
            return Judgement::not_applicable(
                "no receipt rule set is active, and no stack here asks for one",
            );
        }
        let mut judged = Judgement::passes("no active receipt rule set");
        judged.add_finding(
            AuditVerdict::Fail,
            "",
            "no receipt rule set is active: SES refuses all mail that comes here",
            "Activate one; or, if this Region is not to receive, tell the stack by its parameter Receiving=off.",
            stack.rule_set.as_deref().and_then(|ours| activate_command(ours, &stack.region)),
        );
        return judged;
    };
    let ours = stack.rule_set.as_deref();
    let whose = if ours == Some(active.name.as_str()) { "ours" } else { "not ours" };
    let mut judged = Judgement::passes(format!(
        "active rule set {} ({whose}), {} rules; {mx}",
        active.name,
        active.rules.len()
    ));
    if let Some(ours) = ours.filter(|ours| *ours != active.name) {
        judged.add_finding(
            AuditVerdict::Warn,
            &active.name,
            format!("the active rule set is not the stack's, which is {ours}"),
            "Add the stack's rule to the active rule set and tell the stack so (parameter ReceiptRules=operator), or activate the \
             stack's, which takes the place of the other.",
            activate_command(ours, &stack.region),
        );
    }
    let enabled: Vec<_> = active.rules.iter().filter(|rule| rule.enabled).collect();
    // Not to scan is SES's default, so it is no fault.
    let unscanned = enabled.iter().filter(|rule| !rule.scan_enabled).count();
    if unscanned > 0 {
        judged.evidence +=
            &["; ", &unscanned.to_string(), " enabled rules scan for neither spam nor viruses"].concat();
    }
    if enabled.is_empty() {
        judged.add_finding(
            AuditVerdict::Fail,
            &active.name,
            "no rule of the active rule set is enabled: SES refuses all mail that comes here",
            "Enable a rule.",
            active.rules.iter().take(1).filter_map(|rule| {
                replace_in_rule_command(active, rule, r#""Enabled": false"#, r#""Enabled": true"#, stack)
            }),
        );
    }
    for rule in &enabled {
        judge_arns(&mut judged, active, rule, stack);
    }
    judge_missing_buckets(&mut judged, facts, &enabled);
    judged
}

fn activate_command(rule_set: &str, region: &str) -> Option<Fix> {
    Fix::aws_command(&["ses", "set-active-receipt-rule-set", "--rule-set-name", rule_set], region)
}

/// Rewrites a rule with one text in it replaced. SES takes rules only as a whole, and a rule has more than the audit
/// reads.
fn replace_in_rule_command(
    set: &ReceiptRuleSet,
    rule: &ReceiptRule,
    old_text: &str,
    new_text: &str,
    stack: &StackFacts,
) -> Option<Fix> {
    let of = |text: &str| quote_for_shell(text).into_owned();
    let (set, name, region) = (of(&set.name), of(&rule.name), of(&stack.region));
    // Bars do not occur in ARNs and names, and the dots of the pattern match dots.
    let sed = of(&format!("s|{old_text}|{new_text}|g"));
    let describe = format!(
        "aws ses describe-receipt-rule --rule-set-name {set} --rule-name {name} --query Rule --output json"
    );
    let rule = format!("\"$({describe} --region {region} | tr -d '\\n' | sed {sed})\"");
    let words = ["aws ses update-receipt-rule --rule-set-name", &set, "--rule", &rule, "--region", &region];
    if [old_text, new_text].iter().any(|text| text.contains('|')) {
        return None;
    }
    Fix::shell_command(words.into_iter().map(Into::into))
}

fn judge_arns(judged: &mut Judgement, set: &ReceiptRuleSet, rule: &ReceiptRule, stack: &StackFacts) {
    for action in &rule.actions {
        for (field, arn) in &action.arns {
            let Some(other) = Arn::parse(arn).and_then(Arn::region).filter(|other| *other != stack.region)
            else {
                continue;
            };
            let here = arn.replacen(&format!(":{other}:"), &format!(":{}:", stack.region), 1);
            judged.add_finding(
                AuditVerdict::Fail,
                &rule.name,
                format!("{}'s {field} is of {other}: {arn}", action.kind),
                "Name one of this Region; the command takes that of the same name, which must be there.",
                replace_in_rule_command(set, rule, arn, &here, stack),
            );
        }
    }
}

fn judge_missing_buckets(judged: &mut Judgement, facts: &RegionFacts, rules: &[&ReceiptRule]) {
    let named: BTreeSet<_> =
        rules.iter().flat_map(|rule| &rule.actions).filter_map(|action| action.bucket.as_deref()).collect();
    for name in named {
        match facts.buckets.iter().find(|bucket| bucket.name == name).map(|bucket| &bucket.exists) {
            Some(ApiAnswer::Answered(true)) => {}
            Some(ApiAnswer::Answered(false)) => judged.add_finding(
                AuditVerdict::Fail,
                name,
                "there is no such bucket: SES can't store mail, and drops it after it has tried for a while",
                "Make it again, with a policy that lets SES write to it, before somebody else takes the name.",
                create_bucket_commands(name, &facts.stack),
            ),
            Some(unanswered) => judged.add_unanswered(name, unanswered),
            None => judged.add_unanswered(name, &ApiAnswer::<()>::NotAsked),
        }
    }
}

/// The commands that make the bucket, in this Region, and its policy.
///
/// Source: Amazon SES Developer Guide, "Giving permissions to Amazon SES for email receiving", read 2026-11.
fn create_bucket_commands(bucket: &str, stack: &StackFacts) -> Vec<Fix> {
    let region = stack.region.as_str();
    let constraint = format!("LocationConstraint={region}");
    let mut create = vec!["s3api", "create-bucket", "--bucket", bucket];
    // S3 takes every Region's name as a location constraint, but not this one's.
    if region != "us-east-1" {
        create.extend(["--create-bucket-configuration", &constraint]);
    }
    let partition = if region.starts_with("us-gov-") { "aws-us-gov" } else { "aws" };
    let policy = stack.account.as_deref().and_then(|account| {
        let policy = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "ses.amazonaws.com" },
                "Action": "s3:PutObject",
                "Resource": format!("arn:{partition}:s3:::{bucket}/*"),
                "Condition": { "StringEquals": { "aws:SourceAccount": account } },
            }],
        });
        Fix::aws_command(
            &["s3api", "put-bucket-policy", "--bucket", bucket, "--policy", &policy.to_string()],
            region,
        )
    });
    Fix::aws_command(&create, region).into_iter().chain(policy).collect()
}
