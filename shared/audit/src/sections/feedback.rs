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
    ApiAnswer, ConfigurationSet, Destination, EventDestination, Facts, Identity, IdentityFacts,
    Notifications, Stack,
};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::Verdict;

/// The name of the stack's event destination, as in the template.
const OWN_DESTINATION: &str = "feedback";
/// The event types that the stack's event destination publishes. Operators may add others (`SEND`, `DELIVERY`), which are
/// kept.
const OWN_EVENT_TYPES: [&str; 6] =
    ["BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY_DELAY", "SUBSCRIPTION"];

/// What the feedback of an identity is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bounce,
    Complaint,
}

/// Who is told of an identity's feedback, from worst to best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Nobody,
    /// Who is told could not be found out.
    Unknown,
    Mail,
    Other,
    Ours,
}

type Sets<'a> = BTreeMap<&'a str, &'a ConfigurationSet>;

impl Kind {
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

    fn topic(self, of: &Notifications) -> Option<&str> {
        match self {
            Self::Bounce => of.bounce_topic.as_deref(),
            Self::Complaint => of.complaint_topic.as_deref(),
        }
    }
}

pub(crate) fn judge(facts: &Facts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    let sets: Option<Sets<'_>> = facts
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
    own_set(&mut judged, &facts.stack, sets.as_ref(), everything_read);
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
        let one =
            One { of, identity, notifications, stack: &facts.stack, sets: sets.as_ref(), everything_read };
        ours += usize::from(one.judge(&mut judged));
        forward += usize::from(one.forwards());
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
fn own_set(judged: &mut Judgement, stack: &Stack, sets: Option<&Sets<'_>>, everything_read: bool) {
    let (Some(name), Some(topic), Some(sets)) = (&stack.configuration_set, &stack.feedback_topic, sets)
    else {
        return;
    };
    let Some(set) = sets.get(name.as_str()) else {
        if everything_read {
            judged.add_finding(
                Verdict::Fail,
                name,
                "the stack's configuration set is gone: SES refuses mail that is sent with it",
                "Deploy the stack again after you have removed the configuration set from what CloudFormation thinks is there, \
                 or make it again and then its event destination.",
                Fix::aws(&["sesv2", "create-configuration-set", "--configuration-set-name", name], &stack.region),
            );
        }
        return;
    };
    let destinations = match &set.event_destinations {
        ApiAnswer::Answered(destinations) => destinations,
        unanswered => return judged.add_unanswered(name, unanswered),
    };
    if Kind::ALL.iter().all(|kind| destinations.iter().any(|of| tells(of, *kind) && is_sns(of, topic))) {
        return;
    }
    let there = destinations
        .iter()
        .find(|of| is_sns(of, topic))
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
    judged.add_finding(
        Verdict::Fail,
        name,
        "the stack's configuration set does not publish bounces and complaints to the stack's topic",
        "Have its event destination publish them again.",
        Fix::aws(&[&arguments[..], &["--event-destination", &definition]].concat(), &stack.region),
    );
}

fn tells(of: &EventDestination, kind: Kind) -> bool {
    of.enabled && of.event_types.iter().any(|of| of.eq_ignore_ascii_case(kind.event_type()))
}

fn is_sns(of: &EventDestination, topic: &str) -> bool {
    matches!(&of.destination, Destination::Sns(arn) if arn == topic)
}

struct One<'a> {
    of: &'a IdentityFacts,
    identity: &'a Identity,
    notifications: &'a Notifications,
    stack: &'a Stack,
    sets: Option<&'a Sets<'a>>,
    everything_read: bool,
}

impl One<'_> {
    /// Judges who is told, and returns whether this stack is told of both bounces and complaints.
    fn judge(&self, judged: &mut Judgement) -> bool {
        let elsewhere: Vec<_> = Kind::ALL.into_iter().filter(|kind| self.is_elsewhere(*kind)).collect();
        for kind in &elsewhere {
            judged.add_finding(
                Verdict::Fail,
                &self.of.name,
                format!(
                    "{}: the topic {} is of another Region",
                    kind.plural(),
                    kind.topic(self.notifications).unwrap_or("")
                ),
                "Set a topic of this Region: SES publishes to no other.",
                self.set(*kind),
            );
        }
        let heard = Kind::ALL.map(|kind| (kind, self.heard(kind)));
        let of = |who: Heard| {
            let told = |kind: &Kind| who == Heard::Unknown || !elsewhere.contains(kind);
            heard
                .iter()
                .filter(|(_, heard)| *heard == who)
                .map(|(kind, _)| *kind)
                .filter(told)
                .collect::<Vec<_>>()
        };
        let mut verdicts = vec![
            (Heard::Nobody, Verdict::Fail),
            (Heard::Unknown, Verdict::Unknown),
            (Heard::Mail, Verdict::Warn),
        ];
        if self.stack.feedback_topic.is_some() {
            verdicts.push((Heard::Other, Verdict::Warn));
        }
        for (who, verdict) in verdicts {
            let kinds = of(who);
            if !kinds.is_empty() {
                self.unheard(judged, verdict, who, &kinds);
            }
        }
        elsewhere.is_empty() && heard.iter().all(|(_, heard)| *heard == Heard::Ours)
    }

    fn is_elsewhere(&self, kind: Kind) -> bool {
        let topic = kind.topic(self.notifications).and_then(Arn::parse);
        topic.and_then(Arn::region).is_some_and(|region| region != self.stack.region)
    }

    fn heard(&self, kind: Kind) -> Heard {
        let by_topic = match kind.topic(self.notifications) {
            None => Heard::Nobody,
            Some(_) if self.is_elsewhere(kind) => Heard::Nobody,
            Some(topic) => self.whose(topic),
        };
        let by_mail = if self.forwards() { Heard::Mail } else { Heard::Nobody };
        by_topic.max(self.by_set(kind)).max(by_mail)
    }

    /// Whether bounces and complaints come by e-mail, which is no fault where they come by a topic as well.
    fn forwards(&self) -> bool {
        self.notifications.forwarding_enabled || self.identity.feedback_forwarding
    }

    fn whose(&self, topic: &str) -> Heard {
        if self.stack.feedback_topic.as_deref() == Some(topic) { Heard::Ours } else { Heard::Other }
    }

    fn by_set(&self, kind: Kind) -> Heard {
        let Some(name) = &self.identity.configuration_set else { return Heard::Nobody };
        let Some(set) = self.sets.and_then(|sets| sets.get(name.as_str())) else {
            return if self.everything_read { Heard::Nobody } else { Heard::Unknown };
        };
        let Some(destinations) = set.event_destinations.answer() else { return Heard::Unknown };
        let tell = destinations.iter().filter(|of| tells(of, kind));
        let heard = tell.map(|of| match &of.destination {
            Destination::Sns(topic) => self.whose(topic),
            Destination::EventBridge(_)
            | Destination::Firehose(_)
            | Destination::Pinpoint(_)
            | Destination::Other => Heard::Other,
            // A metric names no recipient.
            Destination::CloudWatch => Heard::Nobody,
        });
        heard.max().unwrap_or(Heard::Nobody)
    }

    fn unheard(&self, judged: &mut Judgement, verdict: Verdict, heard: Heard, kinds: &[Kind]) {
        let of = kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(" and ");
        let evidence = match heard {
            Heard::Nobody => format!("{of}: no topic, no event destination, no forwarding"),
            Heard::Unknown => format!("{of}: its default configuration set could not be read"),
            Heard::Mail => format!("{of} come by mail only"),
            Heard::Other | Heard::Ours => format!("{of} go to somebody else only: {}", self.others(kinds)),
        };
        let todo = match (heard, &self.stack.feedback_topic) {
            (Heard::Unknown, _) => "See what could not be read, above or below.",
            (_, None) => "Deploy the stack in this Region, or set up topics or a default configuration set.",
            (Heard::Other, Some(_)) => {
                "Have the other's topic replaced by the stack's, or leave it: an identity has one topic for each, and more \
                 listeners by a configuration set."
            }
            (_, Some(_)) => "Set the stack's topic, so that all mail from this identity is heard of.",
        };
        let fixes: Vec<_> = if heard == Heard::Unknown {
            Vec::new()
        } else {
            kinds.iter().filter_map(|kind| self.set(*kind)).collect()
        };
        judged.add_finding(verdict, &self.of.name, evidence, todo, fixes);
    }

    fn others(&self, kinds: &[Kind]) -> String {
        let topics = kinds.iter().filter_map(|kind| kind.topic(self.notifications));
        let mut all: Vec<_> = topics.chain(self.identity.configuration_set.as_deref()).collect();
        all.sort_unstable();
        all.dedup();
        all.join(", ")
    }

    fn set(&self, kind: Kind) -> Option<Fix> {
        let topic = self.stack.feedback_topic.as_deref()?;
        let set =
            ["ses", "set-identity-notification-topic", "--identity", &self.of.name, "--notification-type"];
        Fix::aws(&[&set[..], &[kind.notification_type(), "--sns-topic", topic]].concat(), &self.stack.region)
    }
}
