//! Times of the local SES's model and of the domain, both in whole milliseconds.

use mailroom_core::timestamp::Timestamp;
use time::OffsetDateTime;

const NANOS_PER_MILLI: i128 = 1_000_000;

pub(crate) fn date_time(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.millis()) * NANOS_PER_MILLI).unwrap()
}

pub(crate) fn timestamp(at: OffsetDateTime) -> Timestamp {
    let millis = i64::try_from(at.unix_timestamp_nanos() / NANOS_PER_MILLI);
    Timestamp::from_millis(millis.unwrap()).unwrap()
}
