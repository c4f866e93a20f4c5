//! What SES says of a mail that it received: the Lambda action's event, and the notifications (`Received`) of the other
//! actions, tolerantly.
//!
//! Sources: "Contents of notifications for Amazon SES email receiving", "Examples of notifications for Amazon SES email
//! receiving" and "Sample incoming email event" in the Amazon SES Developer Guide. AWS lists the commonest fields and
//! promises none of them: mail that was only ever Bcc has neither `to` nor `cc`, and verdicts are absent where nothing
//! was checked.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::headers::HeaderFields;
use super::verdict::{DmarcPolicy, MailVerdict, MailVerdicts};
use crate::arn::Arn;
use crate::malformed::{InputProblem, MalformedInput};
use crate::notification::{IgnoredMessage, ParsedMessage};
use crate::record::{MessageId, parse_message_id};
use crate::text::{ScalarText, ScalarTexts};

/// A mail that SES received, as SES told it.
#[derive(Debug)]
pub struct Receipt {
    /// SES's id of the mail as it came: the object's key ends in it.
    pub(super) message_id: String,
    pub(super) mail: ReceivedMail,
    pub(super) details: RawReceipt,
    content: ScalarText,
    /// Where in the message the receipt stood, such as `ses` in a Lambda event.
    pub(super) path: &'static str,
}

/// Which of a rule's actions told of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptActionType {
    /// The action that stores the mail in S3, and says where.
    S3,
    /// The action that publishes the mail itself to an SNS topic.
    Sns,
    /// The action that invokes the function.
    Lambda,
    /// `Bounce`, `Stop`, `WorkMail`, `AddHeader`, or what SES may add: actions that neither store the mail nor send it
    /// along.
    Other,
}

impl Receipt {
    /// SES's id of the mail (`mail.messageId`).
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// The action that told of the mail.
    pub fn action_type(&self) -> ReceiptActionType {
        match self.details.action.action_type.get() {
            Some("S3") => ReceiptActionType::S3,
            Some("SNS") => ReceiptActionType::Sns,
            Some("Lambda") => ReceiptActionType::Lambda,
            _ => ReceiptActionType::Other,
        }
    }

    /// Whether the mail itself came with the notification, in which case it may be nowhere else.
    pub fn has_content(&self) -> bool {
        self.content.get().is_some()
    }

    /// The mail itself; `None` if it did not come with the notification.
    ///
    /// # Errors
    /// If its encoding is unknown or not what it says to be: what was stored then would not be the mail.
    pub fn content(&self) -> Result<Option<Cow<'_, [u8]>>, MalformedInput> {
        let Some(content) = self.content.get() else { return Ok(None) };
        let encoding = self.details.action.encoding.get().unwrap_or("UTF8");
        match encoding.replace('-', "").to_ascii_uppercase().as_str() {
            "UTF8" => Ok(Some(Cow::Borrowed(content.as_bytes()))),
            "BASE64" => match decode_base64_strictly(content) {
                Some(bytes) => Ok(Some(Cow::Owned(bytes))),
                None => Err(MalformedInput::new(self.field_path("content"), InputProblem::NotBase64)),
            },
            _ => Err(MalformedInput::new(
                self.field_path("receipt.action.encoding"),
                InputProblem::UnknownEncoding,
            )
            .with_excerpt(encoding)),
        }
    }

    /// What SES checked, and what it found.
    pub fn verdicts(&self) -> MailVerdicts {
        let verdict = |status: &RawVerdict| status.0.get().map(MailVerdict::parse);
        MailVerdicts {
            spam: verdict(&self.details.spam_verdict),
            virus: verdict(&self.details.virus_verdict),
            spf: verdict(&self.details.spf_verdict),
            dkim: verdict(&self.details.dkim_verdict),
            dmarc: verdict(&self.details.dmarc_verdict),
            dmarc_policy: self.details.dmarc_policy.get().map(DmarcPolicy::parse),
        }
    }

    /// The fields that hold a value that is not in SES's documentation.
    pub fn fields_with_unknown_values(&self) -> Vec<&'static str> {
        const ACTIONS: &[&str] = &["S3", "SNS", "Bounce", "Lambda", "Stop", "WorkMail", "AddHeader"];
        let action = self.details.action.action_type.get();
        let unknown_action = action.is_some_and(|action| !ACTIONS.contains(&action));
        unknown_action
            .then_some("receipt.action.type")
            .into_iter()
            .chain(self.verdicts().fields_with_unknown_values())
            .collect()
    }

    /// The ARN of the action's function or topic, which is in the Region and account that received the mail.
    pub(crate) fn action_arn(&self) -> Option<Arn<'_>> {
        let action = &self.details.action;
        action.function_arn.get().or(action.topic_arn.get()).and_then(Arn::parse)
    }

    /// The path of a field of this receipt within its message.
    pub(super) fn field_path(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }
}

/// The object `mail`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReceivedMail {
    message_id: ScalarText,
    pub(super) timestamp: ScalarText,
    /// The sender in the envelope.
    pub(super) source: ScalarText,
    /// Whether SES left headers out. Anything but `false` is taken as truncated, unless the field is absent.
    headers_truncated: ScalarText,
    pub(super) headers: Option<HeaderFields>,
    pub(super) common_headers: CommonHeaders,
}

impl ReceivedMail {
    /// Whether SES told all headers, so that one that is not among them is not in the mail.
    pub(super) fn has_all_headers(&self) -> bool {
        self.headers.is_some() && matches!(self.headers_truncated.get(), None | Some("false"))
    }
}

/// The object `commonHeaders`: some headers once more, parsed and decoded by SES.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub(super) struct CommonHeaders {
    pub(super) from: ScalarTexts,
    pub(super) return_path: ScalarText,
    pub(super) message_id: ScalarText,
    pub(super) subject: ScalarText,
}

impl From<Value> for CommonHeaders {
    fn from(value: Value) -> Self {
        let Value::Object(mut fields) = value else { return Self::default() };
        let mut take = |name| fields.remove(name).unwrap_or_default();
        Self {
            from: take("from").into(),
            return_path: take("returnPath").into(),
            message_id: take("messageId").into(),
            subject: take("subject").into(),
        }
    }
}

/// The object `receipt`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawReceipt {
    pub(super) timestamp: ScalarText,
    pub(super) processing_time_millis: ScalarText,
    pub(super) recipients: Option<Vec<ScalarText>>,
    spam_verdict: RawVerdict,
    virus_verdict: RawVerdict,
    spf_verdict: RawVerdict,
    dkim_verdict: RawVerdict,
    dmarc_verdict: RawVerdict,
    dmarc_policy: ScalarText,
    pub(super) action: RawAction,
}

/// A verdict as an object, `{"status": "PASS"}`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
struct RawVerdict(ScalarText);

impl From<Value> for RawVerdict {
    fn from(value: Value) -> Self {
        let Value::Object(mut fields) = value else { return Self(value.into()) };
        Self(fields.remove("status").unwrap_or_default().into())
    }
}

/// The object `action`.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
pub(super) struct RawAction {
    action_type: ScalarText,
    topic_arn: ScalarText,
    pub(super) bucket_name: ScalarText,
    pub(super) object_key_prefix: ScalarText,
    pub(super) object_key: ScalarText,
    encoding: ScalarText,
    function_arn: ScalarText,
}

impl From<Value> for RawAction {
    fn from(value: Value) -> Self {
        let Value::Object(mut fields) = value else { return Self::default() };
        let mut take = |name| fields.remove(name).map(ScalarText::from).unwrap_or_default();
        Self {
            action_type: take("type"),
            topic_arn: take("topicArn"),
            bucket_name: take("bucketName"),
            object_key_prefix: take("objectKeyPrefix"),
            object_key: take("objectKey"),
            encoding: take("encoding"),
            function_arn: take("functionArn"),
        }
    }
}

/// A notification's outermost object, or `ses` of a Lambda event's record.
#[derive(Deserialize)]
struct RawReceiptMessage {
    mail: Option<ReceivedMail>,
    receipt: Option<RawReceipt>,
    #[serde(default)]
    content: ScalarText,
}

/// The longest names of buckets that S3 allows; the oldest buckets' names are longer than new ones may be.
const MAX_BUCKET_BYTES: usize = 255;
const MAX_KEY_BYTES: usize = 1024;

/// Reads a `Received` notification (with an empty `path`), or `ses` of a record of the Lambda action's event.
///
/// # Errors
/// [`MalformedInput`], with the path of the field.
pub(crate) fn parse_receipt(text: &str, path: &'static str) -> Result<ParsedMessage, MalformedInput> {
    let read = |text| {
        let raw: RawReceiptMessage = MalformedInput::parse_json(text)?;
        let mail = raw.mail.ok_or_else(|| MalformedInput::new("mail", InputProblem::Missing))?;
        let MessageId::Mail(message_id) = parse_message_id(&mail.message_id)? else {
            // SES writes no receipt when it tries out a rule.
            return Ok(ParsedMessage::Ignored(IgnoredMessage::ReceiptRuleTest));
        };
        let message_id = message_id.to_owned();
        let receipt = raw.receipt.ok_or_else(|| MalformedInput::new("receipt", InputProblem::Missing))?;
        let RawAction { bucket_name, object_key, .. } = &receipt.action;
        for (field, name, max) in [
            ("receipt.action.bucketName", bucket_name, MAX_BUCKET_BYTES),
            ("receipt.action.objectKey", object_key, MAX_KEY_BYTES),
        ] {
            if name.get().is_some_and(|name| name.len() > max) {
                return Err(MalformedInput::new(field, InputProblem::TooLong));
            }
        }
        let receipt = Receipt { message_id, mail, details: receipt, content: raw.content, path };
        Ok(ParsedMessage::Received(Box::new(receipt)))
    };
    read(text).map_err(|error: MalformedInput| error.prefix_field(path))
}

/// Decodes Base64 by RFC 4648, strictly except for line breaks: a mail that was damaged on its way must not be stored as
/// if it were whole.
fn decode_base64_strictly(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let padding = digits.iter().rev().take_while(|b| **b == b'=').count();
    let (body, _) = digits.split_at(digits.len() - padding);
    let alphabet = body.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let whole = digits.len().is_multiple_of(4) && padding <= 2;
    if alphabet && whole { mail_parser::decoders::base64::base64_decode(&digits) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_whole_or_refused() {
        assert_eq!(decode_base64_strictly("aGVsbG8=").as_deref(), Some(&b"hello"[..]));
        assert_eq!(decode_base64_strictly("aGVs\r\n bG8h").as_deref(), Some(&b"hello!"[..]));
        assert_eq!(decode_base64_strictly("+/8=").as_deref(), Some(&[0xfb, 0xff][..]));
        for damaged in ["aGVsbG8", "aGVsb=8=", "aGVs*G8=", "a===", "-_8="] {
            assert_eq!(decode_base64_strictly(damaged), None, "{damaged}");
        }
    }
}
