//! IAM's users and their access keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_audit::aws::iam::{AccessKeyReader, IamUser, SimulatedIdentities};
use mailroom_audit::aws::{ApiError, ResultPage};
use mailroom_audit::facts::{AccessKey, AccessKeyLastUsed, ApiAnswer};

use crate::{Fuse, lock};

/// The number of users on a page.
const USERS_PER_PAGE: usize = 2;

/// The users of one account.
#[derive(Debug, Clone, Default)]
pub struct MemoryIam {
    inner: Arc<Mutex<Inner>>,
    fuse: Fuse,
}

#[derive(Debug, Default)]
struct Inner {
    users: BTreeMap<String, (IamUser, Vec<AccessKey>)>,
    senders: BTreeMap<String, Vec<String>>,
    refusal: Option<ApiError>,
    calls: Vec<String>,
}

impl MemoryIam {
    /// The same account, for a function that may die.
    #[must_use]
    pub fn with_fuse(&self, fuse: &Fuse) -> Self {
        Self { inner: Arc::clone(&self.inner), fuse: fuse.clone() }
    }

    /// Adds a user with these keys. Only [`AccessKeyReader::last_used`] answers with their `last_used`.
    pub fn add(&self, user: IamUser, keys: Vec<AccessKey>) {
        lock(&self.inner).users.insert(user.name.clone(), (user, keys));
    }

    /// From now on the user with this ARN may send from these identities or, if none is given, from all.
    pub fn let_send(&self, user_arn: &str, identity_arns: &[&str]) {
        let arns = identity_arns.iter().map(|arn| (*arn).to_owned()).collect();
        lock(&self.inner).senders.insert(user_arn.to_owned(), arns);
    }

    /// Answers every call with this error; `None`: answers as usual again.
    pub fn refuse(&self, refusal: Option<ApiError>) {
        lock(&self.inner).refusal = refusal;
    }

    /// The calls that were made so far, such as `last_used AKIA…`.
    pub fn calls(&self) -> Vec<String> {
        lock(&self.inner).calls.clone()
    }

    async fn call<T>(&self, call: String, answer: impl FnOnce(&Inner) -> T) -> Result<T, ApiError> {
        self.fuse.effect().await;
        let mut inner = lock(&self.inner);
        inner.calls.push(call);
        inner.refusal.clone().map_or_else(|| Ok(answer(&inner)), Err)
    }
}

impl AccessKeyReader for MemoryIam {
    async fn users(&self, next_token: Option<&str>) -> Result<ResultPage<IamUser>, ApiError> {
        self.call(format!("users {}", next_token.unwrap_or_default()), |inner| {
            let mut left = inner
                .users
                .range(next_token.map(str::to_owned).unwrap_or_default()..)
                .map(|(_, user)| &user.0);
            let items = left.by_ref().take(USERS_PER_PAGE).cloned().collect();
            ResultPage { items, next_token: left.next().map(|user| user.name.clone()) }
        })
        .await
    }

    async fn keys(&self, user_name: &str) -> Result<Vec<AccessKey>, ApiError> {
        self.call(format!("keys {user_name}"), |inner| {
            let keys = inner.users.get(user_name).map(|(_, keys)| keys.clone()).unwrap_or_default();
            keys.into_iter().map(|key| AccessKey { last_used: ApiAnswer::NotAsked, ..key }).collect()
        })
        .await
    }

    async fn last_used(&self, access_key_id: &str) -> Result<Option<AccessKeyLastUsed>, ApiError> {
        self.call(format!("last_used {access_key_id}"), |inner| {
            let mut keys = inner.users.values().flat_map(|(_, keys)| keys);
            keys.find(|known| known.id == access_key_id)
                .and_then(|key| key.last_used.answer().cloned().flatten())
        })
        .await
    }

    async fn may_send(&self, user_arn: &str, identities: SimulatedIdentities<'_>) -> Result<bool, ApiError> {
        let identity_arns: &[String] = match identities {
            SimulatedIdentities::All => &[],
            SimulatedIdentities::Listed(arns) => arns,
        };
        self.call(format!("may_send {user_arn} {}", identity_arns.len()), |inner| {
            let from = inner.senders.get(user_arn);
            from.is_some_and(|from| from.is_empty() || from.iter().any(|arn| identity_arns.contains(arn)))
        })
        .await
    }
}
