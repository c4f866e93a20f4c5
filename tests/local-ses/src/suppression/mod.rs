//! The account-level suppression list of one Region. This is pure: time and imported files come in as arguments.
//!
//! What the HTTP side answers is decided here, so that a test without HTTP follows the same rules: `tests/doubles` puts a
//! [`SuppressionList`] behind the port and gives it the time.

mod import;
mod list;
mod pace;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use import::{FailedRecord, Import, ImportAction, ImportFormat, Job, JobFailure, JobStatus};
pub use list::{Filter, SuppressionList};
pub use pace::{Pace, Pacer};

pub use crate::pages::Page;
pub use crate::refused::{Refused, RefusedKind};

/// Why an address is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Reason {
    /// The address bounced hard.
    Bounce,
    /// The recipient complained.
    Complaint,
}

impl Reason {
    /// The reason as the API spells it.
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

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Why the address is on the list.
    pub reason: Reason,
    /// When the entry was last put on the list.
    pub last_update: OffsetDateTime,
    /// The event for which SES itself put the address there; `None` if somebody else did.
    pub evidence: Option<Evidence>,
}

impl Entry {
    /// An entry as `PutSuppressedDestination` makes it.
    pub const fn new(reason: Reason, last_update: OffsetDateTime) -> Self {
        Self { reason, last_update, evidence: None }
    }
}

/// A write to the list, whether it changed anything or not. SES itself keeps no such record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListWrite {
    /// When it was written.
    pub at: OffsetDateTime,
    /// The address, in exactly this spelling.
    pub address: String,
    /// The entry's reason before the write; `None` if there was no entry.
    pub before: Option<Reason>,
    /// The entry's reason after the write; `None` if there is no entry.
    pub after: Option<Reason>,
    /// Who wrote it.
    pub by: ListWriter,
}

/// Who wrote to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListWriter {
    /// A request for this one address.
    Request,
    /// The import job at this index of [`SuppressionList::jobs`].
    ImportJob(usize),
    /// SES itself, or somebody at the console.
    Other,
}

/// The event for which SES added an address (API reference v2, `SuppressedDestinationAttributes`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The id of the mail.
    pub message_id: String,
    /// The id of the bounce or complaint.
    pub feedback_id: String,
}

/// The account in one Region, as far as `GetAccount` tells and the list depends on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Whether the account is out of the sandbox. With SES a new account is not; here it is by default, as tests want to
    /// work.
    pub production_access: bool,
    /// Whether the account may send.
    pub sending_enabled: bool,
    /// The account's standing: `HEALTHY`, `PROBATION` or `SHUTDOWN`.
    pub enforcement_status: String,
    /// The number of recipients that the account may send to in 24 hours; -1 is no limit.
    pub max_24_hour_send: f64,
    /// The number of recipients that the account may send to in a second.
    pub max_send_rate: f64,
    /// The number of recipients that the account has sent to. Here it never goes down by itself.
    pub sent_last_24_hours: f64,
    /// The reasons for which SES adds addresses, and for which an entry stops mail (guide, "account-level suppression
    /// list": both, for accounts created since 2019-11-25).
    pub suppressed_reasons: Vec<Reason>,
    /// The settings of Auto Validation, as they were sent (API reference v2, `SuppressionValidationAttributes`). They have
    /// no effect here.
    pub validation: Option<serde_json::Map<String, serde_json::Value>>,
    /// The last application for production access; `None` if there was none.
    pub details: Option<AccountDetails>,
}

/// An application for production access (API reference v2, `AccountDetails`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountDetails {
    /// The fields of the application, as they were sent.
    pub told: serde_json::Map<String, serde_json::Value>,
    /// What became of the application.
    pub review: Review,
}

/// How far the review of an application is (API reference v2, `ReviewDetails`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Review {
    /// The application is under review.
    Pending,
    /// The application was granted.
    Granted,
    /// The application was denied.
    Denied,
}

impl Review {
    /// The status as the API spells it.
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
    /// An account in the sandbox, with the quota of that (API reference v2, `GetAccount`: 200 a day, 1 a second).
    pub fn sandbox() -> Self {
        Self { production_access: false, max_24_hour_send: 200.0, max_send_rate: 1.0, ..Self::default() }
    }

    /// Takes an application for production access. With `production` false, the same request gives that access back (API
    /// reference).
    ///
    /// # Errors
    /// While another application is under review.
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

    /// Decides on the application. SES's people do that within a day (guide, "Request production access"); here a test
    /// does. An account that is let out of the sandbox gets the default account's quota.
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

/// What differs from account to account, or what no source tells about the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Whether domains are lower-cased, and blanks around addresses cut off, before anything is looked up or stored. The
    /// guide says that management takes "an exact case match"; somebody who asked the real SES in June 2026 found that it
    /// lower-cases domains but not local parts. Off by default; a caller should be right with either.
    pub folds_domains: bool,
    /// How long an import job waits before its first record. No source tells.
    pub import_wait: Duration,
    /// How long an import job takes for each record. No source tells.
    pub import_per_record: Duration,
    /// The number of import jobs that may be under way before `LimitExceededException`. The API reference says that there
    /// is such a limit, but no source tells the number.
    pub import_jobs: usize,
    /// The number of addresses that one file may add (guide, "Adding email addresses in bulk").
    pub import_puts: usize,
    /// The number of addresses that one file may remove (guide, "Removing email addresses in bulk").
    pub import_deletes: usize,
    /// Whether requests with a slash in the address of the path are refused, so that only an import can delete such an entry
    /// (aws/aws-sdk#158: `DeleteSuppressedDestination` answers 400; reported in 2021, in a backlog in 2024. No source tells
    /// about `GetSuppressedDestination`, whose path is the same).
    pub refuses_slashes: bool,
    /// The most entries or import jobs on a page, even if a request asks for more. No source tells whether SES gives as many as
    /// asked.
    pub page: usize,
    /// How long a page's token is accepted. No source tells; by default it is less than the time between two invocations
    /// of a scheduled function, so that whoever keeps a token between them finds it expired.
    pub token_life: Duration,
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
            refuses_slashes: true,
            page: 1000,
            token_life: Duration::from_mins(1),
        }
    }
}
