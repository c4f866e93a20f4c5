//! The HTTP side: a loopback server that lives as long as its value.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::ses::Ses;
use crate::{api, query};

type Answer = Response<Full<Bytes>>;

/// Accepts until dropped; its connections end with it.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(ses: Arc<Ses>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(accept(listener, ses)) })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, ses: Arc<Ses>) {
    // A set, not detached tasks: aborting this one then ends every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                // Small answers to a waiting client: Nagle would add 40 ms to some.
                let _ = stream.set_nodelay(true);
                let ses = Arc::clone(&ses);
                let service = service_fn(move |request| {
                    let ses = Arc::clone(&ses);
                    async move { Ok::<_, Infallible>(answer(&ses, request).await) }
                });
                connections.spawn(async move {
                    // An error is a client that went away.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(ses: &Ses, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return plain(StatusCode::BAD_REQUEST, "half a request") };
    let Some(region) = region(&head) else {
        return plain(StatusCode::FORBIDDEN, "no signature: it would name the Region");
    };
    // v1 is one path, where a form says what is wanted; v2, whose paths say it, is not here yet.
    if head.uri.path() != "/" {
        return plain(StatusCode::NOT_IMPLEMENTED, "the local SES speaks SES's v1 API only");
    }
    v1(ses, &region, &body.to_bytes()).await
}

async fn v1(ses: &Ses, region: &str, form: &[u8]) -> Answer {
    let params = query::decode(form);
    let action = params["Action"].as_str().unwrap_or_default().to_owned();
    let request_id = ses.ids.request();
    let plan = ses.requests.meet(region, &action);
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    let (status, xml) = if let Some((status, code, message)) = plan.refuse {
        (status, query::error(status >= 500, &code, &message, &request_id))
    } else {
        match api::call(ses, region, &action, params).await {
            Ok(result) => (200, query::answer(&action, &result, &request_id)),
            Err(refusal) => (400, query::error(false, refusal.code, &refusal.message, &request_id)),
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(xml)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer
}

/// From `Credential=KEY/DAY/REGION/ses/aws4_request`.
fn region(head: &Parts) -> Option<String> {
    let signature = head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let credential = signature.split("Credential=").nth(1)?.split(',').next()?;
    credential.split('/').nth(2).map(str::to_owned)
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *answer.status_mut() = status;
    answer
}
