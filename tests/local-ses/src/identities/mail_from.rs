//! A custom MAIL FROM domain.

use time::OffsetDateTime;

use super::watch::{Patience, VerificationError, Watch};
use crate::dns::Zone;

/// What is done with mail while the domain is not set up (API reference v2, `MailFromAttributes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnMxFailure {
    UseDefaultValue,
    RejectMessage,
}

impl OnMxFailure {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::UseDefaultValue => "USE_DEFAULT_VALUE",
            Self::RejectMessage => "REJECT_MESSAGE",
        }
    }

    pub(crate) fn of(text: &str) -> Option<Self> {
        [Self::UseDefaultValue, Self::RejectMessage].into_iter().find(|behavior| behavior.as_str() == text)
    }
}

/// The domain and what SES thinks of it.
#[derive(Debug, Clone)]
pub(crate) struct MailFrom {
    pub(crate) domain: String,
    pub(crate) behavior: OnMxFailure,
    pub(crate) watch: Watch,
}

impl MailFrom {
    pub(crate) fn new(now: OffsetDateTime, domain: &str, behavior: OnMxFailure) -> Self {
        Self { domain: domain.to_owned(), behavior, watch: Watch::started(now, Patience::MAIL_FROM) }
    }

    /// Whether the one MX record that must be there is there, and no other (guide, "Using a custom MAIL FROM domain":
    /// with several, the set-up fails). The preference may be any. SPF is the receivers' business.
    pub(crate) fn published(&self, zone: &Zone, region: &str) -> Result<(), VerificationError> {
        let values: Vec<_> = zone.find(&self.domain, "MX")?.iter().collect();
        let host = |value: &str| value.split_once(' ').map(|(_, host)| host.to_owned());
        let feedback = format!("feedback-smtp.{region}.amazonses.com");
        match values[..] {
            [one] if host(one).as_deref() == Some(&feedback) => Ok(()),
            _ => Err(VerificationError::InvalidValue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_mx_record_of_the_region_is_needed() {
        let mail_from =
            MailFrom::new(OffsetDateTime::UNIX_EPOCH, "bounce.example.com", OnMxFailure::UseDefaultValue);
        let published = |records: &[&str]| {
            let mut zone = Zone::default();
            for value in records {
                zone.publish("bounce.example.com", "MX", value);
            }
            mail_from.published(&zone, "eu-west-1")
        };
        let good = "10 feedback-smtp.eu-west-1.amazonses.com.";
        let other = "10 feedback-smtp.us-east-1.amazonses.com";
        assert_eq!(published(&[good]), Ok(()));
        assert_eq!(published(&[other]), Err(VerificationError::InvalidValue));
        assert_eq!(published(&[good, other]), Err(VerificationError::InvalidValue));
        assert_eq!(published(&[]), Err(VerificationError::HostNotFound));
    }
}
