//! What peers have been told, as reconcile noted.

use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// How far a peer has been told what is decided here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerProgress {
    /// The peer's Region.
    pub region: String,
    /// The peer has been told everything that changed before this time; `None` if it has never been told everything.
    pub until: Option<Timestamp>,
}
