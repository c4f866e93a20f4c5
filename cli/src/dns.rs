//! `mailroom dns`: every DNS record that SES asks for of a domain, over several Regions.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use mailroom_audit::aws::ApiError;
use mailroom_audit::aws::ses::{SesReader, SesV2Reader};
use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::reader::rule_set_facts;
use mailroom_audit::zone::{DnsZone, RegionDnsFacts};
use mailroom_aws::clock::{SystemClock, Timer};
use mailroom_aws::operator::AwsAccess;
use mailroom_aws::rate_limiter::RateLimiter;
use mailroom_aws::rule_sets::{RuleSetApi, SesRuleSetApi};
use mailroom_core::address::Address;
use mailroom_core::region::Region;
use mailroom_core::text::escape_invisible;

use crate::exit;
use crate::region_names::{parse_distinct_regions, parse_region};
use crate::{aws, receiving};

/// Between two calls in a Region, by SES's quota.
const CALL_INTERVAL: Duration = Duration::from_secs(1);

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
pub(crate) struct DnsCommand {
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
    receiving: receiving::ReceivingArguments,
}

impl DnsCommand {
    pub(crate) fn run(&self) -> ExitCode {
        let Some(domain) = parse_domain(&self.domain) else {
            return exit::fail_with_usage_error(&format!(
                "DOMAIN: {} is no domain",
                escape_invisible(&self.domain, 100)
            ));
        };
        let mail_from =
            match self.mail_from.as_deref().map(|name| parse_mail_from_domain(name, &domain)).transpose() {
                Ok(mail_from) => mail_from,
                Err(why) => return exit::fail_with_usage_error(&why),
            };
        let (regions, said) = match (parse_distinct_regions(&self.regions), self.receiving.parse()) {
            (Ok(regions), Ok(said)) => (regions, said),
            (Err(why), _) | (_, Err(why)) => return exit::fail_with_usage_error(&why),
        };
        let asks = match aws::block_on(read_dns_facts(&domain, regions, &said)) {
            Ok(Ok(asks)) => asks,
            Ok(Err(why)) => return exit::fail_with_error(&why),
            Err(error) => return exit::fail_with_error(&error.to_string()),
        };
        let zone = DnsZone::collect(&domain, &asks, mail_from.as_deref()).to_string();
        let mut out = io::stdout().lock();
        // What SES says goes to a terminal.
        let printed =
            zone.lines().try_for_each(|line| writeln!(out, "{}", escape_invisible(line, usize::MAX)));
        let complete = asks.iter().all(RegionDnsFacts::is_complete);
        let status = if complete { ExitCode::SUCCESS } else { ExitCode::from(1) };
        exit::exit_after_printing(printed.and_then(|()| out.flush()), status)
    }
}

/// A domain as SES has it: lower case, IDNA-encoded. `None` if the text is none.
fn parse_domain(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.');
    if text.contains('@') {
        return None;
    }
    let address = Address::parse(&format!("postmaster@{text}")).ok()?;
    address.match_form().strip_prefix("postmaster@").filter(|domain| domain.contains('.')).map(str::to_owned)
}

/// The MAIL FROM domain that a name means: it is below its identity (Amazon SES Developer Guide, "Using a custom MAIL FROM domain").
fn parse_mail_from_domain(label_or_domain: &str, identity_domain: &str) -> Result<String, String> {
    let below = |full: &String| {
        full.strip_suffix(identity_domain).is_some_and(|before| before.len() > 1 && before.ends_with('.'))
    };
    let full = parse_domain(label_or_domain)
        .filter(below)
        .or_else(|| parse_domain(&format!("{label_or_domain}.{identity_domain}")));
    full.filter(|full| !full.contains("..") && below(full)).ok_or_else(|| {
        format!(
            "--mail-from: {} is no subdomain of {identity_domain}",
            escape_invisible(label_or_domain, 100)
        )
    })
}

async fn read_dns_facts(
    domain: &str,
    regions_or_default: Vec<Region>,
    receiving_overrides: &receiving::ReceivingOverrides,
) -> Result<Vec<RegionDnsFacts>, String> {
    let access = aws::load_access().await?;
    let mut regions = regions_or_default;
    if regions.is_empty() {
        let name = access.default_region().ok_or("which Region? Say it with --regions, or by AWS_REGION")?;
        regions.push(parse_region(name)?);
    }
    let one = async |region: Region| {
        let receives = receiving_overrides.for_region(region).receives_in(region);
        read_region_dns_facts(&access, domain, region, receives).await
    };
    Ok(join_all(regions.into_iter().map(one)).await)
}

async fn read_region_dns_facts(
    access: &AwsAccess,
    domain: &str,
    region: Region,
    reads_rule_set: bool,
) -> RegionDnsFacts {
    let config = &access.config(region.name());
    let (ses, rule_sets) = (SesV2Reader::new(config), SesRuleSetApi::new(config));
    let pace = RateLimiter::new(&SystemClock, CALL_INTERVAL, None);
    let identity = call_ses(&pace, "ses:GetEmailIdentity", async || ses.identity(domain).await).await;
    let rule_set = if reads_rule_set && matches!(identity, ApiAnswer::Answered(Some(_))) {
        let active = async || Ok(rule_sets.active_rule_set().await?.map(rule_set_facts));
        call_ses(&pace, "ses:DescribeActiveReceiptRuleSet", active).await
    } else {
        ApiAnswer::NotAsked
    };
    RegionDnsFacts { region: region.name().to_owned(), identity, rule_set }
}

/// What SES answers, or why it does not.
async fn call_ses<T>(
    rate_limiter: &RateLimiter<'_, impl Timer>,
    iam_action: &str,
    call: impl AsyncFn() -> Result<T, ApiError>,
) -> ApiAnswer<T> {
    // Somebody else may be asking, too.
    let passes = |error: &ApiError| matches!(error, ApiError::Throttled | ApiError::Unavailable(_));
    let why = match rate_limiter.call_with_retries(passes, call).await {
        Ok(Ok(answer)) => return ApiAnswer::Answered(answer),
        Ok(Err(ApiError::Denied)) => return ApiAnswer::Denied(iam_action.to_owned()),
        Ok(Err(ApiError::NotEnabled(code))) => return ApiAnswer::NotEnabled(code),
        Ok(Err(other)) => other.to_string(),
        Err(out_of_time) => out_of_time.to_string(),
    };
    ApiAnswer::Failed { action: iam_action.to_owned(), why }
}
