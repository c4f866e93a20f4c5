//! Invocations that run side by side. Any one that can go on may be next.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use fastrand::Rng;

/// Whether a task can go on.
struct Ready(AtomicBool);

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<T> {
    region: usize,
    future: Pin<Box<dyn Future<Output = T>>>,
    ready: Arc<Ready>,
    waker: Waker,
}

/// The invocations under way.
pub(crate) struct Tasks<T>(Vec<Task<T>>);

/// What came of a turn: the Region of the invocation, and its result if it has ended.
pub(crate) struct Turn<T> {
    pub(crate) region: usize,
    pub(crate) ended: Option<T>,
}

impl<T> Tasks<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn spawn(&mut self, region: usize, future: impl Future<Output = T> + 'static) {
        let ready = Arc::new(Ready(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&ready));
        self.0.push(Task { region, future: Box::pin(future), ready, waker });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives a turn to one of the tasks that can go on. `None` if all of them wait for time.
    pub(crate) fn turn(&mut self, rng: &mut Rng) -> Option<Turn<T>> {
        let can = |task: &Task<T>| task.ready.0.load(Ordering::Relaxed);
        let count = self.0.iter().filter(|task| can(task)).count();
        let chosen = (count > 0).then(|| rng.usize(0..count))?;
        let (index, _) = self.0.iter().enumerate().filter(|(_, task)| can(task)).nth(chosen)?;
        let task = &mut self.0[index];
        task.ready.0.store(false, Ordering::Relaxed);
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        let region = task.region;
        let ended = match polled {
            Poll::Pending => None,
            Poll::Ready(end) => {
                self.0.swap_remove(index);
                Some(end)
            }
        };
        Some(Turn { region, ended })
    }
}
