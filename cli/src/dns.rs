//! `mailroom dns`: every DNS record that SES asks for of a domain, over several Regions.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use mailroom_audit::aws::ApiError;
use mailroom_audit::aws::ses::{Ses, SesReader};
use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::reader::rule_set_facts;
use mailroom_audit::zone::{RegionAsks, Zone};
use mailroom_aws::clock::{SystemClock, Timer};
use mailroom_aws::operator::Access;
use mailroom_aws::pace::Pace;
use mailroom_aws::rule_sets::{RuleSets, SesRuleSets};
use mailroom_core::address::Address;
use mailroom_core::region::Region;
use mailroom_core::text::escape_invisible;

use crate::exit;
use crate::region_names::{parse_region, parse_regions};
use crate::{aws, receiving};

/// Between two calls in a Region, by SES's quota.
const PACE: Duration = Duration::from_secs(1);

/// Print every DNS record that SES asks for of a domain, over several Regions, for a zone file
///
/// They are read from SES now: DKIM's CNAMEs, MX and SPF of the custom MAIL FROM domain, and the MX
/// that receives where an active receipt rule takes the domain's mail. A record that several
/// Regions ask for stands once. What must not be published as it is, and why, stands in comments,
/// which begin with a semicolon: all but one of several MX records of one MAIL FROM domain, an MX
/// that would take mail away from another server, a DMARC policy.
///
/// Exit status: 0; 1 if SES did not answer something (a comment says where, what and why; all else
/// is printed); 2 for a wrong argument.
#[derive(clap::Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  mailroom dns example.com --regions us-east-1,eu-west-1
  mailroom dns example.com --regions us-east-1,eu-west-1 --mail-from bounce > example.com.zone"
)]
pub(crate) struct Dns {
    /// The domain
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// The Regions, with commas [default: the environment's]
    #[arg(long, value_name = "LIST", value_delimiter = ',', visible_alias = "region")]
    regions: Vec<String>,
    /// The custom MAIL FROM domain that you want in Regions that have none: `bounce`, or `bounce.example.com`
    #[arg(long, value_name = "SUBDOMAIN")]
    mail_from: Option<String>,
    #[command(flatten)]
    receiving: receiving::Arguments,
}

impl Dns {
    pub(crate) fn run(&self) -> ExitCode {
        let Some(domain) = domain(&self.domain) else {
            return exit::refuse(&format!("DOMAIN: {} is no domain", escape_invisible(&self.domain, 100)));
        };
        let mail_from = match self.mail_from.as_deref().map(|name| under(name, &domain)).transpose() {
            Ok(mail_from) => mail_from,
            Err(why) => return exit::refuse(&why),
        };
        let (regions, said) = match (parse_regions(&self.regions), self.receiving.read()) {
            (Ok(regions), Ok(said)) => (regions, said),
            (Err(why), _) | (_, Err(why)) => return exit::refuse(&why),
        };
        let asks = match aws::run(ask(&domain, regions, &said)) {
            Ok(Ok(asks)) => asks,
            Ok(Err(why)) => return exit::fail(&why),
            Err(error) => return exit::fail(&error.to_string()),
        };
        let zone = Zone::new(&domain, &asks, mail_from.as_deref()).to_string();
        let mut out = io::stdout().lock();
        // What SES says goes to a terminal.
        let printed =
            zone.lines().try_for_each(|line| writeln!(out, "{}", escape_invisible(line, usize::MAX)));
        let complete = asks.iter().all(RegionAsks::is_complete);
        let status = if complete { ExitCode::SUCCESS } else { ExitCode::from(1) };
        exit::end(printed.and_then(|()| out.flush()), status)
    }
}

/// A domain as SES has it: lower case, IDNA-encoded. `None` if the text is none.
fn domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    if text.contains('@') {
        return None;
    }
    let address = Address::parse(&format!("postmaster@{text}")).ok()?;
    address.match_form().strip_prefix("postmaster@").filter(|domain| domain.contains('.')).map(str::to_owned)
}

/// The MAIL FROM domain that a name means: it is below its identity (Amazon SES Developer Guide, "Using a custom MAIL FROM domain").
fn under(name: &str, of: &str) -> Result<String, String> {
    let below =
        |full: &String| full.strip_suffix(of).is_some_and(|before| before.len() > 1 && before.ends_with('.'));
    let full = domain(name).filter(below).or_else(|| domain(&format!("{name}.{of}")));
    full.filter(|full| !full.contains("..") && below(full))
        .ok_or_else(|| format!("--mail-from: {} is no subdomain of {of}", escape_invisible(name, 100)))
}

async fn ask(domain: &str, named: Vec<Region>, said: &receiving::Said) -> Result<Vec<RegionAsks>, String> {
    let access = aws::access().await?;
    let mut regions = named;
    if regions.is_empty() {
        let name = access.region().ok_or("which Region? Say it with --regions, or by AWS_REGION")?;
        regions.push(parse_region(name)?);
    }
    let one = async |region: Region| {
        let receives = said.of(region).in_region(region);
        ask_one(&access, domain, region, receives).await
    };
    Ok(join_all(regions.into_iter().map(one)).await)
}

async fn ask_one(access: &Access, domain: &str, region: Region, receives: bool) -> RegionAsks {
    let config = &access.config(region.name());
    let (ses, rule_sets) = (Ses::new(config), SesRuleSets::new(config));
    let pace = Pace::new(&SystemClock, PACE, None);
    let identity = told(&pace, "ses:GetEmailIdentity", async || ses.identity(domain).await).await;
    let rule_set = if receives && matches!(identity, ApiAnswer::Answered(Some(_))) {
        let active = async || Ok(rule_sets.active().await?.map(rule_set_facts));
        told(&pace, "ses:DescribeActiveReceiptRuleSet", active).await
    } else {
        ApiAnswer::NotAsked
    };
    RegionAsks { region: region.name().to_owned(), identity, rule_set }
}

/// What SES answers, or why it does not.
async fn told<T>(
    pace: &Pace<'_, impl Timer>,
    action: &str,
    call: impl AsyncFn() -> Result<T, ApiError>,
) -> ApiAnswer<T> {
    // Somebody else may be asking, too.
    let passes = |error: &ApiError| matches!(error, ApiError::Throttled | ApiError::Unavailable(_));
    let why = match pace.call(passes, call).await {
        Ok(Ok(answer)) => return ApiAnswer::Answered(answer),
        Ok(Err(ApiError::Denied)) => return ApiAnswer::Denied(action.to_owned()),
        Ok(Err(ApiError::NotEnabled(code))) => return ApiAnswer::NotEnabled(code),
        Ok(Err(other)) => other.to_string(),
        Err(out_of_time) => out_of_time.to_string(),
    };
    ApiAnswer::Failed { action: action.to_owned(), why }
}
