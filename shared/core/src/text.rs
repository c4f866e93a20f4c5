//! Text that others wrote: made safe to store and print, and read from JSON without insisting on its type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::malformed::{Malformed, Problem};

/// Caps remote text at `max` characters (the last becomes `…`) and makes visible what a terminal would obey or hide:
/// control characters and the bidirectional ones, as Rust's escapes (`\n`, `\u{1b}`, `\u{202e}`).
pub fn visible(text: &str, max: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max));
    let mut count = 0;
    let mut push = |c| {
        count += 1;
        if count > max {
            shown.pop();
            shown.push('…');
            return false;
        }
        shown.push(c);
        true
    };
    for c in text.chars() {
        let fits = if is_hidden(c) { c.escape_default().all(&mut push) } else { push(c) };
        if !fits {
            break;
        }
    }
    shown
}

/// Whether a terminal would obey or hide the character instead of showing it.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control() || reorders(c)
}

/// Unicode's explicit directional formatting characters (UAX #9): they reorder what a reader sees.
fn reorders(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A single value of SES's JSON that is read as text. Numbers and booleans become their text; an empty string, null, a
/// list or an object is `None`, since an odd value in one field must not lose the event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct Text(Option<String>);

impl Text {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text, capped and made visible.
    pub(crate) fn visible(&self, max: usize) -> Option<String> {
        self.get().map(|text| visible(text, max))
    }
}

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::String(text) => (!text.trim().is_empty()).then_some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
    }
}

/// The text of a field that must hold one: a message in its envelope.
///
/// # Errors
/// [`Problem::Missing`] if it is absent, null or blank; [`Problem::NotString`] if it is anything else, such as the object
/// that the text should have been the JSON of.
pub(crate) fn required(value: Value, field: &str) -> Result<String, Malformed> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        Value::String(_) | Value::Null => Err(Malformed::new(field, Problem::Missing)),
        other => Err(Malformed::new(field, Problem::NotString).quoting(&other.to_string())),
    }
}

/// A list of texts. A single text counts as a list of one, and what is no text is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct Texts(pub(crate) Vec<String>);

impl From<Value> for Texts {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::Array(values) => values.into_iter().filter_map(|value| Text::from(value).0).collect(),
            single => Text::from(single).0.into_iter().collect(),
        })
    }
}

/// Names with lists of texts (`mail.tags`, `click.linkTags`). Anything but an object counts as empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct Tags(pub(crate) BTreeMap<String, Vec<String>>);

impl From<Value> for Tags {
    fn from(value: Value) -> Self {
        let Value::Object(entries) = value else { return Self::default() };
        Self(entries.into_iter().map(|(name, values)| (name, Texts::from(values).0)).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_what_is_long_is_cut() {
        let cases = [
            ("plain Grüße", 20, "plain Grüße"),
            ("smtp; 550\r\n\u{1b}[31mred", 40, r"smtp; 550\r\n\u{1b}[31mred"),
            ("abc\u{202e}cba", 40, r"abc\u{202e}cba"),
            ("\u{9b}0m", 40, r"\u{9b}0m"),
            ("123456", 6, "123456"),
            ("1234567", 6, "12345…"),
            ("", 6, ""),
        ];
        for (text, max, shown) in cases {
            assert_eq!(visible(text, max), shown, "{text:?}");
        }
    }

    #[test]
    fn leaves_take_what_comes() {
        for (value, text) in [
            (json!("a"), Some("a")),
            (json!(3), Some("3")),
            (json!(" "), None),
            (json!([1]), None),
            (json!(null), None),
        ] {
            assert_eq!(Text::from(value).get(), text);
        }
        assert_eq!(Texts::from(json!(["a", null, 3])).0, ["a", "3"]);
        assert_eq!(Texts::from(json!("a")).0, ["a"]);
        assert!(Tags::from(json!(["a"])).0.is_empty());
    }
}
