//! What peers decided, joined into this Region's states.
//!
//! [`handler`] is the function. `main.rs` only wires.

pub mod handler;
