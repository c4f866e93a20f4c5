//! SES's v2 API, as far as Mailroom uses it (API reference v2, each action's page).

mod account;
mod configuration_sets;
mod identities;
mod suppression;

use std::str::FromStr;

use hyper::{Method, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::refused::{Refused, RefusedKind};
use crate::ses::Ses;
use crate::suppression::Reason;
pub(crate) use suppression::failed_records;

/// The path at which the failed records of import jobs lie. Those of SES are in a bucket of its own, behind a pre-signed
/// URL (API reference v2, `FailureInfo`); no source tells what that file looks like.
pub(crate) const FAILED_RECORDS: &str = "/failed-records/";

/// Defines the actions, each with the name under which it is counted.
macro_rules! actions {
    ($($action:ident),* $(,)?) => {
        /// The action that a request is for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Action {
            $($action,)*
            Unknown,
        }

        impl Action {
            /// The name under which the action is counted.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$action => stringify!($action),)*
                    Self::Unknown => "unknown",
                }
            }
        }
    };
}

actions! {
    CreateConfigurationSet,
    CreateConfigurationSetEventDestination,
    CreateEmailIdentity,
    CreateEmailIdentityPolicy,
    CreateImportJob,
    DeleteConfigurationSet,
    DeleteConfigurationSetEventDestination,
    DeleteEmailIdentity,
    DeleteEmailIdentityPolicy,
    DeleteSuppressedDestination,
    GetAccount,
    GetConfigurationSet,
    GetConfigurationSetEventDestinations,
    GetEmailIdentity,
    GetEmailIdentityPolicies,
    GetImportJob,
    GetSuppressedDestination,
    ListConfigurationSets,
    ListEmailIdentities,
    ListImportJobs,
    ListSuppressedDestinations,
    PutAccountDetails,
    PutAccountSendingAttributes,
    PutAccountSuppressionAttributes,
    PutConfigurationSetSendingOptions,
    PutConfigurationSetSuppressionOptions,
    PutEmailIdentityConfigurationSetAttributes,
    PutEmailIdentityDkimAttributes,
    PutEmailIdentityDkimSigningAttributes,
    PutEmailIdentityFeedbackAttributes,
    PutEmailIdentityMailFromAttributes,
    PutSuppressedDestination,
    UpdateConfigurationSetEventDestination,
    UpdateEmailIdentityPolicy,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) action: Action,
    /// The values in the path, such as an identity's name, decoded.
    labels: Vec<String>,
    query: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(crate) fn of(method: &Method, uri: &Uri, body: &'a [u8]) -> Self {
        let parts: Vec<&str> = uri.path().trim_start_matches("/v2/email/").split('/').collect();
        let (action, labels) = route(method, &parts);
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self { action, labels: labels.into_iter().map(percent_decoded).collect(), query, body }
    }

    /// A value in the path, by its position among these.
    fn label(&self, at: usize) -> &str {
        self.labels.get(at).map_or("", String::as_str)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Refused> {
        let body = if self.body.is_empty() { b"{}" } else { self.body };
        serde_json::from_slice(body)
            .map_err(|error| Refused::bad(format!("1 validation error detected: {error}")))
    }

    /// The size and the token of a page, which are in the body or, with older clients, in the query.
    fn paging(&self) -> Result<(Option<usize>, Option<String>), Refused> {
        let Paged { page_size: size, next_token, filter } = self.read()?;
        if !filter.is_empty() {
            return Err(Refused::bad("The local SES filters no names."));
        }
        let size = size.map_or_else(|| page_size(self.parameter("PageSize")), |size| Ok(Some(size)))?;
        Ok((size, next_token.or_else(|| self.parameter("NextToken").map(str::to_owned))))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Paged {
    page_size: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filter: serde_json::Map<String, Value>,
}

/// The action that a method and a path mean, and the values in the path. Some lists have two paths: a GET until 2026, and a
/// POST.
fn route<'p>(method: &Method, path: &[&'p str]) -> (Action, Vec<&'p str>) {
    use Action as A;
    match (method.as_str(), path) {
        ("GET", ["account"]) => (A::GetAccount, vec![]),
        ("POST", ["account", "details"]) => (A::PutAccountDetails, vec![]),
        ("PUT", ["account", "sending"]) => (A::PutAccountSendingAttributes, vec![]),
        ("PUT", ["account", "suppression"]) => (A::PutAccountSuppressionAttributes, vec![]),
        ("POST", ["configuration-sets"]) => (A::CreateConfigurationSet, vec![]),
        ("GET", ["configuration-sets"]) | ("POST", ["list-configuration-sets"]) => {
            (A::ListConfigurationSets, vec![])
        }
        ("GET", ["configuration-sets", set]) => (A::GetConfigurationSet, vec![set]),
        ("DELETE", ["configuration-sets", set]) => (A::DeleteConfigurationSet, vec![set]),
        ("GET", ["configuration-sets", set, "event-destinations"]) => {
            (A::GetConfigurationSetEventDestinations, vec![set])
        }
        ("POST", ["configuration-sets", set, "event-destinations"]) => {
            (A::CreateConfigurationSetEventDestination, vec![set])
        }
        ("PUT", ["configuration-sets", set, "event-destinations", name]) => {
            (A::UpdateConfigurationSetEventDestination, vec![set, name])
        }
        ("DELETE", ["configuration-sets", set, "event-destinations", name]) => {
            (A::DeleteConfigurationSetEventDestination, vec![set, name])
        }
        ("PUT", ["configuration-sets", set, "sending"]) => (A::PutConfigurationSetSendingOptions, vec![set]),
        ("PUT", ["configuration-sets", set, "suppression-options"]) => {
            (A::PutConfigurationSetSuppressionOptions, vec![set])
        }
        ("POST", ["identities"]) => (A::CreateEmailIdentity, vec![]),
        ("GET", ["identities"]) | ("POST", ["list-identities"]) => (A::ListEmailIdentities, vec![]),
        ("GET", ["identities", name]) => (A::GetEmailIdentity, vec![name]),
        ("DELETE", ["identities", name]) => (A::DeleteEmailIdentity, vec![name]),
        ("PUT", ["identities", name, "configuration-set"]) => {
            (A::PutEmailIdentityConfigurationSetAttributes, vec![name])
        }
        ("PUT", ["identities", name, "dkim"]) => (A::PutEmailIdentityDkimAttributes, vec![name]),
        ("PUT", ["identities", name, "dkim", "signing"]) => {
            (A::PutEmailIdentityDkimSigningAttributes, vec![name])
        }
        ("PUT", ["identities", name, "feedback"]) => (A::PutEmailIdentityFeedbackAttributes, vec![name]),
        ("PUT", ["identities", name, "mail-from"]) => (A::PutEmailIdentityMailFromAttributes, vec![name]),
        ("GET", ["identities", name, "policies"]) => (A::GetEmailIdentityPolicies, vec![name]),
        ("POST", ["identities", name, "policies", policy]) => {
            (A::CreateEmailIdentityPolicy, vec![name, policy])
        }
        ("PUT", ["identities", name, "policies", policy]) => {
            (A::UpdateEmailIdentityPolicy, vec![name, policy])
        }
        ("DELETE", ["identities", name, "policies", policy]) => {
            (A::DeleteEmailIdentityPolicy, vec![name, policy])
        }
        ("POST", ["import-jobs"]) => (A::CreateImportJob, vec![]),
        ("POST", ["import-jobs", "list"]) => (A::ListImportJobs, vec![]),
        ("GET", ["import-jobs", id]) => (A::GetImportJob, vec![id]),
        ("PUT", ["suppression", "addresses"]) => (A::PutSuppressedDestination, vec![]),
        ("GET", ["suppression", "addresses"]) => (A::ListSuppressedDestinations, vec![]),
        ("GET", ["suppression", "addresses", address]) => (A::GetSuppressedDestination, vec![address]),
        ("DELETE", ["suppression", "addresses", address]) => (A::DeleteSuppressedDestination, vec![address]),
        _ => (A::Unknown, vec![]),
    }
}

/// Carries out an action and returns its result as JSON, in the API's spelling.
pub(crate) async fn serve(ses: &Ses, region: &str, host: &str, call: &Call<'_>) -> Result<Value, Refused> {
    use Action as A;
    if call.action == A::Unknown {
        return Err(Refused::bad("The local SES does not know this action."));
    }
    if !ses.admit(region, call.action.name()) {
        return Err(Refused::new(
            RefusedKind::TooManyRequests,
            "Too many requests have been made to the operation.",
        ));
    }
    if call.parameter("TenantName").is_some() {
        return Err(Refused::new(RefusedKind::NotFound, "The local SES has no tenants."));
    }
    match call.action {
        A::GetAccount => Ok(account::get(ses, region)),
        A::PutAccountDetails => account::put_details(ses, region, call),
        A::PutAccountSendingAttributes => account::put_sending(ses, region, call),
        A::PutAccountSuppressionAttributes => account::put_suppression(ses, region, call),
        A::CreateConfigurationSet => configuration_sets::create(ses, region, call),
        A::CreateConfigurationSetEventDestination => configuration_sets::add(ses, region, call).await,
        A::DeleteConfigurationSet => configuration_sets::delete(ses, region, call),
        A::DeleteConfigurationSetEventDestination => configuration_sets::remove(ses, region, call),
        A::GetConfigurationSet => configuration_sets::get(ses, region, call),
        A::GetConfigurationSetEventDestinations => configuration_sets::destinations(ses, region, call),
        A::ListConfigurationSets => configuration_sets::list(ses, region, call),
        A::PutConfigurationSetSendingOptions => configuration_sets::put_sending(ses, region, call),
        A::PutConfigurationSetSuppressionOptions => configuration_sets::put_suppression(ses, region, call),
        A::UpdateConfigurationSetEventDestination => configuration_sets::replace(ses, region, call).await,
        A::CreateEmailIdentity => identities::create(ses, region, call),
        A::CreateEmailIdentityPolicy => identities::create_policy(ses, region, call),
        A::DeleteEmailIdentity => identities::delete(ses, region, call),
        A::DeleteEmailIdentityPolicy => identities::delete_policy(ses, region, call),
        A::GetEmailIdentity => identities::get(ses, region, call),
        A::GetEmailIdentityPolicies => identities::policies(ses, region, call),
        A::ListEmailIdentities => identities::list(ses, region, call),
        A::PutEmailIdentityConfigurationSetAttributes => identities::put_configuration_set(ses, region, call),
        A::PutEmailIdentityDkimAttributes => identities::put_dkim(ses, region, call),
        A::PutEmailIdentityDkimSigningAttributes => identities::put_dkim_signing(ses, region, call),
        A::PutEmailIdentityFeedbackAttributes => identities::put_feedback(ses, region, call),
        A::PutEmailIdentityMailFromAttributes => identities::put_mail_from(ses, region, call),
        A::UpdateEmailIdentityPolicy => identities::update_policy(ses, region, call),
        A::CreateImportJob => suppression::create_job(ses, region, call).await,
        A::GetImportJob => suppression::get_job(ses, region, host, call),
        A::ListImportJobs => suppression::list_jobs(ses, region, call),
        A::DeleteSuppressedDestination => suppression::delete(ses, region, call),
        A::GetSuppressedDestination => suppression::get(ses, region, call),
        A::ListSuppressedDestinations => suppression::list(ses, region, call),
        A::PutSuppressedDestination => suppression::put(ses, region, call),
        A::Unknown => Ok(json!({})),
    }
}

fn reason_of(member: &str, reason: &str) -> Result<Reason, Refused> {
    Reason::from_str(reason)
        .map_err(|()| Refused::constraint(member, "Member must satisfy enum value set: [BOUNCE, COMPLAINT]"))
}

fn page_size(text: Option<&str>) -> Result<Option<usize>, Refused> {
    text.map(|text| text.parse().map_err(|_| Refused::bad(format!("{text} is no page size.")))).transpose()
}

/// A time in seconds, as REST-JSON writes it in bodies. The guide's example has milliseconds.
fn seconds(time: OffsetDateTime) -> Value {
    let millis = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    let millis = millis as f64;
    json!(millis / 1000.0)
}

/// Decodes a part of the path, in which a `+` stands for itself.
fn percent_decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = (*first == b'%').then(|| after.get(..2)).flatten();
        let decoded = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn action(method: &Method, uri: &str) -> (Action, String) {
        let uri = uri.parse().expect("a URI");
        let call = Call::of(method, &uri, b"");
        (call.action, call.labels.join(" "))
    }

    #[test]
    fn paths_are_those_of_the_reference() {
        for (method, uri, expected, label) in [
            (Method::GET, "/v2/email/account", Action::GetAccount, ""),
            (
                Method::GET,
                "/v2/email/suppression/addresses?PageSize=1",
                Action::ListSuppressedDestinations,
                "",
            ),
            (
                Method::DELETE,
                "/v2/email/suppression/addresses/a%2Bb%2fc+d%40example.com",
                Action::DeleteSuppressedDestination,
                "a+b/c+d@example.com",
            ),
            (Method::POST, "/v2/email/import-jobs/list", Action::ListImportJobs, ""),
            (Method::GET, "/v2/email/import-jobs/1-2", Action::GetImportJob, "1-2"),
            (Method::GET, "/v2/email/identities", Action::ListEmailIdentities, ""),
            (Method::POST, "/v2/email/list-identities", Action::ListEmailIdentities, ""),
            (Method::GET, "/v2/email/identities/a%40b.example", Action::GetEmailIdentity, "a@b.example"),
            (
                Method::PUT,
                "/v2/email/identities/b.example/dkim/signing",
                Action::PutEmailIdentityDkimSigningAttributes,
                "b.example",
            ),
            (
                Method::POST,
                "/v2/email/identities/b.example/policies/p",
                Action::CreateEmailIdentityPolicy,
                "b.example p",
            ),
            (Method::GET, "/v2/email/tenants", Action::Unknown, ""),
        ] {
            assert_eq!(action(&method, uri), (expected, label.to_owned()), "{uri}");
        }
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(part in any::<String>()) {
            percent_decoded(&part);
        }
    }
}
