//! Notifications of an identity: to whom SES tells of bounces, complaints and deliveries.

use std::collections::{BTreeMap, BTreeSet};

/// What is told (API reference, `SetIdentityNotificationTopic`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Told {
    /// It came back.
    Bounce,
    /// Somebody complained.
    Complaint,
    /// It arrived.
    Delivery,
}

impl Told {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bounce, Self::Complaint, Self::Delivery];

    /// As the API spells it.
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

/// Where it is told.
#[derive(Debug, Clone)]
pub(crate) struct Notifications {
    pub(crate) topics: BTreeMap<Told, String>,
    pub(crate) with_headers: BTreeSet<Told>,
    /// By mail, too.
    pub(crate) forwarding: bool,
}

impl Default for Notifications {
    /// Guide, "Receiving Amazon SES notifications through email": on, unless it is switched off.
    fn default() -> Self {
        Self { topics: BTreeMap::new(), with_headers: BTreeSet::new(), forwarding: true }
    }
}

impl Notifications {
    /// Whether bounces and complaints both have a topic, without which mails cannot be switched off (API reference,
    /// `SetIdentityFeedbackForwardingEnabled`).
    pub(crate) fn heard(&self) -> bool {
        [Told::Bounce, Told::Complaint].iter().all(|told| self.topics.contains_key(told))
    }

    /// Sets a topic or, with none, clears it; says whether that may be: while no mails go out, bounces and complaints keep
    /// theirs (API reference, `SetIdentityNotificationTopic`: topics must be specified unless forwarding is enabled).
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

    /// What SES does when it may no longer publish (guide, "Configuring Amazon SNS notifications"): mails again, in
    /// place of the topic.
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
        /// By v1, which refuses the rest.
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
