//! The suppression list by SES's own client.

use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::SdkError;
use aws_sdk_sesv2::operation::list_suppressed_destinations::ListSuppressedDestinationsOutput;
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{
    DataFormat, FeatureStatus, ImportDataSource, ImportDestination, ImportDestinationType, JobStatus,
    SuppressedDestinationSummary, SuppressionConditionThreshold, SuppressionListDestination,
    SuppressionListImportAction, SuppressionListReason, SuppressionValidationAttributes,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use local_ses::clock::Clock;
use local_ses::faults::Fault;
use local_ses::sending::{Fate, Format, NotSent, Outgoing};
use local_ses::suppression::{Account, Entry, Pace, Reason};
use local_ses::{Config, LocalSes};
use serde_json::{Value, json};
use time::macros::datetime;

use crate::aws::{ACCOUNT, Aws, Object, client_v2, error, refused, started, topic};

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

/// A clock that stands still, and nobody in a hurry.
fn unpaced() -> Config {
    Config { pace: None, ..paced() }
}

fn paced() -> Config {
    Config { clock: Clock::at(datetime!(2026-01-01 00:00 UTC)), seed: Some(7), ..Config::default() }
}

async fn with(config: Config) -> (LocalSes, Aws, Client) {
    let (ses, aws) = started(config).await;
    let client = client_v2(&ses, EAST);
    (ses, aws, client)
}

async fn put(
    client: &Client,
    address: &str,
    reason: SuppressionListReason,
) -> Result<(), SdkError<aws_sdk_sesv2::operation::put_suppressed_destination::PutSuppressedDestinationError>>
{
    client.put_suppressed_destination().email_address(address).reason(reason).send().await.map(drop)
}

#[tokio::test]
async fn addresses_are_put_found_and_taken_off_in_their_own_region_and_case() {
    let (ses, _aws, client) = with(unpaced()).await;
    put(&client, "Ada+x@example.com", SuppressionListReason::Complaint).await.expect("put");
    ses.clock().advance(Duration::from_millis(1500));
    put(&client, "Ada+x@example.com", SuppressionListReason::Bounce).await.expect("put");
    let get = |address| client.get_suppressed_destination().email_address(address).send();
    let found = get("Ada+x@example.com").await.expect("listed");
    let found = found.suppressed_destination().expect("listed");
    assert_eq!(found.email_address(), "Ada+x@example.com");
    assert_eq!(found.reason(), &SuppressionListReason::Bounce);
    assert_eq!(found.last_update_time().to_millis().expect("a time"), 1_767_225_601_500);
    assert!(found.attributes().is_none());
    assert_eq!(refused(get("ada+x@example.com").await), error(404, "NotFoundException"));
    let west = client_v2(&ses, WEST).get_suppressed_destination().email_address("Ada+x@example.com");
    assert_eq!(refused(west.send().await), error(404, "NotFoundException"));
    let delete = |address| client.delete_suppressed_destination().email_address(address).send();
    assert_eq!(refused(delete("ada+x@example.com").await), error(404, "NotFoundException"));
    delete("Ada+x@example.com").await.expect("deleted");
    assert_eq!(refused(delete("Ada+x@example.com").await), error(404, "NotFoundException"));
    let odd = put(&client, "a@example.com", "UNSUBSCRIBED".into()).await;
    assert_eq!(refused(odd), error(400, "BadRequestException"));
    assert_eq!(ses.request_count(EAST, "DeleteSuppressedDestination"), 3);
    assert!(ses.list(EAST).is_empty());
}

#[tokio::test]
async fn an_address_with_a_slash_goes_on_the_list_but_not_off() {
    let (ses, _aws, client) = with(unpaced()).await;
    put(&client, "a/b@example.com", SuppressionListReason::Bounce).await.expect("put");
    let delete = client.delete_suppressed_destination().email_address("a/b@example.com").send().await;
    assert_eq!(refused(delete), error(400, "BadRequestException"));
    assert_eq!(ses.list(EAST).len(), 1);
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let (ses, _aws, client) = with(unpaced()).await;
    let start = ses.clock().now();
    ses.seed(
        EAST,
        (0..2500_u32).map(|number| {
            let reason = if number % 5 == 0 { Reason::Complaint } else { Reason::Bounce };
            (format!("{number}@example.com"), Entry::new(reason, start + Duration::from_secs(number.into())))
        }),
    );
    let pages = client.list_suppressed_destinations().into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.expect("pages");
    let mut all: Vec<String> = pages
        .iter()
        .flat_map(ListSuppressedDestinationsOutput::suppressed_destination_summaries)
        .map(|summary| summary.email_address().to_owned())
        .collect();
    all.sort_unstable();
    assert_eq!(all, ses.list(EAST).into_keys().collect::<Vec<_>>());
    assert_eq!(ses.request_count(EAST, "ListSuppressedDestinations"), 3);

    let at = |seconds| DateTime::from_secs(start.unix_timestamp() + seconds);
    let some = client
        .list_suppressed_destinations()
        .reasons(SuppressionListReason::Complaint)
        .start_date(at(9))
        .end_date(at(21))
        .send()
        .await
        .expect("a page");
    let mut some: Vec<_> = some
        .suppressed_destination_summaries()
        .iter()
        .map(SuppressedDestinationSummary::email_address)
        .collect();
    some.sort_unstable();
    assert_eq!(some, ["10@example.com", "15@example.com", "20@example.com"]);

    let page = client.list_suppressed_destinations().page_size(10).send().await.expect("a page");
    assert_eq!(page.suppressed_destination_summaries().len(), 10);
    let token = page.next_token().expect("more");
    let elsewhere = client_v2(&ses, WEST).list_suppressed_destinations().next_token(token).send().await;
    assert_eq!(refused(elsewhere), error(400, "InvalidNextTokenException"));
    let many = client.list_suppressed_destinations().page_size(1001).send().await;
    assert_eq!(refused(many), error(400, "BadRequestException"));
}

#[tokio::test]
async fn the_account_tells_how_it_is_and_takes_reasons() {
    let (ses, _aws, client) = with(unpaced()).await;
    ses.account(EAST, |account| *account = Account::sandbox());
    let account = client.get_account().send().await.expect("an account");
    assert!(!account.production_access_enabled() && account.sending_enabled());
    assert_eq!(account.enforcement_status(), Some("HEALTHY"));
    assert!((account.send_quota().expect("a quota").max24_hour_send() - 200.0).abs() < f64::EPSILON);
    let reasons = |account: &aws_sdk_sesv2::operation::get_account::GetAccountOutput| {
        account.suppression_attributes().expect("attributes").suppressed_reasons().to_vec()
    };
    assert_eq!(reasons(&account), [SuppressionListReason::Bounce, SuppressionListReason::Complaint]);
    client
        .put_account_suppression_attributes()
        .suppressed_reasons(SuppressionListReason::Complaint)
        .send()
        .await
        .expect("taken");
    let account = client.get_account().send().await.expect("an account");
    assert_eq!(reasons(&account), [SuppressionListReason::Complaint]);
    let attributes = account.suppression_attributes.expect("attributes");
    assert_eq!(attributes.validation_attributes, None);

    let condition = SuppressionConditionThreshold::builder()
        .condition_threshold_enabled(FeatureStatus::Enabled)
        .build()
        .expect("complete");
    let validation = SuppressionValidationAttributes::builder().condition_threshold(condition).build();
    let put_validation = client.put_account_suppression_attributes();
    put_validation.validation_attributes(validation.clone()).send().await.expect("taken");
    let account = client.get_account().send().await.expect("an account");
    let attributes = account.suppression_attributes.expect("attributes");
    assert_eq!(attributes.validation_attributes, Some(validation));
    client.put_account_suppression_attributes().send().await.expect("taken");
    assert!(
        ses.account(EAST, |account| account.suppressed_reasons.is_empty() && account.validation.is_none())
    );

    let sandboxed = put(&client, "a@example.com", SuppressionListReason::Bounce).await;
    assert_eq!(refused(sandboxed), error(400, "BadRequestException"));
    let job = import(&client, SuppressionListImportAction::Put, "s3://transit/list").await;
    assert_eq!(job, Err(error(400, "BadRequestException")));
}

#[tokio::test]
async fn one_request_a_second_in_each_region() {
    let (ses, _aws, client) = with(paced()).await;
    let west = client_v2(&ses, WEST);
    client.get_account().send().await.expect("an account");
    let too_fast = put(&client, "a@example.com", SuppressionListReason::Bounce).await;
    assert_eq!(refused(too_fast), error(429, "TooManyRequestsException"));
    west.get_account().send().await.expect("an account");
    ses.clock().advance(Duration::from_secs(1));
    put(&client, "a@example.com", SuppressionListReason::Bounce).await.expect("put");
    assert_eq!(ses.list(EAST).len(), 1);

    let pace = Some(Pace { burst: 3, together: false, ..Pace::default() });
    let (_ses, _aws, client) = with(Config { pace, ..paced() }).await;
    for _ in 0..3 {
        client.get_account().send().await.expect("an account");
    }
    assert_eq!(refused(client.get_account().send().await), error(429, "TooManyRequestsException"));
    put(&client, "a@example.com", SuppressionListReason::Bounce).await.expect("put");
}

/// The id of a new job on newline-delimited JSON.
async fn import(
    client: &Client,
    action: SuppressionListImportAction,
    source: &str,
) -> Result<String, (u16, String)> {
    let to = SuppressionListDestination::builder().suppression_list_import_action(action).build();
    let from = ImportDataSource::builder().s3_url(source).data_format(DataFormat::Json).build();
    let made = client
        .create_import_job()
        .import_destination(
            ImportDestination::builder().suppression_list_destination(to.expect("complete")).build(),
        )
        .import_data_source(from.expect("complete"))
        .send()
        .await;
    match made {
        Ok(made) => Ok(made.job_id().expect("an id").to_owned()),
        error => Err(refused(error)),
    }
}

/// A bucket in this Region, with a file of newline-delimited JSON.
fn upload(aws: &Aws, records: &[Value]) {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let object =
        Object { content: Bytes::from(lines.join("\n")), metadata: std::collections::BTreeMap::new() };
    aws.change(|state| {
        state.buckets.insert("transit".to_owned(), EAST.to_owned());
        state.objects.insert(("transit".to_owned(), "a/list.json".to_owned()), object);
    });
}

const SOURCE: &str = "s3://transit/a/list.json";

#[tokio::test]
async fn an_import_job_reads_the_bucket_takes_its_time_and_keeps_what_failed() {
    let (ses, aws, client) = with(unpaced()).await;
    upload(
        &aws,
        &[
            json!({ "emailAddress": "a@example.com", "reason": "BOUNCE" }),
            json!({ "emailAddress": "nonsense", "reason": "BOUNCE" }),
            json!({ "emailAddress": "b/c@example.com", "reason": "COMPLAINT" }),
        ],
    );
    let id = import(&client, SuppressionListImportAction::Put, SOURCE).await.expect("made");
    let again = import(&client, SuppressionListImportAction::Put, SOURCE).await.expect("made");
    assert_ne!(id, again, "nothing makes a request idempotent");
    let get = || async { client.get_import_job().job_id(&id).send().await.expect("a job") };
    let job = get().await;
    assert_eq!((job.job_status(), job.processed_records_count()), (Some(&JobStatus::Created), Some(0)));
    assert!(job.completed_timestamp().is_none() && ses.list(EAST).is_empty());
    assert_eq!(job.import_data_source().expect("a source").s3_url(), SOURCE);

    ses.clock().advance(Duration::from_mins(1));
    let job = get().await;
    assert_eq!(job.job_status(), Some(&JobStatus::Completed));
    assert_eq!((job.processed_records_count(), job.failed_records_count()), (Some(3), Some(1)));
    assert_eq!(job.completed_timestamp().expect("ended").to_millis().expect("a time"), 1_767_225_605_003);
    let addresses: Vec<String> = ses.list(EAST).into_keys().collect();
    assert_eq!(addresses, ["a@example.com", "b/c@example.com"]);

    let url = job.failure_info().expect("failures").failed_records_s3_url().expect("a URL");
    let failed = Http::builder(TokioExecutor::new())
        .build_http::<Empty<Bytes>>()
        .get(url.parse().expect("a URL"))
        .await
        .expect("an answer");
    let failed = failed.into_body().collect().await.expect("a body").to_bytes();
    let failed: Value = serde_json::from_slice(&failed).expect("a line of JSON");
    assert!(failed["record"].as_str().is_some_and(|record| record.contains("nonsense")), "{failed}");

    upload(&aws, &[json!({ "emailAddress": "b/c@example.com" })]);
    import(&client, SuppressionListImportAction::Delete, SOURCE).await.expect("made");
    ses.clock().advance(Duration::from_mins(1));
    let addresses: Vec<String> = ses.list(EAST).into_keys().collect();
    assert_eq!(addresses, ["a@example.com"], "what the single call cannot, an import can");
}

#[tokio::test]
async fn jobs_are_listed_without_their_source() {
    let (ses, aws, client) = with(unpaced()).await;
    upload(&aws, &[]);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(import(&client, SuppressionListImportAction::Put, SOURCE).await.expect("made"));
        ses.clock().advance(Duration::from_secs(1));
    }
    made.reverse();
    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let page = client
            .list_import_jobs()
            .import_destination_type(ImportDestinationType::SuppressionList)
            .page_size(2)
            .set_next_token(token)
            .send()
            .await
            .expect("a page");
        listed.extend(page.import_jobs().iter().filter_map(|job| job.job_id().map(str::to_owned)));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
    let others = client.list_import_jobs().import_destination_type(ImportDestinationType::ContactList);
    assert!(others.send().await.expect("a page").import_jobs().is_empty());
    let unknown = client.get_import_job().job_id("unknown").send().await;
    assert_eq!(refused(unknown), error(404, "NotFoundException"));
}

#[tokio::test]
async fn jobs_fail_if_their_file_is_not_to_be_had() {
    let (ses, aws, client) = with(unpaced()).await;
    upload(&aws, &[json!({ "emailAddress": "a@example.com", "reason": "BOUNCE" })]);
    let why = |source: &'static str| {
        let (ses, client) = (&ses, &client);
        async move {
            let id = import(client, SuppressionListImportAction::Put, source).await.expect("made");
            ses.clock().advance(Duration::from_mins(1));
            let job = client.get_import_job().job_id(id).send().await.expect("a job");
            assert_eq!(job.job_status(), Some(&JobStatus::Failed), "{source}");
            job.failure_info().and_then(|info| info.error_message()).expect("a reason").to_owned()
        }
    };
    assert!(why("s3://transit/other").await.contains("NoSuchKey"));
    assert!(why("s3://nobodys/list").await.contains("No such bucket"));
    assert!(why("s3://mail/list").await.contains("eu-west-1"), "a bucket in another Region");
    let policy = |account: &str| {
        json!({ "Statement": {
            "Effect": "Allow", "Principal": { "Service": "ses.amazonaws.com" }, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::transit/*", "Condition": { "StringEquals": { "aws:Referer": account } },
        } })
    };
    aws.change(|state| state.policies.insert("transit".to_owned(), policy("210987654321")));
    assert!(why(SOURCE).await.contains("denied"));
    assert!(ses.list(EAST).is_empty());
    aws.change(|state| state.policies.insert("transit".to_owned(), policy(ACCOUNT)));
    import(&client, SuppressionListImportAction::Put, SOURCE).await.expect("made");
    ses.clock().advance(Duration::from_mins(1));
    assert_eq!(ses.list(EAST).len(), 1);

    ses.suppression(EAST, |list, _| list.rules.import_jobs = 0);
    let more = import(&client, SuppressionListImportAction::Put, SOURCE).await;
    assert_eq!(more, Err(error(400, "LimitExceededException")));
}

#[tokio::test]
async fn faults_meet_requests_before_and_after_their_effect() {
    let (ses, _aws, client) = with(unpaced()).await;
    let put = |address| put(&client, address, SuppressionListReason::Bounce);
    let listed = |address| ses.list(EAST).contains_key(address);
    ses.fault(Fault::too_many_requests().times(1));
    assert_eq!(refused(put("a@example.com").await), error(429, "TooManyRequestsException"));
    ses.fault(Fault::internal_failure().times(1));
    assert_eq!(refused(put("b@example.com").await), error(500, "InternalFailure"));
    assert!(ses.list(EAST).is_empty());
    ses.fault(Fault::internal_failure().once_done().times(1));
    assert_eq!(refused(put("c@example.com").await), error(500, "InternalFailure"));
    assert!(listed("c@example.com"), "accepted, then failed");
    ses.fault(Fault::hang().once_done().after(1).times(1));
    put("d@example.com").await.expect("spared");
    let timed_out = put("e@example.com").await;
    assert!(matches!(timed_out, Err(SdkError::TimeoutError(_))), "{timed_out:?}");
    assert!(listed("e@example.com"));
    ses.fault(Fault::down().in_region(EAST));
    let down = put("f@example.com").await;
    assert!(matches!(down, Err(SdkError::DispatchFailure(_))), "{down:?}");
    client_v2(&ses, WEST).get_account().send().await.expect("the other Region is there");
    ses.clear_faults();
    put("f@example.com").await.expect("put");
    assert_eq!(ses.request_count(EAST, "PutSuppressedDestination"), 7);
}

#[tokio::test]
async fn what_is_sent_bounces_is_listed_and_told() {
    let (ses, aws, client) = with(unpaced()).await;
    let mail = Outgoing::new("shop@example.com", ["a@example.com"])
        .fate(Fate::bounces())
        .formats(&[Format::Event, Format::Identity])
        .told_to(&topic(EAST));
    let told = ses.send(EAST, &mail).await.expect("sent");
    let published: Vec<Value> =
        aws.change(|state| state.published.iter().map(|(_, message)| message.clone()).collect());
    assert_eq!(published, told);
    let found =
        client.get_suppressed_destination().email_address("a@example.com").send().await.expect("listed");
    let attributes = found.suppressed_destination().and_then(|found| found.attributes()).expect("SES's own");
    assert_eq!(attributes.message_id(), told[0]["mail"]["messageId"].as_str());
    assert!(ses.list(WEST).is_empty(), "which is why there is this project");

    let again = ses.send(EAST, &mail).await.expect("sent");
    assert_eq!(again[0]["bounce"]["bounceSubType"], "OnAccountSuppressionList");
    ses.empty_list(EAST);
    let again = ses.send(EAST, &mail).await.expect("sent");
    assert_eq!(again[0]["bounce"]["bounceSubType"], "General");

    let nowhere = mail.clone().told_to("arn:aws:sns:us-east-1:123456789012:nowhere");
    assert!(matches!(ses.send(EAST, &nowhere).await, Err(NotSent::NotTold { .. })));
    ses.account(EAST, |account| account.sending_enabled = false);
    assert_eq!(ses.send(EAST, &mail).await, Err(NotSent::Paused(EAST.to_owned())));
}
