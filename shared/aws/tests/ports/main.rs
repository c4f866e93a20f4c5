//! What this crate makes of its ports, with doubles of them.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod pace;
mod peers;
mod states;
