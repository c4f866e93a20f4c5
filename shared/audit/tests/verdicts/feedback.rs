//! Section 6: each verdict.

use mailroom_audit::facts::{
    ApiAnswer, ConfigurationSet, EventDestination, EventDestinationTarget, IdentityNotificationAttributes,
    RegionFacts,
};
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, add_set, assert_cases, denied, first, set, some, topics};
use crate::healthy::configuration_set;

#[test]
fn feedback() {
    const BOUNCES: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Bounce --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const COMPLAINTS: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Complaint --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const OTHER: &str = "arn:aws:sns:eu-west-1:123456789012:theirs";
    fn no_topics(facts: &mut RegionFacts) {
        *topics(facts) = IdentityNotificationAttributes::default();
    }
    fn by_set(facts: &mut RegionFacts, destination: EventDestinationTarget, enabled: bool, types: &[&str]) {
        no_topics(facts);
        first(facts).configuration_set = some("bulk");
        let event_types = types.iter().map(|of| (*of).to_owned()).collect();
        let destination = EventDestination { name: "d".to_owned(), enabled, event_types, destination };
        let events = ApiAnswer::Answered(vec![destination]);
        add_set(facts, ConfigurationSet { event_destinations: events, ..configuration_set("bulk", "x") });
    }
    fn ours() -> EventDestinationTarget {
        EventDestinationTarget::Sns(crate::healthy::TOPIC.to_owned())
    }
    assert_cases(
        AuditSection::Feedback,
        &[
            Case(
                "nobody",
                no_topics,
                AuditVerdict::Fail,
                "bounces and complaints: no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "half",
                |f| topics(f).complaint_topic = None,
                AuditVerdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "by mail",
                |f| {
                    no_topics(f);
                    topics(f).forwarding_enabled = true;
                },
                AuditVerdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "by mail, says v2",
                |f| {
                    no_topics(f);
                    first(f).feedback_forwarding = true;
                },
                AuditVerdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "somebody else",
                |f| topics(f).bounce_topic = some(OTHER),
                AuditVerdict::Warn,
                "bounces go to somebody else only: arn:aws:sns:eu-west-1:123456789012:theirs",
                &[BOUNCES],
            ),
            Case(
                "somebody else, no stack",
                |f| {
                    f.stack.feedback_topic = None;
                    f.stack.configuration_set = None;
                },
                AuditVerdict::Pass,
                "no stack",
                &[],
            ),
            Case(
                "nobody, no stack",
                |f| {
                    no_topics(f);
                    f.stack.feedback_topic = None;
                    f.stack.configuration_set = None;
                },
                AuditVerdict::Fail,
                "no topic",
                &[],
            ),
            Case(
                "of another Region",
                |f| topics(f).bounce_topic = some("arn:aws:sns:us-east-1:123456789012:mailroom-feedback"),
                AuditVerdict::Fail,
                "bounces: the topic arn:aws:sns:us-east-1:123456789012:mailroom-feedback is of another Region",
                &[BOUNCES],
            ),
            Case(
                "by event publishing",
                |f| by_set(f, ours(), true, &["BOUNCE", "COMPLAINT"]),
                AuditVerdict::Pass,
                "2 of 2",
                &[],
            ),
            Case(
                "by half of it",
                |f| by_set(f, ours(), true, &["BOUNCE"]),
                AuditVerdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "disabled",
                |f| by_set(f, ours(), false, &["BOUNCE", "COMPLAINT"]),
                AuditVerdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "metrics only",
                |f| by_set(f, EventDestinationTarget::CloudWatch, true, &["BOUNCE", "COMPLAINT"]),
                AuditVerdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "an event bus",
                |f| {
                    by_set(
                        f,
                        EventDestinationTarget::EventBridge("arn".to_owned()),
                        true,
                        &["BOUNCE", "COMPLAINT"],
                    )
                },
                AuditVerdict::Warn,
                "go to somebody else only: bulk",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "a set that is gone",
                |f| {
                    no_topics(f);
                    first(f).configuration_set = some("gone");
                },
                AuditVerdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "a set that may not be read",
                |f| {
                    no_topics(f);
                    first(f).configuration_set = some("bulk");
                    f.configuration_sets = denied("ses:ListConfigurationSets");
                },
                AuditVerdict::Unknown,
                "",
                &[],
            ),
            Case(
                "our set is silent",
                |f| set(f).event_destinations = ApiAnswer::Answered(vec![]),
                AuditVerdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 create-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"#,
                ],
            ),
            Case(
                "our destination publishes to somebody else, and more than ours",
                |f| {
                    if let ApiAnswer::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = EventDestinationTarget::Sns(OTHER.to_owned());
                        events[0].event_types = ["SEND", "BOUNCE", "DELIVERY"].map(str::to_owned).to_vec();
                    }
                },
                AuditVerdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"MatchingEventTypes":["BOUNCE","COMPLAINT","REJECT","RENDERING_FAILURE","DELIVERY_DELAY","SUBSCRIPTION","SEND","DELIVERY"],"SnsDestination":{"TopicArn":"arn:aws:sns:eu-west-1:123456789012:mailroom-feedback"}}' --region eu-west-1"#,
                ],
            ),
            Case(
                "our topic by another destination",
                |f| {
                    if let ApiAnswer::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = EventDestinationTarget::Sns(OTHER.to_owned());
                        events.push(EventDestination {
                            name: "of-old".to_owned(),
                            enabled: true,
                            event_types: vec!["BOUNCE".to_owned()],
                            destination: ours(),
                        });
                    }
                },
                AuditVerdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name of-old",
                ],
            ),
            Case(
                "by mail, too",
                |f| topics(f).forwarding_enabled = true,
                AuditVerdict::Pass,
                "Mailroom hears of 2 of 2 identities, whatever the mail was sent with; of 1 SES mails it to the sender, too",
                &[],
            ),
            Case(
                "our set is disabled",
                |f| {
                    if let ApiAnswer::Answered(events) = &mut set(f).event_destinations {
                        events[0].enabled = false;
                    }
                },
                AuditVerdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback",
                ],
            ),
            Case(
                "our set is gone",
                |f| f.configuration_sets = ApiAnswer::Answered(vec![]),
                AuditVerdict::Fail,
                "is gone",
                &["aws sesv2 create-configuration-set"],
            ),
            Case(
                "not permitted",
                |f| {
                    if let ApiAnswer::Answered(all) = &mut f.identities {
                        all[0].notifications = denied("ses:GetIdentityNotificationAttributes");
                    }
                },
                AuditVerdict::Unknown,
                "ses:GetIdentityNotificationAttributes",
                &[],
            ),
        ],
    );
}
