//! Text that others wrote: made safe to store and print, and read from JSON without insisting on its type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// How many characters are kept of SES's own values (types, names, ids).
pub(crate) const MAX_SES_TEXT_CHARS: usize = 256;

/// Caps remote text at `max_chars` characters (the last becomes `…`) and makes visible what a terminal would obey: control
/// characters and the bidirectional ones, as Rust's escapes (`\n`, `\u{1b}`, `\u{202e}`).
///
/// This is the form in which text is stored. Joiners stay, since Persian and Indic scripts and emoji are not what was
/// written without them. For a terminal there is [`escape_invisible`].
pub fn sanitize_text(text: &str, max_chars: usize) -> String {
    cap_and_escape(text, max_chars, is_control_or_bidi)
}

/// Caps text at `max_chars` characters (the last becomes `…`) and escapes whatever has no glyph of its own
/// ([`is_invisible`]), so that what a terminal shows is what is there: `paypal\u{200b}`. That takes an emoji made of several
/// apart, which is harmless.
pub fn escape_invisible(text: &str, max_chars: usize) -> String {
    cap_and_escape(text, max_chars, is_invisible)
}

/// Whether a character shows nothing itself, but may change what is shown or how two texts compare: control characters,
/// line and paragraph separators, Unicode's `Default_Ignorable_Code_Point`s (zero-width characters, joiners, bidirectional
/// controls, variation selectors, tags, fillers), interlinear annotation, and noncharacters.
pub fn is_invisible(c: char) -> bool {
    // Source: DerivedCoreProperties.txt of Unicode 16.
    let ignorable = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    let nonchar = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    c.is_control() || ignorable || nonchar || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}')
}

fn cap_and_escape(text: &str, max_chars: usize, must_escape: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len().min(max_chars));
    let mut count = 0;
    let mut push = |c| {
        count += 1;
        if count > max_chars {
            shown.pop();
            shown.push('…');
            return false;
        }
        shown.push(c);
        true
    };
    for c in text.chars() {
        let fits = if must_escape(c) { c.escape_default().all(&mut push) } else { push(c) };
        if !fits {
            break;
        }
    }
    shown
}

/// Whether a terminal would obey the character instead of showing it.
pub(crate) fn is_control_or_bidi(c: char) -> bool {
    c.is_control() || is_bidi_control(c)
}

/// Unicode's explicit directional formatting characters (UAX #9): they reorder what a reader sees.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A single value of SES's JSON that is read as text. Numbers and booleans become their text; an empty string, null, a
/// list or an object is `None`, since an odd value in one field must not lose the event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct ScalarText(Option<String>);

impl ScalarText {
    pub(crate) fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text, capped and made visible.
    pub(crate) fn sanitized_text(&self, max_chars: usize) -> Option<String> {
        self.get().map(|text| sanitize_text(text, max_chars))
    }
}

impl From<ScalarText> for Option<String> {
    fn from(text: ScalarText) -> Self {
        text.0
    }
}

impl From<Value> for ScalarText {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::String(text) => (!text.trim().is_empty()).then_some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
    }
}

/// A list of texts. A single text counts as a list of one, and what is no text is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct ScalarTexts(pub(crate) Vec<String>);

impl From<Value> for ScalarTexts {
    fn from(value: Value) -> Self {
        Self(match value {
            Value::Array(values) => {
                values.into_iter().filter_map(|value| ScalarText::from(value).0).collect()
            }
            single => ScalarText::from(single).0.into_iter().collect(),
        })
    }
}

/// Names with lists of texts (`mail.tags`, `click.linkTags`). Anything but an object counts as empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub(crate) struct LenientTags(pub(crate) BTreeMap<String, Vec<String>>);

impl From<Value> for LenientTags {
    fn from(value: Value) -> Self {
        let Value::Object(entries) = value else { return Self::default() };
        Self(entries.into_iter().map(|(name, values)| (name, ScalarTexts::from(values).0)).collect())
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
            assert_eq!(sanitize_text(text, max), shown, "{text:?}");
        }
    }

    #[test]
    fn what_has_no_glyph_is_shown_on_a_terminal_and_joiners_are_stored() {
        let cases = [
            ("plain Grüße 例え मनीष", "plain Grüße 例え मनीष", "plain Grüße 例え मनीष"),
            (
                "pay\u{200b}pal\u{2060}\u{feff}",
                "pay\u{200b}pal\u{2060}\u{feff}",
                r"pay\u{200b}pal\u{2060}\u{feff}",
            ),
            ("a\u{ad}\u{3164}\u{fe0f}", "a\u{ad}\u{3164}\u{fe0f}", r"a\u{ad}\u{3164}\u{fe0f}"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم", r"می\u{200c}خواهم"),
            ("👩\u{200d}👧", "👩\u{200d}👧", r"👩\u{200d}👧"),
            ("\u{e0041}\u{ffff}\u{2028}", "\u{e0041}\u{ffff}\u{2028}", r"\u{e0041}\u{ffff}\u{2028}"),
            (
                "\u{202e}\u{2066}\u{200f}\u{61c}",
                r"\u{202e}\u{2066}\u{200f}\u{61c}",
                r"\u{202e}\u{2066}\u{200f}\u{61c}",
            ),
        ];
        for (text, stored, on_terminal) in cases {
            assert_eq!(
                (sanitize_text(text, 60), escape_invisible(text, 60)),
                (stored.to_owned(), on_terminal.to_owned())
            );
        }
        assert_eq!(escape_invisible("abc\u{200b}", 6), "abc\\u…");
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
            assert_eq!(ScalarText::from(value).get(), text);
        }
        assert_eq!(ScalarTexts::from(json!(["a", null, 3])).0, ["a", "3"]);
        assert_eq!(ScalarTexts::from(json!("a")).0, ["a"]);
        assert!(LenientTags::from(json!(["a"])).0.is_empty());
    }
}
