//! `mailroom dns`: every DNS record that SES asks for of a domain, over several Regions.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use mailroom_aws::audit::AskError;
use mailroom_aws::audit_ses::{Ses, SesReader};
use mailroom_aws::operator::Access;
use mailroom_aws::rule_sets::{RuleSets, SesRuleSets};
use mailroom_core::address::Address;
use mailroom_core::audit::facts::Asked;
use mailroom_core::audit::zone::{RegionAsks, Zone};
use mailroom_core::region::Region;
use mailroom_core::text::visible;

use crate::aws;

const TRIES: u32 = 5;
/// By SES's quota, and some more.
const PAUSE: Duration = Duration::from_millis(1200);

/// Print every DNS record that SES asks for of a domain, over several Regions, for a zone file
///
/// They are read from SES now: DKIM's CNAMEs, MX and SPF of the custom MAIL FROM domain, and the MX that receives where an active
/// receipt rule takes the domain's mail. A record that several Regions ask for stands once. What must not be published as it
/// is, and why, stands in comments, which begin with a semicolon: all but one of several MX records of one MAIL FROM domain,
/// an MX that would take mail away from another server, a DMARC policy.
///
/// Exit status: 0; 1 if a Region could not be asked (the others' records are printed); 2 for a wrong argument.
#[derive(clap::Args)]
pub(crate) struct Dns {
    /// Whose
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// The Regions, with commas [default: the environment's]
    #[arg(long, value_name = "LIST", value_delimiter = ',', alias = "region")]
    regions: Vec<String>,
    /// The custom MAIL FROM domain that you want in Regions that have none: `bounce`, or `bounce.example.com`
    #[arg(long, value_name = "SUBDOMAIN")]
    mail_from: Option<String>,
}

impl Dns {
    pub(crate) fn run(&self) -> ExitCode {
        let Some(domain) = domain(&self.domain) else {
            return crate::refuse(&format!("DOMAIN: {} is no domain", visible(&self.domain, 100)));
        };
        let mail_from = match self.mail_from.as_deref().map(|name| under(name, &domain)).transpose() {
            Ok(mail_from) => mail_from,
            Err(why) => return crate::refuse(&why),
        };
        let regions = match self.regions.iter().map(|name| crate::region(name)).collect::<Result<Vec<_>, _>>()
        {
            Ok(regions) => regions,
            Err(why) => return crate::refuse(&why),
        };
        let asks = match aws::run(ask(&domain, regions)) {
            Ok(Ok(asks)) => asks,
            Ok(Err(why)) => return crate::fail(&why),
            Err(error) => return crate::fail(&error.to_string()),
        };
        let zone = Zone::new(&domain, &asks, mail_from.as_deref()).to_string();
        let mut out = io::stdout().lock();
        // What SES says goes to a terminal.
        let printed = zone.lines().try_for_each(|line| writeln!(out, "{}", visible(line, usize::MAX)));
        let unasked = asks.iter().any(|asks| asks.identity.answer().is_none());
        let status = if unasked { ExitCode::from(1) } else { ExitCode::SUCCESS };
        crate::end(printed.and_then(|()| out.flush()).map(|()| status))
    }
}

/// As SES has it: lower case, IDNA-encoded. `None` if it is none.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    if text.contains('@') {
        return None;
    }
    let address = Address::parse(&format!("postmaster@{text}")).ok()?;
    address.match_form().strip_prefix("postmaster@").filter(|domain| domain.contains('.')).map(str::to_owned)
}

/// A MAIL FROM domain is below its identity (Amazon SES Developer Guide, "Using a custom MAIL FROM domain").
fn under(name: &str, of: &str) -> Result<String, String> {
    let below =
        |full: &String| full.strip_suffix(of).is_some_and(|before| before.len() > 1 && before.ends_with('.'));
    let full = domain(name).filter(below).or_else(|| domain(&format!("{name}.{of}")));
    full.filter(|full| !full.contains("..") && below(full))
        .ok_or_else(|| format!("--mail-from: {} is no subdomain of {of}", visible(name, 100)))
}

async fn ask(domain: &str, named: Vec<Region>) -> Result<Vec<RegionAsks>, String> {
    let access = aws::access().await?;
    let mut regions: Vec<Region> = Vec::new();
    for region in named {
        if !regions.contains(&region) {
            regions.push(region);
        }
    }
    if regions.is_empty() {
        let name = access.region().ok_or("which Region? Say it with --regions, or by AWS_REGION")?;
        regions.push(crate::region(name)?);
    }
    Ok(join_all(regions.into_iter().map(|region| ask_one(&access, domain, region))).await)
}

async fn ask_one(access: &Access, domain: &str, region: Region) -> RegionAsks {
    let config = &access.config(region.name());
    let (ses, rule_sets) = (Ses::new(config), SesRuleSets::new(config));
    asked(&ses, &rule_sets, domain, region).await
}

async fn asked(ses: &impl SesReader, rule_sets: &impl RuleSets, domain: &str, region: Region) -> RegionAsks {
    let identity = told("ses:GetEmailIdentity", async || ses.identity(domain).await).await;
    let rule_set = if region.receives() && matches!(identity, Asked::Answered(Some(_))) {
        let active = async || Ok(rule_sets.active().await?.map(audit::rule_set));
        told("ses:DescribeActiveReceiptRuleSet", active).await
    } else {
        Asked::NotAsked
    };
    RegionAsks { region: region.name().to_owned(), identity, rule_set }
}

/// What SES answers, which takes a request a second, and somebody else may be asking, too.
async fn told<T>(action: &str, call: impl AsyncFn() -> Result<T, AskError>) -> Asked<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match call().await {
            Ok(answer) => return Asked::Answered(answer),
            Err(AskError::Throttled | AskError::Unavailable(_)) if tries < TRIES => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(AskError::Denied) => return Asked::Denied(action.to_owned()),
            Err(AskError::NotEnabled(code)) => return Asked::NotEnabled(code),
            Err(other) => return Asked::Failed { action: action.to_owned(), why: other.to_string() },
        }
    }
}
