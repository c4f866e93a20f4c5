//! Configuration sets and the account by SES's own client.

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::{
    EventBridgeDestination, EventDestinationDefinition, EventType, MailType, ReviewStatus, SendingOptions,
    SnsDestination, SuppressionListReason,
};
use local_ses::LocalSes;
use local_ses::suppression::{Account, Reason};

use crate::aws::{Aws, client_v2, error, refused, started, topic, unpaced};

const EAST: &str = "us-east-1";
const WEST: &str = "eu-west-1";

async fn with() -> (LocalSes, Aws, Client) {
    let (ses, aws) = started(unpaced()).await;
    let client = client_v2(&ses, EAST);
    (ses, aws, client)
}

async fn create(client: &Client, name: &str) {
    client.create_configuration_set().configuration_set_name(name).send().await.expect("made");
}

#[tokio::test]
async fn a_set_overrides_the_accounts_reasons_or_does_not() {
    let (ses, _aws, client) = with().await;
    create(&client, "news").await;
    let reasons = async || {
        let set = client.get_configuration_set().configuration_set_name("news").send().await.expect("there");
        set.suppression_options.map(|options| options.suppressed_reasons.unwrap_or_default())
    };
    assert_eq!(reasons().await, None);
    let put = || client.put_configuration_set_suppression_options().configuration_set_name("news");
    put().set_suppressed_reasons(Some(vec![])).send().await.expect("off");
    assert_eq!(reasons().await, Some(vec![]), "which switches the list off");
    put().suppressed_reasons(SuppressionListReason::Bounce).send().await.expect("on");
    assert_eq!(reasons().await, Some(vec![SuppressionListReason::Bounce]));
    put().send().await.expect("no more");
    assert_eq!(reasons().await, None);
    let elsewhere = client_v2(&ses, WEST).get_configuration_set().configuration_set_name("news").send().await;
    assert_eq!(refused(elsewhere), error(404, "NotFoundException"));
    let sending = client.put_configuration_set_sending_options().configuration_set_name("news");
    sending.sending_enabled(false).send().await.expect("off");
    let set = client.get_configuration_set().configuration_set_name("news").send().await.expect("there");
    assert_eq!(set.sending_options().map(SendingOptions::sending_enabled), Some(false));

    client.create_email_identity().email_identity("example.com").send().await.expect("made");
    let put = |set: &str| {
        client
            .put_email_identity_configuration_set_attributes()
            .email_identity("example.com")
            .configuration_set_name(set)
            .send()
    };
    assert_eq!(refused(put("none").await), error(404, "NotFoundException"));
    put("news").await.expect("set");
    let identity = client.get_email_identity().email_identity("example.com").send().await.expect("there");
    assert_eq!(identity.configuration_set_name(), Some("news"));
    client.delete_configuration_set().configuration_set_name("news").send().await.expect("gone");
}

#[tokio::test]
async fn sets_are_listed_fifty_on_a_page() {
    let (_ses, _aws, client) = with().await;
    for number in 0..60 {
        create(&client, &format!("set-{number}")).await;
    }
    let pages = client.list_configuration_sets().into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.expect("pages");
    let sizes: Vec<usize> = pages.iter().map(|page| page.configuration_sets().len()).collect();
    assert_eq!(sizes, [50, 10]);
    let again = client.create_configuration_set().configuration_set_name("set-1").send().await;
    assert_eq!(refused(again), error(400, "AlreadyExistsException"));
}

#[tokio::test]
async fn a_destinations_topic_is_of_the_same_region_and_takes_what_ses_publishes() {
    let (_ses, aws, client) = with().await;
    create(&client, "news").await;
    let to = |topic: &str| {
        EventDestinationDefinition::builder()
            .enabled(true)
            .matching_event_types(EventType::Bounce)
            .sns_destination(SnsDestination::builder().topic_arn(topic).build().expect("complete"))
    };
    let add = |set: &str, to: EventDestinationDefinition| {
        client
            .create_configuration_set_event_destination()
            .configuration_set_name(set)
            .event_destination_name("feedback")
            .event_destination(to)
            .send()
    };
    let stranger = format!("{}-stranger", topic(EAST));
    for wrong in [&topic(WEST), &stranger] {
        assert_eq!(refused(add("news", to(wrong).build()).await), error(400, "BadRequestException"));
    }
    let bus = EventBridgeDestination::builder().event_bus_arn("arn:aws:events:us-east-1:1:event-bus/default");
    let bus = bus.build().expect("complete");
    let both = to(&topic(EAST)).event_bridge_destination(bus.clone()).build();
    assert_eq!(refused(add("news", both).await), error(400, "BadRequestException"));
    assert_eq!(refused(add("none", to(&topic(EAST)).build()).await), error(404, "NotFoundException"));
    add("news", to(&topic(EAST)).build()).await.expect("made");
    assert_eq!(refused(add("news", to(&topic(EAST)).build()).await), error(400, "AlreadyExistsException"));
    let published = aws.change(|state| state.published.len());
    assert_eq!(published, 2, "and SES looks before it finds that there is one");
    let told = async || {
        let get = client.get_configuration_set_event_destinations().configuration_set_name("news");
        get.send().await.expect("told").event_destinations.unwrap_or_default()
    };
    let now = told().await;
    assert_eq!((now.len(), now[0].name(), now[0].enabled()), (1, "feedback", true));
    assert_eq!(now[0].matching_event_types(), [EventType::Bounce]);
    let sns = now[0].sns_destination().map(SnsDestination::topic_arn);
    assert_eq!(sns, Some(topic(EAST).as_str()));
    let changed = EventDestinationDefinition::builder().matching_event_types(EventType::Send);
    client
        .update_configuration_set_event_destination()
        .configuration_set_name("news")
        .event_destination_name("feedback")
        .event_destination(changed.event_bridge_destination(bus).build())
        .send()
        .await
        .expect("changed");
    assert!(told().await[0].event_bridge_destination().is_some());
    client
        .delete_configuration_set_event_destination()
        .configuration_set_name("news")
        .event_destination_name("feedback")
        .send()
        .await
        .expect("gone");
    assert!(told().await.is_empty());
}

#[tokio::test]
async fn an_account_leaves_the_sandbox_when_somebody_has_read_why_it_should() {
    let (ses, _aws, client) = with().await;
    ses.account(EAST, |account| *account = Account::sandbox());
    let apply = || {
        client
            .put_account_details()
            .mail_type(MailType::Transactional)
            .website_url("https://example.com")
            .production_access_enabled(true)
            .send()
    };
    let account = async || client.get_account().send().await.expect("told");
    assert!(account().await.details().is_none());
    apply().await.expect("sent");
    let review = |account: &aws_sdk_sesv2::operation::get_account::GetAccountOutput| {
        let review = account.details()?.review_details()?;
        review.status().cloned()
    };
    let now = account().await;
    assert_eq!((now.production_access_enabled(), review(&now)), (false, Some(ReviewStatus::Pending)));
    assert_eq!(refused(apply().await), error(409, "ConflictException"));
    ses.account(EAST, |account| account.review(false));
    assert_eq!(review(&account().await), Some(ReviewStatus::Denied));
    apply().await.expect("sent again");
    ses.account(EAST, |account| account.review(true));
    let now = account().await;
    assert_eq!((now.production_access_enabled(), review(&now)), (true, Some(ReviewStatus::Granted)));
    assert_eq!(now.send_quota().map(|quota| quota.max24_hour_send), Some(50_000.0));
    assert_eq!(now.details().and_then(|details| details.website_url()), Some("https://example.com"));
}

#[tokio::test]
async fn sending_is_switched_unless_ses_has_stopped_it() {
    let (ses, _aws, client) = with().await;
    let switch = |on| client.put_account_sending_attributes().sending_enabled(on).send();
    switch(false).await.expect("off");
    assert!(!client.get_account().send().await.expect("told").sending_enabled());
    switch(true).await.expect("on");
    assert!(ses.account(EAST, |account| account.sending_enabled));
    ses.account(EAST, |account| {
        account.enforcement_status = "SHUTDOWN".to_owned();
        account.sending_enabled = false;
    });
    assert_eq!(refused(switch(true).await), error(400, "BadRequestException"));
    let reasons = client.put_account_suppression_attributes();
    reasons.suppressed_reasons(SuppressionListReason::Complaint).send().await.expect("set");
    assert_eq!(ses.account(EAST, |account| account.suppressed_reasons.clone()), [Reason::Complaint]);
}
