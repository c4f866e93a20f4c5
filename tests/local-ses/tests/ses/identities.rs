//! Identities by SES's own clients, v2 and v1, with a domain name system that the test fills.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::operation::list_email_identities::ListEmailIdentitiesOutput;
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{
    BehaviorOnMxFailure, DkimAttributes, DkimSigningAttributes, DkimSigningAttributesOrigin,
    DkimSigningKeyLength, DkimStatus, IdentityType, MailFromDomainStatus, VerificationError,
    VerificationStatus,
};
use local_ses::clock::Clock;
use local_ses::identities::Told;
use local_ses::{Config, LocalSes};
use serde_json::json;
use time::macros::datetime;

use crate::aws::{Aws, client, client_v2, error, refused, started, topic};

const EAST: &str = "us-east-1";
const CAPE: &str = "af-south-1";

fn config() -> Config {
    Config { clock: Clock::at(datetime!(2026-01-01 00:00 UTC)), pace: None, ..Config::default() }
}

async fn with() -> (LocalSes, Aws, Client) {
    let (ses, aws) = started(config()).await;
    let client = client_v2(&ses, EAST);
    (ses, aws, client)
}

#[tokio::test]
async fn a_domain_is_verified_by_the_records_that_it_is_told() {
    let (ses, _aws, _) = with().await;
    for (region, zone) in [(EAST, "dkim.amazonses.com"), (CAPE, "dkim.af-south-1.amazonses.com")] {
        let client = client_v2(&ses, region);
        let made = client.create_email_identity().email_identity("example.com").send().await.expect("made");
        assert_eq!(made.identity_type(), Some(&IdentityType::Domain));
        assert!(!made.verified_for_sending_status());
        let dkim = made.dkim_attributes().expect("a domain's");
        assert_eq!(dkim.status(), Some(&DkimStatus::Pending));
        assert_eq!(dkim.signing_hosted_zone(), Some(zone));
        assert_eq!(dkim.current_signing_key_length(), Some(&DkimSigningKeyLength::Rsa2048Bit));
        let get = || client.get_email_identity().email_identity("example.com").send();
        let waiting = get().await.expect("there");
        assert_eq!(waiting.verification_status(), Some(&VerificationStatus::Pending));
        let info = waiting.verification_info().expect("looked for");
        assert_eq!(info.error_type(), Some(&VerificationError::HostNotFound));
        for token in dkim.tokens() {
            ses.publish_dns(
                &format!("{token}._domainkey.example.com."),
                "CNAME",
                &format!("{token}.{zone}."),
            );
        }
        let done = get().await.expect("there");
        assert_eq!(done.verification_status(), Some(&VerificationStatus::Success));
        assert!(done.verified_for_sending_status() && done.feedback_forwarding_status());
        assert_eq!(done.dkim_attributes().and_then(|dkim| dkim.status()), Some(&DkimStatus::Success));
        let info = done.verification_info().expect("looked for");
        assert_eq!(info.error_type(), None);
        assert_eq!(info.last_success_timestamp().map(DateTime::secs), Some(1_767_225_600));
    }
    let again = client_v2(&ses, EAST).create_email_identity().email_identity("EXAMPLE.com").send().await;
    assert_eq!(refused(again), error(400, "AlreadyExistsException"));
}

#[tokio::test]
async fn signatures_are_switched_and_changed() {
    let (ses, _aws, client) = with().await;
    ses.verified(EAST, "example.com").expect("made");
    let dkim = async || {
        let identity = client.get_email_identity().email_identity("example.com").send().await.expect("there");
        identity.dkim_attributes.expect("a domain's")
    };
    let put =
        client.put_email_identity_dkim_attributes().email_identity("example.com").signing_enabled(false);
    put.send().await.expect("off");
    assert!(!dkim().await.signing_enabled());
    let put = || client.put_email_identity_dkim_signing_attributes().email_identity("example.com");
    let own =
        DkimSigningAttributes::builder().domain_signing_selector("s1").domain_signing_private_key("a2V5");
    let own = put()
        .signing_attributes_origin(DkimSigningAttributesOrigin::External)
        .signing_attributes(own.build());
    let changed = own.send().await.expect("changed");
    assert_eq!(changed.dkim_status(), Some(&DkimStatus::Pending));
    assert_eq!(changed.dkim_tokens(), ["s1"]);
    assert_eq!(changed.signing_hosted_zone(), None);
    ses.publish_dns("s1._domainkey.example.com", "TXT", "\"p=MIGfMA0\"");
    let now = dkim().await;
    assert_eq!(now.status(), Some(&DkimStatus::Success));
    assert_eq!(now.signing_attributes_origin(), Some(&DkimSigningAttributesOrigin::External));
    assert!(!now.signing_enabled(), "still off");
    let half = DkimSigningAttributes::builder().domain_signing_selector("s1").build();
    let half =
        put().signing_attributes_origin(DkimSigningAttributesOrigin::External).signing_attributes(half);
    assert_eq!(refused(half.send().await), error(400, "BadRequestException"));
    let length = DkimSigningAttributes::builder().next_signing_key_length(DkimSigningKeyLength::Rsa1024Bit);
    let easy = put()
        .signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes)
        .signing_attributes(length.build());
    assert_eq!(
        easy.send().await.expect("changed").dkim_status(),
        Some(&DkimStatus::Success),
        "published all along"
    );
    assert_eq!(dkim().await.current_signing_key_length(), Some(&DkimSigningKeyLength::Rsa1024Bit));
    let length = DkimSigningAttributes::builder().next_signing_key_length(DkimSigningKeyLength::Rsa2048Bit);
    let again = put()
        .signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes)
        .signing_attributes(length.build());
    assert_eq!(refused(again.send().await), error(400, "BadRequestException"), "once a day");
}

#[tokio::test]
async fn a_replica_signs_with_its_parents_key() {
    let (ses, _aws, _) = with().await;
    ses.verified(EAST, "example.com").expect("made");
    let west = client_v2(&ses, "eu-west-1");
    let parent = DkimSigningAttributes::builder()
        .domain_signing_attributes_origin(DkimSigningAttributesOrigin::AwsSesUsEast1)
        .build();
    let made = west.create_email_identity().email_identity("example.com").dkim_signing_attributes(parent);
    let made = made.send().await.expect("made");
    assert!(made.verified_for_sending_status(), "its parent's records are there");
    let dkim = made.dkim_attributes().expect("a domain's");
    assert_eq!(dkim.signing_attributes_origin(), Some(&DkimSigningAttributesOrigin::AwsSesUsEast1));
    let east = client_v2(&ses, EAST).get_email_identity().email_identity("example.com").send().await;
    assert_eq!(east.expect("there").dkim_attributes().map(DkimAttributes::tokens), Some(dkim.tokens()));
    let delete = client_v2(&ses, EAST).delete_email_identity().email_identity("example.com").send().await;
    assert_eq!(refused(delete), error(400, "BadRequestException"));
}

#[tokio::test]
async fn an_address_is_verified_by_its_link() {
    let (ses, _aws, client) = with().await;
    client.create_email_identity().email_identity("Ada+x@example.com").send().await.expect("made");
    let get = || client.get_email_identity().email_identity("Ada+x@example.com").send();
    let before = get().await.expect("there");
    assert_eq!(before.identity_type(), Some(&IdentityType::EmailAddress));
    let dkim = before.dkim_attributes().expect("told");
    assert_eq!((dkim.signing_enabled(), dkim.status()), (false, Some(&DkimStatus::NotStarted)));
    assert!(ses.confirm(EAST, "Ada+x@example.com"));
    assert!(get().await.expect("there").verified_for_sending_status());
    let other = client_v2(&ses, CAPE).get_email_identity().email_identity("Ada+x@example.com").send().await;
    assert_eq!(refused(other), error(404, "NotFoundException"));
    client.delete_email_identity().email_identity("Ada+x@example.com").send().await.expect("gone");
    assert_eq!(refused(get().await), error(404, "NotFoundException"));
}

#[tokio::test]
async fn a_mail_from_domain_follows_its_mx_record() {
    let (ses, _aws, client) = with().await;
    ses.verified(EAST, "example.com").expect("made");
    let mail_from = async || {
        let identity = client.get_email_identity().email_identity("example.com").send().await.expect("there");
        identity.mail_from_attributes.expect("told")
    };
    assert_eq!(mail_from().await.mail_from_domain(), "");
    let put = |domain: &str| {
        client
            .put_email_identity_mail_from_attributes()
            .email_identity("example.com")
            .mail_from_domain(domain)
            .behavior_on_mx_failure(BehaviorOnMxFailure::RejectMessage)
            .send()
    };
    assert_eq!(refused(put("bounce.example.org").await), error(400, "BadRequestException"));
    put("bounce.example.com").await.expect("set");
    let set = mail_from().await;
    assert_eq!(set.mail_from_domain(), "bounce.example.com");
    assert_eq!(set.mail_from_domain_status(), &MailFromDomainStatus::Pending);
    assert_eq!(set.behavior_on_mx_failure(), &BehaviorOnMxFailure::RejectMessage);
    ses.clock().advance(Duration::from_hours(72));
    assert_eq!(mail_from().await.mail_from_domain_status(), &MailFromDomainStatus::Failed);
    ses.publish_dns("bounce.example.com", "MX", "10 feedback-smtp.us-east-1.amazonses.com");
    assert_eq!(mail_from().await.mail_from_domain_status(), &MailFromDomainStatus::Failed, "given up");
    put("bounce.example.com").await.expect("set again");
    assert_eq!(mail_from().await.mail_from_domain_status(), &MailFromDomainStatus::Success);
    ses.dns_answers("example.com", false);
    assert_eq!(mail_from().await.mail_from_domain_status(), &MailFromDomainStatus::TemporaryFailure);
    ses.dns_answers("example.com", true);
    ses.withdraw_dns("bounce.example.com", "MX");
    assert_eq!(mail_from().await.mail_from_domain_status(), &MailFromDomainStatus::TemporaryFailure);
    put("").await.expect("unset");
    assert_eq!(mail_from().await.mail_from_domain(), "");
}

#[tokio::test]
async fn all_identities_are_listed_once_page_by_page() {
    let (ses, _aws, client) = with().await;
    for number in 0..60 {
        ses.verified(EAST, &format!("d{number}.example")).expect("made");
    }
    ses.verified(CAPE, "elsewhere.example").expect("made");
    client.create_email_identity().email_identity("new.example").send().await.expect("made");
    let pages = client.list_email_identities().into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.expect("pages");
    assert_eq!(pages.len(), 3, "25 on a page");
    let listed: Vec<_> = pages.iter().flat_map(ListEmailIdentitiesOutput::email_identities).collect();
    let names: BTreeSet<_> = listed.iter().filter_map(|info| info.identity_name()).collect();
    assert_eq!((listed.len(), names.len()), (61, 61));
    for info in listed {
        let expected = info.identity_name() != Some("new.example");
        assert_eq!(info.sending_enabled(), expected);
        assert_eq!(info.identity_type(), Some(&IdentityType::Domain));
    }
    let token = pages[0].next_token().expect("more");
    let elsewhere = client_v2(&ses, CAPE).list_email_identities().next_token(token).send().await;
    assert_eq!(refused(elsewhere), error(400, "BadRequestException"));
    let all = client.list_email_identities().page_size(1000).send().await.expect("a page");
    assert_eq!((all.email_identities().len(), all.next_token()), (61, None));
    assert_eq!(
        refused(client.list_email_identities().page_size(1001).send().await),
        error(400, "BadRequestException")
    );
}

#[tokio::test]
async fn policies_say_who_else_may_send() {
    let (ses, _aws, client) = with().await;
    client.create_email_identity().email_identity("example.com").send().await.expect("made");
    let policy = json!({ "Statement": [{ "Effect": "Allow", "Principal": "*", "Action": "ses:SendEmail" }] })
        .to_string();
    let create = |name: &str| {
        client
            .create_email_identity_policy()
            .email_identity("example.com")
            .policy_name(name)
            .policy(&policy)
            .send()
    };
    assert_eq!(refused(create("other").await), error(400, "BadRequestException"), "it is not verified");
    ses.verified(EAST, "example.org").expect("made");
    ses.verified(CAPE, "example.com").expect("made");
    client.delete_email_identity().email_identity("example.com").send().await.expect("gone");
    ses.verified(EAST, "example.com").expect("made");
    create("other").await.expect("made");
    assert_eq!(refused(create("other").await), error(400, "AlreadyExistsException"));
    let changed = json!({ "Statement": [] }).to_string();
    let update = client.update_email_identity_policy().email_identity("example.com").policy_name("other");
    update.policy(&changed).send().await.expect("changed");
    let policies = async || {
        let policies =
            client.get_email_identity_policies().email_identity("example.com").send().await.expect("told");
        let identity = client.get_email_identity().email_identity("example.com").send().await.expect("there");
        assert_eq!(policies.policies, identity.policies);
        policies.policies.unwrap_or_default()
    };
    assert_eq!(policies().await.get("other"), Some(&changed));
    let delete = client.delete_email_identity_policy().email_identity("example.com").policy_name("other");
    delete.send().await.expect("gone");
    assert!(policies().await.is_empty());
    let elsewhere =
        client_v2(&ses, CAPE).get_email_identity_policies().email_identity("example.com").send().await;
    assert_eq!(elsewhere.expect("told").policies, Some(HashMap::new()));
}

#[tokio::test]
async fn topics_are_tried_before_they_are_taken_and_mails_stop_only_after() {
    let (ses, aws, _) = with().await;
    let v1 = client(&ses, EAST);
    let set = |identity: &str, kind: &str, topic: Option<String>| {
        v1.set_identity_notification_topic()
            .identity(identity)
            .notification_type(kind.into())
            .set_sns_topic(topic)
            .send()
    };
    let here = Some(topic(EAST));
    assert_eq!(
        refused(set("example.com", "Bounce", here.clone()).await),
        error(400, "InvalidParameterValue")
    );
    ses.verified(EAST, "example.com").expect("made");
    let stranger = Some(format!("{}-stranger", topic(EAST)));
    for wrong in [Some(topic("eu-west-1")), stranger] {
        assert_eq!(refused(set("example.com", "Bounce", wrong).await), error(400, "InvalidParameterValue"));
    }
    assert_eq!(refused(set("example.com", "Bounced", here.clone()).await), error(400, "ValidationError"));
    let arn = format!("arn:aws:ses:{EAST}:123456789012:identity/example.com");
    let elsewhere = arn.replace(EAST, "eu-west-1");
    assert_eq!(refused(set(&elsewhere, "Bounce", here.clone()).await), error(400, "InvalidParameterValue"));
    set(&arn, "Bounce", here.clone()).await.expect("set");
    let published = aws.change(|state| state.published.clone());
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].1["notificationType"], "AmazonSnsSubscriptionSucceeded");

    let forward = |enabled| {
        v1.set_identity_feedback_forwarding_enabled()
            .identity("example.com")
            .forwarding_enabled(enabled)
            .send()
    };
    assert_eq!(
        refused(forward(false).await),
        error(400, "InvalidParameterValue"),
        "complaints have no topic"
    );
    set("example.com", "Complaint", here.clone()).await.expect("set");
    forward(false).await.expect("off");
    assert_eq!(refused(set("example.com", "Bounce", None).await), error(400, "InvalidParameterValue"));
    let headers = |kind: &str| {
        v1.set_identity_headers_in_notifications_enabled()
            .identity("example.com")
            .notification_type(kind.into())
            .enabled(true)
            .send()
    };
    headers("Bounce").await.expect("on");
    assert_eq!(refused(headers("Delivery").await), error(400, "InvalidParameterValue"), "it has no topic");

    let attributes = async || {
        let get =
            v1.get_identity_notification_attributes().identities("example.com").identities("none.example");
        let mut told = get.send().await.expect("told").notification_attributes;
        let of = told.remove("example.com").expect("there");
        assert!(told.is_empty(), "of what is not there, nothing is told");
        of
    };
    let told = attributes().await;
    assert_eq!((told.bounce_topic(), told.complaint_topic()), (topic(EAST).as_str(), topic(EAST).as_str()));
    assert_eq!((told.delivery_topic(), told.forwarding_enabled()), ("", false));
    assert!(told.headers_in_bounce_notifications_enabled());
    ses.lose_topic(EAST, "example.com", Told::Complaint).expect("there");
    let told = attributes().await;
    assert_eq!((told.complaint_topic(), told.forwarding_enabled()), ("", true));
    set("example.com", "Bounce", None).await.expect("cleared");
    assert_eq!(attributes().await.bounce_topic(), "");
    let v2 = client_v2(&ses, EAST).put_email_identity_feedback_attributes().email_identity("example.com");
    v2.email_forwarding_enabled(false).send().await.expect("v2 takes a no at any time");
    assert!(!attributes().await.forwarding_enabled());
}

#[tokio::test]
async fn v1_begins_again_what_has_failed() {
    let (ses, _aws, v2) = with().await;
    let v1 = client(&ses, EAST);
    let status = async |name: &str| {
        let identity = v2.get_email_identity().email_identity(name).send().await.expect("there");
        identity.verification_status
    };
    let tokens = v1.verify_domain_dkim().domain("example.com").send().await.expect("begun").dkim_tokens;
    assert_eq!(tokens.len(), 3);
    v1.verify_email_identity().email_address("ada@example.org").send().await.expect("mailed");
    let none = v1.verify_email_identity().email_address("example.org").send().await;
    assert_eq!(refused(none), error(400, "InvalidParameterValue"));
    ses.clock().advance(Duration::from_hours(72));
    for token in &tokens {
        ses.publish_dns(
            &format!("{token}._domainkey.example.com"),
            "CNAME",
            &format!("{token}.dkim.amazonses.com"),
        );
    }
    for name in ["example.com", "ada@example.org"] {
        assert_eq!(status(name).await, Some(VerificationStatus::Failed));
    }
    let again = v1.verify_domain_dkim().domain("example.com").send().await.expect("begun");
    assert_eq!(again.dkim_tokens, tokens);
    assert_eq!(status("example.com").await, Some(VerificationStatus::Success));
    v1.verify_email_identity().email_address("ada@example.org").send().await.expect("mailed");
    assert!(ses.confirm(EAST, "ada@example.org"));
    assert_eq!(status("ada@example.org").await, Some(VerificationStatus::Success));
}

#[tokio::test]
async fn a_hundred_identities_can_be_asked_for_at_once_and_no_more() {
    let (ses, _aws, _) = with().await;
    ses.verified(EAST, "d99.example").expect("made");
    let get = |count: usize| {
        let names = (0..count).map(|number| format!("d{number}.example")).collect();
        client(&ses, EAST).get_identity_notification_attributes().set_identities(Some(names)).send()
    };
    assert_eq!(get(100).await.expect("told").notification_attributes.len(), 1);
    assert_eq!(refused(get(101).await), error(400, "InvalidParameterValue"));
}

#[tokio::test]
async fn both_apis_are_paced_together() {
    let config = Config { clock: Clock::at(datetime!(2026-01-01 00:00 UTC)), ..Config::default() };
    let (ses, _aws) = started(config).await;
    let (v1, v2) = (client(&ses, EAST), client_v2(&ses, EAST));
    let notifications = || v1.get_identity_notification_attributes().identities("example.com").send();
    v2.list_email_identities().send().await.expect("the first");
    assert_eq!(refused(notifications().await), error(400, "Throttling"));
    assert_eq!(refused(v2.get_account().send().await), error(429, "TooManyRequestsException"));
    assert_eq!(refused(v1.describe_active_receipt_rule_set().send().await), error(400, "Throttling"));
    client_v2(&ses, CAPE).list_email_identities().send().await.expect("another Region");
    ses.clock().advance(Duration::from_secs(1));
    notifications().await.expect("a second later");
}
