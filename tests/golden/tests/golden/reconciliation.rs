//! What reconcile of 405ee81 had begun goes on where it was.

use std::collections::BTreeSet;
use std::time::Duration;

use golden::{GoldenFile, items};
use mailroom_core::suppression::address_state::LastKnownEntry;
use mailroom_core::suppression::peer_message;
use reconcile::handler::{PassOutcome, ReconcileRunOutcome};
use serde_json::Value;

use crate::requirements::assert_note_fits;
use crate::shape::{self, STATE};
use crate::world::{Region, effective_reasons, note_content, restore_region, run, run_reconcile};

fn assert_entry_fits(entry: &Value) {
    items(&entry["notes"]).iter().for_each(assert_note_fits);
    for item in items(&entry["states"]) {
        shape::assert_fits(&golden::plain(item), STATE, "a state");
    }
}

/// Six of seven entries are as they should be, one has gone, and one is new. Were the filter not read, all that was seen
/// would count as gone.
pub(crate) fn check_passes(file: &mut GoldenFile) {
    for (name, listed) in [("in-the-list", 1), ("among-the-states", 0), ("confirming", 0)] {
        let entry = file.take(name);
        assert_entry_fits(&entry);
        run(async {
            let region = restore_region(&entry).await;
            region.clock.advance(Duration::from_mins(20));
            let ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Ended(counts), .. } =
                run_reconcile(&region).await
            else {
                panic!("{name}: the pass does not end")
            };
            assert_eq!((counts.entries, counts.gone, counts.drifted), (7, 1, 1), "{name}");
            let pages = region.list.calls().get("page").copied().unwrap_or_default();
            // The double may not take another one's token; then the list is read again.
            assert!(pages >= listed && (listed > 0 || pages == 0), "{name}: {pages}");
            let open = note_content(&region, "reconcile")["open"].clone();
            assert!(open.is_null(), "{name}");
            assert_eq!(left_off(&region), 1, "{name}");
        });
    }
    let entry = file.take("ended");
    assert_entry_fits(&entry);
    run(async {
        let region = restore_region(&entry).await;
        assert_eq!(left_off(&region), 1);
        region.clock.advance(Duration::from_mins(20));
        let ReconcileRunOutcome::Completed { pass_outcome: passed, .. } = run_reconcile(&region).await else {
            panic!("not woken")
        };
        assert!(matches!(passed, PassOutcome::NotDue), "it was done less than six hours ago");
        region.clock.advance(Duration::from_hours(6));
        let ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Ended(counts), .. } =
            run_reconcile(&region).await
        else {
            panic!("not ended")
        };
        assert_eq!((counts.entries, counts.gone), (7, 0), "what is left off has not gone again");
    });
}

fn left_off(region: &Region) -> usize {
    let is_left_off =
        |applied: Option<LastKnownEntry>| applied.is_some_and(|applied| applied.removal_accepted);
    region.table.states().iter().filter(|state| is_left_off(state.last_known_entry())).count()
}

/// What was sent before is not sent again, and what is missing is.
pub(crate) fn check_peers_told(file: &mut GoldenFile) {
    let addresses = |messages: &[String]| -> BTreeSet<String> {
        let states = messages.iter().flat_map(|text| peer_message::parse_peer_message(text).unwrap().states);
        states.map(|state| state.address).collect()
    };
    for (name, resent) in [("half-way", true), ("half-way-in-a-shard", true), ("told", false)] {
        let entry = file.take(name);
        assert_entry_fits(&entry);
        run(async {
            let region = restore_region(&entry).await;
            region.clock.advance(Duration::from_mins(20));
            run_reconcile(&region).await;
            let sent = addresses(&region.queues.receive(crate::world::PEER));
            let before: Vec<String> =
                items(&entry["sent"]).iter().map(|text| text.as_str().unwrap().to_owned()).collect();
            let before = addresses(&before);
            let all: BTreeSet<_> = effective_reasons(&region).into_keys().collect();
            assert_eq!(before.union(&sent).cloned().collect::<BTreeSet<_>>(), all, "{name}");
            assert_eq!(!sent.is_empty(), resent, "{name}");
            assert!(sent.len() < all.len(), "{name}: it is not begun again");
            let note = note_content(&region, "peer-eu-west-1");
            assert!(note["until"].is_string() && note["everything_at"].is_string(), "{name}");
        });
    }
}

/// Six records were not decided on when they were written.
pub(crate) fn check_look_backs(file: &mut GoldenFile) {
    for (name, left) in [("half-way", 4), ("ended", 0)] {
        let entry = file.take(name);
        assert_entry_fits(&entry);
        run(async {
            let region = restore_region(&entry).await;
            region.clock.advance(Duration::from_mins(20));
            let ReconcileRunOutcome::Completed { look_back_counts: looked_back, .. } =
                run_reconcile(&region).await
            else {
                panic!("{name}")
            };
            assert_eq!(
                (looked_back.decidable_records, looked_back.records_decided, looked_back.unreadable_records),
                (left, left, 0),
                "{name}"
            );
            assert_eq!(effective_reasons(&region).len(), 6, "{name}");
            assert!(note_content(&region, "records")["last"].is_string(), "{name}");
        });
    }
}
