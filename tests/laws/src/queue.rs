//! SQS, as far as it matters: messages come in any order, some of them twice, and come again unless they are deleted.

use std::collections::HashSet;

use doubles::sqs_event;
use fastrand::Rng;
use serde_json::Value;

/// A message in a queue.
#[derive(Debug, Clone)]
struct Message {
    id: u64,
    body: String,
    /// Whether a function has received it.
    in_flight: bool,
}

/// A queue of messages.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: Vec<Message>,
    next: u64,
}

/// The messages that a function is woken with.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The event, as Lambda's poller hands it over.
    pub(crate) payload: Value,
    ids: Vec<u64>,
}

impl Queue {
    pub(crate) fn send(&mut self, body: String) {
        self.messages.push(Message { id: self.next, body, in_flight: false });
        self.next += 1;
    }

    /// The number of messages in the queue, including those in flight.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Hands out at most `most` messages, in any order. `None` if there are none. If `twice`, these may be in flight
    /// already.
    pub(crate) fn receive(&mut self, most: usize, twice: bool, rng: &mut Rng) -> Option<Batch> {
        let mut visible: Vec<_> =
            self.messages.iter_mut().filter(|message| twice || !message.in_flight).collect();
        rng.shuffle(&mut visible);
        visible.truncate(most);
        let payload = sqs_event(visible.iter().map(|message| (message.id, &message.body)));
        let ids: Vec<_> = visible.iter().map(|message| message.id).collect();
        for message in visible {
            message.in_flight = true;
        }
        (!ids.is_empty()).then_some(Batch { payload, ids })
    }

    /// Deletes the messages that were done and lets the others come again. `failed` holds the ids that the function named;
    /// `None`: it died.
    pub(crate) fn settle(&mut self, batch: &Batch, failed: Option<&HashSet<String>>) {
        let done = |id: &u64| {
            batch.ids.contains(id) && failed.is_some_and(|failed| !failed.contains(&id.to_string()))
        };
        self.messages.retain(|message| !done(&message.id));
        for message in self.messages.iter_mut().filter(|message| batch.ids.contains(&message.id)) {
            message.in_flight = false;
        }
    }

    /// Loses all messages that are not in flight. Returns how many those were.
    pub(crate) fn lose(&mut self) -> usize {
        let before = self.messages.len();
        self.messages.retain(|message| message.in_flight);
        before - self.messages.len()
    }
}
