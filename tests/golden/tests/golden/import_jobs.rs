//! An import job during which the function of 405ee81 was killed: no second one is made, and the list ends up right.

use std::collections::BTreeMap;
use std::time::Duration;

use golden::{GoldenFile, items};
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::import::ImportAction;
use serde_json::json;

use crate::requirements::assert_note_fits;
use crate::world::{job_intent, object_url, restore_region, run, run_apply};

/// What was left, whether SES had made the job, and how many jobs today's function makes.
const CASES: [(&str, bool, usize); 6] = [
    ("asked", true, 0),
    // It may still appear among SES's jobs for a minute. Then it is planned anew.
    ("asked-and-not-made", false, 1),
    // For ten minutes after a refusal everything goes by single calls.
    ("given-up", false, 0),
    ("made", true, 0),
    ("made-that-deletes", true, 0),
    ("planned", false, 1),
];

pub(crate) fn check(file: &mut GoldenFile) {
    for (name, made, jobs) in CASES {
        let entry = file.take(name);
        items(&entry["notes"]).iter().for_each(assert_note_fits);
        run(async {
            let region = restore_region(&entry).await;
            let mut intent = job_intent(&region);
            if made {
                let kind = if intent["deletes"] == true { ImportAction::Delete } else { ImportAction::Put };
                let url = object_url(intent["key"].as_str().unwrap());
                let id = region.list.create_import_job(kind, &url).await.unwrap();
                if intent["id"].is_string() {
                    // SES's own ids differ, too.
                    intent["id"] = json!(id);
                    region.table.write_note("import-job", &json!({"intent": intent, "singly_until": null}));
                }
            }
            let before = region.list.calls().get("create_import_job").copied().unwrap_or_default();
            for _ in 0..12 {
                region.clock.advance(Duration::from_mins(1));
                run_apply(&region).await;
            }
            let after = region.list.calls().get("create_import_job").copied().unwrap_or_default();
            assert_eq!(after - before, jobs, "{name}");
            let states = region.table.states();
            let expected: BTreeMap<_, _> = states
                .iter()
                .filter_map(|state| Some((state.spellings().first()?.to_owned(), state.effective_reason()?)))
                .collect();
            assert_eq!(expected.len(), if name == "made-that-deletes" { 0 } else { states.len() });
            assert!(expected.values().all(|reason| *reason == SuppressionReason::Bounce));
            assert_eq!(region.list.entries(), expected, "{name}");
            assert!(
                states.iter().all(|state| !state.is_pending() && state.assigned_job().is_none()),
                "{name}"
            );
            assert!(job_intent(&region).is_null(), "{name}");
        });
    }
}
