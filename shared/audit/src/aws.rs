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

pub use error::{ApiError, Page};
