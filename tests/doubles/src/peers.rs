//! Peers' queues.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use mailroom_aws::deadline::Deadline;
use mailroom_aws::peer_queues::{PeerError, PeerQueues};

use crate::{Fuse, lock};

/// The queues of all Regions.
#[derive(Debug, Clone, Default)]
pub struct MemoryPeers {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    queues: BTreeMap<String, Vec<String>>,
    failing: HashMap<String, PeerError>,
    refused: Option<String>,
}

impl MemoryPeers {
    /// The same queues, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// Takes all messages out of a Region's queue, the first sent first.
    pub fn receive(&self, region: &str) -> Vec<String> {
        lock(&self.inner).queues.remove(region).unwrap_or_default()
    }

    /// From now on a Region answers with this error; `None`: it works again.
    pub fn fail(&self, region: &str, error: Option<PeerError>) {
        let mut inner = lock(&self.inner);
        match error {
            Some(error) => drop(inner.failing.insert(region.to_owned(), error)),
            None => drop(inner.failing.remove(region)),
        }
    }

    /// From now on no Region takes a message with this text in it.
    pub fn refuse(&self, text: &str) {
        lock(&self.inner).refused = Some(text.to_owned());
    }
}

impl PeerQueues for MemoryPeers {
    async fn send_message(&self, peer_region: &str, message: &str, _: Deadline) -> Result<(), PeerError> {
        self.fuse.effect().await;
        let mut inner = lock(&self.inner);
        if let Some(error) = inner.failing.get(peer_region) {
            return Err(error.clone());
        }
        if inner.refused.as_ref().is_some_and(|text| message.contains(text)) {
            return Err(PeerError::InvalidContents("InvalidMessageContents".to_owned()));
        }
        inner.queues.entry(peer_region.to_owned()).or_default().push(message.to_owned());
        Ok(())
    }
}
