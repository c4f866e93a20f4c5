//! Faults: requests are counted, and may be delayed, failed, or left without an answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A fault, and the requests that it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    region: Option<String>,
    action: Option<String>,
    spared: u64,
    left: Option<u64>,
    effect: Effect,
}

/// What a fault does to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Effect {
    /// The request waits before anything else happens to it.
    Delay(Duration),
    /// The request has no effect, and gets this answer.
    Instead(Answer),
    /// The request has its effect, but gets this answer.
    Then(Answer),
}

/// The answer that is given in place of SES's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Error {
        status: u16,
        code: String,
        message: String,
    },
    /// There is no answer and the connection stays open, which is a time-out if the client has one.
    Never,
    /// There is no answer and the connection is closed.
    Disconnect,
}

impl Fault {
    fn new(effect: Effect) -> Self {
        Self { region: None, action: None, spared: 0, left: None, effect }
    }

    /// Answers with an error in place of any effect.
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        Self::new(Effect::Instead(Answer::Error { status, code, message }))
    }

    /// Answers as SES's v1 API does when it throttles (API reference, "Common errors": `Throttling`, 400; the 429 is v2's).
    pub fn throttling() -> Self {
        Self::refuse(400, "Throttling", "Rate exceeded")
    }

    /// Answers as SES's v2 API does when it throttles (API reference v2: `TooManyRequestsException`, 429).
    pub fn too_many_requests() -> Self {
        Self::refuse(429, "TooManyRequestsException", "Too many requests have been made to the operation.")
    }

    /// Answers that SES itself has failed.
    pub fn internal_failure() -> Self {
        Self::refuse(500, "InternalFailure", "The request processing has failed because of an unknown error.")
    }

    /// Lets requests wait.
    pub fn delay(time: Duration) -> Self {
        Self::new(Effect::Delay(time))
    }

    /// Gives no answer and keeps the connection open.
    pub fn hang() -> Self {
        Self::new(Effect::Instead(Answer::Never))
    }

    /// Closes the connection without an answer. With [`in_region`](Self::in_region) that is a Region that is down.
    pub fn down() -> Self {
        Self::new(Effect::Instead(Answer::Disconnect))
    }

    /// The same fault, but only after the request has had its effect.
    #[must_use]
    pub fn once_done(mut self) -> Self {
        if let Effect::Instead(answer) = self.effect {
            self.effect = Effect::Then(answer);
        }
        self
    }

    /// Limits the fault to one Region.
    #[must_use]
    pub fn in_region(self, region: &str) -> Self {
        Self { region: Some(region.to_owned()), ..self }
    }

    /// Limits the fault to one action.
    #[must_use]
    pub fn on(self, action: &str) -> Self {
        Self { action: Some(action.to_owned()), ..self }
    }

    /// Limits the fault to so many requests.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { left: Some(times), ..self }
    }

    /// Spares the first so many requests.
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

/// The counts of the requests so far, and the faults for those to come.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: BTreeMap<(String, String), u64>,
    faults: Vec<Fault>,
}

/// What the faults do to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    /// This is answered and the request has no effect; `None`: it has its effect.
    pub(crate) instead: Option<Answer>,
    /// This is answered after the request has had its effect; `None`: SES's own answer.
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

    /// Counts a request and returns what the faults do to it. Delays add up; of the other faults only the first one counts,
    /// and those after it are not used up by this request.
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
