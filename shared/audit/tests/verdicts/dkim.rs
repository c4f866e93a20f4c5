//! Section 4: each verdict.

use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, dkim, first, second, some};

#[test]
fn easy_dkim() {
    const CNAMES: [&str; 3] =
        ["aaa._domainkey.example.com.", "bbb._domainkey.example.com.", "ccc._domainkey.example.com."];
    const AGAIN: [&str; 4] = [
        CNAMES[0],
        CNAMES[1],
        CNAMES[2],
        "aws ses verify-domain-dkim --domain example.com --region eu-west-1",
    ];
    assert_cases(
        AuditSection::Dkim,
        &[
            Case(
                "off",
                |f| dkim(f).signing_enabled = false,
                AuditVerdict::Fail,
                "signing is off",
                &[
                    "aws sesv2 put-email-identity-dkim-attributes --email-identity example.com --signing-enabled --region eu-west-1",
                ],
            ),
            Case(
                "pending",
                |f| dkim(f).status = some("PENDING"),
                AuditVerdict::Fail,
                "PENDING, origin AWS_SES",
                &CNAMES,
            ),
            Case("failed", |f| dkim(f).status = some("FAILED"), AuditVerdict::Fail, "FAILED", &AGAIN),
            Case(
                "for now",
                |f| dkim(f).status = some("TEMPORARY_FAILURE"),
                AuditVerdict::Warn,
                "TEMPORARY_FAILURE",
                &CNAMES,
            ),
            Case("new word", |f| dkim(f).status = some("MUSING"), AuditVerdict::Unknown, "MUSING", &AGAIN),
            Case(
                "a replica",
                |f| {
                    dkim(f).status = some("FAILED");
                    dkim(f).signing_attributes_origin = some("AWS_SES_US_EAST_1");
                },
                AuditVerdict::Fail,
                "origin AWS_SES_US_EAST_1",
                &[
                    CNAMES[0],
                    CNAMES[1],
                    CNAMES[2],
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES_US_EAST_1 --region eu-west-1",
                ],
            ),
            Case(
                "a key of one's own",
                |f| {
                    dkim(f).status = some("FAILED");
                    dkim(f).signing_attributes_origin = some("EXTERNAL");
                },
                AuditVerdict::Fail,
                "origin EXTERNAL",
                &[],
            ),
            Case(
                "a short key",
                |f| {
                    dkim(f).current_signing_key_length = some("RSA_1024_BIT");
                    dkim(f).next_signing_key_length = some("RSA_1024_BIT");
                },
                AuditVerdict::Warn,
                "1024 bits",
                &[
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES --signing-attributes NextSigningKeyLength=RSA_2048_BIT --region eu-west-1",
                ],
            ),
            Case(
                "a replica's short key",
                |f| {
                    dkim(f).current_signing_key_length = some("RSA_1024_BIT");
                    dkim(f).next_signing_key_length = None;
                    dkim(f).signing_attributes_origin = some("AWS_SES_US_EAST_1");
                },
                AuditVerdict::Warn,
                "1024 bits",
                &[
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES --signing-attributes NextSigningKeyLength=RSA_2048_BIT --region us-east-1",
                ],
            ),
            Case(
                "a longer one comes",
                |f| dkim(f).current_signing_key_length = some("RSA_1024_BIT"),
                AuditVerdict::Warn,
                "1024 bits",
                &[],
            ),
            Case(
                "a new length",
                |f| dkim(f).current_signing_key_length = some("ED25519"),
                AuditVerdict::Unknown,
                "ED25519",
                &[],
            ),
            Case(
                "a key of one's own has none",
                |f| dkim(f).current_signing_key_length = None,
                AuditVerdict::Pass,
                "signed for",
                &[],
            ),
            Case(
                "a replica, and no zone told",
                |f| {
                    dkim(f).status = some("PENDING");
                    dkim(f).signing_hosted_zone = None;
                    dkim(f).signing_attributes_origin = some("AWS_SES_EU_SOUTH_1");
                },
                AuditVerdict::Fail,
                "PENDING",
                &[
                    "aaa._domainkey.example.com. IN CNAME aaa.dkim.eu-south-1.amazonses.com.",
                    CNAMES[1],
                    CNAMES[2],
                ],
            ),
            Case(
                "nothing told",
                |f| first(f).dkim = None,
                AuditVerdict::Fail,
                "DKIM status not told",
                &["aws ses verify-domain-dkim"],
            ),
            Case(
                "an address is signed for by its domain",
                |f| second(f).dkim = None,
                AuditVerdict::Pass,
                "1 by Easy DKIM of this Region",
                &[],
            ),
            Case(
                "an address without its domain",
                |f| {
                    second(f).dkim = None;
                    if let ApiAnswer::Answered(all) = &mut f.identities {
                        all.remove(0);
                    }
                },
                AuditVerdict::Warn,
                "is not signed",
                &["aws sesv2 create-email-identity --email-identity example.com --region eu-west-1"],
            ),
        ],
    );
}
