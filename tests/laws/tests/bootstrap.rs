//! Issue 4, "the bootstrap case": a list of 100,000 entries in one Region and none in the other ends equal in both.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what failed by panicking, and what it cost"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use laws::bootstrap::run;
use mailroom_core::suppression::SuppressionReason;

const ENTRIES: usize = 100_000;

#[test]
fn a_hundred_thousand_entries_come_to_an_empty_list() {
    let reason = |n| if n % 10 == 0 { SuppressionReason::Complaint } else { SuppressionReason::Bounce };
    let list: BTreeMap<_, _> = (0..ENTRIES).map(|n| (format!("User{n}@example.com"), reason(n))).collect();
    let costs = run(&list).unwrap();
    println!("{ENTRIES} entries in one Region and none in the other");
    for cost in &costs {
        println!(
            "{:>12}: equal after {:?}, {} calls of SES: {:?}",
            cost.region,
            cost.complete_after,
            cost.total(),
            cost.calls
        );
    }
    // A page of the list is a call, and SES takes one a second; the rest goes by import job.
    let [home, peer] = costs;
    assert!(home.complete_after <= Duration::from_mins(15), "{home:?}");
    assert!(home.total() < ENTRIES / 1000 + 30 && peer.total() < 60, "{home:?} {peer:?}");
}
