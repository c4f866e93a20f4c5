//! What receives mail: SES v1 `DescribeActiveReceiptRuleSet`, and the buckets that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::asked::Asked;

/// The active receipt rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleSet {
    /// `Metadata.Name`
    pub name: String,
    /// In their order.
    pub rules: Vec<ReceiptRule>,
}

/// `ReceiptRule`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRule {
    /// Its name.
    pub name: String,
    /// Whether it is used.
    pub enabled: bool,
    /// `ScanEnabled`: for spam and viruses.
    pub scan_enabled: bool,
    /// Addresses, domains, `.subdomains`; empty is all of all verified domains.
    pub recipients: Vec<String>,
    /// In their order.
    pub actions: Vec<ReceiptAction>,
}

/// `ReceiptAction`, of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptAction {
    /// The API's name for it: `S3Action`, `SNSAction`, `LambdaAction`, `BounceAction`, `WorkmailAction`, `StopAction`,
    /// `AddHeaderAction`, `ConnectAction`; `unknown` for one that SES has added since.
    pub kind: String,
    /// `BucketName` of an S3 action.
    pub bucket: Option<String>,
    /// Every ARN that the action names, by the API's name for the field: `TopicArn`, `FunctionArn`, `KmsKeyArn`, `IamRoleArn`,
    /// `OrganizationArn`, `InstanceArn` (and `IAMRoleARN` of a Connect action).
    #[serde(default)]
    pub arns: BTreeMap<String, String>,
}

/// A bucket that a rule names, in whichever Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// `HeadBucket`: whether there is such a bucket (`false`: 404). 403 is [`Asked::Denied`] of `s3:ListBucket`.
    pub exists: Asked<bool>,
}
