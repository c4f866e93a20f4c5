//! The HTTP client: one GET for health checks, and the pooled client with which the proxy forwards.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A pooled HTTP/1 client.
pub(crate) type Pool = Client<HttpConnector, Full<Bytes>>;

/// Why a request had no complete answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The request could not be written.
    #[error("not a request: {0}")]
    Request(#[from] hyper::http::Error),
    /// Nobody listens there, or the connection broke.
    #[error("no answer: {0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    /// The connection broke in the middle of the answer.
    #[error("half an answer: {0}")]
    Body(#[from] hyper::Error),
}

/// A client with a pool of its own.
pub(crate) fn pool() -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Sends a request and reads the whole answer.
pub(crate) async fn send(pool: &Pool, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
    let (head, body) = pool.request(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
}

/// One GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Response<Bytes>, HttpError> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(format!("http://{address}{path}"))
        .body(Full::new(Bytes::new()))?;
    send(&pool(), request).await
}
