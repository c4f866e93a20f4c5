//! Sends raw mails to the Region that receives, where the bucket lies in the other Region.

use std::error::Error;
use std::time::{Duration, Instant};

use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, receiving};
use local_ses::LocalSes;
use local_ses::delivery::{Delivery, Outcome};
use local_ses::mail::{Envelope, Verdicts};
use serde_json::Value;

use crate::feedback::text;
use crate::print::{self, Part};
use crate::world::{self, World};

/// The Region in which mail is received. (`LIES_IN` is the Region of the bucket.)
pub(crate) const RECEIVES_IN: &str = "us-east-1";
pub(crate) const LIES_IN: &str = "eu-west-1";
const BUCKET: &str = "mailroom-demo-mail";

/// How long it may take until all mails are recorded.
const PROCESS_WITHIN: Duration = Duration::from_mins(1);

macro_rules! mail {
    ($name:literal) => {
        ($name, include_bytes!(concat!("../../../mails/", $name, ".eml")).as_slice())
    };
}

/// The mails, each with its name. They are for `box@example.com` unless `envelope` says otherwise.
const MAILS: [(&str, &[u8]); 5] =
    [mail!("plain"), mail!("bcc-only"), mail!("attachment"), mail!("auto-reply"), mail!("dmarc-fail")];

/// The envelope of a mail, by its name.
fn envelope(name: &str, raw: &'static [u8]) -> Envelope {
    let (from, recipients): (&str, &[&str]) = match name {
        "bcc-only" => ("ann@example.org", &["box@example.com", "team@example.com", "Sales@Example.com"]),
        // The sender is empty, as with mail that a machine wrote and that nobody is to answer.
        "auto-reply" => ("", &["box@example.com"]),
        _ => ("ann@example.org", &["box@example.com"]),
    };
    let envelope = Envelope::new(from, recipients.iter().copied(), raw);
    if name == "dmarc-fail" { envelope.verdicts(Verdicts::dmarc_fails("reject")) } else { envelope }
}

/// The parameters of a Region's stack: one receives mail, the other only sends.
pub(crate) fn deployment(stack: Deployment, region: &str) -> Deployment {
    if region != RECEIVES_IN {
        return stack.parameter("Receiving", "off");
    }
    // The local CloudFormation knows no receipt rules, so the local SES is given the template's.
    stack
        .parameter("Receiving", "on")
        .parameter("ReceiptRules", "operator")
        .parameter("MailRecipients", "example.com")
        .parameter("MailBucket", BUCKET)
}

/// What was delivered, and what is wrong with it.
pub(crate) struct Mails {
    /// The table's items of received mail, one for each recipient.
    items: Vec<Value>,
    /// What is missing, one sentence each.
    complaints: Vec<String>,
}

impl Mails {
    /// Shows the records, and where the mails lie.
    pub(crate) fn show(mut self) -> Part {
        print::heading(&format!("Mail that was received in {RECEIVES_IN}, and lies in {LIES_IN}"));
        self.items
            .sort_by_key(|item| ["occurred_at", "message_id", "recipient"].map(|name| text(item, name)));
        let header = ["recipient", "subject", "disposition", "auto-reply?", "attachments", "lies at"];
        print::table(&header, self.items.iter().map(row));
        let short =
            format!("{} mails became {} records, and lie where these say", MAILS.len(), self.items.len());
        Part { short, complaints: self.complaints }
    }
}

fn row(item: &Value) -> Vec<String> {
    let attachments = item["structure"]["attachments"].as_array().cloned().unwrap_or_default();
    let attachments: Vec<String> = attachments.iter().map(|attachment| text(attachment, "name")).collect();
    let auto_reply = match item["loop_signs"]["auto_reply_ok"].as_bool() {
        Some(true) => "may be answered",
        Some(false) => "never answer",
        None => "unknown",
    };
    let reference = &item["reference"];
    vec![
        text(item, "recipient"),
        text(item, "subject"),
        text(item, "disposition"),
        auto_reply.to_owned(),
        attachments.join(", "),
        format!("s3://{}/{}", text(reference, "bucket"), text(reference, "key")),
    ]
}

/// Makes the bucket that the receiving stack stores in.
pub(crate) async fn make_bucket(aws: &LocalAws) -> Result<(), Box<dyn Error>> {
    receiving::make_bucket(aws, BUCKET, LIES_IN).await?;
    Ok(())
}

/// Delivers all mails and waits for their records.
pub(crate) async fn deliver(world: &World) -> Result<Mails, Box<dyn Error>> {
    let World { aws, ses } = world;
    let region = aws.region(RECEIVES_IN);
    receiving::install(ses, region, &world::deployment(RECEIVES_IN)).await?;
    let mut delivered = Vec::new();
    for (name, raw) in MAILS {
        delivered.push((name, deliver_one(ses, name, raw).await?));
    }
    let expected: usize = delivered.iter().map(|(_, delivery)| delivery.envelope.recipients.len()).sum();
    let items = wait(region, expected).await?;
    let mut complaints = Vec::new();
    if items.len() > expected {
        complaints.push(format!("{} records of mails, not {expected}", items.len()));
    }
    for (name, delivery) in &delivered {
        complaints.extend(check(aws, name, delivery, &items).await);
    }
    Ok(Mails { items, complaints })
}

async fn deliver_one(ses: &LocalSes, name: &str, raw: &'static [u8]) -> Result<Delivery, Box<dyn Error>> {
    let delivery = ses.deliver(RECEIVES_IN, envelope(name, raw)).await?;
    if let Some(failure) = delivery.failures().next() {
        return Err(format!("the local SES could not deliver {name}: {failure}").into());
    }
    Ok(delivery)
}

async fn wait(region: &Regional, expected: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let until = Instant::now() + PROCESS_WITHIN;
    loop {
        let mut items = region.items().await?;
        items.retain(is_mail);
        if items.len() >= expected || Instant::now() > until {
            return Ok(items);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Whether an item of the table is a record of received mail.
fn is_mail(item: &Value) -> bool {
    item["pk"].as_str().is_some_and(|pk| pk.starts_with("MAILBOX#"))
}

/// Checks that every recipient has a record, and that the object to which it refers is the mail that was stored. Returns
/// what is wrong.
async fn check(aws: &LocalAws, name: &str, delivery: &Delivery, items: &[Value]) -> Vec<String> {
    let records: Vec<_> =
        items.iter().filter(|item| item["message_id"] == delivery.message_id.as_str()).collect();
    let mut complaints = Vec::new();
    if records.len() != delivery.envelope.recipients.len() {
        complaints.push(format!(
            "{name}: {} records for {} recipients",
            records.len(),
            delivery.envelope.recipients.len()
        ));
    }
    let stored = delivery.outcomes().find_map(|outcome| match outcome {
        Outcome::Stored { content, .. } => Some(content),
        _ => None,
    });
    for record in records {
        let text = |field: &str| record["reference"][field].as_str().unwrap_or_default();
        let s3 = local_aws::clients::Clients::new(&aws.ministack().endpoint(), text("bucket_region")).s3;
        let read = match s3.get_object().bucket(text("bucket")).key(text("key")).send().await {
            Ok(object) => {
                object.body.collect().await.ok().map(aws_sdk_s3::primitives::AggregatedBytes::into_bytes)
            }
            Err(_) => None,
        };
        if read.as_ref() != stored {
            complaints.push(format!("{name}: what {} refers to is not the mail", text("key")));
        }
    }
    complaints
}
