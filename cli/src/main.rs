//! `mailroom`: the operator's tool.

mod normalize;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Mailroom turns what Amazon SES says about mail into durable records.
#[derive(Parser)]
#[command(name = "mailroom", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Normalize(normalize::Normalize),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Normalize(normalize) => normalize.run(),
    }
}
