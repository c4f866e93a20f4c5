//! Tells each peer what has changed since it was last told. Decide has sent the same as best it could; this is the
//! guarantee.
//!
//! Once in a while a peer is told everything, as it is when it is new: SQS may have accepted a message and lost it all the
//! same, and a peer's table may have been replaced by another one of the same name.

use std::time::Duration;

use futures_util::future::join_all;
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::peer_queues::{self, PeerError, PeerQueues};
use mailroom_aws::table::notes::{NoteStore, peer_note_name};
use mailroom_aws::table::states::{StateCursor, StateTable};
use mailroom_aws::table::{PutOutcome, TableError};
use mailroom_core::suppression::address_state::all_shards;
use mailroom_core::suppression::peer_message::{PeerState, pack_states};
use mailroom_core::suppression::state::MAX_CLOCK_SKEW;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::warn;

/// How much of what was told is told again: a state was written by another clock, and took a while until it was durable and
/// in the index.
const OVERLAP: Duration = MAX_CLOCK_SKEW.saturating_mul(2);
/// How often a peer is told everything.
const FULL_PUSH_INTERVAL: Duration = Duration::from_hours(7 * 24);
/// The number of states that are asked for at once. It is so high that DynamoDB's own limit of 1 MiB a page decides.
const PAGE_SIZE: usize = 10_000;
/// After this many states have been read, they are sent: their messages are full enough by then.
const STATES_PER_SEND: usize = 1000;

/// How far a peer has been told.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PeerPushNote {
    /// The peer has been told all that changed before then. `None`: it has not been told anything yet.
    #[serde(rename = "until")]
    pushed_until: Option<Timestamp>,
    /// When the last run that told the peer everything, and came to its end, was begun. `None`: there was none yet.
    #[serde(rename = "everything_at")]
    full_push_started_at: Option<Timestamp>,
    /// The run over the index that is not finished; `None` if none is in progress.
    walk: Option<IndexWalk>,
}

/// One run over the index `states`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IndexWalk {
    started_at: Timestamp,
    #[serde(rename = "everything")]
    is_full: bool,
    since: Timestamp,
    shard: usize,
    after: Option<StateCursor>,
}

/// What came of telling the peers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PushCounts {
    /// The number of states that were sent. One that was sent to two peers counts twice.
    pub states: usize,
    /// The number of messages in which they were sent.
    pub messages: usize,
    /// The number of states that a peer's queue refused, which are left out.
    pub states_refused: usize,
    /// The number of peers that could not be told now. They are told at the next wake.
    pub peers_failed: usize,
    /// The number of peers to which there was more to tell than there was time.
    pub peers_behind: usize,
}

/// Why a peer was not told everything that it should be.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The ports by which peers are told, and what is to be told.
pub(crate) struct PeerPush<'a, T, P, C> {
    pub(crate) table: &'a T,
    pub(crate) peers: &'a P,
    pub(crate) clock: &'a C,
    pub(crate) region: &'a str,
    pub(crate) is_full: bool,
    /// After this nothing more is begun.
    pub(crate) stop_at: Deadline,
    /// When the table and the peers must have answered.
    pub(crate) deadline: Deadline,
}

impl<T: StateTable + NoteStore, P: PeerQueues, C: Clock> PeerPush<'_, T, P, C> {
    /// Tells all peers at the same time, so that one that does not answer delays nobody.
    pub(crate) async fn push_to_all(&self, peer_regions: &[String]) -> PushCounts {
        let mut all = PushCounts::default();
        let told = join_all(peer_regions.iter().map(async |peer| {
            let mut pushed = PushCounts::default();
            let result = self.push_to_peer(peer, &mut pushed).await;
            (peer, pushed, result)
        }));
        for (peer, pushed, result) in told.await {
            all.states += pushed.states;
            all.messages += pushed.messages;
            all.states_refused += pushed.states_refused;
            match result {
                Ok(true) => {}
                Ok(false) => all.peers_behind += 1,
                Err(error) => {
                    all.peers_failed += 1;
                    warn!(peer, "not told: {error}");
                }
            }
        }
        all
    }

    /// Tells one peer. Returns whether it has been told all that there is to tell.
    async fn push_to_peer(&self, peer_region: &str, counts: &mut PushCounts) -> Result<bool, PushError> {
        let name = peer_note_name(peer_region);
        let mut note = self.table.get_note::<PeerPushNote>(&name, self.deadline).await?.unwrap_or_default();
        let told = &mut note.value;
        let now = self.clock.now();
        let everything =
            self.is_full || told.full_push_started_at.is_none_or(|at| now.since(at) >= FULL_PUSH_INTERVAL);
        let mut walk = match told.walk.take() {
            Some(walk) if walk.is_full || !self.is_full => walk,
            _ => IndexWalk {
                started_at: now,
                is_full: everything,
                since: told
                    .pushed_until
                    .filter(|_| !everything)
                    .map_or(Timestamp::MIN, |until| until.minus(OVERLAP)),
                shard: 0,
                after: None,
            },
        };
        let mut unsent = Vec::new();
        loop {
            let shard = all_shards().nth(walk.shard);
            if let Some(shard) = &shard {
                let page = self
                    .table
                    .changed_states(shard, walk.since, walk.after.as_ref(), PAGE_SIZE, self.deadline)
                    .await?;
                unsent.extend(page.items.iter().map(PeerState::from));
                walk.after = page.next_cursor;
                walk.shard += usize::from(walk.after.is_none());
            }
            if shard.is_some() && unsent.len() < STATES_PER_SEND {
                continue;
            }
            counts.states += unsent.len();
            for message in pack_states(self.region, unsent.drain(..)) {
                let sent =
                    peer_queues::send_or_halve_message(self.peers, peer_region, &message, self.deadline)
                        .await?;
                counts.messages += sent.messages_sent;
                counts.states_refused += sent.states_refused;
            }
            let told = &mut note.value;
            if shard.is_none() {
                told.pushed_until = Some(walk.started_at);
                if walk.is_full {
                    told.full_push_started_at = Some(walk.started_at);
                }
            } else {
                told.walk = Some(walk.clone());
            }
            if self.table.put_note(&name, &mut note, self.deadline).await? != PutOutcome::Written {
                return Err(TableError::Contended.into());
            }
            if shard.is_none() {
                return Ok(true);
            }
            if self.stop_at.has_passed() {
                return Ok(false);
            }
        }
    }
}
