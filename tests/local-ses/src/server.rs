//! The HTTP side: which API a request is of, and the faults that it meets.

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

/// Longer than any client waits; if one does, it is disconnected.
const NEVER: Duration = Duration::from_mins(10);

/// What faults leave of an answer.
enum Met {
    Served(Answer),
    Error { status: u16, code: String, message: String },
}

/// Serves a request.
pub(crate) async fn answer(ses: &Ses, request: Request<Incoming>) -> Result<Answer, Cut> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(plain(StatusCode::BAD_REQUEST, "half a request")) };
    let body = body.to_bytes();
    let path = head.uri.path();
    // A URL that is signed by itself, to SES's own bucket.
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
    // v1 is one path, where a form says what is wanted.
    if path != "/" {
        return Ok(plain(StatusCode::NOT_IMPLEMENTED, "neither SES's v1 API nor its v2"));
    }
    query(ses, &region, service == "iam", &body).await
}

/// v1, and IAM, which speaks the same protocol.
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

/// v2.
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

/// Counts a request and lets the faults at it.
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
            tokio::time::sleep(NEVER).await;
            Err(Cut)
        }
        Some(faults::Answer::Disconnect) | None => Err(Cut),
    }
}

const JSON: &str = "application/json";

/// An error as REST-JSON has it: its name in a header.
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

/// Region and service, from `Credential=KEY/DAY/REGION/ses/aws4_request`.
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
