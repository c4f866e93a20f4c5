//! The HTTP side: it tells which API a request is for, and applies faults.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::json;

use crate::loopback::{Answer, Cut};
use crate::ses::Ses;
use crate::{api, faults, iam, query, v2};

/// How long a request is left without an answer: longer than any client waits. A client that does wait is disconnected
/// then.
const HANG_FOR: Duration = Duration::from_mins(10);

/// What is answered once the faults have been applied.
enum Met {
    Served(Answer),
    Error { status: u16, code: String, message: String },
}

/// Answers a request.
pub(crate) async fn answer(ses: &Ses, request: Request<Incoming>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(plain(StatusCode::BAD_REQUEST, "half a request")) };
    let body = body.to_bytes();
    let path = head.uri.path();
    // A URL of SES's own bucket. Such a URL is pre-signed, so the request has no signature.
    if let Some(failed) = path.strip_prefix(v2::FAILED_RECORDS) {
        return Ok(v2::failed_records(ses, failed).map_or_else(
            || plain(StatusCode::NOT_FOUND, "no such job"),
            |records| reply(200, "application/x-ndjson", records),
        ));
    }
    let Some((region, service)) = scope(&head) else {
        return Ok(plain(StatusCode::FORBIDDEN, "no signature: it would name Region and service"));
    };
    if path.starts_with("/v2/") {
        return rest(ses, &region, &head, &body).await;
    }
    // All actions of v1 have one path; a form names the action.
    if path != "/" {
        return Ok(plain(StatusCode::NOT_IMPLEMENTED, "neither SES's v1 API nor its v2"));
    }
    query(ses, &region, service == "iam", &body).await
}

/// Answers a request of the query protocol, which is v1's and IAM's.
async fn query(ses: &Ses, region: &str, is_iam: bool, form: &[u8]) -> Result<Answer, Cut> {
    let params = query::decode(form);
    let action = params["Action"].as_str().unwrap_or_default().to_owned();
    let request_id = ses.ids.request();
    let serve = async {
        let result = if is_iam {
            ses.iam(|iam| iam::call(iam, ses.clock.now(), &ses.config.account, &action, params))
                .map_err(|refused| (refused.status, refused.code, refused.message))
        } else {
            api::call(ses, region, &action, params)
                .await
                .map_err(|refusal| (400, refusal.code, refusal.message))
        };
        let (status, xml) = match result {
            Ok(result) => (200, query::answer(&action, &result, &request_id)),
            Err((status, code, message)) => (status, query::error(false, code, &message, &request_id)),
        };
        reply(status, "text/xml", xml)
    };
    Ok(match meet(ses, region, &action, Box::pin(serve)).await? {
        Met::Served(answer) => answer,
        Met::Error { status, code, message } => {
            reply(status, "text/xml", query::error(status >= 500, &code, &message, &request_id))
        }
    })
}

/// Answers a request of v2.
async fn rest(ses: &Ses, region: &str, head: &Parts, body: &[u8]) -> Result<Answer, Cut> {
    let call = v2::Call::of(&head.method, &head.uri, body);
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let serve = async {
        match v2::serve(ses, region, host, &call).await {
            Ok(result) => reply(200, JSON, result.to_string()),
            Err(refused) => error(refused.kind.status(), refused.kind.code(), &refused.message),
        }
    };
    Ok(match meet(ses, region, call.action.name(), Box::pin(serve)).await? {
        Met::Served(answer) => answer,
        Met::Error { status, code, message } => error(status, &code, &message),
    })
}

/// Counts a request and applies the faults that meet it.
async fn meet(
    ses: &Ses,
    region: &str,
    action: &str,
    serve: impl Future<Output = Answer>,
) -> Result<Met, Cut> {
    let plan = ses.requests.meet(region, action);
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    let answer = if plan.instead.is_some() {
        plan.instead
    } else {
        let served = serve.await;
        if plan.then.is_none() {
            return Ok(Met::Served(served));
        }
        plan.then
    };
    match answer {
        Some(faults::Answer::Error { status, code, message }) => Ok(Met::Error { status, code, message }),
        Some(faults::Answer::Never) => {
            tokio::time::sleep(HANG_FOR).await;
            Err(Cut)
        }
        Some(faults::Answer::Disconnect) | None => Err(Cut),
    }
}

const JSON: &str = "application/json";

/// An error in REST-JSON, whose name is in a header.
fn error(status: u16, code: &str, message: &str) -> Answer {
    let mut answer = reply(status, JSON, json!({ "message": message }).to_string());
    if let Ok(code) = HeaderValue::from_str(code) {
        answer.headers_mut().insert("x-amzn-errortype", code);
    }
    answer
}

fn reply(status: u16, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// The Region and the service in the signature: `Credential=KEY/DAY/REGION/ses/aws4_request`.
fn scope(head: &Parts) -> Option<(String, String)> {
    let signature = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let credential = signature.split("Credential=").nth(1)?.split(',').next()?;
    let mut parts = credential.split('/').skip(2).map(str::to_owned);
    Some((parts.next()?, parts.next()?))
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Bytes::from_static(text.as_bytes()));
    *answer.status_mut() = status;
    answer
}
