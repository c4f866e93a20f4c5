//! SES's account-level suppression list of one Region, the import jobs that fill it, and the account that they depend on.
//!
//! Nothing is retried here: SES takes one request a second, so the caller keeps the pace and decides what is worth
//! another call.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::config::interceptors::{
    BeforeTransmitInterceptorContextMut, FinalizerInterceptorContextRef,
};
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_sesv2::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types::{
    DataFormat, ImportDataSource, ImportDestination, ImportDestinationType, JobStatus as SdkStatus,
    SuppressionListDestination, SuppressionListImportAction, SuppressionListReason,
};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::import::{ImportAction, JobStatus};
use mailroom_core::suppression::reconcile::ListEntry;
use mailroom_core::suppression::window::ListWindow;
use mailroom_core::timestamp::Timestamp;

use crate::ses::{self, SesError, is_not_found};

/// Reads and writes the list. Each method is one call of SES's API.
pub trait SuppressionList {
    /// Puts an entry in exactly this spelling, over whatever is there.
    ///
    /// # Errors
    /// See [`ListError`]. It may have been put nevertheless, unless throttled or refused.
    async fn put(&self, spelling: &str, reason: SuppressionReason) -> Result<(), ListError>;

    /// Deletes the entry in exactly this spelling. It is no error if there is none.
    ///
    /// # Errors
    /// See [`ListError`]. It may have been deleted nevertheless, unless throttled or refused.
    async fn delete(&self, spelling: &str) -> Result<(), ListError>;

    /// The entry in exactly this spelling; `None` if there is none.
    ///
    /// # Errors
    /// See [`ListError`].
    async fn get(&self, spelling: &str) -> Result<Option<ListEntry>, ListError>;

    /// A page of the entries that were last written in this window, and maybe of some that were written just before or after
    /// it. It is no snapshot: what is put meanwhile may be missed.
    ///
    /// # Errors
    /// See [`ListError`]. [`ListError::Refused`] if SES does not take the token (any more), which is good for this window
    /// only.
    async fn list_entries(
        &self,
        window: ListWindow,
        next_token: Option<&str>,
    ) -> Result<ListPage<ListEntry>, ListError>;

    /// The account's state, as far as the list depends on it.
    ///
    /// # Errors
    /// See [`ListError`].
    async fn account_status(&self) -> Result<AccountStatus, ListError>;

    /// Makes a job of the object at `s3://bucket/key`, which is newline-delimited JSON, and returns the job's id. SES
    /// reads the object itself, without a role: the bucket's policy must allow `ses.amazonaws.com` (Developer Guide,
    /// "Adding email addresses in bulk").
    ///
    /// # Errors
    /// See [`ListError`]. It may have been made nevertheless, unless throttled or refused. No token makes a second call
    /// the same, so look for the job first.
    async fn create_import_job(&self, action: ImportAction, object_url: &str) -> Result<String, ListError>;

    /// One job, with what only this call tells: its object, and its failed records.
    ///
    /// # Errors
    /// See [`ListError`].
    async fn import_job(&self, job_id: &str) -> Result<ImportJob, ListError>;

    /// A page of this list's jobs, in no documented order. It does not tell their objects.
    ///
    /// # Errors
    /// See [`ListError`].
    async fn import_jobs(&self, next_token: Option<&str>) -> Result<ListPage<ImportJobSummary>, ListError>;

    /// The content of a job's [`ImportJob::failed_records_url`]. This is no call of SES's API, so it does not count for
    /// its pace.
    ///
    /// # Errors
    /// See [`ListError`].
    async fn download_failed_records(&self, failed_records_url: &str) -> Result<String, ListError>;
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage<T> {
    /// The items on the page. A page may be empty and not the last.
    pub items: Vec<T>,
    /// How many items besides this version can't read, such as entries with a reason that SES has added since.
    pub unreadable_count: usize,
    /// The token of the next page; `None` after the last one.
    pub next_token: Option<String>,
}

/// The account in this Region, as far as the list depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountStatus {
    /// Whether the account is out of the sandbox. In the sandbox nothing can be put and no job made.
    pub has_production_access: bool,
    /// The reasons for which an entry stops mail.
    pub enabled_reasons: BTreeSet<SuppressionReason>,
}

/// An import job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportJob {
    /// The URL of the job's object, `s3://bucket/key`; `None` if SES does not tell it.
    pub object_url: Option<String>,
    /// How far the job is.
    pub status: JobStatus,
    /// How many of the job's records have failed.
    pub failed_count: usize,
    /// The URL of the list of failed records; `None` if SES does not give one.
    pub failed_records_url: Option<String>,
    /// Why the job has failed as a whole; `None` if SES gives no error.
    pub error: Option<String>,
}

/// An import job in a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportJobSummary {
    /// The job's id.
    pub id: String,
    /// What the job does; `None` if that can't be told.
    pub action: Option<ImportAction>,
    /// When the job was made; `None` if that can't be told.
    pub created_at: Option<Timestamp>,
}

/// Why SES did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// SES was called faster than it allows (429). Nothing was done; a later retry can help.
    #[error("SES throttles")]
    Throttled,
    /// There is no such job.
    #[error("no such import job")]
    NotFound,
    /// The role, or the account, lacks a permission. Nothing was done; a retry can help once it is granted.
    #[error("SES denies it: {0}")]
    Denied(String),
    /// SES does not take the request: the account is in the sandbox (ask [`SuppressionList::account_status`], not the text), or
    /// the input is not right. Nothing was done, and no retry can help. The text may name the address, so it may not go
    /// into a log line.
    #[error("SES refuses it: {0}")]
    Refused(SesRefusal),
    /// The call failed or was not answered. A retry can help.
    #[error("SES does not answer: {0}")]
    Unavailable(String),
}

impl ListError {
    /// What the error is, in words that name no address, for a log line.
    pub fn redacted_text(&self) -> String {
        match self {
            Self::Refused(SesRefusal { code, .. }) => format!("SES refuses it: {code}"),
            error => error.to_string(),
        }
    }
}

impl From<SesError> for ListError {
    fn from(error: SesError) -> Self {
        match error {
            SesError::Throttled => Self::Throttled,
            SesError::Denied(code) => Self::Denied(code),
            SesError::Refused { code, message } => Self::Refused(SesRefusal { code, message }),
            SesError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// What SES says when it does not take a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesRefusal {
    /// SES's error code, such as `BadRequestException`.
    pub code: String,
    /// SES's text for people. It may name the address, so it may not go into a log line.
    pub message: String,
}

impl fmt::Display for SesRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// SES itself.
pub struct SesSuppressionList {
    client: Client,
}

impl SesSuppressionList {
    /// The list of the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        // The SDK's retries would break the pace, and it can't know which calls may be made twice.
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

impl SuppressionList for SesSuppressionList {
    async fn put(&self, spelling: &str, reason: SuppressionReason) -> Result<(), ListError> {
        let reason = SuppressionListReason::from(reason.as_ses());
        let put =
            self.client.put_suppressed_destination().email_address(spelling).reason(reason).send().await;
        put.map(drop).map_err(|error| classify_error(&error))
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        match self.client.delete_suppressed_destination().email_address(spelling).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(classify_error(&error)),
        }
    }

    async fn get(&self, spelling: &str) -> Result<Option<ListEntry>, ListError> {
        match self.client.get_suppressed_destination().email_address(spelling).send().await {
            Ok(output) => {
                let found = output.suppressed_destination.and_then(|found| {
                    parse_entry(found.email_address, &found.reason, &found.last_update_time)
                });
                found
                    .map(Some)
                    .ok_or_else(|| ListError::Unavailable("an entry that can't be read".to_owned()))
            }
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(classify_error(&error)),
        }
    }

    /// The API reference says "after" `StartDate` and "before" `EndDate`, and nothing about the very moment or the
    /// resolution. The bounds of windows are whole seconds, so that with a start one millisecond earlier nothing falls
    /// between two windows, whichever way SES compares.
    async fn list_entries(
        &self,
        window: ListWindow,
        next_token: Option<&str>,
    ) -> Result<ListPage<ListEntry>, ListError> {
        let start =
            window.from.map(|from| DateTime::from_millis(from.minus(Duration::from_millis(1)).millis()));
        let end = window.until.map(|until| DateTime::from_millis(until.millis()));
        let list = self.client.list_suppressed_destinations().set_start_date(start).set_end_date(end);
        let list = list.page_size(1000);
        let output = list
            .set_next_token(next_token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify_error(&error))?;
        let found = output.suppressed_destination_summaries.unwrap_or_default();
        let count = found.len();
        let items: Vec<_> = found
            .into_iter()
            .filter_map(|found| parse_entry(found.email_address, &found.reason, &found.last_update_time))
            .collect();
        Ok(ListPage { unreadable_count: count - items.len(), items, next_token: output.next_token })
    }

    async fn account_status(&self) -> Result<AccountStatus, ListError> {
        let account = self.client.get_account().send().await.map_err(|error| classify_error(&error))?;
        let reasons = account.suppression_attributes.and_then(|attributes| attributes.suppressed_reasons);
        let enabled = reasons.unwrap_or_default();
        Ok(AccountStatus {
            has_production_access: account.production_access_enabled,
            enabled_reasons: enabled
                .iter()
                .filter_map(|reason| SuppressionReason::from_ses(reason.as_str()))
                .collect(),
        })
    }

    async fn create_import_job(&self, action: ImportAction, object_url: &str) -> Result<String, ListError> {
        let unbuilt = |error: &dyn std::error::Error| {
            ListError::Refused(SesRefusal { code: "unbuilt".to_owned(), message: error.to_string() })
        };
        let import_action = SuppressionListImportAction::from(action.as_ses());
        let list =
            SuppressionListDestination::builder().suppression_list_import_action(import_action).build();
        let list = list.map_err(|error| unbuilt(&error))?;
        let source = ImportDataSource::builder().s3_url(object_url).data_format(DataFormat::Json).build();
        let source = source.map_err(|error| unbuilt(&error))?;
        let destination = ImportDestination::builder().suppression_list_destination(list).build();
        let create = self.client.create_import_job().import_destination(destination);
        let output =
            create.import_data_source(source).send().await.map_err(|error| classify_error(&error))?;
        output.job_id.ok_or_else(|| ListError::Unavailable("a job without an id".to_owned()))
    }

    async fn import_job(&self, job_id: &str) -> Result<ImportJob, ListError> {
        let output = match self.client.get_import_job().job_id(job_id).send().await {
            Ok(output) => output,
            Err(error) if is_not_found(&error) => return Err(ListError::NotFound),
            Err(error) => return Err(classify_error(&error)),
        };
        let (failed_records_url, error) =
            output.failure_info.map_or((None, None), |info| (info.failed_records_s3_url, info.error_message));
        let status = output.job_status.as_ref().map_or("", SdkStatus::as_str);
        Ok(ImportJob {
            object_url: output.import_data_source.map(|source| source.s3_url),
            status: JobStatus::from_ses(status),
            failed_count: output
                .failed_records_count
                .and_then(|count| count.try_into().ok())
                .unwrap_or_default(),
            failed_records_url,
            error,
        })
    }

    async fn import_jobs(&self, next_token: Option<&str>) -> Result<ListPage<ImportJobSummary>, ListError> {
        let list =
            self.client.list_import_jobs().import_destination_type(ImportDestinationType::SuppressionList);
        let output = list
            .set_next_token(next_token.map(str::to_owned))
            .send()
            .await
            .map_err(|error| classify_error(&error))?;
        let found = output.import_jobs.unwrap_or_default();
        let count = found.len();
        let items: Vec<_> = found
            .into_iter()
            .filter_map(|job| {
                let list = job.import_destination.and_then(|to| to.suppression_list_destination);
                let kind = list.and_then(|list| match list.suppression_list_import_action {
                    SuppressionListImportAction::Put => Some(ImportAction::Put),
                    SuppressionListImportAction::Delete => Some(ImportAction::Delete),
                    _ => None,
                });
                Some(ImportJobSummary {
                    id: job.job_id?,
                    action: kind,
                    created_at: job.created_timestamp.as_ref().and_then(to_timestamp),
                })
            })
            .collect();
        Ok(ListPage { unreadable_count: count - items.len(), items, next_token: output.next_token })
    }

    /// Uses the client that is there: its request gets another address and loses its signature. The URL is signed itself,
    /// and an HTTP client for this alone would be a second TLS stack.
    async fn download_failed_records(&self, failed_records_url: &str) -> Result<String, ListError> {
        let interceptor =
            DownloadInterceptor { url: failed_records_url.to_owned(), response_body: Arc::default() };
        let answer = Arc::clone(&interceptor.response_body);
        // The answer has been kept, so it does not matter what SES's deserializer makes of it.
        let sent = self.client.get_import_job().job_id("-").customize().interceptor(interceptor).send().await;
        let answer = answer.lock().ok().and_then(|mut answer| answer.take());
        answer.ok_or_else(|| {
            let why = sent.err().and_then(|error| error.raw_response().map(HttpResponse::status));
            ListError::Unavailable(
                why.map_or_else(|| "no answer".to_owned(), |status| format!("status {}", status.as_u16())),
            )
        })
    }
}

/// Sends a request elsewhere, and keeps the answer.
#[derive(Debug)]
struct DownloadInterceptor {
    url: String,
    response_body: Arc<Mutex<Option<String>>>,
}

impl Intercept for DownloadInterceptor {
    fn name(&self) -> &'static str {
        "DownloadInterceptor"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        request.set_uri(self.url.as_str())?;
        let names: Vec<_> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            request.headers_mut().remove(name);
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response().filter(|answer| answer.status().is_success());
        if let (Some(body), Ok(mut kept)) =
            (answer.and_then(|answer| answer.body().bytes()), self.response_body.lock())
        {
            *kept = Some(String::from_utf8_lossy(body).into_owned());
        }
        Ok(())
    }
}

fn parse_entry(spelling: String, reason: &SuppressionListReason, updated_at: &DateTime) -> Option<ListEntry> {
    Some(ListEntry {
        spelling,
        reason: SuppressionReason::from_ses(reason.as_str())?,
        updated_at: to_timestamp(updated_at)?,
    })
}

fn to_timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millis(time.to_millis().ok()?)
}

fn classify_error<E>(error: &SdkError<E, HttpResponse>) -> ListError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    ses::classify_error(error).into()
}

#[cfg(test)]
mod tests {
    use mailroom_core::suppression::import;

    use super::*;
    use doubles::stub::{Answer, Stub, config};

    #[tokio::test]
    async fn each_answer_says_whether_a_retry_can_help() {
        let named = |name: &str, status, body| Answer::from((status, body)).with("x-amzn-errortype", name);
        let stub = Stub::start([
            named("TooManyRequestsException", 429, "{}"),
            named("NotFoundException", 404, "{}"),
            named("NotFoundException", 404, "{}"),
            named("BadRequestException", 400, r#"{"message":"why"}"#),
            named("AccessDeniedException", 403, "{}"),
            named("InternalFailure", 500, "{}"),
            Answer::from((
                200,
                r#"{"ProductionAccessEnabled":true,"SuppressionAttributes":{"SuppressedReasons":["BOUNCE","NEW"]}}"#,
            )),
            named("LimitExceededException", 400, "{}"),
        ]);
        let list = SesSuppressionList::new(&stub.config());
        let put = || list.put("a@example.com", SuppressionReason::Bounce);
        assert_eq!(put().await, Err(ListError::Throttled));
        assert_eq!(list.delete("a@example.com").await, Ok(()));
        assert_eq!(list.get("a@example.com").await, Ok(None));
        let refused = put().await.unwrap_err();
        assert_eq!(refused.to_string(), "SES refuses it: BadRequestException: why");
        assert_eq!(
            refused.redacted_text(),
            "SES refuses it: BadRequestException",
            "no word that may name an address"
        );
        assert_eq!(put().await, Err(ListError::Denied("AccessDeniedException".to_owned())));
        assert_eq!(put().await, Err(ListError::Unavailable("InternalFailure".to_owned())));
        let enabled = BTreeSet::from([SuppressionReason::Bounce]);
        assert_eq!(
            list.account_status().await,
            Ok(AccountStatus { has_production_access: true, enabled_reasons: enabled })
        );
        let job = list.create_import_job(ImportAction::Put, "s3://b/k").await;
        assert_eq!(job.unwrap_err().redacted_text(), "SES refuses it: LimitExceededException");
        assert_eq!(stub.requests().len(), 8, "each call is one request");
    }

    #[tokio::test]
    async fn a_window_is_asked_for_with_its_bounds() {
        let stub = Stub::start([(200, r#"{"NextToken":"t"}"#), (200, "{}"), (200, "{}")]);
        let list = SesSuppressionList::new(&stub.config());
        let at = Timestamp::parse("2026-01-27T15:00:00Z");
        assert_eq!(
            list.list_entries(ListWindow::default(), None).await.unwrap().next_token.as_deref(),
            Some("t")
        );
        list.list_entries(ListWindow { from: at, until: None }, Some("t")).await.unwrap();
        list.list_entries(ListWindow { from: at, until: at.map(|at| at.plus(Duration::from_secs(1))) }, None)
            .await
            .unwrap();
        let queries: Vec<_> = stub
            .requests()
            .iter()
            .map(|request| request.head.split_whitespace().nth(1).unwrap_or_default().to_owned())
            .collect();
        assert!(!queries[0].contains("Date="), "{queries:?}");
        assert!(queries[1].contains("StartDate=2026-01-27T14%3A59%3A59.999Z"), "{queries:?}");
        assert!(queries[1].contains("NextToken=t") && !queries[1].contains("EndDate"), "{queries:?}");
        assert!(queries[2].contains("EndDate=2026-01-27T15%3A00%3A01Z"), "{queries:?}");
    }

    #[tokio::test]
    async fn a_presigned_url_is_asked_for_as_it_is() {
        const FAILED: &str = "{\"emailAddress\":\"A@example.com\"}\n{\"emailAddress\":\"b@example.com\"}\n";
        let stub = Stub::start([(200, FAILED), (403, "<Error/>")]);
        let url = stub.url.clone();
        // SES itself is at another address, and does not answer.
        let list = SesSuppressionList::new(&config("http://127.0.0.1:9"));
        let records =
            list.download_failed_records(&format!("{url}/records?X-Amz-Signature=1")).await.unwrap();
        assert_eq!(records, FAILED);
        assert_eq!(import::parse_record_addresses(&records).match_forms.len(), 2);
        let denied = list.download_failed_records(&format!("{url}/records")).await;
        assert_eq!(denied, Err(ListError::Unavailable("status 403".to_owned())));
        let request = stub.requests()[0].head.to_ascii_lowercase();
        assert!(request.starts_with("get /records?x-amz-signature=1 "), "{request}");
        assert!(!request.contains("authorization") && !request.contains("x-amz-date"), "{request}");
    }
}
