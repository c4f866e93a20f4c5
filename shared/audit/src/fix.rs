//! What fixes something: commands that a shell takes as they stand, and DNS records.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The most bytes that a command may have. Every command of the audit is shorter, even one that holds two policies of
/// SES's 4 KB; a record holds many commands.
const MAX_COMMAND_BYTES: usize = 12 * 1024;

/// One step that fixes a fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fix {
    /// A command for a POSIX shell with the AWS CLI, version 1 or 2, ready to be run.
    Command(String),
    /// A DNS record to publish.
    Dns(DnsRecord),
}

/// A DNS record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DnsRecord {
    /// The record's name, fully qualified, without the final dot.
    pub name: String,
    /// The record's type: `CNAME`, `MX` or `TXT`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The value as in a zone file: host names without the final dot (`10 feedback-smtp.eu-west-1.amazonses.com`), text
    /// without quotes.
    pub value: String,
}

impl Fix {
    /// A command of the AWS CLI: `aws`, its arguments, each quoted as far as it needs it, and the Region. `None` if an
    /// argument has control characters: no name of AWS's has any, and a terminal would obey them.
    pub(crate) fn aws_command(arguments: &[&str], region: &str) -> Option<Self> {
        let words = [&["aws"], arguments, &["--region", region]].concat();
        Self::shell_command(words.into_iter().map(quote_for_shell))
    }

    /// A command that invokes a function, waits for it and shows its answer. The payload comes by standard input: the two
    /// versions of the AWS CLI differ in how they take one on the command line, but not in how they take `fileb://`. By
    /// default the CLI waits for no longer than a minute, and then invokes again.
    pub(crate) fn invoke_command(function: &str, payload: &str, region: &str) -> Option<Self> {
        let words = ["printf", "%s", payload].map(quote_for_shell).into_iter().chain([Cow::Borrowed("|")]);
        let aws = ["aws", "lambda", "invoke", "--cli-read-timeout", "0", "--function-name", function];
        let with = ["--payload", "fileb:///dev/stdin", "--region", region, "/dev/stdout"];
        Self::shell_command(words.chain(aws.into_iter().chain(with).map(quote_for_shell)))
    }

    /// A command made of words that are quoted already. `None` if it is too long or has control characters.
    pub(crate) fn shell_command<'a>(quoted_words: impl Iterator<Item = Cow<'a, str>>) -> Option<Self> {
        let command = quoted_words.collect::<Vec<_>>().join(" ");
        (!command.contains(char::is_control) && command.len() <= MAX_COMMAND_BYTES)
            .then_some(Self::Command(command))
    }
}

impl DnsRecord {
    pub(crate) fn new(name: impl Into<String>, kind: &str, value: impl Into<String>) -> Self {
        Self { name: name.into(), kind: kind.to_owned(), value: value.into() }
    }
}

/// Answers the question "what is to be done": a command, or a line of a zone file.
impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.write_str(command),
            Self::Dns(record) => record.fmt(f),
        }
    }
}

/// A line of a zone file (RFC 1035, section 5): names are absolute, text is in quotes, in pieces of at most 255 bytes.
impl fmt::Display for DnsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, value } = self;
        write!(f, "{name}. IN {kind} ")?;
        if kind != "TXT" {
            return write!(f, "{value}.");
        }
        let mut rest = value.as_str();
        loop {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(255));
            write!(f, "\"{}\"", piece.replace('\\', "\\\\").replace('"', "\\\""))?;
            if after.is_empty() {
                return Ok(());
            }
            f.write_str(" ")?;
            rest = after;
        }
    }
}

/// Quotes a word for a POSIX shell.
pub(crate) fn quote_for_shell(argument: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        return Cow::Borrowed(argument);
    }
    Cow::Owned(format!("'{}'", argument.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn shell_reads(words: &str) -> Vec<String> {
        let script = format!("printf '%s\\0' {words}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{words:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn plain_words_stay_plain() {
        for (argument, expected) in [
            ("eu-west-1", "eu-west-1"),
            ("a+b@example.com", "a+b@example.com"),
            ("arn:aws:sns:eu-west-1:123456789012:t", "arn:aws:sns:eu-west-1:123456789012:t"),
            ("", "''"),
            ("o'brien@example.com", r"'o'\''brien@example.com'"),
            ("{\"a\": 1}", "'{\"a\": 1}'"),
            ("$HOME", "'$HOME'"),
            ("*", "'*'"),
            ("~", "'~'"),
            ("grüße.example", "'grüße.example'"),
        ] {
            assert_eq!(quote_for_shell(argument), expected);
        }
    }

    #[test]
    fn a_command_has_its_region_and_no_control_character() {
        assert_eq!(
            Fix::aws_command(&["sesv2", "get-account"], "eu-west-1"),
            Some(Fix::Command("aws sesv2 get-account --region eu-west-1".to_owned()))
        );
        assert_eq!(
            Fix::aws_command(&["sesv2", "get-email-identity", "--email-identity", "a\u{1b}[31m"], "x"),
            None
        );
        assert_eq!(Fix::aws_command(&[&"x".repeat(MAX_COMMAND_BYTES)], "x"), None);
    }

    #[test]
    fn a_record_is_a_line_of_a_zone_file() {
        let line = |kind: &str, value: &str| DnsRecord::new("a.example", kind, value).to_string();
        assert_eq!(line("CNAME", "b.example"), "a.example. IN CNAME b.example.");
        assert_eq!(line("MX", "10 b.example"), "a.example. IN MX 10 b.example.");
        assert_eq!(line("TXT", r#"v=x "y" \z"#), r#"a.example. IN TXT "v=x \"y\" \\z""#);
        let long = line("TXT", &"x".repeat(600));
        let pieces: Vec<_> = long.split('"').filter(|piece| piece.starts_with('x')).map(str::len).collect();
        assert_eq!(pieces, [255, 255, 90]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_shell_reads_back_what_was_quoted(arguments in prop::collection::vec("[^\\x00]{0,12}", 1..6)) {
            let words: Vec<_> = arguments.iter().map(|argument| quote_for_shell(argument)).collect();
            prop_assert_eq!(shell_reads(&words.join(" ")), arguments);
        }
    }
}
