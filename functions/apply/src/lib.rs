//! The only writer of a Region's suppression list: brings it in line with the states, at SES's pace.
//!
//! | module | is |
//! |---|---|
//! | [`handler`] | the function: takes the lease, drains, counts |
//! | `ports` | what the function works with |
//! | `run` | an invocation that holds the lease: how it reads and writes states |
//! | `drain` | what is due, as `mailroom_core::suppression::dispatch` divides it between single calls and an import job |
//! | `single_calls` | puts and deletes, one address after the other |
//! | `import_job` | the import job: its intent first, found again after a crash |
//! | `job_tracker` | what a run knows of the import job |
//! | [`list_caller`] | calls at SES's pace, and what is worth another call |
//! | `error` | why an invocation fails, and why a run ends early |
//! | [`settings`] | what the template tells it |
//!
//! `main.rs` only wires.

mod drain;
mod error;
pub mod handler;
mod import_job;
mod job_tracker;
pub mod list_caller;
mod ports;
mod run;
pub mod settings;
mod single_calls;
