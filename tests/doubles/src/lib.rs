//! In-memory doubles of the ports in `mailroom_aws` and `mailroom_audit`, for tests without AWS.
//!
//! Clones of a double share their content. `with_fuse` gives the same double to a function that a test kills between two
//! effects.
//!
//! | double | of |
//! |---|---|
//! | [`MemoryTable`] | the table with all its items, its indexes and its stream |
//! | [`MemoryList`] | the account-level suppression list of one Region, and its import jobs |
//! | [`MemorySes`] | what all other calls of SES share: pace and faults |
//! | [`MemoryAccount`], [`MemoryTopics`], [`MemoryRuleSets`], [`MemorySesReader`] | what `setup` and `audit` read and write |
//! | [`MemoryIam`], [`MemoryBuckets`] | what else `audit` reads |
//! | [`MemoryObjects`], [`MemoryPeers`], [`MemoryDeadLetters`], [`MemoryAnswers`] | S3, SQS, CloudFormation |
//! | [`MemoryClock`], [`MemoryMetrics`] | time and counts |
//!
//! [`sqs_event`] and [`stream_event`] are what Lambda wakes a function with, [`MailEvent`] what SES publishes.
//! [`stub`] is a stand-in for AWS's own endpoints, for tests of adapters.
//!
//! What SES does is the model of `local_ses`, so that the laws and the local AWS have one SES. What a test injects is here:
//! [`Fault`] makes a call of SES fail, [`JobFaults`] breaks import jobs, [`Fuse`] kills a function between two effects.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "test support: what cannot be is a bug of the test, which says so by panicking"
)]

mod account;
mod answers;
mod audit;
mod clock;
mod convert;
mod dead_letters;
mod fault;
mod fuse;
mod lease;
mod mail_event;
mod metrics;
mod notes;
mod objects;
mod peers;
mod rule_sets;
mod ses;
mod sqs;
mod stream;
pub mod stub;
mod suppression_list;
mod table;
mod topics;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::account::MemoryAccount;
pub use self::answers::MemoryAnswers;
pub use self::audit::MemoryServices;
pub use self::audit::buckets::MemoryBuckets;
pub use self::audit::iam::MemoryIam;
pub use self::audit::ses::MemorySesReader;
pub use self::clock::MemoryClock;
pub use self::dead_letters::MemoryDeadLetters;
pub use self::fault::Fault;
pub use self::fuse::Fuse;
pub use self::mail_event::{EventKind, MailEvent, Vocabulary};
pub use self::metrics::MemoryMetrics;
pub use self::objects::MemoryObjects;
pub use self::peers::MemoryPeers;
pub use self::rule_sets::MemoryRuleSets;
pub use self::ses::MemorySes;
pub use self::sqs::{failed_ids, sqs_event};
pub use self::stream::{ItemChange, stream_event};
pub use self::suppression_list::{JobFaults, ListRules, ListWrite, ListWriter, MemoryList};
pub use self::table::{MemoryTable, change};
pub use self::topics::MemoryTopics;

/// Locks what the clones of a double share. A test that panicked elsewhere has failed already.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
