//! Finds out whether a Region is ready, and writes a verdict for every section of AWS's page "Regions and Amazon SES" to the
//! table. It reads SES and changes nothing there.
//!
//! [`handler`] spreads a pass over invocations; what a pass reads, and what is made of it, is in `mailroom_audit`.
//! [`settings`] is what the template tells the function. `main.rs` only wires.

pub mod handler;
pub mod settings;
