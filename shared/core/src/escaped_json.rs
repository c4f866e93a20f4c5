//! Writes JSON whose odd characters are escaped, which every reader of JSON takes for the same text.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes a value as JSON in one line, with the characters of its strings for which `must_escape` holds as `\u` escapes (two
/// of them, a surrogate pair, beyond U+FFFF).
///
/// # Errors
/// If JSON can't hold the value: a map whose keys are no strings.
pub fn to_escaped_json(
    value: &impl Serialize,
    must_escape: impl Fn(char) -> bool,
) -> serde_json::Result<String> {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, EscapingFormatter(must_escape)))?;
    String::from_utf8(json).map_err(serde::ser::Error::custom)
}

struct EscapingFormatter<F>(F);

impl<F: Fn(char) -> bool> Formatter for EscapingFormatter<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| (self.0)(*c)) {
            let (plain, odd) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = odd.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_odd_is_escaped() {
        let value = json!({"ü": ["a\n\u{7f}\u{ffff}", "\u{1f3f3}b", 1.5, null]});
        assert_eq!(
            to_escaped_json(&value, |c| !c.is_ascii()).unwrap(),
            "{\"\\u00fc\":[\"a\\n\u{7f}\\uffff\",\"\\ud83c\\udff3b\",1.5,null]}"
        );
        assert_eq!(to_escaped_json(&value, |_| false).unwrap(), value.to_string());
    }

    proptest! {
        #[test]
        fn it_is_read_back_as_it_was(text in any::<String>(), key in "\\PC*") {
            let value = json!({key: text});
            let json = to_escaped_json(&value, |c| !c.is_ascii()).unwrap();
            prop_assert!(json.is_ascii());
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
        }
    }
}
