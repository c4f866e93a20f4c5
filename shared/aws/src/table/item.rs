//! Items of the table, read and written by serde.

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};
use serde_path_to_error::Segment;

use super::TableError;

/// An item as the SDK has it.
pub type Item = std::collections::HashMap<String, AttributeValue>;

/// Writes a value as an item. What it does not have becomes no attribute: nulls are bytes that are paid for.
///
/// # Errors
/// [`TableError::InvalidItem`]
pub fn serialize_item(value: &impl Serialize) -> Result<Item, TableError> {
    let mut item: Item =
        serde_dynamo::to_item(value).map_err(|error| TableError::InvalidItem(error.to_string()))?;
    item.retain(|_, value| !value.is_null());
    Ok(item)
}

/// A text as an attribute's value.
pub fn string_attribute(text: &(impl ToString + ?Sized)) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

/// An attribute of an item as text; `None` if it is absent or no text.
pub fn get_string<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// How serde's errors begin, up to where they quote the value.
const SERDE_PROBLEMS: [&str; 6] = [
    "duplicate field",
    "invalid length",
    "invalid type",
    "invalid value",
    "unknown field",
    "unknown variant",
];

/// Reads an item of the table, or of its stream.
///
/// # Errors
/// [`TableError::InvalidItem`]
pub fn deserialize_item<T: DeserializeOwned>(item: impl Into<serde_dynamo::Item>) -> Result<T, TableError> {
    let item: serde_dynamo::Item = item.into();
    deserialize_value(serde_dynamo::Deserializer::from_attribute_value(serde_dynamo::AttributeValue::M(
        item.into(),
    )))
}

/// Reads a stored value of any format. The error names the attribute's path and the kind of problem, as in
/// `bounced.at: invalid type`. It quotes no value, as serde's errors do, since items hold addresses and errors are logged.
///
/// # Errors
/// [`TableError::InvalidItem`]
pub fn deserialize_value<'de, T: DeserializeOwned>(value: impl Deserializer<'de>) -> Result<T, TableError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let text = error.inner().to_string();
        let problem = match SERDE_PROBLEMS.iter().find(|problem| text.starts_with(**problem)) {
            Some(problem) => problem,
            // The name of a missing attribute is in the code, not in the item.
            None if text.starts_with("missing field") => text.as_str(),
            None if text.starts_with("Expected ") => "invalid type",
            None => "can't be read",
        };
        TableError::InvalidItem(format!("{}: {problem}", redact_path(error.path())))
    })
}

/// A path as far as this code may have named it: in a damaged item an attribute's name, or what stands where the name of a
/// variant is expected, may be an address.
fn redact_path(path: &serde_path_to_error::Path) -> String {
    let is_ours = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let name = |segment: &Segment| match segment {
        Segment::Seq { index } => format!("[{index}]"),
        Segment::Map { key } if is_ours(key) => format!(".{key}"),
        Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => ".?".to_owned(),
    };
    let text: String = path.iter().map(name).collect();
    let text = text.trim_start_matches('.');
    if text.is_empty() { "the whole".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use mailroom_core::suppression::operator::OperatorDecision;
    use mailroom_core::suppression::{AddressState, FeedbackSummary};
    use serde_json::{Value, json};

    use super::*;

    /// A value in any attribute of any item, of any type, is told by its path only.
    #[test]
    fn an_item_that_cannot_be_read_is_told_without_its_values() {
        let secret = "jane@example.com";
        let said =
            json!({"at": "2026-01-01T00:00:00.000Z", "source": "bounce", "region": "us-east-1", "id": "1"});
        let state = json!({
            "pk": "ADDR#x", "sk": "SUPPRESSION", "address": "x", "shard": "00", "version": 1,
            "changed_at": "2026-01-01T00:00:00.000Z", "state": {"bounced": said}, "spellings": ["x"],
            "applied": {"reason": "bounce", "at": "2026-01-01T00:00:00.000Z"}, "decisions": ["1"],
        });
        let mut errors = std::collections::BTreeSet::new();
        for pointer in [
            "",
            "/version",
            "/changed_at",
            "/state",
            "/state/bounced",
            "/state/bounced/at",
            "/spellings",
            "/applied/reason",
        ] {
            for damage in [
                json!(secret),
                json!({ secret: secret }),
                json!([secret]),
                json!([[secret]]),
                json!(1.5),
                json!(null),
            ] {
                let mut damaged = state.clone();
                *damaged.pointer_mut(pointer).unwrap() = damage;
                let stored: Result<serde_dynamo::Item, _> = serde_dynamo::to_item(&damaged);
                let of_table = stored.ok().map(|item| item_errors(&item));
                for error in of_table.into_iter().flatten().chain(value_errors(&damaged)) {
                    assert!(!error.contains("jane") && !error.contains("1.5"), "{pointer}: {error}");
                    errors.insert(error);
                }
            }
        }
        for error in ["not an item: version: invalid type", "not an item: state.bounced.at: can't be read"] {
            assert!(errors.iter().any(|told| told == error), "{error}: {errors:#?}");
        }
        let error = deserialize_value::<OperatorDecision>(json!({})).unwrap_err().to_string();
        assert!(error.starts_with("not an item: the whole: missing field `"), "{error}");
    }

    fn item_errors(item: &serde_dynamo::Item) -> Vec<String> {
        let errors = [
            deserialize_item::<AddressState>(item.clone()).err(),
            deserialize_item::<OperatorDecision>(item.clone()).err(),
            deserialize_item::<FeedbackSummary>(item.clone()).err(),
        ];
        errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }

    fn value_errors(value: &Value) -> Vec<String> {
        let errors = [
            deserialize_value::<AddressState>(value.clone()).err(),
            deserialize_value::<OperatorDecision>(value.clone()).err(),
            deserialize_value::<FeedbackSummary>(value.clone()).err(),
        ];
        errors.into_iter().flatten().map(|error| error.to_string()).collect()
    }
}
