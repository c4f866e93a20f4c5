//! Section 1: each verdict.

use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::{Section, Verdict};

use crate::case::{Case, assert_cases, denied};

#[test]
fn endpoints() {
    assert_cases(
        Section::Endpoints,
        &[
            Case(
                "denied",
                |f| f.account = denied("ses:GetAccount"),
                Verdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "throttled",
                |f| f.account = ApiAnswer::Throttled("ses:GetAccount".to_owned()),
                Verdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "not enabled",
                |f| f.account = ApiAnswer::NotEnabled("UnrecognizedClientException".to_owned()),
                Verdict::Fail,
                "SES answers UnrecognizedClientException",
                &["aws account enable-region --region-name eu-west-1 --region us-east-1"],
            ),
            Case(
                "no answer",
                |f| {
                    f.account =
                        ApiAnswer::Failed { action: "ses:GetAccount".to_owned(), why: "timed out".to_owned() }
                },
                Verdict::Fail,
                "ses:GetAccount: timed out",
                &[],
            ),
            Case(
                "no such Region",
                |f| f.stack.region = "mars-north-1".to_owned(),
                Verdict::Warn,
                "no such Region",
                &[],
            ),
        ],
    );
}
