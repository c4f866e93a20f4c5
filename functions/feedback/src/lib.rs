//! SES feedback from the queue to records in the table.
//!
//! [`handler`] is the function; [`settings`] is what the template tells it. `main.rs` only wires.

mod delivery_buffer;
pub mod handler;
pub mod settings;
