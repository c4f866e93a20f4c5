//! The calls by which a Region is read, and the table in which the audit keeps what it found. Nothing here writes to SES.
//!
//! | module | is |
//! |---|---|
//! | [`ses`] | identities and configuration sets, by version 2 of SES's API |
//! | [`iam`] | access keys, and what they may do |
//! | [`buckets`] | whether the buckets that receipt rules name can be reached |
//! | [`table`] | readings and verdicts |
//! | [`error`] | why AWS does not answer, and the pages in which it does |
//!
//! No text of AWS's is kept beyond an error's code, since it may name an address.

pub mod buckets;
pub mod error;
pub mod iam;
pub mod ses;
pub mod table;

use aws_config::SdkConfig;
use mailroom_aws::notification_topics::SesNotificationTopics;
use mailroom_aws::rule_sets::SesRuleSetApi;

use self::buckets::S3BucketReader;
use self::iam::IamAccessKeyReader;
use self::ses::SesV2Reader;
use crate::reader::{AuditPorts, Services};

pub use error::{ApiError, ResultPage};

/// The services of AWS.
pub struct Aws;

impl AuditPorts for Aws {
    type Ses = SesV2Reader;
    type Topics = SesNotificationTopics;
    type RuleSets = SesRuleSetApi;
    type AccessKeys = IamAccessKeyReader;
    type Buckets = S3BucketReader;
}

/// The services of AWS in the configuration's Region.
pub fn services(config: &SdkConfig) -> Services<Aws> {
    Services {
        ses: SesV2Reader::new(config),
        topics: SesNotificationTopics::new(config),
        rule_sets: SesRuleSetApi::new(config),
        keys: IamAccessKeyReader::new(config),
        buckets: S3BucketReader::new(config),
    }
}
