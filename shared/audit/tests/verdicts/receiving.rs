//! Section 10: each verdict.

use mailroom_audit::facts::{ApiAnswer, RegionFacts, StackFacts};
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, denied, rule, some};

#[test]
fn receiving() {
    const ACTIVATE: &str =
        "aws ses set-active-receipt-rule-set --rule-set-name mailroom-inbound --region eu-west-1";
    fn elsewhere(facts: &mut RegionFacts, field: &str, arn: &str) {
        rule(facts).actions[1].arns.insert(field.to_owned(), arn.to_owned());
    }
    assert_cases(
        AuditSection::Receiving,
        &[
            Case(
                "not here",
                |f| f.stack.receives = false,
                AuditVerdict::NotApplicable,
                "does not receive",
                &[],
            ),
            Case(
                "none is active",
                |f| f.rule_set = ApiAnswer::Answered(None),
                AuditVerdict::Fail,
                "no receipt rule set is active",
                &[ACTIVATE],
            ),
            Case(
                "none is active, none ours",
                |f| {
                    f.rule_set = ApiAnswer::Answered(None);
                    f.stack.rule_set = None;
                },
                AuditVerdict::Fail,
                "no receipt rule set is active",
                &[],
            ),
            Case(
                "none is active, and there is no stack",
                |f| {
                    f.rule_set = ApiAnswer::Answered(None);
                    f.stack = StackFacts {
                        region: f.stack.region.clone(),
                        receives: true,
                        ..StackFacts::default()
                    };
                },
                AuditVerdict::NotApplicable,
                "no stack here asks for one",
                &[],
            ),
            Case(
                "somebody else's",
                |f| f.stack.rule_set = some("mailroom-other"),
                AuditVerdict::Warn,
                "is not the stack's, which is mailroom-other",
                &["aws ses set-active-receipt-rule-set --rule-set-name mailroom-other"],
            ),
            Case(
                "the operator's",
                |f| f.stack.rule_set = None,
                AuditVerdict::Pass,
                "active rule set mailroom-inbound (not ours), 1 rules; MX: 10 inbound-smtp.eu-west-1.amazonaws.com",
                &[],
            ),
            Case(
                "no rule is enabled",
                |f| rule(f).enabled = false,
                AuditVerdict::Fail,
                "no rule",
                &[
                    "aws ses update-receipt-rule --rule-set-name mailroom-inbound --rule \"$(aws ses describe-receipt-rule",
                ],
            ),
            Case(
                "no rules",
                |f| {
                    if let ApiAnswer::Answered(Some(set)) = &mut f.rule_set {
                        set.rules.clear()
                    }
                },
                AuditVerdict::Fail,
                "no rule",
                &[],
            ),
            Case(
                "no scan",
                |f| rule(f).scan_enabled = false,
                AuditVerdict::Pass,
                "1 enabled rules scan for neither spam nor viruses",
                &[],
            ),
            Case(
                "a function elsewhere",
                |f| elsewhere(f, "FunctionArn", "arn:aws:lambda:us-east-1:123456789012:function:x"),
                AuditVerdict::Fail,
                "LambdaAction's FunctionArn is of us-east-1",
                &["aws ses update-receipt-rule"],
            ),
            Case(
                "a topic elsewhere",
                |f| elsewhere(f, "TopicArn", "arn:aws:sns:us-east-1:123456789012:x"),
                AuditVerdict::Fail,
                "LambdaAction's TopicArn",
                &["aws ses update-receipt-rule"],
            ),
            Case(
                "a role is nowhere",
                |f| elsewhere(f, "IamRoleArn", "arn:aws:iam::123456789012:role/x"),
                AuditVerdict::Pass,
                "ours",
                &[],
            ),
            Case(
                "no bucket",
                |f| f.buckets[0].exists = ApiAnswer::Answered(false),
                AuditVerdict::Fail,
                "no such bucket",
                &[
                    "aws s3api create-bucket --bucket mailroom-mail --create-bucket-configuration LocationConstraint=eu-west-1 --region eu-west-1",
                    "aws s3api put-bucket-policy --bucket mailroom-mail --policy '{",
                ],
            ),
            Case(
                "a bucket that may not be seen",
                |f| f.buckets[0].exists = denied("s3:ListBucket"),
                AuditVerdict::Unknown,
                "s3:ListBucket",
                &[],
            ),
            Case(
                "a bucket that was not asked for",
                |f| f.buckets.clear(),
                AuditVerdict::Unknown,
                "not asked",
                &[],
            ),
        ],
    );
}
