//! Section 1: each verdict.

use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, denied};

#[test]
fn endpoints() {
    assert_cases(
        AuditSection::Endpoints,
        &[
            Case(
                "denied",
                |f| f.account = denied("ses:GetAccount"),
                AuditVerdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "throttled",
                |f| f.account = ApiAnswer::Throttled("ses:GetAccount".to_owned()),
                AuditVerdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "not enabled",
                |f| f.account = ApiAnswer::NotEnabled("UnrecognizedClientException".to_owned()),
                AuditVerdict::Fail,
                "SES answers UnrecognizedClientException",
                &["aws account enable-region --region-name eu-west-1 --region us-east-1"],
            ),
            Case(
                "no answer",
                |f| {
                    f.account =
                        ApiAnswer::Failed { action: "ses:GetAccount".to_owned(), why: "timed out".to_owned() }
                },
                AuditVerdict::Fail,
                "ses:GetAccount: timed out",
                &[],
            ),
            Case(
                "no such Region",
                |f| f.stack.region = "mars-north-1".to_owned(),
                AuditVerdict::Warn,
                "no such Region",
                &[],
            ),
        ],
    );
}
