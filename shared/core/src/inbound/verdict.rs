//! What SES's checks found.

use serde::{Serialize, Serializer};

use crate::text::sanitize_text;

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailVerdict {
    /// The check passed.
    Pass,
    /// The check failed.
    Fail,
    /// SES can't say (spam and viruses), or there is nothing to check: no record, no signature, no policy (SPF, DKIM,
    /// DMARC).
    Gray,
    /// The check could not be carried out.
    ProcessingFailed,
    /// The rule does not scan mail.
    Disabled,
    /// A verdict that SES has added since, as it spelled it (capped).
    Unknown(String),
}

impl MailVerdict {
    pub(super) fn parse(text: &str) -> Self {
        match text.trim().to_ascii_uppercase().as_str() {
            "PASS" => Self::Pass,
            "FAIL" => Self::Fail,
            "GRAY" => Self::Gray,
            "PROCESSING_FAILED" => Self::ProcessingFailed,
            "DISABLED" => Self::Disabled,
            _ => Self::Unknown(sanitize_text(text, 64)),
        }
    }

    /// The verdict's name, such as `PASS`; an unknown one as SES spelled it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Gray => "GRAY",
            Self::ProcessingFailed => "PROCESSING_FAILED",
            Self::Disabled => "DISABLED",
            Self::Unknown(verdict) => verdict,
        }
    }
}

impl Serialize for MailVerdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What the owner of the domain in `From` asks to be done with mail that fails DMARC. SES tells it only for such mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DmarcPolicy {
    /// The owner asks for nothing in particular.
    None,
    /// The owner asks that the mail be treated as suspicious.
    Quarantine,
    /// The owner asks that the mail be refused.
    Reject,
    /// A policy that SES has added since, as it spelled it (capped).
    Unknown(String),
}

impl DmarcPolicy {
    pub(super) fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "none" => Self::None,
            "quarantine" => Self::Quarantine,
            "reject" => Self::Reject,
            _ => Self::Unknown(sanitize_text(text, 64)),
        }
    }

    /// The policy's name, such as `none`; an unknown one as SES spelled it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
            Self::Unknown(policy) => policy,
        }
    }
}

impl Serialize for DmarcPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What SES checked. Each field is `None` if SES did not tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the checks by their names")]
pub struct MailVerdicts {
    pub spam: Option<MailVerdict>,
    pub virus: Option<MailVerdict>,
    pub spf: Option<MailVerdict>,
    pub dkim: Option<MailVerdict>,
    pub dmarc: Option<MailVerdict>,
    pub dmarc_policy: Option<DmarcPolicy>,
}

impl MailVerdicts {
    /// The fields that hold a value that is not in SES's documentation.
    pub(super) fn fields_with_unknown_values(&self) -> impl Iterator<Item = &'static str> {
        let verdicts = [
            ("receipt.spamVerdict", &self.spam),
            ("receipt.virusVerdict", &self.virus),
            ("receipt.spfVerdict", &self.spf),
            ("receipt.dkimVerdict", &self.dkim),
            ("receipt.dmarcVerdict", &self.dmarc),
        ];
        let unknown = verdicts.into_iter().filter(|(_, said)| matches!(said, Some(MailVerdict::Unknown(_))));
        let policy = matches!(self.dmarc_policy, Some(DmarcPolicy::Unknown(_)));
        unknown.map(|(field, _)| field).chain(policy.then_some("receipt.dmarcPolicy"))
    }
}
