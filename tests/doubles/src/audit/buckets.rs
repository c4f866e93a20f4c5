//! Whether buckets exist.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_audit::aws::ApiError;
use mailroom_audit::aws::buckets::BucketReader;
use mailroom_audit::facts::{ApiAnswer, BucketExistence};

use crate::lock;

/// The buckets of S3. One that was not set does not exist.
#[derive(Debug, Clone, Default)]
pub struct MemoryBuckets(Arc<Mutex<BTreeMap<String, Result<BucketExistence, ApiError>>>>);

impl MemoryBuckets {
    /// Sets the answer for a bucket.
    pub fn set(&self, name: &str, answer: Result<BucketExistence, ApiError>) {
        lock(&self.0).insert(name.to_owned(), answer);
    }
}

impl BucketReader for MemoryBuckets {
    async fn bucket(&self, name: &str) -> Result<BucketExistence, ApiError> {
        let missing = || Ok(BucketExistence { name: name.to_owned(), exists: ApiAnswer::Answered(false) });
        lock(&self.0).get(name).cloned().unwrap_or_else(missing)
    }
}
