//! Calls of SES: one after the other at its pace, again if that can help, and none once time is up. Calls of the table, which
//! knows no pace, are made again, too.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::notes::NoteError;
use mailroom_aws::pace::{ATTEMPTS, OutOfTime, Pace};
use mailroom_aws::ses::SesError;
use mailroom_core::timestamp::Timestamp;

/// What a call takes at most: the SDK gives an attempt up after three seconds.
const A_CALL: Duration = Duration::from_secs(4);

/// How long after it was overtaken an instance may still change something: it has read the note just before, and its call is
/// under way.
const LANDING: Duration = Duration::from_secs(2 * A_CALL.as_secs());

/// What makes the calls of one invocation.
#[derive(Debug)]
pub(crate) struct Calls<'a, C> {
    clock: &'a C,
    ends_at: Timestamp,
    room: usize,
    pace: Pace<'a, C>,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    Ses(SesError),
    OutOfTime,
    /// It was not made, since the note could not be read.
    Note(NoteError),
    /// It was not made, since another instance has answered the request, or is at a newer one.
    Contended,
}

impl<'a, C: Timer> Calls<'a, C> {
    /// Calls an interval apart, all of them done by `ends_at`.
    pub(crate) fn new(clock: &'a C, interval: Duration, ends_at: Timestamp) -> Self {
        let room = room(ends_at.since(clock.now()), interval);
        Self { clock, ends_at, room, pace: Pace::new(clock, interval, Some(ends_at.minus(A_CALL))) }
    }

    /// How many calls an invocation has time for, whatever was done of it already: the number is told to whoever asks for
    /// more, and must not depend on what has gone wrong meanwhile.
    pub(crate) fn room(&self) -> usize {
        self.room
    }

    /// Waits until whatever an overtaken instance has begun is done.
    pub(crate) async fn wait_for_others(&self) -> Result<(), OutOfTime> {
        self.pace.wait(LANDING).await
    }

    /// Reads or writes the table, again if that can help.
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
    pub(crate) async fn call<T>(&self, call: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
        let helps = |error: &CallError| matches!(error, CallError::Ses(error) if error.is_transient());
        self.pace.call(helps, call).await.unwrap_or_else(|OutOfTime| Err(CallError::OutOfTime))
    }
}

/// How many calls there is time for. A fifth is kept for those that SES takes its time with, or that must be made again. In
/// steps of ten seconds, since no two invocations are given exactly the same time.
fn room(time: Duration, interval: Duration) -> usize {
    let seconds = u128::from(time.as_secs() / 10 * 8);
    usize::try_from(seconds * 1000 / interval.as_millis().max(1)).unwrap_or(usize::MAX)
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

    #[tokio::test]
    async fn room_is_what_an_invocation_has() {
        let seconds = Duration::from_secs;
        assert_eq!(room(seconds(889), SECOND), 704);
        assert_eq!(room(seconds(880), SECOND), 704);
        assert_eq!(room(seconds(880), Duration::from_millis(250)), 704 * 4);
        assert_eq!(room(seconds(5), SECOND), 0);
        let clock = clock();
        let calls = Calls::new(&clock, SECOND, clock.now().plus(seconds(889)));
        clock.advance(seconds(100));
        assert_eq!(calls.room(), 704, "however much of it has passed");
    }
}
