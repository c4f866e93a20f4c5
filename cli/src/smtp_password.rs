//! `mailroom smtp-password`: an IAM user's SMTP passwords.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

use mailroom_core::region::{FeatureAvailability, Partition, Region};
use mailroom_core::smtp::{SecretAccessKey, SecretAccessKeyError};

use crate::exit;
use crate::region_names::{parse_region, remove_duplicates};

/// Far more than a secret access key has: what is longer is not read to its end.
const MAX_SECRET_BYTES: u64 = 1024;

/// Derive an IAM user's SMTP password in each Region from its secret access key on standard input
///
/// The name to log in with is the access key's id. The user needs to be allowed ses:SendRawEmail;
/// temporary credentials don't work. The passwords are printed and nothing else is: with one Region
/// the password alone; with several, a line for each, the Region's name, a tab and the password, in
/// the order of the arguments.
///
/// The secret is never taken as an argument, which other users of the machine could see, nor from a
/// terminal, which would show it.
///
/// Exit status: 0 with the passwords; 2 with none and a line on stderr if a Region or the secret
/// can't be right; 1 if standard input can't be read. A line on stderr also tells of a Region that
/// is known to have no SMTP.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  read -rs SECRET; mailroom smtp-password --regions eu-west-1 <<< \"$SECRET\"
  aws iam create-access-key --user-name USER --query AccessKey.SecretAccessKey --output text |
      mailroom smtp-password --regions us-east-1,eu-west-1"
)]
pub(crate) struct SmtpPasswordCommand {
    /// The Regions, with commas; `all` is every commercial Region but those known to have no SMTP
    #[arg(long, value_name = "all|LIST", value_delimiter = ',', required = true, visible_alias = "region")]
    regions: Vec<String>,
    /// Where a secret lands that is given as an argument: clap would repeat it in its message.
    #[arg(hide = true, value_name = "NOTHING")]
    arguments: Vec<OsString>,
}

impl SmtpPasswordCommand {
    pub(crate) fn run(&self) -> ExitCode {
        if !self.arguments.is_empty() {
            return exit::fail_with_usage_error(
                "the secret access key is read from standard input; one that was given as an argument is in the \
                 shell's history now and has been visible to others: replace it",
            );
        }
        let regions = match self.parse_regions_expanding_all() {
            Ok(regions) => regions,
            Err(why) => return exit::fail_with_usage_error(&why),
        };
        let stdin = io::stdin().lock();
        if stdin.is_terminal() {
            return exit::fail_with_usage_error(
                "a terminal would show the secret access key: pipe it in (--help has an example)",
            );
        }
        let secret = match read_secret_access_key(stdin) {
            Ok(Ok(secret)) => secret,
            Ok(Err(why)) => return exit::fail_with_usage_error(&format!("standard input: {why}")),
            Err(error) => return exit::fail_with_error(&format!("standard input: {error}")),
        };
        for region in regions.iter().filter(|region| region.smtp_availability() == FeatureAvailability::No) {
            exit::print_error(&format!("{} is known to have no SMTP endpoint", region.name()));
        }
        exit::exit_after_printing(
            print_passwords(&secret, &regions, &mut io::stdout().lock()),
            ExitCode::SUCCESS,
        )
    }

    /// The Regions that are named, each once, in the order of the arguments.
    fn parse_regions_expanding_all(&self) -> Result<Vec<Region>, String> {
        let mut named = Vec::new();
        for name in &self.regions {
            if name == "all" {
                named.extend(commercial_maybe_smtp_regions());
            } else {
                named.push(parse_region(name)?);
            }
        }
        Ok(remove_duplicates(named))
    }
}

/// The Regions in which a commercial account's key can be of use: accounts of `us-gov-*` are others.
fn commercial_maybe_smtp_regions() -> impl Iterator<Item = Region> {
    Region::all().filter(|region| {
        region.partition() == Partition::Aws && region.smtp_availability() != FeatureAvailability::No
    })
}

fn read_secret_access_key(input: impl Read) -> io::Result<Result<SecretAccessKey, SecretAccessKeyError>> {
    let mut bytes = Vec::new();
    input.take(MAX_SECRET_BYTES).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretAccessKeyError::Characters);
    Ok(text.and_then(|text| SecretAccessKey::parse(text.trim_end_matches(['\r', '\n']))))
}

fn print_passwords(secret: &SecretAccessKey, regions: &[Region], out: &mut impl Write) -> io::Result<()> {
    for region in regions {
        if regions.len() > 1 {
            write!(out, "{}\t", region.name())?;
        }
        writeln!(out, "{}", secret.derive_smtp_password(*region))?;
    }
    out.flush()
}
