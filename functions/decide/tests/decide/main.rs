//! The shipped handlers with their ports in memory: feedback makes records, their stream wakes decide, decide tells the
//! peers, merge joins what they are told.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod convergence;
mod handler;
mod samples;
mod world;
