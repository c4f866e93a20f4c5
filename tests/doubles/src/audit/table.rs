//! The audit's readings and verdicts.

use std::collections::BTreeMap;

use mailroom_audit::SectionVerdict;
use mailroom_audit::aws::table::AuditTable;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::TableError;
use mailroom_core::timestamp::Timestamp;

use crate::{MemoryTable, lock};

/// The audit's items of one Region.
#[derive(Debug, Default)]
pub(crate) struct AuditItems {
    readings: BTreeMap<(Timestamp, String), String>,
    /// As JSON, so that a verdict that can't be read back is noticed.
    verdicts: BTreeMap<u8, String>,
    written: usize,
}

impl MemoryTable {
    /// How many readings and verdicts were written.
    pub fn audit_items_written(&self) -> usize {
        lock(&self.inner).audit.written
    }

    async fn write_audit_item(&self, write: impl FnOnce(&mut AuditItems)) {
        self.fuse.effect().await;
        let items = &mut lock(&self.inner).audit;
        items.written += 1;
        write(items);
    }
}

impl AuditTable for MemoryTable {
    async fn answers(
        &self,
        pass_started_at: Timestamp,
        _: Deadline,
    ) -> Result<BTreeMap<String, String>, TableError> {
        let inner = lock(&self.inner);
        let of_pass = inner.audit.readings.iter().filter(|((of, _), _)| *of == pass_started_at);
        Ok(of_pass.map(|((_, name), reading)| (name.clone(), reading.clone())).collect())
    }

    async fn put_answer(
        &self,
        pass_started_at: Timestamp,
        name: &str,
        answer_json: &str,
        _: Deadline,
    ) -> Result<(), TableError> {
        let (key, reading) = ((pass_started_at, name.to_owned()), answer_json.to_owned());
        self.write_audit_item(|items| drop(items.readings.insert(key, reading))).await;
        Ok(())
    }

    async fn put_verdict(&self, verdict: &SectionVerdict, _: Deadline) -> Result<(), TableError> {
        let text = serde_json::to_string(verdict).unwrap();
        self.write_audit_item(|items| drop(items.verdicts.insert(verdict.section.number(), text))).await;
        Ok(())
    }

    async fn verdicts(&self, _: Deadline) -> Result<Vec<SectionVerdict>, TableError> {
        let inner = lock(&self.inner);
        let read = |text: &String| serde_json::from_str(text);
        let verdicts: Result<_, _> = inner.audit.verdicts.values().map(read).collect();
        verdicts.map_err(|error: serde_json::Error| TableError::InvalidItem(error.to_string()))
    }
}
