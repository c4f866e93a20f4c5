//! Virtual time, and the clocks that tell it, no two of them alike.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mailroom_aws::clock::{Clock, Timer};
use mailroom_core::timestamp::Timestamp;

/// The world's time. It goes on only when everybody waits for that. Clones are the same time.
#[derive(Debug, Clone)]
pub struct Time(Rc<RefCell<Inner>>);

#[derive(Debug)]
struct Inner {
    now: Timestamp,
    sleepers: Vec<(Timestamp, Waker)>,
}

impl Time {
    /// A time that begins at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(Rc::new(RefCell::new(Inner { now, sleepers: Vec::new() })))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.0.borrow().now
    }

    /// When the first of those who sleep is to be woken; `None` if nobody sleeps.
    pub fn next(&self) -> Option<Timestamp> {
        self.0.borrow().sleepers.iter().map(|(until, _)| *until).min()
    }

    /// Goes on to `then`, and wakes everybody whose time has come.
    pub fn go_on_to(&self, then: Timestamp) {
        let mut woken = Vec::new();
        let mut inner = self.0.borrow_mut();
        inner.now = inner.now.max(then);
        let now = inner.now;
        inner.sleepers.retain(|(until, waker)| {
            if *until <= now {
                woken.push(waker.clone());
            }
            *until > now
        });
        drop(inner);
        woken.iter().for_each(Waker::wake_by_ref);
    }

    /// A clock that is so many milliseconds ahead of the time; behind it, if negative.
    pub fn clock(&self, ahead: i64) -> SkewedClock {
        SkewedClock { time: self.clone(), ahead }
    }
}

/// The clock of a machine, which differs from the world's time.
#[derive(Debug, Clone)]
pub struct SkewedClock {
    time: Time,
    ahead: i64,
}

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let by = Duration::from_millis(self.ahead.unsigned_abs());
        let now = self.time.now();
        if self.ahead < 0 { now.minus(by) } else { now.plus(by) }
    }
}

impl Timer for SkewedClock {
    async fn sleep(&self, duration: Duration) {
        let until = self.time.now().plus(duration);
        poll_fn(|context| {
            if self.time.now() >= until {
                return Poll::Ready(());
            }
            self.time.0.borrow_mut().sleepers.push((until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
