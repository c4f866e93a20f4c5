//! Access keys of IAM users: an SMTP user name is an access key's id, its password is derived from the key's secret.

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use crate::timestamp::Timestamp;

/// `AccessKeyMetadata`, and what else IAM says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `UserName`
    pub user: String,
    /// `AccessKeyId`: `AKIA…`, no secret.
    pub id: String,
    /// `Active`, `Inactive`, or what else IAM says.
    pub status: String,
    /// `CreateDate`
    pub created_at: Timestamp,
    /// Whether the user's policies allow `ses:SendRawEmail`, which is all that SMTP takes. Need not be asked of a key that
    /// is inactive, was created on 2019-01-10 or later, or was last used for SES.
    #[serde(default)]
    pub may_send: Asked<bool>,
    /// `GetAccessKeyLastUsed`; `None` for a key that was never used (`N/A`). Need not be asked of a key that is
    /// inactive or was created on 2019-01-10 or later.
    #[serde(default)]
    pub last_used: Asked<Option<LastUsed>>,
}

impl AccessKey {
    /// Whether it was last used for SES: then it may send, whatever a simulation of the policies knows to ask. That takes
    /// identities' names, and a policy may let send from one that no audited Region has.
    pub fn used_for_ses(&self) -> bool {
        self.last_used.answer().and_then(Option::as_ref).is_some_and(|used| used.service == "ses")
    }
}

/// `AccessKeyLastUsed`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsed {
    /// `LastUsedDate`
    pub at: Timestamp,
    /// `ServiceName`: `ses`
    pub service: String,
    /// `Region`: `eu-west-1`
    pub region: String,
}
