//! Sending authorization policies: JSON in the language of IAM.
//!
//! Source: Amazon SES Developer Guide, "Amazon SES policy anatomy", "Regions and Amazon SES", read 2026-11: a policy is of use
//! only in the Region of its identity, which its resource names.

use std::collections::BTreeSet;

use mailroom_core::arn::Arn;
use serde_json::Value;

use crate::fix::Fix;

/// Whether a policy is new.
#[derive(Clone, Copy)]
pub(crate) enum PolicyVerb {
    Create,
    Update,
}

/// A command that writes a policy.
pub(crate) fn put_policy_command(
    verb: PolicyVerb,
    identity: &str,
    name: &str,
    policy: &str,
    region: &str,
) -> Option<Fix> {
    let command = match verb {
        PolicyVerb::Create => "create-email-identity-policy",
        PolicyVerb::Update => "update-email-identity-policy",
    };
    let of = ["sesv2", command, "--email-identity", identity, "--policy-name", name, "--policy", policy];
    Fix::aws_command(&of, region)
}

/// What is left of a policy.
pub(crate) enum CorrectedPolicy {
    Kept(Value),
    /// No statement is left.
    NothingLeft,
}

/// The policy as it should be in a Region: without statements that let everybody, and with the resources of that Region.
pub(crate) fn drop_open_and_move_to_region(policy: &Value, region: &str) -> CorrectedPolicy {
    let closed = statements(policy).filter(|statement| !allows_wildcard_principal(statement));
    let rest: Vec<_> = closed.map(|statement| move_to_region(statement, region)).collect();
    if rest.is_empty() {
        return CorrectedPolicy::NothingLeft;
    }
    let mut corrected = policy.clone();
    if let Some(statements) = corrected.get_mut("Statement") {
        *statements = rest.into();
    }
    CorrectedPolicy::Kept(corrected)
}

/// The statement, with the resources of other Regions made those of this one.
fn move_to_region(statement: &Value, to: &str) -> Value {
    let arn = |text: &str| {
        let mut parts: Vec<_> = text.splitn(6, ':').collect();
        match (foreign_region(text, to), parts.get_mut(3)) {
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
pub(crate) fn foreign_region<'a>(arn: &'a str, region: &str) -> Option<&'a str> {
    Arn::parse(arn)?.region().filter(|other| *other != region && !other.contains(['*', '?']))
}

/// Whether a statement allows everybody.
pub(crate) fn allows_wildcard_principal(statement: &Value) -> bool {
    allows(statement) && all_principals(statement).any(|who| who.contains('*'))
}

/// Everybody whom a policy allows anything by name. An open statement does not count, nor do those whom it names besides
/// everybody: the whole statement is to be removed.
pub(crate) fn named_principals(policy: &Value) -> BTreeSet<String> {
    let allowed =
        statements(policy).filter(|statement| allows(statement) && !allows_wildcard_principal(statement));
    allowed.flat_map(all_principals).map(account_or_arn).collect()
}

/// `arn:aws:iam::123456789012:root` is a way of saying `123456789012`.
fn account_or_arn(principal: &str) -> String {
    match Arn::parse(principal) {
        Some(Arn { account, resource: "root", .. }) => account.to_owned(),
        _ => principal.to_owned(),
    }
}

pub(crate) fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    list_or_single(policy.get("Statement"))
}

fn allows(statement: &Value) -> bool {
    statement.get("Effect").and_then(Value::as_str) == Some("Allow")
}

/// Who is allowed, in any of the forms `"*"`, `{"AWS": "123456789012"}`, `{"AWS": [...], "Service": "..."}`.
fn all_principals(statement: &Value) -> impl Iterator<Item = &str> {
    let principal = statement.get("Principal");
    let named = principal.and_then(Value::as_object).into_iter().flat_map(|named| named.values());
    principal.into_iter().chain(named.flat_map(|value| list_or_single(Some(value)))).filter_map(Value::as_str)
}

pub(crate) fn resources(statement: &Value) -> impl Iterator<Item = &str> {
    list_or_single(statement.get("Resource")).filter_map(Value::as_str)
}

/// A list's values, or the single one.
fn list_or_single(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (list, single) = match value {
        Some(Value::Array(list)) => (list.as_slice(), None),
        single => (&[][..], single),
    };
    list.iter().chain(single)
}
