//! `mailroom`: the operator's tool.

mod audit;
mod aws;
mod decide;
mod dns;
mod list;
mod normalize;
mod regions;
mod show;
mod smtp_password;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mailroom_core::region::Region;

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
    Regions(regions::Regions),
    SmtpPassword(smtp_password::SmtpPassword),
    Suppress(decide::Suppress),
    Release(decide::Release),
    Show(show::Show),
    Audit(audit::Audit),
    Dns(dns::Dns),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Normalize(normalize) => normalize.run(),
        Command::Regions(regions) => regions.run(),
        Command::SmtpPassword(smtp_password) => smtp_password.run(),
        Command::Suppress(suppress) => suppress.run(),
        Command::Release(release) => release.run(),
        Command::Show(show) => show.run(),
        Command::Audit(audit) => audit.run(),
        Command::Dns(dns) => dns.run(),
    }
}

/// Exit status of a command that has printed, or could not.
fn end(printed: io::Result<ExitCode>) -> ExitCode {
    match printed {
        Ok(status) => status,
        // `mailroom … | head -1` has got what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "mailroom: standard output: {error}");
            ExitCode::from(1)
        }
    }
}

/// Exit status of a command that something outside stood in the way of.
fn fail(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "mailroom: {why}");
    ExitCode::from(1)
}

/// Exit status of a command that was asked for something that can't be.
fn refuse(why: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "mailroom: {why}");
    ExitCode::from(2)
}

/// The Region that an argument names.
fn region(name: &str) -> Result<Region, String> {
    Region::find(name).ok_or_else(|| {
        // It is shown only if it can be no secret that was pasted into the wrong place.
        let like_a_region = name.len() < 25
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let shown = if like_a_region { name } else { "an argument" };
        format!("{shown} is no Region that the catalogue has (`mailroom regions` prints it)")
    })
}
