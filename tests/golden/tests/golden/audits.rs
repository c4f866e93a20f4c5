//! A pass of the audit that 405ee81 began goes on, and comes to the verdicts to which it would have come.

use std::collections::BTreeMap;
use std::time::Duration;

use audit::handler::{AuditFunction, AuditOutcome, AuditRequest};
use audit::settings::Settings;
use doubles::{
    MemoryBuckets, MemoryClock, MemoryIam, MemoryMetrics, MemoryRuleSets, MemoryServices, MemorySes,
    MemorySesReader, MemoryTable, MemoryTopics,
};
use golden::{GoldenFile, items, plain};
use mailroom_audit::SectionVerdict;
use mailroom_audit::aws::table::AuditTable;
use mailroom_audit::facts::{ApiAnswer, EmailIdentity, StackFacts};
use mailroom_audit::reader::Services;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

use crate::requirements::assert_note_fits;
use crate::world::{HOME, read, restore_notes, run, time, within};

/// The one identity that 405ee81 had not read.
const UNREAD: &str = "d2.example.com";

pub(crate) fn check(file: &mut GoldenFile) {
    let ended = file.take("ended");
    items(&ended["notes"]).iter().for_each(assert_note_fits);
    let verdicts: Vec<SectionVerdict> = items(&ended["verdicts"]).iter().map(read).collect();
    for (item, verdict) in items(&ended["verdicts"]).iter().zip(&verdicts) {
        let mut stored = plain(item);
        stored.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        assert_eq!(serde_json::to_value(verdict).unwrap(), stored);
    }

    let half_way = file.take("half-way");
    items(&half_way["notes"]).iter().for_each(assert_note_fits);
    let (done, calls, resumed) = run(resume(&half_way, &ended));
    assert!(matches!(done, AuditOutcome::Ended { .. }), "{done:?}");
    assert_eq!(calls, [format!("GetEmailIdentity {UNREAD}")], "what was read is not read again");
    assert_eq!(by_section(&resumed), by_section(&verdicts));

    let (done, calls, _) = run(resume(&ended, &ended));
    assert_eq!((done, calls.len()), (AuditOutcome::NotDue, 0));
}

/// The verdicts without the time of the check.
fn by_section(verdicts: &[SectionVerdict]) -> BTreeMap<&'static str, Value> {
    let without_time = |verdict: &SectionVerdict| {
        let mut value = serde_json::to_value(verdict).unwrap();
        value["checked_at"].take();
        value
    };
    verdicts.iter().map(|verdict| (verdict.section.as_str(), without_time(verdict))).collect()
}

/// Runs today's function on what an entry describes. SES has nothing but what `all` holds of the unread identity.
async fn resume(entry: &Value, all: &Value) -> (AuditOutcome, Vec<String>, Vec<SectionVerdict>) {
    let clock = MemoryClock::at(time(&entry["now"]).plus(Duration::from_mins(5)));
    let ses = MemorySes::new(&clock);
    let reader = MemorySesReader::new(&ses);
    reader.add_identity(UNREAD, "DOMAIN", unread_identity(all));
    let table = MemoryTable::default();
    restore_notes(&table, entry);
    let deadline = within(Duration::from_mins(4));
    for item in items(&entry["readings"]) {
        let name = item["sk"]["S"].as_str().unwrap();
        let [_, pass, name] = name.splitn(3, '#').collect::<Vec<_>>()[..] else { panic!("{name}") };
        let reading = item["reading"]["S"].as_str().unwrap();
        table.put_answer(Timestamp::parse(pass).unwrap(), name, reading, deadline).await.unwrap();
    }
    let function = AuditFunction {
        services: Services::<MemoryServices> {
            ses: reader,
            topics: MemoryTopics::new(&ses),
            rule_sets: MemoryRuleSets::new(&ses),
            keys: MemoryIam::default(),
            buckets: MemoryBuckets::default(),
        },
        table: table.clone(),
        clock,
        metrics: MemoryMetrics::default(),
        settings: Settings {
            stack: StackFacts {
                region: HOME.to_owned(),
                account: Some("123456789012".to_owned()),
                feedback_topic: Some("arn:aws:sns:us-east-1:123456789012:m-feedback".to_owned()),
                configuration_set: Some("m".to_owned()),
                rule_set: Some("m-inbound".to_owned()),
                receives: true,
                reconcile_function: None,
            },
            peers: Vec::new(),
            reads_iam: true,
            call_interval: Duration::from_secs(1),
        },
    };
    let done = function.handle(AuditRequest { now: false }, "an invocation", deadline).await.unwrap();
    (done, ses.calls(), table.verdicts(deadline).await.unwrap())
}

fn unread_identity(all: &Value) -> EmailIdentity {
    let is_it = |item: &&Value| item["sk"]["S"].as_str().unwrap().ends_with(&format!("#identity#{UNREAD}"));
    let item = items(&all["readings"]).iter().find(is_it).unwrap();
    match serde_json::from_str(item["reading"]["S"].as_str().unwrap()).unwrap() {
        ApiAnswer::Answered(identity) => identity,
        _ => panic!("{item}"),
    }
}
