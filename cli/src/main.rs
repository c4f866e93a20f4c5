//! `mailroom`: the operator's tool.
//!
//! | module | does |
//! |---|---|
//! | a command's own | its arguments, what it asks of AWS, what it prints |
//! | [`aws`] | how commands reach AWS, and its refusals in words |
//! | [`exit`] | the exit status, and what is wrong on standard error |
//! | [`region_names`] | Regions as arguments name them |
//! | [`address_list`] | reads lists of addresses |
//! | [`receiving`] | what the operator says of receiving in a Region |
//! | [`columns`] | prints tables |

mod address_list;
mod audit;
mod aws;
mod columns;
mod decision;
mod dns;
mod exit;
mod normalize;
mod receiving;
mod region_names;
mod regions;
mod show;
mod smtp_password;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Show(show::ShowCommand),
    Suppress(decision::SuppressCommand),
    Release(decision::ReleaseCommand),
    Audit(audit::AuditCommand),
    Dns(dns::DnsCommand),
    SmtpPassword(smtp_password::SmtpPasswordCommand),
    Regions(regions::RegionsCommand),
    Normalize(normalize::NormalizeCommand),
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
