//! What became of a mail that was received.

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;

use crate::mail::Envelope;

/// One attempt to deliver a mail in one Region, and what came of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The Region in which the mail was received.
    pub region: String,
    /// The id that SES gave it.
    pub message_id: String,
    /// When SES received it. This stays the same when the mail is delivered again.
    pub received: OffsetDateTime,
    /// The recipients that were refused in the SMTP conversation, because no rule matches them.
    pub rejected: Vec<String>,
    /// The bounces that were sent back to the sender.
    pub bounces: Vec<Bounce>,
    /// The rules that ran, in their order.
    pub rules: Vec<RuleRun>,
    /// The mail with its envelope.
    pub envelope: Envelope,
}

/// A bounce of a mail, which is sent back to its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// The recipients whose mail bounced.
    pub recipients: Vec<String>,
    /// The name of the rule that bounced it.
    pub rule: String,
    /// Why the mail bounced.
    pub reason: BounceReason,
}

/// Why a mail bounced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BounceReason {
    /// The rule has a bounce action.
    Action {
        /// The SMTP reply code (RFC 5321).
        smtp_reply_code: String,
        /// The enhanced status code (RFC 3463); `None` if the action has none.
        status_code: Option<String>,
        /// The text for people.
        message: String,
    },
    /// The mail is larger than the action accepts.
    TooLarge {
        /// The size of the mail with its headers, in bytes.
        size: usize,
        /// The size that the action accepts, in bytes.
        limit: usize,
    },
    /// The rule requires TLS, and the mail came without it.
    WithoutTls,
}

/// A rule that ran.
#[derive(Debug, Clone)]
pub struct RuleRun {
    /// The name of the rule.
    pub rule: String,
    /// Those of the envelope's recipients that the rule matched.
    pub recipients: Vec<String>,
    /// What its actions did, in their order, as far as they ran.
    pub actions: Vec<Outcome>,
}

/// What an action did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The mail was stored in a bucket.
    Stored {
        /// The name of the bucket.
        bucket: String,
        /// The Region of the bucket.
        region: String,
        /// The key of the object: prefix + message id.
        key: String,
        /// The bytes of the object.
        content: Bytes,
        /// Whether these bytes are ciphertext.
        encrypted: bool,
    },
    /// The mail was published to a topic.
    Published {
        /// The ARN of the topic.
        topic: String,
        /// The notification that was published.
        message: Value,
    },
    /// A function was invoked.
    Invoked {
        /// The ARN of the function.
        function: String,
        /// The event that it was invoked with.
        event: Value,
        /// What the function answered to do next; `None` if it was invoked asynchronously, which gives no answer.
        disposition: Option<Disposition>,
    },
    /// The mail bounced.
    Bounced,
    /// A stop action ended the rule set.
    Stopped,
    /// A header was added.
    HeaderAdded,
    /// The action did not work. SES tries again for hours; here the test does, by delivering the mail again.
    Failed(String),
}

/// What a function may answer to do next, if it is invoked synchronously.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Go on with the next action.
    Continue,
    /// Skip the remaining actions of this rule.
    StopRule,
    /// Skip the remaining actions and rules.
    StopRuleSet,
}

impl Disposition {
    /// Reads a function's answer. Anything but the two stops is `CONTINUE` (guide, "Lambda action").
    pub(crate) fn of(answer: &[u8]) -> Self {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        match answer["disposition"].as_str() {
            Some("STOP_RULE") => Self::StopRule,
            Some("STOP_RULE_SET") => Self::StopRuleSet,
            _ => Self::Continue,
        }
    }
}

impl Delivery {
    /// The outcomes of all actions, in their order.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.rules.iter().flat_map(|run| &run.actions)
    }

    /// The errors of all actions that failed.
    pub fn failures(&self) -> impl Iterator<Item = &str> {
        self.outcomes().filter_map(|outcome| match outcome {
            Outcome::Failed(why) => Some(why.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_disposition_is_continue() {
        for (answer, expected) in [
            (r#"{"disposition":"STOP_RULE"}"#, Disposition::StopRule),
            (r#"{"disposition":"STOP_RULE_SET"}"#, Disposition::StopRuleSet),
            (r#"{"disposition":"CONTINUE"}"#, Disposition::Continue),
            (r#"{"disposition":"stop_rule"}"#, Disposition::Continue),
            ("null", Disposition::Continue),
            ("", Disposition::Continue),
        ] {
            assert_eq!(Disposition::of(answer.as_bytes()), expected, "{answer}");
        }
    }
}
