//! Sends every sample event through topic, queue and function, in each Region.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use local_aws::Regional;
use local_aws::expected::{Expected, Settings};
use local_aws::local::LocalError;
use local_aws::samples::Sample;
use serde_json::Value;

use crate::print::{self, Part};
use crate::verdict::{Outcome, Verdict};
use crate::world::{REGIONS, World};

/// How long the samples may take. They take some ten seconds, most of them for the messages that cannot be processed;
/// longer while a storm goes on.
const PROCESS_WITHIN: Duration = Duration::from_mins(3);

/// A message that was published.
pub(crate) struct Published {
    /// The name of the sample that it is from.
    pub(crate) sample: String,
    /// The id that SNS gave it, by which its dead letter is found.
    pub(crate) id: String,
    /// What it must become.
    pub(crate) expected: Expected,
}

/// Publishes all samples to each Region's topic. Returns what was published, in the order of Regions.
pub(crate) async fn publish(world: &World, samples: &[Sample]) -> Result<Vec<Vec<Published>>, LocalError> {
    try_join_all(world.regions().map(|region| publish_in(region, samples))).await
}

async fn publish_in(region: &Regional, samples: &[Sample]) -> Result<Vec<Published>, LocalError> {
    let settings = Settings::of(region);
    let mut names = Vec::new();
    let mut messages = Vec::new();
    for sample in samples {
        for message in sample.messages_for(region.name(), region.stack()) {
            names.push(sample.name.clone());
            messages.push(message);
        }
    }
    let ids = region.publish_all(&messages).await?;
    let published = names.into_iter().zip(ids).zip(messages).map(|((sample, id), message)| Published {
        sample,
        id,
        expected: Expected::of(&message, &settings),
    });
    Ok(published.collect())
}

/// Waits until the queues are empty, which means that every message was acknowledged or given up.
pub(crate) async fn wait(world: &World) -> Result<(), LocalError> {
    let waits = world.regions().map(async |region| match region.wait_until_idle(PROCESS_WITHIN).await {
        // If the time is up, the verdict lists what is missing, which says more than an error here.
        Ok(()) | Err(LocalError::Busy { .. }) => Ok(()),
        Err(error) => Err(error),
    });
    try_join_all(waits).await.map(drop)
}

/// Looks at tables and queues, and shows them. Regions that show the same are shown once.
pub(crate) async fn show(world: &World, published: &[Vec<Published>]) -> Result<Part, LocalError> {
    let mut complaints = Vec::new();
    let mut shown: Vec<(Vec<&str>, Vec<Vec<String>>)> = Vec::new();
    let mut queues = BTreeMap::<String, [String; REGIONS.len()]>::new();
    let (mut records, mut letters) = (0, 0);
    for (column, (region, published)) in world.regions().zip(published).enumerate() {
        let verdict = Verdict::of(region, published).await?;
        records += verdict.items.len();
        letters += verdict.outcomes.iter().filter(|outcome| outcome.dead_letter).count();
        let rows = rows(published, &verdict);
        match shown.iter_mut().find(|(_, known)| *known == rows) {
            Some((regions, _)) => regions.push(region.name()),
            None => shown.push((vec![region.name()], rows)),
        }
        for (queue, depth) in verdict.queues {
            queues.entry(queue).or_default()[column] = depth.total().to_string();
        }
        complaints.extend(verdict.complaints.iter().map(|said| format!("{}: {said}", region.name())));
    }
    for (regions, rows) in shown {
        print::heading(&format!("What each sample became, in {}", regions.join(" and in ")));
        let (records, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.len() > CELLS_WITHOUT_RECORD);
        print::table(&["", "sample", "kind", "recipient", "told as", "evidence"], without_repeats(records));
        println!();
        print::table(&["", "sample", "and no record"], without_repeats(others));
    }
    println!();
    let header: Vec<&str> = ["messages left in"].into_iter().chain(REGIONS).collect();
    let rows = queues.into_iter().map(|(queue, depths)| [vec![queue], depths.into()].concat());
    print::table(&header, rows);
    let messages: usize = published.iter().map(Vec::len).sum();
    let short = format!("{messages} messages became {records} records and {letters} dead letters");
    Ok(Part { short, complaints })
}

/// The number of cells in a row that is about no record: the last one says what became of the message.
const CELLS_WITHOUT_RECORD: usize = 3;

/// Makes a row for each record, and for each message that became no record.
fn rows(published: &[Published], verdict: &Verdict) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (published, outcome) in published.iter().zip(&verdict.outcomes) {
        let mark = if outcome.as_expected { "ok" } else { "NO" };
        let begin = || vec![mark.to_owned(), published.sample.clone()];
        let records = published.expected.records.iter().filter_map(|record| verdict.item(record));
        rows.extend(records.map(|item| {
            let cells = ["kind", "recipient", "format", "evidence"].map(|name| text(item, name));
            [begin(), cells.into()].concat()
        }));
        rows.extend(became(&published.expected, outcome).map(|what| [begin(), vec![what]].concat()));
    }
    // A batch may hold a message more than once, and that is one record.
    rows.dedup();
    rows
}

/// Leaves out mark and sample of a row if they are the same as in the row above.
fn without_repeats(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for index in (1..rows.len()).rev() {
        if rows[index][..2] == rows[index - 1][..2] {
            rows[index][..2].fill(String::new());
        }
    }
    rows
}

/// A field of an item, as text.
pub(crate) fn text(item: &Value, name: &str) -> String {
    match &item[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What became of a message besides records; `None` if nothing did.
fn became(expected: &Expected, outcome: &Outcome) -> Option<String> {
    let missing = expected.records.len() - outcome.records;
    let mut parts = Vec::new();
    if missing > 0 {
        parts.push(format!("{missing} records are missing"));
    }
    if let Some(kind) = expected.not_stored.first() {
        parts.push(format!("not stored: {kind}"));
    }
    if let Some(reason) = &expected.ignored {
        parts.push(format!("ignored: {reason}"));
    }
    match (&expected.dead_letter, outcome.dead_letter) {
        (Some(reason), true) => parts.push(format!("dead letter: {reason}")),
        (Some(reason), false) => parts.push(format!("not yet a dead letter: {reason}")),
        (None, true) => parts.push("a dead letter that should be none".to_owned()),
        (None, false) => {}
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
