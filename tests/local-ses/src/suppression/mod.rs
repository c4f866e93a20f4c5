//! One Region's account-level suppression list, pure: time and the imported files come in as arguments.
//!
//! What the HTTP side answers is decided here, so that a test without HTTP keeps the same rules: put a
//! [`SuppressionList`] behind the port, give it the time.

mod import;
mod list;
mod pace;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use import::{FailedRecord, Import, ImportAction, ImportFormat, Job, JobStatus};
pub use list::{Filter, SuppressionList};
pub use pace::{Pace, Pacer};

pub use crate::pages::Page;
pub use crate::refused::{Refused, RefusedKind};

/// Why an address is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Reason {
    /// It bounced hard.
    Bounce,
    /// It complained.
    Complaint,
}

impl Reason {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bounce => "BOUNCE",
            Self::Complaint => "COMPLAINT",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "BOUNCE" => Ok(Self::Bounce),
            "COMPLAINT" => Ok(Self::Complaint),
            _ => Err(()),
        }
    }
}

/// What the list says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Why it is there.
    pub reason: Reason,
    /// When it was put there last.
    pub last_update: OffsetDateTime,
    /// What SES itself put it there for; none if somebody else did.
    pub evidence: Option<Evidence>,
}

impl Entry {
    /// As by `PutSuppressedDestination`.
    pub const fn new(reason: Reason, last_update: OffsetDateTime) -> Self {
        Self { reason, last_update, evidence: None }
    }
}

/// The event that made SES add an address (API reference v2, `SuppressedDestinationAttributes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The mail.
    pub message_id: String,
    /// The bounce or complaint.
    pub feedback_id: String,
}

/// The account in one Region, as far as `GetAccount` tells and the list depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Whether it is out of the sandbox. SES says no to a new account; here tests want to work.
    pub production_access: bool,
    /// Whether it may send.
    pub sending_enabled: bool,
    /// `HEALTHY`, `PROBATION` or `SHUTDOWN`.
    pub enforcement_status: String,
    /// Recipients a day; -1 is no limit.
    pub max_24_hour_send: f64,
    /// Recipients a second.
    pub max_send_rate: f64,
    /// Recipients so far. It never goes down by itself here.
    pub sent_last_24_hours: f64,
    /// The reasons for which SES adds addresses, and for which an entry stops mail (guide, "account-level suppression
    /// list": both, for accounts since 2019-11-25).
    pub suppressed_reasons: Vec<Reason>,
    /// Auto Validation, as it was told (API reference v2, `SuppressionValidationAttributes`). Nothing here goes by it.
    pub validation: Option<serde_json::Map<String, serde_json::Value>>,
    /// What was told of the account when production access was asked for.
    pub details: Option<AccountDetails>,
}

/// An application for production access (API reference v2, `AccountDetails`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDetails {
    /// The fields as they were sent.
    pub told: serde_json::Map<String, serde_json::Value>,
    /// What became of it.
    pub review: Review,
}

/// How far the people are who read applications (API reference v2, `ReviewDetails`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// They read.
    Pending,
    /// They said yes.
    Granted,
    /// They said no.
    Denied,
}

impl Review {
    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Granted => "GRANTED",
            Self::Denied => "DENIED",
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self {
            production_access: true,
            sending_enabled: true,
            enforcement_status: "HEALTHY".to_owned(),
            max_24_hour_send: 50_000.0,
            max_send_rate: 14.0,
            sent_last_24_hours: 0.0,
            suppressed_reasons: vec![Reason::Bounce, Reason::Complaint],
            validation: None,
            details: None,
        }
    }
}

impl Account {
    /// In the sandbox, with its quota (API reference v2, `GetAccount`: 200 a day, 1 a second).
    pub fn sandbox() -> Self {
        Self { production_access: false, max_24_hour_send: 200.0, max_send_rate: 1.0, ..Self::default() }
    }

    /// Takes an application for production access. That the same request also takes it back, the API reference says.
    ///
    /// # Errors
    /// While another is being read.
    pub fn apply(
        &mut self,
        told: serde_json::Map<String, serde_json::Value>,
        production: bool,
    ) -> Result<(), Refused> {
        if self.details.as_ref().is_some_and(|details| details.review == Review::Pending) {
            return Err(Refused::new(RefusedKind::Conflict, "The account's details are under review."));
        }
        let review = if production && !self.production_access { Review::Pending } else { Review::Granted };
        self.production_access &= production;
        self.details = Some(AccountDetails { told, review });
        Ok(())
    }

    /// Somebody has read the application: SES's people do so within a day (guide, "Request production access"), here a
    /// test does. Whoever is let out of the sandbox has the default account's quota.
    pub fn review(&mut self, granted: bool) {
        if let Some(details) = &mut self.details {
            details.review = if granted { Review::Granted } else { Review::Denied };
        }
        if granted {
            let Self { max_24_hour_send, max_send_rate, .. } = Self::default();
            (self.production_access, self.max_24_hour_send, self.max_send_rate) =
                (true, max_24_hour_send, max_send_rate);
        }
    }
}

/// What differs from account to account, or is not told by any source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether domains are lower-cased and blanks around addresses cut off before anything is looked up or stored.
    /// The guide says that management takes "an exact case match"; somebody who asked the real one in June 2026 found
    /// domains folded and local parts not. Off by default; a caller should be right with either.
    pub folds_domains: bool,
    /// How long an import job waits before its first record. No source tells.
    pub import_wait: Duration,
    /// How long each record takes. No source tells.
    pub import_per_record: Duration,
    /// Import jobs under way before `LimitExceededException`. That there is such a limit, the API reference says; how
    /// many, no source.
    pub import_jobs: usize,
    /// Addresses to add in one object (guide, "Adding email addresses in bulk").
    pub import_puts: usize,
    /// Addresses to remove in one object (guide, "Removing email addresses in bulk").
    pub import_deletes: usize,
    /// Entries on a page, whoever asks for more. No source tells whether SES gives as many as asked.
    pub page: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            folds_domains: false,
            import_wait: Duration::from_secs(5),
            import_per_record: Duration::from_millis(1),
            import_jobs: 20,
            import_puts: 100_000,
            import_deletes: 10_000,
            page: 1000,
        }
    }
}
