//! One call of SES after the other.

use std::cell::Cell;
use std::time::Duration;

use doubles::MemoryClock;
use mailroom_aws::clock::Clock;
use mailroom_aws::rate_limiter::{MAX_ATTEMPTS, OutOfTimeError, RateLimiter};
use mailroom_core::timestamp::Timestamp;

const SECOND: Duration = Duration::from_secs(1);

fn clock() -> MemoryClock {
    MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap())
}

/// The times of the calls, in milliseconds, and what came of them.
async fn calls(
    clock: &MemoryClock,
    pace: &RateLimiter<'_, MemoryClock>,
    fails: usize,
    helps: bool,
) -> (Vec<u128>, Result<Result<(), ()>, OutOfTimeError>) {
    let (start, times) = (clock.now(), Cell::new(Vec::new()));
    let result = pace
        .call_with_retries(
            |()| helps,
            async || {
                let mut made = times.take();
                made.push(clock.now().since(start).as_millis());
                let fails = made.len() <= fails;
                times.set(made);
                // A call takes some time.
                clock.advance(Duration::from_millis(100));
                if fails { Err(()) } else { Ok(()) }
            },
        )
        .await;
    (times.take(), result)
}

#[tokio::test]
async fn one_at_a_time_and_again_if_that_can_help() {
    for (every, then) in [(SECOND, [1000, 3100, 7200, 15300]), (SECOND / 50, [20, 2120, 6220, 14320])] {
        let clock = clock();
        let pace = RateLimiter::new(&clock, every, None);
        assert_eq!(calls(&clock, &pace, 0, true).await, (vec![0], Ok(Ok(()))));
        assert_eq!(calls(&clock, &pace, 1, false).await, (vec![then[0]], Ok(Err(()))));
        assert_eq!(calls(&clock, &pace, 3, true).await, (then.to_vec(), Ok(Ok(()))));
        let (times, result) = calls(&clock, &pace, usize::MAX, true).await;
        assert_eq!((times.len(), result), (MAX_ATTEMPTS as usize, Ok(Err(()))));
        assert_eq!(times[5] - times[4], 16_100);
        // The next call has to wait, too.
        assert_eq!(calls(&clock, &pace, 0, true).await.0, [16_000]);
    }
    let clock = clock();
    let slow = RateLimiter::new(&clock, SECOND * 60, None);
    assert_eq!(calls(&clock, &slow, 1, true).await.0, [0, 60_100]);
}

#[tokio::test]
async fn none_begins_too_late() {
    let clock = clock();
    let pace = RateLimiter::new(&clock, SECOND, Some(clock.now().plus(SECOND * 4)));
    assert_eq!(calls(&clock, &pace, 0, true).await, (vec![0], Ok(Ok(()))));
    // The calls are made 1.1 and 3.2 seconds after the start; after the third there would be a pause till 7.3.
    assert_eq!(calls(&clock, &pace, 9, true).await, (vec![1000, 3100], Err(OutOfTimeError)));
    let ended_at = clock.now();
    assert_eq!(pace.wait_until_call_allowed().await, Err(OutOfTimeError));
    assert_eq!((pace.wait_for(SECOND).await, clock.now()), (Err(OutOfTimeError), ended_at), "at once");
    assert_eq!(pace.wait_for(SECOND / 10).await, Ok(()));
    clock.advance(SECOND * 60);
    assert_eq!(pace.wait_until_call_allowed().await, Err(OutOfTimeError));
}
