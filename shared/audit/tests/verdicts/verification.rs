//! Section 3: each verdict.

use mailroom_audit::facts::RegionFacts;
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, first, second, some};

#[test]
fn verification() {
    fn status(facts: &mut RegionFacts, status: &str, sends: bool) {
        first(facts).verification_status = some(status);
        first(facts).verified_for_sending = sends;
    }
    const MENDED: [&str; 4] = [
        "aaa._domainkey.example.com. IN CNAME aaa.dkim.amazonses.com.",
        "bbb._domainkey.example.com. IN CNAME",
        "ccc._domainkey.example.com. IN CNAME",
        "aws ses verify-domain-dkim --domain example.com --region eu-west-1",
    ];
    assert_cases(
        AuditSection::Verification,
        &[
            Case(
                "pending",
                |f| status(f, "PENDING", false),
                AuditVerdict::Fail,
                "verification status PENDING",
                &MENDED,
            ),
            Case(
                "failed",
                |f| status(f, "FAILED", true),
                AuditVerdict::Fail,
                "verification status FAILED",
                &MENDED,
            ),
            Case(
                "not started",
                |f| status(f, "NOT_STARTED", false),
                AuditVerdict::Fail,
                "not verified for sending",
                &MENDED,
            ),
            Case(
                "for now",
                |f| status(f, "TEMPORARY_FAILURE", true),
                AuditVerdict::Warn,
                "TEMPORARY_FAILURE",
                &MENDED,
            ),
            Case(
                "for now, not",
                |f| status(f, "TEMPORARY_FAILURE", false),
                AuditVerdict::Fail,
                "TEMPORARY_FAILURE",
                &MENDED,
            ),
            Case("new word", |f| status(f, "MUSING", true), AuditVerdict::Unknown, "MUSING", &MENDED),
            Case(
                "not for sending",
                |f| status(f, "SUCCESS", false),
                AuditVerdict::Fail,
                "not verified for sending",
                &MENDED,
            ),
            Case(
                "why and when",
                |f| {
                    status(f, "FAILED", false);
                    first(f).verification_error = some("HOST_NOT_FOUND");
                },
                AuditVerdict::Fail,
                "error HOST_NOT_FOUND, last checked 2026-11-23T06:00:00.000Z, last verified 2026-11-22T06:00:00.000Z",
                &MENDED,
            ),
            Case(
                "a replica without its parent",
                |f| {
                    status(f, "FAILED", false);
                    first(f).verification_error = some("REPLICATION_PRIMARY_NOT_FOUND");
                },
                AuditVerdict::Fail,
                "REPLICATION_PRIMARY_NOT_FOUND",
                &[],
            ),
            Case(
                "an address",
                |f| {
                    second(f).verification_status = some("PENDING");
                    second(f).verified_for_sending = false;
                },
                AuditVerdict::Fail,
                "PENDING",
                &["aws ses verify-email-identity --email-address ops@example.com --region eu-west-1"],
            ),
        ],
    );
}
