//! Events of mails, as SES publishes them.

use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};

/// What SES says about a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A permanent bounce.
    Permanent,
    /// A transient bounce, which counts together with others.
    Transient,
    /// An automatic reply: a transient bounce without any report of a server.
    AutoResponse,
    /// A permanent bounce by which SES says that it refused to send, since the contact has left a list.
    Refusal,
    /// A permanent bounce of an address that the mail was not sent to: its reader names somebody else.
    ThirdParty,
    /// A bounce that is about the mail, not the address: the mail is too large.
    TooLarge,
    /// A bounce whose cause SES does not know.
    Undetermined,
    /// A permanent bounce whose report says that the mail was delayed.
    Delayed,
    /// A complaint.
    Complaint,
    /// A complaint of one of several recipients. The provider did not say which.
    ComplaintOfSeveral,
    /// Somebody takes a complaint back: `not-spam`.
    NotSpam,
    /// A bounce that the suppression list itself caused.
    EchoOfBounce,
    /// A complaint that the suppression list itself caused.
    EchoOfComplaint,
    /// A permanent bounce of an address of SES's mailbox simulator.
    Simulator,
    /// The mail was delivered.
    Delivery,
}

/// The format in which SES publishes an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vocabulary {
    /// The notification of an identity.
    Identity,
    /// The event that a configuration set publishes.
    Publishing,
    /// Both publish the same event.
    Both,
}

impl Vocabulary {
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Identity => &["notificationType"],
            Self::Publishing => &["eventType"],
            Self::Both => &["notificationType", "eventType"],
        }
    }
}

/// An event of a mail.
#[derive(Debug, Clone)]
pub struct MailEvent<'a> {
    /// What SES says.
    pub kind: EventKind,
    /// The recipients that it is about.
    pub to: &'a [&'a str],
    /// The recipients that the mail was sent to.
    pub destination: &'a [&'a str],
    /// The feedback id; the mail's id is made of it.
    pub id: &'a str,
    /// When the mail was sent.
    pub sent_at: Timestamp,
    /// When it happened, by SES's clock.
    pub occurred_at: Timestamp,
    /// The account that sent the mail.
    pub account: &'a str,
    /// The Region that the mail was sent from.
    pub region: &'a str,
}

impl MailEvent<'_> {
    /// The bodies of the messages that SES publishes.
    pub fn messages(&self, vocabulary: Vocabulary) -> Vec<String> {
        let (kind, field, body) = self.body();
        let identity = format!("arn:aws:ses:{}:{}:identity/example.com", self.region, self.account);
        let mail = json!({"messageId": format!("m-{}", self.id), "timestamp": self.sent_at,
            "source": "news@example.com", "sourceArn": identity, "sendingAccountId": self.account,
            "destination": self.destination});
        let notification = |name: &&str| json!({*name: kind, field: body, "mail": mail}).to_string();
        vocabulary.fields().iter().map(notification).collect()
    }

    fn body(&self) -> (&'static str, &'static str, Value) {
        match self.kind {
            EventKind::Permanent | EventKind::Simulator | EventKind::ThirdParty => {
                self.bounce("Permanent", "General", "failed", "5.1.1")
            }
            EventKind::Transient => self.bounce("Transient", "MailboxFull", "failed", "5.2.2"),
            EventKind::AutoResponse => self.auto_response(),
            EventKind::Refusal => self.bounce("Permanent", "UnsubscribedRecipient", "failed", "5.1.1"),
            EventKind::TooLarge => self.bounce("Transient", "MessageTooLarge", "failed", "5.3.4"),
            EventKind::Undetermined => self.bounce("Undetermined", "Undetermined", "failed", "5.0.0"),
            EventKind::Delayed => self.bounce("Permanent", "General", "delayed", "4.4.7"),
            EventKind::EchoOfBounce => {
                self.bounce("Permanent", "OnAccountSuppressionList", "failed", "5.1.1")
            }
            EventKind::Complaint | EventKind::ComplaintOfSeveral => self.complaint(Some("abuse"), None),
            EventKind::NotSpam => self.complaint(Some("not-spam"), None),
            EventKind::EchoOfComplaint => self.complaint(None, Some("OnAccountSuppressionList")),
            EventKind::Delivery => {
                let body = json!({"timestamp": self.occurred_at, "recipients": self.to,
                    "processingTimeMillis": 546, "smtpResponse": "250 ok"});
                ("Delivery", "delivery", body)
            }
        }
    }

    fn bounce(
        &self,
        kind: &str,
        subtype: &str,
        action: &str,
        status: &str,
    ) -> (&'static str, &'static str, Value) {
        let recipient = |address: &&str| json!({"emailAddress": address, "action": action, "status": status});
        let recipients: Vec<_> = self.to.iter().map(recipient).collect();
        let body = json!({"bounceType": kind, "bounceSubType": subtype, "bouncedRecipients": recipients,
            "timestamp": self.occurred_at, "feedbackId": self.id, "reportingMTA": "dsn; a8-70.smtp-out.amazonses.com"});
        ("Bounce", "bounce", body)
    }

    fn auto_response(&self) -> (&'static str, &'static str, Value) {
        let recipients: Vec<_> = self.to.iter().map(|address| json!({"emailAddress": address})).collect();
        let body = json!({"bounceType": "Transient", "bounceSubType": "General", "bouncedRecipients": recipients,
            "timestamp": self.occurred_at, "feedbackId": self.id});
        ("Bounce", "bounce", body)
    }

    fn complaint(&self, kind: Option<&str>, subtype: Option<&str>) -> (&'static str, &'static str, Value) {
        let recipients: Vec<_> = self.to.iter().map(|address| json!({"emailAddress": address})).collect();
        let body = json!({"complainedRecipients": recipients, "timestamp": self.occurred_at,
            "feedbackId": self.id, "complaintFeedbackType": kind, "complaintSubType": subtype});
        ("Complaint", "complaint", body)
    }
}
