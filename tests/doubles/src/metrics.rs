//! Counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::metrics::Metrics;

use crate::lock;

/// Counts that are kept for a test to look at.
#[derive(Clone, Default)]
pub struct MemoryMetrics(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl MemoryMetrics {
    /// The count of `name` so far.
    pub fn get(&self, name: &str) -> usize {
        lock(&self.0).get(name).copied().unwrap_or(0)
    }
}

impl Metrics for MemoryMetrics {
    fn count(&self, counts: &[(&'static str, usize)]) {
        let mut kept = lock(&self.0);
        for (name, count) in counts {
            *kept.entry(name).or_default() += count;
        }
    }
}
