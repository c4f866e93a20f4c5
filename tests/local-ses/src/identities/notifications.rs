//! The notifications of an identity: whom SES tells of bounces, complaints and deliveries.

use std::collections::{BTreeMap, BTreeSet};

use crate::rules::Refusal;

/// What a notification is about (API reference, `SetIdentityNotificationTopic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// A mail bounced.
    Bounce,
    /// A recipient complained.
    Complaint,
    /// A mail was delivered.
    Delivery,
}

impl Told {
    /// All three kinds.
    pub const ALL: [Self; 3] = [Self::Bounce, Self::Complaint, Self::Delivery];

    /// The kind as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "Bounce",
            Self::Complaint => "Complaint",
            Self::Delivery => "Delivery",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|told| told.as_str() == text)
    }
}

/// How the notifications of an identity are sent.
#[derive(Debug, Clone)]
pub struct Notifications {
    /// The topic of each kind that has one, by its ARN.
    pub topics: BTreeMap<Told, String>,
    /// The kinds that include the mail's headers.
    pub with_headers: BTreeSet<Told>,
    /// Whether bounces and complaints are also sent by e-mail.
    pub forwarding: bool,
}

impl Default for Notifications {
    /// By default they are also sent by e-mail (guide, "Receiving Amazon SES notifications through email").
    fn default() -> Self {
        Self { topics: BTreeMap::new(), with_headers: BTreeSet::new(), forwarding: true }
    }
}

impl Notifications {
    /// Whether bounces and complaints both have a topic.
    fn have_topics(&self) -> bool {
        [Told::Bounce, Told::Complaint].iter().all(|told| self.topics.contains_key(told))
    }

    /// Sets the topic, or removes it if `topic` is `None`. While e-mail is switched off, bounces and complaints must have
    /// one (API reference, `SetIdentityNotificationTopic`: topics must be specified unless forwarding is enabled). No source
    /// tells the error's code and words.
    pub fn set_topic(&mut self, told: Told, topic: Option<&str>) -> Result<(), Refusal> {
        match topic {
            Some(topic) => drop(self.topics.insert(told, topic.to_owned())),
            None if !self.forwarding && told != Told::Delivery => {
                let message =
                    format!("{} needs a topic while feedback forwarding is disabled.", told.as_str());
                return Err(Refusal::invalid(message));
            }
            None => drop(self.topics.remove(&told)),
        }
        Ok(())
    }

    /// Switches e-mail on, or off if bounces and complaints both have a topic (API reference,
    /// `SetIdentityFeedbackForwardingEnabled`). No source tells the error's code and words.
    pub fn set_forwarding(&mut self, enabled: bool) -> Result<(), Refusal> {
        if !enabled && !self.have_topics() {
            return Err(Refusal::invalid(
                "Feedback forwarding can be disabled only while both bounces and complaints have a topic.",
            ));
        }
        self.forwarding = enabled;
        Ok(())
    }

    /// Does what SES does when it may no longer publish to a topic (guide, "Configuring Amazon SNS notifications"): drops
    /// it, and tells by e-mail again.
    pub(crate) fn lose(&mut self, told: Told) {
        self.topics.remove(&told);
        self.forwarding = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The steps are those of the v1 API, which refuses to switch e-mail off unless both topics are there.
        #[test]
        fn nobody_can_make_it_that_nobody_hears(steps in proptest::collection::vec((0..3_usize, any::<bool>()), 0..30)) {
            let mut notifications = Notifications::default();
            for (which, on) in steps {
                match [Some(Told::Bounce), Some(Told::Complaint), None][which] {
                    Some(told) => drop(notifications.set_topic(told, on.then_some("t"))),
                    None => drop(notifications.set_forwarding(on)),
                }
                prop_assert!(notifications.forwarding || notifications.have_topics());
            }
        }
    }

    #[test]
    fn somebody_always_hears() {
        let mut notifications = Notifications::default();
        assert!(notifications.forwarding);
        assert_eq!(notifications.set_topic(Told::Bounce, Some("b")), Ok(()));
        assert!(notifications.set_forwarding(false).is_err(), "nobody would hear of complaints");
        assert_eq!(notifications.set_topic(Told::Complaint, Some("c")), Ok(()));
        assert_eq!(notifications.set_forwarding(false), Ok(()));
        assert!(notifications.set_topic(Told::Bounce, None).is_err(), "nobody would hear");
        assert_eq!(notifications.set_topic(Told::Bounce, Some("other")), Ok(()));
        assert_eq!(notifications.set_topic(Told::Delivery, None), Ok(()));
        notifications.lose(Told::Complaint);
        assert!(notifications.forwarding);
        assert_eq!(notifications.set_topic(Told::Bounce, None), Ok(()));
    }
}
