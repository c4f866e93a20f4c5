//! Delivers a custom resource's answer to CloudFormation, which waits for it at a pre-signed URL (CloudFormation User
//! Guide, "Custom resource response objects", November 2026).

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_smithy_http_client::default_connector;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings, SharedHttpConnector};

/// Delivers answers.
pub trait CustomResourceResponder {
    /// Puts an answer to a URL. The same answer may be put again. Neither may go into a log line: the URL is a
    /// permission.
    ///
    /// # Errors
    /// See [`ResponderError`].
    async fn put_response(&self, response_url: &str, response_body: &str) -> Result<(), ResponderError>;
}

/// Why an answer was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponderError {
    /// There was no answer, or a server's error. It may have been delivered nevertheless; a retry can help.
    #[error("not delivered: {0}")]
    Unavailable(String),
    /// The URL's server refused with this status, such as for a signature that has expired. No retry can help.
    #[error("refused with status {0}")]
    Refused(u16),
    /// The text is not a URL.
    #[error("not a URL")]
    InvalidUrl,
}

/// Delivers answers over HTTP, by the client that the SDK's own clients are made of: another one would be a second TLS
/// stack.
#[derive(Debug)]
pub struct HttpResponder {
    connector: Option<SharedHttpConnector>,
}

impl HttpResponder {
    /// A client with time limits.
    pub fn new() -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(Duration::from_secs(2))
            .read_timeout(Duration::from_secs(10))
            .build();
        Self { connector: default_connector(&settings, None) }
    }
}

impl Default for HttpResponder {
    fn default() -> Self {
        Self::new()
    }
}

impl CustomResourceResponder for HttpResponder {
    /// Sends no content type, since it would be part of what was signed.
    async fn put_response(&self, response_url: &str, response_body: &str) -> Result<(), ResponderError> {
        let unavailable = |why: &str| ResponderError::Unavailable(why.to_owned());
        let connector = self.connector.as_ref().ok_or_else(|| unavailable("no HTTP client"))?;
        let mut request = HttpRequest::new(response_body.into());
        request.set_method("PUT").map_err(|_| ResponderError::InvalidUrl)?;
        request.set_uri(response_url).map_err(|_| ResponderError::InvalidUrl)?;
        request.headers_mut().insert("content-length", response_body.len().to_string());
        let response = connector.call(request).await;
        let response = response.map_err(|error| unavailable(&DisplayErrorContext(error).to_string()))?;
        match response.status().as_u16() {
            200..=299 => Ok(()),
            status @ (408 | 429 | 500..) => Err(unavailable(&format!("status {status}"))),
            status => Err(ResponderError::Refused(status)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::{Request, Stub};

    #[tokio::test]
    async fn an_answer_is_put_as_it_is() {
        let stub = Stub::start([200, 503, 403].map(|status| (status, "")));
        let url = format!("{}/token?Signature=a%2Bb", stub.url);
        let answers = HttpResponder::new();
        let put = || answers.put_response(&url, r#"{"a":"ä"}"#);
        assert_eq!(put().await, Ok(()));
        assert_eq!(put().await, Err(ResponderError::Unavailable("status 503".to_owned())));
        assert_eq!(put().await, Err(ResponderError::Refused(403)));
        assert_eq!(answers.put_response("not a URL", "{}").await, Err(ResponderError::InvalidUrl));
        let nobody = answers.put_response("http://127.0.0.1:9/", "{}").await;
        assert!(matches!(nobody, Err(ResponderError::Unavailable(_))), "{nobody:?}");
        let requests = stub.requests();
        assert_eq!(requests.len(), 3, "each call is one request");
        let Request { head, body } = &requests[0];
        assert!(head.starts_with("PUT /token?Signature=a%2Bb HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("content-length: 10") && !head.contains("content-type"), "{head}");
        assert_eq!(body, r#"{"a":"ä"}"#);
    }
}
