//! The shipped handler with its ports in memory, in two Regions, with the shipped apply and merge: what it fixes, and what
//! it leaves alone.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod convergence;
mod gone;
mod lists;
mod passes;
mod peers;
mod records;
mod samples;
mod world;
