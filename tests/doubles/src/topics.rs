//! Where SES sends notifications about an identity's mail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use mailroom_aws::notification_topics::{
    MOST_IDENTITIES, NotificationAttributes, NotificationTopics, Notifies,
};
use mailroom_aws::ses::SesError;

use crate::{MemorySes, lock};

/// The identities of one Region.
#[derive(Debug, Clone)]
pub struct MemoryTopics {
    identities: Arc<Mutex<BTreeMap<String, NotificationAttributes>>>,
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
        lock(&self.identities).insert(identity.to_owned(), attributes);
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
        lock(&self.identities).clone()
    }

    fn change(
        &self,
        identity: &str,
        change: impl FnOnce(&mut NotificationAttributes) -> Result<(), SesError>,
    ) -> Result<(), SesError> {
        match lock(&self.identities).get_mut(identity) {
            None => Err(invalid("no such identity")),
            Some(attributes) => change(attributes),
        }
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
            let mut attributes = self.all();
            attributes.retain(|identity, _| identities.contains(identity));
            Ok(attributes)
        };
        self.ses.call(name, get).await
    }

    async fn set_topic(&self, identity: &str, kind: Notifies, topic: Option<&str>) -> Result<(), SesError> {
        let name =
            format!("SetIdentityNotificationTopic {identity} {} {}", kind.as_ses(), topic.unwrap_or("-"));
        let set = |attributes: &mut NotificationAttributes| {
            // Otherwise SES would have nowhere to send the notifications.
            if topic.is_none() && !attributes.forwarding {
                return Err(invalid("a topic is needed while forwarding is off"));
            }
            if topic.is_some_and(|topic| lock(&self.gone).contains(topic)) {
                return Err(invalid("no such topic"));
            }
            let topic = topic.map(str::to_owned);
            match kind {
                Notifies::Bounce => attributes.bounce_topic = topic,
                Notifies::Complaint => attributes.complaint_topic = topic,
            }
            Ok(())
        };
        self.ses.call(name, || self.change(identity, set)).await
    }

    async fn set_forwarding(&self, identity: &str, enabled: bool) -> Result<(), SesError> {
        let name = format!("SetIdentityFeedbackForwardingEnabled {identity} {enabled}");
        let set = |attributes: &mut NotificationAttributes| {
            if !enabled && (attributes.bounce_topic.is_none() || attributes.complaint_topic.is_none()) {
                return Err(invalid("forwarding is needed while a topic is not set"));
            }
            attributes.forwarding = enabled;
            Ok(())
        };
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
                "bounce" => topics.set_topic("example.com", Notifies::Bounce, Some("t")).await,
                "no bounce" => topics.set_topic("example.com", Notifies::Bounce, None).await,
                "complaint" => topics.set_topic("example.com", Notifies::Complaint, Some("t")).await,
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
        assert!(topics.set_topic("example.org", Notifies::Bounce, None).await.is_err());
        clock.advance(Duration::from_secs(1));
        let names = ["example.com", "example.org"].map(str::to_owned);
        assert_eq!(topics.attributes(&names).await.unwrap(), topics.all());
    }
}
