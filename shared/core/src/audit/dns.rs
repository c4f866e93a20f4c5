//! The DNS records that SES asks for.

use super::facts::Dkim;
use super::fix::DnsRecord;

/// Where Easy DKIM's CNAMEs point if SES does not say: in answers from before it gave `SigningHostedZone` it was the same for all.
///
/// Source: Amazon SES Developer Guide, "Easy DKIM in Amazon SES", read 2026-11.
const DKIM_ZONE: &str = "dkim.amazonses.com";
/// Source: Amazon SES Developer Guide, "Using a custom MAIL FROM domain", read 2026-11; in that page the value stands in quotes.
const SPF: &str = "v=spf1 include:amazonses.com ~all";
/// `DkimSigningAttributesOrigin` of a key of one's own.
pub(super) const OWN_KEY: &str = "EXTERNAL";
/// The start of its value with deterministic Easy DKIM, before the Region of the parent.
const REPLICA_OF: &str = "AWS_SES_";

/// The domain of an identity: itself, or its address's.
pub fn domain_of(identity: &str) -> &str {
    identity.rsplit_once('@').map_or(identity, |(_, domain)| domain)
}

/// A CNAME for each token. None with a key of one's own: SES does not tell the public key that its record holds.
///
/// Source: SES API v2 Reference, `DkimAttributes`: `SigningHostedZone`, as the SDK's model has it in November 2026.
pub fn dkim(identity: &str, dkim: &Dkim) -> Vec<DnsRecord> {
    if dkim.signing_attributes_origin.as_deref() == Some(OWN_KEY) {
        return Vec::new();
    }
    let zone = dkim.signing_hosted_zone.as_deref().map_or(DKIM_ZONE, |zone| zone.trim_end_matches('.'));
    let domain = domain_of(identity);
    let record = |token: &String| {
        DnsRecord::new(format!("{token}._domainkey.{domain}"), "CNAME", format!("{token}.{zone}"))
    };
    dkim.tokens.iter().map(record).collect()
}

/// The MX of a custom MAIL FROM domain: exactly one, or SES does not take the domain. Regions may share a domain by publishing
/// that of any of them: SES passes bounces on to the Region that sent the mail.
///
/// Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Custom MAIL FROM domains"; "Using a custom MAIL FROM domain".
pub fn mail_from_mx(mail_from: &str, region: &str) -> DnsRecord {
    DnsRecord::new(mail_from, "MX", format!("10 feedback-smtp.{region}.amazonses.com"))
}

/// The SPF record of a custom MAIL FROM domain: the same in every Region.
pub fn spf(mail_from: &str) -> DnsRecord {
    DnsRecord::new(mail_from, "TXT", SPF)
}

/// The MX by which SES receives a domain's mail.
///
/// Source: Amazon SES Developer Guide, "Publishing an MX record for Amazon SES email receiving", read 2026-11.
pub fn inbound_mx(domain: &str, region: &str) -> DnsRecord {
    DnsRecord::new(domain, "MX", format!("10 inbound-smtp.{region}.amazonaws.com"))
}

/// The Region whose keys an identity uses by deterministic Easy DKIM: `us-east-1` of `AWS_SES_US_EAST_1`.
pub fn parent_region(origin: &str) -> Option<String> {
    Some(origin.strip_prefix(REPLICA_OF)?.to_ascii_lowercase().replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cnames_point_where_the_api_says() {
        let mut of = Dkim { tokens: vec!["abc".to_owned()], ..Dkim::default() };
        let shown =
            |of: &Dkim| dkim("jane@example.com", of).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&of), ["abc._domainkey.example.com. IN CNAME abc.dkim.amazonses.com."]);
        of.signing_hosted_zone = Some("x1.dkim.eu-west-1.amazonses.com.".to_owned());
        assert_eq!(shown(&of), ["abc._domainkey.example.com. IN CNAME abc.x1.dkim.eu-west-1.amazonses.com."]);
        of.signing_attributes_origin = Some(OWN_KEY.to_owned());
        assert_eq!(shown(&of), [""; 0]);
    }

    #[test]
    fn the_parent_of_a_replica() {
        assert_eq!(parent_region("AWS_SES_US_EAST_1").as_deref(), Some("us-east-1"));
        assert_eq!(parent_region("AWS_SES"), None);
        assert_eq!(parent_region("EXTERNAL"), None);
    }
}
