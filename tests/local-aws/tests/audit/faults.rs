//! One fault in each section, spread over the Regions.

use std::time::Duration;

use aws_sdk_sesv2::types::SuppressionListReason;
use local_ses::faults::Fault;
use local_ses::suppression::Account;
use mailroom_audit::{AuditSection, AuditVerdict};
use time::macros::datetime;

use crate::Wrong;
use crate::world::{DOMAIN, POLICY, RULE_SET, World, mail_from};

/// An identity that the others have.
pub(crate) const MISSING: &str = "shop.example.org";
pub(crate) const MISSING_IN: &str = "us-east-1";

/// The account has not enabled it.
pub(crate) const CLOSED: &str = "eu-west-1";

const SYDNEY: &str = "ap-southeast-2";
const VIRGINIA: &str = "us-east-1";

const UNSIGNED: &str = "news.example.com";
const UNHEARD: &str = "billing@example.com";
const FOREIGN: &str = "somebody-elses";

pub(crate) async fn plant(world: &World) {
    let ses = &world.ses;
    let (sydney, virginia) = (world.v2(SYDNEY), world.v2(VIRGINIA));
    // 2
    ses.account(SYDNEY, |account| *account = Account::sandbox());
    // 3
    virginia.delete_email_identity().email_identity(MISSING).send().await.expect("gone");
    // 4
    let identity = sydney.get_email_identity().email_identity(UNSIGNED).send().await.expect("there");
    for token in identity.dkim_attributes().expect("a domain's").tokens() {
        assert!(ses.withdraw_dns(&format!("{token}._domainkey.{UNSIGNED}"), "CNAME"));
    }
    // 5
    let reasons = virginia.put_account_suppression_attributes();
    reasons.suppressed_reasons(SuppressionListReason::Complaint).send().await.expect("set");
    // 6
    let v1 = world.v1(SYDNEY);
    let forward = |enabled| {
        let forwarding = sydney.put_email_identity_feedback_attributes().email_identity(UNHEARD);
        forwarding.email_forwarding_enabled(enabled).send()
    };
    forward(true).await.expect("on, or SES keeps the topics");
    for kind in ["Bounce", "Complaint"] {
        let clear = v1.set_identity_notification_topic().identity(UNHEARD).notification_type(kind.into());
        clear.send().await.expect("cleared");
    }
    forward(false).await.expect("off");
    // 7
    ses.iam(|iam| {
        iam.add_key("mailer", "AKIAIOSFODNN7EXAMPLE", datetime!(2018-05-06 07:08:09 UTC));
        // A user has two keys at most, and the fix makes one.
        assert!(iam.remove_key("mailer", "AKIAI44QH8DHBEXAMPLE"));
        iam.use_key("AKIAIOSFODNN7EXAMPLE", datetime!(2026-10-11 12:13:14 UTC), "ses", VIRGINIA);
    });
    // 8
    assert!(ses.withdraw_dns(&mail_from(VIRGINIA), "MX"));
    // 9
    let policy = sydney.delete_email_identity_policy().email_identity(DOMAIN).policy_name(POLICY);
    policy.send().await.expect("gone");
    // 10
    let v1 = world.v1(VIRGINIA);
    let clone = v1.clone_receipt_rule_set().original_rule_set_name(RULE_SET).rule_set_name(FOREIGN);
    clone.send().await.expect("made");
    v1.set_active_receipt_rule_set().rule_set_name(FOREIGN).send().await.expect("active");
    // SES has looked for the records of 4 and 8 for as long as it does.
    ses.clock().advance(Duration::from_hours(121));
    // 1
    let refused = "The security token included in the request is invalid.";
    ses.fault(Fault::refuse(403, "UnrecognizedClientException", refused).in_region(CLOSED));
}

pub(crate) fn expected() -> Wrong {
    let faults = [
        (CLOSED, AuditSection::Endpoints, AuditVerdict::Fail, ""),
        (SYDNEY, AuditSection::Sandbox, AuditVerdict::Fail, ""),
        (MISSING_IN, AuditSection::Verification, AuditVerdict::Warn, MISSING),
        (SYDNEY, AuditSection::Dkim, AuditVerdict::Fail, UNSIGNED),
        (VIRGINIA, AuditSection::SuppressionList, AuditVerdict::Fail, ""),
        (SYDNEY, AuditSection::Feedback, AuditVerdict::Fail, UNHEARD),
        (SYDNEY, AuditSection::SmtpCredentials, AuditVerdict::Fail, "mailer"),
        (VIRGINIA, AuditSection::MailFrom, AuditVerdict::Fail, DOMAIN),
        (SYDNEY, AuditSection::Authorization, AuditVerdict::Warn, DOMAIN),
        (VIRGINIA, AuditSection::Receiving, AuditVerdict::Warn, FOREIGN),
    ];
    assert!(faults.iter().map(|(_, section, ..)| *section).eq(AuditSection::ALL));
    // Of a Region that does not answer, nothing else is known.
    let unknown = AuditSection::ALL
        .into_iter()
        .filter(|section| !matches!(section, AuditSection::Endpoints | AuditSection::SmtpCredentials));
    let unknown = unknown.map(|section| (CLOSED, section, AuditVerdict::Unknown, ""));
    faults
        .into_iter()
        .chain(unknown)
        .map(|(region, section, verdict, subject)| {
            ((region.to_owned(), section), (verdict, vec![subject.to_owned()]))
        })
        .collect()
}

/// Without the stack, the operator's tool goes by its outputs; on the local AWS none of them tells of a rule set.
pub(crate) fn expected_live() -> Wrong {
    let mut expected = expected();
    expected.remove(&(VIRGINIA.to_owned(), AuditSection::Receiving));
    expected
}
