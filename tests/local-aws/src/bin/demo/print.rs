//! What a person gets to see.

use local_aws::Regional;
use local_aws::ministack::{LeftRunning, Ministack};
use local_aws::proxy::Proxy;
use serde_json::Value;

use crate::mail;
use crate::verdict::{Outcome, Published, Verdict};

/// Columns wider than this are cut.
const WIDEST: usize = 44;

/// A Region: its records, its queues, and what each sample became.
pub(crate) fn region(region: &Regional, published: &[Published], verdict: &Verdict) {
    println!("\n━━ {} ━━ stack {} ━━", region.name(), region.stack());
    println!("\n{} records in {}", verdict.items.len(), region.outputs().get("TableName"));
    let mut items: Vec<&Value> = verdict.items.iter().collect();
    items.sort_by_key(|item| (text(item, "kind"), text(item, "occurred_at"), text(item, "recipient")));
    let header = ["kind", "type", "recipient", "evidence", "occurred_at", "told as"];
    table(&header, items.iter().map(|item| row_of_record(item)));

    println!("\nqueues");
    let depths = verdict.queues.iter().map(|(queue, depth)| {
        let count = |count: u32| count.to_string();
        vec![queue.clone(), count(depth.visible), count(depth.in_flight), count(depth.delayed)]
    });
    table(&["queue", "visible", "in flight", "delayed"], depths);

    println!("\nwhat each sample became");
    let rows = published.iter().zip(&verdict.outcomes).map(|(published, outcome)| {
        let mark = if outcome.as_expected { "ok" } else { "NO" };
        vec![mark.to_owned(), published.sample.clone(), became(published, outcome)]
    });
    table(&["", "sample", "became"], rows);
}

/// The mails that were received, and where they lie.
pub(crate) fn mails(items: &[Value]) {
    println!(
        "\n━━ received in {} ━━ bucket in {} ━━\n\n{} records of mails",
        mail::RECEIVES_IN,
        mail::LIES_IN,
        items.len()
    );
    let mut items: Vec<&Value> = items.iter().collect();
    items.sort_by_key(|item| (text(item, "occurred_at"), text(item, "message_id"), text(item, "recipient")));
    let header = ["recipient", "subject", "disposition", "auto-reply?", "attachments", "lies at"];
    table(&header, items.iter().map(|item| row_of_mail(item)));
}

fn row_of_mail(item: &Value) -> Vec<String> {
    let attachments = item["structure"]["attachments"].as_array().cloned().unwrap_or_default();
    let attachments: Vec<String> = attachments.iter().map(|attachment| text(attachment, "name")).collect();
    let may = item["loop_signs"]["auto_reply_ok"].as_bool().unwrap_or_default();
    let reference = &item["reference"];
    vec![
        text(item, "recipient"),
        text(item, "subject"),
        text(item, "disposition"),
        if may { "may be answered" } else { "never answer" }.to_owned(),
        attachments.join(", "),
        format!(
            "{}: s3://{}/{}",
            text(reference, "bucket_region"),
            text(reference, "bucket"),
            text(reference, "key")
        ),
    ]
}

fn text(item: &Value, name: &str) -> String {
    match &item[name] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn row_of_record(item: &Value) -> Vec<String> {
    let types =
        ["bounce_type", "bounce_subtype", "complaint_feedback_type", "complaint_subtype", "delay_type"];
    let types: Vec<String> =
        types.iter().map(|name| text(item, name)).filter(|value| !value.is_empty()).collect();
    vec![
        text(item, "kind"),
        types.join("/"),
        text(item, "recipient"),
        text(item, "evidence"),
        text(item, "occurred_at"),
        text(item, "format"),
    ]
}

fn became(published: &Published, outcome: &Outcome) -> String {
    let expected = &published.expected;
    let mut parts = Vec::new();
    match (outcome.records, expected.records.len()) {
        (0, 0) => {}
        (1, 1) => parts.push("1 record".to_owned()),
        (found, all) if found == all => parts.push(format!("{found} records")),
        (found, all) => parts.push(format!("{found} of {all} records")),
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
    parts.join("; ")
}

/// Prints rows in columns as wide as their widest cell; the last one is never cut.
fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let last = header.len() - 1;
    let rows: Vec<Vec<String>> = std::iter::once(header)
        .chain(rows)
        .map(|row| {
            let cells = row.into_iter().enumerate();
            cells.map(|(column, cell)| if column == last { cell } else { cut(&cell) }).collect()
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..=last).map(width).collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("  {}", cells.join("  ").trim_end());
    }
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= WIDEST {
        return cell.to_owned();
    }
    cell.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// What the functions asked of AWS.
pub(crate) fn calls(proxy: &Proxy) {
    println!("\ncalls that the functions made");
    let rows = proxy
        .counts()
        .into_iter()
        .map(|(call, count)| vec![call.region, call.service, call.operation, count.to_string()]);
    table(&["Region", "service", "operation", "calls"], rows);
}

/// Whether all is as it must be.
pub(crate) fn summary(complaints: &[String]) {
    if complaints.is_empty() {
        println!("\nEvery sample and every mail became what it must, in every Region.\n");
        return;
    }
    println!("\n{} things are not as they must be:", complaints.len());
    for complaint in complaints {
        println!("  {complaint}");
    }
    println!();
}

/// The end of what functions printed, which says why.
pub(crate) fn log_of_functions(ministack: &Ministack) {
    const LINES: usize = 40;
    let log = ministack.log();
    // A poller's complaint comes again every second; lines begin with the time.
    let mut lines: Vec<&str> = log.lines().collect();
    lines.dedup_by_key(|line| line.get("2026-01-01 00:00:00 ".len()..).unwrap_or_default());
    eprintln!("the local AWS's log, with what the functions print, ends with:");
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        eprintln!("  {line}");
    }
}

/// How to go on by hand.
pub(crate) fn how_to_talk(left: &LeftRunning, regions: &[Regional]) {
    println!("The local AWS is still running. To talk to it:\n");
    println!("  export AWS_ENDPOINT_URL={} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test", left.endpoint);
    for region in regions {
        let outputs = region.outputs();
        println!("\n  export AWS_REGION={}", region.name());
        println!("  aws dynamodb scan --table-name {}", outputs.get("TableName"));
        println!(
            "  aws sns publish --topic-arn {} --message file://MESSAGE.json",
            outputs.get("FeedbackTopicArn")
        );
        println!(
            "  aws sqs get-queue-attributes --attribute-names All --queue-url {}",
            outputs.get("FeedbackQueueUrl")
        );
        println!("  aws sqs receive-message --queue-url {}", outputs.get("FeedbackDeadLetterQueueUrl"));
    }
    println!("\n  its log, with what the functions print: {}", left.log_path().display());
    println!("  to stop it: make demo-stop\n");
}
