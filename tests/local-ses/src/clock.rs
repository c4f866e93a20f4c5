//! SES's clock, which a test may turn forward.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

/// Tells SES's time. Clones tell the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Mutex<Kind>>);

#[derive(Debug)]
enum Kind {
    /// The machine's time plus this.
    Ahead(Duration),
    Virtual(OffsetDateTime),
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl Clock {
    /// A clock that tells the machine's time.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(Kind::Ahead(Duration::ZERO))))
    }

    /// A clock that stands still until it is turned.
    pub fn at(time: OffsetDateTime) -> Self {
        Self(Arc::new(Mutex::new(Kind::Virtual(time))))
    }

    /// The time now, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Kind::Ahead(by) => OffsetDateTime::now_utc() + by,
            Kind::Virtual(time) => time.to_offset(time::UtcOffset::UTC),
        }
    }

    /// Turns the clock forward. A clock that goes with the machine's goes on from there.
    pub fn advance(&self, by: Duration) {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Kind::Virtual(time) => *time += by,
            Kind::Ahead(ahead) => *ahead += by,
        }
    }
}

/// A time as SES writes it in its events, such as `2019-08-05T21:30:02.028Z`.
pub(crate) fn iso(time: OffsetDateTime) -> String {
    let time = time.to_offset(time::UtcOffset::UTC);
    let mut text = String::with_capacity(24);
    let (date, clock) = (time.date(), time.time());
    let _ = write!(text, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day());
    let _ = write!(text, "{:02}:{:02}:{:02}", clock.hour(), clock.minute(), clock.second());
    let _ = write!(text, ".{:03}Z", clock.millisecond());
    text
}

/// A time as SES writes it in the headers that it adds, such as `Mon, 05 Aug 2019 21:30:02 +0000`.
pub(crate) fn rfc5322(time: OffsetDateTime) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let time = time.to_offset(time::UtcOffset::UTC);
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000",
        DAYS[usize::from(time.weekday().number_days_from_sunday())],
        time.day(),
        MONTHS[usize::from(u8::from(time.month())) - 1],
        time.year(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_written_as_ses_writes_them() {
        let time = datetime!(2019-08-05 23:30:02.028 +2);
        assert_eq!(iso(time), "2019-08-05T21:30:02.028Z");
        assert_eq!(rfc5322(time), "Mon, 05 Aug 2019 21:30:02 +0000");
    }

    #[test]
    fn the_machines_clock_can_be_left_behind() {
        let clock = Clock::system();
        let hours = Duration::from_hours(73);
        let before = OffsetDateTime::now_utc();
        clock.advance(hours);
        assert!(clock.now() >= before + hours);
    }

    #[test]
    fn a_virtual_clock_stands_still_until_it_is_turned() {
        let clock = Clock::at(datetime!(2026-01-01 00:00 UTC));
        let other = clock.clone();
        assert_eq!(other.now(), clock.now());
        clock.advance(Duration::from_secs(1));
        assert_eq!(other.now(), datetime!(2026-01-01 00:00:01 UTC));
    }
}
