//! Section 8: each verdict.

use mailroom_audit::facts::RegionFacts;
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, first};

#[test]
fn mail_from() {
    const RECORDS: [&str; 2] = [
        "bounce.example.com. IN MX 10 feedback-smtp.eu-west-1.amazonses.com.",
        "bounce.example.com. IN TXT \"v=spf1 include:amazonses.com ~all\"",
    ];
    const AGAIN: [&str; 3] = [
        RECORDS[0],
        RECORDS[1],
        "aws sesv2 put-email-identity-mail-from-attributes --email-identity example.com --mail-from-domain bounce.example.com --behavior-on-mx-failure",
    ];
    fn to(facts: &mut RegionFacts, status: &str, behavior: &str) {
        let mail_from = first(facts).mail_from.as_mut().unwrap();
        (mail_from.status, mail_from.behavior_on_mx_failure) = (status.to_owned(), behavior.to_owned());
    }
    assert_cases(
        AuditSection::MailFrom,
        &[
            Case(
                "failed",
                |f| to(f, "FAILED", "USE_DEFAULT_VALUE"),
                AuditVerdict::Fail,
                "status FAILED; SES uses its own domain",
                &AGAIN,
            ),
            Case(
                "failed, strict",
                |f| to(f, "FAILED", "REJECT_MESSAGE"),
                AuditVerdict::Fail,
                "SES refuses mail",
                &AGAIN,
            ),
            Case(
                "pending",
                |f| to(f, "PENDING", "USE_DEFAULT_VALUE"),
                AuditVerdict::Warn,
                "status PENDING",
                &RECORDS,
            ),
            Case(
                "pending, strict",
                |f| to(f, "PENDING", "REJECT_MESSAGE"),
                AuditVerdict::Fail,
                "SES refuses mail",
                &RECORDS,
            ),
            Case(
                "for now",
                |f| to(f, "TEMPORARY_FAILURE", "USE_DEFAULT_VALUE"),
                AuditVerdict::Warn,
                "TEMPORARY_FAILURE",
                &RECORDS,
            ),
            Case("works, strict", |f| to(f, "SUCCESS", "REJECT_MESSAGE"), AuditVerdict::Pass, "1 of 1", &[]),
            Case(
                "new word",
                |f| to(f, "MUSING", "USE_DEFAULT_VALUE"),
                AuditVerdict::Unknown,
                "MUSING",
                &RECORDS,
            ),
            Case("none", |f| first(f).mail_from = None, AuditVerdict::NotApplicable, "none of 2", &[]),
        ],
    );
}
