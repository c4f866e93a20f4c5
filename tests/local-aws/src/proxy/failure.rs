//! Errors as AWS writes them, so that the SDK classifies them as it would the real ones.

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use local_ses::loopback::Answer;

use super::call::Call;

/// An error answer: status and code. The service decides how it is spelled on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    status: StatusCode,
    code: Option<String>,
    message: String,
}

impl Failure {
    /// Any error.
    ///
    /// # Panics
    /// If the status is not one.
    pub fn new(status: u16, code: &str, message: &str) -> Self {
        Self { code: Some(code.to_owned()), message: message.to_owned(), ..Self::bare(status) }
    }

    /// A status without a body, as a load balancer gives it.
    ///
    /// # Panics
    /// If the status is not one.
    pub fn bare(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        Self { status, code: None, message: String::new() }
    }

    /// DynamoDB's throttle on a table: 400.
    pub fn throughput_exceeded() -> Self {
        Self::new(
            400,
            "ProvisionedThroughputExceededException",
            "The level of configured provisioned throughput for the table was exceeded.",
        )
    }

    /// The account's throttle: 400.
    pub fn throttling() -> Self {
        Self::new(400, "ThrottlingException", "Rate exceeded")
    }

    /// SES's throttle: 429.
    pub fn too_many_requests() -> Self {
        Self::new(429, "TooManyRequestsException", "Too many requests")
    }

    /// Its fault: 500.
    pub fn internal_error() -> Self {
        Self::new(500, "InternalServerError", "Internal server error")
    }

    /// The caller's fault: 400, and never to be retried.
    pub fn validation() -> Self {
        Self::new(400, "ValidationException", "One or more parameter values were invalid")
    }

    /// A missing permission: 400 at DynamoDB and SQS.
    pub fn access_denied() -> Self {
        Self::new(400, "AccessDeniedException", "User is not authorized to perform this action")
    }

    /// The answer, in the protocol that the request was made in.
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
        // The query protocol is the only one whose operation is a bare word without that header.
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

/// What stands before the code in `__type`: errors of AWS's common front have other namespaces than the service's own.
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
