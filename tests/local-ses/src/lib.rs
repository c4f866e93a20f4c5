//! A local SES: what no local AWS has, keeping SES's rules.
//!
//! One server on the loopback stands in for SES in every Region, told apart by the signature's credential scope. It
//! keeps receipt rule sets (SES's v1 API) and delivers raw mails by them: recipients are matched, the actions run in
//! order and reach S3, SNS and Lambda of a local AWS through the SDK.
//!
//! ```text
//!   aws-sdk-ses ──v1 Query API──▶ server ─▶ api ─▶ rules (per Region)
//!   test ──deliver(region, mail)──────────▶ deliver ─▶ S3 (bucket's own Region), SNS, Lambda
//!   template.yaml ──template──▶ the rules that it describes
//! ```
//!
//! | module | for |
//! |---|---|
//! | [`rules`] | receipt rules and rule sets, pure: what is valid, who is next, which is active |
//! | [`recipients`] | which recipients a rule is for |
//! | [`mail`] | what a test delivers, and the headers that SES reads from it |
//! | [`event`] | the JSON that Lambda and SNS are given |
//! | [`delivery`] | what became of a mail |
//! | [`faults`] | requests counted, delayed and failed |
//! | [`clock`] | SES's time, which a test may turn |
//! | [`template`] | the receipt rules that a CloudFormation template describes |
//!
//! What is a fact of SES has its source beside it: "guide" is the SES Developer Guide, "API reference" that of SES v1,
//! "probed" is what other emulators' authors found by asking the real one, "seen" is an event that somebody published.
//! What no source tells says so.

#![allow(
    clippy::missing_errors_doc,
    clippy::format_push_string,
    reason = "a stand-in for tests: the error types say what can go wrong, and no text here is long or made often"
)]

mod api;
mod aws;
pub mod clock;
mod deliver;
pub mod delivery;
pub mod event;
pub mod faults;
mod ids;
pub mod mail;
mod permissions;
mod query;
pub mod recipients;
pub mod rules;
mod server;
mod ses;
mod setup;
pub mod suppression;
pub mod template;

pub use ses::{Config, InstallError, LocalSes, NotDelivered};
