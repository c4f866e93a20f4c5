//! The queues of other Regions, by which they are told what was decided here.
//!
//! Every Region's queue has the same name, in the same account and partition, so that its URL is known without asking.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::send_message::SendMessageError;
use tokio::time::{Instant, timeout_at};

use crate::fuse::Fuse;

/// How often a message is sent: a connection that had gone stale while the environment slept is no reason to give up on a
/// peer.
const MAX_ATTEMPTS: usize = 2;
/// A peer that was waited for this long in vain counts as silent.
const SILENT_AFTER: Duration = Duration::from_secs(1);
/// How long a silent peer is left alone: waiting for it again with every batch would delay the others.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(30);

/// How long connecting may take. A peer may be at the other end of the world, where a connection with TLS alone takes a
/// second: more than the timeouts for the table allow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt to send may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends messages to peers.
pub trait Peers {
    /// Puts a message into a peer Region's queue. Returns by `deadline`.
    ///
    /// # Errors
    /// See [`PeerError`]. It may have been sent nevertheless.
    async fn send(&self, region: &str, message: &str, deadline: Instant) -> Result<(), PeerError>;
}

/// Why a peer was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// There is no such queue: Mailroom is not deployed there (yet), or its stack has another name. A retry can help once
    /// it is.
    #[error("no such queue")]
    NoQueue,
    /// The Region did not answer, throttled the call, or failed. A retry can help.
    #[error("SQS does not answer: {0}")]
    Unavailable(String),
    /// SQS refused the call in a way that only a person can mend, such as for a missing permission.
    #[error("refused: {0}")]
    Refused(String),
}

/// The queues of SQS in every Region.
pub struct SqsPeers {
    config: SdkConfig,
    account: String,
    queue: String,
    clients: Mutex<HashMap<String, Client>>,
    silent: Silent,
}

/// The Regions that are left alone, and until when.
#[derive(Debug, Default)]
struct Silent(Mutex<HashMap<String, Instant>>);

impl Silent {
    fn is_left_alone(&self, region: &str, now: Instant) -> bool {
        self.0.lock().is_ok_and(|silent| silent.get(region).is_some_and(|until| now < *until))
    }

    /// Notes that a call to a peer, begun at `start`, has failed.
    fn note(&self, region: &str, start: Instant, now: Instant) {
        if now.duration_since(start) >= SILENT_AFTER
            && let Ok(mut silent) = self.0.lock()
        {
            silent.insert(region.to_owned(), now + LEFT_ALONE_FOR);
        }
    }
}

impl SqsPeers {
    /// The queues of this account and name.
    pub fn new(config: &SdkConfig, account: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            config: config.clone(),
            account: account.into(),
            queue: queue.into(),
            clients: Mutex::default(),
            silent: Silent::default(),
        }
    }

    fn client(&self, region: &str) -> Client {
        let make = || {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .build();
            let config = aws_sdk_sqs::config::Builder::from(&self.config)
                .region(Region::new(region.to_owned()))
                .timeout_config(timeouts);
            Client::from_conf(config.build())
        };
        self.clients.lock().map_or_else(
            |_| make(),
            |mut clients| clients.entry(region.to_owned()).or_insert_with(make).clone(),
        )
    }

    /// The URL of a Region's queue. The commercial Regions and those of `GovCloud` have the same suffix, and SES is in no
    /// other partition.
    fn url(&self, region: &str) -> String {
        format!("https://sqs.{region}.amazonaws.com/{}/{}", self.account, self.queue)
    }
}

impl Peers for SqsPeers {
    async fn send(&self, region: &str, message: &str, deadline: Instant) -> Result<(), PeerError> {
        if self.silent.is_left_alone(region, Instant::now()) {
            return Err(PeerError::Unavailable("was silent a moment ago".to_owned()));
        }
        let (client, url) = (self.client(region), self.url(region));
        let mut attempt = 1;
        loop {
            let start = Instant::now();
            let call = client.send_message().queue_url(&url).message_body(message).send();
            let why = match timeout_at(deadline, call).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => why(&error),
                Err(_) => PeerError::Unavailable("timed out".to_owned()),
            };
            if !matches!(why, PeerError::Unavailable(_)) {
                return Err(why);
            }
            let now = Instant::now();
            self.silent.note(region, start, now);
            if attempt == MAX_ATTEMPTS || now >= deadline || self.silent.is_left_alone(region, now) {
                return Err(why);
            }
            attempt += 1;
        }
    }
}

fn why(error: &SdkError<SendMessageError, HttpResponse>) -> PeerError {
    if error.as_service_error().is_some_and(SendMessageError::is_queue_does_not_exist) {
        return PeerError::NoQueue;
    }
    let told = error.code().map_or_else(|| DisplayErrorContext(error).to_string(), str::to_owned);
    let passes = match error {
        SdkError::ServiceError(service) => {
            service.raw().status().is_server_error()
                || ["Throttl", "TooManyRequests", "Unavailable"].iter().any(|word| told.contains(word))
        }
        other => !matches!(other, SdkError::ConstructionFailure(_)),
    };
    if passes { PeerError::Unavailable(told) } else { PeerError::Refused(told) }
}

/// Queues in memory, in all Regions. Clones are the same queues.
#[derive(Debug, Clone, Default)]
pub struct MemoryPeers {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    queues: BTreeMap<String, VecDeque<String>>,
    failing: HashMap<String, PeerError>,
}

impl MemoryPeers {
    /// The same queues, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// Takes all messages out of a Region's queue, the first sent first.
    pub fn receive(&self, region: &str) -> Vec<String> {
        let Ok(mut inner) = self.inner.lock() else { return Vec::new() };
        inner.queues.remove(region).map(Into::into).unwrap_or_default()
    }

    /// From now on a Region answers with this error; `None`: it works again.
    pub fn fail(&self, region: &str, error: Option<PeerError>) {
        if let Ok(mut inner) = self.inner.lock() {
            match error {
                Some(error) => drop(inner.failing.insert(region.to_owned(), error)),
                None => drop(inner.failing.remove(region)),
            }
        }
    }
}

impl Peers for MemoryPeers {
    async fn send(&self, region: &str, message: &str, _: Instant) -> Result<(), PeerError> {
        self.fuse.effect().await;
        let mut inner = self.inner.lock().map_err(|_| PeerError::Unavailable("poisoned".to_owned()))?;
        if let Some(error) = inner.failing.get(region) {
            return Err(error.clone());
        }
        inner.queues.entry(region.to_owned()).or_default().push_back(message.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_peer_is_given_more_time_than_the_table_at_hand() {
        let at_hand = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
        let config = crate::stub::config("http://localhost").into_builder().timeout_config(at_hand).build();
        let client = SqsPeers::new(&config, "123456789012", "queue").client("ap-south-1");
        let timeouts = client.config().timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
    }

    #[test]
    fn who_is_silent_is_left_alone_for_a_while() {
        let silent = Silent::default();
        let start = Instant::now();
        // A quick refusal delays nobody, and a deadline that has passed is not the peer's fault.
        silent.note("eu-west-1", start, start + Duration::from_millis(999));
        assert!(!silent.is_left_alone("eu-west-1", start));
        let now = start + SILENT_AFTER;
        silent.note("eu-west-1", start, now);
        assert!(silent.is_left_alone("eu-west-1", now + Duration::from_millis(29_999)));
        assert!(!silent.is_left_alone("eu-west-1", now + LEFT_ALONE_FOR));
        assert!(!silent.is_left_alone("us-west-2", now));
    }
}
