//! The audit: each section with each verdict, what mends it, how Regions compare, and laws.

mod cases;
mod commands;
mod compared;
mod healthy;
mod laws;
