//! Section 9: sending authorization. Whether a delegate of another Region is missing here is for [`super::compared`].
//!
//! Source: Amazon SES Developer Guide, "Amazon SES policy anatomy", "Regions and Amazon SES", read 2026-11: a policy is of use
//! only in the Region of its identity, which its resource names.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Verdict;
use super::compared::{Compared, Delegates, Policy};
use super::facts::{Facts, IdentityFacts};
use super::fix::Fix;
use super::judged::Judged;
use crate::arn::Arn;

pub(super) fn judge(facts: &Facts) -> Judged {
    let Some(identities) = facts.identities.answer() else { return Judged::unknown(&facts.identities) };
    let region = facts.stack.region.as_str();
    let mut judged = Judged::passes("");
    let mut policies = Vec::new();
    let mut delegates = BTreeSet::new();
    for of in identities {
        let Some(identity) = of.identity.answer() else {
            judged.unanswered(&of.name, &of.identity);
            continue;
        };
        for (name, text) in &identity.policies {
            match serde_json::from_str(text) {
                Ok(policy) => {
                    one(&mut judged, of, name, &policy, region);
                    delegates.extend(principals(&policy));
                    policies.push(Policy {
                        identity: of.name.clone(),
                        name: name.clone(),
                        text: text.clone(),
                    });
                }
                Err(_) => judged.found(
                    Verdict::Unknown,
                    &of.name,
                    format!("policy {name} can't be read as JSON"),
                    "Look at it in SES's console.",
                    [],
                ),
            }
        }
    }
    judged.applies = !policies.is_empty();
    judged.evidence = if policies.is_empty() {
        "no policies".to_owned()
    } else {
        format!("{} policies, {} delegates", policies.len(), delegates.len())
    };
    judged.compared = Some(Compared::Delegates(Delegates::new(policies)));
    judged
}

fn one(judged: &mut Judged, of: &IdentityFacts, name: &str, policy: &Value, region: &str) {
    let is_open = |statement: &&Value| allows(statement) && who(statement).any(|who| who.contains('*'));
    let open: Vec<_> = statements(policy).filter(is_open).collect();
    if !open.is_empty() {
        let anybody = open.iter().any(|statement| statement.get("Condition").is_none());
        let rest: Vec<_> = statements(policy).filter(|statement| !is_open(statement)).cloned().collect();
        let fix = if rest.is_empty() {
            let delete = [
                "sesv2",
                "delete-email-identity-policy",
                "--email-identity",
                &of.name,
                "--policy-name",
                name,
            ];
            Fix::aws(&delete, region)
        } else {
            let mut without = policy.clone();
            without["Statement"] = rest.into();
            put("update", &of.name, name, &without.to_string(), region)
        };
        let (verdict, whom) = if anybody {
            (Verdict::Fail, "anybody with an AWS account")
        } else {
            (Verdict::Warn, "anybody for whom its condition holds")
        };
        judged.found(
            verdict,
            &of.name,
            format!("policy {name} lets {whom} send as this identity"),
            "Name the delegates' accounts, users or roles instead. The command takes the open statement away.",
            fix,
        );
    }
    let elsewhere: BTreeSet<_> =
        statements(policy).flat_map(resources).filter_map(|arn| Arn::parse(arn)?.region()).collect();
    for other in elsewhere.into_iter().filter(|other| *other != region && !other.contains(['*', '?'])) {
        judged.found(
            Verdict::Fail,
            &of.name,
            format!("policy {name} names a resource of {other}: here it authorizes nobody"),
            "Have it name the identity of this Region.",
            put("update", &of.name, name, &moved(policy, other, region).to_string(), region),
        );
    }
}

/// A command that writes a policy.
pub(super) fn put(verb: &str, identity: &str, name: &str, policy: &str, region: &str) -> Option<Fix> {
    let command = format!("{verb}-email-identity-policy");
    let of = ["sesv2", &command, "--email-identity", identity, "--policy-name", name, "--policy", policy];
    Fix::aws(&of, region)
}

/// The policy, with resources of another Region made those of this one.
pub(super) fn moved(policy: &Value, from: &str, to: &str) -> Value {
    let arn = |text: &str| match Arn::parse(text).and_then(Arn::region) {
        Some(region) if region == from => {
            let mut parts: Vec<_> = text.splitn(6, ':').collect();
            if let Some(region) = parts.get_mut(3) {
                *region = to;
            }
            Value::from(parts.join(":"))
        }
        _ => Value::from(text),
    };
    let mut policy = policy.clone();
    let list = match policy.get_mut("Statement") {
        Some(Value::Array(list)) => list.iter_mut().collect(),
        Some(single) => vec![single],
        None => Vec::new(),
    };
    for resource in list.into_iter().filter_map(|statement| statement.get_mut("Resource")) {
        match resource {
            Value::String(text) => *resource = arn(text),
            Value::Array(list) => {
                for resource in list {
                    if let Value::String(text) = resource {
                        *resource = arn(text);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
    }
    policy
}

/// Whom a policy allows anything, but for everybody.
pub(super) fn principals(policy: &Value) -> BTreeSet<String> {
    let allowed = statements(policy).filter(|statement| allows(statement)).flat_map(who);
    allowed.filter(|who| !who.contains('*')).map(account_or_arn).collect()
}

/// `arn:aws:iam::123456789012:root` is a way of saying `123456789012`.
fn account_or_arn(principal: &str) -> String {
    match Arn::parse(principal) {
        Some(Arn { account, resource: "root", .. }) => account.to_owned(),
        _ => principal.to_owned(),
    }
}

fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    each(policy.get("Statement"))
}

fn allows(statement: &Value) -> bool {
    statement.get("Effect").and_then(Value::as_str) == Some("Allow")
}

/// `"*"`, `{"AWS": "123456789012"}`, `{"AWS": [...], "Service": "..."}`
fn who(statement: &Value) -> impl Iterator<Item = &str> {
    let principal = statement.get("Principal");
    let named = principal.and_then(Value::as_object).into_iter().flat_map(|named| named.values());
    principal.into_iter().chain(named.flat_map(|value| each(Some(value)))).filter_map(Value::as_str)
}

fn resources(statement: &Value) -> impl Iterator<Item = &str> {
    each(statement.get("Resource")).filter_map(Value::as_str)
}

/// A list's values, or the single one.
fn each(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (list, single) = match value {
        Some(Value::Array(list)) => (list.as_slice(), None),
        single => (&[][..], single),
    };
    list.iter().chain(single)
}
