//! SES's configuration, as `audit` reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_audit::aws::ses::{IdentitySummary, SesReader};
use mailroom_audit::aws::{ApiError, ResultPage};
use mailroom_audit::facts::{
    AccountFacts, ApiAnswer, ConfigurationSet, EmailIdentity, EventDestination, SendQuota,
};

use crate::{MemorySes, lock};

/// The configuration of SES in one Region.
#[derive(Debug, Clone)]
pub struct MemorySesReader {
    inner: Arc<Mutex<Inner>>,
    ses: MemorySes,
}

#[derive(Debug)]
struct Inner {
    account: AccountFacts,
    identities: BTreeMap<String, (Option<String>, EmailIdentity)>,
    configuration_sets: BTreeMap<String, ConfigurationSet>,
    page: usize,
    refusals: BTreeMap<&'static str, ApiError>,
    /// How often the pages' tokens have expired. The number is a part of each token.
    expired: usize,
}

impl Inner {
    /// A page of the items with these names, from where a token says.
    fn page<A>(
        &self,
        mut names: impl Iterator<Item = (String, A)>,
        next: Option<&str>,
    ) -> Result<ResultPage<A>, ApiError> {
        let from = match next.map(|token| token.split_once(' ').unwrap_or_default()) {
            None => "",
            Some((expired, from)) if expired == self.expired.to_string() => from,
            Some(_) => return Err(ApiError::Refused("InvalidNextTokenException".to_owned())),
        };
        let mut left = names.by_ref().skip_while(|(name, _)| name.as_str() < from);
        let items = left.by_ref().take(self.page).map(|(_, item)| item).collect();
        Ok(ResultPage { items, next_token: left.next().map(|(name, _)| format!("{} {name}", self.expired)) })
    }
}

impl MemorySesReader {
    /// A Region with production access and nothing else.
    pub fn new(ses: &MemorySes) -> Self {
        let quota = SendQuota { max_24_hour_send: 50_000.0, max_send_rate: 14.0, sent_last_24_hours: 0.0 };
        let account = AccountFacts {
            production_access_enabled: true,
            sending_enabled: true,
            enforcement_status: Some("HEALTHY".to_owned()),
            send_quota: Some(quota),
            suppressed_reasons: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
            review: None,
        };
        let inner = Inner {
            account,
            identities: BTreeMap::new(),
            configuration_sets: BTreeMap::new(),
            page: 1000,
            refusals: BTreeMap::new(),
            expired: 0,
        };
        Self { inner: Arc::new(Mutex::new(inner)), ses: ses.clone() }
    }

    /// The same Region, reached through an SES of the same kind: [`MemorySes::with_fuse`].
    #[must_use]
    pub fn through(&self, ses: &MemorySes) -> Self {
        Self { ses: ses.clone(), ..self.clone() }
    }

    /// Adds an identity, or replaces the one of that name.
    pub fn add_identity(&self, name: &str, kind: &str, identity: EmailIdentity) {
        lock(&self.inner).identities.insert(name.to_owned(), (Some(kind.to_owned()), identity));
    }

    /// Removes an identity.
    pub fn remove_identity(&self, name: &str) {
        lock(&self.inner).identities.remove(name);
    }

    /// Adds a configuration set with its event destinations, or replaces the one of that name.
    pub fn add_configuration_set(&self, set: ConfigurationSet) {
        lock(&self.inner).configuration_sets.insert(set.name.clone(), set);
    }

    /// Sets how many items are on a page.
    pub fn set_page(&self, page: usize) {
        lock(&self.inner).page = page;
    }

    /// Has all tokens that were given so far expire.
    pub fn expire_tokens(&self) {
        lock(&self.inner).expired += 1;
    }

    /// Answers every call of an action, such as `GetEmailIdentity`, with this error; `None`: answers as usual again.
    pub fn refuse(&self, action: &'static str, refusal: Option<ApiError>) {
        let mut inner = lock(&self.inner);
        match refusal {
            Some(refusal) => drop(inner.refusals.insert(action, refusal)),
            None => drop(inner.refusals.remove(action)),
        }
    }

    async fn call<T>(
        &self,
        action: &'static str,
        argument: &str,
        answer: impl FnOnce(&Inner) -> T,
    ) -> Result<T, ApiError> {
        self.ses.call(format!("{action} {argument}").trim_end().to_owned(), || Ok(())).await?;
        let inner = lock(&self.inner);
        inner.refusals.get(action).cloned().map_or_else(|| Ok(answer(&inner)), Err)
    }
}

impl SesReader for MemorySesReader {
    async fn account(&self) -> Result<AccountFacts, ApiError> {
        self.call("GetAccount", "", |inner| inner.account.clone()).await
    }

    async fn identities(&self, next_token: Option<&str>) -> Result<ResultPage<IdentitySummary>, ApiError> {
        let page = self.call("ListEmailIdentities", next_token.unwrap_or_default(), |inner| {
            let listed = inner.identities.iter().map(|(name, (kind, _))| {
                (name.clone(), IdentitySummary { name: name.clone(), kind: kind.clone() })
            });
            inner.page(listed, next_token)
        });
        page.await?
    }

    async fn identity(&self, name: &str) -> Result<Option<EmailIdentity>, ApiError> {
        self.call("GetEmailIdentity", name, |inner| {
            inner.identities.get(name).map(|(_, identity)| identity.clone())
        })
        .await
    }

    async fn configuration_sets(&self, next_token: Option<&str>) -> Result<ResultPage<String>, ApiError> {
        let page = self.call("ListConfigurationSets", next_token.unwrap_or_default(), |inner| {
            inner.page(inner.configuration_sets.keys().map(|name| (name.clone(), name.clone())), next_token)
        });
        page.await?
    }

    async fn configuration_set(&self, name: &str) -> Result<Option<ConfigurationSet>, ApiError> {
        self.call("GetConfigurationSet", name, |inner| {
            let set = inner.configuration_sets.get(name).cloned();
            set.map(|set| ConfigurationSet { event_destinations: ApiAnswer::NotAsked, ..set })
        })
        .await
    }

    async fn event_destinations(&self, configuration_set: &str) -> Result<Vec<EventDestination>, ApiError> {
        self.call("GetConfigurationSetEventDestinations", configuration_set, |inner| {
            let set = inner.configuration_sets.get(configuration_set);
            set.and_then(|set| set.event_destinations.answer().cloned()).unwrap_or_default()
        })
        .await
    }
}
