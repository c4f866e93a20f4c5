//! A Region at which nothing is wrong.

use std::collections::BTreeMap;

use mailroom_audit::facts::{
    AccessKey, AccessKeyLastUsed, AccountFacts, ApiAnswer, BucketExistence, ConfigurationSet, DkimAttributes,
    EmailIdentity, EventDestination, EventDestinationTarget, IdentityFacts, IdentityNotificationAttributes,
    MailFromAttributes, PeerProgress, ReceiptAction, ReceiptRule, ReceiptRuleSet, RegionFacts, SendQuota,
    StackFacts,
};
use mailroom_audit::{AuditSection, SectionVerdict, judge_sections};
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::timestamp::Timestamp;

pub(crate) const REGION: &str = "eu-west-1";
pub(crate) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:mailroom-feedback";
pub(crate) const FUNCTION: &str = "arn:aws:lambda:eu-west-1:123456789012:function:mailroom-inbound";

pub(crate) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

pub(crate) fn policy(region: &str, principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"ses:SendEmail","Resource":"arn:aws:ses:{region}:123456789012:identity/example.com"}}]}}"#
    )
}

pub(crate) fn identity(name: &str) -> IdentityFacts {
    let domain = !name.contains('@');
    IdentityFacts {
        name: name.to_owned(),
        kind: Some(if domain { "DOMAIN" } else { "EMAIL_ADDRESS" }.to_owned()),
        identity: ApiAnswer::Answered(EmailIdentity {
            verified_for_sending: true,
            verification_status: Some("SUCCESS".to_owned()),
            verification_error: None,
            last_checked_at: Some(at("2026-11-23T06:00:00Z")),
            last_success_at: Some(at("2026-11-22T06:00:00Z")),
            dkim: Some(DkimAttributes {
                signing_enabled: true,
                status: Some("SUCCESS".to_owned()),
                tokens: ["aaa", "bbb", "ccc"].map(str::to_owned).to_vec(),
                signing_hosted_zone: Some("dkim.amazonses.com".to_owned()),
                signing_attributes_origin: Some("AWS_SES".to_owned()),
                current_signing_key_length: Some("RSA_2048_BIT".to_owned()),
                next_signing_key_length: Some("RSA_2048_BIT".to_owned()),
            }),
            mail_from: domain.then(|| MailFromAttributes {
                domain: format!("bounce.{name}"),
                status: "SUCCESS".to_owned(),
                behavior_on_mx_failure: "USE_DEFAULT_VALUE".to_owned(),
            }),
            policies: BTreeMap::from([("partner".to_owned(), policy(REGION, "111122223333"))]),
            configuration_set: None,
            feedback_forwarding: false,
        }),
        notifications: ApiAnswer::Answered(IdentityNotificationAttributes {
            bounce_topic: Some(TOPIC.to_owned()),
            complaint_topic: Some(TOPIC.to_owned()),
            forwarding_enabled: false,
        }),
    }
}

pub(crate) fn configuration_set(name: &str, topic: &str) -> ConfigurationSet {
    ConfigurationSet {
        name: name.to_owned(),
        suppressed_reasons: None,
        suppression_scope: None,
        sending_enabled: true,
        event_destinations: ApiAnswer::Answered(vec![EventDestination {
            name: "feedback".to_owned(),
            enabled: true,
            event_types: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
            destination: EventDestinationTarget::Sns(topic.to_owned()),
        }]),
    }
}

pub(crate) fn access_key(user: &str, created_at: &str) -> AccessKey {
    AccessKey {
        user: user.to_owned(),
        id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        status: "Active".to_owned(),
        created_at: at(created_at),
        may_send: ApiAnswer::Answered(true),
        last_used: ApiAnswer::Answered(Some(AccessKeyLastUsed {
            at: at("2026-11-20T00:00:00Z"),
            service: "ses".to_owned(),
            region: REGION.to_owned(),
        })),
    }
}

pub(crate) fn facts() -> RegionFacts {
    let action = |kind: &str, bucket: Option<&str>, arns: &[(&str, &str)]| ReceiptAction {
        kind: kind.to_owned(),
        bucket: bucket.map(str::to_owned),
        arns: arns.iter().map(|(field, arn)| ((*field).to_owned(), (*arn).to_owned())).collect(),
    };
    RegionFacts {
        stack: StackFacts {
            region: REGION.to_owned(),
            account: Some("123456789012".to_owned()),
            feedback_topic: Some(TOPIC.to_owned()),
            configuration_set: Some("mailroom".to_owned()),
            rule_set: Some("mailroom-inbound".to_owned()),
            receives: true,
            reconcile_function: Some("mailroom-reconcile".to_owned()),
        },
        account: ApiAnswer::Answered(AccountFacts {
            production_access_enabled: true,
            sending_enabled: true,
            enforcement_status: Some("HEALTHY".to_owned()),
            send_quota: Some(SendQuota {
                max_24_hour_send: 50_000.0,
                max_send_rate: 14.0,
                sent_last_24_hours: 1_234.0,
            }),
            suppressed_reasons: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
            review: None,
        }),
        identities: ApiAnswer::Answered(vec![identity("example.com"), identity("ops@example.com")]),
        configuration_sets: ApiAnswer::Answered(vec![ApiAnswer::Answered(configuration_set(
            "mailroom", TOPIC,
        ))]),
        last_list_pass: ApiAnswer::Answered(Some(ListPass {
            started_at: at("2026-11-23T09:00:00Z"),
            ended_at: Some(at("2026-11-23T09:01:00Z")),
            entries: 1_000,
            agree: Some(998),
            differ: Some(2),
            mended: Some(2),
            gone: Some(0),
            alarmed: false,
        })),
        peer_pushes: ApiAnswer::Answered(vec![PeerProgress {
            region: "ca-central-1".to_owned(),
            until: Some(at("2026-11-23T11:55:00Z")),
        }]),
        access_keys: ApiAnswer::Answered(vec![access_key("smtp", "2024-02-01T00:00:00Z")]),
        rule_set: ApiAnswer::Answered(Some(ReceiptRuleSet {
            name: "mailroom-inbound".to_owned(),
            rules: vec![ReceiptRule {
                name: "mailroom".to_owned(),
                enabled: true,
                scan_enabled: true,
                recipients: Vec::new(),
                actions: vec![
                    action(
                        "S3Action",
                        Some("mailroom-mail"),
                        &[("IamRoleArn", "arn:aws:iam::123456789012:role/r")],
                    ),
                    action("LambdaAction", None, &[("FunctionArn", FUNCTION)]),
                ],
            }],
        })),
        buckets: vec![BucketExistence {
            name: "mailroom-mail".to_owned(),
            exists: ApiAnswer::Answered(true),
        }],
    }
}

/// An identity in another Region.
pub(crate) fn identity_of(region: &str, name: &str) -> IdentityFacts {
    let text = serde_json::to_string(&identity(name)).unwrap().replace(REGION, region);
    serde_json::from_str(&text).unwrap()
}

/// The facts of another Region, which are the same but for its name.
pub(crate) fn facts_of(region: &str) -> RegionFacts {
    let text = serde_json::to_string(&facts()).unwrap().replace(REGION, region);
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn verdict(facts: &RegionFacts, section: AuditSection) -> SectionVerdict {
    judge_sections(facts, now()).into_iter().find(|verdict| verdict.section == section).unwrap()
}
