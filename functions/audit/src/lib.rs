//! Finds out whether a Region is ready: reads its SES, and gives a verdict for every section of AWS's page "Regions and
//! Amazon SES".
//!
//! It reads and changes nothing. The verdicts themselves are made by `mailroom_core::audit`.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | an invocation: goes on with a pass, or begins one |
//! | [`live`] | the same without a table, for `mailroom audit --live` |
//! | `reader` | reads a Region from the first call to the last |
//! | `readings` | keeps what was read, so that no call is made twice |
//! | `asker` | one call after the other, at SES's pace |
//! | [`settings`] | what the template tells it |

mod asker;
pub mod handler;
pub mod live;
mod reader;
mod readings;
pub mod settings;

pub use reader::{Ports, Progress, Scope, rule_set};
