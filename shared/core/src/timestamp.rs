//! Times as SES and mail systems write them, in all their shapes, and as Mailroom writes them, in one.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// Milliseconds since the Unix epoch, from 1970 to the end of 9999.
///
/// `Display` is RFC 3339 in UTC with milliseconds and `Z`: of one length, so that its order as text (the table's sort
/// key) is the order in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last time whose text has a year of four digits.
const MAX_MILLIS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The first time: 1970-01-01T00:00:00.000Z.
    pub const MIN: Self = Self(0);

    /// The time of milliseconds since the Unix epoch; `None` outside the years 1970 to 9999.
    pub fn from_millis(millis: i64) -> Option<Self> {
        (0..=MAX_MILLIS).contains(&millis).then_some(Self(millis))
    }

    /// Milliseconds since the Unix epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as DynamoDB's TTL wants them.
    pub fn seconds(self) -> i64 {
        self.0 / 1000
    }

    /// The time that is later by this much, but no later than the last one.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let by = i64::try_from(duration.as_millis()).unwrap_or(MAX_MILLIS);
        Self(self.0.saturating_add(by).min(MAX_MILLIS))
    }

    /// The time that is earlier by this much, but no earlier than the first one.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let by = i64::try_from(duration.as_millis()).unwrap_or(MAX_MILLIS);
        Self((self.0 - by).max(0))
    }

    /// How much later it is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }

    /// Reads any of: RFC 3339 (`T` or a space, fraction or not, `Z`, `+02:00`, `+0200`, ` +0000`, ` UTC`); the same
    /// without a zone, taken as UTC, which is what SES means elsewhere; RFC 2822, with or without a weekday; seconds or
    /// milliseconds since the epoch (10 or 13 digits). Digits past the millisecond are cut off. `None` if the text is
    /// none of these.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let time = parse_iso_8601(text)
            .or_else(|| parse_epoch(text))
            .or_else(|| OffsetDateTime::parse(text, &Rfc2822).ok())?;
        Self::from_millis(i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).ok()?)
    }
}

/// Reads ISO 8601's calendar date and time of day, as loosely as SES, SNS and mail systems write it.
fn parse_iso_8601(text: &str) -> Option<OffsetDateTime> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let zone_at = rest.find(|c: char| !matches!(c, '0'..='9' | ':' | '.' | ',')).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, "0"));
    let milli: u16 = format!("{fraction:0<3.3}").parse().ok()?;
    let format = format_description!(version = 2, "[year]-[month]-[day] [hour]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(&format!("{date} {clock}"), format).ok()?;
    Some(time.replace_millisecond(milli).ok()?.assume_offset(parse_optional_offset(zone.trim())?))
}

fn parse_optional_offset(zone: &str) -> Option<UtcOffset> {
    if ["", "Z", "z", "UTC", "GMT"].contains(&zone) {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits = digits.replacen(':', "", 1);
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { minutes.parse::<i8>().ok()? };
    UtcOffset::from_hms(sign * hours.parse::<i8>().ok()?, sign * minutes, 0).ok()
}

fn parse_epoch(text: &str) -> Option<OffsetDateTime> {
    let per_second = match text.len() {
        10 => 1,
        13 => 1000,
        _ => return None,
    };
    let count = text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i128>())?.ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(count * (1_000_000_000 / per_second)).ok()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(self.0);
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second, milli) = time.to_hms_milli();
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z", u8::from(month))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("no readable time"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_shape_seen() {
        let cases = [
            ("2026-01-27T14:59:38.237Z", "2026-01-27T14:59:38.237Z"),
            ("2026-01-27T14:59:38Z", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27T14:59:38.2Z", "2026-01-27T14:59:38.200Z"),
            ("2026-01-27T14:59:38.2379999Z", "2026-01-27T14:59:38.237Z"),
            ("2026-01-27T14:59:38.237+00:00", "2026-01-27T14:59:38.237Z"),
            ("2026-01-27T16:59:38+02:00", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27T09:29:38-0530", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27T16:59:38+02", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27 14:59:38 +0000", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27T14:59:38.237 +0000", "2026-01-27T14:59:38.237Z"),
            ("2026-01-27 14:59:38 UTC", "2026-01-27T14:59:38.000Z"),
            ("2026-01-27T14:59:38.237", "2026-01-27T14:59:38.237Z"),
            (" 2026-01-27t14:59:38z ", "2026-01-27T14:59:38.000Z"),
            ("Tue, 27 Jan 2026 14:59:38 +0000", "2026-01-27T14:59:38.000Z"),
            ("Tue, 27 Jan 2026 16:59:38 +0200 (CEST)", "2026-01-27T14:59:38.000Z"),
            ("27 Jan 2026 14:59:38 GMT", "2026-01-27T14:59:38.000Z"),
            ("1769525978", "2026-01-27T14:59:38.000Z"),
            ("1769525978237", "2026-01-27T14:59:38.237Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(
                Timestamp::parse(text).map(|time| time.to_string()).as_deref(),
                Some(expected),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sums_stay_within_the_years() {
        let at = Timestamp(5_000);
        assert_eq!(
            (at.plus(Duration::from_secs(1)), at.minus(Duration::from_secs(1))),
            (Timestamp(6_000), Timestamp(4_000))
        );
        assert_eq!(
            (at.plus(Duration::MAX), at.minus(Duration::MAX)),
            (Timestamp(MAX_MILLIS), Timestamp::MIN)
        );
        assert_eq!(
            (at.since(Timestamp(4_000)), at.since(Timestamp(6_000))),
            (Duration::from_secs(1), Duration::ZERO)
        );
    }

    #[test]
    fn what_is_no_time() {
        let cases = [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-27",
            "2026-01-27T25:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-01-27T14:59:38 CEST",
            "ä026-01-27T14:59:38Z",
            "2026-01-27T14:59:38+2:0:0",
            "12345",
            "+769525978",
        ];
        for text in cases {
            assert_eq!(Timestamp::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_order_is_time_order_and_reads_back(a in 0..=MAX_MILLIS, b in 0..=MAX_MILLIS) {
            let (a, b) = (Timestamp(a), Timestamp(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(Timestamp::parse(&a.to_string()), Some(a));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = Timestamp::parse(&text);
        }
    }
}
