//! The queues of other Regions, by which they are told what was decided here.
//!
//! Every Region's queue has the same name, in the same account and partition, so that its URL is known without asking.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::http::HttpResponse;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use mailroom_core::suppression::peer_message::{self, HalvesOrSingleState};
use tokio::time::Instant;
use tracing::error;

use crate::deadline::Deadline;
use crate::retry::{error_code_or_text, is_transient};

/// How often a message is sent: a connection that had gone stale while the environment slept is no reason to give up on a
/// peer.
const MAX_ATTEMPTS: usize = 2;
/// A peer that was waited for this long in vain counts as silent.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(1);
/// How long a silent peer is left alone: waiting for it again with every batch would delay the others.
const SKIP_UNRESPONSIVE_FOR: Duration = Duration::from_secs(30);

/// How long connecting may take. A peer may be at the other end of the world, where a connection with TLS alone takes a
/// second: more than the timeouts for the table allow.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one attempt to send may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// What SQS answers if it does not take a message because of what is in it, or because of its length.
const INVALID_CONTENTS_CODES: [&str; 3] =
    ["InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException"];

/// What became of a message of states.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct SentAndRefusedCounts {
    /// The number of messages in which its states were sent.
    pub messages_sent: usize,
    /// The number of states that the queue refuses, whatever message they are in.
    pub states_refused: usize,
}

/// Puts a [message of states](peer_message::pack_states) into a peer Region's queue. If the queue refuses what is in it, the message is
/// cut in two as often as it takes, and the states that are refused are left out, with a line in the log. Returns by
/// `deadline`.
///
/// # Errors
/// See [`PeerError`]. It may have been sent nevertheless, whole or in part.
pub async fn send_or_halve_message(
    queues: &impl PeerQueues,
    peer_region: &str,
    message: &str,
    deadline: Deadline,
) -> Result<SentAndRefusedCounts, PeerError> {
    let mut sent = SentAndRefusedCounts::default();
    let mut cut_off = Vec::new();
    let mut next = Some(Cow::Borrowed(message));
    while let Some(message) = next {
        match queues.send_message(peer_region, &message, deadline).await {
            Ok(()) => sent.messages_sent += 1,
            Err(PeerError::InvalidContents(why)) => match peer_message::halve_message(&message) {
                Ok(HalvesOrSingleState::Halves(first, second)) => cut_off.extend([second, first]),
                Ok(HalvesOrSingleState::SingleState(state)) => {
                    sent.states_refused += 1;
                    error!(
                        peer = peer_region,
                        state, "SQS refuses a state, the peer is not told of it: {why}"
                    );
                }
                Err(_) => return Err(PeerError::InvalidContents(why)),
            },
            Err(error) => return Err(error),
        }
        next = cut_off.pop().map(Cow::Owned);
    }
    Ok(sent)
}

/// Sends messages to peers.
pub trait PeerQueues {
    /// Puts a message into a peer Region's queue. Returns by `deadline`.
    ///
    /// # Errors
    /// See [`PeerError`]. It may have been sent nevertheless.
    async fn send_message(
        &self,
        peer_region: &str,
        message: &str,
        deadline: Deadline,
    ) -> Result<(), PeerError>;
}

/// Why a peer was not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// There is no such queue: Mailroom is not deployed there (yet), or its stack has another name. A retry can help once
    /// it is.
    #[error("no such queue")]
    QueueNotFound,
    /// The Region did not answer, throttled the call, or failed. A retry can help.
    #[error("SQS does not answer: {0}")]
    Unavailable(String),
    /// SQS does not take what is in the message. A retry with the same message can't help.
    #[error("SQS does not take the message: {0}")]
    InvalidContents(String),
    /// SQS refused the call in a way that only a person can fix, such as for a missing permission.
    #[error("refused: {0}")]
    Refused(String),
}

/// The queues of SQS in every Region.
pub struct SqsPeerQueues {
    config: SdkConfig,
    account: String,
    queue: String,
    clients: Mutex<HashMap<String, Client>>,
    unresponsive_peers: UnresponsivePeers,
}

/// The Regions that are left alone, and until when.
#[derive(Debug, Default)]
struct UnresponsivePeers(Mutex<HashMap<String, Instant>>);

impl UnresponsivePeers {
    fn is_skipped(&self, region: &str, now: Instant) -> bool {
        self.0.lock().is_ok_and(|silent| silent.get(region).is_some_and(|until| now < *until))
    }

    /// Notes that a call to a peer, begun at `started_at`, has failed.
    fn record_failed_call(&self, region: &str, started_at: Instant, now: Instant) {
        if now.duration_since(started_at) >= UNRESPONSIVE_AFTER
            && let Ok(mut silent) = self.0.lock()
        {
            silent.insert(region.to_owned(), now + SKIP_UNRESPONSIVE_FOR);
        }
    }
}

impl SqsPeerQueues {
    /// The queues of this account and name.
    pub fn new(config: &SdkConfig, account: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            config: config.clone(),
            account: account.into(),
            queue: queue.into(),
            clients: Mutex::default(),
            unresponsive_peers: UnresponsivePeers::default(),
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
    fn queue_url(&self, region: &str) -> String {
        format!("https://sqs.{region}.amazonaws.com/{}/{}", self.account, self.queue)
    }
}

impl PeerQueues for SqsPeerQueues {
    async fn send_message(
        &self,
        peer_region: &str,
        message: &str,
        deadline: Deadline,
    ) -> Result<(), PeerError> {
        if self.unresponsive_peers.is_skipped(peer_region, Instant::now()) {
            return Err(PeerError::Unavailable("was silent a moment ago".to_owned()));
        }
        let (client, url) = (self.client(peer_region), self.queue_url(peer_region));
        let mut attempt = 1;
        loop {
            let start = Instant::now();
            let call = client.send_message().queue_url(&url).message_body(message).send();
            let error = match deadline.limit(call).await {
                Some(Ok(_)) => return Ok(()),
                Some(Err(error)) => classify_error(&error),
                None => PeerError::Unavailable("timed out".to_owned()),
            };
            if !matches!(error, PeerError::Unavailable(_)) {
                return Err(error);
            }
            let now = Instant::now();
            self.unresponsive_peers.record_failed_call(peer_region, start, now);
            if attempt == MAX_ATTEMPTS
                || deadline.has_passed()
                || self.unresponsive_peers.is_skipped(peer_region, now)
            {
                return Err(error);
            }
            attempt += 1;
        }
    }
}

fn classify_error(error: &SdkError<SendMessageError, HttpResponse>) -> PeerError {
    if error.as_service_error().is_some_and(SendMessageError::is_queue_does_not_exist) {
        return PeerError::QueueNotFound;
    }
    let code = error_code_or_text(error);
    if is_transient(error) {
        PeerError::Unavailable(code)
    } else if INVALID_CONTENTS_CODES.contains(&code.as_str()) {
        PeerError::InvalidContents(code)
    } else {
        PeerError::Refused(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::Stub;

    #[test]
    fn a_far_peer_is_given_more_time_than_the_table_at_hand() {
        let at_hand = TimeoutConfig::builder().connect_timeout(Duration::from_secs(1)).build();
        let config = doubles::stub::config("http://localhost").into_builder().timeout_config(at_hand).build();
        let client = SqsPeerQueues::new(&config, "123456789012", "queue").client("ap-south-1");
        let timeouts = client.config().timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
    }

    /// SQS speaks JSON, and names the error in the body.
    #[tokio::test]
    async fn what_sqs_does_not_take_is_told_from_what_it_forbids() {
        let cases = [
            ("InvalidMessageContents", PeerError::InvalidContents("InvalidMessageContents".to_owned())),
            (
                "InvalidParameterValueException",
                PeerError::InvalidContents("InvalidParameterValueException".to_owned()),
            ),
            ("AccessDenied", PeerError::Refused("AccessDenied".to_owned())),
        ];
        for (code, expected) in cases {
            let body: &'static str =
                Box::leak(format!(r#"{{"__type":"com.amazonaws.sqs#{code}"}}"#).into_boxed_str());
            let stub = Stub::start([(400, body)]);
            let peers = SqsPeerQueues::new(&doubles::stub::config(&stub.url), "123456789012", "queue");
            let error = peers
                .send_message("us-east-1", "x", Deadline::after(Duration::from_secs(10)))
                .await
                .unwrap_err();
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn who_is_silent_is_left_alone_for_a_while() {
        let silent = UnresponsivePeers::default();
        let start = Instant::now();
        // A quick refusal delays nobody, and a deadline that has passed is not the peer's fault.
        silent.record_failed_call("eu-west-1", start, start + Duration::from_millis(999));
        assert!(!silent.is_skipped("eu-west-1", start));
        let now = start + UNRESPONSIVE_AFTER;
        silent.record_failed_call("eu-west-1", start, now);
        assert!(silent.is_skipped("eu-west-1", now + Duration::from_millis(29_999)));
        assert!(!silent.is_skipped("eu-west-1", now + SKIP_UNRESPONSIVE_FOR));
        assert!(!silent.is_skipped("us-west-2", now));
    }
}
