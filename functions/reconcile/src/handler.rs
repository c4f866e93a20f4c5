//! An invocation: pushes to peers, goes on with the pass, and looks back on records.
//!
//! Whoever finds the note held leaves at once: two passes at a time would be two requests a second. Woken every few
//! minutes, a pass of any length ends.

use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_aws::decidable::DecidableRecords;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::{NoteError, Notes};
use mailroom_aws::pace::Pace;
use mailroom_aws::peers::Peers;
use mailroom_aws::states::StateTable;
use mailroom_aws::suppression_list::SuppressionList;
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{info, warn};

pub use crate::pass::{Counts, PassError, Passed};
pub use crate::push::Pushed;
pub use crate::records::{LookBackError, LookedBack};

use crate::pass::{Kept, Passing, TO_KEEP};
use crate::push::Push;
use crate::records::LookBack;
use crate::settings::Settings;

/// For clocks and for the answer's way: beyond its deadline nobody is at it any more.
const HELD_LONGER: Duration = Duration::from_secs(5);

/// The function.
pub struct Reconcile<S, L, N, P, C, M> {
    /// Suppression states, and the records that they come from.
    pub states: S,
    /// SES's list, which is only read.
    pub list: L,
    /// Where a pass stands, and how far peers have been told.
    pub notes: N,
    /// Their queues.
    pub peers: P,
    /// The time.
    pub clock: C,
    /// Counts.
    pub metrics: M,
    /// What the template tells.
    pub settings: Settings,
}

/// What wakes it: a schedule's event has none of these fields, an operator's any.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Wake {
    /// Begin a pass, if none is in progress.
    pub pass: bool,
    /// Tell peers everything.
    pub everything: bool,
    /// Look back on records.
    pub records: bool,
}

/// What an invocation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// Another invocation is at it.
    Held,
    /// This.
    Woken {
        /// Of peers.
        pushed: Pushed,
        /// Of the pass.
        passed: Passed,
        /// On records.
        looked_back: LookedBack,
    },
}

/// The invocation has failed, and peers were told nevertheless. A retry can help; so does the next wake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// Where the pass stands is not known.
    #[error("the notes: {0}")]
    Note(#[from] NoteError),
    /// The pass.
    #[error(transparent)]
    Pass(#[from] PassError),
    /// Looking back on records.
    #[error("records: {0}")]
    LookBack(#[from] LookBackError),
}

impl<S, L, N, P, C, M> Reconcile<S, L, N, P, C, M>
where
    S: StateTable + DecidableRecords,
    L: SuppressionList,
    N: Notes,
    P: Peers,
    C: Timer,
    M: Metrics,
{
    /// Handles one wake; done by `deadline`.
    ///
    /// # Errors
    /// See [`ReconcileError`].
    pub async fn handle(&self, wake: Wake, deadline: Instant) -> Result<Done, ReconcileError> {
        let mut kept = Kept::read(&self.notes).await?;
        let now = self.clock.now();
        if kept.progress.held_until > Some(now) {
            info!("another invocation is at it");
            return Ok(Done::Held);
        }
        let time = deadline.saturating_duration_since(Instant::now());
        kept.progress.held_until = Some(now.plus(time + HELD_LONGER));
        if !kept.keep(&self.notes).await? {
            info!("another invocation is at it");
            return Ok(Done::Held);
        }
        let push = Push {
            states: &self.states,
            notes: &self.notes,
            peers: &self.peers,
            clock: &self.clock,
            region: &self.settings.region,
            everything: wake.everything,
            // A new peer must not keep the list from being read, nor the list a new peer from being told.
            stop_at: Instant::now() + time / 2,
            deadline,
        };
        let pushed = push.to_all(&self.settings.peers).await;
        let ends_at = now.plus(time);
        let pace = Pace::new(&self.clock, self.settings.pace, Some(ends_at.minus(TO_KEEP)));
        let passing = Passing {
            states: &self.states,
            list: &self.list,
            notes: &self.notes,
            clock: &self.clock,
            pace: &pace,
            region: &self.settings.region,
            gone: self.settings.gone,
            guard: self.settings.guard,
            ends_at,
            deadline,
        };
        let passed = passing.go_on(&mut kept, self.settings.pass_every, wake.pass).await;
        let look_back = LookBack {
            states: &self.states,
            notes: &self.notes,
            clock: &self.clock,
            region: &self.settings.region,
            policy: &self.settings.policy,
            deadline,
        };
        let mut looked_back = LookedBack::default();
        let result = look_back.go_on(wake.records, &mut looked_back).await;
        self.count(&pushed, &passed, &looked_back);
        if !matches!(passed, Err(PassError::Contended)) {
            kept.progress.held_until = None;
            if !kept.keep(&self.notes).await? {
                warn!("another invocation was at it");
            }
        }
        result?;
        Ok(Done::Woken { pushed, passed: passed?, looked_back })
    }

    fn count(&self, pushed: &Pushed, passed: &Result<Passed, PassError>, looked_back: &LookedBack) {
        self.metrics.count(&[
            ("StatesPushed", pushed.states),
            ("MessagesPushed", pushed.messages),
            ("PeersFailed", pushed.peers_failed),
            ("PeersBehind", pushed.peers_behind),
            ("PassesFailed", usize::from(passed.is_err())),
            ("RecordsLookedAt", looked_back.records),
            ("RecordsUnreadable", looked_back.unreadable),
            ("RecordsDecidedLate", looked_back.decided),
        ]);
        let (counts, alarmed) = match passed {
            Ok(Passed::Ended(counts)) => (counts, false),
            Ok(Passed::Alarmed(counts)) => (counts, true),
            Ok(Passed::NotDue | Passed::Unfinished(_)) | Err(_) => return,
        };
        self.metrics.count(&[
            ("PassesEnded", 1),
            ("ListGone", usize::from(alarmed)),
            ("ListEntries", counts.entries),
            ("EntriesUnread", counts.unread),
            ("StatesUnreadable", counts.unreadable),
            ("Agree", counts.agree),
            ("Differ", counts.differ),
            ("Mended", counts.mended),
            ("Busy", counts.busy),
            ("LeftAsTheyAre", counts.left),
            ("EntriesGone", counts.gone),
            ("Drift", counts.drifted),
            ("ListRestarts", counts.restarts),
        ]);
        info!(?counts, alarmed, "a pass has ended");
    }
}
