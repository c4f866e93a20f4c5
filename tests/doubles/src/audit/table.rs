//! The audit's readings and verdicts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_audit::SectionVerdict;
use mailroom_audit::aws::table::AuditTable;
use mailroom_aws::states::TableError;
use mailroom_core::timestamp::Timestamp;
use tokio::time::Instant;

use crate::{Fuse, lock};

/// The audit's items of one Region.
#[derive(Debug, Clone, Default)]
pub struct MemoryAuditTable {
    items: Arc<Mutex<Items>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Items {
    readings: BTreeMap<(Timestamp, String), String>,
    /// As JSON, so that a verdict that can't be read back is noticed.
    verdicts: BTreeMap<u8, String>,
    written: usize,
}

impl MemoryAuditTable {
    /// The same table, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { items: Arc::clone(&self.items), fuse: fuse.clone() }
    }

    /// How many readings and verdicts were written.
    pub fn written(&self) -> usize {
        lock(&self.items).written
    }

    async fn write(&self, write: impl FnOnce(&mut Items)) {
        self.fuse.effect().await;
        let mut items = lock(&self.items);
        items.written += 1;
        write(&mut items);
    }
}

impl AuditTable for MemoryAuditTable {
    async fn readings(&self, pass: Timestamp, _: Instant) -> Result<BTreeMap<String, String>, TableError> {
        let items = lock(&self.items);
        let of_pass = items.readings.iter().filter(|((of, _), _)| *of == pass);
        Ok(of_pass.map(|((_, name), reading)| (name.clone(), reading.clone())).collect())
    }

    async fn keep(&self, pass: Timestamp, name: &str, reading: &str, _: Instant) -> Result<(), TableError> {
        let (key, reading) = ((pass, name.to_owned()), reading.to_owned());
        self.write(|items| drop(items.readings.insert(key, reading))).await;
        Ok(())
    }

    async fn put(&self, verdict: &SectionVerdict, _: Instant) -> Result<(), TableError> {
        let text = serde_json::to_string(verdict).unwrap();
        self.write(|items| drop(items.verdicts.insert(verdict.section.number(), text))).await;
        Ok(())
    }

    async fn verdicts(&self, _: Instant) -> Result<Vec<SectionVerdict>, TableError> {
        let items = lock(&self.items);
        let read = |text: &String| serde_json::from_str(text);
        let verdicts: Result<_, _> = items.verdicts.values().map(read).collect();
        verdicts.map_err(|error: serde_json::Error| TableError::NotAnItem(error.to_string()))
    }
}
