//! The local SES from outside: SES's own client on one side, a small S3, SNS and Lambda on the other.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod aws;
mod configuration_sets;
mod deliver;
mod iam;
mod identities;
mod rules;
mod suppression;
