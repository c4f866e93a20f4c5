//! Each function's own binary, killed after each of its requests and woken again as Lambda and the schedules do: what comes of
//! it in the end is what comes of it when nobody is killed.
//!
//! Real tables, queues and buckets of the local AWS and a local SES, all behind one proxy.

mod apply;
mod decide;
mod merge;
mod place;
mod reconcile;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use local_aws::clients::ACCOUNT;
use local_aws::paths;
use local_aws::proxy::{Action, Flow, Matcher, Moment, Rule, hook};
use local_aws::runtime_api::{Outcome, Sandbox, Spec};
use serde_json::Value;

use place::{Lab, Place, REGION};

/// At a time. Most of them wait for SES's pace.
const PARALLEL: usize = 32;
/// Invocations after which nothing should be left to do.
const ENOUGH: usize = 12;

/// A function with something to do.
trait Scenario {
    /// Whose binary it is.
    const FUNCTION: &'static str;

    /// What the template would tell it, but for the table.
    fn variables(&self, place: &Place) -> Vec<(&'static str, String)>;

    /// What there is to do.
    async fn prepare(&self, place: &Place);

    /// What wakes it, each time.
    fn event(&self) -> Value;

    /// Whether there is nothing left to do, once it has answered.
    async fn is_done(&self, place: &Place) -> bool;

    /// What came of it, without what differs from time to time.
    async fn outcome(&self, place: &Place) -> Value;
}

/// Kills the function after its first request, its second and so on, each time in a fresh place, until it gets to the end;
/// how often that was, and what comes of it every time.
async fn kill_everywhere<S: Scenario>(lab: &Lab, scenario: &S) -> (usize, Value) {
    let (killed, expected) = live(scenario, lab, 0).await;
    assert!(!killed);
    let expected = &expected;
    let die = |step| async move {
        let (killed, outcome) = live(scenario, lab, step).await;
        assert_eq!(outcome, *expected, "{} was killed at step {step}", S::FUNCTION);
        killed
    };
    let kills = stream::iter(1..).map(die).buffered(PARALLEL).take_while(|killed| future::ready(*killed));
    let kills = kills.count().await;
    println!("{}: killed {kills} times", S::FUNCTION);
    (kills, expected.clone())
}

/// Wakes the function until nothing is left to do; whether it was killed meanwhile, and what came of it.
async fn live<S: Scenario>(scenario: &S, lab: &Lab, step: usize) -> (bool, Value) {
    let place = lab.place().await;
    scenario.prepare(&place).await;
    let start = async || {
        let spec = Spec::new(paths::binary(S::FUNCTION), REGION)
            .endpoint(place.proxy.endpoint())
            .timeout(Duration::from_mins(1))
            .variable("ACCOUNT_ID", ACCOUNT)
            .variable("TABLE_NAME", place.table.as_str());
        let variables = scenario.variables(&place);
        let spec = variables.into_iter().fold(spec, |spec, (name, value)| spec.variable(name, value));
        Sandbox::start(spec).await.expect("the function starts")
    };
    let mut sandbox = start().await;
    let rule = die_after(&sandbox, &place, step);
    let mut killed = false;
    for _ in 0..ENOUGH {
        match sandbox.invoke(&scenario.event()).await {
            Outcome::Response(_) if scenario.is_done(&place).await => {
                return (killed, scenario.outcome(&place).await);
            }
            Outcome::Response(_) => place.let_time_pass().await,
            // Woken again at once: whatever it holds it holds still.
            Outcome::Exited(_) if !killed => {
                killed = true;
                place.proxy.remove(rule);
                sandbox = start().await;
            }
            outcome => panic!("{} at step {step}: {outcome:?}\n{:#?}", S::FUNCTION, sandbox.output()),
        }
    }
    panic!("{} at step {step} does not get done:\n{:#?}", S::FUNCTION, sandbox.output());
}

/// Kills a function at that step of its life: when the request has been carried out and the function not been told. Never
/// at step 0.
fn die_after(sandbox: &Sandbox, place: &Place, step: usize) -> local_aws::proxy::RuleId {
    let killer = sandbox.killer();
    let requests = AtomicUsize::new(0);
    let die = hook(move |_| {
        if requests.fetch_add(1, Ordering::Relaxed) + 1 == step {
            killer.kill();
            return Flow::Cut;
        }
        Flow::Continue
    });
    place.proxy.rule(Rule::new(Matcher::any(), Action::Call(Moment::After, die)))
}
