//! Rules: which requests meet with what.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Exchange;
use super::call::{Call, Matcher};
use super::failure::Failure;

/// What a hook wants to happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on as if the hook were not there.
    Continue,
    /// Close the connection without an answer. A request that was not yet forwarded never is.
    Cut,
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the request has arrived, and before the local AWS knows of it.
    Before,
    /// After the local AWS has done it, and before the client is told.
    After,
}

/// A test's own code that is called in the middle of a request, on the proxy's task. It should return at once.
pub type Hook = Arc<dyn Fn(&Exchange) -> Flow + Send + Sync>;

/// Makes a hook from a closure.
pub fn hook(call: impl Fn(&Exchange) -> Flow + Send + Sync + 'static) -> Hook {
    Arc::new(call)
}

/// What happens to a request.
#[derive(Clone)]
pub enum Action {
    /// The request is answered with an error and never reaches the local AWS.
    Fail(Failure),
    /// The request waits before anything else happens to it.
    Delay(Duration),
    /// The connection is closed without an answer; the request never reaches the local AWS.
    Cut,
    /// The request is never answered and never reaches the local AWS.
    Hang,
    /// The request takes effect, but is answered with an error.
    AnswerThenFail(Failure),
    /// The request takes effect, but the connection is closed without an answer.
    AnswerThenCut,
    /// The request is a `BatchWriteItem`: only its first `keep` writes are done, and the rest come back as unprocessed.
    Unprocessed {
        /// The number of writes that are done.
        keep: usize,
    },
    /// A hook is called at this moment.
    Call(Moment, Hook),
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(failure) => f.debug_tuple("Fail").field(failure).finish(),
            Self::Delay(time) => f.debug_tuple("Delay").field(time).finish(),
            Self::Cut => f.write_str("Cut"),
            Self::Hang => f.write_str("Hang"),
            Self::AnswerThenFail(failure) => f.debug_tuple("AnswerThenFail").field(failure).finish(),
            Self::AnswerThenCut => f.write_str("AnswerThenCut"),
            Self::Unprocessed { keep } => write!(f, "Unprocessed {{ keep: {keep} }}"),
            Self::Call(moment, _) => write!(f, "Call({moment:?})"),
        }
    }
}

/// Which of the requests that match a rule acts on.
#[derive(Debug, Clone)]
enum Turn {
    All,
    Nth(u64),
    First(u64),
    EveryNth(u64),
    Chance { probability: f64, random: fastrand::Rng },
}

impl Turn {
    /// Whether it acts on the request that is the `seen`-th to match, counted from 1.
    fn comes(&mut self, seen: u64) -> bool {
        match self {
            Self::All => true,
            Self::Nth(n) => seen == *n,
            Self::First(k) => seen <= *k,
            Self::EveryNth(n) => *n > 0 && seen.is_multiple_of(*n),
            Self::Chance { probability, random } => random.f64() < *probability,
        }
    }
}

/// A rule: which calls match, on which of these it acts, and what happens to them.
#[derive(Debug, Clone)]
pub struct Rule {
    matcher: Matcher,
    turn: Turn,
    action: Action,
    seen: u64,
    acted: u64,
}

impl Rule {
    /// A rule that acts on every call that matches.
    pub fn new(matcher: Matcher, action: Action) -> Self {
        Self { matcher, turn: Turn::All, action, seen: 0, acted: 0 }
    }

    /// Acts only on the n-th call that matches, counted from 1.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        Self { turn: Turn::Nth(n), ..self }
    }

    /// Acts only on the first `k` calls that match.
    #[must_use]
    pub fn first(self, k: u64) -> Self {
        Self { turn: Turn::First(k), ..self }
    }

    /// Acts on every n-th call that matches.
    #[must_use]
    pub fn every_nth(self, n: u64) -> Self {
        Self { turn: Turn::EveryNth(n), ..self }
    }

    /// Acts with a probability. It has a random generator of its own: with the same seed and order of requests, the faults
    /// are the same.
    #[must_use]
    pub fn chance(self, probability: f64, seed: u64) -> Self {
        Self { turn: Turn::Chance { probability, random: fastrand::Rng::with_seed(seed) }, ..self }
    }
}

/// Names a rule of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleId(u64);

/// How the rules end a request in place of the local AWS's answer.
#[derive(Debug, Clone)]
pub(super) enum End {
    Fail(Failure),
    Cut,
    Hang,
    AnswerThenFail(Failure),
    AnswerThenCut,
}

/// Everything that the rules do to one request.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    pub(super) before: Vec<Hook>,
    pub(super) after: Vec<Hook>,
    pub(super) keep: Option<usize>,
    pub(super) end: Option<End>,
}

impl Plan {
    fn add(&mut self, action: &Action) {
        let end = match action {
            Action::Delay(time) => {
                self.delay += *time;
                return;
            }
            Action::Unprocessed { keep } => {
                self.keep = Some(self.keep.map_or(*keep, |already| already.min(*keep)));
                return;
            }
            Action::Call(Moment::Before, hook) => return self.before.push(Arc::clone(hook)),
            Action::Call(Moment::After, hook) => return self.after.push(Arc::clone(hook)),
            Action::Fail(failure) => End::Fail(failure.clone()),
            Action::Cut => End::Cut,
            Action::Hang => End::Hang,
            Action::AnswerThenFail(failure) => End::AnswerThenFail(failure.clone()),
            Action::AnswerThenCut => End::AnswerThenCut,
        };
        self.end.get_or_insert(end);
    }

    /// What the rules do to the request, in words for the log; `None` if they do nothing.
    pub(super) fn name(&self) -> Option<String> {
        let end = match &self.end {
            Some(End::Fail(_)) => Some("fail"),
            Some(End::Cut) => Some("cut"),
            Some(End::Hang) => Some("hang"),
            Some(End::AnswerThenFail(_)) => Some("answer then fail"),
            Some(End::AnswerThenCut) => Some("answer then cut"),
            None => None,
        };
        let names = [
            (!self.delay.is_zero()).then_some("delay"),
            (!self.before.is_empty()).then_some("hook before"),
            self.keep.map(|_| "unprocessed"),
            end,
            (!self.after.is_empty()).then_some("hook after"),
        ];
        let names: Vec<&str> = names.into_iter().flatten().collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Vec<(RuleId, Rule)>,
    added: u64,
}

impl Rules {
    pub(super) fn add(&mut self, rule: Rule) -> RuleId {
        self.added += 1;
        let id = RuleId(self.added);
        self.rules.push((id, rule));
        id
    }

    pub(super) fn remove(&mut self, id: RuleId) {
        self.rules.retain(|(other, _)| *other != id);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(super) fn acted(&self, id: RuleId) -> u64 {
        self.rules.iter().find(|(other, _)| *other == id).map_or(0, |(_, rule)| rule.acted)
    }

    /// Counts the call on every rule that it matches. Returns what these do to it.
    pub(super) fn plan(&mut self, call: &Call) -> Plan {
        let mut plan = Plan::default();
        for (_, rule) in &mut self.rules {
            if !rule.matcher.matches(call) {
                continue;
            }
            rule.seen += 1;
            if rule.turn.comes(rule.seen) {
                rule.acted += 1;
                plan.add(&rule.action);
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call { region: "eu-west-1".into(), service: "dynamodb".into(), operation: "BatchWriteItem".into() }
    }

    fn turns(rule: Rule, requests: usize) -> Vec<bool> {
        let mut rules = Rules::default();
        rules.add(rule);
        (0..requests).map(|_| rules.plan(&call()).end.is_some()).collect()
    }

    fn cut() -> Rule {
        Rule::new(Matcher::any(), Action::Cut)
    }

    #[test]
    fn turns_come_when_they_say() {
        assert_eq!(turns(cut(), 3), [true, true, true]);
        assert_eq!(turns(cut().nth(2), 3), [false, true, false]);
        assert_eq!(turns(cut().first(2), 3), [true, true, false]);
        assert_eq!(turns(cut().every_nth(2), 4), [false, true, false, true]);
    }

    #[test]
    fn chance_is_the_same_with_the_same_seed() {
        let some = turns(cut().chance(0.3, 7), 1000);
        assert_eq!(some, turns(cut().chance(0.3, 7), 1000));
        assert_ne!(some, turns(cut().chance(0.3, 8), 1000));
        let hits = some.iter().filter(|hit| **hit).count();
        assert!((250..350).contains(&hits), "{hits}");
    }

    #[test]
    fn the_first_rule_that_ends_a_request_wins_and_delays_add_up() {
        let mut rules = Rules::default();
        rules.add(Rule::new(Matcher::any(), Action::Delay(Duration::from_millis(1))));
        let fail = rules.add(Rule::new(Matcher::any(), Action::Fail(Failure::throttling())).first(1));
        rules.add(cut());
        rules.add(Rule::new(Matcher::any(), Action::Delay(Duration::from_millis(2))));
        let plan = rules.plan(&call());
        assert_eq!(plan.delay, Duration::from_millis(3));
        assert!(matches!(plan.end, Some(End::Fail(_))));
        assert!(matches!(rules.plan(&call()).end, Some(End::Cut)));
        assert_eq!(rules.acted(fail), 1);
    }
}
