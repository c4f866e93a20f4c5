//! The actions on the suppression list and its import jobs.

use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Call, FAILED_RECORDS, page_size, reason_of, seconds};
use crate::aws::Aws;
use crate::permissions::{Asked, allows};
use crate::ses::Ses;
use crate::suppression::{Entry, Filter, Import, ImportAction, ImportFormat, Job, JobFailure, Refused};

/// `PutSuppressedDestination`
pub(super) fn put(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let Put { email_address, reason, .. } = call.read()?;
    let reason = reason_of("reason", &reason)?;
    ses.suppression(region, |list| list.put(ses.clock.now(), &email_address, reason))?;
    Ok(json!({}))
}

/// `GetSuppressedDestination`
pub(super) fn get(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let (address, entry) = ses.suppression(region, |list| list.get(ses.clock.now(), call.label(0)))?;
    Ok(json!({ "SuppressedDestination": destination(&address, &entry, true) }))
}

/// `DeleteSuppressedDestination`
pub(super) fn delete(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    ses.suppression(region, |list| list.delete(ses.clock.now(), call.label(0)))?;
    Ok(json!({}))
}

/// `ListSuppressedDestinations`
pub(super) fn list(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let (filter, size) = (filter(call)?, page_size(call.parameter("PageSize"))?);
    let token = call.parameter("NextToken");
    let page = ses.suppression(region, |list| list.page(ses.clock.now(), &filter, size, token))?;
    let items: Vec<Value> =
        page.items.iter().map(|(address, entry)| destination(address, entry, false)).collect();
    Ok(json!({ "SuppressedDestinationSummaries": items, "NextToken": page.next_token }))
}

/// `GetImportJob`
pub(super) fn get_job(ses: &Ses, region: &str, host: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let id = call.label(0);
    let failed_records = format!("http://{host}{FAILED_RECORDS}{region}/{id}");
    ses.suppression(region, |list| {
        list.job(ses.clock.now(), id).map(|job| described(job, Some(&failed_records)))
    })
}

/// `ListImportJobs`
pub(super) fn list_jobs(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
    let List { import_destination_type, next_token, page_size } = call.read()?;
    ses.suppression(region, |list| {
        let page = list.jobs_page(ses.clock.now(), page_size, next_token.as_deref())?;
        let jobs = match import_destination_type.as_deref() {
            None | Some("SUPPRESSION_LIST") => page.items,
            // The local SES has no contact lists, and so no jobs of theirs.
            Some("CONTACT_LIST") => return Ok(json!({ "ImportJobs": [] })),
            Some(_) => {
                return Err(Refused::constraint(
                    "importDestinationType",
                    "Member must satisfy enum value set: [SUPPRESSION_LIST, CONTACT_LIST]",
                ));
            }
        };
        let jobs: Vec<Value> = jobs.into_iter().map(|job| described(job, None)).collect();
        Ok(json!({ "ImportJobs": jobs, "NextToken": page.next_token }))
    })
}

/// The file to which `FailedRecordsS3Url` leads.
pub(crate) fn failed_records(ses: &Ses, path: &str) -> Option<String> {
    let (region, id) = path.split_once('/')?;
    ses.suppression(region, |list| list.job(ses.clock.now(), id).map(Job::failed_records)).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    email_address: String,
    reason: String,
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

/// `CreateImportJob`. The file is read here, before the answer, and not when the job begins. A test would see the
/// difference only if it overwrote the file in those seconds.
pub(super) async fn create_job(ses: &Ses, region: &str, call: &Call<'_>) -> Result<Value, Refused> {
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

/// Reads a job's file. It must be in a bucket of the same Region (an issue on the guide,
/// awsdocs/amazon-ses-developer-guide#63) whose policy lets SES in (guide, "Adding email addresses in bulk").
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

fn filter(call: &Call<'_>) -> Result<Filter, Refused> {
    let reasons = call.query.iter().filter(|(name, _)| name == "Reason");
    Ok(Filter {
        reasons: reasons.map(|(_, reason)| reason_of("reasons", reason)).collect::<Result<_, _>>()?,
        after: call.parameter("StartDate").map(time_of).transpose()?,
        before: call.parameter("EndDate").map(time_of).transpose()?,
    })
}

/// Reads a time. The SDK writes RFC 3339; the guide's examples are in seconds.
fn time_of(text: &str) -> Result<OffsetDateTime, Refused> {
    let seconds = text.parse().ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    seconds
        .or_else(|| OffsetDateTime::parse(text, &Rfc3339).ok())
        .ok_or_else(|| Refused::bad(format!("{text} is no time.")))
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

/// Describes a job. Without `failed_records` this is the summary, which says neither where the file lies nor what failed
/// (API reference v2, `ImportJobSummary`).
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
    }
    match job.failure() {
        Some(JobFailure::Records) => {
            described["FailureInfo"] = json!({ "FailedRecordsS3Url": failed_records });
        }
        Some(JobFailure::Job(error)) => described["FailureInfo"] = json!({ "ErrorMessage": error }),
        None => {}
    }
    described
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_as_in_the_guide() {
        let time = datetime!(2020-04-10 22:07:59.141 UTC);
        assert_eq!(seconds(time), json!(1_586_556_479.141));
        assert_eq!(time_of("1586556479"), Ok(datetime!(2020-04-10 22:07:59 UTC)));
        assert_eq!(time_of("2020-04-10T22:07:59.141Z"), Ok(time));
        assert!(time_of("yesterday").is_err());
    }
}
