//! Whatever is said, whoever dies, whatever fails: the list comes right.

use std::collections::BTreeSet;
use std::time::Duration;

use doubles::Fault;
use mailroom_core::suppression::{AddressState, SuppressionReason};
use proptest::prelude::*;

use crate::world::{MINUTE, Say, World};

#[derive(Debug, Clone)]
enum Step {
    Say(u8, bool, Say),
    Run(usize, Vec<(u8, bool, Say)>),
    Wait(u16),
    Fault(Fault),
    Lag(u8),
}

fn said() -> impl Strategy<Value = (u8, bool, Say)> {
    let say = prop_oneof![Just(Say::Bounced), Just(Say::Complained), Just(Say::Released)];
    (0_u8..6, any::<bool>(), say)
}

fn spelled(address: u8, upper: bool) -> String {
    format!("{}{address}@example.com", if upper { "USER" } else { "user" })
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Throttled), Just(Fault::Unavailable), Just(Fault::Unanswered)];
    prop_oneof![
        8 => said().prop_map(|(address, upper, say)| Step::Say(address, upper, say)),
        3 => (0_usize..40, prop::collection::vec(said(), 0..4)).prop_map(|(effects, says)| Step::Run(effects, says)),
        2 => prop::collection::vec(said(), 0..4).prop_map(|says| Step::Run(usize::MAX, says)),
        3 => (0_u16..200).prop_map(Step::Wait),
        1 => fault.prop_map(Step::Fault),
        1 => (0_u8..4).prop_map(Step::Lag),
    ]
}

async fn live(steps: &[Step], requests_per_second: f64) {
    let mut world = World { requests_per_second, ..World::new() };
    world.set_import_wait(Duration::from_secs(70));
    for step in steps {
        match step {
            Step::Say(address, upper, say) => {
                world.say(&spelled(*address, *upper), *say).await;
            }
            Step::Run(effects, says) => {
                let stands = |world: &World| {
                    let complained = |state: &AddressState| {
                        let applied = state.last_known_entry().and_then(|applied| applied.reason);
                        state.effective_reason() == Some(SuppressionReason::Complaint)
                            && applied == Some(SuppressionReason::Complaint)
                    };
                    let states = world.table.states().into_iter().filter(complained);
                    let list = world.list.entries();
                    states
                        .filter(|state| state.assigned_job().is_none())
                        .filter_map(|state| state.spellings().first().map(str::to_owned))
                        .filter(|spelling| list.get(spelling) == Some(&SuppressionReason::Complaint))
                        .collect::<BTreeSet<_>>()
                };
                let mut before = stands(&world);
                let says: Vec<_> =
                    says.iter().map(|(address, upper, say)| (spelled(*address, *upper), *say)).collect();
                before.retain(|spelling| says.iter().all(|(said, _)| !said.eq_ignore_ascii_case(spelling)));
                let _ = world.run_while("{}", *effects, says).await;
                let after = world.list.entries();
                for spelling in before {
                    assert_eq!(
                        after.get(&spelling),
                        Some(&SuppressionReason::Complaint),
                        "a complaint was overwritten"
                    );
                }
            }
            Step::Wait(seconds) => world.clock.advance(Duration::from_secs((*seconds).into())),
            Step::Fault(fault) => world.list.fault([*fault]),
            Step::Lag(writes) => world.table.lag((*writes).into()),
        }
    }
    world.table.lag(0);
    world.clock.advance(2 * MINUTE);
    world.run_until_quiet().await;
    world.assert_right();
    let calls = world.calls();
    world.clock.advance(MINUTE);
    world.run().await.ran();
    assert_eq!(world.calls(), calls, "what is right costs no call");
}

proptest! {
    #[test]
    fn whatever_happens_the_list_comes_right(
        steps in prop::collection::vec(step(), 0..40),
        slow: bool,
    ) {
        // Slow: three calls a minute, so that more goes by job.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live(&steps, if slow { 0.1 } else { 1.0 }));
    }
}
