//! What receives mail: SES v1 `DescribeActiveReceiptRuleSet`, and the buckets that it names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::ApiAnswer;

/// The active receipt rule set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRuleSet {
    /// The rule set's name (`Metadata.Name`).
    pub name: String,
    /// The rules, in the order in which SES applies them.
    pub rules: Vec<ReceiptRule>,
}

/// A rule of the set (`ReceiptRule`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRule {
    /// The rule's name.
    pub name: String,
    /// Whether the rule is used.
    pub enabled: bool,
    /// Whether mail is scanned for spam and viruses (`ScanEnabled`).
    pub scan_enabled: bool,
    /// Whose mail the rule takes: addresses, domains, `.subdomains`. Empty means all addresses of all verified domains.
    pub recipients: Vec<String>,
    /// The actions, in the order in which SES carries them out.
    pub actions: Vec<ReceiptAction>,
}

/// An action of a rule, of any kind (`ReceiptAction`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptAction {
    /// The API's name for the kind of action: `S3Action`, `SNSAction`, `LambdaAction`, `BounceAction`, `WorkmailAction`,
    /// `StopAction`, `AddHeaderAction`, `ConnectAction`; `unknown` for one that SES has added since.
    pub kind: String,
    /// The bucket of an S3 action (`BucketName`); `None` for other actions.
    pub bucket: Option<String>,
    /// Every ARN that the action names, by the API's name for the field: `TopicArn`, `FunctionArn`, `KmsKeyArn`, `IamRoleArn`,
    /// `OrganizationArn`, `InstanceArn` (and `IAMRoleARN` of a Connect action).
    #[serde(default)]
    pub arns: BTreeMap<String, String>,
}

/// A bucket that a rule names, in any Region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketExistence {
    /// The bucket's name.
    pub name: String,
    /// Whether there is such a bucket (`HeadBucket`; `false`: 404). A 403 is [`ApiAnswer::Denied`] of `s3:ListBucket`.
    pub exists: ApiAnswer<bool>,
}
