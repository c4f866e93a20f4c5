//! What the APIs answered, as plain values: field for field what a verdict needs, spelled as AWS spells it. A value that
//! AWS has added since is data, and stays as it came.
//!
//! | module | from | for the sections |
//! |---|---|---|
//! | [`answer`] | any call | all: an answer, or why there is none |
//! | [`stack`] | the stack's own settings | what is ours |
//! | [`account`] | SES v2 `GetAccount` | 1, 2, 5 |
//! | [`identity`] | `ListEmailIdentities`, `GetEmailIdentity`; v1 `GetIdentityNotificationAttributes` | 3, 4, 6, 8, 9 |
//! | [`configuration_set`] | `ListConfigurationSets`, `GetConfigurationSet`, `GetConfigurationSetEventDestinations` | 2, 5, 6 |
//! | [`ListPass`] | reconcile's note of its last pass | 5 |
//! | [`peer_progress`] | reconcile's notes of each peer | 5 |
//! | [`access_key`] | IAM `ListUsers`, `ListAccessKeys`, `GetAccessKeyLastUsed`, and the users' policies | 7 |
//! | [`receiving`] | v1 `DescribeActiveReceiptRuleSet`, S3 `HeadBucket` | 10 |
//!
//! Sources: Amazon SES API Reference (v2, v1) and AWS Identity and Access Management API Reference, as the SDKs' models
//! have them in November 2026; each field bears the API's name in snake case, unless it says otherwise.

pub mod access_key;
pub mod account;
pub mod answer;
pub mod configuration_set;
pub mod identity;
pub mod peer_progress;
pub mod receiving;
pub mod stack;

use mailroom_core::suppression::list_pass::ListPass;
use serde::{Deserialize, Serialize};

pub use access_key::{AccessKey, AccessKeyLastUsed};
pub use account::{AccountFacts, ProductionAccessReview, SendQuota};
pub use answer::ApiAnswer;
pub use configuration_set::{ConfigurationSet, EventDestination, EventDestinationTarget};
pub use identity::{
    DkimAttributes, EmailIdentity, IdentityFacts, IdentityNotificationAttributes, MailFromAttributes,
};
pub use peer_progress::PeerProgress;
pub use receiving::{BucketExistence, ReceiptAction, ReceiptRule, ReceiptRuleSet};
pub use stack::StackFacts;

/// All that is known of a Region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegionFacts {
    /// What in the Region belongs to the stack.
    pub stack: StackFacts,
    /// The answer to `GetAccount`.
    #[serde(default)]
    pub account: ApiAnswer<AccountFacts>,
    /// The identities, by `ListEmailIdentities` to its last page, in any order. [`ApiAnswer::Answered`] only once each of
    /// them has been read.
    #[serde(default)]
    pub identities: ApiAnswer<Vec<IdentityFacts>>,
    /// The configuration sets, by `ListConfigurationSets` to its last page, in any order.
    #[serde(default)]
    pub configuration_sets: ApiAnswer<Vec<ApiAnswer<ConfigurationSet>>>,
    /// Reconcile's last pass; `None` if no pass has ended yet.
    #[serde(rename = "list", default)]
    pub last_list_pass: ApiAnswer<Option<ListPass>>,
    /// How far each of the stack's peers has been told. [`ApiAnswer::NotAsked`] where that is not known, and then it is not
    /// judged.
    #[serde(rename = "peers", default)]
    pub peer_pushes: ApiAnswer<Vec<PeerProgress>>,
    /// The access keys of all IAM users, in any order. Keys that were created on 2019-01-10 or later may be left out.
    #[serde(default)]
    pub access_keys: ApiAnswer<Vec<AccessKey>>,
    /// The answer to `DescribeActiveReceiptRuleSet`; `None` if no rule set is active. Not asked where SES does not
    /// receive.
    #[serde(default)]
    pub rule_set: ApiAnswer<Option<ReceiptRuleSet>>,
    /// The answer to `HeadBucket` for each bucket that the rule set names.
    #[serde(default)]
    pub buckets: Vec<BucketExistence>,
}
