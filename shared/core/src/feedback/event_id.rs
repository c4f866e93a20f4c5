//! The id by which events are counted: SES's where it gives one, else derived from what it said.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::address::Address;
use crate::notification::{EventBody, Notification};
use crate::timestamp::Timestamp;

/// The most bytes of a feedback id that is used as it is. SES's feedback ids are 60 characters.
const MAX_FEEDBACK_ID_BYTES: usize = 128;
/// How much of the hash is kept. Half of SHA-256 is more than enough to tell the events of one mail apart.
const HASH_BYTES: usize = 16;

/// The id of an event: the feedback id of a bounce or complaint, or else a hash. For the kinds that both vocabularies
/// tell, the hash is of what both say alike (kind, mail, time, recipients; only one of the two names the remote MTA). For
/// the others it is of all that SES said, since one mail may be opened twice in a millisecond.
pub(super) fn feedback_id_or_hash<'a>(
    notification: &Notification,
    occurred_at: Timestamp,
    recipients: impl Iterator<Item = &'a Address>,
) -> String {
    let feedback_id = match &notification.body {
        EventBody::Bounce(bounce) => bounce.feedback_id.get(),
        EventBody::Complaint(complaint) => complaint.feedback_id.get(),
        _ => None,
    };
    let usable = |id: &&str| {
        id.len() <= MAX_FEEDBACK_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
    };
    if let Some(id) = feedback_id.filter(usable) {
        return id.to_owned();
    }
    let mut said =
        format!("{}\n{}\n{occurred_at}\n", notification.kind.as_str(), notification.mail.message_id);
    match &notification.body {
        EventBody::Bounce(_) | EventBody::Complaint(_) | EventBody::Delivery(_) => {
            let mut addresses: Vec<_> = recipients.map(Address::match_form).collect();
            addresses.sort_unstable();
            said.push_str(&addresses.join("\n"));
        }
        EventBody::DeliveryDelay(_, whole)
        | EventBody::Send(_, whole)
        | EventBody::Reject(_, whole)
        | EventBody::Open(_, whole)
        | EventBody::Click(_, whole)
        | EventBody::RenderingFailure(_, whole)
        | EventBody::Subscription(_, whole)
        | EventBody::Unknown { content: whole, .. } => append_hash_input(whole, &mut said),
    }
    let mut id = String::with_capacity(2 * HASH_BYTES);
    for byte in Sha256::digest(said).iter().take(HASH_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Writes JSON with sorted names and without spaces: EventBridge and SNS may write the same event differently.
fn append_hash_input(value: &Value, hash_input: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            hash_input.push('{');
            for (name, value) in fields {
                append_hash_input(&Value::String(name.clone()), hash_input);
                hash_input.push(':');
                append_hash_input(value, hash_input);
                hash_input.push(',');
            }
            hash_input.push('}');
        }
        Value::Array(values) => {
            hash_input.push('[');
            for value in values {
                append_hash_input(value, hash_input);
                hash_input.push(',');
            }
            hash_input.push(']');
        }
        // Writing to a String cannot fail.
        leaf => drop(write!(hash_input, "{leaf}")),
    }
}
