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
use mailroom_aws::peers::{self, PeerError, Peers, Sent};
use mailroom_aws::stream::{self as table_stream, Unread, Written};
use mailroom_aws::table::TableError;
use mailroom_aws::table::states::{StateTable, StateUpdate, update_state};
use mailroom_core::suppression::FeedbackFact;
use mailroom_core::suppression::item::{AddressState, Change};
use mailroom_core::suppression::message::{self, PeerState};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::HISTORY_LIMIT;
use mailroom_core::timestamp::Timestamp;
use tracing::{error, warn};

use crate::settings::Settings;

/// The number of addresses that are worked on at a time. Each of them only waits for the table.
const PARALLEL: usize = 16;
/// The time that all peers together are given. The next batch waits for this one, so it is short.
const TO_TELL: Duration = Duration::from_secs(2);

/// The function: its ports and what the template told it.
pub struct Decide<T, P, C, M> {
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
enum New {
    Feedback(FeedbackFact),
    Decision(OperatorDecision),
}

/// What became of an address.
enum Decided {
    /// None of the records says anything that counts.
    Left,
    /// Some record does. This is the state with that in it, and whether it had to be written.
    Stands { state: Box<AddressState>, written: bool },
}

#[derive(Default)]
struct Tally {
    sent: usize,
    states_refused: usize,
    peers_failed: usize,
    not_sent: usize,
}

/// How far one peer was told.
#[derive(Default)]
struct Told {
    /// How many of the messages it took, whole or cut into more.
    done: usize,
    sent: Sent,
    /// What ended it before the last message; `None` if nothing did.
    error: Option<PeerError>,
}

impl<T: StateTable, P: Peers, C: Clock, M: Metrics> Decide<T, P, C, M> {
    /// Handles one batch; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`DecideError`].
    pub async fn handle(&self, payload: &str, deadline: Deadline) -> Result<(), DecideError> {
        let mut by_address = BTreeMap::<String, Vec<New>>::new();
        let (mut records, mut unread) = (0, 0);
        for written in table_stream::open(payload)? {
            match self.read(written) {
                Ok(None) => {}
                Ok(Some((address, new))) => {
                    records += 1;
                    by_address.entry(address).or_default().push(new);
                }
                Err(()) => unread += 1,
            }
        }
        let decided: Vec<_> = stream::iter(&by_address)
            .map(|(address, news)| self.decide(address, news, deadline))
            .buffered(PARALLEL)
            .collect()
            .await;
        let (mut stand, mut advanced, mut failed) = (Vec::new(), 0, 0);
        for decided in decided {
            match decided {
                Ok(Decided::Left) => {}
                Ok(Decided::Stands { state, written }) => {
                    advanced += usize::from(written);
                    stand.push(PeerState::from(&*state));
                }
                Err(why) => {
                    failed += 1;
                    warn!("an address is not decided on, the batch comes back: {why}");
                }
            }
        }
        let Tally { sent, states_refused, peers_failed, not_sent } = self.tell(stand, deadline).await;
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
    fn read(&self, written: Result<Written, Unread>) -> Result<Option<(String, New)>, ()> {
        let written = written.map_err(|Unread { index, why }| {
            error!(index, "a record of the stream can't be read: {why}");
        })?;
        let written_at = written.created_at.unwrap_or_else(|| self.clock.now());
        let unreadable = |why: TableError| {
            error!(sequence_number = written.sequence_number, "a new record can't be read: {why}");
        };
        if written.sk().starts_with("FEEDBACK#") {
            let told: FeedbackFact = written.read().map_err(unreadable)?;
            if told.decidable.is_none() {
                return Ok(None);
            }
            return Ok(Some((told.address.clone(), New::Feedback(told.limited(written_at)))));
        }
        if written.sk().starts_with("OPERATOR#") {
            let decision: OperatorDecision = written.read().map_err(unreadable)?;
            return Ok(Some((decision.address.clone(), New::Decision(decision.limited(written_at)))));
        }
        Ok(None)
    }

    /// Joins all that is new of an address into its state, in one write.
    async fn decide(&self, address: &str, news: &[New], deadline: Deadline) -> Result<Decided, TableError> {
        let history = match self.history(news) {
            Some(time) => self.table.history(address, &time, HISTORY_LIMIT, deadline).await?,
            None => Vec::new(),
        };
        let changes: Vec<_> = news.iter().filter_map(|new| self.change(new, &history)).collect();
        if changes.is_empty() {
            return Ok(Decided::Left);
        }
        let updated = update_state(&self.table, address, deadline, |known| {
            AddressState::advance_all(known, &changes, self.clock.now())
        });
        let StateUpdate { state, was_written: written } = updated.await?;
        Ok(match state {
            Some(state) => Decided::Stands { state: Box::new(state), written },
            None => Decided::Left,
        })
    }

    /// The range of time whose records the policy must see to judge all of these; `None` if it needs none.
    fn history(&self, news: &[New]) -> Option<RangeInclusive<Timestamp>> {
        let times = news.iter().filter_map(|new| match new {
            New::Feedback(told) => self.settings.policy.history(told),
            New::Decision(_) => None,
        });
        times.reduce(|a, b| *a.start().min(b.start())..=*a.end().max(b.end()))
    }

    /// What a record changes; `None` if it says nothing that counts.
    fn change(&self, new: &New, history: &[FeedbackFact]) -> Option<Change> {
        let region = &self.settings.region;
        match new {
            New::Feedback(told) => told.change(&self.settings.policy.judge(told, history), region),
            New::Decision(decision) => Some(decision.change(region)),
        }
    }

    /// Tells every peer, as best it can. Reconcile tells a peer whatever it does not hear of now.
    async fn tell(&self, states: Vec<PeerState>, deadline: Deadline) -> Tally {
        let messages: Vec<_> = message::pack(&self.settings.region, states).collect();
        let deadline = deadline.min(Deadline::after(TO_TELL));
        let told = self.settings.peers.iter().map(|peer| self.tell_one(peer, &messages, deadline));
        let mut tally = Tally::default();
        for (peer, Told { done, sent, error }) in self.settings.peers.iter().zip(future::join_all(told).await)
        {
            tally.sent += sent.messages;
            tally.states_refused += sent.states_refused;
            if let Some(why) = error {
                tally.peers_failed += 1;
                tally.not_sent += messages.len() - done;
                warn!(peer, "a peer is not told, reconcile will: {why}");
            }
        }
        tally
    }

    /// Tells one peer. After one failed message no more are tried, since each would take as long to fail.
    async fn tell_one(&self, peer: &str, messages: &[String], deadline: Deadline) -> Told {
        let mut told = Told::default();
        for message in messages {
            match peers::send_states(&self.peers, peer, message, deadline).await {
                Ok(sent) => {
                    told.done += 1;
                    told.sent.messages += sent.messages;
                    told.sent.states_refused += sent.states_refused;
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
