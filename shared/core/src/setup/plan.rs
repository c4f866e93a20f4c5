//! Plans the changes of all settings, in the order in which SES takes them.

use std::collections::BTreeSet;

use super::setting::{Course, Noted, is_foreign};
use super::{Foreign, Found, Notifies, Remembered, RememberedIdentity, Told, Undone, Wanted, described};
use crate::suppression::Reason;

/// What to change. There is nothing to do if there are no changes and nothing new to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to remember before the first change.
    pub during: Remembered,
    /// The changes, each of which is one call of SES, in this order.
    pub changes: Vec<Planned>,
    /// What to remember after the last change.
    pub after: Remembered,
    /// How many settings somebody else has changed since Mailroom did; they stay as they are.
    pub left_alone: usize,
}

/// One change of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The change itself.
    pub change: Change,
    /// Whether the change puts something back as it was before.
    pub undoes: bool,
}

/// A change that one call of SES makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Activates a rule set; `None` deactivates the one that is active.
    ActivateRuleSet(Option<String>),
    /// Enables these reasons and no others.
    PutReasons(BTreeSet<String>),
    /// Sets an identity's topic, or takes it away.
    SetTopic {
        /// The identity whose topic is set.
        identity: String,
        /// The kind of notification that the topic gets.
        kind: Notifies,
        /// The topic's ARN; `None` takes the topic away.
        topic: Option<String>,
    },
    /// Switches an identity's notifications by e-mail on or off.
    SetForwarding {
        /// The identity whose e-mail is switched.
        identity: String,
        /// Whether e-mail is sent from now on.
        enabled: bool,
    },
}

/// Why nothing is changed. No retry can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another rule set is active.
    #[error("the receipt rule set {0} is active; ActiveRuleSet=replace would replace it")]
    ForeignRuleSet(String),
    /// An identity already has another topic.
    #[error("another topic is told of {}'s {}: {topic}; ForeignTopics=replace would replace it", described(.identity), match .kind {
        Notifies::Bounce => "bounces",
        Notifies::Complaint => "complaints",
    })]
    ForeignTopic {
        /// The identity that has the topic.
        identity: String,
        /// The kind of notification that the topic gets.
        kind: Notifies,
        /// The other topic's ARN.
        topic: String,
    },
    /// The name is not an identity of this account and Region.
    #[error("{} is no identity in this Region", described(.0))]
    NoSuchIdentity(String),
    /// There are more identities than can be set up, and undone, in one run.
    #[error("{listed} identities are more than fit into one run, which are {most}")]
    TooManyIdentities {
        /// How many identities are listed.
        listed: usize,
        /// How many identities fit into one run.
        most: usize,
    },
    /// There are few enough identities, but more changes than can be made in one run.
    #[error(
        "{changes} changes are more than fit into one run, which are {most}: change fewer identities at a time"
    )]
    TooManyChanges {
        /// How many changes there would be.
        changes: usize,
        /// How many changes fit into one run.
        most: usize,
    },
}

/// The most identities whose notification attributes one call tells (API reference, `GetIdentityNotificationAttributes`,
/// November 2026).
pub const IDENTITIES_A_CALL: usize = 100;

/// The calls for what there is besides identities: one each to read and to write the active rule set and the reasons.
const OTHER_CALLS: usize = 4;

/// The most calls that change one identity: two topics and the forwarding.
const CALLS_AN_IDENTITY: usize = 3;

/// How many identities can be set up, or put back, with `calls` calls of SES, in whatever state they are found.
pub fn most_identities(calls: usize) -> usize {
    // At most one call's worth is lost, if the last call that reads is not for a full hundred.
    let calls = calls.saturating_sub(OTHER_CALLS + 1);
    calls * IDENTITIES_A_CALL / (IDENTITIES_A_CALL * CALLS_AN_IDENTITY + 1)
}

/// Plans the changes after which the settings are as wanted.
///
/// # Errors
/// See [`Refusal`]. Only what is newly asked for is refused. What was set up before, and somebody has changed since, is
/// left alone: an update that has nothing to do with it must not fail because of it, nor must the rollback of one. What
/// the last request has undone is not new either, since its rollback asks for it.
pub fn plan(wanted: &Wanted, found: &Found, remembered: &Remembered) -> Result<Plan, Refusal> {
    let mut plan = Plan {
        // If this request is cut off, the one before may still be rolled back, too, so what that one has undone is kept.
        during: Remembered { undone: remembered.undone.clone(), ..Remembered::default() },
        changes: Vec::new(),
        after: Remembered::default(),
        left_alone: 0,
    };
    plan.rule_set(wanted, found, remembered)?;
    plan.reasons(wanted, found, remembered);
    let identities: BTreeSet<_> = wanted.identities.iter().chain(remembered.identities.keys()).collect();
    for identity in identities {
        let undone = remembered.undone.identities.get(identity);
        let noted = remembered.identities.get(identity);
        match (wanted.identities.contains(identity), found.identities.get(identity)) {
            (true, Some(told)) => {
                plan.identity(identity, told, noted.or(undone), undone.is_some(), wanted)?;
            }
            (true, None) => match noted.or(undone) {
                None => return Err(Refusal::NoSuchIdentity(identity.clone())),
                Some(noted) => {
                    plan.left_alone += 1;
                    plan.remember(identity, noted.clone());
                }
            },
            (false, told) => {
                if let Some(noted) = noted {
                    plan.identity_back(identity, told, noted);
                }
            }
        }
    }
    if *wanted == Wanted::default() {
        // A deletion is not rolled back, so what it undoes need not be remembered.
        plan.after.undone = Undone::default();
    }
    Ok(plan)
}

impl Plan {
    fn change(&mut self, change: Change, undoes: bool) {
        self.changes.push(Planned { change, undoes });
    }

    /// Remembers an identity as before, since nothing of it is changed.
    fn remember(&mut self, identity: &str, noted: RememberedIdentity) {
        self.during.identities.insert(identity.to_owned(), noted.clone());
        self.after.identities.insert(identity.to_owned(), noted);
    }

    fn rule_set(&mut self, wanted: &Wanted, found: &Found, remembered: &Remembered) -> Result<(), Refusal> {
        let is = &found.rule_set;
        let Some(name) = &wanted.rule_set else {
            let noted = &remembered.rule_set;
            if let Some(set) = Course::back(is, noted.as_ref()).set {
                self.change(Change::ActivateRuleSet(set), true);
            }
            if noted.is_some() {
                self.during.undone.rule_set.clone_from(noted);
            }
            self.during.rule_set.clone_from(noted);
            self.after.undone.rule_set.clone_from(noted);
            return Ok(());
        };
        let undone = remembered.undone.rule_set.as_ref();
        let noted = remembered.rule_set.as_ref().or(undone);
        let wanted_set = Some(name.clone());
        let course = match is {
            Some(other)
                if is_foreign(is, noted, &wanted_set)
                    && wanted.foreign_rule_set == Foreign::Refuse
                    && !was_put_back(is, noted, undone.is_some()) =>
            {
                if noted.is_none() {
                    return Err(Refusal::ForeignRuleSet(other.clone()));
                }
                self.left_alone += 1;
                Course::leave(noted)
            }
            Some(own) if own == name => as_found(own, noted),
            _ => Course::towards(is, noted, &wanted_set),
        };
        if let Some(set) = course.set {
            self.change(Change::ActivateRuleSet(set), false);
        }
        (self.during.rule_set, self.after.rule_set) = (course.during, course.after);
        Ok(())
    }

    fn reasons(&mut self, wanted: &Wanted, found: &Found, remembered: &Remembered) {
        let (is, noted) = (&found.reasons, remembered.reasons.as_ref());
        let course = match &wanted.reasons {
            None => Course::back(is, noted),
            Some(reasons) => {
                // A reason that this version does not know was enabled by somebody who wants it, so it stays.
                let added = is.iter().filter(|reason| Reason::from_ses(reason).is_none());
                Course::towards(is, noted, &reasons.iter().chain(added).cloned().collect())
            }
        };
        if let Some(set) = course.set {
            self.change(Change::PutReasons(set), wanted.reasons.is_none());
        }
        (self.during.reasons, self.after.reasons) = (course.during, course.after);
    }

    /// Changes the topics first and then switches e-mail off: somebody is told all the while, and SES would refuse the
    /// other order.
    fn identity(
        &mut self,
        identity: &str,
        told: &Told,
        noted: Option<&RememberedIdentity>,
        undone: bool,
        wanted: &Wanted,
    ) -> Result<(), Refusal> {
        let topic = Some(wanted.topic.clone());
        let mut course = |kind: Notifies| {
            let (is, known) = match kind {
                Notifies::Bounce => (&told.bounce, noted.and_then(|noted| noted.bounce.as_ref())),
                Notifies::Complaint => (&told.complaint, noted.and_then(|noted| noted.complaint.as_ref())),
            };
            match is {
                Some(other)
                    if is_foreign(is, known, &topic)
                        && wanted.foreign_topics == Foreign::Refuse
                        && !was_put_back(is, known, undone) =>
                {
                    if noted.is_none() {
                        let (identity, topic) = (identity.to_owned(), other.clone());
                        return Err(Refusal::ForeignTopic { identity, kind, topic });
                    }
                    self.left_alone += 1;
                    Ok(Course::leave(known))
                }
                Some(own) if *own == wanted.topic => Ok(as_found(own, known)),
                _ => Ok(Course::towards(is, known, &topic)),
            }
        };
        let (bounce, complaint) = (course(Notifies::Bounce)?, course(Notifies::Complaint)?);
        // If one of the topics stays somebody else's, the sender may want to be told by e-mail.
        let ours = *bounce.end(&told.bounce) == topic && *complaint.end(&told.complaint) == topic;
        let silence = ours && told.forwarding;
        // Somebody may have switched e-mail on since Mailroom switched it off. If it is off again, that is not Mailroom's
        // doing.
        let silenced = silence || noted.is_some_and(|noted| noted.silenced && !told.forwarding);
        self.set_topics(identity, &bounce, &complaint, false);
        if silence {
            self.change(Change::SetForwarding { identity: identity.to_owned(), enabled: false }, false);
        }
        let during = RememberedIdentity { bounce: bounce.during, complaint: complaint.during, silenced };
        let after = RememberedIdentity { bounce: bounce.after, complaint: complaint.after, silenced };
        self.during.identities.insert(identity.to_owned(), during);
        self.after.identities.insert(identity.to_owned(), after);
        Ok(())
    }

    /// Switches e-mail on first and then puts the topics back, for the same reasons. If a topic is taken away, SES
    /// insists on e-mail, whoever has switched it off. For an identity that SES no longer knows there is nothing to undo.
    fn identity_back(&mut self, identity: &str, told: Option<&Told>, noted: &RememberedIdentity) {
        if let Some(told) = told {
            let bounce = Course::back(&told.bounce, noted.bounce.as_ref());
            let complaint = Course::back(&told.complaint, noted.complaint.as_ref());
            let goes = bounce.set == Some(None) || complaint.set == Some(None);
            if !told.forwarding && (noted.silenced || goes) {
                self.change(Change::SetForwarding { identity: identity.to_owned(), enabled: true }, true);
            }
            self.set_topics(identity, &bounce, &complaint, true);
        }
        self.during.identities.insert(identity.to_owned(), noted.clone());
        self.during.undone.identities.insert(identity.to_owned(), noted.clone());
        self.after.undone.identities.insert(identity.to_owned(), noted.clone());
    }

    fn set_topics(
        &mut self,
        identity: &str,
        bounce: &Course<Option<String>>,
        complaint: &Course<Option<String>>,
        undoes: bool,
    ) {
        for (kind, course) in [(Notifies::Bounce, bounce), (Notifies::Complaint, complaint)] {
            if let Some(topic) = &course.set {
                let (identity, topic) = (identity.to_owned(), topic.clone());
                self.change(Change::SetTopic { identity, kind, topic }, undoes);
            }
        }
    }
}

/// Keeps a setting that is the stack's own already. Whoever has set it, it must be put back in the end: otherwise it
/// would be left pointing at what has gone, and SES does not delete an active rule set.
fn as_found(is: &str, noted: Option<&Noted<Option<String>>>) -> Course<Option<String>> {
    let before = noted.and_then(|noted| noted.before.clone());
    Course::leave(Some(&Noted { before, ours: vec![Some(is.to_owned())] }))
}

/// Whether the setting is as Mailroom itself put it back in the last request: a rollback sets it once more.
fn was_put_back<T: PartialEq>(is: &T, noted: Option<&Noted<T>>, undone: bool) -> bool {
    undone && noted.is_some_and(|noted| noted.before == *is)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OURS: &str = "arn:aws:sns:us-east-1:123456789012:m-feedback";
    const THEIRS: &str = "arn:aws:sns:us-east-1:123456789012:theirs";

    fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
        names.map(str::to_owned).into()
    }

    fn told(bounce: &str, complaint: &str, forwarding: bool) -> Told {
        let topic = |name: &str| match name {
            "-" => None,
            "ours" => Some(OURS.to_owned()),
            _ => Some(THEIRS.to_owned()),
        };
        Told { bounce: topic(bounce), complaint: topic(complaint), forwarding }
    }

    fn wanted(foreign: Foreign) -> Wanted {
        Wanted {
            topic: OURS.to_owned(),
            identities: set(["example.com"]),
            foreign_topics: foreign,
            rule_set: Some("m-inbound".to_owned()),
            foreign_rule_set: foreign,
            reasons: Some(set(["BOUNCE", "COMPLAINT"])),
        }
    }

    fn found(rule_set: &str, reasons: BTreeSet<String>, told: Told) -> Found {
        Found {
            rule_set: Some(rule_set.to_owned()).filter(|name| name != "-"),
            reasons,
            identities: [("example.com".to_owned(), told)].into(),
        }
    }

    /// The changes of a plan, a word each.
    fn changes(plan: &Plan) -> Vec<String> {
        let short = |topic: &Option<String>| match topic.as_deref() {
            None => "-",
            Some(OURS) => "ours",
            Some(_) => "theirs",
        };
        let change = |planned: &Planned| match &planned.change {
            Change::ActivateRuleSet(name) => format!("rule set {}", name.as_deref().unwrap_or("-")),
            Change::PutReasons(reasons) => {
                format!("reasons {}", reasons.iter().cloned().collect::<Vec<_>>().join("+"))
            }
            Change::SetTopic { kind, topic, .. } => format!("{} {}", kind.as_ses(), short(topic)),
            Change::SetForwarding { enabled: true, .. } => "e-mail".to_owned(),
            Change::SetForwarding { enabled: false, .. } => "silence".to_owned(),
        };
        plan.changes.iter().map(change).collect()
    }

    /// What SES has after a plan's changes.
    fn carried_out(found: &Found, plan: &Plan) -> Found {
        let mut found = found.clone();
        for planned in plan.changes.clone() {
            match planned.change {
                Change::ActivateRuleSet(name) => found.rule_set = name,
                Change::PutReasons(reasons) => found.reasons = reasons,
                Change::SetTopic { identity, kind, topic } => {
                    let told = found.identities.get_mut(&identity).unwrap();
                    match kind {
                        Notifies::Bounce => told.bounce = topic,
                        Notifies::Complaint => told.complaint = topic,
                    }
                }
                Change::SetForwarding { identity, enabled } => {
                    found.identities.get_mut(&identity).unwrap().forwarding = enabled;
                }
            }
        }
        found
    }

    #[test]
    fn there_and_back() {
        use Foreign::{Refuse, Replace};
        let both = || set(["BOUNCE", "COMPLAINT"]);
        for (foreign, start, there, back) in [
            (
                Refuse,
                found("-", set([]), told("-", "-", true)),
                vec![
                    "rule set m-inbound",
                    "reasons BOUNCE+COMPLAINT",
                    "Bounce ours",
                    "Complaint ours",
                    "silence",
                ],
                vec!["rule set -", "reasons ", "e-mail", "Bounce -", "Complaint -"],
            ),
            // There is nothing to change. But when the stack goes, its rule set must not be active, nor its topic in use.
            (
                Refuse,
                found("m-inbound", both(), told("ours", "ours", false)),
                vec![],
                vec!["rule set -", "e-mail", "Bounce -", "Complaint -"],
            ),
            (
                Replace,
                found("m-inbound", both(), told("ours", "theirs", false)),
                vec!["Complaint ours"],
                vec!["rule set -", "e-mail", "Bounce -", "Complaint theirs"],
            ),
            (
                Replace,
                found("theirs", set(["COMPLAINT", "NEW"]), told("theirs", "-", true)),
                vec![
                    "rule set m-inbound",
                    "reasons BOUNCE+COMPLAINT+NEW",
                    "Bounce ours",
                    "Complaint ours",
                    "silence",
                ],
                vec!["rule set theirs", "reasons COMPLAINT+NEW", "e-mail", "Bounce theirs", "Complaint -"],
            ),
            // Nobody was told by e-mail before.
            (
                Replace,
                found("-", both(), told("theirs", "theirs", false)),
                vec!["rule set m-inbound", "Bounce ours", "Complaint ours"],
                vec!["rule set -", "Bounce theirs", "Complaint theirs"],
            ),
        ] {
            let wanted = wanted(foreign);
            let first = plan(&wanted, &start, &Remembered::default()).unwrap();
            assert_eq!(changes(&first), there, "{start:?}");
            let end = carried_out(&start, &first);
            let second = plan(&wanted, &end, &first.after).unwrap();
            assert_eq!((changes(&second), &second.after), (vec![], &first.after), "twice");
            let undone = plan(&Wanted::default(), &end, &first.after).unwrap();
            assert_eq!(changes(&undone), back, "{start:?}");
            assert_eq!(undone.after, Remembered::default());
            assert!(undone.changes.iter().all(|planned| planned.undoes));
        }
    }

    #[test]
    fn what_somebody_else_has_set_is_refused_before_anything_is_changed() {
        let reasons = || set(["BOUNCE", "COMPLAINT"]);
        let refused = |found: &Found| {
            plan(&wanted(Foreign::Refuse), found, &Remembered::default()).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&found("theirs", reasons(), told("-", "-", true))),
            "the receipt rule set theirs is active; ActiveRuleSet=replace would replace it"
        );
        assert_eq!(
            refused(&found("-", reasons(), told("ours", "theirs", true))),
            format!(
                "another topic is told of example.com's complaints: {THEIRS}; ForeignTopics=replace would replace it"
            )
        );
        let nothing = Found { rule_set: None, reasons: reasons(), identities: BTreeMap::new() };
        assert_eq!(refused(&nothing), "example.com is no identity in this Region");
    }

    #[test]
    fn what_somebody_has_changed_since_is_left_alone() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan(&wanted(Foreign::Refuse), &start, &Remembered::default()).unwrap();
        let changed = found("theirs", set(["BOUNCE"]), told("theirs", "ours", false));
        // An update that is about something else leaves it alone, except for what it names explicitly.
        let update = plan(&wanted(Foreign::Refuse), &changed, &first.after).unwrap();
        assert_eq!((changes(&update), update.left_alone), (vec!["reasons BOUNCE+COMPLAINT".to_owned()], 2));
        // In the end, what is still ours is undone. SES insists on e-mail then.
        let undone = plan(&Wanted::default(), &changed, &first.after).unwrap();
        assert_eq!(changes(&undone), ["e-mail", "Complaint -"]);
        // Told to replace it, Mailroom does, and remembers that.
        let replaced = plan(&wanted(Foreign::Replace), &changed, &first.after).unwrap();
        assert_eq!(changes(&replaced), ["rule set m-inbound", "reasons BOUNCE+COMPLAINT", "Bounce ours"]);
        let undone = plan(&Wanted::default(), &carried_out(&changed, &replaced), &replaced.after).unwrap();
        assert_eq!(
            changes(&undone),
            ["rule set theirs", "reasons BOUNCE", "e-mail", "Bounce theirs", "Complaint -"]
        );
    }

    #[test]
    fn e_mail_that_somebody_else_has_switched_off_is_switched_on_when_a_topic_goes() {
        let start = found("-", set([]), told("-", "-", true));
        let wanted = Wanted { rule_set: None, reasons: None, ..wanted(Foreign::Refuse) };
        let mut first = plan(&wanted, &start, &Remembered::default()).unwrap();
        first.after.identities.get_mut("example.com").unwrap().silenced = false;
        let undone = plan(&Wanted::default(), &carried_out(&start, &first), &first.after).unwrap();
        assert_eq!(changes(&undone), ["e-mail", "Bounce -", "Complaint -"]);
    }

    #[test]
    fn an_identity_that_has_gone_is_no_reason_to_fail() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan(&wanted(Foreign::Refuse), &start, &Remembered::default()).unwrap();
        let mut gone = carried_out(&start, &first);
        gone.identities.clear();
        let update = plan(&wanted(Foreign::Refuse), &gone, &first.after).unwrap();
        assert_eq!((changes(&update), update.left_alone, &update.after), (vec![], 1, &first.after));
        let undone = plan(&Wanted::default(), &gone, &first.after).unwrap();
        assert_eq!(changes(&undone), ["rule set -", "reasons "]);
        assert_eq!(undone.after, Remembered::default());
    }

    #[test]
    fn an_identity_that_is_taken_off_the_list_is_set_back() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan(&wanted(Foreign::Refuse), &start, &Remembered::default()).unwrap();
        let fewer = Wanted { identities: BTreeSet::new(), ..wanted(Foreign::Refuse) };
        let update = plan(&fewer, &carried_out(&start, &first), &first.after).unwrap();
        assert_eq!(changes(&update), ["e-mail", "Bounce -", "Complaint -"]);
        assert_eq!(update.during.identities, first.after.identities);
        assert_eq!(update.after.identities, BTreeMap::new());
    }

    /// An update undoes something, and another resource of the stack fails: CloudFormation asks for what was before,
    /// which as an ordinary update might be refused.
    #[test]
    fn a_rollback_is_not_refused() {
        let both = || set(["BOUNCE", "COMPLAINT"]);
        let start = found("theirs", both(), told("theirs", "theirs", true));
        let first = plan(&wanted(Foreign::Replace), &start, &Remembered::default()).unwrap();
        let end = carried_out(&start, &first);
        // Nothing needs replacing any more.
        let old = wanted(Foreign::Refuse);
        let second = plan(&old, &end, &first.after).unwrap();
        assert_eq!(changes(&second), [""; 0]);
        let new = Wanted { identities: BTreeSet::new(), rule_set: None, ..wanted(Foreign::Refuse) };
        let update = plan(&new, &end, &second.after).unwrap();
        assert_eq!(
            changes(&update),
            ["rule set theirs", "e-mail", "Bounce theirs", "Complaint theirs"].map(str::to_owned)
        );
        let all = ["rule set m-inbound", "Bounce ours", "Complaint ours", "silence"];
        // The rollback comes after the whole update, or after one that was cut off, or after a rollback that was.
        for (done, remembered) in (0..=4).map(|done| (done, &update.during)).chain([(4, &update.after)]) {
            let cut = Plan { changes: update.changes[..done].to_vec(), ..update.clone() };
            let middle = carried_out(&end, &cut);
            let rollback = plan(&old, &middle, remembered).unwrap();
            for (done, remembered) in (0..=rollback.changes.len()).map(|done| (done, &rollback.during)) {
                let cut = Plan { changes: rollback.changes[..done].to_vec(), ..rollback.clone() };
                let middle = carried_out(&middle, &cut);
                let again = plan(&old, &middle, remembered).unwrap();
                assert_eq!(carried_out(&middle, &again), end, "{done}");
                let undone = plan(&Wanted::default(), &end, &again.after).unwrap();
                assert_eq!(
                    (carried_out(&end, &undone), undone.after),
                    (start.clone(), Remembered::default())
                );
            }
            if done == 4 {
                assert_eq!(changes(&rollback), all);
            }
        }
        // The identity has gone since, or somebody has set it differently since: it is left alone.
        let mut gone = carried_out(&end, &update);
        gone.rule_set = Some("others".to_owned());
        gone.identities.clear();
        let rollback = plan(&old, &gone, &update.after).unwrap();
        assert_eq!((changes(&rollback), rollback.left_alone), (vec![], 2));
        let mut gone = end.clone();
        gone.identities.clear();
        let update = plan(&new, &gone, &second.after).unwrap();
        let rollback = plan(&old, &carried_out(&gone, &update), &update.after).unwrap();
        assert_eq!((changes(&rollback), rollback.left_alone), (vec!["rule set m-inbound".to_owned()], 1));
    }

    #[test]
    fn what_was_undone_longer_ago_is_new() {
        let both = || set(["BOUNCE", "COMPLAINT"]);
        let start = found("theirs", both(), told("theirs", "theirs", true));
        let first = plan(&wanted(Foreign::Replace), &start, &Remembered::default()).unwrap();
        let new = Wanted { identities: BTreeSet::new(), rule_set: None, ..wanted(Foreign::Refuse) };
        let update = plan(&new, &carried_out(&start, &first), &first.after).unwrap();
        assert!(!wanted(Foreign::Refuse).lists_new(&update.after));
        // The stack has come to rest, and is updated again.
        let another = plan(&new, &start, &update.after).unwrap();
        assert_eq!(another.changes, []);
        assert!(wanted(Foreign::Refuse).lists_new(&another.after));
        let refused = plan(&wanted(Foreign::Refuse), &start, &another.after);
        assert_eq!(refused, Err(Refusal::ForeignRuleSet("theirs".to_owned())));
        let listed = Wanted { rule_set: None, ..wanted(Foreign::Refuse) };
        assert!(matches!(plan(&listed, &start, &another.after), Err(Refusal::ForeignTopic { .. })));
        let gone = Found { identities: BTreeMap::new(), ..start };
        assert!(matches!(plan(&listed, &gone, &another.after), Err(Refusal::NoSuchIdentity(_))));
    }

    #[test]
    fn e_mail_that_somebody_has_switched_on_and_off_again_stays_off() {
        let wanted = Wanted { rule_set: None, reasons: None, ..wanted(Foreign::Replace) };
        let start = found("-", set([]), told("theirs", "theirs", true));
        let first = plan(&wanted, &start, &Remembered::default()).unwrap();
        assert_eq!(changes(&first), ["Bounce ours", "Complaint ours", "silence"]);
        // Somebody points bounces elsewhere and wants e-mail, which an update leaves alone, and then no longer wants
        // e-mail.
        let wanted = Wanted { foreign_topics: Foreign::Refuse, ..wanted };
        let mut hand = found("-", set([]), told("theirs", "ours", true));
        let update = plan(&wanted, &hand, &first.after).unwrap();
        assert_eq!(changes(&update), [""; 0]);
        hand.identities.get_mut("example.com").unwrap().forwarding = false;
        let undone = plan(&Wanted::default(), &hand, &update.after).unwrap();
        assert_eq!(changes(&undone), ["Complaint theirs"]);
    }

    #[test]
    fn as_many_identities_as_fit() {
        let calls = |identities: usize| {
            identities.div_ceil(IDENTITIES_A_CALL) + OTHER_CALLS + identities * CALLS_AN_IDENTITY
        };
        assert_eq!([0, 7, 8, 310].map(most_identities), [0, 0, 0, 101]);
        for room in 0..2000 {
            let most = most_identities(room);
            assert!(most == 0 || calls(most) <= room, "{room}");
            assert!(calls(most + 2) > room, "{room}: {most} are too few");
        }
    }
}
