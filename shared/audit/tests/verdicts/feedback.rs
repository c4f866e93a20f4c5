//! Section 6: each verdict.

use mailroom_audit::facts::{
    ApiAnswer, ConfigurationSet, Destination, EventDestination, Facts, Notifications,
};
use mailroom_audit::{Section, Verdict};

use crate::case::{Case, add_set, assert_cases, denied, first, set, some, topics};
use crate::healthy::configuration_set;

#[test]
fn feedback() {
    const BOUNCES: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Bounce --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const COMPLAINTS: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Complaint --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const OTHER: &str = "arn:aws:sns:eu-west-1:123456789012:theirs";
    fn no_topics(facts: &mut Facts) {
        *topics(facts) = Notifications::default();
    }
    fn by_set(facts: &mut Facts, destination: Destination, enabled: bool, types: &[&str]) {
        no_topics(facts);
        first(facts).configuration_set = some("bulk");
        let event_types = types.iter().map(|of| (*of).to_owned()).collect();
        let destination = EventDestination { name: "d".to_owned(), enabled, event_types, destination };
        let events = ApiAnswer::Answered(vec![destination]);
        add_set(facts, ConfigurationSet { event_destinations: events, ..configuration_set("bulk", "x") });
    }
    fn ours() -> Destination {
        Destination::Sns(crate::healthy::TOPIC.to_owned())
    }
    assert_cases(
        Section::Feedback,
        &[
            Case(
                "nobody",
                no_topics,
                Verdict::Fail,
                "bounces and complaints: no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "half",
                |f| topics(f).complaint_topic = None,
                Verdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "by mail",
                |f| {
                    no_topics(f);
                    topics(f).forwarding_enabled = true;
                },
                Verdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "by mail, says v2",
                |f| {
                    no_topics(f);
                    first(f).feedback_forwarding = true;
                },
                Verdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "somebody else",
                |f| topics(f).bounce_topic = some(OTHER),
                Verdict::Warn,
                "bounces go to somebody else only: arn:aws:sns:eu-west-1:123456789012:theirs",
                &[BOUNCES],
            ),
            Case(
                "somebody else, no stack",
                |f| {
                    f.stack.feedback_topic = None;
                    f.stack.configuration_set = None;
                },
                Verdict::Pass,
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
                Verdict::Fail,
                "no topic",
                &[],
            ),
            Case(
                "of another Region",
                |f| topics(f).bounce_topic = some("arn:aws:sns:us-east-1:123456789012:mailroom-feedback"),
                Verdict::Fail,
                "bounces: the topic arn:aws:sns:us-east-1:123456789012:mailroom-feedback is of another Region",
                &[BOUNCES],
            ),
            Case(
                "by event publishing",
                |f| by_set(f, ours(), true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Pass,
                "2 of 2",
                &[],
            ),
            Case(
                "by half of it",
                |f| by_set(f, ours(), true, &["BOUNCE"]),
                Verdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "disabled",
                |f| by_set(f, ours(), false, &["BOUNCE", "COMPLAINT"]),
                Verdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "metrics only",
                |f| by_set(f, Destination::CloudWatch, true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "an event bus",
                |f| by_set(f, Destination::EventBridge("arn".to_owned()), true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Warn,
                "go to somebody else only: bulk",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "a set that is gone",
                |f| {
                    no_topics(f);
                    first(f).configuration_set = some("gone");
                },
                Verdict::Fail,
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
                Verdict::Unknown,
                "",
                &[],
            ),
            Case(
                "our set is silent",
                |f| set(f).event_destinations = ApiAnswer::Answered(vec![]),
                Verdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 create-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"#,
                ],
            ),
            Case(
                "our destination publishes to somebody else, and more than ours",
                |f| {
                    if let ApiAnswer::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = Destination::Sns(OTHER.to_owned());
                        events[0].event_types = ["SEND", "BOUNCE", "DELIVERY"].map(str::to_owned).to_vec();
                    }
                },
                Verdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"MatchingEventTypes":["BOUNCE","COMPLAINT","REJECT","RENDERING_FAILURE","DELIVERY_DELAY","SUBSCRIPTION","SEND","DELIVERY"],"SnsDestination":{"TopicArn":"arn:aws:sns:eu-west-1:123456789012:mailroom-feedback"}}' --region eu-west-1"#,
                ],
            ),
            Case(
                "our topic by another destination",
                |f| {
                    if let ApiAnswer::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = Destination::Sns(OTHER.to_owned());
                        events.push(EventDestination {
                            name: "of-old".to_owned(),
                            enabled: true,
                            event_types: vec!["BOUNCE".to_owned()],
                            destination: ours(),
                        });
                    }
                },
                Verdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name of-old",
                ],
            ),
            Case(
                "by mail, too",
                |f| topics(f).forwarding_enabled = true,
                Verdict::Pass,
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
                Verdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback",
                ],
            ),
            Case(
                "our set is gone",
                |f| f.configuration_sets = ApiAnswer::Answered(vec![]),
                Verdict::Fail,
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
                Verdict::Unknown,
                "ses:GetIdentityNotificationAttributes",
                &[],
            ),
        ],
    );
}
