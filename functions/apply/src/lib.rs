//! The only writer of a Region's suppression list: brings it in line with the states, at SES's pace.
//!
//! | module | is |
//! |---|---|
//! | [`handler`] | the function: takes the lease, counts |
//! | `drain` | what is due: some of it by calls, the rest by import job |
//! | `singly` | one address after the other |
//! | [`calls`] | calls at SES's pace, and what is worth another call |
//! | [`job`] | the import job: its intent first, found again after a crash |
//! | [`settings`] | what the template tells it |
//!
//! `main.rs` only wires.

pub mod calls;
mod drain;
pub mod handler;
pub mod job;
pub mod settings;
mod singly;
