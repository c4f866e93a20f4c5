//! The actions on configuration sets and their event destinations.

use serde::Deserialize;
use serde_json::{Value, json};

use super::account::Sending;
use super::{Call, reason_of};
use crate::configuration_sets::{ConfigurationSet, Definition};
use crate::ses::Ses;
use crate::suppression::{Page, Reason, Refused};

/// The text that SES publishes to a topic to see whether it may (seen).
const VALIDATION: &str = "Successfully validated SNS topic for Amazon SES event publishing.";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    configuration_set_name: String,
    suppression_options: Option<SuppressionOptions>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SuppressionOptions {
    suppressed_reasons: Option<Vec<String>>,
}

impl SuppressionOptions {
    fn reasons(self) -> Result<Option<Vec<Reason>>, Refused> {
        let read = |reasons: Vec<String>| {
            reasons.iter().map(|reason| reason_of("suppressedReasons", reason)).collect::<Result<_, _>>()
        };
        self.suppressed_reasons.map(read).transpose()
    }
}

/// `CreateConfigurationSet`
pub(super) fn create(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Create { configuration_set_name: name, suppression_options } = call.read()?;
    let reasons = suppression_options.map(SuppressionOptions::reasons).transpose()?.flatten();
    ses.configuration_sets(region, |sets| sets.create(&name, reasons))?;
    Ok(json!({}))
}

/// `DeleteConfigurationSet`
pub(super) fn delete(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    ses.configuration_sets(region, |sets| sets.delete(call.label(0)))?;
    Ok(json!({}))
}

/// `GetConfigurationSet`. Options that the set does not have are left out, so that the account's count (probed).
pub(super) fn get(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let name = call.label(0);
    ses.configuration_sets(region, |sets| {
        let set = sets.get(name)?;
        let mut described = json!({
            "ConfigurationSetName": name,
            "SendingOptions": { "SendingEnabled": set.sending },
            "ReputationOptions": { "ReputationMetricsEnabled": false },
            "Tags": [],
        });
        if let Some(reasons) = &set.suppressed_reasons {
            let reasons: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
            described["SuppressionOptions"] = json!({ "SuppressedReasons": reasons });
        }
        Ok(described)
    })
}

/// `ListConfigurationSets`
pub(super) fn list(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let (size, token) = call.paging()?;
    let Page { items, next_token } =
        ses.configuration_sets(region, |sets| sets.page(region, size, token.as_deref()))?;
    Ok(json!({ "ConfigurationSets": items, "NextToken": next_token }))
}

/// `PutConfigurationSetSuppressionOptions`. Without a list of reasons, the account's reasons count again.
pub(super) fn put_suppression(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let reasons = call.read::<SuppressionOptions>()?.reasons()?;
    change(ses, region, call, |set| {
        set.suppressed_reasons = reasons;
        Ok(())
    })
}

/// `PutConfigurationSetSendingOptions`
pub(super) fn put_sending(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Sending { sending_enabled } = call.read()?;
    change(ses, region, call, |set| {
        set.sending = sending_enabled;
        Ok(())
    })
}

/// `GetConfigurationSetEventDestinations`
pub(super) fn destinations(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    ses.configuration_sets(region, |sets| {
        Ok(json!({ "EventDestinations": sets.get(call.label(0))?.destinations() }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(default)]
    event_destination_name: String,
    event_destination: Definition,
}

/// `CreateConfigurationSetEventDestination`
pub(super) async fn add(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Destination { event_destination_name: name, event_destination } = call.read()?;
    check(ses, region, call, &event_destination).await?;
    change(ses, region, call, |set| set.add(&name, event_destination))
}

/// `UpdateConfigurationSetEventDestination`
pub(super) async fn replace(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Destination { event_destination, .. } = call.read()?;
    check(ses, region, call, &event_destination).await?;
    change(ses, region, call, |set| set.replace(call.label(1), event_destination))
}

/// `DeleteConfigurationSetEventDestination`
pub(super) fn remove(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    change(ses, region, call, |set| set.remove(call.label(1)))
}

/// Checks an event destination. SES publishes to its topic, to see whether it may.
async fn check(ses: &Ses, region: &str, call: &Call<'_>, to: &Definition) -> Result<(), Refused> {
    to.check(region)?;
    ses.configuration_sets(region, |sets| sets.get(call.label(0)).map(drop))?;
    let Some(topic) = to.topic() else { return Ok(()) };
    let refused = || Refused::bad(format!("Invalid SNS topic: {topic}"));
    let aws = ses.aws().ok_or_else(|| Refused::bad("The local SES knows no local AWS yet."))?;
    aws.publish(region, topic, None, VALIDATION.to_owned()).await.map_err(|_| refused())
}

fn change(
    ses: &Ses,
    region: &str,
    call: &Call<'_>,
    work: impl FnOnce(&mut ConfigurationSet) -> Result<(), Refused>,
) -> Result<Value, Refused> {
    ses.configuration_sets(region, |sets| work(sets.get_mut(call.label(0))?))?;
    Ok(json!({}))
}
