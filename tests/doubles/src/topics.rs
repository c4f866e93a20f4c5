//! Where SES sends notifications about an identity's mail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use local_ses::identities::{Notifications, Told};
use mailroom_aws::notification_topics::{
    FeedbackKind, MOST_IDENTITIES, NotificationAttributes, NotificationTopics,
};
use mailroom_aws::ses::SesError;

use crate::ses::refused;
use crate::{MemorySes, lock};

/// The identities of one Region.
#[derive(Debug, Clone)]
pub struct MemoryTopics {
    identities: Arc<Mutex<BTreeMap<String, Notifications>>>,
    gone: Arc<Mutex<BTreeSet<String>>>,
    ses: MemorySes,
}

impl MemoryTopics {
    /// A Region without identities.
    pub fn new(ses: &MemorySes) -> Self {
        Self { identities: Arc::default(), gone: Arc::default(), ses: ses.clone() }
    }

    /// The same identities, reached through an SES of the same kind: [`MemorySes::with_fuse`].
    #[must_use]
    pub fn through(&self, ses: &MemorySes) -> Self {
        Self { ses: ses.clone(), ..self.clone() }
    }

    /// Verifies an identity, or changes its settings, as somebody other than Mailroom would.
    pub fn set(&self, identity: &str, attributes: NotificationAttributes) {
        lock(&self.identities).insert(identity.to_owned(), notifications(attributes));
    }

    /// Deletes an identity.
    pub fn delete(&self, identity: &str) {
        lock(&self.identities).remove(identity);
    }

    /// Deletes a topic: from now on SES refuses it.
    pub fn delete_topic(&self, topic: &str) {
        lock(&self.gone).insert(topic.to_owned());
    }

    /// The settings of all identities, by name.
    pub fn all(&self) -> BTreeMap<String, NotificationAttributes> {
        lock(&self.identities).iter().map(|(name, told)| (name.clone(), attributes(told))).collect()
    }

    fn change(
        &self,
        identity: &str,
        change: impl FnOnce(&mut Notifications) -> Result<(), SesError>,
    ) -> Result<(), SesError> {
        match lock(&self.identities).get_mut(identity) {
            None => Err(invalid("no such identity")),
            Some(notifications) => change(notifications),
        }
    }
}

fn notifications(attributes: NotificationAttributes) -> Notifications {
    let topics = [
        (Told::Bounce, attributes.bounce_topic),
        (Told::Complaint, attributes.complaint_topic),
        (Told::Delivery, attributes.delivery_topic),
    ];
    let with_headers = [
        (Told::Bounce, attributes.headers_in_bounces),
        (Told::Complaint, attributes.headers_in_complaints),
        (Told::Delivery, attributes.headers_in_deliveries),
    ];
    Notifications {
        topics: topics.into_iter().filter_map(|(kind, topic)| Some((kind, topic?))).collect(),
        with_headers: with_headers.into_iter().filter(|(_, with)| *with).map(|(kind, _)| kind).collect(),
        forwarding: attributes.forwarding_enabled,
    }
}

fn attributes(notifications: &Notifications) -> NotificationAttributes {
    let topic = |kind| notifications.topics.get(&kind).cloned();
    let with_headers = |kind| notifications.with_headers.contains(&kind);
    NotificationAttributes {
        bounce_topic: topic(Told::Bounce),
        complaint_topic: topic(Told::Complaint),
        delivery_topic: topic(Told::Delivery),
        forwarding_enabled: notifications.forwarding,
        headers_in_bounces: with_headers(Told::Bounce),
        headers_in_complaints: with_headers(Told::Complaint),
        headers_in_deliveries: with_headers(Told::Delivery),
    }
}

fn invalid(message: &str) -> SesError {
    SesError::Refused { code: "InvalidParameterValue".to_owned(), message: message.to_owned() }
}

impl NotificationTopics for MemoryTopics {
    async fn attributes(
        &self,
        identities: &[String],
    ) -> Result<BTreeMap<String, NotificationAttributes>, SesError> {
        let name = format!("GetIdentityNotificationAttributes {}", identities.len());
        let get = || {
            if identities.len() > MOST_IDENTITIES {
                return Err(invalid("too many identities"));
            }
            let known = lock(&self.identities);
            let found = |name: &String| Some((name.clone(), attributes(known.get(name)?)));
            Ok(identities.iter().filter_map(found).collect())
        };
        self.ses.call(name, get).await
    }

    async fn set_topic(
        &self,
        identity: &str,
        feedback_kind: FeedbackKind,
        topic_arn: Option<&str>,
    ) -> Result<(), SesError> {
        let name = format!(
            "SetIdentityNotificationTopic {identity} {} {}",
            feedback_kind.as_ses(),
            topic_arn.unwrap_or("-")
        );
        let kind = match feedback_kind {
            FeedbackKind::Bounce => Told::Bounce,
            FeedbackKind::Complaint => Told::Complaint,
        };
        let set = |notifications: &mut Notifications| {
            if topic_arn.is_some_and(|topic| lock(&self.gone).contains(topic)) {
                return Err(invalid("no such topic"));
            }
            notifications.set_topic(kind, topic_arn).map_err(refused)
        };
        self.ses.call(name, || self.change(identity, set)).await
    }

    async fn set_forwarding(&self, identity: &str, enabled: bool) -> Result<(), SesError> {
        let name = format!("SetIdentityFeedbackForwardingEnabled {identity} {enabled}");
        let set = |notifications: &mut Notifications| notifications.set_forwarding(enabled).map_err(refused);
        self.ses.call(name, || self.change(identity, set)).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailroom_core::timestamp::Timestamp;

    use super::*;
    use crate::MemoryClock;

    #[tokio::test]
    async fn somebody_is_always_notified() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let topics = MemoryTopics::new(&MemorySes::new(&clock));
        topics.set("example.com", NotificationAttributes::default());
        let paced = async |step: &str| {
            clock.advance(Duration::from_secs(1));
            match step {
                "bounce" => topics.set_topic("example.com", FeedbackKind::Bounce, Some("t")).await,
                "no bounce" => topics.set_topic("example.com", FeedbackKind::Bounce, None).await,
                "complaint" => topics.set_topic("example.com", FeedbackKind::Complaint, Some("t")).await,
                "on" => topics.set_forwarding("example.com", true).await,
                _ => topics.set_forwarding("example.com", false).await,
            }
            .is_ok()
        };
        for (step, works) in [
            ("bounce", true),
            ("off", false),
            ("complaint", true),
            ("off", true),
            ("no bounce", false),
            ("on", true),
            ("no bounce", true),
        ] {
            assert_eq!(paced(step).await, works, "{step}");
        }
        clock.advance(Duration::from_secs(1));
        assert!(topics.set_topic("example.org", FeedbackKind::Bounce, None).await.is_err());
        clock.advance(Duration::from_secs(1));
        let names = ["example.com", "example.org"].map(str::to_owned);
        assert_eq!(topics.attributes(&names).await.unwrap(), topics.all());
    }
}
