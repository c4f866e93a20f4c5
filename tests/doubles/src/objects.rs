//! Objects in S3.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::objects::{ObjectError, ObjectStore};
use mailroom_core::inbound::{ObjectFacts, ObjectLocation};

use crate::{Fuse, lock};

/// Objects: each is there, or not, or refused, and one that is written again gets another version.
#[derive(Clone, Default)]
pub struct MemoryObjects {
    objects: Arc<Mutex<HashMap<(String, String), StoredObject>>>,
    fuse: Fuse,
}

type StoredObject = Result<(ObjectFacts, Vec<u8>), ObjectError>;

impl MemoryObjects {
    /// The same objects, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { objects: Arc::clone(&self.objects), fuse: fuse.clone() }
    }

    /// Adds an object, described as S3 would.
    pub fn insert(&self, location: &ObjectLocation, facts: ObjectFacts, content: Vec<u8>) {
        self.set(location, Ok((facts, content)));
    }

    /// Answers every call for an object with an error.
    pub fn refuse(&self, location: &ObjectLocation, error: ObjectError) {
        self.set(location, Err(error));
    }

    /// An object's content; `None` if there is no such object.
    pub fn content(&self, location: &ObjectLocation) -> Option<Vec<u8>> {
        self.get(location).ok().map(|(_, content)| content)
    }

    /// The content of the object at `s3://bucket/key`; `None` if there is no such object.
    pub fn content_at(&self, url: &str) -> Option<Vec<u8>> {
        let (bucket, key) = url.strip_prefix("s3://")?.split_once('/')?;
        self.content(&ObjectLocation { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    fn set(&self, location: &ObjectLocation, object: StoredObject) {
        lock(&self.objects).insert((location.bucket.clone(), location.key.clone()), object);
    }

    fn get(&self, location: &ObjectLocation) -> StoredObject {
        let objects = lock(&self.objects);
        let object = objects.get(&(location.bucket.clone(), location.key.clone()));
        object.cloned().unwrap_or(Err(ObjectError::ObjectNotFound))
    }
}

impl ObjectStore for MemoryObjects {
    async fn head(&self, location: &ObjectLocation) -> Result<ObjectFacts, ObjectError> {
        self.get(location).map(|(facts, _)| facts)
    }

    async fn first_bytes(
        &self,
        location: &ObjectLocation,
        _: &ObjectFacts,
        max_bytes: u64,
    ) -> Result<Vec<u8>, ObjectError> {
        let (_, content) = self.get(location)?;
        let count = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        Ok(content.into_iter().take(count).collect())
    }

    async fn put(&self, location: &ObjectLocation, content: Vec<u8>) -> Result<(), ObjectError> {
        self.fuse.effect().await;
        let size = u64::try_from(content.len()).ok();
        let facts = match self.get(location) {
            Ok((facts, _)) => ObjectFacts {
                version_id: Some(format!("{}+", facts.version_id.unwrap_or_default())),
                size,
                ..facts
            },
            Err(ObjectError::ObjectNotFound) => ObjectFacts { size, ..ObjectFacts::default() },
            Err(error) => return Err(error),
        };
        self.insert(location, facts, content);
        Ok(())
    }

    async fn put_in_own_region(
        &self,
        location: &ObjectLocation,
        content: Vec<u8>,
    ) -> Result<(), ObjectError> {
        self.put(location, content).await
    }
}
