//! IAM, as far as it is about access keys: SES's SMTP credentials are made of those, and the local AWS has none that are
//! old.
//!
//! It is served at the same endpoint as SES, and told apart by the signature. Its requests are counted, and met by faults,
//! in the Region that they are signed for, us-east-1. Sources: IAM API Reference, each action's page.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock::iso;
use crate::pages::{Page, Paging, hash};
use crate::permissions::{like, many};

/// The users of the account, by name.
#[derive(Debug, Default)]
pub struct Iam {
    users: BTreeMap<String, User>,
}

#[derive(Debug)]
struct User {
    created: OffsetDateTime,
    policies: Vec<Value>,
    keys: BTreeMap<String, Key>,
}

#[derive(Debug)]
struct Key {
    created: OffsetDateTime,
    active: bool,
    used: Option<Used>,
}

#[derive(Debug)]
struct Used {
    at: OffsetDateTime,
    service: String,
    region: String,
}

impl Iam {
    /// Adds a user with these policies. It replaces one of the same name.
    pub fn add_user(&mut self, name: &str, created: OffsetDateTime, policies: Vec<Value>) {
        self.users.insert(name.to_owned(), User { created, policies, keys: BTreeMap::new() });
    }

    /// Gives a user an access key, created at that time. Returns whether there is such a user.
    pub fn add_key(&mut self, user: &str, id: &str, created: OffsetDateTime) -> bool {
        let Some(user) = self.users.get_mut(user) else { return false };
        user.keys.insert(id.to_owned(), Key { created, active: true, used: None });
        true
    }

    /// Removes a user's key. Returns whether there was one.
    pub fn remove_key(&mut self, user: &str, id: &str) -> bool {
        self.users.get_mut(user).is_some_and(|user| user.keys.remove(id).is_some())
    }

    /// Notes the use of a key. Returns whether there is such a key.
    pub fn use_key(&mut self, id: &str, at: OffsetDateTime, service: &str, region: &str) -> bool {
        let key = self.users.values_mut().find_map(|user| user.keys.get_mut(id));
        let Some(key) = key else { return false };
        key.used = Some(Used { at, service: service.to_owned(), region: region.to_owned() });
        true
    }

    /// Whether a key exists and is active.
    pub fn is_active(&self, id: &str) -> bool {
        self.users.values().any(|user| user.keys.get(id).is_some_and(|key| key.active))
    }

    fn user(&self, name: &str) -> Result<&User, Refused> {
        self.users.get(name).ok_or_else(|| no_user(name))
    }

    fn keys(&mut self, user: Option<&str>) -> Result<&mut BTreeMap<String, Key>, Refused> {
        let name = user.ok_or_else(|| {
            // The local IAM does not know whose key signed the request.
            Refused::invalid("Must specify userName when calling with non-User credentials")
        })?;
        self.users.get_mut(name).map(|user| &mut user.keys).ok_or_else(|| no_user(name))
    }
}

/// An error with which IAM answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refused {
    fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "ValidationError", message: message.into() }
    }

    fn nothing(message: String) -> Self {
        Self { status: 404, code: "NoSuchEntity", message }
    }
}

fn no_user(name: &str) -> Refused {
    Refused::nothing(format!("The user with name {name} cannot be found."))
}

fn no_key(id: &str) -> Refused {
    Refused::nothing(format!("The Access Key with id {id} cannot be found."))
}

/// Carries out an action and returns its result as JSON, in the API's spelling.
pub(crate) fn call(
    iam: &mut Iam,
    now: OffsetDateTime,
    account: &str,
    action: &str,
    params: Value,
) -> Result<Value, Refused> {
    match action {
        "CreateAccessKey" => create_key(iam, now, params),
        "ListUsers" => list_users(iam, account, params),
        "ListAccessKeys" => list_keys(iam, params),
        "GetAccessKeyLastUsed" => last_used(iam, params),
        "SimulatePrincipalPolicy" => simulate(iam, account, params),
        "UpdateAccessKey" => update_key(iam, params),
        "DeleteAccessKey" => delete_key(iam, params),
        _ => Err(Refused {
            status: 400,
            code: "InvalidAction",
            message: format!("Could not find operation {action} for version 2010-05-08"),
        }),
    }
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refused> {
    serde_json::from_value(params).map_err(|error| Refused::invalid(error.to_string()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<String>,
}

impl List {
    fn page<'n>(&self, what: &str, names: impl Iterator<Item = &'n String>) -> Result<Page<String>, Refused> {
        let size = self.max_items.as_deref().map(str::parse).transpose();
        let size = size.map_err(|_| Refused::invalid("MaxItems is no number."))?;
        let paging = Paging { scope: what, usual: 100, most: 1000 };
        paging.page(names, size, self.marker.as_deref()).map_err(|refused| Refused::invalid(refused.message))
    }
}

fn paged(what: &str, items: &[Value], next: Option<&str>) -> Value {
    json!({ what: items, "IsTruncated": next.is_some(), "Marker": next })
}

fn user_arn(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:user/{name}")
}

fn list_users(iam: &Iam, account: &str, params: Value) -> Result<Value, Refused> {
    let Page { items, next_token } = read::<List>(params)?.page("users", iam.users.keys())?;
    let users = items.iter().filter_map(|name| {
        let user = iam.users.get(name)?;
        Some(json!({
            "Path": "/",
            "UserName": name,
            "UserId": "AIDACKCEVSQ6C2EXAMPLE",
            "Arn": user_arn(account, name),
            "CreateDate": iso(user.created),
        }))
    });
    Ok(paged("Users", &users.collect::<Vec<_>>(), next_token.as_deref()))
}

fn list_keys(iam: &mut Iam, params: Value) -> Result<Value, Refused> {
    let list: List = read(params)?;
    let keys = iam.keys(list.user_name.as_deref())?;
    let Page { items, next_token } = list.page("keys", keys.keys())?;
    let told = items.iter().filter_map(|id| {
        let key = keys.get(id)?;
        Some(json!({
            "UserName": list.user_name,
            "AccessKeyId": id,
            "Status": if key.active { "Active" } else { "Inactive" },
            "CreateDate": iso(key.created),
        }))
    });
    Ok(paged("AccessKeyMetadata", &told.collect::<Vec<_>>(), next_token.as_deref()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    user_name: Option<String>,
}

/// Creates a key. A user may have two (IAM User Guide, "IAM and AWS STS quotas").
fn create_key(iam: &mut Iam, now: OffsetDateTime, params: Value) -> Result<Value, Refused> {
    let Create { user_name } = read(params)?;
    let keys = iam.keys(user_name.as_deref())?;
    if keys.len() >= 2 {
        let message = "Cannot exceed quota for AccessKeysPerUser: 2".to_owned();
        return Err(Refused { status: 409, code: "LimitExceeded", message });
    }
    let name = user_name.as_deref().unwrap_or_default();
    let id = format!("AKIA{:016X}", hash(name, &iso(now)));
    keys.insert(id.clone(), Key { created: now, active: true, used: None });
    Ok(json!({ "AccessKey": {
        "UserName": name,
        "AccessKeyId": id,
        "Status": "Active",
        "SecretAccessKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "CreateDate": iso(now),
    } }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyParams {
    user_name: Option<String>,
    access_key_id: String,
    status: Option<String>,
}

fn last_used(iam: &Iam, params: Value) -> Result<Value, Refused> {
    let KeyParams { access_key_id: id, .. } = read(params)?;
    let found = iam.users.iter().find_map(|(name, user)| Some((name, user.keys.get(&id)?)));
    let (name, key) = found.ok_or_else(|| no_key(&id))?;
    let used = key.used.as_ref().map_or_else(
        || json!({ "ServiceName": "N/A", "Region": "N/A" }),
        |used| json!({ "LastUsedDate": iso(used.at), "ServiceName": used.service, "Region": used.region }),
    );
    Ok(json!({ "UserName": name, "AccessKeyLastUsed": used }))
}

fn update_key(iam: &mut Iam, params: Value) -> Result<Value, Refused> {
    let KeyParams { user_name, access_key_id: id, status } = read(params)?;
    let active = match status.as_deref() {
        Some("Active") => true,
        Some("Inactive") => false,
        _ => return Err(Refused::invalid("Status must be one of [Active, Inactive].")),
    };
    iam.keys(user_name.as_deref())?.get_mut(&id).ok_or_else(|| no_key(&id))?.active = active;
    Ok(Value::Null)
}

fn delete_key(iam: &mut Iam, params: Value) -> Result<Value, Refused> {
    let KeyParams { user_name, access_key_id: id, .. } = read(params)?;
    iam.keys(user_name.as_deref())?.remove(&id).ok_or_else(|| no_key(&id))?;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simulate {
    policy_source_arn: String,
    action_names: Vec<String>,
    #[serde(default)]
    resource_arns: Vec<String>,
}

/// Simulates policies by their actions and resources. A statement with conditions does not decide, since there is nothing
/// to compare with: its condition keys are told as missing.
fn simulate(iam: &Iam, account: &str, params: Value) -> Result<Value, Refused> {
    let Simulate { policy_source_arn: source, action_names, resource_arns } = read(params)?;
    let name = source.strip_prefix(&user_arn(account, "")).ok_or_else(|| no_user(&source))?;
    let user = iam.user(name)?;
    let results = action_names.iter().map(|action| {
        let each: Vec<(&str, Decision)> = resource_arns
            .iter()
            .map(|resource| (resource.as_str(), decide(&user.policies, action, resource)))
            .collect();
        let whole = each
            .iter()
            .map(|(_, decision)| decision.clone())
            .max_by_key(|decision| decision.effect)
            .unwrap_or_else(|| decide(&user.policies, action, "*"));
        let specific: Vec<Value> = each
            .iter()
            .map(|(resource, decision)| {
                json!({
                    "EvalResourceName": resource,
                    "EvalResourceDecision": decision.effect.as_str(),
                    "MissingContextValues": decision.missing,
                })
            })
            .collect();
        json!({
            "EvalActionName": action,
            "EvalResourceName": resource_arns.first().map_or("*", String::as_str),
            "EvalDecision": whole.effect.as_str(),
            "MissingContextValues": whole.missing,
            "ResourceSpecificResults": specific,
        })
    });
    Ok(json!({ "EvaluationResults": results.collect::<Vec<_>>(), "IsTruncated": false }))
}

/// What a policy decides. Of several, the greatest is the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Allowed,
    ImplicitDeny,
    ExplicitDeny,
}

impl Effect {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::ImplicitDeny => "implicitDeny",
            Self::ExplicitDeny => "explicitDeny",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    effect: Effect,
    missing: Vec<String>,
}

fn decide(policies: &[Value], action: &str, resource: &str) -> Decision {
    let mut decision = Decision { effect: Effect::ImplicitDeny, missing: Vec::new() };
    for statement in policies.iter().flat_map(|policy| many(&policy["Statement"])) {
        let any = |patterns: &Value, text: &str, fold: bool| {
            many(patterns).iter().filter_map(Value::as_str).any(|pattern| {
                if fold { like(&pattern.to_lowercase(), &text.to_lowercase()) } else { like(pattern, text) }
            })
        };
        if !any(&statement["Action"], action, true) || !any(&statement["Resource"], resource, false) {
            continue;
        }
        let keys = statement["Condition"].as_object().into_iter().flatten();
        let keys: Vec<String> =
            keys.filter_map(|(_, keys)| keys.as_object()).flat_map(|keys| keys.keys().cloned()).collect();
        if !keys.is_empty() {
            decision.missing.extend(keys);
        } else if statement["Effect"] == "Deny" {
            return Decision { effect: Effect::ExplicitDeny, missing: Vec::new() };
        } else {
            decision.effect = Effect::Allowed;
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_let_do_what_they_say() {
        let statement = |effect: &str, resource: &str, condition: Value| json!({ "Statement": { "Effect": effect, "Action": "ses:Send*", "Resource": resource, "Condition": condition } });
        let (one, two) = ("arn:aws:ses:us-east-1:1:identity/a", "arn:aws:ses:us-east-1:1:identity/b");
        let ip = json!({ "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } });
        for (policies, action, resource, expected, missing) in [
            (vec![], "ses:SendRawEmail", "*", Effect::ImplicitDeny, 0),
            (vec![statement("Allow", "*", Value::Null)], "ses:sendrawemail", one, Effect::Allowed, 0),
            (vec![statement("Allow", "*", Value::Null)], "s3:GetObject", one, Effect::ImplicitDeny, 0),
            (vec![statement("Allow", one, Value::Null)], "ses:SendRawEmail", two, Effect::ImplicitDeny, 0),
            (vec![statement("Allow", one, Value::Null)], "ses:SendRawEmail", "*", Effect::ImplicitDeny, 0),
            (
                vec![statement("Allow", "*", Value::Null), statement("Deny", two, Value::Null)],
                "ses:SendRawEmail",
                two,
                Effect::ExplicitDeny,
                0,
            ),
            (vec![statement("Allow", "*", ip)], "ses:SendRawEmail", one, Effect::ImplicitDeny, 1),
        ] {
            let decision = decide(&policies, action, resource);
            assert_eq!(
                (decision.effect, decision.missing.len()),
                (expected, missing),
                "{policies:?} {resource}"
            );
        }
    }
}
