//! Tells each peer what has changed since it was last told: the guarantee behind what decide sends as best it can.
//!
//! Once in a while a peer is told everything, as it is when it is new: a message may be accepted and be lost all the same,
//! and a peer's table may be another one under the same name.

use std::time::Duration;

use futures_util::future::join_all;
use mailroom_aws::clock::Clock;
use mailroom_aws::notes::{NoteError, Noted, Notes, peer_note};
use mailroom_aws::peers::{PeerError, Peers};
use mailroom_aws::states::{Cursor, StateTable, TableError};
use mailroom_core::suppression::item::shards;
use mailroom_core::suppression::message::{PeerState, pack};
use mailroom_core::suppression::seen::MAX_SKEW;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::warn;

/// How much of what was told is told again: whoever wrote it had another clock, and took a while until it was durable and
/// in the index.
const OVERLAP: Duration = MAX_SKEW.saturating_mul(2);
/// How often a peer is told everything.
const EVERYTHING_EVERY: Duration = Duration::from_hours(7 * 24);
/// How many states are read from an index at once: as many as DynamoDB gives, which is 1 MiB.
const PAGE: usize = 10_000;
/// With so many states messages are full enough to be sent.
const ENOUGH: usize = 1000;

/// How far a peer has been told.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    /// It has been told all that changed before then. `None`: nothing yet.
    until: Option<Timestamp>,
    /// When it was last begun to tell it everything that it has since been told.
    everything_at: Option<Timestamp>,
    /// The run over the index that is not finished.
    walk: Option<Walk>,
}

/// One run over the index `states`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Walk {
    started_at: Timestamp,
    everything: bool,
    since: Timestamp,
    shard: usize,
    after: Option<Cursor>,
}

/// What came of telling the peers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// States that were sent, each as often as it was.
    pub states: usize,
    /// Messages in which they were sent.
    pub messages: usize,
    /// Peers that could not be told, now: they are told at the next wake.
    pub peers_failed: usize,
    /// Peers to which there was more to tell than time.
    pub peers_behind: usize,
}

/// Why a peer was not told all.
#[derive(Debug, thiserror::Error)]
enum PushError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error("another instance tells it, too")]
    Contended,
}

/// The ports by which peers are told, and what is to be told.
pub(crate) struct Push<'a, S, N, P, C> {
    pub(crate) states: &'a S,
    pub(crate) notes: &'a N,
    pub(crate) peers: &'a P,
    pub(crate) clock: &'a C,
    pub(crate) region: &'a str,
    pub(crate) everything: bool,
    /// From then on nothing more is begun.
    pub(crate) stop_at: Instant,
    /// When the table and the peers must have answered.
    pub(crate) deadline: Instant,
}

impl<S: StateTable, N: Notes, P: Peers, C: Clock> Push<'_, S, N, P, C> {
    /// Tells all peers at once: one that does not answer delays nobody.
    pub(crate) async fn to_all(&self, peers: &[String]) -> Pushed {
        let mut all = Pushed::default();
        let told = join_all(peers.iter().map(async |peer| {
            let mut pushed = Pushed::default();
            let result = self.to(peer, &mut pushed).await;
            (peer, pushed, result)
        }));
        for (peer, pushed, result) in told.await {
            all.states += pushed.states;
            all.messages += pushed.messages;
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

    /// Tells one peer; whether it has been told all.
    async fn to(&self, peer: &str, pushed: &mut Pushed) -> Result<bool, PushError> {
        let name = peer_note(peer);
        let (mut told, mut version) = match self.notes.get::<Told>(&name).await? {
            None => (Told::default(), None),
            Some(note) => (note.value, Some(note.version)),
        };
        let now = self.clock.now();
        let everything =
            self.everything || told.everything_at.is_none_or(|at| now.since(at) >= EVERYTHING_EVERY);
        let mut walk = match told.walk.take() {
            Some(walk) if walk.everything || !self.everything => walk,
            _ => Walk {
                started_at: now,
                everything,
                since: told
                    .until
                    .filter(|_| !everything)
                    .map_or(Timestamp::MIN, |until| until.minus(OVERLAP)),
                shard: 0,
                after: None,
            },
        };
        let mut unsent = Vec::new();
        loop {
            let shard = shards().nth(walk.shard);
            if let Some(shard) = &shard {
                let page =
                    self.states.changed(shard, walk.since, walk.after.as_ref(), PAGE, self.deadline).await?;
                unsent.extend(page.items.iter().map(PeerState::from));
                walk.after = page.next;
                walk.shard += usize::from(walk.after.is_none());
            }
            if shard.is_some() && unsent.len() < ENOUGH {
                continue;
            }
            pushed.states += unsent.len();
            for message in pack(self.region, unsent.drain(..)) {
                self.peers.send(peer, &message, self.deadline).await?;
                pushed.messages += 1;
            }
            if shard.is_none() {
                told.until = Some(walk.started_at);
                if walk.everything {
                    told.everything_at = Some(walk.started_at);
                }
            } else {
                told.walk = Some(walk.clone());
            }
            match self.notes.put(&name, &told, version).await? {
                Noted::Done(new) => version = Some(new),
                Noted::Conflict => return Err(PushError::Contended),
            }
            if shard.is_none() {
                return Ok(true);
            }
            if Instant::now() >= self.stop_at {
                return Ok(false);
            }
        }
    }
}
