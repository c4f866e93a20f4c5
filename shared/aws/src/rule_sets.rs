//! Receipt rule sets, of which one at a time is active in a Region.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_ses::Client;
use aws_sdk_ses::config::retry::RetryConfig;
use aws_sdk_ses::types::{ReceiptAction, ReceiptRule, TlsPolicy};

use crate::ses::{SesError, classify_error};

/// Tells which rule set is active, and activates one. Each method is one call of SES's API.
pub trait RuleSetApi {
    /// The active rule set with its rules; `None` if there is none, so that SES receives nothing here.
    ///
    /// # Errors
    /// See [`SesError`].
    async fn active_rule_set(&self) -> Result<Option<SesRuleSet>, SesError>;

    /// Activates a rule set in place of the active one; `None` deactivates that, so that SES receives nothing here (API
    /// reference, `SetActiveReceiptRuleSet`, November 2026).
    ///
    /// # Errors
    /// See [`SesError`]. SES refuses a rule set that it does not know with `RuleSetDoesNotExist`.
    async fn activate(&self, name: Option<&str>) -> Result<(), SesError>;
}

/// A receipt rule set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesRuleSet {
    /// The rule set's name, unique in the account and Region.
    pub name: String,
    /// The rules, in the order in which SES applies them.
    pub rules: Vec<SesReceiptRule>,
}

/// A receipt rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesReceiptRule {
    /// The rule's name, unique in its set.
    pub name: String,
    /// Whether the rule is used.
    pub enabled: bool,
    /// Whether mail is checked for spam and viruses.
    pub scan_enabled: bool,
    /// Whether mail that did not come over TLS is sent back.
    pub requires_tls: bool,
    /// Whose mail the rule takes: addresses, domains, or subdomains with a dot in front. Empty means everybody's.
    pub recipients: Vec<String>,
    /// What the rule does with a mail, in this order.
    pub actions: Vec<SesReceiptAction>,
}

/// What a rule does with a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SesReceiptAction {
    /// The API's name for the action, such as `S3Action` or `LambdaAction`; empty if it is not known.
    pub kind: &'static str,
    /// The bucket that the action stores mail in, which may lie in any Region; `None` if it stores none.
    pub bucket: Option<String>,
    /// The ARNs that the action names, by the API's names for the fields: `TopicArn`, `FunctionArn`, `KmsKeyArn`,
    /// `IamRoleArn`, `OrganizationArn`, `InstanceArn`, `IAMRoleARN`.
    pub arns: BTreeMap<&'static str, String>,
}

/// Rule sets by SES's own API.
pub struct SesRuleSetApi {
    client: Client,
}

impl SesRuleSetApi {
    /// The rule sets of the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        // The SDK's retries would break the pace.
        let config = aws_sdk_ses::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

impl RuleSetApi for SesRuleSetApi {
    async fn active_rule_set(&self) -> Result<Option<SesRuleSet>, SesError> {
        let describe = self.client.describe_active_receipt_rule_set();
        let output = describe.send().await.map_err(|error| classify_error(&error))?;
        let name = output.metadata.and_then(|metadata| metadata.name).filter(|name| !name.is_empty());
        let rules = output.rules.unwrap_or_default().into_iter().map(from_sdk_rule).collect();
        Ok(name.map(|name| SesRuleSet { name, rules }))
    }

    async fn activate(&self, name: Option<&str>) -> Result<(), SesError> {
        let set = self.client.set_active_receipt_rule_set().set_rule_set_name(name.map(str::to_owned));
        set.send().await.map(drop).map_err(|error| classify_error(&error))
    }
}

fn from_sdk_rule(rule: ReceiptRule) -> SesReceiptRule {
    SesReceiptRule {
        name: rule.name,
        enabled: rule.enabled,
        scan_enabled: rule.scan_enabled,
        requires_tls: rule.tls_policy == Some(TlsPolicy::Require),
        recipients: rule.recipients.unwrap_or_default(),
        actions: rule.actions.unwrap_or_default().into_iter().map(from_sdk_action).collect(),
    }
}

fn from_sdk_action(action: ReceiptAction) -> SesReceiptAction {
    let named = |kind, bucket, arns: Vec<(&'static str, Option<String>)>| SesReceiptAction {
        kind,
        bucket,
        arns: arns.into_iter().filter_map(|(field, arn)| Some((field, arn?))).collect(),
    };
    if let Some(s3) = action.s3_action {
        let arns =
            vec![("KmsKeyArn", s3.kms_key_arn), ("IamRoleArn", s3.iam_role_arn), ("TopicArn", s3.topic_arn)];
        return named("S3Action", Some(s3.bucket_name), arns);
    }
    let (kind, arns) = if let Some(lambda) = action.lambda_action {
        ("LambdaAction", vec![("FunctionArn", Some(lambda.function_arn)), ("TopicArn", lambda.topic_arn)])
    } else if let Some(sns) = action.sns_action {
        ("SNSAction", vec![("TopicArn", Some(sns.topic_arn))])
    } else if let Some(bounce) = action.bounce_action {
        ("BounceAction", vec![("TopicArn", bounce.topic_arn)])
    } else if let Some(stop) = action.stop_action {
        ("StopAction", vec![("TopicArn", stop.topic_arn)])
    } else if let Some(workmail) = action.workmail_action {
        (
            "WorkmailAction",
            vec![("OrganizationArn", Some(workmail.organization_arn)), ("TopicArn", workmail.topic_arn)],
        )
    } else if let Some(connect) = action.connect_action {
        (
            "ConnectAction",
            vec![("InstanceArn", Some(connect.instance_arn)), ("IAMRoleARN", Some(connect.iam_role_arn))],
        )
    } else if action.add_header_action.is_some() {
        ("AddHeaderAction", Vec::new())
    } else {
        // An action that SES has added since.
        ("", Vec::new())
    };
    named(kind, None, arns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::Stub;

    const ACTIVE: &str = r#"<DescribeActiveReceiptRuleSetResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">
        <DescribeActiveReceiptRuleSetResult><Metadata><Name>m-inbound</Name><CreatedTimestamp>2026-11-23T00:00:00Z</CreatedTimestamp>
        </Metadata><Rules><member><Name>inbound</Name><Enabled>true</Enabled><ScanEnabled>true</ScanEnabled><TlsPolicy>Require</TlsPolicy>
        <Recipients><member>example.com</member></Recipients><Actions>
        <member><S3Action><BucketName>b</BucketName><ObjectKeyPrefix>mail/</ObjectKeyPrefix><KmsKeyArn>k</KmsKeyArn>
        <IamRoleArn>r</IamRoleArn><TopicArn>t</TopicArn></S3Action></member>
        <member><LambdaAction><FunctionArn>f</FunctionArn></LambdaAction></member>
        <member><SNSAction><TopicArn>t</TopicArn></SNSAction></member>
        <member><AddHeaderAction><HeaderName>a</HeaderName><HeaderValue>b</HeaderValue></AddHeaderAction></member>
        <member><NewAction><SomeArn>n</SomeArn></NewAction></member>
        </Actions></member></Rules></DescribeActiveReceiptRuleSetResult></DescribeActiveReceiptRuleSetResponse>"#;
    const NONE: &str = "<DescribeActiveReceiptRuleSetResponse><DescribeActiveReceiptRuleSetResult/></DescribeActiveReceiptRuleSetResponse>";
    const DONE: &str = "<R><R/></R>";
    const UNKNOWN: &str = r"<ErrorResponse><Error><Type>Sender</Type><Code>RuleSetDoesNotExist</Code><Message>Rule set does not exist: x</Message></Error></ErrorResponse>";

    #[tokio::test]
    async fn the_active_set_with_whatever_its_rules_name() {
        let stub = Stub::start([(200, ACTIVE), (200, NONE), (200, DONE), (200, DONE), (400, UNKNOWN)]);
        let sets = SesRuleSetApi::new(&stub.config());
        let action = |kind, bucket: Option<&str>, arns: &[(&'static str, &str)]| SesReceiptAction {
            kind,
            bucket: bucket.map(str::to_owned),
            arns: arns.iter().map(|(field, arn)| (*field, (*arn).to_owned())).collect(),
        };
        let expected = SesReceiptRule {
            name: "inbound".to_owned(),
            enabled: true,
            scan_enabled: true,
            requires_tls: true,
            recipients: vec!["example.com".to_owned()],
            actions: vec![
                action("S3Action", Some("b"), &[("KmsKeyArn", "k"), ("IamRoleArn", "r"), ("TopicArn", "t")]),
                action("LambdaAction", None, &[("FunctionArn", "f")]),
                action("SNSAction", None, &[("TopicArn", "t")]),
                action("AddHeaderAction", None, &[]),
                action("", None, &[]),
            ],
        };
        assert_eq!(
            sets.active_rule_set().await,
            Ok(Some(SesRuleSet { name: "m-inbound".to_owned(), rules: vec![expected] }))
        );
        assert_eq!(sets.active_rule_set().await, Ok(None));
        assert_eq!(sets.activate(Some("m-inbound")).await, Ok(()));
        assert_eq!(sets.activate(None).await, Ok(()));
        let refused = sets.activate(Some("x")).await.unwrap_err();
        assert!(
            matches!(refused, SesError::Refused { ref code, .. } if code == "RuleSetDoesNotExist"),
            "{refused:?}"
        );
        let sent = &stub.bodies()[2..];
        assert_eq!(sent[0], "Action=SetActiveReceiptRuleSet&Version=2010-12-01&RuleSetName=m-inbound");
        assert_eq!(sent[1], "Action=SetActiveReceiptRuleSet&Version=2010-12-01");
    }
}
