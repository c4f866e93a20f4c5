//! How SES's opinion of somebody's DNS records changes.

use std::time::Duration;

use time::OffsetDateTime;

/// What SES thinks (API reference v2: `VerificationStatus`, `DkimAttributes`, `MailFromAttributes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Nobody has asked: an address whose domain has no signatures.
    NotStarted,
    /// Asked, and not found yet.
    Pending,
    /// Found.
    Success,
    /// Found once, and not now.
    TemporaryFailure,
    /// Not found in all the time that there was. SES looks no more until somebody starts again.
    Failed,
}

impl Status {
    /// As the API spells it.
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

/// Why SES could not verify (API reference v2, `VerificationInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationError {
    /// The name servers do not answer.
    DnsServerError,
    /// There is no such name.
    HostNotFound,
    /// There is another value.
    InvalidValue,
    /// There is a record of another type.
    TypeNotFound,
    /// The identity to replicate has a key of its own.
    ReplicationPrimaryByoDkimNotSupported,
    /// There is no identity to replicate.
    ReplicationPrimaryNotFound,
    /// The identity to replicate is a replica.
    ReplicationReplicaAsPrimaryNotSupported,
}

impl VerificationError {
    /// As the API spells it.
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

/// How long SES goes on looking for what it has not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    pub(crate) pending: Duration,
    pub(crate) temporary: Duration,
}

impl Patience {
    /// Guide, "Custom MAIL FROM domain setup states": 72 hours both times.
    pub(crate) const MAIL_FROM: Self =
        Self { pending: Duration::from_hours(72), temporary: Duration::from_hours(72) };
    /// API reference v2, `DkimAttributes`: 72 hours; guide, "DKIM record revocation": five days.
    pub(crate) const DKIM: Self =
        Self { pending: Duration::from_hours(72), temporary: Duration::from_hours(120) };
    /// API reference, `GetIdentityVerificationAttributes`: the link is good for 24 hours. Once clicked, always clicked.
    pub(crate) const LINK: Self = Self { pending: Duration::from_hours(24), temporary: Duration::ZERO };
}

/// SES's opinion, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) status: Status,
    since: OffsetDateTime,
    patience: Patience,
    /// When it looked last.
    pub(crate) checked: Option<OffsetDateTime>,
    /// When it found everything last.
    pub(crate) found: Option<OffsetDateTime>,
    /// What was wrong, when it looked last.
    pub(crate) error: Option<VerificationError>,
}

impl Watch {
    pub(crate) const fn started(now: OffsetDateTime, patience: Patience) -> Self {
        Self { status: Status::Pending, since: now, patience, checked: None, found: None, error: None }
    }

    /// SES looks. It must do so whenever a record changes: what it saw last counts until now.
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
            // A record that comes too late is not looked for.
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
