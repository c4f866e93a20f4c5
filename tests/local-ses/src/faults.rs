//! Requests counted, delayed, failed and left without an answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What meets a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    region: Option<String>,
    action: Option<String>,
    spared: u64,
    left: Option<u64>,
    effect: Effect,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// It waits first.
    Delay(Duration),
    /// It has no effect, and this for an answer.
    Instead(Answer),
    /// It has its effect, and this for an answer.
    Then(Answer),
}

/// What is answered in place of what SES would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Error {
        status: u16,
        code: String,
        message: String,
    },
    /// None, and the connection stays open: a time-out, if the client has one.
    Never,
    /// None, and the connection is closed.
    Disconnect,
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { region: None, action: None, spared: 0, left: None, effect }
    }

    /// Any error.
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::new(Effect::Instead(Answer::Error { status, code, message }))
    }

    /// SES v1's throttle (API reference, "Common errors": `Throttling`, 400; the 429 is v2's).
    pub fn throttling() -> Self {
        Self::refuse(400, "Throttling", "Rate exceeded")
    }

    /// SES v2's throttle (API reference v2: `TooManyRequestsException`, 429).
    pub fn too_many_requests() -> Self {
        Self::refuse(429, "TooManyRequestsException", "Too many requests have been made to the operation.")
    }

    /// Its own fault.
    pub fn internal_failure() -> Self {
        Self::refuse(500, "InternalFailure", "The request processing has failed because of an unknown error.")
    }

    /// It waits first.
    pub fn delay(time: Duration) -> Self {
        Self::new(Effect::Delay(time))
    }

    /// No answer comes and the connection stays open.
    pub fn hang() -> Self {
        Self::new(Effect::Instead(Answer::Never))
    }

    /// The connection is closed without an answer: with [`in_region`](Self::in_region), a Region that is down.
    pub fn down() -> Self {
        Self::new(Effect::Instead(Answer::Disconnect))
    }

    /// The same, but only after the request has had its effect.
    #[must_use]
    pub fn once_done(mut self) -> Self {
        if let Effect::Instead(answer) = self.effect {
            self.effect = Effect::Then(answer);
        }
        self
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

    /// Not for the first so many requests.
    #[must_use]
    pub fn after(self, spared: u64) -> Self {
        Self { spared, ..self }
    }

    fn meets(&mut self, region: &str, action: &str) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        if !fits(&self.region, region) || !fits(&self.action, action) || self.left == Some(0) {
            return false;
        }
        if self.spared > 0 {
            self.spared -= 1;
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
    /// In place of any effect.
    pub(crate) instead: Option<Answer>,
    /// In place of the answer.
    pub(crate) then: Option<Answer>,
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

    /// Counts a request and says what meets it: delays add up, of everything else the first counts. A fault that comes
    /// too late is not used up.
    pub(crate) fn meet(&self, region: &str, action: &str) -> Plan {
        let mut state = self.state();
        *state.counts.entry((region.to_owned(), action.to_owned())).or_default() += 1;
        let mut plan = Plan::default();
        for fault in &mut state.faults {
            match fault.effect.clone() {
                Effect::Delay(time) => {
                    if fault.meets(region, action) {
                        plan.delay += time;
                    }
                }
                Effect::Instead(_) | Effect::Then(_) if plan.instead.is_some() || plan.then.is_some() => {}
                Effect::Instead(answer) => plan.instead = fault.meets(region, action).then_some(answer),
                Effect::Then(answer) => plan.then = fault.meets(region, action).then_some(answer),
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
        let code = |region: &str, action: &str| match requests.meet(region, action).instead {
            Some(Answer::Error { code, .. }) => Some(code),
            _ => None,
        };
        assert_eq!(code("us-east-1", "B"), None);
        assert_eq!(code("us-east-1", "A").as_deref(), Some("Throttling"));
        assert_eq!(code("us-east-1", "A").as_deref(), Some("InternalFailure"), "not used up by the first");
        assert_eq!(code("us-east-1", "A"), None);
        assert_eq!(requests.meet("x", "y").delay, Duration::from_millis(5));
        requests.clear();
        assert_eq!(requests.meet("x", "y"), Plan::default());
        assert_eq!(requests.counts()[&("us-east-1".to_owned(), "A".to_owned())], 3);
    }

    #[test]
    fn the_first_are_spared_and_some_are_done_before_they_fail() {
        let requests = Requests::default();
        requests.add(Fault::down().once_done().after(1).times(1));
        requests.add(Fault::hang().in_region("eu-west-1"));
        assert_eq!(requests.meet("us-east-1", "A"), Plan::default());
        let plan = requests.meet("us-east-1", "A");
        assert_eq!((plan.instead, plan.then), (None, Some(Answer::Disconnect)));
        assert_eq!(requests.meet("us-east-1", "A"), Plan::default());
        assert_eq!(requests.meet("eu-west-1", "A").instead, Some(Answer::Never));
    }
}
