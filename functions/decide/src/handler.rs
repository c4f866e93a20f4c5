//! Takes a batch of the table's stream, makes one conditional write per address, and tells the peers what was decided.
//!
//! Timeline of two formats of one bounce in a batch, while merge is at work on the same address:
//!
//! ```text
//! decide  reads the state at version 3                merge   reads it too
//! decide  joins both records                          merge   writes version 4
//! decide  writes, if it is still 3: conflict, and is told version 4
//! decide  joins both records, writes version 6, tells the peers what version 6 holds
//! ```
//!
//! After a crash anywhere Lambda brings the same batch again: what is joined already changes nothing, and the peers are
//! told again. A record that can't be read does not bring the batch back, since it would hold up its neighbours and be no
//! more readable the next time: it is counted, and stays in the table, where reconcile looks back on it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::{StreamExt, future, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::InvocationError;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::peer_queues::{self, PeerError, PeerQueues, SentAndRefusedCounts};
use mailroom_aws::stream::{self as table_stream, StreamItem, UnreadableStreamRecord};
use mailroom_aws::table::TableError;
use mailroom_aws::table::states::{StateTable, StateUpdate, update_state};
use mailroom_core::suppression::FeedbackSummary;
use mailroom_core::suppression::address_state::{AddressState, StateChange};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::peer_message::{self, PeerState};
use mailroom_core::suppression::policy::HISTORY_LIMIT;
use mailroom_core::timestamp::Timestamp;
use tracing::{error, warn};

use crate::settings::Settings;

/// The number of addresses that are worked on at a time. Each of them only waits for the table.
const MAX_PARALLEL_ADDRESSES: usize = 16;
/// The time that all peers together are given. The next batch waits for this one, so it is short.
const PUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The function: its ports and what the template told it.
pub struct DecideFunction<T, P, C, M> {
    /// The table: states and records.
    pub table: T,
    /// The queues of the other Regions.
    pub peers: P,
    /// The clock.
    pub clock: C,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// Why a batch is not done. Lambda brings it back whole; what is done of it already then changes nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The payload is not a batch of a table's stream. No retry can help.
    #[error(transparent)]
    Payload(#[from] InvocationError),
    /// Some addresses could not be decided on. A retry can help.
    #[error("{failed} of {addresses} addresses failed; see the log")]
    Addresses {
        /// The number of addresses whose state could not be advanced.
        failed: usize,
        /// The number of all addresses in the batch.
        addresses: usize,
    },
}

/// A new record.
enum DecidableRecord {
    Feedback(FeedbackSummary),
    Decision(OperatorDecision),
}

/// What became of an address.
enum DecideOutcome {
    /// None of the records says anything that counts.
    NothingToJoin,
    /// Some record does. This is the state with that in it, and whether it had to be written.
    Joined { state: Box<AddressState>, was_written: bool },
}

#[derive(Default)]
struct PushTally {
    messages_sent: usize,
    states_refused: usize,
    peers_failed: usize,
    messages_not_sent: usize,
}

/// How far one peer was told.
#[derive(Default)]
struct PeerPushOutcome {
    /// How many of the messages it took, whole or cut into more.
    messages_done: usize,
    send_counts: SentAndRefusedCounts,
    /// What ended it before the last message; `None` if nothing did.
    error: Option<PeerError>,
}

impl<T: StateTable, P: PeerQueues, C: Clock, M: Metrics> DecideFunction<T, P, C, M> {
    /// Handles one batch; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn handle(&self, payload: &str, deadline: Deadline) -> Result<(), DecideError> {
        let mut by_address = BTreeMap::<String, Vec<DecidableRecord>>::new();
        let (mut records, mut unread) = (0, 0);
        for written in table_stream::parse_stream_event(payload)? {
            match self.parse_record(written) {
                Ok(None) => {}
                Ok(Some((address, new))) => {
                    records += 1;
                    by_address.entry(address).or_default().push(new);
                }
                Err(()) => unread += 1,
            }
        }
        let decided: Vec<_> = stream::iter(&by_address)
            .map(|(address, news)| self.decide_address(address, news, deadline))
            .buffered(MAX_PARALLEL_ADDRESSES)
            .collect()
            .await;
        let (mut stand, mut advanced, mut failed) = (Vec::new(), 0, 0);
        for decided in decided {
            match decided {
                Ok(DecideOutcome::NothingToJoin) => {}
                Ok(DecideOutcome::Joined { state, was_written: written }) => {
                    advanced += usize::from(written);
                    stand.push(PeerState::from(&*state));
                }
                Err(why) => {
                    failed += 1;
                    warn!("an address is not decided on, the batch comes back: {why}");
                }
            }
        }
        let PushTally { messages_sent: sent, states_refused, peers_failed, messages_not_sent: not_sent } =
            self.push_to_peers(stand, deadline).await;
        self.metrics.count(&[
            ("RecordsRead", records),
            ("RecordsUnreadable", unread),
            ("Addresses", by_address.len()),
            ("AddressesFailed", failed),
            ("StatesAdvanced", advanced),
            ("PeerMessagesSent", sent),
            ("PeerMessagesNotSent", not_sent),
            ("PeerStatesRefused", states_refused),
            ("PeersFailed", peers_failed),
        ]);
        if failed > 0 {
            return Err(DecideError::Addresses { failed, addresses: by_address.len() });
        }
        Ok(())
    }

    /// Reads a record of the stream: its address and what it says; `None` if there is nothing to decide on. The mapping's
    /// filter keeps the bill small, but is not relied on: states and other items are left out here, too.
    fn parse_record(
        &self,
        stream_record: Result<StreamItem, UnreadableStreamRecord>,
    ) -> Result<Option<(String, DecidableRecord)>, ()> {
        let written = stream_record.map_err(|UnreadableStreamRecord { index, problem: why }| {
            error!(index, "a record of the stream can't be read: {why}");
        })?;
        let written_at = written.created_at.unwrap_or_else(|| self.clock.now());
        let unreadable = |why: TableError| {
            error!(sequence_number = written.sequence_number, "a new record can't be read: {why}");
        };
        if written.sort_key().starts_with("FEEDBACK#") {
            let told: FeedbackSummary = written.parse().map_err(unreadable)?;
            if told.decidable.is_none() {
                return Ok(None);
            }
            return Ok(Some((
                told.address.clone(),
                DecidableRecord::Feedback(told.replace_skewed_times(written_at)),
            )));
        }
        if written.sort_key().starts_with("OPERATOR#") {
            let decision: OperatorDecision = written.parse().map_err(unreadable)?;
            return Ok(Some((
                decision.address.clone(),
                DecidableRecord::Decision(decision.replace_skewed_time(written_at)),
            )));
        }
        Ok(None)
    }

    /// Joins all that is new of an address into its state, in one write.
    async fn decide_address(
        &self,
        address: &str,
        records: &[DecidableRecord],
        deadline: Deadline,
    ) -> Result<DecideOutcome, TableError> {
        let history = match self.history_range(records) {
            Some(time) => {
                self.table.feedback_and_latest_delivery(address, &time, HISTORY_LIMIT, deadline).await?
            }
            None => Vec::new(),
        };
        let changes: Vec<_> = records.iter().filter_map(|new| self.to_state_change(new, &history)).collect();
        if changes.is_empty() {
            return Ok(DecideOutcome::NothingToJoin);
        }
        let updated = update_state(&self.table, address, deadline, |known| {
            AddressState::join_changes(known, &changes, self.clock.now())
        });
        let StateUpdate { state, was_written: written } = updated.await?;
        Ok(match state {
            Some(state) => DecideOutcome::Joined { state: Box::new(state), was_written: written },
            None => DecideOutcome::NothingToJoin,
        })
    }

    /// The range of time whose records the policy must see to judge all of these; `None` if it needs none.
    fn history_range(&self, records: &[DecidableRecord]) -> Option<RangeInclusive<Timestamp>> {
        let times = records.iter().filter_map(|new| match new {
            DecidableRecord::Feedback(told) => self.settings.policy.history_range(told),
            DecidableRecord::Decision(_) => None,
        });
        times.reduce(|a, b| *a.start().min(b.start())..=*a.end().max(b.end()))
    }

    /// What a record changes; `None` if it says nothing that counts.
    fn to_state_change(&self, record: &DecidableRecord, history: &[FeedbackSummary]) -> Option<StateChange> {
        let region = &self.settings.region;
        match record {
            DecidableRecord::Feedback(told) => {
                told.to_state_change(&self.settings.policy.decide(told, history), region)
            }
            DecidableRecord::Decision(decision) => Some(decision.to_state_change(region)),
        }
    }

    /// Tells every peer, as best it can. Reconcile tells a peer whatever it does not hear of now.
    async fn push_to_peers(&self, states: Vec<PeerState>, deadline: Deadline) -> PushTally {
        let messages: Vec<_> = peer_message::pack_states(&self.settings.region, states).collect();
        let deadline = deadline.min(Deadline::after(PUSH_TIMEOUT));
        let told =
            self.settings.peers.iter().map(|peer| self.push_to_peer_until_error(peer, &messages, deadline));
        let mut tally = PushTally::default();
        for (peer, PeerPushOutcome { messages_done: done, send_counts: sent, error }) in
            self.settings.peers.iter().zip(future::join_all(told).await)
        {
            tally.messages_sent += sent.messages_sent;
            tally.states_refused += sent.states_refused;
            if let Some(why) = error {
                tally.peers_failed += 1;
                tally.messages_not_sent += messages.len() - done;
                warn!(peer, "a peer is not told, reconcile will: {why}");
            }
        }
        tally
    }

    /// Tells one peer. After one failed message no more are tried, since each would take as long to fail.
    async fn push_to_peer_until_error(
        &self,
        peer_region: &str,
        messages: &[String],
        deadline: Deadline,
    ) -> PeerPushOutcome {
        let mut told = PeerPushOutcome::default();
        for message in messages {
            match peer_queues::send_or_halve_message(&self.peers, peer_region, message, deadline).await {
                Ok(sent) => {
                    told.messages_done += 1;
                    told.send_counts.messages_sent += sent.messages_sent;
                    told.send_counts.states_refused += sent.states_refused;
                }
                Err(error) => {
                    told.error = Some(error);
                    break;
                }
            }
        }
        told
    }
}
