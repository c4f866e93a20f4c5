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

/// Makes one finding with one command, however much is wrong with the policy. Each command writes the whole policy, so a
/// second one that mends another fault would write back the fault that the first has mended.
fn one(judged: &mut Judged, of: &IdentityFacts, name: &str, policy: &Value, region: &str) {
    let mut found: Vec<(Verdict, String, &str)> = Vec::new();
    let open: Vec<_> = statements(policy).filter(|statement| is_open(statement)).collect();
    if !open.is_empty() {
        let anybody = open.iter().any(|statement| statement.get("Condition").is_none());
        let (verdict, whom) = if anybody {
            (Verdict::Fail, "anybody with an AWS account")
        } else {
            (Verdict::Warn, "anybody for whom its condition holds")
        };
        let todo = "Name the delegates' accounts, users or roles instead. The command takes the open statement away.";
        found.push((verdict, format!("lets {whom} send as this identity"), todo));
    }
    let elsewhere: BTreeSet<_> =
        statements(policy).flat_map(resources).filter_map(|arn| elsewhere(arn, region)).collect();
    for other in elsewhere {
        let evidence = format!("names a resource of {other}: here it authorizes nobody");
        found.push((Verdict::Fail, evidence, "Have it name the identity of this Region."));
    }
    let Some(verdict) = found.iter().map(|(verdict, ..)| *verdict).max() else { return };
    let evidence: Vec<_> = found.iter().map(|(_, evidence, _)| evidence.as_str()).collect();
    let mut todo: Vec<_> = found.iter().map(|(.., todo)| *todo).collect();
    todo.dedup();
    let fix = match corrected(policy, region) {
        Some(corrected) => put("update", &of.name, name, &corrected.to_string(), region),
        None => Fix::aws(
            &["sesv2", "delete-email-identity-policy", "--email-identity", &of.name, "--policy-name", name],
            region,
        ),
    };
    judged.found(verdict, &of.name, format!("policy {name} {}", evidence.join("; ")), todo.join(" "), fix);
}

/// A command that writes a policy.
pub(super) fn put(verb: &str, identity: &str, name: &str, policy: &str, region: &str) -> Option<Fix> {
    let command = format!("{verb}-email-identity-policy");
    let of = ["sesv2", &command, "--email-identity", identity, "--policy-name", name, "--policy", policy];
    Fix::aws(&of, region)
}

/// The policy as it should be in a Region: without statements that let everybody, and with the resources of that Region. `None` if
/// no statement is left.
pub(super) fn corrected(policy: &Value, region: &str) -> Option<Value> {
    let closed = statements(policy).filter(|statement| !is_open(statement));
    let rest: Vec<_> = closed.map(|statement| moved(statement, region)).collect();
    if rest.is_empty() {
        return None;
    }
    let mut corrected = policy.clone();
    *corrected.get_mut("Statement")? = rest.into();
    Some(corrected)
}

/// The statement, with the resources of other Regions made those of this one.
fn moved(statement: &Value, to: &str) -> Value {
    let arn = |text: &str| {
        let mut parts: Vec<_> = text.splitn(6, ':').collect();
        match (elsewhere(text, to), parts.get_mut(3)) {
            (Some(_), Some(region)) => {
                *region = to;
                parts.join(":")
            }
            _ => text.to_owned(),
        }
    };
    let mut statement = statement.clone();
    match statement.get_mut("Resource") {
        Some(Value::String(text)) => *text = arn(text),
        Some(Value::Array(list)) => {
            for resource in list {
                if let Value::String(text) = resource {
                    *text = arn(text);
                }
            }
        }
        _ => {}
    }
    statement
}

/// The Region that an ARN names, if it is not this one. A pattern counts as this Region's, too.
fn elsewhere<'a>(arn: &'a str, region: &str) -> Option<&'a str> {
    Arn::parse(arn)?.region().filter(|other| *other != region && !other.contains(['*', '?']))
}

/// Whether a statement allows everybody.
fn is_open(statement: &Value) -> bool {
    allows(statement) && who(statement).any(|who| who.contains('*'))
}

/// Everybody whom a policy allows anything by name. An open statement does not count, nor do those whom it names besides
/// everybody: the whole statement is to be removed.
pub(super) fn principals(policy: &Value) -> BTreeSet<String> {
    let allowed = statements(policy).filter(|statement| allows(statement) && !is_open(statement));
    allowed.flat_map(who).map(account_or_arn).collect()
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

/// Who is allowed, in any of the forms `"*"`, `{"AWS": "123456789012"}`, `{"AWS": [...], "Service": "..."}`.
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
