//! A custom MAIL FROM domain.

use time::OffsetDateTime;

use super::watch::{Patience, VerificationError, Watch};
use crate::dns::Zone;

/// What SES does with mail while the MAIL FROM domain is not set up (API reference v2, `MailFromAttributes`).
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

/// A MAIL FROM domain, and what SES found of it.
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

    /// Whether exactly one MX record is there, and is the right one (guide, "Using a custom MAIL FROM domain": with several
    /// records the set-up fails). It may be the record of any Region, since identities of several may share the domain
    /// (guide, "Regions and Amazon SES"), and have any preference. SPF is not checked, since only receivers look at it.
    pub(crate) fn published(&self, zone: &Zone) -> Result<(), VerificationError> {
        let values: Vec<_> = zone.find(&self.domain, "MX")?.iter().collect();
        let is_feedback = |value: &str| {
            let host = value.split_once(' ').and_then(|(_, host)| host.strip_prefix("feedback-smtp."));
            let region = host.and_then(|host| host.strip_suffix(".amazonses.com"));
            region.is_some_and(|region| !region.is_empty() && !region.contains('.'))
        };
        match values[..] {
            [one] if is_feedback(one) => Ok(()),
            _ => Err(VerificationError::InvalidValue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_mx_record_of_some_region_is_needed() {
        let mail_from =
            MailFrom::new(OffsetDateTime::UNIX_EPOCH, "bounce.example.com", OnMxFailure::UseDefaultValue);
        let published = |records: &[&str]| {
            let mut zone = Zone::default();
            for value in records {
                zone.publish("bounce.example.com", "MX", value);
            }
            mail_from.published(&zone)
        };
        let good = "10 feedback-smtp.eu-west-1.amazonses.com.";
        let other = "10 feedback-smtp.us-east-1.amazonses.com";
        assert_eq!(published(&[good]), Ok(()));
        assert_eq!(published(&[other]), Ok(()), "shared with another Region");
        assert_eq!(published(&["10 mail.example.com"]), Err(VerificationError::InvalidValue));
        assert_eq!(published(&[good, other]), Err(VerificationError::InvalidValue));
        assert_eq!(published(&[]), Err(VerificationError::HostNotFound));
    }
}
