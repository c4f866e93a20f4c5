//! The handler with its ports in memory: create, update and delete in every order, cut off anywhere, with an account that
//! belongs to others, too. In the end it is as they have left it, and CloudFormation was answered.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod convergence;
mod others;
mod overtaken;
mod requests;
mod size;
mod trouble;
mod world;
