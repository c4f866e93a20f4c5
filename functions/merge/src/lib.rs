//! What peers decided, joined into this Region's states.
//!
//! [`handler`] is the function; [`settings`] is what the template tells it. `main.rs` only wires.

pub mod handler;
pub mod settings;
