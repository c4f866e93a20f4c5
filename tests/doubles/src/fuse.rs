//! Crashes: a function that dies between any two effects.
//!
//! The doubles that belong to one invocation share a fuse and ask it before each effect. Once the given number of effects
//! has happened, the next one never does, nor anything after it: the invocation is dropped where it stands.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use tokio::task::yield_now;

/// Lets a number of effects happen, and none after that; the default lets any number happen.
#[derive(Debug, Clone)]
pub struct Fuse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: AtomicUsize,
    spent: AtomicUsize,
    blown: AtomicBool,
}

impl Default for Fuse {
    fn default() -> Self {
        let limit = AtomicUsize::new(usize::MAX);
        Self(Arc::new(Inner { limit, spent: AtomicUsize::new(0), blown: AtomicBool::new(false) }))
    }
}

impl Fuse {
    /// Sets how many effects may happen from now on.
    pub fn set(&self, effects: usize) {
        self.0.spent.store(0, Ordering::Relaxed);
        self.0.limit.store(effects, Ordering::Relaxed);
        self.0.blown.store(false, Ordering::Relaxed);
    }

    /// How many effects have happened since the fuse was set.
    pub fn spent(&self) -> usize {
        self.0.spent.load(Ordering::Relaxed)
    }

    /// To be called by a double before each effect; does not return if the fuse has blown. First yields to other tasks, so
    /// that instances interleave as they would in different environments.
    pub async fn effect(&self) {
        yield_now().await;
        if self.spent() >= self.0.limit.load(Ordering::Relaxed) {
            self.0.blown.store(true, Ordering::Relaxed);
            return pending().await;
        }
        self.0.spent.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs an invocation; `None` if it died.
    pub async fn run<T>(&self, invocation: impl Future<Output = T>) -> Option<T> {
        let mut invocation = pin!(invocation);
        poll_fn(|context| match invocation.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.0.blown.load(Ordering::Relaxed) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}
