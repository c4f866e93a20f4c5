//! Mailroom's adapters, which know the AWS SDK; nothing else does but the `aws` modules of `mailroom-audit`. Each port is a small
//! trait, whose in-memory double for tests is in `tests/doubles`.
//!
//! The table, and what calls share:
//!
//! | module | is |
//! |---|---|
//! | [`table`] | the table, with a port for each kind of items |
//! | [`retry`] | how long calls are retried, and when |
//! | [`deadline`] | when an invocation's calls must have been answered |
//! | `operator` | what only the operator's tool asks for; feature of that name |
//!
//! SES and the services around it, each with a feature of its own, so that a function carries no SDK that it does not use:
//!
//! | module | is |
//! |---|---|
//! | `ses` | how calls of SES fail |
//! | [`rate_limiter`] | one call of SES after the other, at its pace |
//! | `suppression_list` | the account-level suppression list and its import jobs |
//! | `account` | the account's suppression settings |
//! | `notification_topics` | the topics to which identities' feedback goes |
//! | `rule_sets` | receipt rule sets, and which one is active |
//! | `peer_queues` | other Regions' queues, in SQS |
//! | `objects` | objects in S3, wherever their bucket lies |
//!
//! Lambda, on both ends of a handler:
//!
//! | module | is |
//! |---|---|
//! | [`settings`] | what the template tells a function, by environment variables |
//! | [`client`] | how the SDK's clients are made |
//! | [`invocation`] | which messages wait for which record, and the partial batch response |
//! | [`dead_letters`] | a function's dead-letter queue: [`dead_letters::DeadLetterQueue`] |
//! | [`sqs_event`] | messages of Mailroom's own in a batch of SQS |
//! | [`stream`] | changes of the table in a batch of its stream |
//! | `custom_resource` | how CloudFormation is answered |
//! | [`clock`] | what time it is, and how to wait |
//! | [`metrics`] | counts for CloudWatch, as log lines |

#![expect(
    async_fn_in_trait,
    reason = "ports are called through generics, by functions and a tool that run on one thread"
)]

#[cfg(feature = "account")]
pub mod account;
pub mod client;
pub mod clock;
#[cfg(feature = "custom-resource")]
pub mod custom_resource;
pub mod dead_letters;
pub mod deadline;
pub mod invocation;
pub mod metrics;
#[cfg(feature = "identity-topics")]
pub mod notification_topics;
#[cfg(feature = "objects")]
pub mod objects;
#[cfg(feature = "operator")]
pub mod operator;
#[cfg(feature = "peers")]
pub mod peer_queues;
pub mod rate_limiter;
pub mod retry;
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
pub mod sqs_event;
pub mod stream;
#[cfg(feature = "suppression-list")]
pub mod suppression_list;
pub mod table;
