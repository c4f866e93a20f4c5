//! Reads from a CloudFormation template the receipt rules that it describes, for a local CloudFormation that cannot make
//! them.
//!
//! The template is read as it is, with the parameters of a stack and the names that its resources got, so that a test is
//! about what is shipped.

mod resolve;
mod yaml;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::rules::ReceiptRule;

/// Why a template could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is not YAML.
    #[error("not YAML: {0}")]
    Yaml(String),
    /// Something is missing in the template, or is not of the right kind.
    #[error("{at}: {what}")]
    At {
        /// The place in the template.
        at: String,
        /// What is wrong.
        what: String,
    },
}

impl TemplateError {
    fn at(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self::At { at: at.into(), what: what.into() }
    }
}

/// The stack that the template was, or would be, deployed as.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    /// The stack's name: `AWS::StackName`.
    pub name: String,
    /// The stack's Region: `AWS::Region`.
    pub region: String,
    /// The account's id: `AWS::AccountId`.
    pub account: String,
    /// The values of those parameters that differ from the template's defaults.
    pub parameters: BTreeMap<String, String>,
    /// The physical ids of resources by their logical ids, as `DescribeStackResources` tells them. This is what `!Ref`
    /// gives.
    pub resources: BTreeMap<String, String>,
    /// What `!GetAtt` gives, by `LogicalId.Attribute`. The `Arn` of functions, buckets, topics, queues and roles need not
    /// be here: it follows from their physical ids.
    pub attributes: BTreeMap<String, String>,
}

impl Stack {
    /// A stack without parameters or resources.
    pub fn new(name: &str, region: &str, account: &str) -> Self {
        Self {
            name: name.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            ..Self::default()
        }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the physical id of a resource.
    #[must_use]
    pub fn resource(mut self, logical_id: &str, physical_id: &str) -> Self {
        self.resources.insert(logical_id.to_owned(), physical_id.to_owned());
        self
    }

    /// Sets an attribute of a resource, by `LogicalId.Attribute`.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }
}

/// A rule set of the template with its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRuleSet {
    /// The name of the rule set.
    pub name: String,
    /// The rules, in the order in which they are applied.
    pub rules: Vec<ReceiptRule>,
}

/// Reads the rule sets and rules that the template makes for this stack. Those whose `Condition` is false are left out.
pub fn rules_from_template(template: &str, stack: &Stack) -> Result<Vec<TemplateRuleSet>, TemplateError> {
    let template = yaml::read(template)?;
    let resolver = resolve::Resolver::new(&template, stack);
    let mut sets: Vec<TemplateRuleSet> = Vec::new();
    for (logical_id, properties) in resolver.resources("AWS::SES::ReceiptRuleSet")? {
        let name = match &properties["RuleSetName"] {
            Value::String(name) => name.clone(),
            // CloudFormation would make up a name.
            _ => format!("{}-{logical_id}", stack.name),
        };
        sets.push(TemplateRuleSet { name, rules: Vec::new() });
    }
    let mut waiting = Vec::new();
    for (logical_id, properties) in resolver.resources("AWS::SES::ReceiptRule")? {
        let set = properties["RuleSetName"]
            .as_str()
            .ok_or_else(|| TemplateError::at(&logical_id, "no RuleSetName"))?;
        let mut rule = properties["Rule"].clone();
        if rule["Name"].is_null() {
            rule["Name"] = Value::String(format!("{}-{logical_id}", stack.name));
        }
        let rule: ReceiptRule = serde_json::from_value(rule)
            .map_err(|error| TemplateError::at(format!("{logical_id}.Rule"), error.to_string()))?;
        let after = properties["After"].as_str().map(str::to_owned);
        waiting.push((logical_id, set.to_owned(), rule, after));
    }
    // Rules without `After` come first, in the template's order. Any other one is added once the rule that it follows is
    // there.
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut still = Vec::new();
        for (logical_id, set_name, rule, after) in waiting {
            if !sets.iter().any(|set| set.name == set_name) {
                sets.push(TemplateRuleSet { name: set_name.clone(), rules: Vec::new() });
            }
            let Some(set) = sets.iter_mut().find(|set| set.name == set_name) else { continue };
            let there = |name: &String| set.rules.iter().position(|rule| rule.name == *name);
            match after.as_ref().map(there) {
                None => set.rules.push(rule),
                Some(Some(at)) => set.rules.insert(at + 1, rule),
                Some(None) => still.push((logical_id, set_name, rule, after)),
            }
        }
        if still.len() == before {
            let (logical_id, _, _, after) = &still[0];
            return Err(TemplateError::at(logical_id, format!("After {after:?}: no such rule")));
        }
        waiting = still;
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Action, LambdaAction, S3Action};

    const TEMPLATE: &str = include_str!("../../test_data/template.yaml");

    fn stack() -> Stack {
        Stack::new("mailroom", "us-east-1", "123456789012")
            .resource("InboundFunction", "mailroom-InboundFunction-1")
            .resource("MailBucket", "mailroom-mail-1")
    }

    #[test]
    fn the_rules_are_the_templates_with_the_stacks_values() {
        let stack = stack().parameter("MailRecipients", "example.com, .example.com,user@example.net");
        let sets = rules_from_template(TEMPLATE, &stack).expect("readable");
        assert_eq!(sets.len(), 1);
        assert_eq!(sets[0].name, "mailroom-inbound");
        let [rule] = &sets[0].rules[..] else { panic!("{sets:?}") };
        assert_eq!(rule.name, "store-and-tell");
        assert_eq!(rule.recipients, ["example.com", ".example.com", "user@example.net"]);
        assert!(rule.enabled && rule.scan_enabled);
        assert_eq!(rule.tls_policy, "Require");
        assert_eq!(
            rule.actions,
            [
                Action::S3(S3Action {
                    bucket_name: "mailroom-mail-1".into(),
                    object_key_prefix: Some("mail/us-east-1/".into()),
                    ..S3Action::default()
                }),
                Action::Lambda(LambdaAction {
                    function_arn: "arn:aws:lambda:us-east-1:123456789012:function:mailroom-InboundFunction-1"
                        .into(),
                    invocation_type: "Event".into(),
                    topic_arn: None,
                }),
            ]
        );
        rule.validate("us-east-1").expect("SES takes it");
    }

    #[test]
    fn parameters_choose() {
        let arn = "arn:aws:iam::123456789012:role/store";
        let stack = stack()
            .parameter("ExistingBucket", "elsewhere")
            .parameter("StoreRoleArn", arn)
            .parameter("RequireTls", "false");
        let sets = rules_from_template(TEMPLATE, &stack).expect("readable");
        let rule = &sets[0].rules[0];
        let Action::S3(s3) = &rule.actions[0] else { panic!("{rule:?}") };
        assert_eq!((s3.bucket_name.as_str(), s3.iam_role_arn.as_deref()), ("elsewhere", Some(arn)));
        assert_eq!(rule.tls_policy, "Optional");
        assert!(rule.recipients.is_empty(), "an empty list is everybody");
    }

    #[test]
    fn where_the_condition_is_false_there_are_none() {
        for stack in
            [stack().parameter("ReceiptRules", "operator"), Stack { region: "us-west-1".into(), ..stack() }]
        {
            assert_eq!(rules_from_template(TEMPLATE, &stack).expect("readable"), []);
        }
    }

    #[test]
    fn what_nobody_tells_is_named() {
        let without = Stack { resources: BTreeMap::new(), ..stack() };
        let error = rules_from_template(TEMPLATE, &without).expect_err("no function");
        assert!(
            error.to_string().contains("InboundFunction") || error.to_string().contains("MailBucket"),
            "{error}"
        );
        assert!(matches!(rules_from_template("a: [", &stack()), Err(TemplateError::Yaml(_))));
    }

    #[test]
    fn rules_are_ordered_by_after() {
        let template = "
Resources:
  C: { Type: AWS::SES::ReceiptRule, Properties: { RuleSetName: mine, After: b, Rule: { Name: c } } }
  B: { Type: AWS::SES::ReceiptRule, Properties: { RuleSetName: mine, After: !Ref A, Rule: { Name: b } } }
  A: { Type: AWS::SES::ReceiptRule, Properties: { RuleSetName: mine, Rule: { Name: a } } }
";
        let sets = rules_from_template(template, &stack().resource("A", "a")).expect("readable");
        let names: Vec<&str> = sets[0].rules.iter().map(|rule| rule.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let circle = template.replace("!Ref A", "c");
        rules_from_template(&circle, &stack()).expect_err("a circle");
    }
}
