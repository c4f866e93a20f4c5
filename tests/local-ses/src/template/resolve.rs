//! Resolves CloudFormation's intrinsic functions.

use serde_json::{Map, Value};

use super::{Stack, TemplateError};

type Resolved = Result<Value, TemplateError>;

/// How deep a template may be nested. This is deeper than any; without it, a condition or resource that refers to itself
/// would go on for ever.
const MAX_DEPTH: usize = 64;

pub(super) struct Resolver<'a> {
    template: &'a Value,
    stack: &'a Stack,
}

/// Stands for `AWS::NoValue`, which takes a property away. No text in a template can be the same.
const NO_VALUE: &str = "\u{0}AWS::NoValue";

impl<'a> Resolver<'a> {
    pub(super) fn new(template: &'a Value, stack: &'a Stack) -> Self {
        Self { template, stack }
    }

    /// The properties of all resources of a type, by logical id. Those whose condition is false are left out.
    pub(super) fn resources(&self, kind: &str) -> Result<Vec<(String, Value)>, TemplateError> {
        let Some(resources) = self.template["Resources"].as_object() else {
            return Err(TemplateError::at("Resources", "none"));
        };
        let mut found = Vec::new();
        for (logical_id, resource) in resources.iter().filter(|(_, resource)| resource["Type"] == kind) {
            if let Some(condition) = resource["Condition"].as_str()
                && !self.condition(condition, MAX_DEPTH)?
            {
                continue;
            }
            let properties =
                self.value(&resource["Properties"], MAX_DEPTH).map_err(|error| within(logical_id, error))?;
            found.push((logical_id.clone(), properties));
        }
        Ok(found)
    }

    fn value(&self, value: &Value, depth: usize) -> Resolved {
        let depth = depth.checked_sub(1).ok_or_else(|| TemplateError::at("", "it leads to itself"))?;
        match value {
            Value::Array(items) => {
                let items =
                    items.iter().map(|item| self.value(item, depth)).collect::<Result<Vec<_>, _>>()?;
                Ok(Value::Array(items.into_iter().filter(|item| item != NO_VALUE).collect()))
            }
            Value::Object(members) => {
                if let Some((name, argument)) = function(members) {
                    return self.call(name, argument, depth).map_err(|error| within(name, error));
                }
                let mut object = Map::new();
                for (name, member) in members {
                    let member = self.value(member, depth).map_err(|error| within(name, error))?;
                    if member != NO_VALUE {
                        object.insert(name.clone(), member);
                    }
                }
                Ok(Value::Object(object))
            }
            other => Ok(other.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Value, depth: usize) -> Resolved {
        let list = || {
            let resolved = self.value(argument, depth)?;
            match resolved {
                Value::Array(items) => Ok(items),
                other => Err(TemplateError::at("", format!("not a list: {other}"))),
            }
        };
        match name {
            "Ref" => self.reference(&text(argument)?, depth),
            "Condition" => self.condition(&text(argument)?, depth).map(Value::Bool),
            "Fn::GetAtt" => match list()?.as_slice() {
                [resource, attribute] => self.attribute(&text(resource)?, &text(attribute)?, depth),
                other => Err(TemplateError::at("", format!("not two: {other:?}"))),
            },
            "Fn::Sub" => self.substitute(argument, depth),
            // Only the branch that is taken is resolved, since the other one may refer to what is not there.
            "Fn::If" => match argument.as_array().map(Vec::as_slice) {
                Some([condition, yes, no]) => {
                    let holds = self.condition(&text(condition)?, depth)?;
                    self.value(if holds { yes } else { no }, depth)
                }
                _ => Err(TemplateError::at("", "not a condition and two values")),
            },
            "Fn::Equals" => match list()?.as_slice() {
                [one, other] => Ok(Value::Bool(text(one)? == text(other)?)),
                other => Err(TemplateError::at("", format!("not two: {other:?}"))),
            },
            "Fn::And" | "Fn::Or" | "Fn::Not" => {
                let values: Vec<bool> = list()?.iter().map(|value| value == &Value::Bool(true)).collect();
                Ok(Value::Bool(match name {
                    "Fn::And" => values.iter().all(|is| *is),
                    "Fn::Or" => values.iter().any(|is| *is),
                    _ => values == [false],
                }))
            }
            "Fn::Join" => match list()?.as_slice() {
                [between, Value::Array(items)] => {
                    let items = items.iter().map(text).collect::<Result<Vec<_>, _>>()?;
                    Ok(Value::String(items.join(&text(between)?)))
                }
                other => Err(TemplateError::at("", format!("not a text and a list: {other:?}"))),
            },
            "Fn::Split" => match list()?.as_slice() {
                [at, whole] => {
                    let (at, whole) = (text(at)?, text(whole)?);
                    Ok(Value::Array(whole.split(&at).map(|part| Value::String(part.to_owned())).collect()))
                }
                other => Err(TemplateError::at("", format!("not two texts: {other:?}"))),
            },
            "Fn::Select" => match list()?.as_slice() {
                [index, Value::Array(items)] => {
                    let index: usize =
                        text(index)?.parse().map_err(|_| TemplateError::at("", "not an index"))?;
                    items.get(index).cloned().ok_or_else(|| TemplateError::at("", format!("no item {index}")))
                }
                other => Err(TemplateError::at("", format!("not an index and a list: {other:?}"))),
            },
            "Fn::FindInMap" => {
                let keys = list()?.iter().take(3).map(text).collect::<Result<Vec<_>, _>>()?;
                let found = keys.iter().fold(&self.template["Mappings"], |at, key| &at[key.as_str()]);
                if found.is_null() {
                    return Err(TemplateError::at("", format!("no mapping {}", keys.join("."))));
                }
                Ok(found.clone())
            }
            other => Err(TemplateError::at("", format!("{other} is not known here"))),
        }
    }

    fn condition(&self, name: &str, depth: usize) -> Result<bool, TemplateError> {
        match &self.template["Conditions"][name] {
            Value::Null => Err(TemplateError::at(format!("Conditions.{name}"), "not there")),
            condition => {
                Ok(self.value(condition, depth).map_err(|error| within(name, error))? == Value::Bool(true))
            }
        }
    }

    fn reference(&self, name: &str, depth: usize) -> Resolved {
        let stack = self.stack;
        let known = match name {
            "AWS::StackName" => stack.name.clone(),
            "AWS::Region" => stack.region.clone(),
            "AWS::AccountId" => stack.account.clone(),
            "AWS::Partition" => partition(&stack.region).to_owned(),
            "AWS::URLSuffix" if partition(&stack.region) == "aws-cn" => "amazonaws.com.cn".to_owned(),
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            "AWS::NoValue" => NO_VALUE.to_owned(),
            _ => return self.parameter_or_resource(name, depth),
        };
        Ok(Value::String(known))
    }

    fn parameter_or_resource(&self, name: &str, depth: usize) -> Resolved {
        let parameter = &self.template["Parameters"][name];
        if !parameter.is_null() {
            let value = match self.stack.parameters.get(name) {
                Some(value) => value.clone(),
                None if parameter["Default"].is_null() => {
                    return Err(TemplateError::at(name, "a parameter without a value"));
                }
                None => text(&parameter["Default"])?,
            };
            let is_list = parameter["Type"]
                .as_str()
                .is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<"));
            return Ok(if is_list {
                let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
                Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
            } else {
                Value::String(value)
            });
        }
        if let Some(physical_id) = self.stack.resources.get(name) {
            return Ok(Value::String(physical_id.clone()));
        }
        // The stack was not given this resource, but the template may say its name.
        let resource = &self.template["Resources"][name];
        let own_name = match resource["Type"].as_str() {
            Some("AWS::SES::ReceiptRuleSet") => &resource["Properties"]["RuleSetName"],
            Some("AWS::SES::ReceiptRule") => &resource["Properties"]["Rule"]["Name"],
            _ => &Value::Null,
        };
        if own_name.is_null() {
            return Err(TemplateError::at(name, "neither a parameter nor a resource of the stack"));
        }
        self.value(own_name, depth)
    }

    fn attribute(&self, resource: &str, attribute: &str, depth: usize) -> Resolved {
        if let Some(value) = self.stack.attributes.get(&format!("{resource}.{attribute}")) {
            return Ok(Value::String(value.clone()));
        }
        let kind = self.template["Resources"][resource]["Type"].as_str().unwrap_or_default();
        let id = text(&self.parameter_or_resource(resource, depth)?)?;
        let (partition, Stack { region, account, .. }) = (partition(&self.stack.region), self.stack);
        let arn = match (kind, attribute) {
            ("AWS::Lambda::Function" | "AWS::Serverless::Function", "Arn") => {
                format!("arn:{partition}:lambda:{region}:{account}:function:{id}")
            }
            ("AWS::S3::Bucket", "Arn") => format!("arn:{partition}:s3:::{id}"),
            ("AWS::IAM::Role", "Arn") => format!("arn:{partition}:iam::{account}:role/{id}"),
            ("AWS::KMS::Key", "Arn") => format!("arn:{partition}:kms:{region}:{account}:key/{id}"),
            ("AWS::SNS::Topic", "TopicArn") => id,
            _ => return Err(TemplateError::at(format!("{resource}.{attribute}"), "the stack does not tell")),
        };
        Ok(Value::String(arn))
    }

    fn substitute(&self, argument: &Value, depth: usize) -> Resolved {
        let (template, own) = match argument {
            Value::Array(items) if items.len() == 2 => (text(&items[0])?, self.value(&items[1], depth)?),
            other => (text(other)?, Value::Null),
        };
        let mut whole = String::new();
        let mut rest = template.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| TemplateError::at(template.clone(), "${ without }"))?;
            whole.push_str(before);
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                whole.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match (&own[name], name.split_once('.')) {
                (Value::Null, Some((resource, attribute))) => self.attribute(resource, attribute, depth)?,
                (Value::Null, None) => self.reference(name, depth)?,
                (value, _) => value.clone(),
            };
            whole.push_str(&text(&value)?);
        }
        whole.push_str(rest);
        Ok(Value::String(whole))
    }
}

/// The function's name and argument, if the object's only member is a function. `Condition` is one only within conditions,
/// but nothing else in the template has that name.
fn function(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = members.iter().next()?;
    let is_function =
        name == "Ref" || name.starts_with("Fn::") || (name == "Condition" && argument.is_string());
    (members.len() == 1 && is_function).then_some((name.as_str(), argument))
}

/// A scalar as a text, since CloudFormation takes any scalar for one.
fn text(value: &Value) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(is) => Ok(is.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(TemplateError::at("", format!("not a text: {other}"))),
    }
}

fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

fn within(outer: &str, error: TemplateError) -> TemplateError {
    match error {
        TemplateError::At { at, what } if at.is_empty() => TemplateError::at(outer, what),
        TemplateError::At { at, what } => TemplateError::at(format!("{outer}.{at}"), what),
        other @ TemplateError::Yaml(_) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_give_what_cloudformation_gives() {
        let template = json!({
            "Parameters": {
                "Text": { "Type": "String", "Default": "a,b" },
                "List": { "Type": "CommaDelimitedList", "Default": "a, b" },
                "Number": { "Type": "Number", "Default": 3 },
                "Without": { "Type": "String" },
            },
            "Mappings": { "Names": { "us-east-1": { "Name": "virginia" } } },
            "Conditions": {
                "Yes": { "Fn::Equals": [{ "Ref": "Number" }, "3"] },
                "No": { "Fn::Not": [{ "Condition": "Yes" }] },
                "Either": { "Fn::Or": [{ "Condition": "Yes" }, { "Condition": "No" }] },
                "Both": { "Fn::And": [{ "Condition": "Yes" }, { "Condition": "No" }] },
                "Circle": { "Condition": "Circle" },
            },
            "Resources": { "F": { "Type": "AWS::Lambda::Function" }, "Q": { "Type": "AWS::SQS::Queue" } },
        });
        let stack =
            Stack::new("s", "us-east-1", "123456789012").resource("F", "f").attribute("Q.Arn", "arn:q");
        let resolver = Resolver::new(&template, &stack);
        for (value, expected) in [
            (json!({ "Ref": "Text" }), json!("a,b")),
            (json!({ "Ref": "List" }), json!(["a", "b"])),
            (json!({ "Fn::Sub": "${AWS::StackName}-${Number}-${!Text}" }), json!("s-3-${Text}")),
            (
                json!({ "Fn::Sub": ["${X}-${F.Arn}", { "X": { "Ref": "AWS::Region" } }] }),
                json!("us-east-1-arn:aws:lambda:us-east-1:123456789012:function:f"),
            ),
            (json!({ "Fn::GetAtt": ["Q", "Arn"] }), json!("arn:q")),
            (json!({ "Fn::If": ["Yes", "y", { "Ref": "Nobody" }] }), json!("y")),
            (json!({ "a": { "Fn::If": ["No", "y", { "Ref": "AWS::NoValue" }] }, "b": 1 }), json!({ "b": 1 })),
            (json!(["x", { "Ref": "AWS::NoValue" }]), json!(["x"])),
            (json!({ "Fn::Select": ["1", { "Fn::Split": [",", { "Ref": "Text" }] }] }), json!("b")),
            (json!({ "Fn::Join": ["-", { "Ref": "List" }] }), json!("a-b")),
            (json!({ "Fn::FindInMap": ["Names", { "Ref": "AWS::Region" }, "Name"] }), json!("virginia")),
            (json!({ "Condition": "Either" }), json!(true)),
            (json!({ "Condition": "Both" }), json!(false)),
        ] {
            assert_eq!(resolver.value(&value, MAX_DEPTH), Ok(expected), "{value}");
        }
        for value in [
            json!({ "Ref": "Without" }),
            json!({ "Ref": "Nobody" }),
            json!({ "Condition": "Circle" }),
            json!({ "Condition": "Nobody" }),
            json!({ "Fn::GetAtt": ["Q", "Other"] }),
            json!({ "Fn::Sub": "${open" }),
            json!({ "Fn::Cidr": [] }),
        ] {
            resolver.value(&value, MAX_DEPTH).expect_err(&value.to_string());
        }
    }
}
