//! Twenty thousand permanent bounces within minutes, at SES's one request a second.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed by panicking, and what it cost"
)]

use std::time::Duration;

use laws::storm::{Cost, MemorySes, Storm, one_put_per_bounce, run};

const BOUNCES: usize = 20_000;
const LONGEST: Duration = Duration::from_mins(5);
const MOST_CALLS: usize = 60;

fn show(storm: Storm, costs: &[Cost]) {
    let Storm { bounces, per_second } = storm;
    println!("{bounces} bounces, {per_second} a second:");
    for cost in costs {
        let Cost { region, complete_after, calls } = cost;
        println!("{region:>12}: complete after {complete_after:?}, {} calls of SES: {calls:?}", cost.total());
    }
}

/// Through the shipped handlers with their ports in memory.
fn weather(per_second: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap();
    let (calls, took) = runtime.block_on(one_put_per_bounce(BOUNCES)).unwrap();
    println!("baseline, one Put per bounce: complete after {took:?}, {calls} calls of SES in each Region");
    let _entered = runtime.enter();
    let storm = Storm { bounces: BOUNCES, per_second };
    let costs = run(storm, &mut MemorySes::default()).unwrap();
    show(storm, &costs);
    for cost in &costs {
        assert!(cost.complete_after <= LONGEST, "{cost:?}");
        assert!(cost.total() < MOST_CALLS, "{cost:?}");
    }
}

#[test]
fn a_sudden_storm_goes_by_few_jobs() {
    weather(400);
}

#[test]
fn a_lasting_storm_does_too() {
    weather(100);
}
