//! Section 2: each verdict.

use mailroom_audit::facts::{ProductionAccessReview, RegionFacts, SendQuota};
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, account, assert_cases, denied, set, some};

#[test]
fn sandbox() {
    const ACCESS: &str = "aws sesv2 put-account-details --production-access-enabled --mail-type TRANSACTIONAL --website-url \"${WEBSITE_URL:?";
    fn review(facts: &mut RegionFacts, status: &str) {
        account(facts).production_access_enabled = false;
        account(facts).review =
            Some(ProductionAccessReview { status: some(status), case_id: some("case-1") });
    }
    fn quota(facts: &mut RegionFacts, most: f64, sent: f64) {
        account(facts).send_quota =
            Some(SendQuota { max_24_hour_send: most, max_send_rate: 1.0, sent_last_24_hours: sent });
    }
    const RAISE: &str = "aws service-quotas request-service-quota-increase --service-code ses --quota-code L-804C8AE8 --desired-value";
    assert_cases(
        AuditSection::Sandbox,
        &[
            Case(
                "sandbox",
                |f| account(f).production_access_enabled = false,
                AuditVerdict::Fail,
                "sandbox",
                &[ACCESS],
            ),
            Case("asked", |f| review(f, "PENDING"), AuditVerdict::Fail, "AWS reviews a request", &[]),
            Case("refused", |f| review(f, "DENIED"), AuditVerdict::Fail, "AWS has denied", &[]),
            Case("lost", |f| review(f, "FAILED"), AuditVerdict::Fail, "sandbox", &[ACCESS]),
            Case(
                "paused",
                |f| account(f).sending_enabled = false,
                AuditVerdict::Fail,
                "sending is paused",
                &["aws sesv2 put-account-sending-attributes --sending-enabled --region eu-west-1"],
            ),
            Case(
                "probation",
                |f| account(f).enforcement_status = some("PROBATION"),
                AuditVerdict::Warn,
                "PROBATION",
                &[],
            ),
            Case(
                "shut down",
                |f| account(f).enforcement_status = some("SHUTDOWN"),
                AuditVerdict::Fail,
                "SHUTDOWN",
                &[],
            ),
            Case(
                "new word",
                |f| account(f).enforcement_status = some("GROUNDED"),
                AuditVerdict::Unknown,
                "GROUNDED",
                &[],
            ),
            Case(
                "not told",
                |f| account(f).enforcement_status = None,
                AuditVerdict::Pass,
                "production access",
                &[],
            ),
            Case("79 %", |f| quota(f, 1000.0, 790.0), AuditVerdict::Pass, "790 of 1000", &[]),
            Case("80 %", |f| quota(f, 1000.0, 800.0), AuditVerdict::Warn, "800 of 1000", &[RAISE]),
            Case("100 %", |f| quota(f, 1000.0, 1000.0), AuditVerdict::Fail, "1000 of 1000", &[RAISE]),
            Case("nothing allowed", |f| quota(f, 0.0, 0.0), AuditVerdict::Fail, "0 of 0", &[RAISE]),
            Case("unlimited", |f| quota(f, -1.0, 9e9), AuditVerdict::Pass, "any number", &[]),
            Case(
                "a configuration set is paused",
                |f| set(f).sending_enabled = false,
                AuditVerdict::Warn,
                "sending is paused for mail with this configuration set",
                &[
                    "aws sesv2 put-configuration-set-sending-options --configuration-set-name mailroom --sending-enabled --region eu-west-1",
                ],
            ),
            Case(
                "configuration sets denied",
                |f| f.configuration_sets = denied("ses:ListConfigurationSets"),
                AuditVerdict::Unknown,
                "ses:ListConfigurationSets",
                &[],
            ),
        ],
    );
}
