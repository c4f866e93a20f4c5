//! How a section fares, and what was found in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fix::Fix;

/// How a section fares, ordered from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerdict {
    /// There is nothing here that could be wrong.
    NotApplicable,
    /// All is as it should be.
    Pass,
    /// How the section fares could not be found out.
    Unknown,
    /// It works now, but may stop working, or does not work as well as it could.
    Warn,
    /// It does not work, or does not work for all.
    Fail,
}

impl AuditVerdict {
    /// The verdict's name in the table, such as `not_applicable`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl fmt::Display for AuditVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that is worth a person's look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is: [`AuditVerdict::Fail`], [`AuditVerdict::Warn`] or [`AuditVerdict::Unknown`].
    pub verdict: AuditVerdict,
    /// What the finding is about, such as an identity's name; empty if it is about the whole Region.
    pub subject: String,
    /// What AWS said.
    pub evidence: String,
    /// What to do about it, in words.
    pub todo: String,
    /// The commands and DNS records that do it, in the order in which they are to be carried out.
    #[serde(default)]
    pub fixes: Vec<Fix>,
}
