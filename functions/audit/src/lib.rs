//! Is a Region ready? Reads its SES, and says a verdict for every section of AWS's page on Regions.
//!
//! It reads, and changes nothing. The verdicts are `mailroom_core::audit`'s.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | an invocation: goes on with a pass, or begins one |
//! | [`live`] | the same without a table, for the operator's tool |
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
