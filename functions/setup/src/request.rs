//! The requests that CloudFormation makes (User Guide, "Custom resource request objects", November 2026).
//!
//! CloudFormation waits for an answer. So what is needed for an answer is read first, by itself; if anything else can't be
//! read, that is answered as a failure.

use std::collections::BTreeSet;

use aws_lambda_events::cloudformation::CloudFormationCustomResourceRequest;
use mailroom_core::arn::Arn;
use mailroom_core::setup::{ForeignSettingPolicy, WantedSettings};
use mailroom_core::suppression::SuppressionReason;
use serde::Deserialize;
use serde_json::Value;

/// A request, read as far as is needed to answer it.
#[derive(Debug, Clone)]
pub struct SetupRequest<'a> {
    event: &'a Value,
    /// `ResponseURL`: where to answer. Whoever has it may answer, so it must never be logged.
    pub response_url: &'a str,
    /// `RequestId`, which the answer repeats.
    pub request_id: &'a str,
    /// `StackId`, which the answer repeats.
    pub stack_id: &'a str,
    /// `LogicalResourceId`, which the answer repeats.
    pub logical_resource_id: &'a str,
}

/// The event does not say where to answer, so it is no request of CloudFormation's. No retry can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}: missing or not text")]
pub struct InvalidRequest(&'static str);

/// What the request asks for can't be read. The text does not hold a property's value, which may be an address. No retry
/// can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request is not as CloudFormation documents it, for this reason.
    #[error("request: {0}")]
    Malformed(String),
    /// A property is missing, or is something else than it must be.
    #[error("property {0}: must be {1}")]
    Property(&'static str, &'static str),
    /// An identity is neither an address nor a domain. Its place in the list counts from 1.
    #[error("property Identities: number {0} is neither an address nor a domain")]
    Identity(usize),
}

impl<'a> SetupRequest<'a> {
    /// Reads what is needed to answer the request.
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub fn parse(event: &'a Value) -> Result<Self, InvalidRequest> {
        let text = |name| event.get(name).and_then(Value::as_str).ok_or(InvalidRequest(name));
        Ok(Self {
            event,
            response_url: text("ResponseURL")?,
            request_id: text("RequestId")?,
            stack_id: text("StackId")?,
            logical_resource_id: text("LogicalResourceId")?,
        })
    }

    /// Reads how things are to be. For a deletion the properties do not matter: a request whose properties could not be
    /// read has set up nothing.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn parse_wanted_settings(&self) -> Result<WantedSettings, RequestError> {
        // The properties stay JSON, so that one that can't be read is named, and none is read of a deletion.
        type Typed = CloudFormationCustomResourceRequest<Value, Value>;
        match Typed::deserialize(self.event) {
            Ok(Typed::Create(request)) => read_properties(&request.resource_properties),
            Ok(Typed::Update(request)) => read_properties(&request.resource_properties),
            Ok(Typed::Delete(_)) => Ok(WantedSettings::default()),
            Ok(_) => Err(RequestError::Malformed("unknown RequestType".to_owned())),
            Err(error) => Err(RequestError::Malformed(error.to_string())),
        }
    }
}

fn read_properties(properties: &Value) -> Result<WantedSettings, RequestError> {
    let active = read_text(properties, "ActiveRuleSet", "leave, activate or replace", |word| match word {
        "leave" => Some(None),
        "activate" => Some(Some(ForeignSettingPolicy::Refuse)),
        "replace" => Some(Some(ForeignSettingPolicy::Replace)),
        _ => None,
    })?;
    let reasons =
        read_text(properties, "SuppressionReasons", "leave, or BOUNCE, COMPLAINT or both", |word| {
            if word == "leave" { Some(None) } else { parse_reasons(word).map(Some) }
        })?;
    // The name is empty where the stack has no receipt rules of its own.
    let rule_set = read_text(properties, "RuleSet", "a name or empty", |name| Some(name.to_owned()))?;
    Ok(WantedSettings {
        topic_arn: read_text(properties, "Topic", "an ARN", |arn| Arn::parse(arn).map(|_| arn.to_owned()))?,
        identities: read_identities(properties)?,
        foreign_topics: read_text(properties, "ForeignTopics", "refuse or replace", |word| match word {
            "refuse" => Some(ForeignSettingPolicy::Refuse),
            "replace" => Some(ForeignSettingPolicy::Replace),
            _ => None,
        })?,
        rule_set: Some(rule_set).filter(|name| active.is_some() && !name.is_empty()),
        foreign_rule_set: active.unwrap_or_default(),
        reasons,
    })
}

/// Reads a property that is text. `expected` completes the sentence "must be …".
fn read_text<T>(
    properties: &Value,
    name: &'static str,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, RequestError> {
    let text = properties.get(name).and_then(Value::as_str);
    text.and_then(parse).ok_or(RequestError::Property(name, expected))
}

fn read_identities(properties: &Value) -> Result<BTreeSet<String>, RequestError> {
    let list = properties.get("Identities").and_then(Value::as_array);
    let list = list.ok_or(RequestError::Property("Identities", "a list of addresses and domains"))?;
    let identity = |(index, value): (usize, &Value)| {
        let name = value.as_str().map(str::trim).filter(|name| !name.contains(is_forbidden_in_identity));
        name.map(str::to_owned).ok_or(RequestError::Identity(index + 1))
    };
    let names = list.iter().enumerate().map(identity).collect::<Result<BTreeSet<_>, _>>()?;
    // CloudFormation makes of a parameter's empty list a list of one empty text.
    Ok(names.into_iter().filter(|name| !name.is_empty()).collect())
}

/// Whether a character can't be in an identity's name. SES would take an ARN, too, but would answer with it, and one name
/// for each identity is enough.
fn is_forbidden_in_identity(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | '*')
}

/// Reads a list of reasons. `None` if one of its words is no reason.
fn parse_reasons(list: &str) -> Option<BTreeSet<String>> {
    let reason =
        |word: &str| SuppressionReason::from_ses(word.trim()).map(|reason| reason.as_ses().to_owned());
    list.split(',').map(reason).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:m-feedback";

    fn event(kind: &str, property: &str, value: &Value) -> Value {
        let mut event = json!({
            "RequestType": kind,
            "ResponseURL": "https://example.com/answer",
            "RequestId": "1",
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/m/1",
            "LogicalResourceId": "Setup",
            "PhysicalResourceId": "mailroom-setup",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "ResourceProperties": {
                "ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:f",
                "Topic": TOPIC,
                "Identities": ["example.com", " User@example.com", "example.com"],
                "ForeignTopics": "refuse",
                "RuleSet": "m-inbound",
                "ActiveRuleSet": "activate",
                "SuppressionReasons": "BOUNCE,COMPLAINT",
            },
        });
        event["ResourceProperties"][property] = value.clone();
        event
    }

    fn wanted(property: &str, value: &Value) -> Result<WantedSettings, RequestError> {
        SetupRequest::parse(&event("Create", property, value)).unwrap().parse_wanted_settings()
    }

    #[test]
    fn all_of_it() {
        let wanted = wanted("ForeignTopics", &json!("replace")).unwrap();
        let expected = WantedSettings {
            topic_arn: TOPIC.to_owned(),
            identities: ["User@example.com", "example.com"].map(str::to_owned).into(),
            foreign_topics: ForeignSettingPolicy::Replace,
            rule_set: Some("m-inbound".to_owned()),
            foreign_rule_set: ForeignSettingPolicy::Refuse,
            reasons: Some(["BOUNCE", "COMPLAINT"].map(str::to_owned).into()),
        };
        assert_eq!(wanted, expected);
    }

    #[test]
    fn each_can_be_left_alone() {
        assert_eq!(wanted("Identities", &json!([""])).unwrap().identities, BTreeSet::new());
        assert_eq!(wanted("ActiveRuleSet", &json!("leave")).unwrap().rule_set, None);
        assert_eq!(wanted("RuleSet", &json!("")).unwrap().rule_set, None);
        assert_eq!(wanted("SuppressionReasons", &json!("leave")).unwrap().reasons, None);
    }

    #[test]
    fn what_can_t_be_read_is_told_without_its_value() {
        for (property, value, expected) in [
            ("Topic", json!("feedback"), "property Topic: must be an ARN"),
            ("Topic", json!(null), "property Topic: must be an ARN"),
            (
                "Identities",
                json!("a@example.com"),
                "property Identities: must be a list of addresses and domains",
            ),
            (
                "Identities",
                json!(["example.com", "a b@example.com"]),
                "property Identities: number 2 is neither an address nor a domain",
            ),
            ("Identities", json!([7]), "property Identities: number 1 is neither an address nor a domain"),
            ("ForeignTopics", json!("keep"), "property ForeignTopics: must be refuse or replace"),
            ("ActiveRuleSet", json!(""), "property ActiveRuleSet: must be leave, activate or replace"),
            ("RuleSet", json!([]), "property RuleSet: must be a name or empty"),
            (
                "SuppressionReasons",
                json!("SPAM"),
                "property SuppressionReasons: must be leave, or BOUNCE, COMPLAINT or both",
            ),
        ] {
            assert_eq!(wanted(property, &value).unwrap_err().to_string(), expected, "{value}");
        }
    }

    #[test]
    fn another_request_than_cloudformation_documents_is_named() {
        let error = |event: &Value| {
            SetupRequest::parse(event).unwrap().parse_wanted_settings().unwrap_err().to_string()
        };
        let unknown = event("Move", "Topic", &json!(TOPIC));
        assert_eq!(
            error(&unknown),
            "request: unknown variant `Move`, expected one of `Create`, `Update`, `Delete`"
        );
        for (kind, field) in [
            ("Create", "RequestType"),
            ("Create", "ResourceProperties"),
            ("Update", "OldResourceProperties"),
            ("Delete", "PhysicalResourceId"),
        ] {
            let mut event = event(kind, "Topic", &json!(TOPIC));
            event.as_object_mut().unwrap().remove(field);
            assert_eq!(error(&event), format!("request: missing field `{field}`"));
        }
    }

    #[test]
    fn a_deletion_needs_no_properties() {
        let event = event("Delete", "Topic", &json!(7));
        let request = SetupRequest::parse(&event).unwrap();
        assert_eq!(request.parse_wanted_settings(), Ok(WantedSettings::default()));
    }

    #[test]
    fn nothing_can_be_said_to_whom_is_not_known() {
        for field in ["ResponseURL", "RequestId", "StackId", "LogicalResourceId"] {
            let mut event = event("Create", "Topic", &json!(TOPIC));
            event[field] = Value::Null;
            let error = SetupRequest::parse(&event).unwrap_err();
            assert_eq!(error.to_string(), format!("{field}: missing or not text"));
        }
        assert!(SetupRequest::parse(&json!("Create")).is_err());
    }
}
