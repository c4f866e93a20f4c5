//! `mailroom`: the operator's tool.
//!
//! | module | does |
//! |---|---|
//! | a command's own | its arguments, what it asks of AWS, what it prints |
//! | [`aws`] | how commands reach AWS, and its refusals in words |
//! | [`list`] | reads lists of addresses |
//! | [`receiving`] | what the operator says of receiving in a Region |
//! | [`columns`] | prints tables |

mod audit;
mod aws;
mod columns;
mod decide;
mod dns;
mod list;
mod normalize;
mod receiving;
mod regions;
mod show;
mod smtp_password;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mailroom_core::region::Region;

/// The operator's tool of Mailroom: who gets no mail and why, and whether Amazon SES is ready in every Region
///
/// Credentials come from AWS's environment variables, a profile or the machine's role; the Region
/// from an argument, else from the variable `AWS_REGION` or the profile. The --help of each command
/// has examples, and says what its exit status means.
#[derive(Parser)]
#[command(name = "mailroom", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Show(show::Show),
    Suppress(decide::Suppress),
    Release(decide::Release),
    Audit(audit::Audit),
    Dns(dns::Dns),
    SmtpPassword(smtp_password::SmtpPassword),
    Regions(regions::Regions),
    Normalize(normalize::Normalize),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Show(show) => show.run(),
        Command::Suppress(suppress) => suppress.run(),
        Command::Release(release) => release.run(),
        Command::Audit(audit) => audit.run(),
        Command::Dns(dns) => dns.run(),
        Command::SmtpPassword(smtp_password) => smtp_password.run(),
        Command::Regions(regions) => regions.run(),
        Command::Normalize(normalize) => normalize.run(),
    }
}

/// The exit status of a command that has printed, or could not print, what it found.
fn end(printed: io::Result<()>, status: ExitCode) -> ExitCode {
    match printed {
        Ok(()) => status,
        // `mailroom … | head -1` has got what it wanted, and what was found is as it is.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => fail(&format!("standard output: {error}")),
    }
}

/// The exit status of a command that something outside stood in the way of, told on standard error.
fn fail(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(1)
}

/// The exit status of a command that was asked for something that can't be, told on standard error.
fn refuse(why: &str) -> ExitCode {
    complain(why);
    ExitCode::from(2)
}

/// Tells on standard error what is wrong.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "mailroom: {what}");
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

/// The Regions that arguments name, each once, in the order of the arguments.
fn regions(names: &[String]) -> Result<Vec<Region>, String> {
    names.iter().map(|name| region(name)).collect::<Result<_, _>>().map(each_once)
}

/// The same Regions in the same order, without repetition.
fn each_once(named: Vec<Region>) -> Vec<Region> {
    let mut regions = Vec::with_capacity(named.len());
    for region in named {
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    regions
}
