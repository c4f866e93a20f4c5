//! An account such as people have, with one thing that was forgotten in the second Region.

use std::error::Error;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, EventDestinationDefinition, EventType, SnsDestination};
use futures_util::future::try_join_all;
use local_aws::clients;
use local_ses::LocalSes;
use local_ses::suppression::Refused;
use serde_json::json;
use time::macros::datetime;

use crate::world::{REGIONS, STACK, World};

/// The domain that is verified in every Region. (`FORGOTTEN` is the one that nobody verified in `FORGOTTEN_IN`.)
const DOMAIN: &str = "example.com";
pub(crate) const FORGOTTEN: &str = "shop.example.org";
pub(crate) const FORGOTTEN_IN: &str = "eu-west-1";

/// The domains that are verified in a Region.
pub(crate) fn domains(region: &str) -> &'static [&'static str] {
    if region == FORGOTTEN_IN { &[DOMAIN] } else { &[DOMAIN, FORGOTTEN] }
}

/// Makes what is in the account before Mailroom comes.
pub(crate) fn make(ses: &LocalSes) -> Result<(), Refused> {
    for region in REGIONS {
        for domain in domains(region) {
            ses.verified(region, domain)?;
        }
    }
    let sends = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*" },
    ] });
    ses.iam(|iam| {
        iam.add_user("mailer", datetime!(2018-01-01 00:00 UTC), vec![sends]);
        iam.add_key("mailer", "AKIAIOSFODNN7EXAMPLE", datetime!(2024-01-01 00:00 UTC));
    });
    Ok(())
}

/// Sets up what takes calls at SES's pace and does not depend on a stack: custom MAIL FROM domains, and a configuration
/// set. The template describes that set, too, but the local CloudFormation does not tell the local SES.
pub(crate) async fn prepare(ses: &LocalSes) -> Result<(), Box<dyn Error>> {
    try_join_all(REGIONS.map(|region| prepare_in(ses, region))).await.map(drop)
}

async fn prepare_in(ses: &LocalSes, region: &str) -> Result<(), Box<dyn Error>> {
    let client = Client::new(&clients::patient(&ses.endpoint(), region));
    client.create_configuration_set().configuration_set_name(STACK).send().await?;
    for domain in domains(region) {
        // Each Region has a MAIL FROM domain of its own: SES accepts none that has several MX records.
        let mail_from = format!("bounce-{region}.{domain}");
        ses.publish_dns(&mail_from, "MX", &format!("10 feedback-smtp.{region}.amazonses.com"));
        client
            .put_email_identity_mail_from_attributes()
            .email_identity(*domain)
            .mail_from_domain(mail_from)
            .behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue)
            .send()
            .await?;
    }
    Ok(())
}

/// Adds the configuration set's event destination, once the stack has made its topic.
pub(crate) async fn complete(world: &World) -> Result<(), Box<dyn Error>> {
    try_join_all(REGIONS.map(|region| complete_in(world, region))).await.map(drop)
}

async fn complete_in(world: &World, region: &str) -> Result<(), Box<dyn Error>> {
    let outputs = world.region(region).outputs();
    let topic = SnsDestination::builder().topic_arn(outputs.get("FeedbackTopicArn")).build()?;
    let to = EventDestinationDefinition::builder()
        .enabled(true)
        .matching_event_types(EventType::Bounce)
        .matching_event_types(EventType::Complaint)
        .sns_destination(topic);
    Client::new(&clients::patient(&world.ses.endpoint(), region))
        .create_configuration_set_event_destination()
        .configuration_set_name(outputs.get("ConfigurationSetName"))
        .event_destination_name("feedback")
        .event_destination(to.build())
        .send()
        .await?;
    Ok(())
}
