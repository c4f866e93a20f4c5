//! Plans the changes of all settings, in the order in which SES takes them.

use std::collections::BTreeSet;

use super::setting::{RememberedSetting, SettingPlan, is_neither_own_nor_wanted};
use super::{
    CurrentSettings, FeedbackKind, ForeignSettingPolicy, IdentityNotifications, RememberedIdentity,
    RememberedSettings, UndoneSettings, WantedSettings, redact_identity,
};
use crate::suppression::SuppressionReason;

/// What to change. There is nothing to do if there are no changes and nothing new to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupPlan {
    /// What to remember before the first change.
    pub remembered_during: RememberedSettings,
    /// The changes, each of which is one call of SES, in this order.
    pub changes: Vec<PlannedChange>,
    /// What to remember after the last change.
    pub remembered_after: RememberedSettings,
    /// How many settings somebody else has changed since Mailroom did; they stay as they are.
    pub foreign_settings_kept: usize,
}

/// One change of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedChange {
    /// The change itself.
    pub change: SesChange,
    /// What the change is for.
    pub purpose: ChangePurpose,
}

/// What a change is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangePurpose {
    /// The change sets what the stack wants.
    Setup,
    /// The change puts something back as it was before.
    Undo,
}

/// A change that one call of SES makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SesChange {
    /// Activates a rule set; `None` deactivates the one that is active.
    ActivateRuleSet(Option<String>),
    /// Enables these reasons and no others.
    PutReasons(BTreeSet<String>),
    /// Sets an identity's topic, or takes it away.
    SetTopic {
        /// The identity whose topic is set.
        identity: String,
        /// The kind of notification that the topic gets.
        kind: FeedbackKind,
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
pub enum SetupRefusal {
    /// Another rule set is active.
    #[error("the receipt rule set {0} is active; ActiveRuleSet=replace would replace it")]
    ForeignRuleSet(String),
    /// An identity already has another topic.
    #[error("another topic is told of {}'s {}: {topic}; ForeignTopics=replace would replace it", redact_identity(.identity), match .kind {
        FeedbackKind::Bounce => "bounces",
        FeedbackKind::Complaint => "complaints",
    })]
    ForeignTopic {
        /// The identity that has the topic.
        identity: String,
        /// The kind of notification that the topic gets.
        kind: FeedbackKind,
        /// The other topic's ARN.
        topic: String,
    },
    /// The name is not an identity of this account and Region.
    #[error("{} is no identity in this Region", redact_identity(.0))]
    NoSuchIdentity(String),
    /// There are more identities than can be set up, and undone, in one run.
    #[error("{listed} identities are more than fit into one run, which are {max}")]
    TooManyIdentities {
        /// How many identities are listed.
        listed: usize,
        /// How many identities fit into one run.
        max: usize,
    },
    /// There are few enough identities, but more changes than can be made in one run.
    #[error(
        "{changes} changes are more than fit into one run, which are {max}: change fewer identities at a time"
    )]
    TooManyChanges {
        /// How many changes there would be.
        changes: usize,
        /// How many changes fit into one run.
        max: usize,
    },
}

/// The most identities whose notification attributes one call tells (API reference, `GetIdentityNotificationAttributes`,
/// November 2026).
pub const IDENTITIES_PER_CALL: usize = 100;

/// The calls for what there is besides identities: one each to read and to write the active rule set and the reasons.
const CALLS_BESIDES_IDENTITIES: usize = 4;

/// The most calls that change one identity: two topics and the forwarding.
const CALLS_PER_IDENTITY: usize = 3;

/// How many identities can be set up, or put back, with `calls` calls of SES, in whatever state they are found.
pub fn max_identities(calls: usize) -> usize {
    // At most one call's worth is lost, if the last call that reads is not for a full hundred.
    let calls = calls.saturating_sub(CALLS_BESIDES_IDENTITIES + 1);
    calls * IDENTITIES_PER_CALL / (IDENTITIES_PER_CALL * CALLS_PER_IDENTITY + 1)
}

/// Plans the changes after which the settings are as wanted.
///
/// # Errors
/// See [`SetupRefusal`]. Only what is newly asked for is refused. What was set up before, and somebody has changed since, is
/// left alone: an update that has nothing to do with it must not fail because of it, nor must the rollback of one. What
/// the last request has undone is not new either, since its rollback asks for it.
pub fn plan_setup(
    wanted: &WantedSettings,
    current: &CurrentSettings,
    remembered: &RememberedSettings,
) -> Result<SetupPlan, SetupRefusal> {
    let mut plan = SetupPlan {
        // If this request is cut off, the one before may still be rolled back, too, so what that one has undone is kept.
        remembered_during: RememberedSettings {
            undone: remembered.undone.clone(),
            ..RememberedSettings::default()
        },
        changes: Vec::new(),
        remembered_after: RememberedSettings::default(),
        foreign_settings_kept: 0,
    };
    plan.plan_rule_set(wanted, current, remembered)?;
    plan.plan_reasons(wanted, current, remembered);
    let identities: BTreeSet<_> = wanted.identities.iter().chain(remembered.identities.keys()).collect();
    for identity in identities {
        let undone = remembered.undone.identities.get(identity);
        let noted = remembered.identities.get(identity);
        match (wanted.identities.contains(identity), current.identities.get(identity)) {
            (true, Some(told)) => {
                plan.plan_identity(identity, told, noted.or(undone), undone.is_some(), wanted)?;
            }
            (true, None) => match noted.or(undone) {
                None => return Err(SetupRefusal::NoSuchIdentity(identity.clone())),
                Some(noted) => {
                    plan.foreign_settings_kept += 1;
                    plan.keep_identity(identity, noted.clone());
                }
            },
            (false, told) => {
                if let Some(noted) = noted {
                    plan.restore_identity(identity, told, noted);
                }
            }
        }
    }
    if *wanted == WantedSettings::default() {
        // A deletion is not rolled back, so what it undoes need not be remembered.
        plan.remembered_after.undone = UndoneSettings::default();
    }
    Ok(plan)
}

impl SetupPlan {
    fn append_change(&mut self, change: SesChange, purpose: ChangePurpose) {
        self.changes.push(PlannedChange { change, purpose });
    }

    /// Remembers an identity as before, since nothing of it is changed.
    fn keep_identity(&mut self, identity: &str, remembered: RememberedIdentity) {
        self.remembered_during.identities.insert(identity.to_owned(), remembered.clone());
        self.remembered_after.identities.insert(identity.to_owned(), remembered);
    }

    fn plan_rule_set(
        &mut self,
        wanted: &WantedSettings,
        current: &CurrentSettings,
        remembered: &RememberedSettings,
    ) -> Result<(), SetupRefusal> {
        let is = &current.rule_set;
        let Some(name) = &wanted.rule_set else {
            let noted = &remembered.rule_set;
            if let Some(set) = SettingPlan::restore(is, noted.as_ref()).new_value {
                self.append_change(SesChange::ActivateRuleSet(set), ChangePurpose::Undo);
            }
            if noted.is_some() {
                self.remembered_during.undone.rule_set.clone_from(noted);
            }
            self.remembered_during.rule_set.clone_from(noted);
            self.remembered_after.undone.rule_set.clone_from(noted);
            return Ok(());
        };
        let undone = remembered.undone.rule_set.as_ref();
        let noted = remembered.rule_set.as_ref().or(undone);
        let wanted_set = Some(name.clone());
        let course = match is {
            Some(other)
                if is_neither_own_nor_wanted(is, noted, &wanted_set)
                    && wanted.foreign_rule_set == ForeignSettingPolicy::Refuse
                    && !was_restored(is, noted, undone.is_some()) =>
            {
                if noted.is_none() {
                    return Err(SetupRefusal::ForeignRuleSet(other.clone()));
                }
                self.foreign_settings_kept += 1;
                SettingPlan::keep(noted)
            }
            Some(own) if own == name => claim_current_value(own, noted),
            _ => SettingPlan::change_to(is, noted, &wanted_set),
        };
        if let Some(set) = course.new_value {
            self.append_change(SesChange::ActivateRuleSet(set), ChangePurpose::Setup);
        }
        (self.remembered_during.rule_set, self.remembered_after.rule_set) =
            (course.remembered_during, course.remembered_after);
        Ok(())
    }

    fn plan_reasons(
        &mut self,
        wanted: &WantedSettings,
        current: &CurrentSettings,
        remembered: &RememberedSettings,
    ) {
        let (is, noted) = (&current.reasons, remembered.reasons.as_ref());
        let course = match &wanted.reasons {
            None => SettingPlan::restore(is, noted),
            Some(reasons) => {
                // A reason that this version does not know was enabled by somebody who wants it, so it stays.
                let added = is.iter().filter(|reason| SuppressionReason::from_ses(reason).is_none());
                SettingPlan::change_to(is, noted, &reasons.iter().chain(added).cloned().collect())
            }
        };
        if let Some(set) = course.new_value {
            let purpose = if wanted.reasons.is_none() { ChangePurpose::Undo } else { ChangePurpose::Setup };
            self.append_change(SesChange::PutReasons(set), purpose);
        }
        (self.remembered_during.reasons, self.remembered_after.reasons) =
            (course.remembered_during, course.remembered_after);
    }

    /// Changes the topics first and then switches e-mail off: somebody is told all the while, and SES would refuse the
    /// other order.
    fn plan_identity(
        &mut self,
        identity: &str,
        current: &IdentityNotifications,
        remembered: Option<&RememberedIdentity>,
        was_undone: bool,
        wanted: &WantedSettings,
    ) -> Result<(), SetupRefusal> {
        let topic = Some(wanted.topic_arn.clone());
        let mut course = |kind: FeedbackKind| {
            let (is, known) = match kind {
                FeedbackKind::Bounce => {
                    (&current.bounce_topic, remembered.and_then(|noted| noted.bounce.as_ref()))
                }
                FeedbackKind::Complaint => {
                    (&current.complaint_topic, remembered.and_then(|noted| noted.complaint.as_ref()))
                }
            };
            match is {
                Some(other)
                    if is_neither_own_nor_wanted(is, known, &topic)
                        && wanted.foreign_topics == ForeignSettingPolicy::Refuse
                        && !was_restored(is, known, was_undone) =>
                {
                    if remembered.is_none() {
                        let (identity, topic) = (identity.to_owned(), other.clone());
                        return Err(SetupRefusal::ForeignTopic { identity, kind, topic });
                    }
                    self.foreign_settings_kept += 1;
                    Ok(SettingPlan::keep(known))
                }
                Some(own) if *own == wanted.topic_arn => Ok(claim_current_value(own, known)),
                _ => Ok(SettingPlan::change_to(is, known, &topic)),
            }
        };
        let (bounce, complaint) = (course(FeedbackKind::Bounce)?, course(FeedbackKind::Complaint)?);
        // If one of the topics stays somebody else's, the sender may want to be told by e-mail.
        let ours = *bounce.final_value(&current.bounce_topic) == topic
            && *complaint.final_value(&current.complaint_topic) == topic;
        let silence = ours && current.email_forwarding;
        // Somebody may have switched e-mail on since Mailroom switched it off. If it is off again, that is not Mailroom's
        // doing.
        let silenced =
            silence || remembered.is_some_and(|noted| noted.email_disabled && !current.email_forwarding);
        self.add_topic_changes(identity, &bounce, &complaint, ChangePurpose::Setup);
        if silence {
            self.append_change(
                SesChange::SetForwarding { identity: identity.to_owned(), enabled: false },
                ChangePurpose::Setup,
            );
        }
        let during = RememberedIdentity {
            bounce: bounce.remembered_during,
            complaint: complaint.remembered_during,
            email_disabled: silenced,
        };
        let after = RememberedIdentity {
            bounce: bounce.remembered_after,
            complaint: complaint.remembered_after,
            email_disabled: silenced,
        };
        self.remembered_during.identities.insert(identity.to_owned(), during);
        self.remembered_after.identities.insert(identity.to_owned(), after);
        Ok(())
    }

    /// Switches e-mail on first and then puts the topics back, for the same reasons. If a topic is taken away, SES
    /// insists on e-mail, whoever has switched it off. For an identity that SES no longer knows there is nothing to undo.
    fn restore_identity(
        &mut self,
        identity: &str,
        current: Option<&IdentityNotifications>,
        remembered: &RememberedIdentity,
    ) {
        if let Some(told) = current {
            let bounce = SettingPlan::restore(&told.bounce_topic, remembered.bounce.as_ref());
            let complaint = SettingPlan::restore(&told.complaint_topic, remembered.complaint.as_ref());
            let goes = bounce.new_value == Some(None) || complaint.new_value == Some(None);
            if !told.email_forwarding && (remembered.email_disabled || goes) {
                self.append_change(
                    SesChange::SetForwarding { identity: identity.to_owned(), enabled: true },
                    ChangePurpose::Undo,
                );
            }
            self.add_topic_changes(identity, &bounce, &complaint, ChangePurpose::Undo);
        }
        self.remembered_during.identities.insert(identity.to_owned(), remembered.clone());
        self.remembered_during.undone.identities.insert(identity.to_owned(), remembered.clone());
        self.remembered_after.undone.identities.insert(identity.to_owned(), remembered.clone());
    }

    fn add_topic_changes(
        &mut self,
        identity: &str,
        bounce_topic: &SettingPlan<Option<String>>,
        complaint_topic: &SettingPlan<Option<String>>,
        purpose: ChangePurpose,
    ) {
        for (kind, course) in
            [(FeedbackKind::Bounce, bounce_topic), (FeedbackKind::Complaint, complaint_topic)]
        {
            if let Some(topic) = &course.new_value {
                let (identity, topic) = (identity.to_owned(), topic.clone());
                self.append_change(SesChange::SetTopic { identity, kind, topic }, purpose);
            }
        }
    }
}

/// Keeps a setting that is the stack's own already. Whoever has set it, it must be put back in the end: otherwise it
/// would be left pointing at what has gone, and SES does not delete an active rule set.
fn claim_current_value(
    current: &str,
    remembered: Option<&RememberedSetting<Option<String>>>,
) -> SettingPlan<Option<String>> {
    let before = remembered.and_then(|noted| noted.original_value.clone());
    SettingPlan::keep(Some(&RememberedSetting {
        original_value: before,
        own_values: vec![Some(current.to_owned())],
    }))
}

/// Whether the setting is as Mailroom itself put it back in the last request: a rollback sets it once more.
fn was_restored<T: PartialEq>(
    current: &T,
    remembered: Option<&RememberedSetting<T>>,
    was_undone: bool,
) -> bool {
    was_undone && remembered.is_some_and(|noted| noted.original_value == *current)
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

    fn told(bounce: &str, complaint: &str, forwarding: bool) -> IdentityNotifications {
        let topic = |name: &str| match name {
            "-" => None,
            "ours" => Some(OURS.to_owned()),
            _ => Some(THEIRS.to_owned()),
        };
        IdentityNotifications {
            bounce_topic: topic(bounce),
            complaint_topic: topic(complaint),
            email_forwarding: forwarding,
        }
    }

    fn wanted(foreign: ForeignSettingPolicy) -> WantedSettings {
        WantedSettings {
            topic_arn: OURS.to_owned(),
            identities: set(["example.com"]),
            foreign_topics: foreign,
            rule_set: Some("m-inbound".to_owned()),
            foreign_rule_set: foreign,
            reasons: Some(set(["BOUNCE", "COMPLAINT"])),
        }
    }

    fn found(rule_set: &str, reasons: BTreeSet<String>, told: IdentityNotifications) -> CurrentSettings {
        CurrentSettings {
            rule_set: Some(rule_set.to_owned()).filter(|name| name != "-"),
            reasons,
            identities: [("example.com".to_owned(), told)].into(),
        }
    }

    /// The changes of a plan, a word each.
    fn changes(plan: &SetupPlan) -> Vec<String> {
        let short = |topic: &Option<String>| match topic.as_deref() {
            None => "-",
            Some(OURS) => "ours",
            Some(_) => "theirs",
        };
        let change = |planned: &PlannedChange| match &planned.change {
            SesChange::ActivateRuleSet(name) => format!("rule set {}", name.as_deref().unwrap_or("-")),
            SesChange::PutReasons(reasons) => {
                format!("reasons {}", reasons.iter().cloned().collect::<Vec<_>>().join("+"))
            }
            SesChange::SetTopic { kind, topic, .. } => format!("{} {}", kind.as_ses(), short(topic)),
            SesChange::SetForwarding { enabled: true, .. } => "e-mail".to_owned(),
            SesChange::SetForwarding { enabled: false, .. } => "silence".to_owned(),
        };
        plan.changes.iter().map(change).collect()
    }

    /// What SES has after a plan's changes.
    fn carried_out(found: &CurrentSettings, plan: &SetupPlan) -> CurrentSettings {
        let mut found = found.clone();
        for planned in plan.changes.clone() {
            match planned.change {
                SesChange::ActivateRuleSet(name) => found.rule_set = name,
                SesChange::PutReasons(reasons) => found.reasons = reasons,
                SesChange::SetTopic { identity, kind, topic } => {
                    let told = found.identities.get_mut(&identity).unwrap();
                    match kind {
                        FeedbackKind::Bounce => told.bounce_topic = topic,
                        FeedbackKind::Complaint => told.complaint_topic = topic,
                    }
                }
                SesChange::SetForwarding { identity, enabled } => {
                    found.identities.get_mut(&identity).unwrap().email_forwarding = enabled;
                }
            }
        }
        found
    }

    #[test]
    fn there_and_back() {
        use ForeignSettingPolicy::{Refuse, Replace};
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
            let first = plan_setup(&wanted, &start, &RememberedSettings::default()).unwrap();
            assert_eq!(changes(&first), there, "{start:?}");
            let end = carried_out(&start, &first);
            let second = plan_setup(&wanted, &end, &first.remembered_after).unwrap();
            assert_eq!(
                (changes(&second), &second.remembered_after),
                (vec![], &first.remembered_after),
                "twice"
            );
            let undone = plan_setup(&WantedSettings::default(), &end, &first.remembered_after).unwrap();
            assert_eq!(changes(&undone), back, "{start:?}");
            assert_eq!(undone.remembered_after, RememberedSettings::default());
            assert!(undone.changes.iter().all(|planned| planned.purpose == ChangePurpose::Undo));
        }
    }

    #[test]
    fn what_somebody_else_has_set_is_refused_before_anything_is_changed() {
        let reasons = || set(["BOUNCE", "COMPLAINT"]);
        let refused = |found: &CurrentSettings| {
            plan_setup(&wanted(ForeignSettingPolicy::Refuse), found, &RememberedSettings::default())
                .unwrap_err()
                .to_string()
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
        let nothing = CurrentSettings { rule_set: None, reasons: reasons(), identities: BTreeMap::new() };
        assert_eq!(refused(&nothing), "example.com is no identity in this Region");
    }

    #[test]
    fn what_somebody_has_changed_since_is_left_alone() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan_setup(&wanted(ForeignSettingPolicy::Refuse), &start, &RememberedSettings::default())
            .unwrap();
        let changed = found("theirs", set(["BOUNCE"]), told("theirs", "ours", false));
        // An update that is about something else leaves it alone, except for what it names explicitly.
        let update =
            plan_setup(&wanted(ForeignSettingPolicy::Refuse), &changed, &first.remembered_after).unwrap();
        assert_eq!(
            (changes(&update), update.foreign_settings_kept),
            (vec!["reasons BOUNCE+COMPLAINT".to_owned()], 2)
        );
        // In the end, what is still ours is undone. SES insists on e-mail then.
        let undone = plan_setup(&WantedSettings::default(), &changed, &first.remembered_after).unwrap();
        assert_eq!(changes(&undone), ["e-mail", "Complaint -"]);
        // Told to replace it, Mailroom does, and remembers that.
        let replaced =
            plan_setup(&wanted(ForeignSettingPolicy::Replace), &changed, &first.remembered_after).unwrap();
        assert_eq!(changes(&replaced), ["rule set m-inbound", "reasons BOUNCE+COMPLAINT", "Bounce ours"]);
        let undone = plan_setup(
            &WantedSettings::default(),
            &carried_out(&changed, &replaced),
            &replaced.remembered_after,
        )
        .unwrap();
        assert_eq!(
            changes(&undone),
            ["rule set theirs", "reasons BOUNCE", "e-mail", "Bounce theirs", "Complaint -"]
        );
    }

    #[test]
    fn e_mail_that_somebody_else_has_switched_off_is_switched_on_when_a_topic_goes() {
        let start = found("-", set([]), told("-", "-", true));
        let wanted = WantedSettings { rule_set: None, reasons: None, ..wanted(ForeignSettingPolicy::Refuse) };
        let mut first = plan_setup(&wanted, &start, &RememberedSettings::default()).unwrap();
        first.remembered_after.identities.get_mut("example.com").unwrap().email_disabled = false;
        let undone =
            plan_setup(&WantedSettings::default(), &carried_out(&start, &first), &first.remembered_after)
                .unwrap();
        assert_eq!(changes(&undone), ["e-mail", "Bounce -", "Complaint -"]);
    }

    #[test]
    fn an_identity_that_has_gone_is_no_reason_to_fail() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan_setup(&wanted(ForeignSettingPolicy::Refuse), &start, &RememberedSettings::default())
            .unwrap();
        let mut gone = carried_out(&start, &first);
        gone.identities.clear();
        let update =
            plan_setup(&wanted(ForeignSettingPolicy::Refuse), &gone, &first.remembered_after).unwrap();
        assert_eq!(
            (changes(&update), update.foreign_settings_kept, &update.remembered_after),
            (vec![], 1, &first.remembered_after)
        );
        let undone = plan_setup(&WantedSettings::default(), &gone, &first.remembered_after).unwrap();
        assert_eq!(changes(&undone), ["rule set -", "reasons "]);
        assert_eq!(undone.remembered_after, RememberedSettings::default());
    }

    #[test]
    fn an_identity_that_is_taken_off_the_list_is_set_back() {
        let start = found("-", set([]), told("-", "-", true));
        let first = plan_setup(&wanted(ForeignSettingPolicy::Refuse), &start, &RememberedSettings::default())
            .unwrap();
        let fewer = WantedSettings { identities: BTreeSet::new(), ..wanted(ForeignSettingPolicy::Refuse) };
        let update = plan_setup(&fewer, &carried_out(&start, &first), &first.remembered_after).unwrap();
        assert_eq!(changes(&update), ["e-mail", "Bounce -", "Complaint -"]);
        assert_eq!(update.remembered_during.identities, first.remembered_after.identities);
        assert_eq!(update.remembered_after.identities, BTreeMap::new());
    }

    /// An update undoes something, and another resource of the stack fails: CloudFormation asks for what was before,
    /// which as an ordinary update might be refused.
    #[test]
    fn a_rollback_is_not_refused() {
        let both = || set(["BOUNCE", "COMPLAINT"]);
        let start = found("theirs", both(), told("theirs", "theirs", true));
        let first =
            plan_setup(&wanted(ForeignSettingPolicy::Replace), &start, &RememberedSettings::default())
                .unwrap();
        let end = carried_out(&start, &first);
        // Nothing needs replacing any more.
        let old = wanted(ForeignSettingPolicy::Refuse);
        let second = plan_setup(&old, &end, &first.remembered_after).unwrap();
        assert_eq!(changes(&second), [""; 0]);
        let new = WantedSettings {
            identities: BTreeSet::new(),
            rule_set: None,
            ..wanted(ForeignSettingPolicy::Refuse)
        };
        let update = plan_setup(&new, &end, &second.remembered_after).unwrap();
        assert_eq!(
            changes(&update),
            ["rule set theirs", "e-mail", "Bounce theirs", "Complaint theirs"].map(str::to_owned)
        );
        let all = ["rule set m-inbound", "Bounce ours", "Complaint ours", "silence"];
        // The rollback comes after the whole update, or after one that was cut off, or after a rollback that was.
        for (done, remembered) in
            (0..=4).map(|done| (done, &update.remembered_during)).chain([(4, &update.remembered_after)])
        {
            let cut = SetupPlan { changes: update.changes[..done].to_vec(), ..update.clone() };
            let middle = carried_out(&end, &cut);
            let rollback = plan_setup(&old, &middle, remembered).unwrap();
            for (done, remembered) in
                (0..=rollback.changes.len()).map(|done| (done, &rollback.remembered_during))
            {
                let cut = SetupPlan { changes: rollback.changes[..done].to_vec(), ..rollback.clone() };
                let middle = carried_out(&middle, &cut);
                let again = plan_setup(&old, &middle, remembered).unwrap();
                assert_eq!(carried_out(&middle, &again), end, "{done}");
                let undone = plan_setup(&WantedSettings::default(), &end, &again.remembered_after).unwrap();
                assert_eq!(
                    (carried_out(&end, &undone), undone.remembered_after),
                    (start.clone(), RememberedSettings::default())
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
        let rollback = plan_setup(&old, &gone, &update.remembered_after).unwrap();
        assert_eq!((changes(&rollback), rollback.foreign_settings_kept), (vec![], 2));
        let mut gone = end.clone();
        gone.identities.clear();
        let update = plan_setup(&new, &gone, &second.remembered_after).unwrap();
        let rollback = plan_setup(&old, &carried_out(&gone, &update), &update.remembered_after).unwrap();
        assert_eq!(
            (changes(&rollback), rollback.foreign_settings_kept),
            (vec!["rule set m-inbound".to_owned()], 1)
        );
    }

    #[test]
    fn what_was_undone_longer_ago_is_new() {
        let both = || set(["BOUNCE", "COMPLAINT"]);
        let start = found("theirs", both(), told("theirs", "theirs", true));
        let first =
            plan_setup(&wanted(ForeignSettingPolicy::Replace), &start, &RememberedSettings::default())
                .unwrap();
        let new = WantedSettings {
            identities: BTreeSet::new(),
            rule_set: None,
            ..wanted(ForeignSettingPolicy::Refuse)
        };
        let update = plan_setup(&new, &carried_out(&start, &first), &first.remembered_after).unwrap();
        assert!(!wanted(ForeignSettingPolicy::Refuse).adds_identities(&update.remembered_after));
        // The stack has come to rest, and is updated again.
        let another = plan_setup(&new, &start, &update.remembered_after).unwrap();
        assert_eq!(another.changes, []);
        assert!(wanted(ForeignSettingPolicy::Refuse).adds_identities(&another.remembered_after));
        let refused = plan_setup(&wanted(ForeignSettingPolicy::Refuse), &start, &another.remembered_after);
        assert_eq!(refused, Err(SetupRefusal::ForeignRuleSet("theirs".to_owned())));
        let listed = WantedSettings { rule_set: None, ..wanted(ForeignSettingPolicy::Refuse) };
        assert!(matches!(
            plan_setup(&listed, &start, &another.remembered_after),
            Err(SetupRefusal::ForeignTopic { .. })
        ));
        let gone = CurrentSettings { identities: BTreeMap::new(), ..start };
        assert!(matches!(
            plan_setup(&listed, &gone, &another.remembered_after),
            Err(SetupRefusal::NoSuchIdentity(_))
        ));
    }

    #[test]
    fn e_mail_that_somebody_has_switched_on_and_off_again_stays_off() {
        let wanted =
            WantedSettings { rule_set: None, reasons: None, ..wanted(ForeignSettingPolicy::Replace) };
        let start = found("-", set([]), told("theirs", "theirs", true));
        let first = plan_setup(&wanted, &start, &RememberedSettings::default()).unwrap();
        assert_eq!(changes(&first), ["Bounce ours", "Complaint ours", "silence"]);
        // Somebody points bounces elsewhere and wants e-mail, which an update leaves alone, and then no longer wants
        // e-mail.
        let wanted = WantedSettings { foreign_topics: ForeignSettingPolicy::Refuse, ..wanted };
        let mut hand = found("-", set([]), told("theirs", "ours", true));
        let update = plan_setup(&wanted, &hand, &first.remembered_after).unwrap();
        assert_eq!(changes(&update), [""; 0]);
        hand.identities.get_mut("example.com").unwrap().email_forwarding = false;
        let undone = plan_setup(&WantedSettings::default(), &hand, &update.remembered_after).unwrap();
        assert_eq!(changes(&undone), ["Complaint theirs"]);
    }

    #[test]
    fn as_many_identities_as_fit() {
        let calls = |identities: usize| {
            identities.div_ceil(IDENTITIES_PER_CALL)
                + CALLS_BESIDES_IDENTITIES
                + identities * CALLS_PER_IDENTITY
        };
        assert_eq!([0, 7, 8, 310].map(max_identities), [0, 0, 0, 101]);
        for room in 0..2000 {
            let most = max_identities(room);
            assert!(most == 0 || calls(most) <= room, "{room}");
            assert!(calls(most + 2) > room, "{room}: {most} are too few");
        }
    }
}
