//! Notifications of identities. Only v1 of the API has their topics.

use serde::Deserialize;
use serde_json::{Value, json};

use super::read;
use crate::identities::{Identity, Told};
use crate::rules::Refusal;
use crate::ses::Ses;

/// The most identities in one request (API reference, `GetIdentityNotificationAttributes`).
const MAX_IDENTITIES: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    identities: Vec<String>,
}

/// `GetIdentityNotificationAttributes`. An identity that does not exist is left out; no source tells what SES does.
pub(super) fn get(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let Get { identities } = read(params)?;
    if identities.len() > MAX_IDENTITIES {
        return Err(invalid(format!("{} identities; {MAX_IDENTITIES} are the limit.", identities.len())));
    }
    let entries: Vec<Value> = identities
        .iter()
        .filter_map(|asked| {
            let name = name(asked, region)?;
            ses.identities(|all| {
                let identity = all.get(ses.clock.now(), region, name).ok()?;
                Some(json!({ "key": asked, "value": attributes(identity) }))
            })
        })
        .collect();
    Ok(json!({ "NotificationAttributes": { "entry": entries } }))
}

fn attributes(identity: &Identity) -> Value {
    let notifications = &identity.notifications;
    let mut told = json!({ "ForwardingEnabled": notifications.forwarding });
    for kind in Told::ALL {
        let name = kind.as_str();
        told[format!("HeadersIn{name}NotificationsEnabled")] =
            json!(notifications.with_headers.contains(&kind));
        if let Some(topic) = notifications.topics.get(&kind) {
            told[format!("{name}Topic")] = json!(topic);
        }
    }
    told
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetTopic {
    identity: String,
    notification_type: String,
    sns_topic: Option<String>,
}

/// `SetIdentityNotificationTopic`. SES publishes to a topic before it accepts it (seen). The errors are as seen, too.
pub(super) async fn set_topic(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let SetTopic { identity: asked, notification_type, sns_topic } = read(params)?;
    let told = kind(&notification_type)?;
    let topic = sns_topic.as_deref().filter(|topic| !topic.is_empty());
    let name = verified(ses, region, &asked)?;
    if let Some(topic) = topic {
        let refused = || invalid(format!("SNS topic {topic} is invalid."));
        // "Must be within the same AWS region" (guide, "Configuring Amazon SNS notifications").
        if topic.split(':').nth(3) != Some(region) {
            return Err(refused());
        }
        let aws = ses
            .aws()
            .ok_or_else(|| Refusal::new("InternalFailure", "the local SES knows no local AWS yet"))?;
        let message = json!({
            "notificationType": "AmazonSnsSubscriptionSucceeded",
            "message": format!(
                "You have successfully subscribed your Amazon SNS topic '{topic}' to receive '{}' notifications from \
                 Amazon SES for identity '{name}'.",
                told.as_str()
            ),
        });
        aws.publish(region, topic, None, message.to_string()).await.map_err(|_| refused())?;
    }
    change(ses, region, name, |identity| identity.notifications.set_topic(told, topic))??;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetForwarding {
    identity: String,
    forwarding_enabled: String,
}

/// `SetIdentityFeedbackForwardingEnabled`
pub(super) fn set_forwarding(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let SetForwarding { identity, forwarding_enabled } = read(params)?;
    let enabled = boolean(&forwarding_enabled)?;
    let name = verified(ses, region, &identity)?;
    change(ses, region, name, |identity| identity.notifications.set_forwarding(enabled))??;
    Ok(Value::Null)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetHeaders {
    identity: String,
    notification_type: String,
    enabled: String,
}

/// `SetIdentityHeadersInNotificationsEnabled`
pub(super) fn set_headers(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let SetHeaders { identity, notification_type, enabled } = read(params)?;
    let (told, enabled) = (kind(&notification_type)?, boolean(&enabled)?);
    let name = verified(ses, region, &identity)?;
    let done = change(ses, region, name, |identity| {
        let notifications = &mut identity.notifications;
        if enabled && !notifications.topics.contains_key(&told) {
            return false;
        }
        if enabled {
            notifications.with_headers.insert(told);
        } else {
            notifications.with_headers.remove(&told);
        }
        true
    })?;
    if done { Ok(Value::Null) } else { Err(invalid(format!("{} has no topic.", told.as_str()))) }
}

fn change<T>(
    ses: &Ses,
    region: &str,
    name: &str,
    work: impl FnOnce(&mut Identity) -> T,
) -> Result<T, Refusal> {
    let done = ses.identities(|all| all.change(ses.clock.now(), region, name, work));
    done.map_err(|_| not_verified(name))
}

/// The name of an identity that may be given by its name or by its ARN; `None` if the ARN is of another Region.
fn name<'a>(asked: &'a str, region: &str) -> Option<&'a str> {
    let Some(arn) = asked.strip_prefix("arn:") else { return Some(asked) };
    let parts: Vec<&str> = arn.splitn(5, ':').collect();
    match parts[..] {
        [_, "ses", within, _, resource] if within == region => resource.strip_prefix("identity/"),
        _ => None,
    }
}

/// The name of an identity, if it exists and is verified.
fn verified<'a>(ses: &Ses, region: &str, asked: &'a str) -> Result<&'a str, Refusal> {
    let name = name(asked, region).ok_or_else(|| not_verified(asked))?;
    let is = ses.identities(|all| all.get(ses.clock.now(), region, name).is_ok_and(Identity::is_verified));
    if is { Ok(name) } else { Err(not_verified(asked)) }
}

fn not_verified(asked: &str) -> Refusal {
    invalid(format!("Identity {asked} is invalid. Must be a verified email address or domain."))
}

fn kind(text: &str) -> Result<Told, Refusal> {
    Told::of(text).ok_or_else(|| {
        Refusal::new(
            "ValidationError",
            "1 validation error detected: Value at 'notificationType' failed to satisfy constraint: Member must satisfy \
             enum value set: [Bounce, Complaint, Delivery]",
        )
    })
}

fn boolean(text: &str) -> Result<bool, Refusal> {
    text.parse().map_err(|_| Refusal::new("ValidationError", format!("{text:?} is not true or false")))
}

fn invalid(message: String) -> Refusal {
    Refusal::new("InvalidParameterValue", message)
}
