//! The TLS stub: trusted by the bundle it writes, and answering as DynamoDB does.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;

use local_aws::tls::TlsDynamoDb;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

fn trusting(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

fn roots_of(bundle: &Path) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(bundle).expect("a file").map(|one| one.expect("a certificate"));
    roots.add_parsable_certificates(certificates);
    roots
}

async fn call(endpoint: &str, connector: TlsConnector) -> std::io::Result<String> {
    let address = endpoint.strip_prefix("https://").expect("TLS");
    let stream = tokio::net::TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::try_from("localhost").expect("a name"), stream).await?;
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        .await?;
    let mut answer = String::new();
    // The stub may end the connection without TLS's good-bye; what came before it is whole.
    let _ = stream.read_to_string(&mut answer).await;
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn its_bundle_makes_it_trusted_and_it_says_yes() {
    let stub = TlsDynamoDb::start().await.expect("a port");
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("bundle.pem");
    stub.write_bundle(&bundle).expect("system roots");
    let roots = roots_of(&bundle);
    assert!(roots.len() > 50, "{} roots are not what a function reads in Lambda", roots.len());

    let answer = call(&stub.endpoint(), trusting(roots)).await.expect("trusted");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(r#"{"UnprocessedItems":{}}"#),
        "{answer}"
    );
    assert_eq!(stub.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_vouches_for_it() {
    let (stub, other) =
        (TlsDynamoDb::start().await.expect("a port"), TlsDynamoDb::start().await.expect("a port"));
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = folder.path().join("bundle.pem");
    other.write_bundle(&bundle).expect("system roots");
    call(&stub.endpoint(), trusting(roots_of(&bundle))).await.expect_err("another authority");
    assert_eq!(stub.requests(), 0);
}
