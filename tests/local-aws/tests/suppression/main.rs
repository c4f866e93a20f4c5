//! Suppression end to end, in three Regions: from a bounce published in one to the list of each, by the real template, the
//! functions' binaries and a local SES at SES's own pace.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking, and what it measured"
)]

mod killed;
mod operator;
mod regions;
mod storm;
mod world;
