//! A DynamoDB that speaks TLS on the loopback and accepts everything. Plain HTTP would skip most of a cold start, which is
//! reading root certificates and shaking hands.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The files in which systems keep the root certificates that they trust: Debian, Fedora and Amazon Linux, Alpine and SUSE.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Why the stub did not start.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate could be made.
    #[error("could not make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS refuses the certificate that was made.
    #[error("could not set up TLS: {0}")]
    Setup(#[from] rustls::Error),
    /// The stub could not listen on a port.
    #[error("could not listen: {0}")]
    Listen(#[source] io::Error),
    /// This machine has no bundle of root certificates. The function would read far fewer than in Lambda, which would
    /// flatter the measurement.
    #[error("no bundle of root certificates in {}", SYSTEM_ROOTS.join(", "))]
    NoRoots,
    /// The bundle cannot be read or written.
    #[error("could not make the bundle {}: {source}", .path.display())]
    Bundle {
        /// The path of the bundle.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The running stub, which ends when this is dropped.
#[derive(Debug)]
pub struct TlsDynamoDb {
    address: SocketAddr,
    authority: String,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TlsDynamoDb {
    /// Starts the stub on a free loopback port, with a certificate authority of its own.
    pub async fn start() -> Result<Self, TlsError> {
        let (authority, config) = certificates()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(TlsError::Listen)?;
        let address = listener.local_addr().map_err(TlsError::Listen)?;
        let requests = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&requests)));
        Ok(Self { address, authority, requests, task })
    }

    /// The URL for `AWS_ENDPOINT_URL`. It has a host name, as with AWS, since TLS checks an IP address in another way.
    pub fn endpoint(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The number of requests that it has answered.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Writes the system's root certificates and the stub's own into a file, for the function's `SSL_CERT_FILE`.
    pub fn write_bundle(&self, path: &Path) -> Result<(), TlsError> {
        let failed = |source| TlsError::Bundle { path: path.to_path_buf(), source };
        let system = SYSTEM_ROOTS.iter().find(|roots| Path::new(roots).is_file()).ok_or(TlsError::NoRoots)?;
        let mut bundle = fs::read_to_string(system).map_err(failed)?;
        bundle.push('\n');
        bundle.push_str(&self.authority);
        fs::write(path, bundle).map_err(failed)
    }
}

impl Drop for TlsDynamoDb {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes a certificate authority, as PEM, and a server whose certificate it has signed.
fn certificates() -> Result<(String, ServerConfig), TlsError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "Mailroom's local tests");
    let authority_key = KeyPair::generate()?;
    let authority = params.self_signed(&authority_key)?;
    let issuer = Issuer::new(params, authority_key);

    let server_key = KeyPair::generate()?;
    let server = CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&server_key, &issuer)?;
    let chain = vec![CertificateDer::from(server.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());

    // The provider is named here, since the process's default depends on what else is linked.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok((authority.pem(), config))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, requests: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let (acceptor, requests) = (acceptor.clone(), Arc::clone(&requests));
                connections.spawn(async move {
                    // A client that does not trust the stub reports that itself.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, Arc::clone(&requests)));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    requests: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    requests.fetch_add(1, Ordering::Relaxed);
    let mut response = Response::new(Full::new(Bytes::from_static(br#"{"UnprocessedItems":{}}"#)));
    let json = hyper::header::HeaderValue::from_static("application/x-amz-json-1.0");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}
