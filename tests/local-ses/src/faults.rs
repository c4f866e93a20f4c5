//! Requests counted, delayed and failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What meets a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    region: Option<String>,
    action: Option<String>,
    left: Option<u64>,
    effect: Effect,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It has no effect and is answered with an error.
    Refuse {
        /// Of the answer.
        status: u16,
        /// As the SDK tells errors apart.
        code: String,
        /// For people.
        message: String,
    },
    /// It waits first.
    Delay(Duration),
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { region: None, action: None, left: None, effect }
    }

    /// Any error.
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        Self::new(Effect::Refuse { status, code: code.to_owned(), message: message.to_owned() })
    }

    /// SES v1's throttle (API reference, "Common errors": `Throttling`, 400; the 429 is v2's).
    pub fn throttling() -> Self {
        Self::refuse(400, "Throttling", "Rate exceeded")
    }

    /// Its own fault.
    pub fn internal_failure() -> Self {
        Self::refuse(500, "InternalFailure", "The request processing has failed because of an unknown error.")
    }

    /// It waits first.
    pub fn delay(time: Duration) -> Self {
        Self::new(Effect::Delay(time))
    }

    /// In one Region only.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Self { region: Some(region.to_owned()), ..self }
    }

    /// For one action only.
    #[must_use]
    pub fn on(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// For the next so many requests only.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { left: Some(times), ..self }
    }

    fn meets(&mut self, region: &str, action: &str) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        if !fits(&self.region, region) || !fits(&self.action, action) || self.left == Some(0) {
            return false;
        }
        self.left = self.left.map(|left| left - 1);
        true
    }
}

/// The requests so far and the faults that lie in wait.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<(String, String), u64>,
    faults: Vec<Fault>,
}

/// What the faults make of one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    /// Status, code, message.
    pub(crate) refuse: Option<(u16, String, String)>,
}

impl Requests {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub(crate) fn clear(&self) {
        self.state().faults.clear();
    }

    /// Counts a request and says what meets it: delays add up, the first refusal counts.
    pub(crate) fn meet(&self, region: &str, action: &str) -> Plan {
        let mut state = self.state();
        *state.counts.entry((region.to_owned(), action.to_owned())).or_default() += 1;
        let mut plan = Plan::default();
        for fault in &mut state.faults {
            match &fault.effect {
                Effect::Refuse { .. } if plan.refuse.is_some() => {}
                Effect::Refuse { status, code, message } => {
                    let refusal = (*status, code.clone(), message.clone());
                    if fault.meets(region, action) {
                        plan.refuse = Some(refusal);
                    }
                }
                Effect::Delay(time) => {
                    let time = *time;
                    if fault.meets(region, action) {
                        plan.delay += time;
                    }
                }
            }
        }
        plan
    }

    pub(crate) fn counts(&self) -> BTreeMap<(String, String), u64> {
        self.state().counts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_meet_what_they_name_as_often_as_they_say() {
        let requests = Requests::default();
        requests.add(Fault::throttling().in_region("us-east-1").on("A").times(1));
        requests.add(Fault::internal_failure().on("A").times(1));
        requests.add(Fault::delay(Duration::from_millis(5)));
        let code = |region: &str, action: &str| requests.meet(region, action).refuse.map(|(_, code, _)| code);
        assert_eq!(code("us-east-1", "B"), None);
        assert_eq!(code("us-east-1", "A").as_deref(), Some("Throttling"));
        assert_eq!(code("us-east-1", "A").as_deref(), Some("InternalFailure"), "not used up by the first");
        assert_eq!(code("us-east-1", "A"), None);
        assert_eq!(requests.meet("x", "y").delay, Duration::from_millis(5));
        requests.clear();
        assert_eq!(requests.meet("x", "y"), Plan::default());
        assert_eq!(requests.counts()[&("us-east-1".to_owned(), "A".to_owned())], 3);
    }
}
