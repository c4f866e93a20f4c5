//! SES's v2 API, as far as it is about the suppression list (API reference v2, each action's page).

use std::str::FromStr;

use hyper::{Method, Uri};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::aws::Aws;
use crate::permissions::{Asked, allows};
use crate::ses::Ses;
use crate::suppression::{
    Account, Entry, Filter, Import, ImportAction, ImportFormat, Job, Reason, Refused, RefusedKind,
};

/// Where the records lie that a job could not use. The real ones are in a bucket of SES's, behind a pre-signed URL
/// (API reference v2, `FailureInfo`); what that file looks like, no source tells.
pub(crate) const FAILED_RECORDS: &str = "/failed-records/";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    CreateImportJob,
    DeleteSuppressedDestination,
    GetAccount,
    GetImportJob,
    GetSuppressedDestination,
    ListImportJobs,
    ListSuppressedDestinations,
    PutAccountSuppressionAttributes,
    PutSuppressedDestination,
    Unknown,
}

impl Action {
    /// As it is counted.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::CreateImportJob => "CreateImportJob",
            Self::DeleteSuppressedDestination => "DeleteSuppressedDestination",
            Self::GetAccount => "GetAccount",
            Self::GetImportJob => "GetImportJob",
            Self::GetSuppressedDestination => "GetSuppressedDestination",
            Self::ListImportJobs => "ListImportJobs",
            Self::ListSuppressedDestinations => "ListSuppressedDestinations",
            Self::PutAccountSuppressionAttributes => "PutAccountSuppressionAttributes",
            Self::PutSuppressedDestination => "PutSuppressedDestination",
            Self::Unknown => "unknown",
        }
    }
}

/// A request.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) action: Action,
    /// What the path names, decoded.
    label: String,
    query: Vec<(String, String)>,
    body: &'a [u8],
}

impl<'a> Call<'a> {
    pub(crate) fn of(method: &Method, uri: &Uri, body: &'a [u8]) -> Self {
        let parts: Vec<&str> = uri.path().trim_start_matches("/v2/email/").split('/').collect();
        let (action, label) = match (method, &parts[..]) {
            (&Method::GET, ["account"]) => (Action::GetAccount, ""),
            (&Method::PUT, ["account", "suppression"]) => (Action::PutAccountSuppressionAttributes, ""),
            (&Method::PUT, ["suppression", "addresses"]) => (Action::PutSuppressedDestination, ""),
            (&Method::GET, ["suppression", "addresses"]) => (Action::ListSuppressedDestinations, ""),
            (&Method::GET, ["suppression", "addresses", address]) => {
                (Action::GetSuppressedDestination, *address)
            }
            (&Method::DELETE, ["suppression", "addresses", address]) => {
                (Action::DeleteSuppressedDestination, *address)
            }
            (&Method::POST, ["import-jobs"]) => (Action::CreateImportJob, ""),
            (&Method::POST, ["import-jobs", "list"]) => (Action::ListImportJobs, ""),
            (&Method::GET, ["import-jobs", id]) => (Action::GetImportJob, *id),
            _ => (Action::Unknown, ""),
        };
        let query = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        Self { action, label: percent_decoded(label), query, body }
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Refused> {
        let body = if self.body.is_empty() { b"{}" } else { self.body };
        serde_json::from_slice(body)
            .map_err(|error| Refused::bad(format!("1 validation error detected: {error}")))
    }

    /// The address that the path names.
    fn address(&self, ses: &Ses) -> Result<&str, Refused> {
        if ses.config.refuses_slashes && self.label.contains('/') {
            return Err(Refused::bad("1 validation error detected: Value at 'emailAddress'"));
        }
        Ok(&self.label)
    }
}

/// The result of an action, as JSON in the API's spelling.
pub(crate) async fn serve(ses: &Ses, region: &str, host: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let now = ses.clock.now();
    if call.action == Action::Unknown {
        return Err(Refused::bad("The local SES does not know this action."));
    }
    if !ses.admit(region, call.action.name(), now) {
        return Err(Refused::new(
            RefusedKind::TooManyRequests,
            "Too many requests have been made to the operation.",
        ));
    }
    if call.parameter("TenantName").is_some() {
        return Err(Refused::new(RefusedKind::NotFound, "The local SES has no tenants."));
    }
    match call.action {
        Action::PutSuppressedDestination => {
            let Put { email_address, reason, .. } = call.read()?;
            let reason = reason_of("reason", &reason)?;
            ses.suppression(region, |list| list.put(now, &email_address, reason))?;
            Ok(json!({}))
        }
        Action::GetSuppressedDestination => {
            let address = call.address(ses)?;
            let (address, entry) = ses.suppression(region, |list| list.get(now, address))?;
            Ok(json!({ "SuppressedDestination": destination(&address, &entry, true) }))
        }
        Action::DeleteSuppressedDestination => {
            let address = call.address(ses)?;
            ses.suppression(region, |list| list.delete(now, address))?;
            Ok(json!({}))
        }
        Action::ListSuppressedDestinations => {
            let (filter, size) = (filter(call)?, page_size(call.parameter("PageSize"))?);
            let token = call.parameter("NextToken");
            let page = ses.suppression(region, |list| list.page(now, &filter, size, token))?;
            let items: Vec<Value> =
                page.items.iter().map(|(address, entry)| destination(address, entry, false)).collect();
            Ok(json!({ "SuppressedDestinationSummaries": items, "NextToken": page.next_token }))
        }
        Action::GetAccount => Ok(ses.suppression(region, |list| account(&list.account))),
        Action::PutAccountSuppressionAttributes => {
            let Attributes { suppressed_reasons } = call.read()?;
            let constraint = "suppressedReasons";
            let reasons = suppressed_reasons
                .iter()
                .map(|reason| reason_of(constraint, reason))
                .collect::<Result<_, _>>()?;
            ses.suppression(region, |list| list.account.suppressed_reasons = reasons);
            Ok(json!({}))
        }
        Action::CreateImportJob => create_job(ses, region, call).await,
        Action::GetImportJob => {
            let id = &call.label;
            let job = ses.suppression(region, |list| list.job(now, id).cloned())?;
            Ok(described(&job, Some(&format!("http://{host}{FAILED_RECORDS}{region}/{id}"))))
        }
        Action::ListImportJobs => {
            let List { import_destination_type, next_token, page_size } = call.read()?;
            let page =
                ses.suppression(region, |list| list.jobs_page(now, page_size, next_token.as_deref()))?;
            let jobs = match import_destination_type.as_deref() {
                None | Some("SUPPRESSION_LIST") => page.items,
                // Contact lists are not here, and so are no jobs of theirs.
                Some("CONTACT_LIST") => return Ok(json!({ "ImportJobs": [] })),
                Some(_) => {
                    return Err(Refused::constraint(
                        "importDestinationType",
                        "Member must satisfy enum value set: [SUPPRESSION_LIST, CONTACT_LIST]",
                    ));
                }
            };
            let jobs: Vec<Value> = jobs.iter().map(|job| described(job, None)).collect();
            Ok(json!({ "ImportJobs": jobs, "NextToken": page.next_token }))
        }
        Action::Unknown => Ok(json!({})),
    }
}

/// What `FailedRecordsS3Url` leads to: a line of JSON for each record.
pub(crate) fn failed_records(ses: &Ses, path: &str) -> Option<String> {
    let (region, id) = path.split_once('/')?;
    let now = ses.clock.now();
    let job = ses.suppression(region, |list| list.job(now, id).cloned()).ok()?;
    Some(
        job.failed
            .iter()
            .map(|failed| json!({ "record": failed.line, "error": failed.why }).to_string() + "\n")
            .collect(),
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    email_address: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    suppressed_reasons: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    import_destination_type: Option<String>,
    next_token: Option<String>,
    page_size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    import_data_source: DataSource,
    import_destination: Destination,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataSource {
    #[serde(rename = "S3Url")]
    s3_url: String,
    data_format: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    suppression_list_destination: Option<ListDestination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListDestination {
    suppression_list_import_action: String,
}

/// The file is read here, before the answer, and not when the job begins: nothing that a test could see comes between,
/// unless it overwrites the file in these seconds.
async fn create_job(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Create { import_data_source: from, import_destination: to } = call.read()?;
    let to =
        to.suppression_list_destination.ok_or_else(|| Refused::bad("The local SES has no contact lists."))?;
    let import = Import {
        action: match to.suppression_list_import_action.as_str() {
            "PUT" => ImportAction::Put,
            "DELETE" => ImportAction::Delete,
            _ => {
                let set = "Member must satisfy enum value set: [DELETE, PUT]";
                return Err(Refused::constraint("importDestination", set));
            }
        },
        format: match from.data_format.as_str() {
            "CSV" => ImportFormat::Csv,
            "JSON" => ImportFormat::Json,
            _ => {
                let set = "Member must satisfy enum value set: [CSV, JSON]";
                return Err(Refused::constraint("importDataSource.dataFormat", set));
            }
        },
        source: from.s3_url,
    };
    ses.suppression(region, |list| list.check_job(ses.clock.now(), &import))?;
    let id = ses.ids.request();
    let file = match ses.aws() {
        Some(aws) => file(ses, &aws, region, &id, &import.source).await,
        None => Err("the local SES knows no local AWS yet".to_owned()),
    };
    let file = file.as_deref().map_err(Clone::clone);
    ses.suppression(region, |list| list.create_job(ses.clock.now(), &id, import, file))?;
    Ok(json!({ "JobId": id }))
}

/// From a bucket of the same Region only (an issue on the guide, awsdocs/amazon-ses-developer-guide#63), whose policy lets
/// SES in (guide, "Adding email addresses in bulk").
async fn file(ses: &Ses, aws: &Aws, region: &str, job: &str, source: &str) -> Result<bytes::Bytes, String> {
    let path = source.strip_prefix("s3://").unwrap_or_default();
    let (bucket, key) = path.split_once('/').unwrap_or_default();
    match aws.bucket_region(bucket, region).await? {
        Some(there) if there == region => {}
        Some(there) => return Err(format!("The bucket {bucket} is in {there}, not in {region}.")),
        None => return Err(format!("No such bucket: {bucket}")),
    }
    if ses.config.needs_permission {
        let account = &ses.config.account;
        let policy = aws.bucket_policy(region, bucket).await?;
        let asked = Asked {
            action: "s3:GetObject",
            resource: Some(&format!("arn:aws:s3:::{bucket}/{key}")),
            account,
            source: &format!("arn:aws:ses:{region}:{account}:import-job/{job}"),
            refers: true,
        };
        if !policy.is_some_and(|policy| allows(&policy, asked)) {
            return Err(format!("Access to {source} was denied."));
        }
    }
    aws.get(region, bucket, key).await
}

fn reason_of(member: &str, reason: &str) -> Result<Reason, Refused> {
    Reason::from_str(reason)
        .map_err(|()| Refused::constraint(member, "Member must satisfy enum value set: [BOUNCE, COMPLAINT]"))
}

fn filter(call: &Call<'_>) -> Result<Filter, Refused> {
    let reasons = call.query.iter().filter(|(name, _)| name == "Reason");
    Ok(Filter {
        reasons: reasons.map(|(_, reason)| reason_of("reasons", reason)).collect::<Result<_, _>>()?,
        after: call.parameter("StartDate").map(time_of).transpose()?,
        before: call.parameter("EndDate").map(time_of).transpose()?,
    })
}

/// The SDK writes RFC 3339; the guide's examples are in seconds.
fn time_of(text: &str) -> Result<OffsetDateTime, Refused> {
    let seconds = text.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    seconds
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| Refused::bad(format!("{text} is no time.")))
}

fn page_size(text: Option<&str>) -> Result<Option<usize>, Refused> {
    text.map(|text| text.parse().map_err(|_| Refused::bad(format!("{text} is no page size.")))).transpose()
}

/// Seconds, as REST-JSON writes times in bodies; the guide's example has milliseconds.
fn seconds(time: OffsetDateTime) -> Value {
    let millis = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    let millis = millis as f64;
    json!(millis / 1000.0)
}

fn destination(address: &str, entry: &Entry, whole: bool) -> Value {
    let mut destination = json!({
        "EmailAddress": address,
        "Reason": entry.reason.as_str(),
        "LastUpdateTime": seconds(entry.last_update),
    });
    if let Some(evidence) = entry.evidence.as_ref().filter(|_| whole) {
        destination["Attributes"] =
            json!({ "MessageId": evidence.message_id, "FeedbackId": evidence.feedback_id });
    }
    destination
}

fn account(account: &Account) -> Value {
    let reasons: Vec<&str> = account.suppressed_reasons.iter().map(|reason| reason.as_str()).collect();
    json!({
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
    })
}

/// A summary says neither where the file lies nor what failed (API reference v2, `ImportJobSummary`); with the URL of the
/// failed records it is the whole.
fn described(job: &Job, failed_records: Option<&str>) -> Value {
    let action = match job.import.action {
        ImportAction::Put => "PUT",
        ImportAction::Delete => "DELETE",
    };
    let mut described = json!({
        "JobId": job.id,
        "ImportDestination": { "SuppressionListDestination": { "SuppressionListImportAction": action } },
        "JobStatus": job.status().as_str(),
        "CreatedTimestamp": seconds(job.created),
        "ProcessedRecordsCount": job.processed,
        "FailedRecordsCount": job.failed.len(),
    });
    let Some(failed_records) = failed_records else { return described };
    let format = match job.import.format {
        ImportFormat::Csv => "CSV",
        ImportFormat::Json => "JSON",
    };
    described["ImportDataSource"] = json!({ "S3Url": job.import.source, "DataFormat": format });
    if let Some(completed) = job.completed {
        described["CompletedTimestamp"] = seconds(completed);
        if !job.failed.is_empty() {
            described["FailureInfo"] = json!({ "FailedRecordsS3Url": failed_records });
        } else if let Some(error) = &job.error {
            described["FailureInfo"] = json!({ "ErrorMessage": error });
        }
    }
    described
}

/// A path's part; a `+` stands for itself in it.
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
    use time::macros::datetime;

    use super::*;

    fn action(method: &Method, uri: &str) -> (Action, String) {
        let uri = uri.parse().expect("a URI");
        let call = Call::of(method, &uri, b"");
        (call.action, call.label)
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
            (Method::GET, "/v2/email/identities", Action::Unknown, ""),
        ] {
            assert_eq!(action(&method, uri), (expected, label.to_owned()), "{uri}");
        }
    }

    #[test]
    fn times_are_as_in_the_guide() {
        let time = datetime!(2020-04-10 22:07:59.141 UTC);
        assert_eq!(seconds(time), json!(1_586_556_479.141));
        assert_eq!(time_of("1586556479"), Ok(datetime!(2020-04-10 22:07:59 UTC)));
        assert_eq!(time_of("2020-04-10T22:07:59.141Z"), Ok(time));
        assert!(time_of("yesterday").is_err());
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(part in any::<String>()) {
            percent_decoded(&part);
        }
    }
}
