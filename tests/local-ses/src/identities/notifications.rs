//! The notifications of an identity: whom SES tells of bounces, complaints and deliveries.

use std::collections::{BTreeMap, BTreeSet};

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
pub(crate) struct Notifications {
    pub(crate) topics: BTreeMap<Told, String>,
    pub(crate) with_headers: BTreeSet<Told>,
    /// Whether bounces and complaints are also sent by e-mail.
    pub(crate) forwarding: bool,
}

impl Default for Notifications {
    /// By default they are also sent by e-mail (guide, "Receiving Amazon SES notifications through email").
    fn default() -> Self {
        Self { topics: BTreeMap::new(), with_headers: BTreeSet::new(), forwarding: true }
    }
}

impl Notifications {
    /// Whether bounces and complaints both have a topic. Without that, e-mail can't be switched off (API reference,
    /// `SetIdentityFeedbackForwardingEnabled`).
    pub(crate) fn heard(&self) -> bool {
        [Told::Bounce, Told::Complaint].iter().all(|told| self.topics.contains_key(told))
    }

    /// Sets the topic, or removes it if `topic` is `None`. Returns whether that is allowed: while e-mail is switched off,
    /// bounces and complaints must have one (API reference, `SetIdentityNotificationTopic`: topics must be specified unless
    /// forwarding is enabled).
    pub(crate) fn set(&mut self, told: Told, topic: Option<&str>) -> bool {
        match topic {
            Some(topic) => {
                self.topics.insert(told, topic.to_owned());
            }
            None if !self.forwarding && told != Told::Delivery => return false,
            None => {
                self.topics.remove(&told);
            }
        }
        true
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
                    Some(told) => drop(notifications.set(told, on.then_some("t"))),
                    None if on || notifications.heard() => notifications.forwarding = on,
                    None => {}
                }
                prop_assert!(notifications.forwarding || notifications.heard());
            }
        }
    }

    #[test]
    fn somebody_always_hears() {
        let mut notifications = Notifications::default();
        assert!(notifications.forwarding && !notifications.heard());
        assert!(notifications.set(Told::Bounce, Some("b")) && !notifications.heard());
        assert!(notifications.set(Told::Complaint, Some("c")) && notifications.heard());
        notifications.forwarding = false;
        assert!(!notifications.set(Told::Bounce, None), "nobody would hear");
        assert!(notifications.set(Told::Bounce, Some("other")));
        assert!(notifications.set(Told::Delivery, None));
        notifications.lose(Told::Complaint);
        assert!(notifications.forwarding && !notifications.heard());
        assert!(notifications.set(Told::Bounce, None));
    }
}
