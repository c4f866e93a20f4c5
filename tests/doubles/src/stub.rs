//! An AWS on the loopback interface, for tests: it answers as it was told, and keeps the requests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};

/// The answer to the first request of a connection.
pub struct Answer {
    status: u16,
    headers: String,
    body: &'static str,
}

impl From<(u16, &'static str)> for Answer {
    fn from((status, body): (u16, &'static str)) -> Self {
        Self { status, headers: String::new(), body }
    }
}

impl Answer {
    /// The same answer with another header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers = format!("{}{name}: {value}\r\n", self.headers);
        self
    }
}

/// A request that was made.
pub struct Request {
    /// The request line and the headers.
    pub head: String,
    /// The body.
    pub body: String,
}

/// The stand-in for AWS, which ends with its last answer.
pub struct Stub {
    /// The stand-in's endpoint.
    pub url: String,
    requests: JoinHandle<Vec<Request>>,
}

impl Stub {
    /// Starts a stand-in that gives these answers, one for each connection.
    pub fn start<A: Into<Answer>>(answers: impl IntoIterator<Item = A>) -> Self {
        let answers: Vec<Answer> = answers.into_iter().map(Into::into).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = std::thread::spawn(move || {
            let one = |answer: &Answer| {
                let (mut connection, _) = listener.accept().unwrap();
                let request = read(&mut connection);
                let Answer { status, headers, body } = answer;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                connection.write_all(answer.as_bytes()).unwrap();
                request
            };
            answers.iter().map(one).collect()
        });
        Self { url, requests }
    }

    /// The configuration for clients that talk to this stub.
    pub fn config(&self) -> SdkConfig {
        config(&self.url)
    }

    /// The requests so far; to be called when the stub has given its last answer.
    pub fn requests(self) -> Vec<Request> {
        self.requests.join().unwrap()
    }

    /// The requests' bodies.
    pub fn bodies(self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.body).collect()
    }
}

/// The configuration for clients that talk to an endpoint.
pub fn config(url: &str) -> SdkConfig {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(url)
        .build()
}

/// Reads a request until its body is complete, whose length the head says.
fn read(connection: &mut TcpStream) -> Request {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = connection.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "the request was cut off");
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
        if body.len() >= length.map_or(0, |length| length.trim().parse().unwrap()) {
            return Request { head: head.to_owned(), body: body.to_owned() };
        }
    }
}
