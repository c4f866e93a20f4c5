//! The receipt rules and rule sets of one Region: which are valid, what their order is, and which set is active.
//!
//! Pure: whether a bucket, topic or function is there is found out elsewhere, between [`RuleSets::check_create`] and
//! [`RuleSets::create`].

use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;

/// The most rule sets in a Region of an account (guide, "Service quotas").
pub const MAX_RULE_SETS: usize = 40;
/// The most rules in a rule set (guide, "Service quotas").
pub const MAX_RULES: usize = 200;
/// The most recipients of a rule (guide, "Service quotas").
pub const MAX_RECIPIENTS: usize = 100;
/// The most actions of a rule (guide, "Service quotas").
pub const MAX_ACTIONS: usize = 10;

/// An error of SES's v1 API, with SES's code and message. Its status is always 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The error's code, by which the SDK tells errors apart.
    pub code: &'static str,
    /// The text for people.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    fn limit(message: &str) -> Self {
        Self::new("LimitExceeded", message)
    }

    fn no_rule_set(name: &str) -> Self {
        Self::new("RuleSetDoesNotExist", format!("Rule set does not exist: {name}"))
    }

    fn no_rule(name: &str) -> Self {
        Self::new("RuleDoesNotExist", format!("Rule does not exist: {name}"))
    }
}

/// A receipt rule, spelled as both the API and CloudFormation spell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReceiptRule {
    /// The name of the rule, unique in its set.
    #[serde(default)]
    pub name: String,
    /// Whether the rule is applied. It is not unless the request says so.
    #[serde(default, deserialize_with = "boolean")]
    pub enabled: bool,
    /// Whether mail must come over TLS: `Require` or `Optional`.
    #[serde(default = "optional")]
    pub tls_policy: String,
    /// The conditions that recipients are matched with. None matches everybody.
    #[serde(default, deserialize_with = "list")]
    pub recipients: Vec<String>,
    /// The rule's actions, in their order.
    #[serde(default, deserialize_with = "list")]
    pub actions: Vec<Action>,
    /// Whether mail is scanned for spam and viruses. It is not unless the request says so.
    #[serde(default, deserialize_with = "boolean")]
    pub scan_enabled: bool,
}

fn optional() -> String {
    "Optional".to_owned()
}

/// Reads a boolean, which the query protocol and many templates write as text.
fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Is(bool),
        Says(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Is(is) => Ok(is),
        Either::Says(text) => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(serde::de::Error::custom(format!("{text:?} is not true or false"))),
        },
    }
}

/// Reads a list. The query protocol writes an empty one as an empty text.
fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            if text.is_empty() { Ok(Vec::new()) } else { Err(E::custom(format!("{text:?} is not a list"))) }
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }
    deserializer.deserialize_any(Visitor(std::marker::PhantomData))
}

/// One action that a rule takes on a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Stores the mail in a bucket.
    #[serde(rename = "S3Action")]
    S3(S3Action),
    /// Publishes the mail to a topic.
    #[serde(rename = "SNSAction")]
    Sns(SnsAction),
    /// Invokes a function.
    #[serde(rename = "LambdaAction")]
    Lambda(LambdaAction),
    /// Sends a bounce to the sender.
    #[serde(rename = "BounceAction")]
    Bounce(BounceAction),
    /// Ends the rule set.
    #[serde(rename = "StopAction")]
    Stop(StopAction),
    /// Adds a header to the mail.
    #[serde(rename = "AddHeaderAction")]
    AddHeader(AddHeaderAction),
}

/// The S3 action: it stores the raw mail under prefix + message id.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct S3Action {
    /// The name of the bucket, which may be in any Region.
    pub bucket_name: String,
    /// The prefix, which is put before the message id as it is; `None` is no prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_key_prefix: Option<String>,
    /// The ARN of the KMS key with which the mail is encrypted before it is stored; `None`: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    /// The ARN of the role with which the mail is stored; `None`: SES stores it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iam_role_arn: Option<String>,
    /// The ARN of the topic that is told when the mail was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
}

/// The SNS action: it publishes the mail itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SnsAction {
    /// The ARN of the topic.
    pub topic_arn: String,
    /// How the mail is encoded: `UTF-8` or `Base64`.
    #[serde(default = "utf8")]
    pub encoding: String,
}

fn utf8() -> String {
    "UTF-8".to_owned()
}

/// The Lambda action: it invokes a function with what SES knows about the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LambdaAction {
    /// The ARN of the function.
    pub function_arn: String,
    /// How the function is invoked: `Event` or `RequestResponse`.
    #[serde(default = "event")]
    pub invocation_type: String,
    /// The ARN of the topic that is told when the function was invoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
}

/// The default invocation type. API reference, `LambdaAction`: "The default value is `Event`."
fn event() -> String {
    "Event".to_owned()
}

/// The bounce action: it sends a bounce to the sender.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BounceAction {
    /// The SMTP reply code (RFC 5321).
    pub smtp_reply_code: String,
    /// The enhanced status code (RFC 3463).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    /// The text for people.
    pub message: String,
    /// The address that the bounce comes from.
    pub sender: String,
    /// The ARN of the topic that is told when the mail bounced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
}

/// The stop action: it ends the rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StopAction {
    /// What is stopped, which is always `RuleSet`.
    pub scope: String,
    /// The ARN of the topic that is told when the rule set was ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
}

/// The header action: it adds a header to the mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddHeaderAction {
    /// The header's name, of letters, digits and dashes.
    pub header_name: String,
    /// The header's value, of one line.
    pub header_value: String,
}

impl Action {
    /// The ARN of the topic that the action names, if it names one.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::S3(action) => action.topic_arn.as_deref(),
            Self::Sns(action) => Some(&action.topic_arn),
            Self::Lambda(action) => action.topic_arn.as_deref(),
            Self::Bounce(action) => action.topic_arn.as_deref(),
            Self::Stop(action) => action.topic_arn.as_deref(),
            Self::AddHeader(_) => None,
        }
    }
}

impl ReceiptRule {
    /// Refuses what SES refuses before it looks at anything outside the rule. Messages and their order are as probed.
    pub fn validate(&self, region: &str) -> Result<(), Refusal> {
        name_pattern(&self.name, "rule.name")?;
        one_of(&self.tls_policy, "rule.tlsPolicy", &["Optional", "Require"])?;
        for (index, action) in self.actions.iter().enumerate() {
            let at = format!("rule.actions.{}.member", index + 1);
            match action {
                Action::Lambda(LambdaAction { invocation_type, .. }) => one_of(
                    invocation_type,
                    &format!("{at}.lambdaAction.invocationType"),
                    &["RequestResponse", "Event"],
                )?,
                Action::Sns(SnsAction { encoding, .. }) => {
                    one_of(encoding, &format!("{at}.sNSAction.encoding"), &["Base64", "UTF-8"])?;
                }
                Action::Stop(StopAction { scope, .. }) => {
                    one_of(scope, &format!("{at}.stopAction.scope"), &["RuleSet"])?;
                }
                _ => {}
            }
        }
        name_ends(&self.name, "ruleName")?;
        if self.recipients.len() > MAX_RECIPIENTS {
            return Err(Refusal::limit("Too many recipients"));
        }
        if self.actions.len() > MAX_ACTIONS {
            return Err(Refusal::limit("Too many actions"));
        }
        if self.actions.iter().rev().skip(1).any(|action| matches!(action, Action::Stop(_))) {
            return Err(Refusal::invalid(
                "Stop action, if any, must be placed at the end of the actions list",
            ));
        }
        self.actions.iter().try_for_each(|action| action.validate(region))
    }
}

impl Action {
    /// Refuses an action that SES refuses. Everything but the bucket must be in this Region (guide, "Regions and Amazon
    /// SES").
    fn validate(&self, region: &str) -> Result<(), Refusal> {
        match self {
            Self::S3(action) => {
                if action.bucket_name.is_empty() {
                    return Err(Refusal::invalid("Bucket name must not be empty"));
                }
                if let Some(key) = &action.kms_key_arn
                    && !arn_is(key, "kms", region)
                {
                    return Err(Refusal::new(
                        "InvalidS3Configuration",
                        format!("Unable to use AWS KMS key: {key}"),
                    ));
                }
                if let Some(role) = &action.iam_role_arn
                    && !arn_is(role, "iam", "")
                {
                    return Err(Refusal::invalid("Could not assume the provided IAM role"));
                }
            }
            Self::Lambda(LambdaAction { function_arn, .. }) if !arn_is(function_arn, "lambda", region) => {
                return Err(Refusal::new(
                    "InvalidLambdaFunction",
                    format!("Invalid Lambda function: {function_arn}"),
                ));
            }
            Self::AddHeader(AddHeaderAction { header_name, header_value }) => {
                let plain =
                    |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                if header_name.is_empty() || header_name.len() > 50 || !plain(header_name) {
                    return Err(Refusal::invalid(format!("Invalid header name: {header_name}")));
                }
                if header_value.len() > 2048 || header_value.contains(['\r', '\n']) {
                    return Err(Refusal::invalid(format!("Invalid header value: {header_value}")));
                }
            }
            _ => {}
        }
        match self.topic() {
            Some(topic) if !arn_is(topic, "sns", region) => {
                Err(Refusal::new("InvalidSnsTopic", format!("Invalid SNS topic: {topic}")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether an ARN is of that service and Region, such as `arn:aws:sns:us-east-1:123456789012:name`.
fn arn_is(arn: &str, service: &str, region: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, of, within, account, resource]
        if partition.starts_with("aws") && of == service && within == region
            && account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()) && !resource.is_empty())
}

fn violation(at: &str, constraint: &str) -> Refusal {
    Refusal::new(
        "ValidationError",
        format!("1 validation error detected: Value at '{at}' failed to satisfy constraint: {constraint}"),
    )
}

fn name_pattern(name: &str, at: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(violation(at, "Member must satisfy regular expression pattern: ^[a-zA-Z0-9_.-]+$"));
    }
    Ok(())
}

fn name_ends(name: &str, what: &str) -> Result<(), Refusal> {
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    if name.len() > 64 || !end(name.as_bytes().first()) || !end(name.as_bytes().last()) {
        return Err(Refusal::invalid(format!("Not a valid {what}: {name}")));
    }
    Ok(())
}

fn one_of(value: &str, at: &str, allowed: &[&str]) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(violation(at, &format!("Member must satisfy enum value set: [{}]", allowed.join(", "))))
}

/// A rule set: an ordered list of rules with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSet {
    /// The name of the set, unique in the Region.
    pub name: String,
    /// When the set was created.
    pub created: OffsetDateTime,
    /// The rules, in the order in which they are applied.
    pub rules: Vec<ReceiptRule>,
}

impl RuleSet {
    fn position(&self, rule: &str) -> Result<usize, Refusal> {
        self.rules.iter().position(|other| other.name == rule).ok_or_else(|| Refusal::no_rule(rule))
    }
}

/// The rule sets of one Region.
#[derive(Debug, Clone, Default)]
pub struct RuleSets {
    sets: Vec<RuleSet>,
    active: Option<String>,
}

impl RuleSets {
    /// All rule sets, by name.
    pub fn list(&self) -> impl Iterator<Item = &RuleSet> {
        self.sets.iter()
    }

    /// The active rule set; `None` if none is.
    pub fn active(&self) -> Option<&RuleSet> {
        self.sets.iter().find(|set| Some(&set.name) == self.active.as_ref())
    }

    /// One rule set, by its name.
    pub fn get(&self, name: &str) -> Result<&RuleSet, Refusal> {
        self.sets.iter().find(|set| set.name == name).ok_or_else(|| Refusal::no_rule_set(name))
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut RuleSet, Refusal> {
        self.sets.iter_mut().find(|set| set.name == name).ok_or_else(|| Refusal::no_rule_set(name))
    }

    fn add_set(&mut self, set: RuleSet) -> Result<(), Refusal> {
        name_pattern(&set.name, "ruleSetName")?;
        name_ends(&set.name, "ruleSetName")?;
        if self.get(&set.name).is_ok() {
            return Err(Refusal::new("AlreadyExists", format!("Rule set already exists: {}", set.name)));
        }
        if self.sets.len() >= MAX_RULE_SETS {
            return Err(Refusal::limit("Too many rule sets"));
        }
        let at = self.sets.partition_point(|other| other.name < set.name);
        self.sets.insert(at, set);
        Ok(())
    }

    /// Creates an empty rule set.
    pub fn create_set(&mut self, name: &str, now: OffsetDateTime) -> Result<(), Refusal> {
        self.add_set(RuleSet { name: name.to_owned(), created: now, rules: Vec::new() })
    }

    /// Creates a copy of a rule set, which is not active. If the copy exists already and the original does not, the former is
    /// the error (probed).
    pub fn clone_set(&mut self, name: &str, original: &str, now: OffsetDateTime) -> Result<(), Refusal> {
        if self.get(name).is_ok() {
            return Err(Refusal::new("AlreadyExists", format!("Rule set already exists: {name}")));
        }
        let rules = self.get(original)?.rules.clone();
        self.add_set(RuleSet { name: name.to_owned(), created: now, rules })
    }

    /// Deletes a rule set with its rules. It is no error if there is none, and the active one is not deleted (probed).
    pub fn delete_set(&mut self, name: &str) -> Result<(), Refusal> {
        if self.active.as_deref() == Some(name) {
            return Err(Refusal::new("CannotDelete", format!("Cannot delete active rule set: {name}")));
        }
        self.sets.retain(|set| set.name != name);
        Ok(())
    }

    /// Makes a rule set active in place of any other. Without a name, none is active then.
    pub fn set_active(&mut self, name: Option<&str>) -> Result<(), Refusal> {
        self.active = name.map(|name| self.get(name).map(|set| set.name.clone())).transpose()?;
        Ok(())
    }

    /// Checks whether a rule could be added, and returns its place in the set.
    pub fn check_create(&self, set: &str, rule: &ReceiptRule, after: Option<&str>) -> Result<usize, Refusal> {
        let set = self.get(set)?;
        if set.position(&rule.name).is_ok() {
            return Err(Refusal::new("AlreadyExists", format!("Rule already exists: {}", rule.name)));
        }
        if set.rules.len() >= MAX_RULES {
            return Err(Refusal::limit("Too many rules"));
        }
        after.map_or(Ok(0), |after| Ok(set.position(after)? + 1))
    }

    /// Adds a rule after another one or, if `after` is `None`, before all (API reference).
    pub fn create(&mut self, set: &str, rule: ReceiptRule, after: Option<&str>) -> Result<(), Refusal> {
        let at = self.check_create(set, &rule, after)?;
        self.get_mut(set)?.rules.insert(at, rule);
        Ok(())
    }

    /// One rule of a set.
    pub fn rule(&self, set: &str, rule: &str) -> Result<&ReceiptRule, Refusal> {
        let set = self.get(set)?;
        Ok(&set.rules[set.position(rule)?])
    }

    /// Replaces a rule, which keeps its place.
    pub fn update(&mut self, set: &str, rule: ReceiptRule) -> Result<(), Refusal> {
        let set = self.get_mut(set)?;
        let at = set.position(&rule.name)?;
        set.rules[at] = rule;
        Ok(())
    }

    /// Deletes a rule. It is no error if there is none (probed).
    pub fn delete(&mut self, set: &str, rule: &str) -> Result<(), Refusal> {
        self.get_mut(set)?.rules.retain(|other| other.name != rule);
        Ok(())
    }

    /// Moves a rule after another one or, if `after` is `None`, before all.
    pub fn set_position(&mut self, set: &str, rule: &str, after: Option<&str>) -> Result<(), Refusal> {
        let set = self.get_mut(set)?;
        let from = set.position(rule)?;
        if after == Some(rule) {
            return Ok(());
        }
        if let Some(after) = after {
            set.position(after)?;
        }
        let moved = set.rules.remove(from);
        let to = after.map_or(Ok(0), |after| Ok(set.position(after)? + 1))?;
        set.rules.insert(to, moved);
        Ok(())
    }

    /// Sets the order of the rules, which must name each of them once (messages as probed).
    pub fn reorder(&mut self, set: &str, order: &[String]) -> Result<(), Refusal> {
        let set = self.get_mut(set)?;
        for (index, name) in order.iter().enumerate() {
            if order[..index].contains(name) {
                return Err(Refusal::invalid(format!("Multiple positions found for rule: {name}")));
            }
        }
        let missing: Vec<&str> = set
            .rules
            .iter()
            .map(|rule| rule.name.as_str())
            .filter(|name| !order.iter().any(|o| o == name))
            .collect();
        if !missing.is_empty() {
            return Err(Refusal::invalid(format!("Positions for rules not found: {}", missing.join(", "))));
        }
        for name in order {
            set.position(name)?;
        }
        set.rules.sort_by_key(|rule| order.iter().position(|name| *name == rule.name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn rule(value: serde_json::Value) -> ReceiptRule {
        serde_json::from_value(value).expect("a rule")
    }

    fn named(name: &str) -> ReceiptRule {
        rule(json!({ "Name": name }))
    }

    fn sets(rules: &[&str]) -> RuleSets {
        let mut sets = RuleSets::default();
        sets.create_set("set", NOW).expect("made");
        for name in rules.iter().rev() {
            sets.create("set", named(name), None).expect("added");
        }
        sets
    }

    fn order(sets: &RuleSets) -> Vec<&str> {
        sets.get("set").expect("there").rules.iter().map(|rule| rule.name.as_str()).collect()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
        result.expect_err("refused").code
    }

    #[test]
    fn rules_stand_where_they_were_put() {
        let mut sets = sets(&["a", "b"]);
        assert_eq!(order(&sets), ["a", "b"]);
        sets.create("set", named("c"), Some("a")).expect("added");
        assert_eq!(order(&sets), ["a", "c", "b"]);
        sets.set_position("set", "b", None).expect("moved");
        assert_eq!(order(&sets), ["b", "a", "c"]);
        sets.set_position("set", "b", Some("c")).expect("moved");
        assert_eq!(order(&sets), ["a", "c", "b"]);
        sets.reorder("set", &["c", "b", "a"].map(String::from)).expect("ordered");
        assert_eq!(order(&sets), ["c", "b", "a"]);
        sets.delete("set", "b").expect("removed");
        sets.delete("set", "b").expect("fine");
        assert_eq!(order(&sets), ["c", "a"]);
    }

    #[test]
    fn what_is_missing_or_there_already_is_refused() {
        let mut sets = sets(&["a", "b"]);
        assert_eq!(code(sets.create_set("set", NOW)), "AlreadyExists");
        assert_eq!(code(sets.create("none", named("c"), None)), "RuleSetDoesNotExist");
        assert_eq!(code(sets.create("set", named("a"), None)), "AlreadyExists");
        assert_eq!(code(sets.create("set", named("c"), Some("none"))), "RuleDoesNotExist");
        assert_eq!(code(sets.update("set", named("none"))), "RuleDoesNotExist");
        assert_eq!(code(sets.rule("set", "none")), "RuleDoesNotExist");
        assert_eq!(code(sets.set_active(Some("none"))), "RuleSetDoesNotExist");
        assert_eq!(code(sets.clone_set("set", "none", NOW)), "AlreadyExists");
        assert_eq!(code(sets.clone_set("other", "none", NOW)), "RuleSetDoesNotExist");
        assert_eq!(code(sets.reorder("set", &["a".to_owned()])), "InvalidParameterValue");
        assert_eq!(code(sets.reorder("set", &["a", "a", "b"].map(String::from))), "InvalidParameterValue");
        assert_eq!(code(sets.reorder("set", &["a", "b", "none"].map(String::from))), "RuleDoesNotExist");
    }

    #[test]
    fn one_set_is_active_at_most_and_stays() {
        let mut sets = sets(&[]);
        sets.create_set("other", NOW).expect("made");
        assert!(sets.active().is_none());
        sets.set_active(Some("set")).expect("active");
        sets.set_active(Some("other")).expect("active");
        assert_eq!(sets.active().map(|set| set.name.as_str()), Some("other"));
        assert_eq!(code(sets.delete_set("other")), "CannotDelete");
        assert_eq!(code(sets.set_active(Some("none"))), "RuleSetDoesNotExist");
        assert!(sets.active().is_some(), "a refusal changes nothing");
        sets.set_active(None).expect("none");
        sets.delete_set("other").expect("removed");
        sets.delete_set("other").expect("fine");
    }

    #[test]
    fn limits() {
        let mut all = RuleSets::default();
        for number in 0..MAX_RULE_SETS {
            all.create_set(&format!("set{number}"), NOW).expect("made");
        }
        assert_eq!(code(all.create_set("one-more", NOW)), "LimitExceeded");
        for number in 0..MAX_RULES {
            all.create("set0", named(&format!("rule{number}")), None).expect("added");
        }
        assert_eq!(code(all.create("set0", named("one-more"), None)), "LimitExceeded");
        let header = json!({ "AddHeaderAction": { "HeaderName": "X", "HeaderValue": "y" } });
        let many = |actions, recipients| {
            rule(json!({ "Name": "a", "Actions": vec![header.clone(); actions], "Recipients": vec!["example.com"; recipients] }))
                .validate("us-east-1")
        };
        many(MAX_ACTIONS, MAX_RECIPIENTS).expect("valid");
        assert_eq!(code(many(MAX_ACTIONS + 1, 1)), "LimitExceeded");
        assert_eq!(code(many(1, MAX_RECIPIENTS + 1)), "LimitExceeded");
    }

    #[test]
    fn everything_but_the_bucket_is_in_this_region() {
        let topic = |region: &str| format!("arn:aws:sns:{region}:123456789012:topic");
        let function = |region: &str| format!("arn:aws:lambda:{region}:123456789012:function:f");
        let key = |region: &str| format!("arn:aws:kms:{region}:123456789012:key/k");
        let actions = |region: &str| {
            [
                (json!({ "SNSAction": { "TopicArn": topic(region) } }), "InvalidSnsTopic"),
                (json!({ "S3Action": { "BucketName": "b", "TopicArn": topic(region) } }), "InvalidSnsTopic"),
                (
                    json!({ "StopAction": { "Scope": "RuleSet", "TopicArn": topic(region) } }),
                    "InvalidSnsTopic",
                ),
                (json!({ "LambdaAction": { "FunctionArn": function(region) } }), "InvalidLambdaFunction"),
                (
                    json!({ "S3Action": { "BucketName": "b", "KmsKeyArn": key(region) } }),
                    "InvalidS3Configuration",
                ),
            ]
        };
        for (action, _) in actions("eu-west-1") {
            rule(json!({ "Name": "a", "Actions": [action] })).validate("eu-west-1").expect("valid");
        }
        for (action, expected) in actions("us-east-1") {
            let result = rule(json!({ "Name": "a", "Actions": [action] })).validate("eu-west-1");
            assert_eq!(code(result), expected, "{action}");
        }
    }

    #[test]
    fn values_that_are_none_are_refused() {
        for (value, expected) in [
            (json!({ "Name": "" }), "ValidationError"),
            (json!({ "Name": "a b" }), "ValidationError"),
            (json!({ "Name": "-a" }), "InvalidParameterValue"),
            (json!({ "Name": "a".repeat(65) }), "InvalidParameterValue"),
            (json!({ "Name": "a", "TlsPolicy": "Sometimes" }), "ValidationError"),
            (json!({ "Name": "a", "Actions": [{ "StopAction": { "Scope": "Rule" } }] }), "ValidationError"),
            (
                json!({ "Name": "a", "Actions": [{ "S3Action": { "BucketName": "" } }] }),
                "InvalidParameterValue",
            ),
            (
                json!({ "Name": "a", "Actions": [
                    { "StopAction": { "Scope": "RuleSet" } }, { "S3Action": { "BucketName": "b" } },
                ] }),
                "InvalidParameterValue",
            ),
            (
                json!({ "Name": "a", "Actions": [{ "LambdaAction": { "FunctionArn": "f" } }] }),
                "InvalidLambdaFunction",
            ),
        ] {
            assert_eq!(code(rule(value.clone()).validate("us-east-1")), expected, "{value}");
        }
    }

    #[test]
    fn defaults_are_ses_s_own_and_texts_are_taken() {
        let rule = rule(json!({
            "Name": "a", "Enabled": "true", "Recipients": "",
            "Actions": [{ "SNSAction": { "TopicArn": "t" } }, { "LambdaAction": { "FunctionArn": "f" } }],
        }));
        assert!(rule.enabled && !rule.scan_enabled && rule.recipients.is_empty());
        assert_eq!(rule.tls_policy, "Optional");
        let [Action::Sns(sns), Action::Lambda(lambda)] = &rule.actions[..] else { panic!("{rule:?}") };
        assert_eq!((sns.encoding.as_str(), lambda.invocation_type.as_str()), ("UTF-8", "Event"));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Create(u8, Option<u8>),
        Move(u8, Option<u8>),
        Delete(u8),
        Activate(bool),
        DeleteSet,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let rule = 0..6_u8;
        proptest::collection::vec(
            prop_oneof![
                (rule.clone(), proptest::option::of(rule.clone())).prop_map(|(r, a)| Step::Create(r, a)),
                (rule.clone(), proptest::option::of(rule.clone())).prop_map(|(r, a)| Step::Move(r, a)),
                rule.prop_map(Step::Delete),
                any::<bool>().prop_map(Step::Activate),
                Just(Step::DeleteSet),
            ],
            0..40,
        )
    }

    proptest! {
        #[test]
        fn names_stay_unique_and_after_means_right_after(steps in steps()) {
            let mut sets = RuleSets::default();
            sets.create_set("set", NOW).expect("made");
            for step in steps {
                let name = |number: u8| format!("r{number}");
                match step {
                    Step::Create(new, after) | Step::Move(new, after) => {
                        let (new, after) = (name(new), after.map(name));
                        let done = match step {
                            Step::Create(..) => sets.create("set", named(&new), after.as_deref()),
                            _ => sets.set_position("set", &new, after.as_deref()),
                        };
                        if done.is_ok() && after.as_ref() != Some(&new) {
                            let order = order(&sets);
                            let at = order.iter().position(|name| *name == new).expect("there");
                            prop_assert_eq!(at.checked_sub(1).map(|before| order[before].to_owned()), after);
                        }
                    }
                    Step::Delete(rule) => { let _ = sets.delete("set", &name(rule)); }
                    Step::Activate(yes) => { let _ = sets.set_active(yes.then_some("set")); }
                    Step::DeleteSet => {
                        let was_active = sets.active().is_some();
                        prop_assert_eq!(sets.delete_set("set").is_err(), was_active);
                        if !was_active {
                            sets.create_set("set", NOW).expect("made");
                        }
                    }
                }
                let mut names = order(&sets);
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), count);
            }
        }
    }
}
