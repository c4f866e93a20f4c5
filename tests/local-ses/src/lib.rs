//! A local SES, which keeps SES's rules, since no local AWS has one.
//!
//! One server on the loopback stands in for SES in every Region, told apart by the signature's credential scope. It
//! keeps receipt rule sets (SES's v1 API) and delivers raw mails by them: recipients are matched, the actions run in
//! order and reach S3, SNS and Lambda of a local AWS through the SDK. It keeps the account-level suppression lists (v2),
//! which import jobs change too and which stop mail that is sent. And it keeps identities with all that they have in a
//! Region, verified by DNS records that a test publishes.
//!
//! ```text
//!   aws-sdk-ses ──v1 Query API──▶ server ─▶ api ─▶ rules (per Region), identities' topics
//!   aws-sdk-sesv2 ──v2 REST──────▶ server ─▶ v2 ─▶ suppression (per Region) ◀─ S3 (its own Region)
//!                                               ├▶ configuration sets, account (per Region)
//!   test ──publish_dns──────────────────────────┴▶ identities (all Regions)
//!   test ──deliver(region, mail)──────────▶ deliver ─▶ S3 (bucket's own Region), SNS, Lambda
//!   test ──send(region, mail)─────────────▶ sending ─▶ suppression, SNS
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
//! | [`iam`] | users and their access keys, which SMTP credentials are |
//! | [`identities`] | identities, how they are verified and what they are set to, pure |
//! | [`suppression`] | the suppression list, its import jobs and its pace, pure; the account |
//! | [`sending`] | mail that is sent: who is suppressed, who bounces, what SES tells |
//! | [`faults`] | requests counted, delayed, failed and left without an answer |
//! | [`loopback`] | the server, and those of others that stand in for a service |
//! | [`clock`] | SES's time, which a test may turn |
//! | [`template`] | the receipt rules that a CloudFormation template describes |
//!
//! What is pure here is the only model of SES in this workspace: `tests/doubles` puts it behind the ports, so that the laws and the
//! local AWS follow the same rules.
//!
//! What is a fact of SES has its source beside it: "guide" is the SES Developer Guide, "API reference" that of SES v1 and
//! "API reference v2" that of v2, "probed" is what other emulators' authors found by asking the real one, "seen" is an
//! event that somebody published. What no source tells says so.

#![allow(
    clippy::missing_errors_doc,
    clippy::format_push_string,
    reason = "a stand-in for tests: the error types say what can go wrong, and no text here is long or made often"
)]

mod api;
mod aws;
pub mod clock;
mod configuration_sets;
mod deliver;
pub mod delivery;
mod dns;
pub mod event;
pub mod faults;
pub mod iam;
pub mod identities;
mod ids;
pub mod loopback;
pub mod mail;
mod pages;
mod permissions;
mod query;
pub mod recipients;
mod refused;
pub mod rules;
pub mod sending;
mod server;
mod ses;
mod setup;
pub mod suppression;
pub mod template;
mod v2;

pub use ses::{Config, InstallError, LocalSes, NotDelivered};
