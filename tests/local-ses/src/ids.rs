//! Message ids in SES's shape.

use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

/// The digits of base 32 in the form "extended hex", of which the ids of received mail are made (seen:
/// `7k822gft4kqtq4dgji1sqdhnqgqnj9bsv76lqoo1`).
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

const LENGTH: usize = 40;

/// Makes ids. The same seed makes the same ids.
#[derive(Debug)]
pub(crate) struct Ids(Mutex<fastrand::Rng>);

impl Ids {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self(Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)))
    }

    /// An id for a received mail.
    pub(crate) fn message(&self) -> String {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (0..LENGTH).map(|_| char::from(DIGITS[random.usize(..DIGITS.len())])).collect()
    }

    /// An id for a request.
    pub(crate) fn request(&self) -> String {
        let number = self.0.lock().unwrap_or_else(PoisonError::into_inner).u128(..);
        let hex = format!("{number:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// An id for a sent mail, or for what SES says about one (seen: `0100019df224d79c-6fb61e65-…-000000`; the first part
    /// tells the time).
    pub(crate) fn sent(&self, now: OffsetDateTime) -> String {
        let millis = now.unix_timestamp_nanos() / 1_000_000;
        format!("0100{millis:012x}-{}-000000", self.request())
    }

    /// The time between the receipt of a mail and an action on it, in milliseconds.
    pub(crate) fn processing_millis(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(200..1500)
    }

    /// Makes so many random bytes.
    pub(crate) fn bytes(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_ids() {
        let (one, other) = (Ids::new(Some(1)), Ids::new(Some(1)));
        let id = one.message();
        assert_eq!(id, other.message());
        assert_eq!(id.len(), 40);
        assert!(id.bytes().all(|digit| DIGITS.contains(&digit)));
        assert_ne!(id, one.message());
        assert_eq!(one.request().len(), 36);
        let sent = one.sent(time::macros::datetime!(2026-05-04 08:39:54.012 UTC));
        assert!(sent.starts_with("0100019df224d79c-") && sent.ends_with("-000000"), "{sent}");
    }
}
