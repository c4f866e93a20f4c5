//! Calls of SES, one after the other: at its pace, again if that can help, and no more once time is up. And of the table.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::notes::NoteError;
use mailroom_aws::pace::{ATTEMPTS, OutOfTime, Pace};
use mailroom_aws::ses::SesError;
use mailroom_core::timestamp::Timestamp;

/// What a call takes at most; the SDK gives an attempt up after three.
const A_CALL: Duration = Duration::from_secs(4);

/// Who calls.
#[derive(Debug)]
pub(crate) struct Calls<'a, C> {
    clock: &'a C,
    interval: Duration,
    ends_at: Timestamp,
    pace: Pace<'a, C>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    Ses(SesError),
    OutOfTime,
}

impl<'a, C: Timer> Calls<'a, C> {
    /// Calls an interval apart, and done by then.
    pub(crate) fn new(clock: &'a C, interval: Duration, ends_at: Timestamp) -> Self {
        Self { clock, interval, ends_at, pace: Pace::new(clock, interval, Some(ends_at.minus(A_CALL))) }
    }

    /// How many there is time for. A fifth is kept for those that SES takes its time with, or that must be made again. In
    /// steps of ten seconds: what fits for one request is to fit for the next, too.
    pub(crate) fn room(&self) -> usize {
        let left = self.ends_at.since(self.clock.now()).as_secs() / 10 * 8;
        let interval = self.interval.as_millis().max(1);
        usize::try_from(u128::from(left) * 1000 / interval).unwrap_or(usize::MAX)
    }

    /// Reads or writes the table, again if that can help: that is not SES's, and knows no pace.
    pub(crate) async fn table<T>(
        &self,
        call: impl AsyncFn() -> Result<T, NoteError>,
    ) -> Result<T, NoteError> {
        let (mut attempt, mut pause) = (1, Duration::from_secs(1));
        loop {
            match call().await {
                Err(error) if self.is_worth(&error, attempt, pause) => {
                    self.clock.sleep(pause).await;
                    pause *= 2;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    /// A role that was made a moment ago is not known everywhere yet: what is refused may be granted.
    fn is_worth(&self, error: &NoteError, attempt: u32, pause: Duration) -> bool {
        let in_time = self.clock.now().plus(pause + A_CALL) <= self.ends_at;
        in_time && attempt < ATTEMPTS && !matches!(error, NoteError::Unreadable(_))
    }

    /// Makes a call, which may be made twice.
    pub(crate) async fn call<T>(&self, call: impl AsyncFn() -> Result<T, SesError>) -> Result<T, CallError> {
        match self.pace.call(SesError::is_transient, call).await {
            Ok(answer) => answer.map_err(CallError::Ses),
            Err(OutOfTime) => Err(CallError::OutOfTime),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use mailroom_aws::clock::{Clock, MemoryClock};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn clock() -> MemoryClock {
        MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap())
    }

    #[tokio::test]
    async fn the_table_is_asked_again() {
        let clock = clock();
        let start = clock.now();
        let calls = Calls::new(&clock, SECOND, start.plus(Duration::from_secs(50)));
        let times = Cell::new(0);
        let ask = async |fails: u32, error: &NoteError| {
            times.set(0);
            let call = async || {
                times.set(times.get() + 1);
                if times.get() > fails { Ok(()) } else { Err(error.clone()) }
            };
            (calls.table(call).await, times.get(), clock.now().since(start).as_secs())
        };
        let unavailable = NoteError::Unavailable("x".to_owned());
        let refused = NoteError::Refused("AccessDeniedException".to_owned());
        let unreadable = NoteError::Unreadable("setup".to_owned());
        assert_eq!(ask(2, &unavailable).await, (Ok(()), 3, 3));
        assert_eq!(ask(1, &unreadable).await, (Err(unreadable.clone()), 1, 3));
        assert_eq!(ask(u32::MAX, &refused).await, (Err(refused.clone()), ATTEMPTS, 3 + 31));
        assert_eq!(ask(u32::MAX, &unavailable).await, (Err(unavailable.clone()), 4, 34 + 7), "time is up");
    }

    #[tokio::test]
    async fn nothing_is_begun_that_the_end_would_cut_off() {
        let clock = clock();
        let calls = Calls::new(&clock, SECOND, clock.now().plus(Duration::from_secs(6)));
        let call = || calls.call(async || Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Ok(()));
        assert_eq!(call().await, Err(CallError::OutOfTime));
    }

    #[test]
    fn room() {
        let clock = clock();
        let room = |seconds, interval| {
            Calls::new(&clock, interval, clock.now().plus(Duration::from_secs(seconds))).room()
        };
        assert_eq!(room(889, SECOND), 704);
        assert_eq!(room(880, SECOND), 704);
        assert_eq!(room(880, Duration::from_millis(250)), 704 * 4);
        assert_eq!(room(5, SECOND), 0);
    }
}
