//! Mail that is sent, as far as the suppression list matters for it: who is kept from getting it, who bounces or complains,
//! what SES tells about that, and whom it puts on the list.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock::{iso, rfc5322};
use crate::ids::Ids;
use crate::suppression::{Evidence, Reason, SuppressionList};

/// A mail that is to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    from: String,
    to: Vec<String>,
    fate: Fate,
    fates: BTreeMap<String, Fate>,
    formats: Vec<Format>,
    topic: Option<String>,
}

/// What becomes of a mail at a recipient, if SES tries to deliver it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// The mail arrives, and SES says so.
    Delivered,
    /// The mail arrives, and SES says nothing.
    Silence,
    /// The mail bounces.
    Bounces {
        /// The type of the bounce: `Permanent` (a hard bounce), `Transient` or `Undetermined`.
        kind: String,
        /// The subtype of the bounce, such as `General` or `MailboxFull`.
        sub_type: String,
    },
    /// The mail arrives, and the recipient complains.
    Complains {
        /// The type of the complaint, such as `abuse` or `not-spam`.
        feedback: String,
    },
}

impl Fate {
    /// A hard bounce.
    pub fn bounces() -> Self {
        Self::Bounces { kind: "Permanent".to_owned(), sub_type: "General".to_owned() }
    }

    /// A soft bounce: a transient one, of which the next mail may know nothing any more.
    pub fn bounces_softly() -> Self {
        Self::Bounces { kind: "Transient".to_owned(), sub_type: "MailboxFull".to_owned() }
    }

    /// A complaint about abuse.
    pub fn complains() -> Self {
        Self::Complains { feedback: "abuse".to_owned() }
    }
}

/// The two formats in which SES may tell the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Event publishing, whose messages have an `eventType`.
    Event,
    /// Notifications of an identity, which have a `notificationType`.
    Identity,
}

/// Why a mail was not sent, or not told of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// Sending is paused in this Region.
    #[error("sending is paused in {0}")]
    Paused(String),
    /// The mail is to be told to a topic, but `connect` was not called, so that it is not known where SNS is.
    #[error("the local SES knows no local AWS yet: `connect` tells it")]
    NotConnected,
    /// The mail was sent, but SNS did not accept the message about it.
    #[error("{topic}: {said}")]
    NotTold {
        /// The ARN of the topic.
        topic: String,
        /// The error of SNS.
        said: String,
    },
}

impl Outgoing {
    /// A mail that arrives everywhere. SES tells of it in the format of event publishing, and only to the caller.
    pub fn new<'a>(from: &str, to: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            from: from.to_owned(),
            to: to.into_iter().map(str::to_owned).collect(),
            fate: Fate::Delivered,
            fates: BTreeMap::new(),
            formats: vec![Format::Event],
            topic: None,
        }
    }

    /// Sets what becomes of the mail at every recipient that has no fate of its own.
    #[must_use]
    pub fn fate(self, fate: Fate) -> Self {
        Self { fate, ..self }
    }

    /// Sets what becomes of the mail at one recipient.
    #[must_use]
    pub fn fate_of(mut self, recipient: &str, fate: Fate) -> Self {
        self.fates.insert(recipient.to_owned(), fate);
        self
    }

    /// Sets the formats in which SES tells of the mail.
    #[must_use]
    pub fn formats(self, formats: &[Format]) -> Self {
        Self { formats: formats.to_vec(), ..self }
    }

    /// Sets the topic to which SES publishes what it tells of the mail.
    #[must_use]
    pub fn told_to(self, topic: &str) -> Self {
        Self { topic: Some(topic.to_owned()), ..self }
    }

    pub(crate) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }
}

/// What SES tells about one recipient, in one format.
#[derive(Debug, Clone)]
pub(crate) struct Notice {
    pub(crate) format: Format,
    pub(crate) message: Value,
}

impl Notice {
    /// The subject and the text of the message, as samples of both formats have them: only events have a subject and end
    /// the line.
    pub(crate) fn published(&self) -> (Option<&'static str>, String) {
        match self.format {
            Format::Event => (Some("Amazon SES Email Event Notification"), format!("{}\n", self.message)),
            Format::Identity => (None, self.message.to_string()),
        }
    }
}

/// Sends mail in one Region, from one account.
pub(crate) struct Sender<'a> {
    pub(crate) ids: &'a Ids,
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
}

impl Sender<'_> {
    /// Sends a mail. Returns a notice for each recipient and format.
    pub(crate) fn send(
        &self,
        list: &mut SuppressionList,
        mail: &Outgoing,
        now: OffsetDateTime,
    ) -> Result<Vec<Notice>, NotSent> {
        if !list.account.sending_enabled {
            return Err(NotSent::Paused(self.region.to_owned()));
        }
        // Mail to suppressed recipients counts against the quota, too (guide, "considerations").
        for _ in &mail.to {
            list.account.sent_last_24_hours += 1.0;
        }
        let message_id = self.ids.sent(now);
        let mut notices = Vec::new();
        for recipient in &mail.to {
            let feedback_id = self.ids.sent(now);
            let what = if let Some(reason) = list.suppresses(now, recipient) {
                Some(suppressed(reason, recipient, &feedback_id, now))
            } else {
                let fate = mail.fates.get(recipient).unwrap_or(&mail.fate);
                if let Some(reason) = listed_for(fate) {
                    let evidence =
                        Evidence { message_id: message_id.clone(), feedback_id: feedback_id.clone() };
                    list.notice(now, recipient, reason, evidence);
                }
                told(fate, recipient, &feedback_id, now)
            };
            let Some((kind, detail)) = what else { continue };
            for format in &mail.formats {
                let mut message = json!({ "mail": self.mail(mail, &message_id, *format, now) });
                message[kind.to_ascii_lowercase()] = detail.clone();
                let name = match format {
                    Format::Event => "eventType",
                    Format::Identity => "notificationType",
                };
                message[name] = json!(kind);
                notices.push(Notice { format: *format, message });
            }
        }
        Ok(notices)
    }

    fn mail(&self, mail: &Outgoing, message_id: &str, format: Format, now: OffsetDateTime) -> Value {
        let (account, region) = (self.account, self.region);
        let domain = mail.from.rsplit_once('@').map_or(mail.from.as_str(), |(_, domain)| domain);
        let subject = "Your order is on its way";
        let header = |name: &str, value: &str| json!({ "name": name, "value": value });
        let mut told = json!({
            "timestamp": iso(now),
            "source": mail.from,
            "sourceArn": format!("arn:aws:ses:{region}:{account}:identity/{domain}"),
            "sendingAccountId": account,
            "messageId": message_id,
            "destination": mail.to,
            "headersTruncated": false,
            "headers": [
                header("From", &mail.from), header("To", &mail.to.join(", ")), header("Subject", subject),
            ],
            "commonHeaders": { "from": [mail.from], "to": mail.to, "messageId": message_id, "subject": subject },
        });
        match format {
            Format::Event => {
                told["tags"] = json!({
                    "ses:operation": ["SendEmail"],
                    "ses:configuration-set": ["local-feedback"],
                    "ses:source-ip": ["192.0.2.10"],
                    "ses:from-domain": [domain],
                    "ses:caller-identity": ["local-mailer"],
                });
            }
            Format::Identity => {
                told["sourceIp"] = json!("192.0.2.10");
                told["callerIdentity"] = json!("local-mailer");
                told["commonHeaders"]["date"] = json!(rfc5322(now));
            }
        }
        told
    }
}

/// The reason for which SES puts the recipient on the list; `None` if it does not (guide: it does for hard bounces and for
/// complaints). No source tells that `not-spam`, the opposite of a complaint, does not count; this takes it for granted.
fn listed_for(fate: &Fate) -> Option<Reason> {
    match fate {
        Fate::Bounces { kind, .. } if kind == "Permanent" => Some(Reason::Bounce),
        Fate::Complains { feedback } if feedback != "not-spam" => Some(Reason::Complaint),
        _ => None,
    }
}

/// What is told of a mail that SES did not try to deliver: a bounce or a complaint, by the reason of the entry, with the
/// subtype `OnAccountSuppressionList` (guide, "Contents of event publishing": `bounceSubType`, `complaintSubType`).
fn suppressed(
    reason: Reason,
    recipient: &str,
    feedback_id: &str,
    now: OffsetDateTime,
) -> (&'static str, Value) {
    match reason {
        Reason::Bounce => {
            let why = "SES did not try: the address is on the suppression list of the account";
            let mut detail =
                bounce("Permanent", "OnAccountSuppressionList", recipient, feedback_id, now, ("5.1.1", why));
            detail["reportingMTA"] = json!("dns; amazonses.com");
            ("Bounce", detail)
        }
        Reason::Complaint => (
            "Complaint",
            json!({
                "feedbackId": feedback_id,
                "complaintSubType": "OnAccountSuppressionList",
                "complainedRecipients": [{ "emailAddress": recipient }],
                "timestamp": iso(now),
            }),
        ),
    }
}

fn told(
    fate: &Fate,
    recipient: &str,
    feedback_id: &str,
    now: OffsetDateTime,
) -> Option<(&'static str, Value)> {
    match fate {
        Fate::Silence => None,
        Fate::Delivered => Some((
            "Delivery",
            json!({
                "timestamp": iso(now),
                "processingTimeMillis": 546,
                "recipients": [recipient],
                "smtpResponse": "250 ok",
                "reportingMTA": "a8-31.smtp-out.amazonses.com",
            }),
        )),
        Fate::Bounces { kind, sub_type } => {
            let said = match kind.as_str() {
                "Permanent" => ("5.1.1", "smtp; 550 5.1.1 no such user here"),
                _ => ("4.2.2", "smtp; 452 4.2.2 mailbox full"),
            };
            Some(("Bounce", bounce(kind, sub_type, recipient, feedback_id, now, said)))
        }
        Fate::Complains { feedback } => Some((
            "Complaint",
            json!({
                "feedbackId": feedback_id,
                "complaintSubType": null,
                "complainedRecipients": [{ "emailAddress": recipient }],
                "timestamp": iso(now),
                "userAgent": "ExampleISP-FBL/2.4",
                "complaintFeedbackType": feedback,
                "arrivalDate": iso(now),
            }),
        )),
    }
}

fn bounce(
    kind: &str,
    sub_type: &str,
    recipient: &str,
    feedback_id: &str,
    now: OffsetDateTime,
    (status, said): (&str, &str),
) -> Value {
    json!({
        "feedbackId": feedback_id,
        "bounceType": kind,
        "bounceSubType": sub_type,
        "bouncedRecipients": [{
            "emailAddress": recipient, "action": "failed", "status": status, "diagnosticCode": said,
        }],
        "timestamp": iso(now),
        "reportingMTA": "dns; a8-31.smtp-out.amazonses.com",
    })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::suppression::Rules;

    const NOW: OffsetDateTime = datetime!(2026-05-04 08:39:54.012 UTC);

    fn send(list: &mut SuppressionList, mail: &Outgoing) -> Vec<Value> {
        let ids = Ids::new(Some(1));
        let sender = Sender { ids: &ids, account: "123456789012", region: "us-east-1" };
        sender.send(list, mail, NOW).expect("sent").into_iter().map(|notice| notice.message).collect()
    }

    fn list() -> SuppressionList {
        SuppressionList::new("us-east-1", Rules::default())
    }

    fn to(address: &'static str, fate: Fate) -> Outgoing {
        Outgoing::new("shop@example.com", [address]).fate(fate)
    }

    #[test]
    fn a_hard_bounce_goes_on_the_list_and_the_next_mail_is_not_tried() {
        let mut list = list();
        let first = send(&mut list, &to("Ada@example.net", Fate::bounces()));
        let (_, entry) = list.get(NOW, "Ada@example.net").expect("listed, as it was written");
        let evidence = entry.evidence.expect("SES's own");
        assert_eq!(entry.reason, Reason::Bounce);
        assert_eq!(first[0]["mail"]["messageId"], evidence.message_id);
        assert_eq!(first[0]["bounce"]["feedbackId"], evidence.feedback_id);
        assert_eq!(first[0]["bounce"]["bounceSubType"], "General");

        let second = send(&mut list, &to("ada@EXAMPLE.net", Fate::Delivered));
        assert_eq!(second[0]["eventType"], "Bounce");
        assert_eq!(second[0]["bounce"]["bounceType"], "Permanent");
        assert_eq!(second[0]["bounce"]["bounceSubType"], "OnAccountSuppressionList");
        assert_eq!(second[0]["bounce"]["bouncedRecipients"][0]["emailAddress"], "ada@EXAMPLE.net");
        assert_eq!(second[0]["mail"]["sourceArn"], "arn:aws:ses:us-east-1:123456789012:identity/example.com");
        assert_eq!(list.count(NOW), 1, "the list working is nothing new");

        list.account.suppressed_reasons = vec![Reason::Complaint];
        assert_eq!(send(&mut list, &to("ada@example.net", Fate::Delivered))[0]["eventType"], "Delivery");
        assert!((list.account.sent_last_24_hours - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_complaint_goes_on_the_list_but_its_opposite_does_not() {
        let mut list = list();
        send(&mut list, &to("a@example.net", Fate::Complains { feedback: "not-spam".to_owned() }));
        send(&mut list, &to("b@example.net", Fate::bounces_softly()));
        send(&mut list, &to("bounce@simulator.amazonses.com", Fate::bounces()));
        assert_eq!(list.count(NOW), 0);
        send(&mut list, &to("a@example.net", Fate::complains()));
        let told = send(&mut list, &to("a@example.net", Fate::Delivered));
        assert_eq!(told[0]["complaint"]["complaintSubType"], "OnAccountSuppressionList");
    }

    #[test]
    fn both_formats_tell_the_same_of_each_recipient() {
        let mail = Outgoing::new("shop@example.com", ["a@example.net", "b@example.net", "c@example.net"])
            .fate(Fate::Silence)
            .fate_of("b@example.net", Fate::bounces())
            .formats(&[Format::Event, Format::Identity]);
        let told = send(&mut list(), &mail);
        assert_eq!(told.len(), 2);
        assert_eq!(
            (&told[0]["eventType"], &told[1]["notificationType"]),
            (&json!("Bounce"), &json!("Bounce"))
        );
        assert_eq!(told[0]["bounce"], told[1]["bounce"]);
        assert_eq!(told[0]["mail"]["destination"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn a_paused_account_sends_nothing() {
        let mut list = list();
        list.account.sending_enabled = false;
        let ids = Ids::new(Some(1));
        let sender = Sender { ids: &ids, account: "123456789012", region: "us-east-1" };
        let sent = sender.send(&mut list, &to("a@example.net", Fate::Delivered), NOW);
        assert_eq!(sent.map(drop), Err(NotSent::Paused("us-east-1".to_owned())));
    }
}
