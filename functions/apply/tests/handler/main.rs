//! The handler with its ports in memory: what it writes to the list, in which order, what it leaves, and that whatever
//! becomes of it the next run corrects.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod account;
mod calls;
mod deaths;
mod failed_jobs;
mod histories;
mod jobs;
mod overdue_jobs;
mod stream;
mod world;
