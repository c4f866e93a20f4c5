//! Section 6: bounces and complaints are heard of.
//!
//! | of bounces and of complaints, who hears by topic or event destination | verdict |
//! |---|---|
//! | this stack | pass |
//! | somebody else, where a stack is | warn: nothing is recorded |
//! | nobody, but they come by mail | warn: only of mail sent with a configuration set that the call names can anything be recorded |
//! | nobody | fail |
//! | a topic of another Region | fail: SES takes none, and publishes nothing |
//!
//! Sources: Amazon SES Developer Guide, "Regions and Amazon SES", "Setting up event notifications for Amazon SES", "Receiving
//! Amazon SES notifications through email", read 2026-11: an address's own settings go before its domain's; SES mails feedback
//! to the sender if nothing is set up at all.

use std::collections::BTreeMap;

use mailroom_core::arn::Arn;

use crate::facts::{
    ApiAnswer, ConfigurationSet, EmailIdentity, EventDestination, EventDestinationTarget, IdentityFacts,
    IdentityNotificationAttributes, RegionFacts, StackFacts,
};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

/// The name of the stack's event destination, as in the template.
const OWN_DESTINATION: &str = "feedback";
/// The event types that the stack's event destination publishes. Operators may add others (`SEND`, `DELIVERY`), which are
/// kept.
const OWN_EVENT_TYPES: [&str; 6] =
    ["BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY_DELAY", "SUBSCRIPTION"];

/// What the feedback of an identity is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FeedbackKind {
    Bounce,
    Complaint,
}

/// Who is told of an identity's feedback, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FeedbackReceiver {
    Nobody,
    /// Who is told could not be found out.
    Unknown,
    Email,
    Foreign,
    OwnStack,
}

type SetsByName<'a> = BTreeMap<&'a str, &'a ConfigurationSet>;

impl FeedbackKind {
    const ALL: [Self; 2] = [Self::Bounce, Self::Complaint];

    /// The kind's name in version 1 of the API (`NotificationType`).
    fn notification_type(self) -> &'static str {
        match self {
            Self::Bounce => "Bounce",
            Self::Complaint => "Complaint",
        }
    }

    /// The kind's name in version 2 of the API (`EventType`).
    fn event_type(self) -> &'static str {
        match self {
            Self::Bounce => "BOUNCE",
            Self::Complaint => "COMPLAINT",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Bounce => "bounces",
            Self::Complaint => "complaints",
        }
    }

    fn topic(self, attributes: &IdentityNotificationAttributes) -> Option<&str> {
        match self {
            Self::Bounce => attributes.bounce_topic.as_deref(),
            Self::Complaint => attributes.complaint_topic.as_deref(),
        }
    }
}

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    let sets: Option<SetsByName<'_>> = facts
        .configuration_sets
        .answer()
        .map(|sets| sets.iter().filter_map(ApiAnswer::answer).map(|set| (set.name.as_str(), set)).collect());
    let mut judged = Judgement::passes("");
    if let Some(sets) = &facts.configuration_sets.answer() {
        for set in *sets {
            judged.add_unanswered("configuration sets", set);
        }
    } else if facts.stack.configuration_set.is_some() {
        judged.add_unanswered("configuration sets", &facts.configuration_sets);
    }
    let everything_read =
        facts.configuration_sets.answer().is_some_and(|sets| sets.iter().all(|set| set.answer().is_some()));
    judge_own_set(&mut judged, &facts.stack, sets.as_ref(), everything_read);
    let (mut ours, mut forward) = (0, 0);
    for of in identities {
        let Some(identity) = of.identity.answer() else {
            judged.add_unanswered(&of.name, &of.identity);
            continue;
        };
        let Some(notifications) = of.notifications.answer() else {
            judged.add_unanswered(&of.name, &of.notifications);
            continue;
        };
        let one = IdentityFeedback {
            identity_facts: of,
            identity,
            notifications,
            stack: &facts.stack,
            sets_by_name: sets.as_ref(),
            all_sets_read: everything_read,
        };
        ours += usize::from(one.judge(&mut judged));
        forward += usize::from(one.forwards_by_email());
    }
    judged.applies = !identities.is_empty() || facts.stack.configuration_set.is_some();
    judged.evidence = match (&facts.stack.feedback_topic, identities.len()) {
        (_, 0) => "no identities".to_owned(),
        (Some(_), all) => {
            format!("Mailroom hears of {ours} of {all} identities, whatever the mail was sent with")
        }
        (None, all) => format!("{all} identities, no stack"),
    };
    if forward > 0 {
        judged.evidence += &["; of ", &forward.to_string(), " SES mails it to the sender, too"].concat();
    }
    judged
}

/// Judges the stack's own configuration set, with which mail is meant to be sent.
fn judge_own_set(
    judgement: &mut Judgement,
    stack: &StackFacts,
    sets_by_name: Option<&SetsByName<'_>>,
    all_sets_read: bool,
) {
    let (Some(name), Some(topic), Some(sets)) =
        (&stack.configuration_set, &stack.feedback_topic, sets_by_name)
    else {
        return;
    };
    let Some(set) = sets.get(name.as_str()) else {
        if all_sets_read {
            judgement.add_finding(
                AuditVerdict::Fail,
                name,
                "the stack's configuration set is gone: SES refuses mail that is sent with it",
                "Deploy the stack again after you have removed the configuration set from what CloudFormation thinks is there, \
                 or make it again and then its event destination.",
                Fix::aws_command(&["sesv2", "create-configuration-set", "--configuration-set-name", name], &stack.region),
            );
        }
        return;
    };
    let destinations = match &set.event_destinations {
        ApiAnswer::Answered(destinations) => destinations,
        unanswered => return judgement.add_unanswered(name, unanswered),
    };
    if FeedbackKind::ALL
        .iter()
        .all(|kind| destinations.iter().any(|of| publishes(of, *kind) && is_sns_topic(of, topic)))
    {
        return;
    }
    let there = destinations
        .iter()
        .find(|of| is_sns_topic(of, topic))
        .or_else(|| destinations.iter().find(|of| of.name == OWN_DESTINATION));
    let more = there.into_iter().flat_map(|of| &of.event_types).map(String::as_str);
    let mut types = OWN_EVENT_TYPES.to_vec();
    types.extend(more.filter(|of| !OWN_EVENT_TYPES.contains(of)));
    let definition = serde_json::json!({
        "Enabled": true,
        "MatchingEventTypes": types,
        "SnsDestination": { "TopicArn": topic },
    });
    let definition = definition.to_string();
    let verb = if there.is_some() { "update" } else { "create" };
    let command = format!("{verb}-configuration-set-event-destination");
    let destination = there.map_or(OWN_DESTINATION, |of| of.name.as_str());
    let arguments =
        ["sesv2", &command, "--configuration-set-name", name, "--event-destination-name", destination];
    judgement.add_finding(
        AuditVerdict::Fail,
        name,
        "the stack's configuration set does not publish bounces and complaints to the stack's topic",
        "Have its event destination publish them again.",
        Fix::aws_command(&[&arguments[..], &["--event-destination", &definition]].concat(), &stack.region),
    );
}

fn publishes(destination: &EventDestination, kind: FeedbackKind) -> bool {
    destination.enabled && destination.event_types.iter().any(|of| of.eq_ignore_ascii_case(kind.event_type()))
}

fn is_sns_topic(destination: &EventDestination, topic_arn: &str) -> bool {
    matches!(&destination.destination, EventDestinationTarget::Sns(arn) if arn == topic_arn)
}

struct IdentityFeedback<'a> {
    identity_facts: &'a IdentityFacts,
    identity: &'a EmailIdentity,
    notifications: &'a IdentityNotificationAttributes,
    stack: &'a StackFacts,
    sets_by_name: Option<&'a SetsByName<'a>>,
    all_sets_read: bool,
}

impl IdentityFeedback<'_> {
    /// Judges who is told, and returns whether this stack is told of both bounces and complaints.
    fn judge(&self, judgement: &mut Judgement) -> bool {
        let elsewhere: Vec<_> =
            FeedbackKind::ALL.into_iter().filter(|kind| self.has_topic_in_other_region(*kind)).collect();
        for kind in &elsewhere {
            judgement.add_finding(
                AuditVerdict::Fail,
                &self.identity_facts.name,
                format!(
                    "{}: the topic {} is of another Region",
                    kind.plural(),
                    kind.topic(self.notifications).unwrap_or("")
                ),
                "Set a topic of this Region: SES publishes to no other.",
                self.set_stack_topic_command(*kind),
            );
        }
        let heard = FeedbackKind::ALL.map(|kind| (kind, self.best_receiver(kind)));
        let of = |who: FeedbackReceiver| {
            let told = |kind: &FeedbackKind| who == FeedbackReceiver::Unknown || !elsewhere.contains(kind);
            heard
                .iter()
                .filter(|(_, heard)| *heard == who)
                .map(|(kind, _)| *kind)
                .filter(told)
                .collect::<Vec<_>>()
        };
        let mut verdicts = vec![
            (FeedbackReceiver::Nobody, AuditVerdict::Fail),
            (FeedbackReceiver::Unknown, AuditVerdict::Unknown),
            (FeedbackReceiver::Email, AuditVerdict::Warn),
        ];
        if self.stack.feedback_topic.is_some() {
            verdicts.push((FeedbackReceiver::Foreign, AuditVerdict::Warn));
        }
        for (who, verdict) in verdicts {
            let kinds = of(who);
            if !kinds.is_empty() {
                self.add_receiver_finding(judgement, verdict, who, &kinds);
            }
        }
        elsewhere.is_empty() && heard.iter().all(|(_, heard)| *heard == FeedbackReceiver::OwnStack)
    }

    fn has_topic_in_other_region(&self, kind: FeedbackKind) -> bool {
        let topic = kind.topic(self.notifications).and_then(Arn::parse);
        topic.and_then(Arn::region).is_some_and(|region| region != self.stack.region)
    }

    fn best_receiver(&self, kind: FeedbackKind) -> FeedbackReceiver {
        let by_topic = match kind.topic(self.notifications) {
            None => FeedbackReceiver::Nobody,
            Some(_) if self.has_topic_in_other_region(kind) => FeedbackReceiver::Nobody,
            Some(topic) => self.own_or_foreign_receiver(topic),
        };
        let by_mail =
            if self.forwards_by_email() { FeedbackReceiver::Email } else { FeedbackReceiver::Nobody };
        by_topic.max(self.configuration_set_receiver(kind)).max(by_mail)
    }

    /// Whether bounces and complaints come by e-mail, which is no fault where they come by a topic as well.
    fn forwards_by_email(&self) -> bool {
        self.notifications.forwarding_enabled || self.identity.feedback_forwarding
    }

    fn own_or_foreign_receiver(&self, topic_arn: &str) -> FeedbackReceiver {
        if self.stack.feedback_topic.as_deref() == Some(topic_arn) {
            FeedbackReceiver::OwnStack
        } else {
            FeedbackReceiver::Foreign
        }
    }

    fn configuration_set_receiver(&self, kind: FeedbackKind) -> FeedbackReceiver {
        let Some(name) = &self.identity.configuration_set else { return FeedbackReceiver::Nobody };
        let Some(set) = self.sets_by_name.and_then(|sets| sets.get(name.as_str())) else {
            return if self.all_sets_read { FeedbackReceiver::Nobody } else { FeedbackReceiver::Unknown };
        };
        let Some(destinations) = set.event_destinations.answer() else { return FeedbackReceiver::Unknown };
        let tell = destinations.iter().filter(|of| publishes(of, kind));
        let heard = tell.map(|of| match &of.destination {
            EventDestinationTarget::Sns(topic) => self.own_or_foreign_receiver(topic),
            EventDestinationTarget::EventBridge(_)
            | EventDestinationTarget::Firehose(_)
            | EventDestinationTarget::Pinpoint(_)
            | EventDestinationTarget::Other => FeedbackReceiver::Foreign,
            // A metric names no recipient.
            EventDestinationTarget::CloudWatch => FeedbackReceiver::Nobody,
        });
        heard.max().unwrap_or(FeedbackReceiver::Nobody)
    }

    fn add_receiver_finding(
        &self,
        judgement: &mut Judgement,
        verdict: AuditVerdict,
        receiver: FeedbackReceiver,
        kinds: &[FeedbackKind],
    ) {
        let of = kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(" and ");
        let evidence = match receiver {
            FeedbackReceiver::Nobody => format!("{of}: no topic, no event destination, no forwarding"),
            FeedbackReceiver::Unknown => format!("{of}: its default configuration set could not be read"),
            FeedbackReceiver::Email => format!("{of} come by mail only"),
            FeedbackReceiver::Foreign | FeedbackReceiver::OwnStack => {
                format!("{of} go to somebody else only: {}", self.name_foreign_receivers(kinds))
            }
        };
        let todo = match (receiver, &self.stack.feedback_topic) {
            (FeedbackReceiver::Unknown, _) => "See what could not be read, above or below.",
            (_, None) => "Deploy the stack in this Region, or set up topics or a default configuration set.",
            (FeedbackReceiver::Foreign, Some(_)) => {
                "Have the other's topic replaced by the stack's, or leave it: an identity has one topic for each, and more \
                 listeners by a configuration set."
            }
            (_, Some(_)) => "Set the stack's topic, so that all mail from this identity is heard of.",
        };
        let fixes: Vec<_> = if receiver == FeedbackReceiver::Unknown {
            Vec::new()
        } else {
            kinds.iter().filter_map(|kind| self.set_stack_topic_command(*kind)).collect()
        };
        judgement.add_finding(verdict, &self.identity_facts.name, evidence, todo, fixes);
    }

    fn name_foreign_receivers(&self, kinds: &[FeedbackKind]) -> String {
        let topics = kinds.iter().filter_map(|kind| kind.topic(self.notifications));
        let mut all: Vec<_> = topics.chain(self.identity.configuration_set.as_deref()).collect();
        all.sort_unstable();
        all.dedup();
        all.join(", ")
    }

    fn set_stack_topic_command(&self, kind: FeedbackKind) -> Option<Fix> {
        let topic = self.stack.feedback_topic.as_deref()?;
        let set = [
            "ses",
            "set-identity-notification-topic",
            "--identity",
            &self.identity_facts.name,
            "--notification-type",
        ];
        Fix::aws_command(
            &[&set[..], &[kind.notification_type(), "--sns-topic", topic]].concat(),
            &self.stack.region,
        )
    }
}
