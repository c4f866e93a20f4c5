//! The query protocol: requests are forms, answers are XML.
//!
//! Both sides become JSON in between, so that rules have one spelling for the API and for templates:
//! `Rule.Actions.member.1.S3Action.BucketName=b` is `{"Rule":{"Actions":[{"S3Action":{"BucketName":"b"}}]}}`.

use serde_json::{Map, Value};

const NAMESPACE: &str = "http://ses.amazonaws.com/doc/2010-12-01/";

/// Reads the form's parameters into a tree.
pub(crate) fn decode(form: &[u8]) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in form_urlencoded::parse(form) {
        let mut at = &mut root;
        for part in name.split('.').filter(|part| *part != "member") {
            // The key also came with an empty text, as when a list was sent both ways. The later one counts.
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let Value::Object(members) = at else { unreachable!("made one above") };
            at = members.entry(part.to_owned()).or_insert(Value::Null);
        }
        *at = Value::String(value.into_owned());
    }
    lists(root)
}

/// Makes lists of objects whose keys are all numbers.
fn lists(value: Value) -> Value {
    let Value::Object(members) = value else { return value };
    let members: Vec<(String, Value)> =
        members.into_iter().map(|(name, value)| (name, lists(value))).collect();
    let number = |name: &String| name.parse::<u32>().ok();
    if members.is_empty() || !members.iter().all(|(name, _)| number(name).is_some()) {
        return Value::Object(members.into_iter().collect());
    }
    let mut items = members;
    items.sort_by_key(|(name, _)| number(name));
    Value::Array(items.into_iter().map(|(_, value)| value).collect())
}

/// The XML answer to an action that succeeded.
pub(crate) fn answer(action: &str, result: &Value, request_id: &str) -> String {
    let mut xml = String::new();
    xml.push_str(&format!("<{action}Response xmlns=\"{NAMESPACE}\"><{action}Result>"));
    write(&mut xml, result);
    xml.push_str(&format!(
        "</{action}Result><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    ));
    xml
}

/// The XML answer to an action that failed.
pub(crate) fn error(is_ours: bool, code: &str, message: &str, request_id: &str) -> String {
    let kind = if is_ours { "Receiver" } else { "Sender" };
    format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{}</Code><Message>{}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>",
        escape(code),
        escape(message)
    )
}

fn write(xml: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                // A map: each entry has a tag of its own, whereas the members of a list stand within one tag.
                if let ("entry", Value::Array(entries)) = (name.as_str(), value) {
                    for entry in entries {
                        xml.push_str("<entry>");
                        write(xml, entry);
                        xml.push_str("</entry>");
                    }
                    continue;
                }
                xml.push_str(&format!("<{name}>"));
                write(xml, value);
                xml.push_str(&format!("</{name}>"));
            }
        }
        Value::Array(items) => {
            for item in items {
                xml.push_str("<member>");
                write(xml, item);
                xml.push_str("</member>");
            }
        }
        Value::String(text) => xml.push_str(&escape(text)),
        other => xml.push_str(&other.to_string()),
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\r' => escaped.push_str("&#13;"),
            // XML 1.0 has no way to write this character.
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_a_tree() {
        let form =
            b"Action=CreateReceiptRule&Version=2010-12-01&RuleSetName=s&Rule.Name=a%20b&Rule.Enabled=true\
            &Rule.Recipients.member.2=two&Rule.Recipients.member.1=one&Rule.Recipients.member.10=ten\
            &Rule.Actions.member.1.S3Action.BucketName=b&Rule.Other=";
        assert_eq!(
            decode(form),
            json!({
                "Action": "CreateReceiptRule", "Version": "2010-12-01", "RuleSetName": "s",
                "Rule": {
                    "Name": "a b", "Enabled": "true", "Recipients": ["one", "two", "ten"],
                    "Actions": [{ "S3Action": { "BucketName": "b" } }], "Other": "",
                },
            })
        );
    }

    #[test]
    fn a_map_is_its_entries() {
        let mut xml = String::new();
        write(
            &mut xml,
            &json!({ "Map": { "entry": [{ "key": "a", "value": "b" }, { "key": "c", "value": "d" }] } }),
        );
        assert_eq!(
            xml,
            "<Map><entry><key>a</key><value>b</value></entry><entry><key>c</key><value>d</value></entry></Map>"
        );
    }

    #[test]
    fn answers_are_xml() {
        assert_eq!(
            answer("X", &json!({ "Names": ["a&b", "<c>"], "Yes": true, "None": null }), "id"),
            "<XResponse xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><XResult><Names><member>a&amp;b</member>\
             <member>&lt;c&gt;</member></Names><Yes>true</Yes></XResult><ResponseMetadata><RequestId>id</RequestId>\
             </ResponseMetadata></XResponse>"
        );
        assert!(
            error(false, "Code", "a < b", "id")
                .contains("<Type>Sender</Type><Code>Code</Code><Message>a &lt; b")
        );
    }

    proptest! {
        #[test]
        fn no_form_breaks_it(form in proptest::collection::vec(any::<u8>(), 0..200)) {
            decode(&form);
        }
    }
}
