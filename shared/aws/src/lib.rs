//! Mailroom's adapters: the only code that knows the AWS SDK. Each port is a small trait with its in-memory
//! implementation beside the real one, so that every handler is tested without AWS.
//!
//! | module | is |
//! |---|---|
//! | [`client`] | how the SDK's clients are made |
//! | [`records`] | the table of records: [`records::RecordTable`] |
//! | [`states`] | suppression states in the table: [`states::StateTable`] |
//! | `objects` | mail in S3, with the feature of that name |
//! | [`invocation`] | which messages wait for which record, and Lambda's partial batch response |
//! | [`notes`] | what a Region's functions keep for themselves: [`notes::Notes`] |
//! | [`settings`] | what the template tells a function |
//! | [`clock`] | what time it is |
//! | [`metrics`] | counts for CloudWatch, as log lines |

pub mod client;
pub mod clock;
mod dynamo;
pub mod fuse;
pub mod invocation;
pub mod metrics;
pub mod notes;
#[cfg(feature = "objects")]
pub mod objects;
pub mod records;
pub mod settings;
pub mod states;
