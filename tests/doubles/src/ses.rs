//! What all calls of SES but those on the suppression list share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use local_ses::rules::Refusal;
use local_ses::suppression::{Pace, Pacer};
use mailroom_aws::clock::Clock;
use mailroom_aws::ses::SesError;

use crate::convert::date_time;
use crate::{Fault, Fuse, MemoryClock, lock};

/// The SES of one Region, as its parts share it: one pace for all calls, faults, and a function that may die.
#[derive(Debug, Clone)]
pub struct MemorySes {
    inner: Arc<Mutex<Inner>>,
    clock: MemoryClock,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    pacer: Pacer,
    faults: VecDeque<Fault>,
    calls: Vec<String>,
}

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
        lock(&self.inner).faults.extend(faults);
    }

    /// The calls so far, failed ones included, each as its action and what it was about.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.inner).calls.clone()
    }

    /// Makes one call: `name` is its entry in [`MemorySes::calls`], `call` carries it out.
    pub(crate) async fn call<T>(
        &self,
        name: String,
        call: impl FnOnce() -> Result<T, SesError>,
    ) -> Result<T, SesError> {
        self.fuse.effect().await;
        let mut inner = lock(&self.inner);
        let fault = inner.faults.pop_front().unwrap_or(Fault::None);
        let now = date_time(self.clock.now());
        let throttled = fault == Fault::Throttled || !inner.pacer.admit(Pace::default(), &name, now);
        inner.calls.push(name);
        drop(inner);
        if throttled { Err(SesError::Throttled) } else { fault.meet(call) }
    }
}

/// SES's own refusal, as the adapter hands it on.
pub(crate) fn refused(refusal: Refusal) -> SesError {
    SesError::Refused { code: refusal.code.to_owned(), message: refusal.message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailroom_core::timestamp::Timestamp;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn one_call_a_second_over_all_parts() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let ses = MemorySes::new(&clock);
        let call = async |name: &str| ses.call(name.to_owned(), || Ok(())).await;
        assert_eq!(call("a").await, Ok(()));
        assert_eq!(call("b").await, Err(SesError::Throttled));
        clock.advance(SECOND);
        assert_eq!(call("c").await, Ok(()));
        ses.fault([Fault::Unavailable, Fault::Denied, Fault::None]);
        for expected in ["SES does not answer: injected failure", "SES denies it: AccessDenied"] {
            clock.advance(SECOND);
            let error = call("d").await.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.may_succeed_later()), (expected, true));
        }
        clock.advance(SECOND);
        assert_eq!(call("e").await, Ok(()));
        assert_eq!(ses.calls(), ["a", "b", "c", "d", "d", "e"]);
    }
}
