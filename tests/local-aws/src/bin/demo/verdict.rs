//! Compares what is there with what must be there.

use std::collections::{BTreeMap, BTreeSet};

use local_aws::Regional;
use local_aws::local::{Depth, LocalError};
use mailroom_core::feedback::FeedbackRecord;
use serde_json::Value;

use crate::feedback::Published;
use crate::suppression;

/// What was found in a Region, and what is wrong with it.
pub(crate) struct Verdict {
    /// The table's records of the samples.
    pub(crate) items: Vec<Value>,
    /// How many messages each queue holds, by the name of the stack's output.
    pub(crate) queues: BTreeMap<String, Depth>,
    /// What became of each message that was published, in the same order.
    pub(crate) outcomes: Vec<Outcome>,
    /// What is missing and what should not be there, a sentence each.
    pub(crate) complaints: Vec<String>,
}

/// What became of a message that was published.
pub(crate) struct Outcome {
    /// The number of its expected records that are in the table.
    pub(crate) records: usize,
    /// Whether its dead letter was found.
    pub(crate) dead_letter: bool,
    /// Whether records and dead letter are what they must be.
    pub(crate) as_expected: bool,
}

type Key = (String, String);

impl Verdict {
    /// Looks at a Region and compares it with what was published.
    pub(crate) async fn of(region: &Regional, published: &[Published]) -> Result<Self, LocalError> {
        let mut items = region.items().await?;
        items.retain(is_of_a_sample);
        let queues = region.queues().await?;
        let letters = region.dead_letters().await?;
        let found: BTreeSet<Key> = items.iter().map(key_of_item).collect();
        let letters: BTreeSet<String> = letters.iter().map(|letter| id_of_letter(letter)).collect();

        let mut complaints = Vec::new();
        let mut expected = BTreeSet::new();
        let mut outcomes = Vec::new();
        for Published { sample, id, expected: becomes } in published {
            let keys: Vec<Key> =
                becomes.records.iter().map(|record| (record.pk.clone(), record.sk.clone())).collect();
            let missing: Vec<&Key> = keys.iter().filter(|key| !found.contains(*key)).collect();
            for (pk, sk) in &missing {
                complaints.push(format!("{sample}: the record {pk} {sk} is missing"));
            }
            let dead_letter = letters.contains(id);
            match (&becomes.dead_letter, dead_letter) {
                (Some(reason), false) => {
                    complaints.push(format!("{sample}: is not in the dead-letter queue ({reason})"));
                }
                (None, true) => complaints.push(format!("{sample}: is in the dead-letter queue")),
                _ => {}
            }
            outcomes.push(Outcome {
                records: keys.len() - missing.len(),
                dead_letter,
                as_expected: missing.is_empty() && dead_letter == becomes.dead_letter.is_some(),
            });
            expected.extend(keys);
        }
        for (pk, sk) in found.difference(&expected) {
            complaints.push(format!("the record {pk} {sk} is no sample's"));
        }
        let ids: BTreeSet<String> = published.iter().map(|published| published.id.clone()).collect();
        for id in letters.difference(&ids) {
            complaints.push(format!("the dead letter {id} is no sample's"));
        }
        for (queue, depth) in &queues {
            // The letters in the function's own dead-letter queue are compared one by one, so their number is not checked
            // here.
            if queue != "FeedbackDeadLetterQueue" && depth.total() > 0 {
                complaints.push(format!("{queue} still holds {depth}"));
            }
        }
        Ok(Self { items, queues, outcomes, complaints })
    }

    /// The table's item of a record; `None` if there is none.
    pub(crate) fn item(&self, record: &FeedbackRecord) -> Option<&Value> {
        self.items.iter().find(|item| item["pk"] == record.pk.as_str() && item["sk"] == record.sk.as_str())
    }
}

/// Whether an item is a record of feedback, and of a sample: the demo makes up some bounces itself.
fn is_of_a_sample(item: &Value) -> bool {
    let begins = |name: &str, with| item[name].as_str().is_some_and(|text| text.starts_with(with));
    begins("sk", "FEEDBACK#") && !begins("event_id", suppression::MADE_UP)
}

fn key_of_item(item: &Value) -> Key {
    let part = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    (part("pk"), part("sk"))
}

/// The id of a dead letter. It is SNS's envelope, as it was in the queue.
fn id_of_letter(letter: &str) -> String {
    let envelope: Value = serde_json::from_str(letter).unwrap_or_default();
    envelope["MessageId"].as_str().unwrap_or("without an envelope").to_owned()
}
