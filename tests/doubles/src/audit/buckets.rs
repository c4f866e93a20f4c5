//! Whether buckets exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::audit::AskError;
use mailroom_aws::audit::buckets::Buckets;
use mailroom_core::audit::facts::{Asked, Bucket};

use crate::lock;

/// The buckets of S3. One that was not set does not exist.
#[derive(Debug, Clone, Default)]
pub struct MemoryBuckets(Arc<Mutex<BTreeMap<String, Result<Bucket, AskError>>>>);

impl MemoryBuckets {
    /// Sets the answer for a bucket.
    pub fn set(&self, name: &str, answer: Result<Bucket, AskError>) {
        lock(&self.0).insert(name.to_owned(), answer);
    }
}

impl Buckets for MemoryBuckets {
    async fn bucket(&self, name: &str) -> Result<Bucket, AskError> {
        let missing = || Ok(Bucket { name: name.to_owned(), exists: Asked::Answered(false) });
        lock(&self.0).get(name).cloned().unwrap_or_else(missing)
    }
}
