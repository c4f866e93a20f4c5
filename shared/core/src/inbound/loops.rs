//! The signs by which mail of machines is known, so that nobody answers a machine with a machine (RFC 3834).

use serde::Serialize;

use super::headers::Told;
use crate::record::SES_TEXT;
use crate::text::visible;

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
    /// Whether the mail may be answered automatically: it has none of the above signs, and its whole header was seen.
    /// What was not seen is no permission.
    pub auto_reply_ok: bool,
}

impl LoopSigns {
    /// Reads the signs from a mail's header and envelope. `return_path` is SES's reading of that field.
    pub(super) fn of(header: Told<'_>, source: Option<&str>, return_path: Option<&str>) -> Self {
        // Of a field that stands there twice, the one that tells of a machine counts.
        let told = |name: &str, is_sign: fn(&str) -> bool| {
            let values = header.values(name);
            let sign = values.iter().copied().find(|value| is_sign(value));
            (sign.is_some(), sign.or(values.first().copied()).map(|value| visible(value, SES_TEXT)))
        };
        let (submitted_by_machine, auto_submitted) =
            told("Auto-Submitted", |value| !matches!(keyword(value).as_str(), "" | "no"));
        let (bulk, precedence) = told("Precedence", |value| {
            matches!(keyword(value).as_str(), "bulk" | "junk" | "list" | "auto_reply")
        });
        let (list, list_id) = told("List-Id", |_| true);
        let sender = source.or(return_path).or(header.first("Return-Path")).unwrap_or_default();
        let null_sender = is_null(sender) || header.first("Return-Path").is_some_and(is_null);
        let machine = submitted_by_machine || bulk || list || null_sender;
        Self { auto_submitted, precedence, list_id, null_sender, auto_reply_ok: header.whole && !machine }
    }
}

/// The keyword of a field, without parameters and comments.
fn keyword(value: &str) -> String {
    let end = value.trim_start().find(|c: char| c.is_whitespace() || matches!(c, ';' | '(' | ','));
    let value = value.trim_start();
    value[..end.unwrap_or(value.len())].to_ascii_lowercase()
}

/// Whether a sender is RFC 5321's null reverse-path, or the mail system's name that somebody has filled in for it.
fn is_null(sender: &str) -> bool {
    let sender = sender.trim().trim_start_matches('<').trim_end_matches('>').trim();
    let local = sender.split('@').next().unwrap_or_default();
    sender.is_empty() || local.eq_ignore_ascii_case("mailer-daemon")
}

#[cfg(test)]
mod tests {
    use super::super::headers::Headers;
    use super::*;

    fn signs(fields: &[(&str, &str)], source: Option<&str>, whole: bool) -> LoopSigns {
        let mut headers = Headers::default();
        for (name, value) in fields {
            headers.push(name, value);
        }
        LoopSigns::of(Told { by_ses: &headers, by_mail: None, whole }, source, None)
    }

    /// Fields, the envelope's sender, and whether it may be answered.
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, bool);

    #[test]
    fn who_may_be_answered() {
        let person = Some("jane@example.com");
        let cases: &[Case] = &[
            (&[("From", "jane@example.com")], person, true),
            (&[("Auto-Submitted", "no")], person, true),
            (&[("Auto-Submitted", " No ; because=1")], person, true),
            (&[("Auto-Submitted", "no (really)")], person, true),
            (&[("Auto-Submitted", "")], person, true),
            (&[("Auto-Submitted", "auto-replied")], person, false),
            (&[("auto-submitted", "AUTO-GENERATED; owner-email=\"a@b\"")], person, false),
            (&[("Auto-Submitted", "something-new")], person, false),
            (&[("Auto-Submitted", "no"), ("Auto-Submitted", "auto-replied")], person, false),
            (&[("Precedence", "first-class")], person, true),
            (&[("Precedence", "Bulk")], person, false),
            (&[("Precedence", "list")], person, false),
            (&[("Precedence", "junk ")], person, false),
            (&[("Precedence", "auto_reply")], person, false),
            (&[("List-Id", "Talk <talk.example.com>")], person, false),
            (&[("List-Id", "")], person, false),
            (&[("Return-Path", "<>")], person, false),
            (&[("Return-Path", "<jane@example.com>")], person, true),
            (&[("Return-Path", "<jane@example.com>")], None, true),
            (&[], Some("<>"), false),
            (&[], None, false),
            (&[], Some("MAILER-DAEMON"), false),
            (&[], Some("Mailer-Daemon@mx.example.com"), false),
            (&[], Some("mailer-daemons@example.com"), true),
        ];
        for (fields, source, ok) in cases {
            assert_eq!(signs(fields, *source, true).auto_reply_ok, *ok, "{fields:?} {source:?}");
            assert!(!signs(fields, *source, false).auto_reply_ok, "{fields:?} {source:?}");
        }
        let twice = signs(&[("Auto-Submitted", "no"), ("Auto-Submitted", "auto-replied")], person, true);
        assert_eq!(twice.auto_submitted.as_deref(), Some("auto-replied"));
    }
}
