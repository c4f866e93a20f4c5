//! Whether a mail may be answered automatically, so that machines do not answer machines.
//!
//! Sources: RFC 3834 (automatic responses), RFC 5230, 4.6 (vacation), RFC 2369 and 2919 (mailing lists), RFC 5321, 4.5.5
//! (null reverse-path), [MS-OXCMAIL] 2.1.3.2.20 (`X-Auto-Response-Suppress`), and what vacation programs and help desks look
//! for besides.

use serde::Serialize;

use super::headers::{HeaderView, decode_value, unfold_and_parse_mailboxes};
use super::mailbox::Mailbox;
use super::parameters;
use crate::address::Address;
use crate::text::{MAX_SES_TEXT_CHARS, sanitize_text};

/// What a mail says about who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoopSigns {
    /// The field `Auto-Submitted` (RFC 3834, 5): anything but `no` means that a machine wrote the mail.
    pub auto_submitted: Option<String>,
    /// The field `Precedence`: `bulk`, `junk`, `list` and `auto_reply` mean that a machine wrote the mail.
    pub precedence: Option<String>,
    /// The field `List-Id` (RFC 2919): whatever it says, the mail is a mailing list's.
    pub list_id: Option<String>,
    /// Whether the envelope has no sender, or a mail system's: a bounce, or another report on mail (RFC 5321, 4.5.5).
    pub null_sender: bool,
    /// Whether the mail may be answered automatically: `Some(false)` if it has any of the signs above, any other field of a
    /// mailing list or automatic reply, is a report, or comes from an address that nobody reads or from its own
    /// recipient; `None` if there is no such sign, but the header was not read to its end.
    pub auto_reply_ok: Option<bool>,
}

/// The fields that are read here, besides those of [`is_list_field`] and [`is_auto_reply_field`].
const SIGN_FIELDS: &[&str] = &[
    "Return-Path",
    "Sender",
    "Reply-To",
    "Content-Type",
    "Auto-Submitted",
    "Precedence",
    "X-Precedence",
    "Preference",
    "X-Auto-Response-Suppress",
];
/// The fields that say how urgent a mail is; cPanel writes the latter two.
const PRECEDENCE_FIELDS: &[&str] = &["Precedence", "X-Precedence", "Preference"];
/// Header fields may list more senders, but nobody needs more to tell a machine.
const MAX_SENDERS: usize = 20;

/// Whether a header field is read to find the signs.
pub(super) fn is_sign_field(name: &str) -> bool {
    SIGN_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field))
        || is_list_field(name)
        || is_auto_reply_field(name)
}

/// Who sent a mail, by its envelope.
#[derive(Debug, Clone, Copy)]
pub(super) struct SmtpEnvelope<'a> {
    /// `MAIL FROM`.
    pub(super) mail_from: Option<&'a str>,
    /// SES's reading of `Return-Path`.
    pub(super) return_path: Option<&'a str>,
}

/// Those to whom automatic replies go: RFC 3834 wants the envelope's sender, many programs take the header's.
#[derive(Debug)]
pub(super) struct Senders {
    addresses: Vec<Address>,
    /// Whether one without a domain is a machine, as in `From: MAILER-DAEMON (Mail Delivery System)`.
    has_local_machine: bool,
}

impl Senders {
    /// `from` are the senders that the mail claims to be from.
    pub(super) fn from_header(header: HeaderView<'_>, envelope: SmtpEnvelope<'_>, from: &[Mailbox]) -> Self {
        let envelope = envelope.mail_from.into_iter().chain(envelope.return_path);
        let envelope = envelope.chain(header.values_from_ses_and_mail("Return-Path")).map(str::to_owned);
        let others =
            ["Sender", "Reply-To"].into_iter().flat_map(|name| header.values_from_ses_and_mail(name));
        let others = others.flat_map(|list| unfold_and_parse_mailboxes(list, MAX_SENDERS));
        let mailboxes = from.iter().cloned().chain(others).filter_map(|mailbox| mailbox.address);
        let mut addresses: Vec<_> =
            envelope.chain(mailboxes).filter_map(|text| Address::parse(&text).ok()).collect();
        let mut has_local_machine = false;
        for list in
            ["From", "Sender", "Reply-To"].into_iter().flat_map(|name| header.values_from_ses_and_mail(name))
        {
            let list = decode_value(list);
            let has_domain = list.contains('@');
            for entry in list.split(',').take(MAX_SENDERS) {
                // Beside addresses with domains, a piece without brackets is part of a name, as in `Bounce, Inc <jane@…>`.
                has_local_machine |= (entry.contains('<') || !has_domain) && is_local_machine(entry);
                // An address that was encoded, as only a name may be.
                addresses.extend(Address::parse(entry).ok());
            }
        }
        Self { addresses, has_local_machine }
    }

    fn has_machine_address(&self) -> bool {
        let is_machine = |address: &Address| {
            address.match_form().rsplit_once('@').is_some_and(|(local, _)| is_machine_local_part(local))
        };
        self.has_local_machine || self.addresses.iter().any(is_machine)
    }

    /// Whether an address is among the senders. A tag, as in `jane+tag@example.com`, makes no other mailbox.
    fn contains(&self, address: &Address) -> bool {
        self.addresses.iter().any(|sender| split_without_tag(sender) == split_without_tag(address))
    }
}

fn split_without_tag(address: &Address) -> Option<(&str, &str)> {
    let (local, domain) = address.match_form().rsplit_once('@')?;
    let tag = local.find('+').filter(|at| *at > 0);
    Some((tag.and_then(|at| local.get(..at)).unwrap_or(local), domain))
}

impl LoopSigns {
    /// Reads the signs from a mail's header and senders. The recipients are judged by [`LoopSigns::forbid_self_reply`].
    pub(super) fn detect_machine_mail(
        header: HeaderView<'_>,
        envelope: SmtpEnvelope<'_>,
        senders: &Senders,
    ) -> Self {
        // Of a field that stands there twice, the one that tells of a machine counts.
        let find = |names: &[&str], is_sign: fn(&str) -> bool| {
            let is_named = |name: &str| names.iter().any(|known| name.eq_ignore_ascii_case(known));
            let values: Vec<_> = header
                .fields_from_ses_and_mail()
                .filter(|(name, _)| is_named(name))
                .map(|(_, value)| value)
                .collect();
            let sign = values.iter().copied().find(|value| is_sign(value));
            (
                sign.is_some(),
                sign.or(values.first().copied()).map(|value| sanitize_text(value, MAX_SES_TEXT_CHARS)),
            )
        };
        let (submitted_by_machine, auto_submitted) =
            find(&["Auto-Submitted"], |value| parse_leading_keywords(value).iter().any(|word| word != "no"));
        let (bulk, precedence) = find(PRECEDENCE_FIELDS, is_machine_precedence);
        let (suppressed, _) = find(&["X-Auto-Response-Suppress"], suppresses_auto_reply);
        let (report, _) = find(&["Content-Type"], is_report_type);
        let (_, list_id) = find(&["List-Id"], |_| true);
        let marked = header
            .fields_from_ses_and_mail()
            .any(|(name, _)| is_list_field(name) || is_auto_reply_field(name));
        let return_path = header.first_value_from_ses_else_mail("Return-Path");
        let sender = envelope.mail_from.or(envelope.return_path).or(return_path).unwrap_or_default();
        let null_sender = is_null_or_mailer_daemon(sender)
            || header.values_from_ses_and_mail("Return-Path").any(is_null_or_mailer_daemon);
        let machine = submitted_by_machine
            || bulk
            || suppressed
            || report
            || marked
            || null_sender
            || senders.has_machine_address();
        let is_complete = header.is_complete && !header.from_ses.has_unreadable;
        let auto_reply_ok = if machine { Some(false) } else { is_complete.then_some(true) };
        Self { auto_submitted, precedence, list_id, null_sender, auto_reply_ok }
    }

    /// The signs for one recipient, who must not answer mail of their own.
    pub(super) fn forbid_self_reply(&self, recipient: &Address, senders: &Senders) -> Self {
        let auto_reply_ok = if senders.contains(recipient) { Some(false) } else { self.auto_reply_ok };
        Self { auto_reply_ok, ..self.clone() }
    }
}

/// The keywords of a field, in lower case, without parameters and comments. There should be one.
fn parse_leading_keywords(value: &str) -> Vec<String> {
    let value = parameters::without_comments(value);
    let word = |entry: &str| {
        let word = entry.split([';', '(']).next().and_then(|words| words.split_whitespace().next());
        word.map(str::to_ascii_lowercase)
    };
    value.split(',').filter_map(word).collect()
}

/// The letters and digits of a text, in lower case.
fn letters_and_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a value of `Precedence` is `bulk`, `junk`, `list`, or an automatic reply in one of its spellings.
fn is_machine_precedence(value: &str) -> bool {
    const SIGNS: &[&str] = &["bulk", "junk", "list", "autorepl", "autoresp", "autogenerated"];
    let value = parameters::without_comments(value);
    value.split(',').any(|entry| {
        let entry = letters_and_digits(entry.split([';', '(']).next().unwrap_or_default());
        SIGNS.iter().any(|sign| entry.starts_with(sign))
    })
}

/// Whether `X-Auto-Response-Suppress` is about replies; it may also be about delivery reports and receipts only.
fn suppresses_auto_reply(value: &str) -> bool {
    value
        .split([',', ';', ' '])
        .any(|word| matches!(letters_and_digits(word).as_str(), "all" | "autoreply" | "oof"))
}

/// Whether a content type is a report on mail (RFC 6522), whole or on its own.
fn is_report_type(value: &str) -> bool {
    const REPORTS: &[&str] = &[
        "multipart/report",
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "message/global-delivery-status",
        "message/global-disposition-notification",
        "message/tracking-status",
    ];
    REPORTS.contains(&parameters::value_before_parameters(value).as_str())
        || parameters::plain_else_decoded_parameter(value, "report-type").is_some()
}

/// Whether a field is a mailing list's: RFC 2369's and 2919's, whatever else begins like them, and older ones.
fn is_list_field(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("list-") || matches!(name.as_str(), "mailing-list" | "x-mailing-list")
}

/// Whether a field is one that only automatic replies and other machines' mail have.
fn is_auto_reply_field(name: &str) -> bool {
    const PREFIXES: &[&str] =
        &["xautoreply", "xautorespond", "xautogenerated", "xmailautoreply", "xfcmachinegenerated"];
    let name = letters_and_digits(name);
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether an entry of an address list has no domain and is a machine's name.
fn is_local_machine(entry: &str) -> bool {
    let entry = parameters::without_comments(entry);
    let name =
        entry.rsplit_once('<').map_or(entry.as_str(), |(_, rest)| rest.split('>').next().unwrap_or_default());
    let name = name.trim().trim_matches('"');
    !name.contains(|c: char| c == '@' || c.is_whitespace()) && is_machine_local_part(&name.to_lowercase())
}

/// Whether the local part of an address, in lower case, is one that no person reads.
fn is_machine_local_part(lowercase_local_part: &str) -> bool {
    // `do-not-reply`, `do_not_reply` and `donotreply` differ in separators only, and anything may stand around them: tags,
    // numbers, a department.
    const NOBODY: &[&str] = &[
        "noreply",
        "noreplies",
        "norespond",
        "noresponse",
        "notreply",
        "notreplies",
        "notrespond",
        "notresponse",
        "dontreply",
        "donotreply",
        "donotrespond",
        "donotresponse",
        "dontrespond",
    ];
    const MACHINES: &[&str] = &[
        "postmaster",
        "mailerdaemon",
        "bounce",
        "bounces",
        "autoreply",
        "autorespond",
        "autoresponder",
        "autoresponse",
    ];
    let local = lowercase_local_part.replace('\'', "");
    let words: Vec<&str> =
        local.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let without_digits = |word: &str| word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let is_sign = |word: &&str| {
        let plain = without_digits(word);
        MACHINES.contains(&plain.as_str())
            || NOBODY.iter().any(|sign| word.starts_with(sign) || plain.ends_with(sign))
    };
    let is_pair = |pair: &[&str]| {
        let joined = without_digits(&pair.concat());
        NOBODY.contains(&joined.as_str()) || MACHINES.contains(&joined.as_str())
    };
    // Programs that run mailing lists (RFC 5230, 4.6).
    let is_list = local.starts_with("owner-")
        || local.ends_with("-owner")
        || local.ends_with("-request")
        || matches!(local.as_str(), "listserv" | "majordomo" | "mailman");
    is_list || words.iter().any(is_sign) || words.windows(2).any(is_pair)
}

/// Whether a sender is RFC 5321's null reverse-path, or the mail system's name that somebody has filled in for it.
fn is_null_or_mailer_daemon(sender: &str) -> bool {
    let sender = sender.trim().trim_start_matches('<').trim_end_matches('>').trim();
    let local = sender.split('@').next().unwrap_or_default();
    sender.is_empty() || local.eq_ignore_ascii_case("mailer-daemon")
}

#[cfg(test)]
mod tests {
    use super::super::headers::HeaderFields;
    use super::*;

    /// The signs for `support@example.com`.
    fn signs(fields: &[(&str, &str)], mail_from: Option<&str>, whole: bool) -> LoopSigns {
        let mut headers = HeaderFields::default();
        for (name, value) in fields {
            headers.push(name, value);
        }
        let header = HeaderView { from_ses: &headers, from_mail: None, is_complete: whole };
        let envelope = SmtpEnvelope { mail_from, return_path: None };
        let senders =
            Senders::from_header(header, envelope, &header.choose_decodable_senders(&[], MAX_SENDERS));
        let recipient = Address::parse("support@example.com").unwrap();
        LoopSigns::detect_machine_mail(header, envelope, &senders).forbid_self_reply(&recipient, &senders)
    }

    /// Fields, the envelope's sender, and whether it may be answered.
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, bool);

    #[test]
    fn a_field_that_cannot_be_read_may_have_been_any() {
        let unreadable = HeaderFields::from(serde_json::json!([null]));
        let header = HeaderView { from_ses: &unreadable, from_mail: None, is_complete: true };
        let envelope = SmtpEnvelope { mail_from: Some("jane@example.net"), return_path: None };
        let senders = Senders { addresses: Vec::new(), has_local_machine: false };
        assert_eq!(LoopSigns::detect_machine_mail(header, envelope, &senders).auto_reply_ok, None);
    }

    #[test]
    fn who_may_be_answered() {
        let person = Some("jane@example.net");
        let cases: &[Case] = &[
            (&[("From", "jane@example.net")], person, true),
            (&[("Auto-Submitted", "no")], person, true),
            (&[("Auto-Submitted", "(by hand) no (really)")], person, true),
            (&[("Auto-Submitted", "(rejected by filter) auto-generated (by cron)")], person, false),
            (&[("Auto-Submitted", "no, auto-replied")], person, false),
            (&[("Content-Type", "(c) multipart/report; boundary=b")], person, false),
            (&[("Precedence", "(x) bulk")], person, false),
            (&[("Precedence", "first-class, bulk")], person, false),
            (&[("From", "MAILER-DAEMON (Mail Delivery System)")], person, false),
            (&[("From", "\"Mail Delivery System\" <MAILER-DAEMON>")], person, false),
            (&[("From", "Bounce, Inc <jane@example.com>")], person, true),
            (&[("From", "Mail Delivery System <MAILER-DAEMON>, jane@example.com")], person, false),
            (&[("From", "postmaster")], person, false),
            (&[("Sender", "MAILER-DAEMON")], person, false),
            (&[("Reply-To", "noreply")], person, false),
            (&[("From", "=?utf-8?Q?noreply=40example.net?=")], person, false),
            (&[("From", "Jane Postmaster <jane@example.net>")], person, true),
            (&[("Reply-To", "jane@example.net"), ("Reply-To", "noreply@example.net")], person, false),
            (&[("Sender", "jane@example.net"), ("Sender", "mailer-daemon@example.net")], person, false),
            (&[("Return-Path", "<jane@example.net>"), ("Return-Path", "<>")], person, false),
            (&[("Auto-Submitted", " No ; because=1")], person, true),
            (&[("Auto-Submitted", "no (really)")], person, true),
            (&[("Auto-Submitted", "")], person, true),
            (&[("Auto-Submitted", "auto-replied")], person, false),
            (&[("auto-submitted", "AUTO-GENERATED; owner-email=\"a@b\"")], person, false),
            (&[("Auto-Submitted", "something-new")], person, false),
            (&[("Auto-Submitted", "no"), ("Auto-Submitted", "auto-replied")], person, false),
            (&[("Precedence", "first-class")], person, true),
            (&[("Precedence", "special-delivery")], person, true),
            (&[("Precedence", "Bulk")], person, false),
            (&[("Precedence", "list")], person, false),
            (&[("Precedence", "junk ")], person, false),
            (&[("Precedence", "bulk; charset=us-ascii")], person, false),
            (&[("Precedence", "auto_reply")], person, false),
            (&[("Precedence", "auto-reply")], person, false),
            (&[("Precedence", "Auto Reply")], person, false),
            (&[("Precedence", "autoreply")], person, false),
            (&[("X-Precedence", "auto_reply")], person, false),
            (&[("Precedence", "first-class"), ("Precedence", "bulk")], person, false),
            (&[("List-Id", "Talk <talk.example.com>")], person, false),
            (&[("List-Id", "")], person, false),
            (&[("List-Unsubscribe", "<mailto:u@example.net>")], person, false),
            (&[("list-help", "x")], person, false),
            (&[("List-Something-New", "x")], person, false),
            (&[("Mailing-List", "contact talk-help@example.com; run by ezmlm")], person, false),
            (&[("Listing", "x"), ("X-List", "x")], person, true),
            (&[("X-Autoreply", "yes")], person, false),
            (&[("X-Auto-Reply", "1")], person, false),
            (&[("X-AutoReply-From", "jane@example.net")], person, false),
            (&[("x-autorespond", "")], person, false),
            (&[("X-Autoresponder", "x")], person, false),
            (&[("X-Autogenerated", "Reply")], person, false),
            (&[("X-Auto-Response-Suppress", "All")], person, false),
            (&[("X-Auto-Response-Suppress", "oof")], person, false),
            (&[("X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply")], person, false),
            (&[("X-Auto-Response-Suppress", "DR,AutoReply")], person, false),
            (&[("X-Auto-Response-Suppress", "DR, NDR, RN, NRN")], person, true),
            (&[("X-Auto-Response-Suppress", "None")], person, true),
            (&[("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")], person, false),
            (&[("Content-Type", "Multipart/Report; report-type=disposition-notification")], person, false),
            (&[("Content-Type", "multipart/mixed; boundary=b; report-type=delivery-status")], person, false),
            (&[("Content-Type", "message/disposition-notification")], person, false),
            (&[("Content-Type", "multipart/mixed; boundary=report-type")], person, true),
            (&[("Return-Path", "<>")], person, false),
            (&[("Return-Path", "<jane@example.net>")], person, true),
            (&[("Return-Path", "<jane@example.net>")], None, true),
            (&[], Some("<>"), false),
            (&[], None, false),
            (&[], Some("MAILER-DAEMON"), false),
            (&[], Some("Mailer-Daemon@mx.example.com"), false),
            (&[], Some("mailer-daemons@example.com"), true),
            // Addresses that nobody reads, wherever they stand.
            (&[("From", "Shop <no-reply@example.net>")], person, false),
            (&[("Sender", "noreply@example.net")], person, false),
            (&[("Reply-To", "Do Not Reply <do.not.reply@example.net>")], person, false),
            (&[("From", "\"no-reply@example.net\" <jane@example.net>")], person, true),
            (&[("From", "Jane <jane@noreply.example>")], person, true),
            // A recipient does not answer themselves.
            (&[("From", "Support <Support@Example.com>")], person, false),
            (&[("Reply-To", "support+ticket-1@example.com")], person, false),
            (&[], Some("support@example.com"), false),
            (&[("From", "support@example.net")], Some("supporter@example.com"), true),
        ];
        for (fields, mail_from, ok) in cases {
            assert_eq!(signs(fields, *mail_from, true).auto_reply_ok, Some(*ok), "{fields:?} {mail_from:?}");
            // A sign is a sign, but what was not seen is no permission.
            let unknown = if *ok { None } else { Some(false) };
            assert_eq!(signs(fields, *mail_from, false).auto_reply_ok, unknown, "{fields:?} {mail_from:?}");
        }
        let twice = signs(&[("Auto-Submitted", "no"), ("Auto-Submitted", "auto-replied")], person, true);
        assert_eq!(twice.auto_submitted.as_deref(), Some("auto-replied"));
        assert!(
            SIGN_FIELDS.iter().all(|field| is_sign_field(field))
                && PRECEDENCE_FIELDS.iter().all(|field| is_sign_field(field))
        );
    }

    #[test]
    fn local_parts_of_machines() {
        let machines = "no-reply noreply no_reply no.reply noreply+tag noreply-abc123 abc-noreply noreply2 accounts_noreply \
                        do-not-reply donotreply do_not_reply please-do-not-reply dont-reply don't-reply no-replies \
                        prvs=144d0cba7=noreply postmaster postmaster+x mailer-daemon mailerdaemon mailer_daemon bounce \
                        bounce+abc=x bounces-12345-abc talk-bounces msprvs1=18000=bounces-1-2 auto-reply autoresponder \
                        owner-talk talk-owner talk-request majordomo listserv noresponse noreplies notreply do-notreply donotrespond \
                        do-not-respond donot-reply auto-response";
        for local in machines.split_whitespace() {
            assert!(is_machine_local_part(local), "{local}");
        }
        let people = "jane reply replies-to-jane casino-reply piano.reply nora noah.reply owner request postmasters \
                      bouncer jane.bouncer master daemon auto norepla sender prvs=144d0cba7=jane";
        for local in people.split_whitespace() {
            assert!(!is_machine_local_part(local), "{local}");
        }
    }
}
