//! Takes peers' messages, makes one conditional write per address, sends to the dead-letter queue what can't be read, and
//! hands back to the queue exactly the messages of which something is not joined.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::dead_letters::DeadLetters;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{Buried, InvocationError, SqsBatchResponse};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::queue;
use mailroom_aws::table::TableError;
use mailroom_aws::table::states::{StateTable, update_state};
use mailroom_core::dead_letter::Reason;
use mailroom_core::lambda_event::QueueMessage;
use mailroom_core::malformed::{Malformed, Problem};
use mailroom_core::suppression::item::{AddressState, Change};
use mailroom_core::suppression::message;
use mailroom_core::suppression::state::Ahead;
use tracing::warn;

/// The number of addresses that are worked on at a time. Each of them only waits for the table.
const PARALLEL: usize = 16;

/// The function and its ports.
pub struct Merge<T, D, C, M> {
    /// The table: this Region's states.
    pub table: T,
    /// The dead-letter queue.
    pub dead_letters: D,
    /// The clock.
    pub clock: C,
    /// Where metrics are counted.
    pub metrics: M,
}

/// Why a part of a message can't be joined.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// No retry can help.
    #[error("can never be joined: {0}")]
    Poison(#[from] Reason),
    /// A newer version of Mailroom has sent it. By the time the message comes back, this one may be as new.
    #[error("not joined: {0}")]
    Newer(Reason),
    /// It lies in the future. By the time the message comes back, the clocks may agree.
    #[error("not joined: {0}")]
    Ahead(#[from] Ahead),
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        let reason = Reason::from(&malformed);
        match malformed.problem() {
            Problem::UnknownVersion => Self::Newer(reason),
            _ => Self::Poison(reason),
        }
    }
}

/// What is to be joined into one address's state, and the messages that it comes from.
#[derive(Default)]
struct News {
    changes: Vec<Change>,
    messages: Vec<usize>,
}

#[derive(Default)]
struct Tally {
    states: usize,
    /// The number of states that lie in the future. What can't be read at all is counted by its message instead.
    refused: usize,
}

impl<T: StateTable, D: DeadLetters, C: Clock, M: Metrics> Merge<T, D, C, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`].
    pub async fn handle(
        &self,
        payload: &str,
        deadline: Deadline,
    ) -> Result<SqsBatchResponse, InvocationError> {
        let (messages, mut ledger) = queue::open(payload)?;
        let mut by_address = BTreeMap::<String, News>::new();
        let mut tally = Tally::default();
        for (index, message) in messages.iter().enumerate() {
            for trouble in self.read(index, message, &mut by_address, &mut tally) {
                // The log says where and what is wrong, never a value: that may be an address.
                warn!(message = message.id, "{trouble}");
                match trouble {
                    Trouble::Poison(reason) => ledger.poison(index, reason),
                    Trouble::Newer(_) | Trouble::Ahead(_) => ledger.fail(index),
                }
            }
        }
        let join_by = ledger.before_burying(deadline);
        let joined: Vec<_> = stream::iter(&by_address)
            .map(|(address, news)| self.join(address, &news.changes, join_by))
            .buffered(PARALLEL)
            .collect()
            .await;
        let (mut advanced, mut failed) = (0, 0);
        for (news, joined) in by_address.values().zip(joined) {
            match joined {
                Ok(written) => advanced += usize::from(written),
                Err(why) => {
                    failed += 1;
                    news.messages.iter().for_each(|message| ledger.fail(*message));
                    warn!(
                        messages = news.messages.len(),
                        "a state is not joined, its messages come back: {why}"
                    );
                }
            }
        }
        let Buried { poisoned, sent } = ledger.bury(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", messages.len()),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", ledger.failed()),
            ("DeadLettersSent", sent),
            ("StatesReceived", tally.states),
            ("StatesRefused", tally.refused),
            ("StatesAdvanced", advanced),
            ("AddressesFailed", failed),
        ]);
        ledger.respond()
    }

    /// Adds what a message says, and returns what of it can't be joined.
    fn read(
        &self,
        index: usize,
        message: &QueueMessage,
        by_address: &mut BTreeMap<String, News>,
        tally: &mut Tally,
    ) -> Vec<Trouble> {
        let incoming = match message.body.as_deref().map_err(Malformed::clone).and_then(message::read) {
            Ok(incoming) => incoming,
            Err(malformed) => return vec![malformed.into()],
        };
        let now = self.clock.now();
        let mut troubles: Vec<Trouble> = incoming.malformed.into_iter().map(Trouble::from).collect();
        for state in incoming.states {
            if let Err(ahead) = state.state.check_not_ahead(now) {
                tally.refused += 1;
                troubles.push(ahead.into());
                continue;
            }
            tally.states += 1;
            let news = by_address.entry(state.address.clone()).or_default();
            news.changes.push(state.into());
            news.messages.push(index);
        }
        troubles
    }

    /// Joins all that peers say of an address, in one write. Returns whether there was anything new.
    async fn join(&self, address: &str, changes: &[Change], deadline: Deadline) -> Result<bool, TableError> {
        let updated = update_state(&self.table, address, deadline, |known| {
            AddressState::advance_all(known, changes, self.clock.now())
        });
        Ok(updated.await?.was_written)
    }
}
