//! From new records to what must be suppressed: the policy is applied, this Region's state advanced, the peers told.
//!
//! [`handler`] is the function; [`settings`] is what the template tells it. `main.rs` only wires.

pub mod handler;
pub mod settings;
