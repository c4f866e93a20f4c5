//! How a mail goes through the active rule set.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::aws::{Aws, Said};
use crate::delivery::{Bounce, BounceReason, Delivery, Disposition, Outcome, RuleRun};
use crate::event::{self, Told};
use crate::ids::Ids;
use crate::mail::{Envelope, Headers, received_headers};
use crate::permissions::{Asked, allows, rule_arn};
use crate::recipients::any_matches;
use crate::rules::{Action, ReceiptRule, S3Action};

/// The largest mail that the S3 action accepts, headers included, in bytes (API reference, `S3Action`: 40 MB).
pub(crate) const S3_LIMIT: usize = 40 * 1024 * 1024;
/// The largest mail that the SNS action accepts, headers included, in bytes (guide, "Service quotas": 150 KB).
pub(crate) const SNS_LIMIT: usize = 150 * 1024;

/// The subject of the messages that SES publishes about received mail.
pub(crate) const RECEIVED: Option<&str> = Some("Amazon SES Email Receipt Notification");

/// Everything that a delivery needs to know.
pub(crate) struct Mailer<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) ids: &'a Ids,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) message_id: &'a str,
    pub(crate) received: OffsetDateTime,
    pub(crate) envelope: &'a Envelope,
    pub(crate) rule_set: &'a str,
    pub(crate) adds_headers: bool,
    pub(crate) needs_permission: bool,
}

/// What is done after an action.
enum Next {
    Action,
    Rule,
    /// Nothing more for the recipients that the rule matched. No source tells whether SES goes on for other recipients of
    /// the same mail; if it did not, their mail would be lost.
    Nothing,
}

impl Mailer<'_> {
    /// Applies the rules in their order, and each rule's actions in theirs (guide, "Email-receiving process").
    pub(crate) async fn deliver(&self, rules: &[ReceiptRule]) -> Delivery {
        let rules: Vec<&ReceiptRule> = rules.iter().filter(|rule| rule.enabled).collect();
        let wanted = |recipient: &String| rules.iter().any(|rule| any_matches(&rule.recipients, recipient));
        let (mut left, rejected): (Vec<String>, Vec<String>) =
            self.envelope.recipients.iter().cloned().partition(wanted);
        let mut delivery = Delivery {
            region: self.region.to_owned(),
            message_id: self.message_id.to_owned(),
            received: self.received,
            rejected,
            bounces: Vec::new(),
            rules: Vec::new(),
            envelope: self.envelope.clone(),
        };
        let mut added = String::new();
        for rule in rules {
            let recipients: Vec<String> =
                left.iter().filter(|recipient| any_matches(&rule.recipients, recipient)).cloned().collect();
            if recipients.is_empty() {
                continue;
            }
            let done = if rule.tls_policy == "Require" && !self.envelope.tls {
                delivery.bounces.push(Bounce {
                    recipients: recipients.clone(),
                    rule: rule.name.clone(),
                    reason: BounceReason::WithoutTls,
                });
                true
            } else {
                let run = Run { mailer: self, rule, recipients: &recipients };
                run.actions(&mut delivery, &mut added).await
            };
            if done {
                left.retain(|recipient| !recipients.contains(recipient));
            }
        }
        delivery
    }

    fn content(&self, added: &str, scanned: bool) -> Bytes {
        if !self.adds_headers && added.is_empty() {
            return self.envelope.raw.clone();
        }
        let mut content = if self.adds_headers {
            received_headers(self.envelope, self.message_id, self.region, scanned, self.received)
        } else {
            String::new()
        };
        content.push_str(added);
        let mut content = content.into_bytes();
        content.extend_from_slice(&self.envelope.raw);
        content.into()
    }
}

/// One rule, applied to one mail.
struct Run<'a> {
    mailer: &'a Mailer<'a>,
    rule: &'a ReceiptRule,
    recipients: &'a [String],
}

impl Run<'_> {
    /// Runs the rule's actions. Returns whether nothing more is to be done for these recipients.
    async fn actions(&self, delivery: &mut Delivery, added: &mut String) -> bool {
        let mut outcomes = Vec::new();
        let mut done = false;
        for action in &self.rule.actions {
            let content = self.mailer.content(added, self.rule.scan_enabled);
            let limit = match action {
                Action::S3(_) => S3_LIMIT,
                Action::Sns(_) => SNS_LIMIT,
                _ => usize::MAX,
            };
            if content.len() > limit {
                outcomes.push(Outcome::Bounced);
                delivery.bounces.push(self.bounce(BounceReason::TooLarge { size: content.len(), limit }));
                done = true;
                break;
            }
            let headers = Headers::of(&content);
            let told = Told {
                message_id: self.mailer.message_id,
                mail_from: &self.mailer.envelope.mail_from,
                verdicts: &self.mailer.envelope.verdicts,
                headers: &headers,
                received: self.mailer.received,
                processing_millis: self.mailer.ids.processing_millis(),
                rule: self.rule,
                recipients: self.recipients,
            };
            let next = match self.act(action, &told, content, added).await {
                Ok((outcome, next)) => {
                    if let Outcome::Bounced = outcome
                        && let Action::Bounce(action) = action
                    {
                        delivery.bounces.push(self.bounce(BounceReason::Action {
                            smtp_reply_code: action.smtp_reply_code.clone(),
                            status_code: action.status_code.clone(),
                            message: action.message.clone(),
                        }));
                    }
                    outcomes.push(outcome);
                    self.notify(action, &told, &mut outcomes).await;
                    next
                }
                Err(why) => {
                    outcomes.push(Outcome::Failed(why));
                    Next::Rule
                }
            };
            match next {
                Next::Action => {}
                Next::Rule => break,
                Next::Nothing => {
                    done = true;
                    break;
                }
            }
        }
        delivery.rules.push(RuleRun {
            rule: self.rule.name.clone(),
            recipients: self.recipients.to_vec(),
            actions: outcomes,
        });
        done
    }

    fn hands(&self) -> Hands<'_> {
        let Mailer { aws, ids, account, region, rule_set, needs_permission, .. } = *self.mailer;
        Hands { aws, ids, account, region, rule_set, rule: &self.rule.name, needs_permission }
    }

    fn bounce(&self, reason: BounceReason) -> Bounce {
        Bounce { recipients: self.recipients.to_vec(), rule: self.rule.name.clone(), reason }
    }

    async fn act(
        &self,
        action: &Action,
        told: &Told<'_>,
        content: Bytes,
        added: &mut String,
    ) -> Result<(Outcome, Next), Said> {
        let Mailer { aws, region, .. } = *self.mailer;
        Ok(match action {
            Action::S3(s3) => (self.hands().store(s3, told.message_id, content).await?, Next::Action),
            Action::Sns(sns) => {
                let text = if sns.encoding == "Base64" {
                    BASE64.encode(&content)
                } else {
                    String::from_utf8_lossy(&content).into_owned()
                };
                let message = event::for_topic(told, action, Some(text));
                aws.publish(region, &sns.topic_arn, RECEIVED, message.to_string()).await?;
                (Outcome::Published { topic: sns.topic_arn.clone(), message }, Next::Action)
            }
            Action::Lambda(lambda) => {
                let event = event::for_lambda(told, action);
                let waits = lambda.invocation_type == "RequestResponse";
                let payload = event.to_string().into_bytes();
                self.hands().may_invoke(&lambda.function_arn).await?;
                let answer = aws.invoke(region, &lambda.function_arn, waits, payload).await?;
                let disposition = waits.then(|| Disposition::of(&answer));
                let next = match disposition {
                    None | Some(Disposition::Continue) => Next::Action,
                    Some(Disposition::StopRule) => Next::Rule,
                    Some(Disposition::StopRuleSet) => Next::Nothing,
                };
                (Outcome::Invoked { function: lambda.function_arn.clone(), event, disposition }, next)
            }
            Action::Bounce(_) => (Outcome::Bounced, Next::Action),
            Action::Stop(_) => (Outcome::Stopped, Next::Nothing),
            Action::AddHeader(header) => {
                added.push_str(&format!("{}: {}\r\n", header.header_name, header.header_value));
                (Outcome::HeaderAdded, Next::Action)
            }
        })
    }

    /// Publishes to the topic that an action of another kind than the SNS action names.
    async fn notify(&self, action: &Action, told: &Told<'_>, outcomes: &mut Vec<Outcome>) {
        let Some(topic) = action.topic().filter(|_| !matches!(action, Action::Sns(_))) else { return };
        let message = event::for_topic(told, action, None);
        let sent = self.mailer.aws.publish(self.mailer.region, topic, RECEIVED, message.to_string()).await;
        outcomes.push(match sent {
            Ok(()) => Outcome::Published { topic: topic.to_owned(), message },
            Err(why) => Outcome::Failed(why),
        });
    }
}

/// Does what SES does to the account's resources for a rule, if their policies let it.
pub(crate) struct Hands<'a> {
    pub(crate) aws: &'a Aws,
    pub(crate) ids: &'a Ids,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) rule_set: &'a str,
    pub(crate) rule: &'a str,
    pub(crate) needs_permission: bool,
}

impl Hands<'_> {
    /// Puts a mail into a bucket, in whichever Region that is, under prefix + message id.
    pub(crate) async fn store(
        &self,
        action: &S3Action,
        message_id: &str,
        content: Bytes,
    ) -> Result<Outcome, Said> {
        let bucket = &action.bucket_name;
        let found = self.aws.bucket_region(bucket, self.region).await?;
        let region = found.ok_or_else(|| format!("No such bucket: {bucket}"))?;
        let key = format!("{}{message_id}", action.object_key_prefix.as_deref().unwrap_or_default());
        // With a role, the role's own policies count (API reference, `S3Action`). The local SES does not know those.
        if self.needs_permission && action.iam_role_arn.is_none() {
            let policy = self.aws.bucket_policy(&region, bucket).await?;
            let object = format!("arn:aws:s3:::{bucket}/{key}");
            self.allowed(policy.as_ref(), "s3:PutObject", Some(&object))?;
        }
        let (content, metadata) = match &action.kms_key_arn {
            Some(kms_key) => self.encrypted(kms_key, message_id, &content),
            None => (content, HashMap::new()),
        };
        let encrypted = action.kms_key_arn.is_some();
        self.aws.put(&region, bucket, &key, content.clone(), metadata).await?;
        Ok(Outcome::Stored { bucket: bucket.clone(), region, key, content, encrypted })
    }

    /// Checks that the function's policy lets SES invoke it.
    pub(crate) async fn may_invoke(&self, function: &str) -> Result<(), Said> {
        if !self.needs_permission {
            return Ok(());
        }
        let policy = self.aws.function_policy(self.region, function).await?;
        self.allowed(policy.as_ref(), "lambda:InvokeFunction", None)
    }

    fn allowed(&self, policy: Option<&Value>, action: &str, resource: Option<&str>) -> Result<(), Said> {
        let rule = rule_arn(self.region, self.account, self.rule_set, self.rule);
        let asked = Asked { action, resource, account: self.account, source: &rule, refers: false };
        if policy.is_some_and(|policy| allows(policy, asked)) {
            return Ok(());
        }
        Err(format!(
            "AccessDenied: no policy lets {rule} do {action}{}",
            resource.map(|on| format!(" on {on}")).unwrap_or_default()
        ))
    }

    /// Does to a mail what the S3 encryption client would (guide, "S3 action"; metadata as seen on SES's objects). Since
    /// nobody can decrypt it here, noise takes the place of the ciphertext, of the same length (AES-GCM adds a tag of 16
    /// bytes).
    fn encrypted(
        &self,
        kms_key: &str,
        message_id: &str,
        content: &Bytes,
    ) -> (Bytes, HashMap<String, String>) {
        let material = json!({
            "aws:ses:message-id": message_id,
            "aws:ses:rule-name": self.rule,
            "aws:ses:source-account": self.account,
            "kms_cmk_id": kms_key,
        });
        let metadata = [
            ("x-amz-key-v2", BASE64.encode(self.ids.bytes(184))),
            ("x-amz-iv", BASE64.encode(self.ids.bytes(12))),
            ("x-amz-cek-alg", "AES/GCM/NoPadding".to_owned()),
            ("x-amz-wrap-alg", "kms".to_owned()),
            ("x-amz-tag-len", "128".to_owned()),
            ("x-amz-matdesc", material.to_string()),
            ("x-amz-unencrypted-content-length", content.len().to_string()),
        ];
        let noise = self.ids.bytes(content.len() + 16);
        (noise.into(), metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
