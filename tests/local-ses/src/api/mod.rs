//! SES's v1 API: how it answers each action.

mod notifications;
mod verification;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::clock::iso;
use crate::deliver::{Hands, RECEIVED};
use crate::event::{self, Told};
use crate::mail::{Headers, Verdicts};
use crate::rules::{Action, ReceiptRule, Refusal, RuleSet};
use crate::ses::Ses;
use crate::setup;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetParams {
    rule_set_name: String,
    original_rule_set_name: Option<String>,
    rule_name: Option<String>,
    #[serde(default)]
    rule_names: Vec<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RuleParams {
    rule_set_name: String,
    rule: ReceiptRule,
    after: Option<String>,
}

/// Carries out an action and returns its result as JSON, in the API's spelling.
pub(crate) async fn call(ses: &Ses, region: &str, action: &str, params: Value) -> Result<Value, Refusal> {
    if !RULE_ACTIONS.contains(&action) && !IDENTITY_ACTIONS.contains(&action) {
        return Err(Refusal::new(
            "InvalidAction",
            format!("Could not find operation {action} for version 2010-12-01"),
        ));
    }
    if !ses.admit(region, action) {
        // API reference, "Common errors".
        return Err(Refusal::new("Throttling", "Rate exceeded"));
    }
    match action {
        "GetIdentityNotificationAttributes" => return notifications::get(ses, region, params),
        "SetIdentityNotificationTopic" => return notifications::set_topic(ses, region, params).await,
        "SetIdentityFeedbackForwardingEnabled" => return notifications::set_forwarding(ses, region, params),
        "SetIdentityHeadersInNotificationsEnabled" => return notifications::set_headers(ses, region, params),
        "VerifyDomainDkim" => return verification::domain_dkim(ses, region, params),
        "VerifyEmailIdentity" => return verification::email_identity(ses, region, params),
        _ => {}
    }
    if !ses.receives(region) {
        // No source tells what SES answers; other tools' checks for it expect this.
        return Err(Refusal::new("InvalidAction", "Unavailable Operation"));
    }
    match action {
        "CreateReceiptRule" => {
            let RuleParams { rule_set_name, rule, after } = read(params)?;
            create_rule(ses, region, &rule_set_name, rule, after.as_deref()).await?;
            return Ok(Value::Null);
        }
        "UpdateReceiptRule" => {
            let RuleParams { rule_set_name, rule, .. } = read(params)?;
            rule.validate(region)?;
            ses.rule_sets(region, |sets| sets.rule(&rule_set_name, &rule.name).map(drop))?;
            check_targets(ses, region, &rule_set_name, &rule).await?;
            ses.rule_sets(region, |sets| sets.update(&rule_set_name, rule))?;
            return Ok(Value::Null);
        }
        _ => {}
    }
    let now = ses.clock.now();
    ses.rule_sets(region, |sets| {
        // Only these two actions name no rule set.
        match action {
            "ListReceiptRuleSets" => {
                return Ok(json!({ "RuleSets": sets.list().map(metadata).collect::<Vec<_>>() }));
            }
            "DescribeActiveReceiptRuleSet" => return Ok(sets.active().map_or(Value::Null, described)),
            "SetActiveReceiptRuleSet" => {
                let name = params["RuleSetName"].as_str().filter(|name| !name.is_empty());
                return sets.set_active(name).map(|()| Value::Null);
            }
            _ => {}
        }
        let params: SetParams = read(params)?;
        let set = params.rule_set_name.as_str();
        let rule = || params.rule_name.as_deref().ok_or_else(|| required("RuleName"));
        match action {
            "CreateReceiptRuleSet" => sets.create_set(set, now)?,
            "CloneReceiptRuleSet" => {
                let original = params.original_rule_set_name.as_deref();
                sets.clone_set(set, original.ok_or_else(|| required("OriginalRuleSetName"))?, now)?;
            }
            "DeleteReceiptRuleSet" => sets.delete_set(set)?,
            "DescribeReceiptRuleSet" => return sets.get(set).map(described),
            "ReorderReceiptRuleSet" => sets.reorder(set, &params.rule_names)?,
            "DescribeReceiptRule" => return sets.rule(set, rule()?).map(|rule| json!({ "Rule": rule })),
            "DeleteReceiptRule" => sets.delete(set, rule()?)?,
            "SetReceiptRulePosition" => sets.set_position(set, rule()?, params.after.as_deref())?,
            _ => return Err(Refusal::new("InvalidAction", action)),
        }
        Ok(Value::Null)
    })
}

const IDENTITY_ACTIONS: [&str; 6] = [
    "GetIdentityNotificationAttributes",
    "SetIdentityFeedbackForwardingEnabled",
    "SetIdentityHeadersInNotificationsEnabled",
    "SetIdentityNotificationTopic",
    "VerifyDomainDkim",
    "VerifyEmailIdentity",
];

const RULE_ACTIONS: [&str; 13] = [
    "CloneReceiptRuleSet",
    "CreateReceiptRule",
    "CreateReceiptRuleSet",
    "DeleteReceiptRule",
    "DeleteReceiptRuleSet",
    "DescribeActiveReceiptRuleSet",
    "DescribeReceiptRule",
    "DescribeReceiptRuleSet",
    "ListReceiptRuleSets",
    "ReorderReceiptRuleSet",
    "SetActiveReceiptRuleSet",
    "SetReceiptRulePosition",
    "UpdateReceiptRule",
];

/// Adds a rule, once everything that it names has been found to be there.
pub(crate) async fn create_rule(
    ses: &Ses,
    region: &str,
    set: &str,
    rule: ReceiptRule,
    after: Option<&str>,
) -> Result<(), Refusal> {
    rule.validate(region)?;
    ses.rule_sets(region, |sets| sets.check_create(set, &rule, after).map(drop))?;
    check_targets(ses, region, set, &rule).await?;
    ses.rule_sets(region, |sets| sets.create(set, rule, after))
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params)
        .map_err(|error| Refusal::new("ValidationError", format!("1 validation error detected: {error}")))
}

fn required(name: &str) -> Refusal {
    Refusal::new("InvalidParameterValue", format!("{name} is required."))
}

fn metadata(set: &RuleSet) -> Value {
    json!({ "Name": set.name, "CreatedTimestamp": iso(set.created) })
}

fn described(set: &RuleSet) -> Value {
    json!({ "Metadata": metadata(set), "Rules": set.rules })
}

/// Tries everything that the rule's actions name, in their order, as SES does before it accepts a rule.
async fn check_targets(ses: &Ses, region: &str, rule_set: &str, rule: &ReceiptRule) -> Result<(), Refusal> {
    if rule.actions.is_empty() {
        return Ok(());
    }
    let Some(aws) = ses.aws() else {
        return Err(Refusal::new("InternalFailure", "the local SES knows no local AWS yet"));
    };
    let hands = Hands {
        aws: &aws,
        ids: &ses.ids,
        account: &ses.config.account,
        region,
        rule_set,
        rule: &rule.name,
        needs_permission: ses.config.needs_permission,
    };
    for action in &rule.actions {
        match action {
            Action::S3(s3) => {
                let mail = setup::mail("S3 bucket", ses.clock.now());
                hands.store(s3, setup::MESSAGE_ID, mail.into()).await.map_err(|said| {
                    let nothing_there = said.starts_with("No such bucket");
                    let what = if nothing_there { "No such bucket" } else { "Could not write to bucket" };
                    Refusal::new("InvalidS3Configuration", format!("{what}: {}", s3.bucket_name))
                })?;
            }
            Action::Lambda(lambda) => {
                let function = &lambda.function_arn;
                let permitted = match aws.function_exists(region, function).await {
                    Ok(()) => hands.may_invoke(function).await,
                    missing => missing,
                };
                permitted.map_err(|_| {
                    Refusal::new(
                        "InvalidLambdaFunction",
                        format!("Could not invoke Lambda function: {function}"),
                    )
                })?;
            }
            _ => {}
        }
        if let Some(topic) = action.topic() {
            check_topic(ses, &aws, region, rule, action, topic).await.map_err(|_| {
                Refusal::new("InvalidSnsTopic", format!("Could not publish to SNS topic: {topic}"))
            })?;
        }
    }
    Ok(())
}

/// Checks a topic that an action names. The SNS action's topic gets the set-up mail (seen); no source tells whether other
/// actions' topics do, so they get nothing.
async fn check_topic(
    ses: &Ses,
    aws: &Aws,
    region: &str,
    rule: &ReceiptRule,
    action: &Action,
    topic: &str,
) -> Result<(), String> {
    if !matches!(action, Action::Sns(_)) {
        return aws.topic_exists(region, topic).await;
    }
    let now = ses.clock.now();
    let mail = setup::mail("SNS topic", now);
    let told = Told {
        message_id: setup::MESSAGE_ID,
        mail_from: "no-reply-aws@amazon.com",
        verdicts: &Verdicts::default(),
        headers: &Headers::of(mail.as_bytes()),
        received: now,
        processing_millis: 0,
        rule,
        recipients: &["recipient@example.com".to_owned()],
    };
    let message = event::for_topic(&told, action, Some(mail));
    aws.publish(region, topic, RECEIVED, message.to_string()).await
}
