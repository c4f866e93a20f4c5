//! The actions on the account in one Region.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Call, reason_of};
use crate::ses::Ses;
use crate::suppression::{Account, Refused};

/// `GetAccount`
pub(super) fn get(ses: &Ses, region: &str) -> Value {
    ses.suppression(region, |list| described(&list.account))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    suppressed_reasons: Vec<String>,
    validation_attributes: Option<Map<String, Value>>,
}

/// `PutAccountSuppressionAttributes`. No source says whether Auto Validation stays as it was if a call leaves it out. Here
/// it does not, since a caller who always sends it is right in either case.
pub(super) fn put_suppression(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Attributes { suppressed_reasons, validation_attributes } = call.read()?;
    let reasons = suppressed_reasons
        .iter()
        .map(|reason| reason_of("suppressedReasons", reason))
        .collect::<Result<_, _>>()?;
    ses.suppression(region, |list| {
        list.account.suppressed_reasons = reasons;
        list.account.validation = validation_attributes;
    });
    Ok(json!({}))
}

/// The reasons of a suppression list, of an account or of a configuration set.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Sending {
    #[serde(default)]
    pub(super) sending_enabled: bool,
}

/// `PutAccountSendingAttributes`. If SES itself has stopped sending, only SES can let it go on (API reference v2); no
/// source tells the error.
pub(super) fn put_sending(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Sending { sending_enabled } = call.read()?;
    ses.suppression(region, |list| {
        if sending_enabled && list.account.enforcement_status == "SHUTDOWN" {
            return Err(Refused::bad("Sending was paused by Amazon SES."));
        }
        list.account.sending_enabled = sending_enabled;
        Ok(json!({}))
    })
}

/// `PutAccountDetails`: an application for production access, on which here a test decides.
pub(super) fn put_details(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let mut told: Map<String, Value> = call.read()?;
    let production = told.remove("ProductionAccessEnabled").is_some_and(|enabled| enabled == true);
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
    if !["MARKETING", "TRANSACTIONAL"].contains(&text("MailType")) {
        let set = "Member must satisfy enum value set: [MARKETING, TRANSACTIONAL]";
        return Err(Refused::constraint("mailType", set));
    }
    if !(1..=1000).contains(&text("WebsiteURL").len()) {
        return Err(Refused::constraint("websiteURL", "Member must have length between 1 and 1000"));
    }
    ses.suppression(region, |list| list.account.apply(told, production))?;
    Ok(json!({}))
}

fn described(account: &Account) -> Value {
    let reasons: Vec<&str> = account.suppressed_reasons.iter().map(|reason| reason.as_str()).collect();
    let mut described = json!({
        "DedicatedIpAutoWarmupEnabled": false,
        "EnforcementStatus": account.enforcement_status,
        "ProductionAccessEnabled": account.production_access,
        "SendingEnabled": account.sending_enabled,
        "SendQuota": {
            "Max24HourSend": account.max_24_hour_send,
            "MaxSendRate": account.max_send_rate,
            "SentLast24Hours": account.sent_last_24_hours,
        },
        "SuppressionAttributes": { "SuppressedReasons": reasons },
    });
    if let Some(validation) = &account.validation {
        described["SuppressionAttributes"]["ValidationAttributes"] = Value::Object(validation.clone());
    }
    // SES leaves the details out until there are some (probed).
    if let Some(details) = &account.details {
        described["Details"] = Value::Object(details.told.clone());
        described["Details"]["ReviewDetails"] = json!({ "Status": details.review.as_str() });
    }
    described
}
