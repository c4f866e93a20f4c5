//! The actions of v1 that start a verification, or start it again.

use serde::Deserialize;
use serde_json::{Value, json};

use super::read;
use crate::identities::Origin;
use crate::refused::Refused;
use crate::rules::Refusal;
use crate::ses::Ses;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Domain {
    domain: String,
}

/// `VerifyDomainDkim`: starts Easy DKIM for a domain, which becomes an identity if it is none (API reference).
pub(super) fn domain_dkim(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let Domain { domain } = read(params)?;
    let now = ses.clock.now();
    let signatures = ses.identities(|all| {
        if all.get(now, region, &domain).is_err() {
            all.create(now, region, &domain, None)?;
        } else {
            all.sign(now, region, &domain, Origin::AwsSes, None)?;
        }
        Ok(all.signatures(region, &domain))
    });
    let tokens = signatures.map_err(invalid)?.map(|signatures| signatures.tokens);
    Ok(json!({ "DkimTokens": tokens }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Address {
    email_address: String,
}

/// `VerifyEmailIdentity`: sends a mail with a link.
pub(super) fn email_identity(ses: &Ses, region: &str, params: Value) -> Result<Value, Refusal> {
    let Address { email_address } = read(params)?;
    let mailed = ses.identities(|all| all.mail_link(ses.clock.now(), region, &email_address));
    mailed.map(|()| Value::Null).map_err(invalid)
}

fn invalid(refused: Refused) -> Refusal {
    Refusal::new("InvalidParameterValue", refused.message)
}
