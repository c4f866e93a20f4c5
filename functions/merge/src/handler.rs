//! Takes peers' messages, makes one conditional write per address, sends to the dead-letter queue what can't be read, and
//! hands back to the queue exactly the messages of which something is not joined.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use mailroom_aws::clock::Clock;
use mailroom_aws::dead_letters::DeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::invocation::{InvocationError, PoisonMessageCounts, SqsBatchResponse};
use mailroom_aws::metrics::Metrics;
use mailroom_aws::sqs_event;
use mailroom_aws::table::TableError;
use mailroom_aws::table::states::{StateTable, update_state};
use mailroom_core::dead_letter::DeadLetterReason;
use mailroom_core::lambda_event::QueueMessage;
use mailroom_core::malformed::{InputProblem, MalformedInput};
use mailroom_core::suppression::address_state::{AddressState, StateChange};
use mailroom_core::suppression::peer_message;
use mailroom_core::suppression::state::ClockSkewError;
use tracing::warn;

/// The number of addresses that are worked on at a time. Each of them only waits for the table.
const MAX_PARALLEL_ADDRESSES: usize = 16;

/// The function and its ports.
pub struct MergeFunction<T, D, C, M> {
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
enum MergeMessageError {
    /// No retry can help.
    #[error("can never be joined: {0}")]
    Poison(#[from] DeadLetterReason),
    /// A newer version of Mailroom has sent it. By the time the message comes back, this one may be as new.
    #[error("not joined: {0}")]
    NewerVersion(DeadLetterReason),
    /// It lies in the future. By the time the message comes back, the clocks may agree.
    #[error("not joined: {0}")]
    ClockSkew(#[from] ClockSkewError),
}

impl From<MalformedInput> for MergeMessageError {
    fn from(malformed: MalformedInput) -> Self {
        let reason = DeadLetterReason::from(&malformed);
        match malformed.problem() {
            InputProblem::UnknownVersion => Self::NewerVersion(reason),
            _ => Self::Poison(reason),
        }
    }
}

/// What is to be joined into one address's state, and the messages that it comes from.
#[derive(Default)]
struct AddressChanges {
    changes: Vec<StateChange>,
    message_indexes: Vec<usize>,
}

#[derive(Default)]
struct MergeTally {
    states_received: usize,
    /// The number of states that lie in the future. What can't be read at all is counted by its message instead.
    states_refused: usize,
}

impl<T: StateTable, D: DeadLetterQueue, C: Clock, M: Metrics> MergeFunction<T, D, C, M> {
    /// Handles one invocation; returns shortly after `deadline` at the latest.
    ///
    /// # Errors
    /// See [`InvocationError`].
    pub async fn handle(
        &self,
        payload: &str,
        deadline: Deadline,
    ) -> Result<SqsBatchResponse, InvocationError> {
        let (messages, mut ledger) = sqs_event::parse_sqs_or_direct_event(payload)?;
        let mut by_address = BTreeMap::<String, AddressChanges>::new();
        let mut tally = MergeTally::default();
        for (index, message) in messages.iter().enumerate() {
            for trouble in self.collect_changes(index, message, &mut by_address, &mut tally) {
                // The log says where and what is wrong, never a value: that may be an address.
                warn!(message = message.id, "{trouble}");
                match trouble {
                    MergeMessageError::Poison(reason) => ledger.mark_poison(index, reason),
                    MergeMessageError::NewerVersion(_) | MergeMessageError::ClockSkew(_) => {
                        ledger.mark_failed(index);
                    }
                }
            }
        }
        let join_by = ledger.deadline_before_dead_letters(deadline);
        let joined: Vec<_> = stream::iter(&by_address)
            .map(|(address, news)| self.join_changes(address, &news.changes, join_by))
            .buffered(MAX_PARALLEL_ADDRESSES)
            .collect()
            .await;
        let (mut advanced, mut failed) = (0, 0);
        for (news, joined) in by_address.values().zip(joined) {
            match joined {
                Ok(written) => advanced += usize::from(written),
                Err(why) => {
                    failed += 1;
                    news.message_indexes.iter().for_each(|message| ledger.mark_failed(*message));
                    warn!(
                        messages = news.message_indexes.len(),
                        "a state is not joined, its messages come back: {why}"
                    );
                }
            }
        }
        let PoisonMessageCounts { poison_messages: poisoned, dead_letters_sent: sent } =
            ledger.send_dead_letters(payload, &self.dead_letters, deadline).await;
        self.metrics.count(&[
            ("Messages", messages.len()),
            ("MessagesPoisoned", poisoned),
            ("MessagesReturned", ledger.failed_count()),
            ("DeadLettersSent", sent),
            ("StatesReceived", tally.states_received),
            ("StatesRefused", tally.states_refused),
            ("StatesAdvanced", advanced),
            ("AddressesFailed", failed),
        ]);
        ledger.into_response()
    }

    /// Adds what a message says, and returns what of it can't be joined.
    fn collect_changes(
        &self,
        message_index: usize,
        message: &QueueMessage,
        changes_by_address: &mut BTreeMap<String, AddressChanges>,
        tally: &mut MergeTally,
    ) -> Vec<MergeMessageError> {
        let incoming = match message
            .body
            .as_deref()
            .map_err(MalformedInput::clone)
            .and_then(peer_message::parse_peer_message)
        {
            Ok(incoming) => incoming,
            Err(malformed) => return vec![malformed.into()],
        };
        let now = self.clock.now();
        let mut troubles: Vec<MergeMessageError> =
            incoming.malformed_states.into_iter().map(MergeMessageError::from).collect();
        for state in incoming.states {
            if let Err(ahead) = state.state.check_clock_skew(now) {
                tally.states_refused += 1;
                troubles.push(ahead.into());
                continue;
            }
            tally.states_received += 1;
            let news = changes_by_address.entry(state.address.clone()).or_default();
            news.changes.push(state.into());
            news.message_indexes.push(message_index);
        }
        troubles
    }

    /// Joins all that peers say of an address, in one write. Returns whether there was anything new.
    async fn join_changes(
        &self,
        address: &str,
        changes: &[StateChange],
        deadline: Deadline,
    ) -> Result<bool, TableError> {
        let updated = update_state(&self.table, address, deadline, |known| {
            AddressState::join_changes(known, changes, self.clock.now())
        });
        Ok(updated.await?.was_written)
    }
}
