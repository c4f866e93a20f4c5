//! DKIM signatures: whose key signs, and where its public half is published.

use std::time::Duration;

use time::OffsetDateTime;

use super::watch::{Patience, VerificationError, Watch};
use crate::dns::Zone;
use crate::pages::hash;

/// The Regions that publish keys in a zone of their own (General Reference, "Amazon SES endpoints and quotas", "DKIM
/// domains"; as of 2026).
const OWN_ZONE: [&str; 11] = [
    "af-south-1",
    "ap-northeast-3",
    "ap-south-2",
    "ap-southeast-3",
    "ap-southeast-5",
    "ca-west-1",
    "eu-central-2",
    "eu-south-1",
    "il-central-1",
    "me-central-1",
    "us-gov-east-1",
];

/// The domain in which a Region publishes public keys.
pub(crate) fn hosted_zone(region: &str) -> String {
    if OWN_ZONE.contains(&region) {
        format!("dkim.{region}.amazonses.com")
    } else {
        "dkim.amazonses.com".to_owned()
    }
}

/// The length of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyLength {
    Rsa1024,
    Rsa2048,
}

impl KeyLength {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Rsa1024 => "RSA_1024_BIT",
            Self::Rsa2048 => "RSA_2048_BIT",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::Rsa1024, Self::Rsa2048].into_iter().find(|length| length.as_str() == text)
    }
}

/// Whose key signs (API reference v2, `DkimAttributes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// SES's own key, of this Region: Easy DKIM.
    AwsSes,
    /// The customer's own key, with this selector.
    External { selector: String },
    /// The key of the identity of the same name in another Region: deterministic Easy DKIM.
    Replica { region: String },
}

impl Origin {
    /// The origin as the API spells it; a replica of eu-west-1 is `AWS_SES_EU_WEST_1`.
    pub(crate) fn as_text(&self) -> String {
        match self {
            Self::AwsSes => "AWS_SES".to_owned(),
            Self::External { .. } => "EXTERNAL".to_owned(),
            Self::Replica { region } => format!("AWS_SES_{}", region.to_uppercase().replace('-', "_")),
        }
    }

    /// Reads an origin that names a Region; `None` if it does not.
    pub(crate) fn replica(text: &str) -> Option<Self> {
        let region = text.strip_prefix("AWS_SES_")?.to_lowercase().replace('_', "-");
        Some(Self::Replica { region })
    }
}

/// The DKIM signatures of a domain.
#[derive(Debug, Clone)]
pub(crate) struct Dkim {
    pub(crate) signing: bool,
    pub(crate) origin: Origin,
    pub(crate) watch: Watch,
    pub(crate) length: KeyLength,
    pub(crate) generated: OffsetDateTime,
    /// When the length of the key was last changed.
    changed: Option<OffsetDateTime>,
}

impl Dkim {
    /// Signatures that SES begins to look for now. If nobody says otherwise they are Easy DKIM with a key of 2048 bits (guide,
    /// "Creating and verifying identities").
    pub(crate) const fn new(now: OffsetDateTime, origin: Origin, length: KeyLength) -> Self {
        let watch = Watch::started(now, Patience::DKIM);
        Self { signing: true, origin, watch, length, generated: now, changed: None }
    }

    /// Changes the length of the key. The new key is in use at once; SES changes over some time later. Returns whether that
    /// is allowed, which it is once a day (API reference v2, `DkimSigningAttributes`).
    pub(crate) fn lengthen(&mut self, now: OffsetDateTime, length: KeyLength) -> bool {
        if length == self.length {
            return true;
        }
        if self.changed.is_some_and(|changed| now < changed + Duration::from_hours(24)) {
            return false;
        }
        (self.length, self.generated, self.changed) = (length, now, Some(now));
        true
    }

    /// Whether SES finds the key: three CNAME records for SES's own, a TXT record for the customer's. This does not check
    /// that the customer's record holds the right key.
    pub(crate) fn published(&self, zone: &Zone, region: &str, domain: &str) -> Result<(), VerificationError> {
        match &self.origin {
            Origin::AwsSes => easy(zone, region, domain),
            Origin::External { selector } => {
                let values = zone.find(&record(selector, domain), "TXT")?;
                let key = values.iter().any(|value| value.contains("p="));
                if key { Ok(()) } else { Err(VerificationError::InvalidValue) }
            }
            Origin::Replica { region } => easy(zone, region, domain),
        }
    }
}

fn easy(zone: &Zone, region: &str, domain: &str) -> Result<(), VerificationError> {
    tokens(region, domain).iter().try_for_each(|token| {
        let values = zone.find(&record(token, domain), "CNAME")?;
        let target = format!("{token}.{}", hosted_zone(region));
        if values.contains(&target) { Ok(()) } else { Err(VerificationError::InvalidValue) }
    })
}

/// The name of the record for a token or selector.
pub(crate) fn record(token: &str, domain: &str) -> String {
    format!("{token}._domainkey.{domain}")
}

/// The names that Easy DKIM gives its three keys for a domain in a Region, such as `hirjd4exampled5477y22yd23ettobiho`
/// (guide). Here they are always the same, even if the set-up is started again; no source tells about the real ones.
pub(crate) fn tokens(region: &str, domain: &str) -> [String; 3] {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = fastrand::Rng::with_seed(hash(region, domain));
    std::array::from_fn(|_| (0..32).map(|_| char::from(DIGITS[random.usize(..DIGITS.len())])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_by_region_and_domain_and_stay_the_same() {
        let own = tokens("eu-west-1", "example.com");
        assert_eq!(own, tokens("eu-west-1", "example.com"));
        for other in [tokens("us-east-1", "example.com"), tokens("eu-west-1", "example.org")] {
            assert!(other.iter().all(|token| !own.contains(token)));
        }
        assert!(own.iter().all(|token| token.len() == 32 && *token == token.to_lowercase()));
    }

    #[test]
    fn origins_name_regions_in_capitals() {
        let origin = Origin::replica("AWS_SES_AP_SOUTHEAST_2").expect("a replica's");
        assert_eq!(origin, Origin::Replica { region: "ap-southeast-2".to_owned() });
        assert_eq!(origin.as_text(), "AWS_SES_AP_SOUTHEAST_2");
        assert_eq!(Origin::replica("EXTERNAL"), None);
    }

    #[test]
    fn all_three_records_are_needed_and_must_lead_to_the_regions_zone() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let dkim = Dkim::new(now, Origin::AwsSes, KeyLength::Rsa2048);
        let (region, domain) = ("af-south-1", "example.com");
        let mut zone = Zone::default();
        let [one, two, three] = tokens(region, domain);
        for token in [&one, &two] {
            zone.publish(&record(token, domain), "CNAME", &format!("{token}.dkim.af-south-1.amazonses.com."));
        }
        assert_eq!(dkim.published(&zone, region, domain), Err(VerificationError::HostNotFound));
        zone.publish(&record(&three, domain), "CNAME", &format!("{three}.dkim.amazonses.com"));
        assert_eq!(dkim.published(&zone, region, domain), Err(VerificationError::InvalidValue));
        zone.withdraw(&record(&three, domain), "CNAME");
        zone.publish(&record(&three, domain), "CNAME", &format!("{three}.dkim.af-south-1.amazonses.com"));
        assert_eq!(dkim.published(&zone, region, domain), Ok(()));
    }

    #[test]
    fn a_key_changes_its_length_once_a_day() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut dkim = Dkim::new(start, Origin::AwsSes, KeyLength::Rsa1024);
        assert!(dkim.lengthen(start, KeyLength::Rsa1024), "no change");
        assert!(dkim.lengthen(start, KeyLength::Rsa2048));
        assert!(!dkim.lengthen(start + Duration::from_hours(23), KeyLength::Rsa1024));
        assert_eq!((dkim.length, dkim.generated), (KeyLength::Rsa2048, start));
        assert!(dkim.lengthen(start + Duration::from_hours(24), KeyLength::Rsa1024));
    }

    #[test]
    fn an_own_key_is_a_text_under_its_selector() {
        let origin = Origin::External { selector: "s1".to_owned() };
        let dkim = Dkim::new(OffsetDateTime::UNIX_EPOCH, origin, KeyLength::Rsa2048);
        let mut zone = Zone::default();
        zone.publish("s1._domainkey.example.com", "TXT", "v=DKIM1");
        assert_eq!(dkim.published(&zone, "eu-west-1", "example.com"), Err(VerificationError::InvalidValue));
        zone.publish("s1._domainkey.example.com", "TXT", "p=MIGf");
        assert_eq!(dkim.published(&zone, "eu-west-1", "example.com"), Ok(()));
    }
}
