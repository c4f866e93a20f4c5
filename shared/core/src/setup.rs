//! What CloudFormation cannot set up: which receipt rule set is active, where SES sends notifications about identities'
//! mail, and for which reasons it keeps its suppression list. From what was found, what was remembered and what is wanted
//! follows what to change, and what to remember before and after.
//!
//! All of it belongs to the account: somebody had set it before, and may set it otherwise at any time. So whatever is
//! changed is remembered with what was before, before it is changed, and is undone only if it is still as Mailroom set it:
//!
//! ```text
//! was A                remember (before A, ours B)    set B    ...    is B: set A, forget
//!                                                              ...    is C: somebody has set it since; forget
//!                      ✗ dies here                             ...    is A: nothing was done; forget
//! ```
//!
//! | module | is |
//! |---|---|
//! | [`setting`] | one setting: what to remember of it, and when to set it back |
//! | [`plan`] | all of them, in the order in which SES takes the changes |

pub mod plan;
pub mod setting;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use setting::RememberedSetting;

/// What is to be set up. By default, everything is to be as it was before Mailroom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WantedSettings {
    /// The ARN of the topic that is to get bounces and complaints.
    pub topic_arn: String,
    /// The addresses and domains whose bounces and complaints go to the topic, and no longer by e-mail.
    pub identities: BTreeSet<String>,
    /// What to do about a topic that somebody else has set.
    pub foreign_topics: ForeignSettingPolicy,
    /// The receipt rule set that is to be active; `None` if none is asked for.
    pub rule_set: Option<String>,
    /// What to do about a rule set that somebody else has activated.
    pub foreign_rule_set: ForeignSettingPolicy,
    /// The reasons for which SES is to keep the account's suppression list; `None` leaves them alone.
    pub reasons: Option<BTreeSet<String>>,
}

/// What to do about a setting that somebody else has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignSettingPolicy {
    /// Nothing is changed at all, and the request fails with the reason.
    #[default]
    Refuse,
    /// The setting is replaced, remembered, and put back in the end.
    Replace,
}

/// The settings as they are now, as far as [`WantedSettings::settings_to_read`] asks for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurrentSettings {
    /// The active rule set; `None` if there is none.
    pub rule_set: Option<String>,
    /// The enabled reasons.
    pub reasons: BTreeSet<String>,
    /// Where SES sends notifications, by identity. An identity that SES does not know is not among them.
    pub identities: BTreeMap<String, IdentityNotifications>,
}

/// Where SES sends an identity's bounces and complaints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityNotifications {
    /// The ARN of the topic for bounces; `None` if there is none.
    pub bounce_topic: Option<String>,
    /// The ARN of the topic for complaints; `None` if there is none.
    pub complaint_topic: Option<String>,
    /// Whether bounces and complaints go to the sender by e-mail. SES insists on it while a topic is not set.
    pub email_forwarding: bool,
}

/// The kind of notification that a topic gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackKind {
    /// The topic gets bounces.
    Bounce,
    /// The topic gets complaints.
    Complaint,
}

impl FeedbackKind {
    /// SES's name for it (`NotificationType`).
    pub fn as_ses(self) -> &'static str {
        match self {
            Self::Bounce => "Bounce",
            Self::Complaint => "Complaint",
        }
    }
}

/// What settings were before Mailroom changed them, and what it changed them to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RememberedSettings {
    rule_set: Option<RememberedSetting<Option<String>>>,
    reasons: Option<RememberedSetting<BTreeSet<String>>>,
    identities: BTreeMap<String, RememberedIdentity>,
    undone: UndoneSettings,
}

/// What the last request has undone, as it was remembered before; forgotten when the next one is carried out. If another
/// resource of the stack fails after that request, CloudFormation asks again for the settings before it. That is then
/// nothing new and must not be refused, since a stack whose rollback fails can't be updated any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct UndoneSettings {
    rule_set: Option<RememberedSetting<Option<String>>>,
    identities: BTreeMap<String, RememberedIdentity>,
}

/// An identity that Mailroom looks after, even if nothing of it had to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct RememberedIdentity {
    bounce: Option<RememberedSetting<Option<String>>>,
    complaint: Option<RememberedSetting<Option<String>>>,
    /// Whether it was Mailroom that switched e-mail off.
    #[serde(rename = "silenced")]
    email_disabled: bool,
}

/// The settings that have to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsToRead {
    /// Whether to ask which rule set is active.
    pub rule_set: bool,
    /// Whether to ask which reasons are enabled.
    pub reasons: bool,
    /// The identities of which to ask where SES sends notifications.
    pub identities: Vec<String>,
}

impl WantedSettings {
    /// The settings that have to be looked at: those that are wanted, and those that Mailroom has changed and that are no
    /// longer wanted.
    pub fn settings_to_read(&self, remembered: &RememberedSettings) -> SettingsToRead {
        let identities: BTreeSet<_> = self.identities.iter().chain(remembered.identities.keys()).collect();
        SettingsToRead {
            rule_set: self.rule_set.is_some() || remembered.rule_set.is_some(),
            reasons: self.reasons.is_some() || remembered.reasons.is_some(),
            identities: identities.into_iter().cloned().collect(),
        }
    }

    /// Whether an identity is listed that is not remembered. Only such a request may be refused for its size: any other
    /// one, such as a rollback, asks for what fitted into a run before.
    pub fn adds_identities(&self, remembered: &RememberedSettings) -> bool {
        let RememberedSettings { identities, undone, .. } = remembered;
        self.identities
            .iter()
            .any(|identity| !identities.contains_key(identity) && !undone.identities.contains_key(identity))
    }
}

/// An identity as it may stand in an error message: addresses are personal data.
pub fn redact_identity(identity: &str) -> String {
    identity
        .rsplit_once('@')
        .map_or_else(|| identity.to_owned(), |(_, domain)| format!("an address at {domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_told() {
        assert_eq!(redact_identity("example.com"), "example.com");
        assert_eq!(redact_identity("\"a@b\"@example.com"), "an address at example.com");
    }

    #[test]
    fn what_was_done_is_looked_at_until_it_is_undone() {
        let mut wanted = WantedSettings {
            identities: ["b".to_owned(), "a".to_owned()].into(),
            ..WantedSettings::default()
        };
        let mut remembered = RememberedSettings::default();
        let concerned = wanted.settings_to_read(&remembered);
        let expected = SettingsToRead {
            rule_set: false,
            reasons: false,
            identities: ["a", "b"].map(str::to_owned).to_vec(),
        };
        assert_eq!(concerned, expected);
        remembered.rule_set =
            Some(RememberedSetting { original_value: None, own_values: vec![Some("m".to_owned())] });
        remembered.identities.insert("c".to_owned(), RememberedIdentity::default());
        wanted.reasons = Some(BTreeSet::new());
        let concerned = wanted.settings_to_read(&remembered);
        assert!(concerned.rule_set && concerned.reasons);
        assert_eq!(concerned.identities, ["a", "b", "c"]);
    }

    #[test]
    fn a_note_of_an_earlier_version_is_one_with_nothing_in_it() {
        assert_eq!(serde_json::from_str::<RememberedSettings>("{}").unwrap(), RememberedSettings::default());
    }
}
