//! What else can be wrong, so that other commands that the audit prints are run, too.

use std::time::Duration;

use aws_sdk_sesv2::types::{
    BehaviorOnMxFailure, DkimSigningAttributes, DkimSigningAttributesOrigin, DkimSigningKeyLength,
    EventDestinationDefinition, EventType, SnsDestination,
};
use local_aws::clients::ACCOUNT;
use mailroom_audit::{AuditSection, AuditVerdict};
use serde_json::{Value, json};
use time::macros::datetime;

use crate::Wrong;
use crate::world::{DOMAIN, RULE_SET, World, mail_from};

const IRELAND: &str = "eu-west-1";
const SYDNEY: &str = "ap-southeast-2";
const VIRGINIA: &str = "us-east-1";

const LATE: &str = "late@example.com";
const UNSIGNED: &str = "news.example.com";
const SHORT: &str = "shop.example.org";
const ELSEWHERE: &str = "billing@example.com";

pub(crate) async fn plant(world: &World) {
    in_virginia(world).await;
    in_ireland(world).await;
    in_sydney(world).await;
    // The link in the mail was good for a day.
    world.ses.clock().advance(Duration::from_hours(25));
}

async fn in_virginia(world: &World) {
    let (v1, v2) = (world.v1(VIRGINIA), world.v2(VIRGINIA));
    v2.put_account_sending_attributes().sending_enabled(false).send().await.expect("paused");
    v2.create_email_identity().email_identity(LATE).send().await.expect("made");
    let off = v2.put_email_identity_dkim_attributes().email_identity(UNSIGNED).signing_enabled(false);
    off.send().await.expect("off");
    let set = world.aws.region(VIRGINIA).outputs().get("ConfigurationSetName");
    let put = v2.put_configuration_set_suppression_options().configuration_set_name(set);
    put.set_suppressed_reasons(Some(vec![])).send().await.expect("off");
    let sns = &world.aws.region(VIRGINIA).clients().sns;
    let topic = sns.create_topic().name("somebody-elses").send().await.expect("made").topic_arn;
    let told = v1.set_identity_notification_topic().identity(ELSEWHERE).notification_type("Bounce".into());
    told.set_sns_topic(topic).send().await.expect("set");
    let (bucket, s3) = (bucket(world), &world.aws.region(VIRGINIA).clients().s3);
    let objects =
        s3.list_objects_v2().bucket(bucket).send().await.expect("listed").contents.unwrap_or_default();
    for key in objects.into_iter().filter_map(|object| object.key) {
        s3.delete_object().bucket(bucket).key(key).send().await.expect("gone");
    }
    s3.delete_bucket().bucket(bucket).send().await.expect("gone");
}

fn bucket(world: &World) -> &str {
    world.aws.region(VIRGINIA).outputs().get("MailBucketName")
}

async fn in_ireland(world: &World) {
    let (v1, v2) = (world.v1(IRELAND), world.v2(IRELAND));
    let short = DkimSigningAttributes::builder().next_signing_key_length(DkimSigningKeyLength::Rsa1024Bit);
    let sign = v2.put_email_identity_dkim_signing_attributes().email_identity(SHORT);
    let sign = sign.signing_attributes_origin(DkimSigningAttributesOrigin::AwsSes);
    sign.signing_attributes(short.build()).send().await.expect("changed");
    let anybody = statement(&json!("*"), IRELAND);
    let agency = |region| statement(&json!({ "AWS": "111122223333" }), region);
    for (name, statements) in [
        ("open", json!([anybody])),
        ("half-open", json!([anybody, agency(IRELAND)])),
        ("copied", json!([agency(VIRGINIA)])),
        // Several faults in one policy, which one command fixes.
        ("open-and-copied", json!([anybody, agency(VIRGINIA), agency(SYDNEY)])),
        ("copied-open", json!([statement(&json!("*"), VIRGINIA)])),
    ] {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
        let create = v2.create_email_identity_policy().email_identity(DOMAIN).policy_name(name);
        create.policy(policy).send().await.expect("made");
    }
    v1.set_active_receipt_rule_set().send().await.expect("none");
    let of = world.aws.region(IRELAND).outputs();
    let to = SnsDestination::builder().topic_arn(of.get("FeedbackTopicArn")).build().expect("complete");
    let deaf =
        EventDestinationDefinition::builder().matching_event_types(EventType::Send).sns_destination(to);
    v2.update_configuration_set_event_destination()
        .configuration_set_name(of.get("ConfigurationSetName"))
        .event_destination_name("feedback")
        .event_destination(deaf.build())
        .send()
        .await
        .expect("changed");
}

fn statement(principal: &Value, region: &str) -> Value {
    let identity = format!("arn:aws:ses:{region}:{ACCOUNT}:identity/{DOMAIN}");
    json!({ "Effect": "Allow", "Principal": principal, "Action": "ses:SendRawEmail", "Resource": identity })
}

async fn in_sydney(world: &World) {
    let (v1, v2) = (world.v1(SYDNEY), world.v2(SYDNEY));
    let set = world.aws.region(SYDNEY).outputs().get("ConfigurationSetName");
    v2.delete_configuration_set().configuration_set_name(set).send().await.expect("gone");
    v2.put_email_identity_mail_from_attributes()
        .email_identity(DOMAIN)
        .mail_from_domain(mail_from(SYDNEY))
        .behavior_on_mx_failure(BehaviorOnMxFailure::RejectMessage)
        .send()
        .await
        .expect("set");
    assert!(world.ses.withdraw_dns(&mail_from(SYDNEY), "MX"));
    world.ses.iam(|iam| iam.add_key("mailer", "AKIAIOSFODNN7EXAMPLE", datetime!(2018-05-06 07:08:09 UTC)));
    let rules = v1.describe_receipt_rule_set().rule_set_name(RULE_SET).send().await.expect("there").rules;
    for mut rule in rules.unwrap_or_default() {
        rule.enabled = false;
        v1.update_receipt_rule().rule_set_name(RULE_SET).rule(rule).send().await.expect("off");
    }
}

pub(crate) fn expected(world: &World) -> Wrong {
    let set = |region| world.aws.region(region).outputs().get("ConfigurationSetName");
    let all: [(&str, AuditSection, AuditVerdict, &[&str]); 14] = [
        (VIRGINIA, AuditSection::Sandbox, AuditVerdict::Fail, &[""]),
        (VIRGINIA, AuditSection::Verification, AuditVerdict::Fail, &[LATE]),
        (VIRGINIA, AuditSection::Dkim, AuditVerdict::Fail, &[UNSIGNED]),
        (VIRGINIA, AuditSection::SuppressionList, AuditVerdict::Warn, &[set(VIRGINIA)]),
        (VIRGINIA, AuditSection::Feedback, AuditVerdict::Warn, &[ELSEWHERE, LATE]),
        (VIRGINIA, AuditSection::Receiving, AuditVerdict::Fail, &[bucket(world)]),
        (IRELAND, AuditSection::Dkim, AuditVerdict::Warn, &[SHORT]),
        (IRELAND, AuditSection::Feedback, AuditVerdict::Fail, &[set(IRELAND)]),
        (IRELAND, AuditSection::Authorization, AuditVerdict::Fail, &[DOMAIN; 5]),
        (IRELAND, AuditSection::Receiving, AuditVerdict::Fail, &[""]),
        (SYDNEY, AuditSection::Feedback, AuditVerdict::Fail, &[set(SYDNEY)]),
        (SYDNEY, AuditSection::SmtpCredentials, AuditVerdict::Warn, &["mailer"]),
        (SYDNEY, AuditSection::MailFrom, AuditVerdict::Fail, &[DOMAIN]),
        (SYDNEY, AuditSection::Receiving, AuditVerdict::Fail, &[RULE_SET]),
    ];
    all.into_iter()
        .map(|(region, section, verdict, subjects)| {
            let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
            ((region.to_owned(), section), (verdict, subjects))
        })
        .collect()
}

/// A configuration set that is made has no event destination yet, which the next audit prints.
pub(crate) fn expected_next(world: &World) -> Wrong {
    let key = (SYDNEY.to_owned(), AuditSection::Feedback);
    expected(world).remove_entry(&key).into_iter().collect()
}
