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
use mailroom_aws::notification_topics::SesTopics;
use mailroom_aws::rule_sets::SesRuleSets;

use self::buckets::S3Buckets;
use self::iam::Iam;
use self::ses::Ses;
use crate::reader::{AuditPorts, Services};

pub use error::{ApiError, Page};

/// The services of AWS.
pub struct Aws;

impl AuditPorts for Aws {
    type Ses = Ses;
    type Topics = SesTopics;
    type RuleSets = SesRuleSets;
    type AccessKeys = Iam;
    type Buckets = S3Buckets;
}

/// The services of AWS in the configuration's Region.
pub fn services(config: &SdkConfig) -> Services<Aws> {
    Services {
        ses: Ses::new(config),
        topics: SesTopics::new(config),
        rule_sets: SesRuleSets::new(config),
        keys: Iam::new(config),
        buckets: S3Buckets::new(config),
    }
}
