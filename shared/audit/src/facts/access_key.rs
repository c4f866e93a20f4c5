//! Access keys of IAM users: an SMTP user name is an access key's id, its password is derived from the key's secret.

use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::ApiAnswer;

/// 2019-01-10T00:00:00Z, in milliseconds since 1970.
const SIGNATURE_V4_SINCE_MILLIS: i64 = 1_547_078_400_000;

/// Whether SMTP credentials that were created at this time are from before Signature Version 4. They should be deleted and
/// replaced (Amazon SES Developer Guide, "Regions and Amazon SES", "SMTP credentials", read 2026-11).
pub fn predates_signature_v4(created_at: Timestamp) -> bool {
    created_at.millis() < SIGNATURE_V4_SINCE_MILLIS
}

/// An access key: `AccessKeyMetadata`, and what else IAM says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The user that the key belongs to (`UserName`).
    pub user: String,
    /// The key's id (`AccessKeyId`, `AKIA…`), which is no secret.
    pub id: String,
    /// Whether the key can be used: `Active`, `Inactive`, or what else IAM says.
    pub status: String,
    /// When the key was created (`CreateDate`).
    pub created_at: Timestamp,
    /// Whether the user's policies allow `ses:SendRawEmail`, the only permission that SMTP needs. Need not be asked of a
    /// key that is inactive, was created on 2019-01-10 or later, or was last used for SES.
    #[serde(default)]
    pub may_send: ApiAnswer<bool>,
    /// When and for what the key was last used (`GetAccessKeyLastUsed`); `None` for a key that was never used (`N/A`).
    /// Need not be asked of a key that is inactive or was created on 2019-01-10 or later.
    #[serde(default)]
    pub last_used: ApiAnswer<Option<AccessKeyLastUsed>>,
}

impl AccessKey {
    /// Whether the key was last used for SES. If so it may send, whatever a simulation of the policies says: a simulation
    /// needs identities' names, and a policy may allow an identity that no audited Region has.
    pub fn was_used_for_ses(&self) -> bool {
        self.last_used.answer().and_then(Option::as_ref).is_some_and(|used| used.service == "ses")
    }
}

/// The last use of an access key (`AccessKeyLastUsed`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKeyLastUsed {
    /// When the key was last used (`LastUsedDate`).
    pub at: Timestamp,
    /// The service that it was used for (`ServiceName`), such as `ses`.
    pub service: String,
    /// The Region that it was used in (`Region`), such as `eu-west-1`.
    pub region: String,
}
