//! What ministack's CloudFormation leaves in a state that its own Lambda cannot use, put right by Lambda's API, so that
//! the template stays as it is.
//!
//! Parameters are text, also those of `Type: Number`. ministack 1.5.33 hands `MaximumConcurrency: !Ref X` on as text, and
//! then its poller fails at comparing it with a number: for this mapping and all others.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::clients::CREDENTIAL;
use crate::http::{self, HttpError};

const MAPPINGS: &str = "/2015-03-31/event-source-mappings/";

/// Why nothing could be mended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MendError {
    /// No answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Lambda refused.
    #[error("Lambda answered {status}: {body}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// Lambda answered something else.
    #[error("not an answer of Lambda's: {0}")]
    NotJson(#[from] serde_json::Error),
}

/// Gives every event source mapping of a Region its concurrency as a number.
pub(crate) async fn concurrency_as_numbers(address: SocketAddr, region: &str) -> Result<(), MendError> {
    let mappings = call(address, region, Method::GET, MAPPINGS, None).await?;
    for mapping in mappings["EventSourceMappings"].as_array().into_iter().flatten() {
        let as_text = mapping["ScalingConfig"]["MaximumConcurrency"].as_str();
        let number = as_text.and_then(|text| text.parse::<u32>().ok());
        let (Some(number), Some(id)) = (number, mapping["UUID"].as_str()) else { continue };
        let change = json!({ "ScalingConfig": { "MaximumConcurrency": number } });
        call(address, region, Method::PUT, &format!("{MAPPINGS}{id}"), Some(change)).await?;
    }
    Ok(())
}

/// A call of Lambda's REST API. By hand: two calls are not worth another SDK crate.
async fn call(
    address: SocketAddr,
    region: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Result<Value, MendError> {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(CONTENT_TYPE, "application/json")
        // The Region is read from here; the signature is not checked.
        .header(
            AUTHORIZATION,
            format!(
                "AWS4-HMAC-SHA256 Credential={CREDENTIAL}/20260101/{region}/lambda/aws4_request, \
                 SignedHeaders=host, Signature=0"
            ),
        )
        .body(Full::new(Bytes::from(body)))
        .map_err(HttpError::from)?;
    let answer = http::send(&http::pool(), request).await?;
    if !answer.status().is_success() {
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        return Err(MendError::Refused { status: answer.status().as_u16(), body });
    }
    Ok(serde_json::from_slice(answer.body())?)
}
