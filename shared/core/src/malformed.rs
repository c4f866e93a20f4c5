//! Why a message cannot be processed, ever: in words for a person, and without personal data for a log line.

use std::fmt;

use crate::text::escape_invisible;

/// Input that no retry can fix. `Display` names the field and quotes at most a line of the input, for a terminal;
/// log [`field`](Self::field) and [`problem`](Self::problem) instead, which hold no part of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct MalformedInput {
    field: String,
    problem: InputProblem,
    excerpt: Option<String>,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputProblem {
    /// The text is not JSON at all.
    #[error("not JSON")]
    NotJson,
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// The field is absent, null or empty.
    #[error("missing or empty")]
    Missing,
    /// The field holds a value of another type than it must.
    #[error("of the wrong type")]
    WrongType,
    /// The field holds an object, a list, a number or a boolean where the text of a message must stand.
    #[error("must be a string")]
    NotString,
    /// RFC 5322 finds no address in it.
    #[error("not an e-mail address")]
    NotAnAddress,
    /// The field has none of the shapes in [`crate::timestamp`], and the message has no other time to go by.
    #[error("no readable time")]
    NoReadableTime,
    /// The value is longer than any that SES writes, and than a key of the table may be.
    #[error("too long")]
    TooLong,
    /// The event source is not one whose messages Mailroom reads.
    #[error("not a source of what SES says")]
    UnknownSource,
    /// The text is not Base64 as RFC 4648 has it, so decoding it would not give what was encoded.
    #[error("not Base64")]
    NotBase64,
    /// The encoding is neither of the two that an SNS action has.
    #[error("neither UTF8 nor BASE64")]
    UnknownEncoding,
    /// The message is Mailroom's own, from a version that this one can't read.
    #[error("of an unknown version")]
    UnknownVersion,
    /// The spellings are of another address than the one that they are listed under.
    #[error("not spellings of one address")]
    NotOneAddress,
    /// The message holds more than one event of a direct invocation, of which SES and SNS send one at a time.
    #[error("more than one event")]
    SeveralEvents,
    /// The message has more envelopes than Mailroom opens.
    #[error("wrapped too deeply")]
    TooManyEnvelopes,
}

/// The most characters of the input that are quoted: a line of a terminal.
const MAX_EXCERPT_CHARS: usize = 80;

impl MalformedInput {
    /// An error in the field at a path, which is written as a JSON tool would:
    /// `bounce.bouncedRecipients[0].emailAddress`.
    pub fn new(field: impl Into<String>, problem: InputProblem) -> Self {
        Self { field: field.into(), problem, excerpt: None }
    }

    /// Quotes the first line of what was found there.
    #[must_use]
    pub fn with_excerpt(mut self, found_text: &str) -> Self {
        let line = found_text.trim().lines().next().unwrap_or_default();
        self.excerpt = (!line.is_empty()).then(|| escape_invisible(line, MAX_EXCERPT_CHARS));
        self
    }

    /// Names the field of an error that did not know its own.
    #[must_use]
    pub(crate) fn with_field(mut self, field: String) -> Self {
        self.field = field;
        self
    }

    /// Puts the path of the enclosing value before the field's.
    #[must_use]
    pub fn prefix_field(mut self, outer_path: &str) -> Self {
        if !outer_path.is_empty() {
            self.field = if self.field.is_empty() {
                outer_path.to_owned()
            } else {
                format!("{outer_path}.{}", self.field)
            };
        }
        self
    }

    /// The path of the field, which holds no part of the input's values.
    pub fn field(&self) -> &str {
        if self.field.is_empty() { "payload" } else { &self.field }
    }

    /// What is wrong with the field, without any part of the input.
    pub fn problem(&self) -> InputProblem {
        self.problem
    }

    /// Reads `json` as `T`. Only input that fails is read again with its path tracked, so that the rest does not pay for
    /// it.
    ///
    /// # Errors
    /// [`InputProblem::NotJson`], [`InputProblem::WrongType`] or [`InputProblem::Missing`], with the path of the field.
    pub(crate) fn parse_json<'de, T: serde::Deserialize<'de>>(json: &'de str) -> Result<T, Self> {
        serde_json::from_str(json).map_err(|error| {
            if error.classify() != serde_json::error::Category::Data {
                return Self::new("", InputProblem::NotJson).with_excerpt(json);
            }
            let tracked = &mut serde_json::Deserializer::from_str(json);
            let outer = match serde_path_to_error::deserialize::<_, T>(tracked) {
                Err(tracked) if tracked.path().iter().len() > 0 => tracked.path().to_string(),
                _ => String::new(),
            };
            let error = error.to_string();
            // serde has the path of the object that lacks a field, and the field's name in its words only.
            let absent = error.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
            match absent {
                Some(field) => Self::new(field, InputProblem::Missing).prefix_field(&outer),
                None => Self::new(outer, InputProblem::WrongType).with_excerpt(&error),
            }
        })
    }
}

impl fmt::Display for MalformedInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field(), self.problem)?;
        match &self.excerpt {
            Some(excerpt) => write!(f, ": {excerpt}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_and_quotes_a_line() {
        let error = MalformedInput::new("Message", InputProblem::NotJson)
            .with_excerpt("Hello\u{7}, world\nsecond line");
        assert_eq!(
            error.prefix_field("Records[0].body").to_string(),
            r"Records[0].body.Message: not JSON: Hello\u{7}, world"
        );
        assert_eq!(MalformedInput::new("", InputProblem::Missing).to_string(), "payload: missing or empty");
    }

    #[test]
    fn an_absent_field_is_named() {
        #[derive(Debug, serde::Deserialize)]
        struct Outer {
            #[expect(dead_code)]
            list: Vec<Inner>,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Inner {
            #[expect(dead_code)]
            field: u8,
        }
        let error = |json| MalformedInput::parse_json::<Outer>(json).unwrap_err().to_string();
        assert_eq!(error(r#"{"list":[{"field":1},{}]}"#), "list[1].field: missing or empty");
        assert_eq!(error("{}"), "list: missing or empty");
    }

    #[test]
    fn the_loggable_half_quotes_nothing() {
        let error = MalformedInput::parse_json::<Vec<u8>>(r#""jane@example.com""#).unwrap_err();
        assert!(error.to_string().contains("jane@example.com"));
        assert_eq!((error.field(), error.problem()), ("payload", InputProblem::WrongType));
    }
}
