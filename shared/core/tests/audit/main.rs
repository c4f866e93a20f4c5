//! The audit: each section with each verdict, what mends it, how Regions compare, and laws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]
#![allow(clippy::too_many_lines, clippy::semicolon_if_nothing_returned, reason = "tables of cases")]

mod cases;
mod commands;
mod compared;
mod healthy;
mod laws;
mod zone;
