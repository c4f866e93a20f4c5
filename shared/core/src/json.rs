//! JSON that others wrote: a single odd character costs at most itself, and an odd value at most its field.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::malformed::{InputProblem, MalformedInput};
use crate::text::ScalarText;

/// Calls `parse` with `text`, and if that is not JSON because of odd characters in its strings, with the repaired text.
/// Text that is fine is never looked at twice.
///
/// # Errors
/// What `parse` says.
pub(crate) fn parse_or_parse_repaired<T>(
    text: &str,
    mut parse: impl FnMut(&str) -> Result<T, MalformedInput>,
) -> Result<T, MalformedInput> {
    match parse(text) {
        Err(error) if error.problem() == InputProblem::NotJson => match repair_json_strings(text) {
            Some(repaired) => parse(&repaired),
            None => Err(error),
        },
        result => result,
    }
}

/// The text of a field that must hold one: a message in its envelope.
///
/// # Errors
/// [`InputProblem::Missing`] if it is absent, null or blank; [`InputProblem::NotString`] if it is anything else, such as the object
/// that the text should have been the JSON of.
pub(crate) fn required_text(value: Value, field: &str) -> Result<String, MalformedInput> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        Value::String(_) | Value::Null => Err(MalformedInput::new(field, InputProblem::Missing)),
        other => Err(MalformedInput::new(field, InputProblem::NotString).with_excerpt(&other.to_string())),
    }
}

/// The text with what RFC 8259 forbids in strings, or leaves open, made readable; `None` if there is nothing to repair.
///
/// - A surrogate escape without its pair, as writers that cut text in the middle of a character leave behind, becomes
///   U+FFFD. (RFC 8259, 8.2: such text is allowed, and its meaning is unpredictable.)
/// - A bare control character is escaped.
/// - A backslash that begins no escape stands for itself.
pub(crate) fn repair_json_strings(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut repaired = String::new();
    let (mut at, mut copied, mut in_string) = (0, 0, false);
    while let Some(&byte) = bytes.get(at) {
        let EscapeRepair { length, replacement } = match byte {
            b'"' => {
                in_string = !in_string;
                EscapeRepair::keep(1)
            }
            b'\\' if in_string => repair_escape(&text[at..]),
            0..0x20 if in_string => EscapeRepair::replace(1, format!("\\u{byte:04x}")),
            _ => EscapeRepair::keep(1),
        };
        if let Some(replacement) = replacement {
            repaired.push_str(&text[copied..at]);
            repaired.push_str(&replacement);
            copied = at + length;
        }
        at += length;
    }
    (copied > 0).then(|| repaired + &text[copied..])
}

/// What becomes of the next bytes of a text.
struct EscapeRepair {
    /// How many bytes.
    length: usize,
    /// What to write in their place; `None` if they stay.
    replacement: Option<String>,
}

impl EscapeRepair {
    fn keep(length: usize) -> Self {
        Self { length, replacement: None }
    }

    fn replace(length: usize, replacement: impl Into<String>) -> Self {
        Self { length, replacement: Some(replacement.into()) }
    }
}

/// Judges the escape with which `text` begins.
fn repair_escape(text: &str) -> EscapeRepair {
    match text.as_bytes().get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => EscapeRepair::keep(2),
        Some(b'u') => match parse_code_unit(text) {
            Some(0xd800..=0xdbff) if matches!(parse_code_unit(&text[6..]), Some(0xdc00..=0xdfff)) => {
                EscapeRepair::keep(12)
            }
            Some(0xd800..=0xdfff) => EscapeRepair::replace(6, "\\ufffd"),
            Some(_) => EscapeRepair::keep(6),
            None => EscapeRepair::replace(1, "\\\\"),
        },
        _ => EscapeRepair::replace(1, "\\\\"),
    }
}

/// The UTF-16 code unit of the escape (`\u20ac`) with which `text` begins.
fn parse_code_unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// The value of a field. What the parser cannot hold (a number out of range, nesting that is too deep) is its own text.
pub(crate) fn parse_value_or_text(json: &RawValue) -> Value {
    parse_or_parse_repaired(json.get(), |json| MalformedInput::parse_json(json))
        .unwrap_or_else(|_| Value::from(json.get()))
}

/// An object, field by field. Values stay JSON until they are taken, so that an odd one costs no other.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonFields<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

impl<'a> JsonFields<'a> {
    /// The object in this JSON; `None` if it is not one.
    pub(crate) fn from_json(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    /// A field's value, which stays.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// Takes a field's value.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        self.0.remove(name)
    }

    /// Takes a field that is a single value. A list or an object is not, and stays.
    pub(crate) fn take_if_scalar(&mut self, name: &str) -> ScalarText {
        match self.get(name) {
            Some(json) if !json.get().starts_with(['[', '{']) => {
                self.take(name).map(|json| ScalarText::from(parse_value_or_text(json))).unwrap_or_default()
            }
            _ => ScalarText::default(),
        }
    }

    /// Takes a word that something is decided by. A list or an object is taken as its JSON: that is a word that SES does not
    /// document, and must not count as absent.
    pub(crate) fn take_any_as_text(&mut self, name: &str) -> ScalarText {
        match self.get(name) {
            Some(json) if json.get().starts_with(['[', '{']) => {
                self.take(name);
                ScalarText::from(Value::from(parse_value_or_text(json).to_string()))
            }
            _ => self.take_if_scalar(name),
        }
    }

    /// Whether nothing is left to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been taken.
    pub(crate) fn into_remaining(self) -> impl Iterator<Item = (String, &'a RawValue)> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_odd_in_a_string_is_repaired() {
        let cases = [
            (r#"{"a":"\ud83d"}"#, Some(r#"{"a":"\ufffd"}"#)),
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\uD83D\uD83D\uDE00\uDE00"}"#, Some(r#"{"a":"\ufffd\uD83D\uDE00\ufffd"}"#)),
            (r#"{"a":"\ud83d\n"}"#, Some(r#"{"a":"\ufffd\n"}"#)),
            (r#"{"\udc00":"x"}"#, Some(r#"{"\ufffd":"x"}"#)),
            // An escaped backslash before a `u` is no escape, and what stands in nested JSON is for its own level to repair.
            (r#"{"a":"\\ud83d"}"#, None),
            (r#"{"a":"\ud83"}"#, Some(r#"{"a":"\\ud83"}"#)),
            (r#"{"a":"\u+123"}"#, Some(r#"{"a":"\\u+123"}"#)),
            (r#"{"a":"\u€"}"#, Some(r#"{"a":"\\u€"}"#)),
            (r#"{"a":"it\'s \x41"}"#, Some(r#"{"a":"it\\'s \\x41"}"#)),
            ("{\n\"a\":\t\"b\tc\u{1}\"}", Some("{\n\"a\":\t\"b\\u0009c\\u0001\"}")),
            (r#"{"a":"cut short \"#, Some(r#"{"a":"cut short \\"#)),
            (r"no \string", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let repaired = repair_json_strings(text);
            assert_eq!(repaired.as_deref(), expected, "{text}");
            assert_eq!(repaired.as_deref().and_then(super::repair_json_strings), None, "{text}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_held_is_its_text() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        for (json, expected) in [
            (r#""\udfff""#, Value::from("\u{fffd}")),
            ("1e999", Value::from("1e999")),
            (&deep, Value::from(deep.as_str())),
            ("[1, null]", serde_json::json!([1, null])),
        ] {
            assert_eq!(parse_value_or_text(serde_json::from_str(json).unwrap()), expected);
        }
    }

    #[test]
    fn fields_are_taken_one_by_one() {
        let json = r#"{"text":"a","number":7,"list":["b"],"huge":1e999,"none":null}"#;
        let mut fields = JsonFields::from_json(serde_json::from_str(json).unwrap()).unwrap();
        for (name, text) in [
            ("text", Some("a")),
            ("number", Some("7")),
            ("huge", Some("1e999")),
            ("list", None),
            ("none", None),
        ] {
            assert_eq!(fields.take_if_scalar(name).get(), text, "{name}");
        }
        assert_eq!(fields.take_any_as_text("list").get(), Some(r#"["b"]"#));
        assert!(fields.is_empty());
        let fields = JsonFields::from_json(serde_json::from_str(r#"{"list":["b"]}"#).unwrap()).unwrap();
        assert!(!fields.is_empty());
        assert_eq!(fields.into_remaining().map(|(name, _)| name).collect::<Vec<_>>(), ["list"]);
        assert!(JsonFields::from_json(serde_json::from_str("7").unwrap()).is_none());
    }
}
