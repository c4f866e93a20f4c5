//! What a pass of reconcile over the suppression list has found.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// Reconcile's last pass over the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPass {
    /// When the pass began.
    pub started_at: Timestamp,
    /// When the pass ended.
    pub ended_at: Option<Timestamp>,
    /// How many entries the list had.
    pub entries: usize,
    /// How many addresses list and state agreed about. `None` if the note is of a version that did not keep it.
    #[serde(default)]
    pub agree: Option<usize>,
    /// How many addresses list and state did not agree about.
    #[serde(default)]
    pub differ: Option<usize>,
    /// How many of those that differed the pass has corrected or marked for `apply`.
    #[serde(default)]
    pub mended: Option<usize>,
    /// How many entries should have been on the list, and were not.
    #[serde(default)]
    pub gone: Option<usize>,
    /// Whether so many entries had gone that nothing was concluded.
    #[serde(default)]
    pub alarmed: bool,
}
