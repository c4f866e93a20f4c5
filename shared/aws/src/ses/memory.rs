//! What the parts of an SES in memory have in common.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use mailroom_core::timestamp::Timestamp;

use super::SesError;
use crate::clock::{Clock, MemoryClock};
use crate::fault::Fault;
use crate::fuse::Fuse;

/// An SES in memory, as its parts share it: one pace for all calls, trouble on demand, and a function that may die.
/// Clones are one SES.
#[derive(Debug, Clone)]
pub struct MemorySes {
    inner: Arc<Mutex<Inner>>,
    clock: MemoryClock,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    last: Option<Timestamp>,
    faults: VecDeque<Fault>,
    calls: Vec<String>,
}

/// The shortest time between two calls: SES's documented limit for every action but sending.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

impl MemorySes {
    /// An SES that goes by a clock.
    pub fn new(clock: &MemoryClock) -> Self {
        Self { inner: Arc::default(), clock: clock.clone(), fuse: Fuse::default() }
    }

    /// The same SES, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { fuse: fuse.clone(), ..self.clone() }
    }

    /// Sets what becomes of the next calls, one each.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        if let Ok(mut inner) = self.lock() {
            inner.faults.extend(faults);
        }
    }

    /// The calls so far, failed ones included, each as its action and what it was about.
    pub fn calls(&self) -> Vec<String> {
        self.lock().map_or_else(|_| Vec::new(), |inner| inner.calls.clone())
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, SesError> {
        self.inner.lock().map_err(|_| SesError::Unavailable("poisoned".to_owned()))
    }

    /// Makes one call: `name` is what [`MemorySes::calls`] tells of it, `call` carries it out.
    pub(crate) async fn call<T>(
        &self,
        name: String,
        call: impl FnOnce() -> Result<T, SesError>,
    ) -> Result<T, SesError> {
        self.fuse.effect().await;
        let now = self.clock.now();
        let mut inner = self.lock()?;
        inner.calls.push(name);
        let last = inner.last.replace(now);
        let fault = inner.faults.pop_front().unwrap_or(Fault::None);
        drop(inner);
        if fault == Fault::Throttled || last.is_some_and(|last| now.since(last) < MIN_INTERVAL) {
            return Err(SesError::Throttled);
        }
        match fault {
            Fault::Unavailable => Err(SesError::Unavailable("told to fail".to_owned())),
            Fault::Denied => Err(SesError::Denied("AccessDenied".to_owned())),
            Fault::Refused => Err(SesError::Refused {
                code: "BadRequestException".to_owned(),
                message: "told to refuse".to_owned(),
            }),
            Fault::Unanswered => {
                call()?;
                Err(SesError::Unavailable("told to time out".to_owned()))
            }
            Fault::None | Fault::Throttled => call(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_one_call_a_second_over_all_parts() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let ses = MemorySes::new(&clock);
        let call = async |name: &str| ses.call(name.to_owned(), || Ok(())).await;
        assert_eq!(call("a").await, Ok(()));
        assert_eq!(call("b").await, Err(SesError::Throttled));
        clock.advance(MIN_INTERVAL);
        assert_eq!(call("c").await, Ok(()));
        ses.fault([Fault::Unavailable, Fault::Denied, Fault::None]);
        for expected in ["SES does not answer: told to fail", "SES denies it: AccessDenied"] {
            clock.advance(MIN_INTERVAL);
            let error = call("d").await.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.is_transient()), (expected, true));
        }
        clock.advance(MIN_INTERVAL);
        assert_eq!(call("e").await, Ok(()));
        assert_eq!(ses.calls(), ["a", "b", "c", "d", "d", "e"]);
    }
}
