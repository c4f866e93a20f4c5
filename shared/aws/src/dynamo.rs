//! What all adapters of the table share: which of DynamoDB's errors are transient, and how long calls are retried.

use std::time::Duration;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde_dynamo::{AttributeValue, Item};
use serde_path_to_error::Segment;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Why the table did not do as asked. Names no key, since a key holds an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The calls were throttled, failed or were not answered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    Deadline(String),
    /// DynamoDB refused the call in a way that this invocation can't mend, such as for a missing permission. A retry can
    /// help once that is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// The value can't be put as a DynamoDB item, or the item can't be read by this version. Names the attribute, and quotes
    /// no value. No retry can help.
    #[error("not an item: {0}")]
    NotAnItem(String),
}

impl<E: ProvideErrorMetadata> From<Failure<E>> for TableError {
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Deadline(trouble) => Self::Deadline(trouble),
            Failure::Refused(error) => Self::Refused(told(&error)),
        }
    }
}

/// How serde's errors begin, up to where they quote the value.
const PROBLEMS: [&str; 6] = [
    "duplicate field",
    "invalid length",
    "invalid type",
    "invalid value",
    "unknown field",
    "unknown variant",
];

/// Reads an item of the table, or of its stream.
///
/// # Errors
/// [`TableError::NotAnItem`]
pub fn read_item<T: DeserializeOwned>(item: impl Into<Item>) -> Result<T, TableError> {
    let item: Item = item.into();
    read_value(serde_dynamo::Deserializer::from_attribute_value(AttributeValue::M(item.into())))
}

/// Reads a stored value of any format. The error names the attribute's path and the kind of problem, as in
/// `bounced.at: invalid type`. It quotes no value, as serde's errors do, since items hold addresses and errors are logged.
///
/// # Errors
/// [`TableError::NotAnItem`]
pub fn read_value<'de, T: DeserializeOwned>(value: impl Deserializer<'de>) -> Result<T, TableError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let text = error.inner().to_string();
        let problem = match PROBLEMS.iter().find(|problem| text.starts_with(**problem)) {
            Some(problem) => problem,
            // The name of a missing attribute is in the code, not in the item.
            None if text.starts_with("missing field") => text.as_str(),
            None if text.starts_with("Expected ") => "invalid type",
            None => "can't be read",
        };
        TableError::NotAnItem(format!("{}: {problem}", attribute(error.path())))
    })
}

/// A path as far as this code may have named it: in a damaged item an attribute's name, or what stands where the name of a
/// variant is expected, may be an address.
fn attribute(path: &serde_path_to_error::Path) -> String {
    let is_ours = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let name = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("[{index}]"),
        Segment::Map { key } if is_ours(key) => format!(".{key}"),
        Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => ".?".to_owned(),
    };
    let text: String = path.iter().map(name).collect();
    let text = text.trim_start_matches('.');
    if text.is_empty() { "the whole".to_owned() } else { text.to_owned() }
}

const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(3);

/// Pauses between attempts that double, with full jitter.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_BACKOFF)
    }

    /// Sleeps for the next pause. Returns `false` at once if the deadline would come first.
    pub(crate) async fn pause(&mut self, deadline: Instant) -> bool {
        let end = Instant::now() + self.0.mul_f64(fastrand::f64());
        if end >= deadline {
            return false;
        }
        sleep_until(end).await;
        self.0 = (2 * self.0).min(LONGEST_BACKOFF);
        true
    }
}

/// Why a call failed.
#[derive(Debug)]
pub enum Failure<E> {
    /// There were only transient errors until the deadline. Holds the last of them.
    Deadline(String),
    /// DynamoDB refused the call. Holds its error.
    Refused(Box<SdkError<E, HttpResponse>>),
}

/// Repeats a call until DynamoDB answers it, or the deadline has come.
///
/// # Errors
/// See [`Failure`].
pub async fn retried<T, E: ProvideErrorMetadata>(
    deadline: Instant,
    call: impl AsyncFn() -> Result<T, SdkError<E, HttpResponse>>,
) -> Result<T, Failure<E>> {
    let mut backoff = Backoff::new();
    loop {
        let trouble = match timeout_at(deadline, call()).await {
            Err(_) => "timed out".to_owned(),
            Ok(Ok(output)) => return Ok(output),
            Ok(Err(error)) if may_pass(&error) => told(&error),
            Ok(Err(error)) => return Err(Failure::Refused(Box::new(error))),
        };
        if !backoff.pause(deadline).await {
            return Err(Failure::Deadline(trouble));
        }
    }
}

/// The error in a word, without anything that was in the call.
pub(crate) fn told<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    error.code().map_or_else(|| error.to_string(), str::to_owned)
}

/// Whether the same call may succeed later: it was throttled, failed on DynamoDB's side, or was not answered.
pub(crate) fn may_pass<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(service) = error else {
        return !matches!(error, SdkError::ConstructionFailure(_));
    };
    let throttled = ["Throttl", "ThroughputExceeded", "LimitExceeded", "TooManyRequests", "Unavailable"];
    service.raw().status().is_server_error()
        || error.code().is_some_and(|code| throttled.iter().any(|word| code.contains(word)))
}

#[cfg(test)]
mod tests {
    use mailroom_core::suppression::operator::OperatorDecision;
    use mailroom_core::suppression::{AddressState, FeedbackFact};
    use serde_json::{Value, json};

    use super::*;

    /// A value in any attribute of any item, of any type, is told by its path only.
    #[test]
    fn an_item_that_cannot_be_read_is_told_without_its_values() {
        let secret = "jane@example.com";
        let said =
            json!({"at": "2026-01-01T00:00:00.000Z", "source": "bounce", "region": "us-east-1", "id": "1"});
        let state = json!({
            "pk": "ADDR#x", "sk": "SUPPRESSION", "address": "x", "shard": "00", "version": 1,
            "changed_at": "2026-01-01T00:00:00.000Z", "state": {"bounced": said}, "spellings": ["x"],
            "applied": {"reason": "bounce", "at": "2026-01-01T00:00:00.000Z"}, "decisions": ["1"],
        });
        let mut errors = std::collections::BTreeSet::new();
        for pointer in [
            "",
            "/version",
            "/changed_at",
            "/state",
            "/state/bounced",
            "/state/bounced/at",
            "/spellings",
            "/applied/reason",
        ] {
            for damage in [
                json!(secret),
                json!({ secret: secret }),
                json!([secret]),
                json!([[secret]]),
                json!(1.5),
                json!(null),
            ] {
                let mut damaged = state.clone();
                *damaged.pointer_mut(pointer).unwrap() = damage;
                let stored: Result<Item, _> = serde_dynamo::to_item(&damaged);
                let of_table = stored.ok().map(|item| item_errors(&item));
                for error in of_table.into_iter().flatten().chain(value_errors(&damaged)) {
                    assert!(!error.contains("jane") && !error.contains("1.5"), "{pointer}: {error}");
                    errors.insert(error);
                }
            }
        }
        for error in ["not an item: version: invalid type", "not an item: state.bounced.at: can't be read"] {
            assert!(errors.iter().any(|told| told == error), "{error}: {errors:#?}");
        }
        let error = read_value::<OperatorDecision>(json!({})).unwrap_err().to_string();
        assert!(error.starts_with("not an item: the whole: missing field `"), "{error}");
    }

    fn item_errors(item: &Item) -> Vec<String> {
        let errors = [
            read_item::<AddressState>(item.clone()).err(),
            read_item::<OperatorDecision>(item.clone()).err(),
            read_item::<FeedbackFact>(item.clone()).err(),
        ];
        errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }

    fn value_errors(value: &Value) -> Vec<String> {
        let errors = [
            read_value::<AddressState>(value.clone()).err(),
            read_value::<OperatorDecision>(value.clone()).err(),
            read_value::<FeedbackFact>(value.clone()).err(),
        ];
        errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }
}
