//! What CloudFormation cannot set up: which receipt rule set is active, whom SES tells what became of identities' mail,
//! and for which reasons it keeps its suppression list. What was found × what was remembered × what is wanted → what to
//! change, and what to remember before and after.
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

use setting::Noted;

/// How things are to be. The default: as they were before Mailroom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The ARN of the topic that is told of bounces and complaints.
    pub topic: String,
    /// Addresses and domains whose bounces and complaints it is told of, and nobody by e-mail.
    pub identities: BTreeSet<String>,
    /// What to do about a topic that somebody else has set.
    pub foreign_topics: Foreign,
    /// The receipt rule set that is to be active.
    pub rule_set: Option<String>,
    /// What to do about one that somebody else has activated.
    pub foreign_rule_set: Foreign,
    /// The reasons for which SES is to keep the account's suppression list; `None` leaves them alone.
    pub reasons: Option<BTreeSet<String>>,
}

/// What to do about what somebody else has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Foreign {
    /// Nothing is changed at all, and that is told.
    #[default]
    Refuse,
    /// It is replaced, remembered, and put back in the end.
    Replace,
}

/// How things are, as far as [`Wanted::concerns`] asks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The active rule set.
    pub rule_set: Option<String>,
    /// The enabled reasons.
    pub reasons: BTreeSet<String>,
    /// Whom SES tells, by identity. An identity that SES does not know is not among them.
    pub identities: BTreeMap<String, Told>,
}

/// Whom SES tells of an identity's bounces and complaints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The topic for bounces.
    pub bounce: Option<String>,
    /// The topic for complaints.
    pub complaint: Option<String>,
    /// Whether the sender is told by e-mail. SES insists on it while a topic is not set.
    pub forwarding: bool,
}

/// What a topic is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notifies {
    /// Bounces.
    Bounce,
    /// Complaints.
    Complaint,
}

impl Notifies {
    /// SES's word: `NotificationType`.
    pub fn as_ses(self) -> &'static str {
        match self {
            Self::Bounce => "Bounce",
            Self::Complaint => "Complaint",
        }
    }
}

/// What was before Mailroom changed it, and what it was changed to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    rule_set: Option<Noted<Option<String>>>,
    reasons: Option<Noted<BTreeSet<String>>>,
    identities: BTreeMap<String, RememberedIdentity>,
    undone: Undone,
}

/// What the last request has undone, as it was remembered before; forgotten when the next one is carried out. If another
/// resource of the stack fails after that last request, CloudFormation asks once more for what was before it. That is
/// nothing new then, and must not be refused: a stack whose rollback fails can be updated no more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Undone {
    rule_set: Option<Noted<Option<String>>>,
    identities: BTreeMap<String, RememberedIdentity>,
}

/// An identity that is looked after, even if nothing had to be changed of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct RememberedIdentity {
    bounce: Option<Noted<Option<String>>>,
    complaint: Option<Noted<Option<String>>>,
    /// Whether it was Mailroom that switched e-mail off.
    silenced: bool,
}

/// What has to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concerned {
    /// Whether to ask which rule set is active.
    pub rule_set: bool,
    /// Whether to ask which reasons are enabled.
    pub reasons: bool,
    /// The identities of which to ask whom SES tells.
    pub identities: Vec<String>,
}

impl Wanted {
    /// What has to be looked at: what is wanted, and what was done and is wanted no more.
    pub fn concerns(&self, remembered: &Remembered) -> Concerned {
        let identities: BTreeSet<_> = self.identities.iter().chain(remembered.identities.keys()).collect();
        Concerned {
            rule_set: self.rule_set.is_some() || remembered.rule_set.is_some(),
            reasons: self.reasons.is_some() || remembered.reasons.is_some(),
            identities: identities.into_iter().cloned().collect(),
        }
    }

    /// Whether an identity is listed that is not remembered. Only such a request may be refused for its size: any other
    /// one asks for what fitted into a run before, as a rollback does.
    pub fn lists_new(&self, remembered: &Remembered) -> bool {
        let Remembered { identities, undone, .. } = remembered;
        self.identities
            .iter()
            .any(|identity| !identities.contains_key(identity) && !undone.identities.contains_key(identity))
    }
}

/// An identity for an error message: addresses are personal data.
pub fn described(identity: &str) -> String {
    identity
        .rsplit_once('@')
        .map_or_else(|| identity.to_owned(), |(_, domain)| format!("an address at {domain}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_not_told() {
        assert_eq!(described("example.com"), "example.com");
        assert_eq!(described("\"a@b\"@example.com"), "an address at example.com");
    }

    #[test]
    fn what_was_done_is_looked_at_until_it_is_undone() {
        let mut wanted = Wanted { identities: ["b".to_owned(), "a".to_owned()].into(), ..Wanted::default() };
        let mut remembered = Remembered::default();
        let concerned = wanted.concerns(&remembered);
        let expected =
            Concerned { rule_set: false, reasons: false, identities: ["a", "b"].map(str::to_owned).to_vec() };
        assert_eq!(concerned, expected);
        remembered.rule_set = Some(Noted { before: None, ours: vec![Some("m".to_owned())] });
        remembered.identities.insert("c".to_owned(), RememberedIdentity::default());
        wanted.reasons = Some(BTreeSet::new());
        let concerned = wanted.concerns(&remembered);
        assert!(concerned.rule_set && concerned.reasons);
        assert_eq!(concerned.identities, ["a", "b", "c"]);
    }

    #[test]
    fn a_note_of_an_earlier_version_is_one_with_nothing_in_it() {
        assert_eq!(serde_json::from_str::<Remembered>("{}").unwrap(), Remembered::default());
    }
}
