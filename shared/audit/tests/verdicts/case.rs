//! A row of a section's table of cases, and the parts of a Region's facts that it changes.

use std::fmt::Debug;

use mailroom_audit::facts::{
    AccountFacts, ApiAnswer, ConfigurationSet, DkimAttributes, EmailIdentity, IdentityNotificationAttributes,
    ReceiptRule, RegionFacts,
};
use mailroom_audit::{AuditSection, AuditVerdict};
use mailroom_core::suppression::list_pass::ListPass;

use crate::healthy::{facts, verdict};

/// What is changed of a healthy Region, and what is then said: verdict, evidence (a part of it), fixes (the start of each).
pub(crate) struct Case(
    pub(crate) &'static str,
    pub(crate) fn(&mut RegionFacts),
    pub(crate) AuditVerdict,
    pub(crate) &'static str,
    pub(crate) &'static [&'static str],
);

pub(crate) fn assert_cases(section: AuditSection, cases: &[Case]) {
    for Case(what, change, expected, evidence, fixes) in cases {
        let mut facts = facts();
        change(&mut facts);
        let told = verdict(&facts, section);
        assert_eq!(told.verdict, *expected, "{what}: {told:#?}");
        let worst = told.findings.first();
        let said = worst.map_or(told.evidence.as_str(), |finding| finding.evidence.as_str());
        assert!(said.contains(evidence), "{what}: {said}");
        let shown: Vec<_> =
            worst.iter().flat_map(|finding| &finding.fixes).map(ToString::to_string).collect();
        assert_eq!(shown.len(), fixes.len(), "{what}: {shown:#?}");
        for (shown, expected) in shown.iter().zip(*fixes) {
            assert!(shown.starts_with(expected), "{what}: {shown}");
        }
        for finding in &told.findings {
            assert!(!finding.evidence.is_empty() && !finding.todo.is_empty(), "{what}");
        }
    }
}

fn answered<T: Debug>(answer: &mut ApiAnswer<T>) -> &mut T {
    match answer {
        ApiAnswer::Answered(value) => value,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn account(facts: &mut RegionFacts) -> &mut AccountFacts {
    answered(&mut facts.account)
}

pub(crate) fn first(facts: &mut RegionFacts) -> &mut EmailIdentity {
    answered(&mut answered(&mut facts.identities)[0].identity)
}

pub(crate) fn second(facts: &mut RegionFacts) -> &mut EmailIdentity {
    answered(&mut answered(&mut facts.identities)[1].identity)
}

pub(crate) fn dkim(facts: &mut RegionFacts) -> &mut DkimAttributes {
    first(facts).dkim.as_mut().unwrap()
}

pub(crate) fn topics(facts: &mut RegionFacts) -> &mut IdentityNotificationAttributes {
    answered(&mut answered(&mut facts.identities)[0].notifications)
}

pub(crate) fn set(facts: &mut RegionFacts) -> &mut ConfigurationSet {
    answered(&mut answered(&mut facts.configuration_sets)[0])
}

pub(crate) fn add_set(facts: &mut RegionFacts, set: ConfigurationSet) {
    answered(&mut facts.configuration_sets).push(ApiAnswer::Answered(set));
}

pub(crate) fn pass(facts: &mut RegionFacts) -> &mut ListPass {
    answered(&mut facts.last_list_pass).as_mut().unwrap()
}

pub(crate) fn rule(facts: &mut RegionFacts) -> &mut ReceiptRule {
    &mut answered(&mut facts.rule_set).as_mut().unwrap().rules[0]
}

pub(crate) fn denied<T>(action: &str) -> ApiAnswer<T> {
    ApiAnswer::Denied(action.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "short for what most fields of an answer are")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}
