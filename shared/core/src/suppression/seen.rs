//! When Mailroom learned of a record, which bounds the time that the record may claim.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// How far the clocks of two Regions, or of AWS and an operator, may differ before one of them is not believed.
pub const MAX_SKEW: Duration = Duration::from_mins(5);

/// When a record came to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The creation time of the stream's record, the same however often it is delivered. DynamoDB rounds it down to the
    /// second, so a time without milliseconds stands for all of that second.
    InStream(Timestamp),
    /// When the record was found in the table by a search for records that nobody had decided on.
    Later(Timestamp),
}

impl Seen {
    fn earliest(self) -> Timestamp {
        match self {
            Self::InStream(created) => created,
            Self::Later(_) => Timestamp::MIN,
        }
    }

    fn latest(self) -> Timestamp {
        match self {
            Self::InStream(created) if created.millis() % 1000 == 0 => {
                created.plus(Duration::from_millis(999))
            }
            Self::InStream(at) | Self::Later(at) => at,
        }
    }

    /// When evidence counts from: not before its mail was sent, and not after it came to light.
    ///
    /// `None` if the record was found late and its time still lies ahead: taking the finder's time instead would make old
    /// evidence newer than a release that came between.
    pub fn evidence(self, occurred_at: Timestamp, sent_at: Option<Timestamp>) -> Option<Timestamp> {
        let latest = self.latest();
        match self {
            Self::Later(_) if occurred_at > latest => sent_at.filter(|sent_at| *sent_at <= latest),
            Self::InStream(_) | Self::Later(_) => {
                Some(occurred_at.max(sent_at.unwrap_or(occurred_at)).min(latest))
            }
        }
    }

    /// When an operator's decision was made: by the operator's clock, but within the second that the stream tells.
    pub fn decision(self, decided_at: Timestamp) -> Timestamp {
        decided_at.max(self.earliest()).min(self.latest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[test]
    fn evidence_lies_between_its_mail_and_the_stream() {
        let stream = Seen::InStream(at(10_000));
        let exact = Seen::InStream(at(10_001));
        let later = Seen::Later(at(10_000));
        let cases = [
            (stream, 5_000, Some(1_000), Some(5_000)),
            (stream, 5_000, None, Some(5_000)),
            (stream, 500, Some(1_000), Some(1_000)),
            (stream, 10_400, Some(1_000), Some(10_400)),
            (stream, 99_000, Some(1_000), Some(10_999)),
            (stream, 99_000, Some(88_000), Some(10_999)),
            (stream, 500, Some(88_000), Some(10_999)),
            (exact, 10_400, None, Some(10_001)),
            (later, 5_000, Some(1_000), Some(5_000)),
            (later, 99_000, Some(1_000), Some(1_000)),
            (later, 99_000, Some(88_000), None),
            (later, 99_000, None, None),
        ];
        for (seen, occurred_at, sent_at, expected) in cases {
            assert_eq!(
                seen.evidence(at(occurred_at), sent_at.map(at)),
                expected.map(at),
                "{seen:?} {occurred_at} {sent_at:?}"
            );
        }
    }

    #[test]
    fn a_decision_lies_in_the_streams_second() {
        for (decided_at, expected) in [(9_000, 10_000), (10_400, 10_400), (99_000, 10_999)] {
            assert_eq!(Seen::InStream(at(10_000)).decision(at(decided_at)), at(expected));
        }
        assert_eq!(Seen::Later(at(10_000)).decision(at(9_000)), at(9_000));
        assert_eq!(Seen::Later(at(10_000)).decision(at(99_000)), at(10_000));
    }
}
