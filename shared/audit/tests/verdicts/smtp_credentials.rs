//! Section 7: each verdict.

use mailroom_audit::facts::{AccessKey, ApiAnswer, RegionFacts};
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, denied};
use crate::healthy::access_key;

#[test]
fn smtp_credentials() {
    const OFF: &str = "aws iam update-access-key --user-name smtp --access-key-id AKIAIOSFODNN7EXAMPLE --status Inactive --region eu-west-1";
    fn old(facts: &mut RegionFacts, change: fn(&mut AccessKey)) {
        let mut key = access_key("smtp", "2019-01-09T23:59:59Z");
        change(&mut key);
        facts.access_keys = ApiAnswer::Answered(vec![key]);
    }
    assert_cases(
        AuditSection::SmtpCredentials,
        &[
            Case(
                "old and in use",
                |f| old(f, |_| ()),
                AuditVerdict::Fail,
                "last used 2026-11-20 for ses in eu-west-1",
                &["aws iam create-access-key --user-name smtp", OFF],
            ),
            Case(
                "never used",
                |f| old(f, |key| key.last_used = ApiAnswer::Answered(None)),
                AuditVerdict::Warn,
                "never used",
                &[OFF],
            ),
            Case(
                "use not known",
                |f| old(f, |key| key.last_used = denied("iam:GetAccessKeyLastUsed")),
                AuditVerdict::Warn,
                "not known",
                &[OFF],
            ),
            Case(
                "for something else",
                |f| {
                    old(f, |key| {
                        if let ApiAnswer::Answered(Some(used)) = &mut key.last_used {
                            used.service = "s3".to_owned();
                        }
                    })
                },
                AuditVerdict::Warn,
                "for s3",
                &[OFF],
            ),
            Case(
                "may not send",
                |f| {
                    old(f, |key| {
                        key.may_send = ApiAnswer::Answered(false);
                        key.last_used = ApiAnswer::Answered(None);
                    })
                },
                AuditVerdict::Pass,
                "1 of them active and from before",
                &[],
            ),
            Case(
                "may not send, by what was asked, and does",
                |f| {
                    old(f, |key| key.may_send = ApiAnswer::Answered(false));
                },
                AuditVerdict::Fail,
                "last used 2026-11-20 for ses in eu-west-1",
                &["aws iam create-access-key --user-name smtp", OFF],
            ),
            Case(
                "no keys",
                |f| f.access_keys = ApiAnswer::Answered(vec![]),
                AuditVerdict::Pass,
                "0 access keys",
                &[],
            ),
            Case(
                "may it?",
                |f| {
                    old(f, |key| {
                        key.may_send = denied("iam:ListUserPolicies");
                        key.last_used = ApiAnswer::Answered(None);
                    })
                },
                AuditVerdict::Unknown,
                "iam:ListUserPolicies",
                &[],
            ),
            Case(
                "inactive",
                |f| old(f, |key| key.status = "Inactive".to_owned()),
                AuditVerdict::Pass,
                "0 of them",
                &[],
            ),
            Case(
                "on the day",
                |f| f.access_keys = ApiAnswer::Answered(vec![access_key("smtp", "2019-01-10T00:00:00Z")]),
                AuditVerdict::Pass,
                "0 of them",
                &[],
            ),
            Case(
                "not from here",
                |f| f.access_keys = ApiAnswer::NotAsked,
                AuditVerdict::NotApplicable,
                "IAM is global",
                &[],
            ),
        ],
    );
}
