//! Errors as AWS writes them, so that the SDK classifies them as it would the real ones.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use local_ses::loopback::Answer;

use super::call::Call;

/// An error to answer with: status and code. The protocol of the service decides how it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    code: Option<String>,
    message: String,
}

impl Failure {
    /// An error with any status and code.
    ///
    /// # Panics
    /// If `status` is no HTTP status.
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self { code: Some(code.to_owned()), message: message.to_owned(), ..Self::bare(status) }
    }

    /// A status without a body, as a load balancer answers.
    ///
    /// # Panics
    /// If `status` is no HTTP status.
    pub fn bare(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        Self { status, code: None, message: String::new() }
    }

    /// DynamoDB's answer when a table is throttled, with status 400.
    pub fn throughput_exceeded() -> Self {
        Self::new(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        )
    }

    /// The answer when the account is throttled, with status 400.
    pub fn throttling() -> Self {
        Self::new(400, "ThrottlingException", "Rate exceeded")
    }

    /// SES's answer when it is called too fast, with status 429.
    pub fn too_many_requests() -> Self {
        Self::new(429, "TooManyRequestsException", "Too many requests")
    }

    /// The answer when the service itself fails, with status 500.
    pub fn internal_error() -> Self {
        Self::new(500, "InternalServerError", "Internal server error")
    }

    /// The answer to a request that is wrong, with status 400. It must never be retried.
    pub fn validation() -> Self {
        Self::new(400, "ValidationException", "One or more parameter values were invalid")
    }

    /// The answer when a permission is missing, which at DynamoDB and SQS has status 400.
    pub fn access_denied() -> Self {
        Self::new(400, "AccessDeniedException", "User is not authorized to perform this action")
    }

    /// Writes the answer in the protocol of the request.
    pub(super) fn answer(&self, call: &Call, head: &Parts) -> Answer {
        let Some(code) = &self.code else { return self.respond("text/plain", String::new(), None) };
        if head.headers.contains_key("x-amz-target") {
            let body = serde_json::json!({ "__type": format!("{}{code}", namespace(&call.service, code)), "message": self.message });
            return self.respond("application/x-amz-json-1.0", body.to_string(), None);
        }
        if call.service == "s3" {
            let body = format!("<Error><Code>{code}</Code><Message>{}</Message></Error>", self.message);
            return self.respond("application/xml", body, None);
        }
        // Of the protocols without that header, only the query protocol's operations are bare words.
        if !call.operation.contains(' ') {
            let fault = if self.status.is_server_error() { "Receiver" } else { "Sender" };
            let body = format!(
                "<ErrorResponse><Error><Type>{fault}</Type><Code>{code}</Code><Message>{}</Message></Error><RequestId>proxy</RequestId></ErrorResponse>",
                self.message
            );
            return self.respond("text/xml", body, None);
        }
        self.respond(
            "application/json",
            serde_json::json!({ "message": self.message }).to_string(),
            Some(code),
        )
    }

    fn respond(&self, content_type: &'static str, body: String, error_type: Option<&str>) -> Answer {
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
        if let Some(value) = error_type.and_then(|code| code.parse().ok()) {
            headers.insert("x-amzn-errortype", value);
        }
        answer
    }
}

/// The namespace that stands before the code in `__type`. Errors that all of AWS's services share have another one than the
/// service's own.
fn namespace(service: &str, code: &str) -> &'static str {
    match (service, code) {
        (_, "ValidationException") => "com.amazon.coral.validate#",
        (_, "ThrottlingException") => "com.amazon.coral.availability#",
        (_, "AccessDeniedException") => "com.amazon.coral.service#",
        ("dynamodb", _) => "com.amazonaws.dynamodb.v20120810#",
        ("sqs", _) => "com.amazonaws.sqs#",
        _ => "",
    }
}
