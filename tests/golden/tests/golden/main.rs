//! What 405ee81 stored and sent, read by today's functions, and the other way round.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod audits;
mod decisions;
mod import_jobs;
mod messages;
mod reconciliation;
mod records;
mod requirements;
mod setups;
mod shape;
mod states;
mod world;

use golden::{GoldenFile, file_names};

/// Reads all entries of a file and fails if one means something else today.
type Check = fn(&mut GoldenFile);

/// The check of each file.
const CHECKS: [(&str, Check); 12] = [
    ("audits", audits::check),
    ("decisions", decisions::check),
    ("feedback", records::check_feedback),
    ("import-jobs", import_jobs::check),
    ("leases", requirements::check_leases),
    ("look-backs", reconciliation::check_look_backs),
    ("messages", messages::check),
    ("passes", reconciliation::check_passes),
    ("peers-told", reconciliation::check_peers_told),
    ("received", records::check_received),
    ("setups", setups::check),
    ("states", states::check),
];

#[test]
fn everything_that_405ee81_wrote_means_today_what_it_meant() {
    assert_eq!(file_names(), CHECKS.map(|(name, _)| name), "each file has a check");
    for (name, check) in CHECKS {
        println!("{name}");
        let mut file = GoldenFile::read(name);
        check(&mut file);
        file.assert_all_taken();
    }
}
