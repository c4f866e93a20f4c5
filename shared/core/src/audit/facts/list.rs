//! How SES's suppression list and the table agree, and what peers have been told, as reconcile noted.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// Reconcile's last pass over the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPass {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Entries of the list.
    pub entries: usize,
    /// Addresses of which list and state said the same. `None`: the note is of a version that did not keep it.
    #[serde(default)]
    pub agree: Option<usize>,
    /// Addresses of which they did not.
    #[serde(default)]
    pub differ: Option<usize>,
    /// Of those, what the pass has mended or marked for `apply`.
    #[serde(default)]
    pub mended: Option<usize>,
    /// Entries that should have been there, and were not.
    #[serde(default)]
    pub gone: Option<usize>,
    /// Whether so much had gone that nothing was concluded.
    #[serde(default)]
    pub alarmed: bool,
}

/// How far a peer has been told what is decided here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTold {
    /// The peer's Region.
    pub region: String,
    /// It has been told all that changed before then; `None` if it has not been told all even once.
    pub until: Option<Timestamp>,
}
