//! Mailroom's adapters: the only code that knows the AWS SDK. Each port is a small trait with its in-memory
//! implementation beside the real one, so that every handler is tested without AWS.
//!
//! | module | is |
//! |---|---|
//! | [`client`] | how the SDK's clients are made |
//! | [`records`] | the table of records: [`records::RecordTable`] |
//! | [`decidable`] | the records that are worth deciding on: [`decidable::DecidableRecords`] |
//! | [`states`] | suppression states in the table: [`states::StateTable`] |
//! | [`history`] | what the table remembers of an address, to be read by a person |
//! | [`lease`] | of several instances one works: [`lease::Lease`] |
//! | `suppression_list` | SES's list and its import jobs, with the feature `suppression-list` |
//! | `peers` | other Regions' queues, with the feature of that name |
//! | `custom_resource` | how CloudFormation is answered, with the feature `custom-resource` |
//! | `account` | the account's suppression settings, with the feature of that name |
//! | `notification_topics` | where SES tells what became of identities' mail, with the feature `identity-topics` |
//! | `rule_sets` | receipt rule sets, with the feature `rule-sets` |
//! | `ses` | how calls of SES fail, with any of those three |
//! | [`fault`], [`fuse`] | trouble for tests |
//! | `operator` | what only the operator's tool asks of AWS, with the feature of that name |
//! | [`audit_table`] | the audit's verdicts in the table, and what a pass has read: [`audit_table::AuditTable`] |
//! | `audit`, `audit_ses`, `audit_buckets`, `iam` | what a Region is like, read only, with the feature `audit` |
//! | `objects` | mail in S3, with the feature of that name |
//! | [`invocation`] | which messages wait for which record, and Lambda's partial batch response |
//! | [`queue`] | messages of Mailroom's own |
//! | [`stream`] | what the table's stream brings |
//! | [`notes`] | what a Region's functions keep for themselves: [`notes::Notes`] |
//! | [`settings`] | what the template tells a function |
//! | [`clock`] | what time it is |
//! | [`pace`] | one call of SES after the other |
//! | [`metrics`] | counts for CloudWatch, as log lines |

#![expect(
    async_fn_in_trait,
    reason = "ports are called through generics, by functions and a tool that run on one thread"
)]

#[cfg(feature = "account")]
pub mod account;
#[cfg(feature = "audit")]
pub mod audit;
#[cfg(feature = "audit")]
pub mod audit_buckets;
#[cfg(feature = "audit")]
pub mod audit_ses;
pub mod audit_table;
pub mod client;
pub mod clock;
#[cfg(feature = "custom-resource")]
pub mod custom_resource;
pub mod decidable;
mod dynamo;
pub mod fault;
pub mod fuse;
pub mod history;
#[cfg(feature = "audit")]
pub mod iam;
pub mod invocation;
pub mod lease;
pub mod metrics;
pub mod notes;
#[cfg(feature = "identity-topics")]
pub mod notification_topics;
#[cfg(feature = "objects")]
pub mod objects;
#[cfg(feature = "operator")]
pub mod operator;
pub mod pace;
#[cfg(feature = "peers")]
pub mod peers;
pub mod queue;
pub mod records;
#[cfg(feature = "rule-sets")]
pub mod rule_sets;
#[cfg(any(
    feature = "account",
    feature = "identity-topics",
    feature = "rule-sets",
    feature = "suppression-list"
))]
pub mod ses;
pub mod settings;
pub mod states;
pub mod stream;
#[cfg(test)]
mod stub;
#[cfg(feature = "suppression-list")]
pub mod suppression_list;
