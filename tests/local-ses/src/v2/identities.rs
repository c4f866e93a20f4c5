//! The actions on identities: verification, DKIM signatures, MAIL FROM, policies.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, seconds};
use crate::identities::{Identity, KeyLength, OnMxFailure, Origin, Signatures, Status};
use crate::ses::Ses;
use crate::suppression::{Page, Refused};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    email_identity: String,
    configuration_set_name: Option<String>,
    dkim_signing_attributes: Option<SigningAttributes>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct SigningAttributes {
    domain_signing_selector: Option<String>,
    domain_signing_private_key: Option<String>,
    domain_signing_attributes_origin: Option<String>,
    next_signing_key_length: Option<String>,
}

impl SigningAttributes {
    /// Whose key is to sign: `named` if the action names an origin, else by the request's own fields.
    fn origin(&self, named: Option<&str>) -> Result<Origin, Refused> {
        let named = named.or(self.domain_signing_attributes_origin.as_deref());
        let own = (self.domain_signing_selector.clone(), &self.domain_signing_private_key);
        match (named, own) {
            (Some("EXTERNAL") | None, (Some(selector), Some(_))) => Ok(Origin::External { selector }),
            (Some("AWS_SES") | None, (None, None)) => Ok(Origin::AwsSes),
            (Some(other), (None, None)) => Origin::replica(other)
                .ok_or_else(|| Refused::constraint("signingAttributesOrigin", &format!("{other} is none"))),
            _ => Err(Refused::bad("An own key needs a selector and the private key, others need neither.")),
        }
    }

    fn length(&self) -> Result<Option<KeyLength>, Refused> {
        let set = "Member must satisfy enum value set: [RSA_1024_BIT, RSA_2048_BIT]";
        let read =
            |text: &str| KeyLength::of(text).ok_or_else(|| Refused::constraint("nextSigningKeyLength", set));
        self.next_signing_key_length.as_deref().map(read).transpose()
    }
}

/// `CreateEmailIdentity`
pub(super) fn create(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Create { email_identity: name, configuration_set_name: set, dkim_signing_attributes } =
        call.read()?;
    if let Some(set) = &set {
        ses.configuration_sets(region, |sets| sets.get(set).map(drop))?;
    }
    let signing = dkim_signing_attributes
        .map(|signing| Ok((signing.origin(None)?, signing.length()?.unwrap_or(KeyLength::Rsa2048))))
        .transpose()?;
    let now = ses.clock.now();
    ses.identities(|all| {
        all.create(now, region, &name, signing)?;
        let identity = all.change(now, region, &name, |identity| {
            identity.configuration_set = set;
            identity.clone()
        })?;
        let signatures = all.signatures(region, &name);
        Ok(json!({
            "IdentityType": kind(&name),
            "VerifiedForSendingStatus": identity.is_verified(),
            "DkimAttributes": dkim(signatures.as_ref()),
        }))
    })
}

/// `DeleteEmailIdentity`
pub(super) fn delete(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    ses.identities(|all| all.delete(ses.clock.now(), region, call.label(0)))?;
    Ok(json!({}))
}

/// `ListEmailIdentities`
pub(super) fn list(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let (size, token) = call.paging()?;
    let Page { items, next_token } =
        ses.identities(|all| all.page(ses.clock.now(), region, size, token.as_deref()))?;
    let items: Vec<Value> = items
        .iter()
        .map(|(name, identity)| {
            json!({
                "IdentityName": name,
                "IdentityType": kind(name),
                "SendingEnabled": identity.is_verified(),
                "VerificationStatus": identity.verification.status.as_str(),
            })
        })
        .collect();
    Ok(json!({ "EmailIdentities": items, "NextToken": next_token }))
}

/// `GetEmailIdentity`
pub(super) fn get(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let name = call.label(0);
    ses.identities(|all| {
        let identity = all.get(ses.clock.now(), region, name)?.clone();
        Ok(described(name, &identity, all.signatures(region, name).as_ref()))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigurationSetAttributes {
    configuration_set_name: Option<String>,
}

/// `PutEmailIdentityConfigurationSetAttributes`
pub(super) fn put_configuration_set(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let ConfigurationSetAttributes { configuration_set_name: set } = call.read()?;
    if let Some(set) = &set {
        ses.configuration_sets(region, |sets| sets.get(set).map(drop))?;
    }
    change(ses, region, call, |identity| identity.configuration_set = set)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DkimAttributes {
    #[serde(default)]
    signing_enabled: bool,
}

/// `PutEmailIdentityDkimAttributes`. Addresses have no switch of their own here.
pub(super) fn put_dkim(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let DkimAttributes { signing_enabled } = call.read()?;
    change(ses, region, call, |identity| {
        if let Some(dkim) = &mut identity.dkim {
            dkim.signing = signing_enabled;
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DkimSigningAttributes {
    signing_attributes_origin: String,
    #[serde(default)]
    signing_attributes: SigningAttributes,
}

/// `PutEmailIdentityDkimSigningAttributes`
pub(super) fn put_dkim_signing(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let DkimSigningAttributes { signing_attributes_origin: named, signing_attributes } = call.read()?;
    let (origin, length) = (signing_attributes.origin(Some(&named))?, signing_attributes.length()?);
    let name = call.label(0);
    let signatures = ses.identities(|all| {
        all.sign(ses.clock.now(), region, name, origin, length)?;
        Ok(all.signatures(region, name))
    })?;
    let told = dkim(signatures.as_ref());
    Ok(json!({
        "DkimStatus": told["Status"], "DkimTokens": told["Tokens"], "SigningHostedZone": told["SigningHostedZone"],
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FeedbackAttributes {
    #[serde(default)]
    email_forwarding_enabled: bool,
}

/// `PutEmailIdentityFeedbackAttributes`. Unlike v1, it can switch e-mail off at any time (API reference v2: whoever is not
/// told in another way gets e-mail all the same).
pub(super) fn put_feedback(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let FeedbackAttributes { email_forwarding_enabled } = call.read()?;
    change(ses, region, call, |identity| identity.notifications.forwarding = email_forwarding_enabled)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MailFromAttributes {
    mail_from_domain: Option<String>,
    behavior_on_mx_failure: Option<String>,
}

/// `PutEmailIdentityMailFromAttributes`
pub(super) fn put_mail_from(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let MailFromAttributes { mail_from_domain: domain, behavior_on_mx_failure: behavior } = call.read()?;
    let behavior = match behavior.as_deref() {
        None => OnMxFailure::UseDefaultValue,
        Some(text) => OnMxFailure::of(text).ok_or_else(|| {
            let set = "Member must satisfy enum value set: [USE_DEFAULT_VALUE, REJECT_MESSAGE]";
            Refused::constraint("behaviorOnMxFailure", set)
        })?,
    };
    let domain = domain.as_deref().filter(|domain| !domain.is_empty());
    ses.identities(|all| all.send_from(ses.clock.now(), region, call.label(0), domain, behavior))?;
    Ok(json!({}))
}

/// `GetEmailIdentityPolicies`
pub(super) fn policies(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    ses.identities(|all| {
        let identity = all.get(ses.clock.now(), region, call.label(0))?;
        verified(call.label(0), identity)?;
        Ok(json!({ "Policies": identity.policies.all() }))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    policy: String,
}

/// `CreateEmailIdentityPolicy`
pub(super) fn create_policy(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Policy { policy } = call.read()?;
    change_policies(ses, region, call, |identity| identity.policies.create(call.label(1), &policy))
}

/// `UpdateEmailIdentityPolicy`
pub(super) fn update_policy(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Policy { policy } = call.read()?;
    change_policies(ses, region, call, |identity| identity.policies.update(call.label(1), &policy))
}

/// `DeleteEmailIdentityPolicy`
pub(super) fn delete_policy(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    change_policies(ses, region, call, |identity| {
        identity.policies.delete(call.label(1));
        Ok(())
    })
}

fn change_policies(
    ses: &Ses,
    region: &str,
    call: &Call<'_>,
    work: impl FnOnce(&mut Identity) -> Result<(), Refused>,
) -> Result<Value, Refused> {
    let name = call.label(0);
    let work = |identity: &mut Identity| verified(name, identity).and_then(|()| work(identity));
    ses.identities(|all| all.change(ses.clock.now(), region, name, work))??;
    Ok(json!({}))
}

/// Refuses an identity that is not verified, which the actions on policies require (API reference v2, each one's page). No
/// source tells the code of the error.
fn verified(name: &str, identity: &Identity) -> Result<(), Refused> {
    if identity.is_verified() {
        return Ok(());
    }
    Err(Refused::bad(format!("Email identity {name} is not verified.")))
}

fn change(
    ses: &Ses,
    region: &str,
    call: &Call<'_>,
    work: impl FnOnce(&mut Identity),
) -> Result<Value, Refused> {
    ses.identities(|all| all.change(ses.clock.now(), region, call.label(0), work))?;
    Ok(json!({}))
}

fn kind(name: &str) -> &'static str {
    if name.contains('@') { "EMAIL_ADDRESS" } else { "DOMAIN" }
}

fn described(name: &str, identity: &Identity, signatures: Option<&Signatures>) -> Value {
    let watch = &identity.verification;
    let mut info = json!({});
    if let Some(checked) = watch.checked {
        info["LastCheckedTimestamp"] = seconds(checked);
    }
    if let Some(found) = watch.found {
        info["LastSuccessTimestamp"] = seconds(found);
    }
    if let Some(error) = watch.error {
        info["ErrorType"] = json!(error.as_str());
    }
    // Without a MAIL FROM domain, all there is to tell is what would be done if its MX record failed.
    let mail_from = identity.mail_from.as_ref().map_or_else(
        || json!({ "BehaviorOnMxFailure": OnMxFailure::UseDefaultValue.as_str() }),
        |own| {
            json!({
                "MailFromDomain": own.domain,
                "MailFromDomainStatus": own.watch.status.as_str(),
                "BehaviorOnMxFailure": own.behavior.as_str(),
            })
        },
    );
    let mut described = json!({
        "IdentityType": kind(name),
        "FeedbackForwardingStatus": identity.notifications.forwarding,
        "VerifiedForSendingStatus": identity.is_verified(),
        "VerificationStatus": watch.status.as_str(),
        "VerificationInfo": info,
        "DkimAttributes": dkim(signatures),
        "MailFromAttributes": mail_from,
        "Policies": identity.policies.all(),
        "Tags": [],
    });
    if let Some(set) = &identity.configuration_set {
        described["ConfigurationSetName"] = json!(set);
    }
    described
}

/// Describes DKIM. An identity whose domain has no signatures has status `NOT_STARTED` (probed).
fn dkim(signatures: Option<&Signatures>) -> Value {
    let Some(Signatures { dkim, tokens, hosted_zone }) = signatures else {
        return json!({ "SigningEnabled": false, "Status": Status::NotStarted.as_str() });
    };
    let mut told = json!({
        "SigningEnabled": dkim.signing,
        "Status": dkim.watch.status.as_str(),
        "Tokens": tokens,
        "SigningAttributesOrigin": dkim.origin.as_text(),
    });
    if let Some(zone) = hosted_zone {
        told["SigningHostedZone"] = json!(zone);
        told["CurrentSigningKeyLength"] = json!(dkim.length.as_str());
        told["NextSigningKeyLength"] = json!(dkim.length.as_str());
        told["LastKeyGenerationTimestamp"] = seconds(dkim.generated);
    }
    told
}
