//! What SES says in an event's own object that Mailroom does not know: kept as JSON, up to a size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::json::{self, JsonFields};
use crate::text::{is_control_or_bidi, sanitize_text};

/// The most bytes of JSON that are kept. With that much more most records still take two write units, of a kilobyte each.
const MAX_BYTES: usize = 1000;
/// The most bytes of the name of a field that is kept. SES's own have up to 32.
const MAX_NAME_BYTES: usize = 64;
/// The most names that are told of fields that are not kept.
const MAX_OMITTED_NAMES: usize = 10;
/// The name under which the fields are listed that were too large to keep. SES's own names hold no underscore.
const OMITTED_FIELD: &str = "_left_out";

/// The fields of an object that are not known, or hold a list or an object where text is expected. A value is compact
/// JSON, with control characters and the like escaped; `None` if it is too large to be kept.
#[derive(Debug, Default)]
pub(crate) struct UnknownFields(BTreeMap<String, Option<String>>);

impl UnknownFields {
    /// What is left of an object after the known fields have been taken.
    pub(super) fn from_remaining(remaining_fields: JsonFields<'_>) -> Self {
        Self(
            remaining_fields
                .into_remaining()
                .map(|(name, json)| (name, compact_json_if_small(json)))
                .collect(),
        )
    }

    /// The names of the fields.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

fn compact_json_if_small(json: &RawValue) -> Option<String> {
    if json.get().len() > MAX_BYTES {
        return None;
    }
    let mut compact = String::new();
    for c in json::parse_value_or_text(json).to_string().chars() {
        if is_control_or_bidi(c) {
            // All of these are in the Basic Multilingual Plane, so one escape is enough. Writing to a String cannot fail.
            let _ = write!(compact, "\\u{:04x}", u32::from(c));
        } else {
            compact.push(c);
        }
    }
    (compact.len() <= MAX_BYTES).then_some(compact)
}

/// The JSON object of what is not known of an event and of one of its recipients, which stands in a `recipients_field` of one, as SES
/// writes it: `{"bounceScore":0.9,"bouncedRecipients":[{"retryAfter":60}]}`. `None` if everything is known. Fields that
/// there is no room for are left out whole and named: `"_left_out":["hugeField"]`.
pub(crate) fn unknown_fields_to_json(
    event_fields: &UnknownFields,
    recipients_field: &str,
    recipient_fields: &UnknownFields,
) -> Option<String> {
    let mut room = SizeBudget { remaining_bytes: MAX_BYTES, omitted_names: Vec::new() };
    let mut fields = room.format_fitting_members(event_fields, "");
    let of_recipient = room.format_fitting_members(recipient_fields, &format!("{recipients_field}."));
    if !of_recipient.is_empty() {
        fields.push(format!(r#""{recipients_field}":[{{{}}}]"#, of_recipient.join(",")));
    }
    if !room.omitted_names.is_empty() {
        if room.omitted_names.len() > MAX_OMITTED_NAMES {
            room.omitted_names.truncate(MAX_OMITTED_NAMES);
            room.omitted_names.push("…".to_owned());
        }
        fields.push(format!(r#""{OMITTED_FIELD}":{}"#, Value::from(room.omitted_names)));
    }
    (!fields.is_empty()).then(|| format!("{{{}}}", fields.join(",")))
}

/// The room that is left, and the fields that there was none for.
struct SizeBudget {
    remaining_bytes: usize,
    omitted_names: Vec<String>,
}

impl SizeBudget {
    /// The fields that there is room for, as members of a JSON object.
    fn format_fitting_members(&mut self, fields: &UnknownFields, omitted_path_prefix: &str) -> Vec<String> {
        let mut kept = Vec::new();
        for (name, value) in &fields.0 {
            let shown = sanitize_text(name, MAX_NAME_BYTES);
            let member = match value {
                Some(value) if name.len() <= MAX_NAME_BYTES => {
                    Some(format!("{}:{value}", Value::from(shown.as_str())))
                }
                _ => None,
            };
            match member {
                Some(member) if member.len() < self.remaining_bytes => {
                    self.remaining_bytes -= member.len() + 1;
                    kept.push(member);
                }
                _ => self.omitted_names.push(format!("{omitted_path_prefix}{shown}")),
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extra(json: &str) -> UnknownFields {
        UnknownFields::from_remaining(JsonFields::from_json(serde_json::from_str(json).unwrap()).unwrap())
    }

    #[test]
    fn what_is_kept_reads_back() {
        let cases = [
            ("{}", "{}", None),
            (r#"{"a":1,"b":[ null, {"c":"d"} ]}"#, "{}", Some(r#"{"a":1,"b":[null,{"c":"d"}]}"#)),
            ("{}", r#"{"a":"b"}"#, Some(r#"{"list":[{"a":"b"}]}"#)),
            (r#"{"a":true}"#, r#"{"a":false}"#, Some(r#"{"a":true,"list":[{"a":false}]}"#)),
            (r#"{"a":"\u202e\u0085\n\ud83d"}"#, "{}", Some("{\"a\":\"\\u202e\\u0085\\n\u{fffd}\"}")),
            (r#"{"a":1e999}"#, "{}", Some(r#"{"a":"1e999"}"#)),
        ];
        for (own, recipient, expected) in cases {
            let json = unknown_fields_to_json(&extra(own), "list", &extra(recipient));
            assert_eq!(json.as_deref(), expected, "{own} {recipient}");
        }
    }

    #[test]
    fn what_is_too_large_is_left_out_whole_and_named() {
        let text = |length| "x".repeat(length);
        let own = format!(r#"{{"a":"{}","b":"{}","c":1,"{}":2}}"#, text(990), text(1000), text(65));
        let json = unknown_fields_to_json(&extra(&own), "list", &extra(r#"{"d":3,"e":44}"#)).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["a"].as_str().map(str::len), Some(990));
        let long = format!("{}…", text(63));
        assert_eq!(value[OMITTED_FIELD], serde_json::json!(["b", "c", long, "list.d", "list.e"]));

        let many: BTreeMap<_, _> = (0..1000).map(|n| (format!("field{n:04}"), n)).collect();
        let json = unknown_fields_to_json(
            &extra(&serde_json::to_string(&many).unwrap()),
            "",
            &UnknownFields::default(),
        )
        .unwrap();
        assert!(json.len() < MAX_BYTES + 2 * MAX_OMITTED_NAMES * MAX_NAME_BYTES, "{}", json.len());
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["field0000"], 0);
        assert_eq!(value[OMITTED_FIELD].as_array().map(Vec::len), Some(MAX_OMITTED_NAMES + 1));
    }
}
