//! How the status of a verification changes with what SES finds when it looks.

use std::time::Duration;

use time::OffsetDateTime;

/// The status of a verification (API reference v2: `VerificationStatus`, `DkimAttributes`, `MailFromAttributes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody asked for it: an address whose domain has no signatures.
    NotStarted,
    /// It was asked for, and SES has not found what is needed yet.
    Pending,
    /// SES found what is needed.
    Success,
    /// SES found what is needed once, but not when it last looked.
    TemporaryFailure,
    /// SES did not find what is needed in time. It does not look again until somebody starts again.
    Failed,
}

impl Status {
    /// The status as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Pending => "PENDING",
            Self::Success => "SUCCESS",
            Self::TemporaryFailure => "TEMPORARY_FAILURE",
            Self::Failed => "FAILED",
        }
    }
}

/// Why SES could not verify something (API reference v2, `VerificationInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationError {
    /// The name servers of the domain do not answer.
    DnsServerError,
    /// There is no record of that name.
    HostNotFound,
    /// The record has another value.
    InvalidValue,
    /// There are only records of another type.
    TypeNotFound,
    /// The identity to replicate signs with a key of its own.
    ReplicationPrimaryByoDkimNotSupported,
    /// The identity to replicate does not exist.
    ReplicationPrimaryNotFound,
    /// The identity to replicate is itself a replica.
    ReplicationReplicaAsPrimaryNotSupported,
}

impl VerificationError {
    /// The error as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsServerError => "DNS_SERVER_ERROR",
            Self::HostNotFound => "HOST_NOT_FOUND",
            Self::InvalidValue => "INVALID_VALUE",
            Self::TypeNotFound => "TYPE_NOT_FOUND",
            Self::ReplicationPrimaryByoDkimNotSupported => "REPLICATION_PRIMARY_BYO_DKIM_NOT_SUPPORTED",
            Self::ReplicationPrimaryNotFound => "REPLICATION_PRIMARY_NOT_FOUND",
            Self::ReplicationReplicaAsPrimaryNotSupported => "REPLICATION_REPLICA_AS_PRIMARY_NOT_SUPPORTED",
        }
    }
}

/// How long SES goes on looking for what it has not found, while pending and after it was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) pending: Duration,
    pub(crate) temporary: Duration,
}

impl Patience {
    /// For a MAIL FROM domain it is 72 hours both times (guide, "Custom MAIL FROM domain setup states").
    pub(crate) const MAIL_FROM: Self =
        Self { pending: Duration::from_hours(72), temporary: Duration::from_hours(72) };
    /// For DKIM it is 72 hours while pending (API reference v2, `DkimAttributes`), and five days after (guide, "DKIM record
    /// revocation").
    pub(crate) const DKIM: Self =
        Self { pending: Duration::from_hours(72), temporary: Duration::from_hours(120) };
    /// The link in a mail is valid for 24 hours (API reference, `GetIdentityVerificationAttributes`). Once clicked, it
    /// stays so.
    pub(crate) const LINK: Self = Self { pending: Duration::from_hours(24), temporary: Duration::ZERO };
}

/// The status of one verification, and since when it has been that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) status: Status,
    since: OffsetDateTime,
    patience: Patience,
    /// When SES last looked.
    pub(crate) checked: Option<OffsetDateTime>,
    /// When SES last found everything.
    pub(crate) found: Option<OffsetDateTime>,
    /// What was wrong when SES last looked; `None` if nothing was.
    pub(crate) error: Option<VerificationError>,
}

impl Watch {
    pub(crate) const fn started(now: OffsetDateTime, patience: Patience) -> Self {
        Self { status: Status::Pending, since: now, patience, checked: None, found: None, error: None }
    }

    /// Lets SES look. This must be called whenever a record changes, since what it saw last counts as seen until now.
    pub(crate) fn look(&mut self, now: OffsetDateTime, seen: Result<(), VerificationError>) {
        let patience = match self.status {
            Status::Pending => Some(self.patience.pending),
            Status::TemporaryFailure => Some(self.patience.temporary),
            _ => None,
        };
        if let Some(ends) = patience.map(|patience| self.since + patience)
            && now >= ends
        {
            self.change(Status::Failed, ends);
        }
        if self.status == Status::Failed {
            return;
        }
        self.checked = Some(now);
        self.error = seen.err();
        match (self.status, seen) {
            (_, Ok(())) => {
                self.found = Some(now);
                self.change(Status::Success, now);
            }
            (Status::Success, Err(_)) => self.change(Status::TemporaryFailure, now),
            _ => {}
        }
    }

    fn change(&mut self, status: Status, now: OffsetDateTime) {
        if self.status != status {
            self.status = status;
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

    fn after(looks: &[(u64, Result<(), VerificationError>)]) -> Vec<Status> {
        let mut watch = Watch::started(START, Patience::DKIM);
        looks
            .iter()
            .map(|(hours, seen)| {
                watch.look(START + Duration::from_hours(*hours), *seen);
                watch.status
            })
            .collect()
    }

    const THERE: Result<(), VerificationError> = Ok(());
    const GONE: Result<(), VerificationError> = Err(VerificationError::HostNotFound);

    #[test]
    fn states_are_those_of_the_guide() {
        use Status::{Failed, Pending, Success, TemporaryFailure};
        for (looks, expected) in [
            (vec![(0, GONE), (71, GONE), (72, GONE)], vec![Pending, Pending, Failed]),
            (vec![(71, THERE), (100, THERE)], vec![Success, Success]),
            // The record comes too late: SES does not look for it any more.
            (vec![(80, THERE), (81, THERE)], vec![Failed, Failed]),
            (
                vec![(1, THERE), (10, GONE), (129, GONE), (130, GONE)],
                vec![Success, TemporaryFailure, TemporaryFailure, Failed],
            ),
            (
                vec![(1, THERE), (10, GONE), (129, THERE), (500, THERE)],
                vec![Success, TemporaryFailure, Success, Success],
            ),
        ] {
            assert_eq!(after(&looks), expected, "{looks:?}");
        }
    }

    #[test]
    fn it_says_when_it_looked_and_what_was_wrong() {
        let mut watch = Watch::started(START, Patience::LINK);
        watch.look(START, GONE);
        assert_eq!(
            (watch.checked, watch.found, watch.error),
            (Some(START), None, Some(VerificationError::HostNotFound))
        );
        let later = START + Duration::from_hours(1);
        watch.look(later, THERE);
        assert_eq!((watch.checked, watch.found, watch.error), (Some(later), Some(later), None));
    }
}
