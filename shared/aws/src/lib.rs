//! Mailroom's adapters: the only code that knows the AWS SDK. Each port is a small trait with its in-memory
//! implementation beside the real one, so that every handler is tested without AWS.
//!
//! | module | is |
//! |---|---|
//! | [`client`] | how the SDK's clients are made |
//! | [`records`] | the table of records: [`records::RecordTable`] |
//! | [`metrics`] | counts for CloudWatch, as log lines |

pub mod client;
pub mod metrics;
pub mod records;
