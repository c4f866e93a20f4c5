//! Which call of AWS a request is.

use std::fmt;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Parts;

/// Region, service and operation of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The Region in the request's signature; empty if it has none.
    pub region: String,
    /// The service as the request's signature names it (`dynamodb`, `sqs`, `ses`); empty if it has none.
    pub service: String,
    /// The operation, such as `BatchWriteItem`; for S3 such as `GetObject`; for other REST services method and path.
    pub operation: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.region, self.service, self.operation)
    }
}

impl Call {
    pub(super) fn of(head: &Parts, body: &[u8]) -> Self {
        let (region, service) = scope(head).unwrap_or_default();
        Self { region: region.to_owned(), service: service.to_owned(), operation: operation(head, body) }
    }
}

fn header(head: &Parts, name: impl hyper::header::AsHeaderName) -> Option<&str> {
    head.headers.get(name)?.to_str().ok()
}

/// Region and service in the signature: `Credential=KEY/DAY/REGION/SERVICE/aws4_request`.
fn scope(head: &Parts) -> Option<(&str, &str)> {
    let credential = header(head, AUTHORIZATION)?.split("Credential=").nth(1)?;
    let mut parts = credential.split(',').next()?.split('/').skip(2);
    Some((parts.next()?, parts.next()?))
}

/// The operation of a request. The JSON protocols name it in a header and the query protocol in a parameter; with REST,
/// method and path tell.
fn operation(head: &Parts, body: &[u8]) -> String {
    if let Some(target) = header(head, "x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let is_form =
        header(head, CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let form = std::str::from_utf8(body).ok().filter(|_| is_form);
    match head.uri.query().and_then(action).or_else(|| form.and_then(action)) {
        Some(action) => action.to_owned(),
        None if scope(head).is_some_and(|(_, service)| service == "s3") => object_operation(head),
        None => format!("{} {}", head.method, head.uri.path()),
    }
}

/// The operation of a call of S3, as far as our functions make them, with the bucket in the path: `GET /bucket/key?…` is
/// GetObject. If it had the key in it, no two calls would be the same operation.
fn object_operation(head: &Parts) -> String {
    let path = head.uri.path().trim_start_matches('/');
    let is_object = path.split_once('/').is_some_and(|(_, key)| !key.is_empty());
    let method = head.method.as_str();
    let verb = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
    format!("{verb}{}", if is_object { "Object" } else { "Bucket" })
}

fn action(form: &str) -> Option<&str> {
    form.split('&').find_map(|pair| pair.strip_prefix("Action="))
}

/// Tells which calls are meant. What is left open matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matcher {
    region: Option<String>,
    service: Option<String>,
    operation: Option<String>,
}

impl Matcher {
    /// Matches every call.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches every call of a service.
    pub fn service(service: &str) -> Self {
        Self { service: Some(service.to_owned()), ..Self::default() }
    }

    /// Matches one operation of a service.
    pub fn operation(service: &str, operation: &str) -> Self {
        Self { operation: Some(operation.to_owned()), ..Self::service(service) }
    }

    /// Matches the same calls, but in one Region only.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Self { region: Some(region.to_owned()), ..self }
    }

    /// Whether a call matches.
    pub fn matches(&self, call: &Call) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.region, &call.region)
            && fits(&self.service, &call.service)
            && fits(&self.operation, &call.operation)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn call(request: hyper::http::request::Builder, body: &str) -> Call {
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Call::of(&head, body.as_bytes())
    }

    fn signed(region: &str, service: &str) -> hyper::http::request::Builder {
        Request::builder().header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential=test/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"),
        )
    }

    #[test]
    fn json_query_and_rest_calls_are_told_apart() {
        let json = signed("eu-west-1", "dynamodb").header("x-amz-target", "DynamoDB_20120810.BatchWriteItem");
        assert_eq!(call(json, "{}").to_string(), "eu-west-1 dynamodb BatchWriteItem");

        let form = signed("us-east-1", "sns").header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            call(form, "Version=1&Action=Publish&Message=Action%3D").to_string(),
            "us-east-1 sns Publish"
        );

        let query = signed("us-east-1", "ses").uri("/?Action=GetSendQuota");
        assert_eq!(call(query, "").to_string(), "us-east-1 ses GetSendQuota");

        let rest = signed("us-east-1", "ses").method("PUT").uri("/v2/email/suppression/addresses");
        assert_eq!(call(rest, "{}").to_string(), "us-east-1 ses PUT /v2/email/suppression/addresses");
    }

    #[test]
    fn calls_of_s3_are_named_whatever_the_key() {
        for (method, path, operation) in [
            ("HEAD", "/bucket", "HeadBucket"),
            ("HEAD", "/bucket/", "HeadBucket"),
            ("HEAD", "/bucket/a/key", "HeadObject"),
            ("GET", "/bucket/key?versionId=1", "GetObject"),
            ("PUT", "/bucket/key?x-id=PutObject", "PutObject"),
        ] {
            let request = signed("eu-west-1", "s3").method(method).uri(path);
            assert_eq!(call(request, "").operation, operation);
        }
    }

    #[test]
    fn an_unsigned_request_has_no_region() {
        assert_eq!(
            call(Request::builder().uri("/health"), ""),
            Call { region: String::new(), service: String::new(), operation: "GET /health".to_owned() }
        );
    }

    #[test]
    fn a_matcher_matches_what_it_names() {
        let json = signed("eu-west-1", "dynamodb").header("x-amz-target", "DynamoDB_20120810.BatchWriteItem");
        let call = call(json, "{}");
        assert!(Matcher::any().matches(&call));
        assert!(Matcher::service("dynamodb").matches(&call));
        assert!(Matcher::operation("dynamodb", "BatchWriteItem").in_region("eu-west-1").matches(&call));
        assert!(!Matcher::any().in_region("us-east-1").matches(&call));
        assert!(!Matcher::operation("dynamodb", "PutItem").matches(&call));
        assert!(!Matcher::service("sqs").matches(&call));
    }
}
