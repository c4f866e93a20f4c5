//! The DNS records that SES asks for.

use mailroom_core::region;

use crate::facts::DkimAttributes;
use crate::fix::DnsRecord;

/// Source: Amazon SES Developer Guide, "Using a custom MAIL FROM domain", read 2026-11; in that page the value stands in quotes.
const SPF_VALUE: &str = "v=spf1 include:amazonses.com ~all";
/// The value of `DkimSigningAttributesOrigin` for a key of the owner's own.
pub(crate) const EXTERNAL_KEY: &str = "EXTERNAL";
/// How `DkimSigningAttributesOrigin` begins with deterministic Easy DKIM; the parent's Region follows.
const REPLICA_PREFIX: &str = "AWS_SES_";

/// The domain of an identity: the identity itself, or the domain of its address.
pub fn domain_of(identity: &str) -> &str {
    identity.rsplit_once('@').map_or(identity, |(_, domain)| domain)
}

/// Whether a domain's identity, which covers its subdomains too, lets mail from an address be sent and signs it.
///
/// Source: Amazon SES Developer Guide, "Verified identities in Amazon SES", read 2026-11.
pub(crate) fn domain_covers(domain: &str, address: &str) -> bool {
    let (domain, of) = (domain.to_ascii_lowercase(), domain_of(address).to_ascii_lowercase());
    of.strip_suffix(&domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The CNAME record for each DKIM token of an identity in a Region. There is none for a key of the owner's own: SES does
/// not tell the public key that its record holds.
///
/// Source: SES API v2 Reference, `DkimAttributes`: `SigningHostedZone`, as the SDK's model has it in November 2026. Older
/// answers lack it; the zone is then that of the Region whose keys they are.
pub fn easy_dkim_records(identity: &str, dkim: &DkimAttributes, region: &str) -> Vec<DnsRecord> {
    if dkim.signing_attributes_origin.as_deref() == Some(EXTERNAL_KEY) {
        return Vec::new();
    }
    let zone = dkim.signing_hosted_zone.as_deref().map(|zone| zone.trim_end_matches('.').to_owned());
    let zone = zone.unwrap_or_else(|| {
        let parent = dkim.signing_attributes_origin.as_deref().and_then(parent_region);
        region::dkim_zone(parent.as_deref().unwrap_or(region))
    });
    let domain = domain_of(identity);
    let record = |token: &String| {
        DnsRecord::new(format!("{token}._domainkey.{domain}"), "CNAME", format!("{token}.{zone}"))
    };
    dkim.tokens.iter().map(record).collect()
}

/// The MX record of a custom MAIL FROM domain. SES does not take the domain unless it has exactly one. Regions may share
/// a domain by publishing the record of any of them: SES passes bounces on to the Region that sent the mail.
///
/// Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Custom MAIL FROM domains"; "Using a custom MAIL FROM domain".
pub fn mail_from_mx(mail_from: &str, region: &str) -> DnsRecord {
    DnsRecord::new(mail_from, "MX", format!("10 feedback-smtp.{region}.amazonses.com"))
}

/// The SPF record of a custom MAIL FROM domain, which is the same in every Region.
pub fn spf_record(mail_from: &str) -> DnsRecord {
    DnsRecord::new(mail_from, "TXT", SPF_VALUE)
}

/// The MX record by which SES receives a domain's mail.
///
/// Source: Amazon SES Developer Guide, "Publishing an MX record for Amazon SES email receiving", read 2026-11.
pub fn inbound_mx(domain: &str, region: &str) -> DnsRecord {
    DnsRecord::new(domain, "MX", format!("10 inbound-smtp.{region}.amazonaws.com"))
}

/// The Region whose keys an identity uses by deterministic Easy DKIM: `us-east-1` of `AWS_SES_US_EAST_1`.
pub fn parent_region(signing_origin: &str) -> Option<String> {
    Some(signing_origin.strip_prefix(REPLICA_PREFIX)?.to_ascii_lowercase().replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cnames_point_where_the_api_says() {
        let mut of = DkimAttributes { tokens: vec!["abc".to_owned()], ..DkimAttributes::default() };
        let shown_in = |of: &DkimAttributes, region: &str| {
            easy_dkim_records("jane@example.com", of, region)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        let shown = |of: &DkimAttributes| shown_in(of, "eu-west-1");
        let common = ["abc._domainkey.example.com. IN CNAME abc.dkim.amazonses.com."];
        let milan = ["abc._domainkey.example.com. IN CNAME abc.dkim.eu-south-1.amazonses.com."];
        assert_eq!(
            (shown(&of), shown_in(&of, "eu-south-1")),
            (common.map(str::to_owned).into(), milan.map(str::to_owned).into())
        );
        of.signing_attributes_origin = Some("AWS_SES_EU_SOUTH_1".to_owned());
        assert_eq!(shown(&of), milan);
        of.signing_attributes_origin = Some("AWS_SES_EU_WEST_1".to_owned());
        assert_eq!(shown_in(&of, "eu-south-1"), common);
        of.signing_hosted_zone = Some("x1.dkim.eu-west-1.amazonses.com.".to_owned());
        assert_eq!(shown(&of), ["abc._domainkey.example.com. IN CNAME abc.x1.dkim.eu-west-1.amazonses.com."]);
        of.signing_attributes_origin = Some(EXTERNAL_KEY.to_owned());
        assert_eq!(shown(&of), [""; 0]);
    }

    #[test]
    fn the_parent_of_a_replica() {
        assert_eq!(parent_region("AWS_SES_US_EAST_1").as_deref(), Some("us-east-1"));
        assert_eq!(parent_region("AWS_SES"), None);
        assert_eq!(parent_region("EXTERNAL"), None);
    }
}
