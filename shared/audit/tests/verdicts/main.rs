//! The audit: each section with each verdict, what fixes it, how Regions compare, and laws.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]
#![allow(clippy::too_many_lines, clippy::semicolon_if_nothing_returned, reason = "tables of cases")]

mod all_sections;
mod authorization;
mod case;
mod commands;
mod compared;
mod dkim;
mod endpoints;
mod feedback;
mod healthy;
mod laws;
mod mail_from;
mod receiving;
mod sandbox;
mod smtp_credentials;
mod suppression_list;
mod verification;
mod zone;
