//! What became of a mail.

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;

use crate::mail::Envelope;

/// One attempt to deliver a mail in one Region.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Where.
    pub region: String,
    /// The id that SES gave it.
    pub message_id: String,
    /// When SES received it; the same when it is delivered again.
    pub received: OffsetDateTime,
    /// Recipients that were refused in the SMTP conversation, because no rule is for them.
    pub rejected: Vec<String>,
    /// Mail that was sent back.
    pub bounces: Vec<Bounce>,
    /// The rules that ran, in order.
    pub rules: Vec<RuleRun>,
    /// What was delivered.
    pub envelope: Envelope,
}

/// A mail that was sent back to its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// For whom it was.
    pub recipients: Vec<String>,
    /// The rule that bounced it.
    pub rule: String,
    /// Why.
    pub reason: BounceReason,
}

/// Why a mail was sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BounceReason {
    /// The rule says so.
    Action {
        /// RFC 5321.
        smtp_reply_code: String,
        /// RFC 3463.
        status_code: Option<String>,
        /// For people.
        message: String,
    },
    /// More than the action takes.
    TooLarge {
        /// What it has.
        size: usize,
        /// What the action takes.
        limit: usize,
    },
    /// The rule wants TLS.
    WithoutTls,
}

/// A rule that ran.
#[derive(Debug, Clone)]
pub struct RuleRun {
    /// Its name.
    pub rule: String,
    /// For whom: of the envelope's recipients, those that it matched.
    pub recipients: Vec<String>,
    /// What its actions did, in order, as far as they ran.
    pub actions: Vec<Outcome>,
}

/// What an action did.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The mail lies in a bucket.
    Stored {
        /// Which.
        bucket: String,
        /// Where that is.
        region: String,
        /// Prefix + message id.
        key: String,
        /// The bytes that were put.
        content: Bytes,
        /// Whether they are ciphertext.
        encrypted: bool,
    },
    /// The mail was published.
    Published {
        /// Where.
        topic: String,
        /// The notification.
        message: Value,
    },
    /// A function was invoked.
    Invoked {
        /// Which.
        function: String,
        /// What it was given.
        event: Value,
        /// What it wanted; an asynchronous one is not asked.
        disposition: Option<Disposition>,
    },
    /// The mail was sent back.
    Bounced,
    /// No more rules.
    Stopped,
    /// A header was added.
    HeaderAdded,
    /// It did not work. SES tries again for hours; here the test does, by delivering again.
    Failed(String),
}

/// What a function may want after it was invoked synchronously.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Go on.
    Continue,
    /// No more actions of this rule.
    StopRule,
    /// No more actions and no more rules.
    StopRuleSet,
}

impl Disposition {
    /// Guide, "Lambda action": anything else than the two is `CONTINUE`.
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
    /// All outcomes, in order.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.rules.iter().flat_map(|run| &run.actions)
    }

    /// What went wrong, if anything did.
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
