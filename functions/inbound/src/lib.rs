//! Mail that SES received: a record for each recipient that says where it lies.
//!
//! [`handler`] is the function; [`settings`] is what the template tells it. `main.rs` only wires.

pub mod handler;
pub mod settings;
