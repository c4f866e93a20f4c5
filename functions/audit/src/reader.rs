//! Reads a Region from the first call to the last, as if in one go: answers that a former invocation has kept are not asked
//! for again.

use std::collections::{BTreeMap, BTreeSet};

use mailroom_aws::audit::buckets::Buckets;
use mailroom_aws::audit::iam::{AccessKeys, User};
use mailroom_aws::audit::ses::{ListedIdentity, SesReader};
use mailroom_aws::audit::{AskError, Page};
use mailroom_aws::clock::Timer;
use mailroom_aws::notification_topics::{MOST_IDENTITIES, NotificationAttributes, NotificationTopics};
use mailroom_aws::pace::OutOfTime;
use mailroom_aws::rule_sets::{self, RuleSets};
use mailroom_core::audit::facts::{
    AccessKey, Asked, Bucket, ConfigurationSet, Facts, Identity, IdentityFacts, ListPass, Notifications,
    PeerTold, ReceiptAction, ReceiptRule, RuleSet, Stack,
};
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::asker::{Asker, Heard};
use crate::readings::{Keep, Readings};

/// SMTP credentials that were created before this should be replaced: 2019-01-10T00:00:00Z, in milliseconds since 1970
/// (Amazon SES Developer Guide, "Regions and Amazon SES", "SMTP credentials", November 2026).
const SIGNATURE_VERSION_4_SINCE: i64 = 1_547_078_400_000;
/// How often one invocation starts a listing, at most: once more after a page's token was refused.
const LISTING_STARTS: usize = 2;
/// How many identities one call of `iam:SimulatePrincipalPolicy` tries a user's policies on.
const IDENTITIES_PER_SIMULATION: usize = 100;

/// The services that are read. All but `keys` and `buckets` are SES.
pub struct Ports<S, T, R, K, B> {
    /// SES's API, version 2.
    pub ses: S,
    /// SES's API, version 1: the topics of identities.
    pub topics: T,
    /// SES's API, version 1: the active receipt rule set.
    pub rule_sets: R,
    /// IAM: users and their access keys.
    pub keys: K,
    /// S3: buckets.
    pub buckets: B,
}

/// What an audit of a Region is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// What belongs to our stack in the Region.
    pub stack: Stack,
    /// What reconcile noted of its last pass: how the suppression list and the table agree. `None` if no pass has ended.
    pub list: Asked<Option<ListPass>>,
    /// How far each peer has been told, by reconcile's notes.
    pub told: Asked<Vec<PeerTold>>,
    /// Whether IAM is asked, too. IAM is global, so one Region asking is enough.
    pub iam: bool,
    /// Other Regions from whose identities a user may be allowed to send. The identities there are taken to have the same
    /// names as here, since no Region lists another's.
    pub peers: Vec<String>,
}

/// How far a pass has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Progress {
    /// The number of identities that were read.
    pub read: usize,
    /// The number of all identities; `None` until they are listed.
    pub of: Option<usize>,
}

/// Why a Region was not read to the end.
#[derive(Debug)]
pub(crate) enum Interrupted<E> {
    /// The time is up. The rest must wait for the next invocation.
    OutOfTime(Progress),
    /// What was read could not be kept.
    Unkept(E),
}

/// Reads a Region, for one invocation.
pub(crate) struct Reader<'a, S, T, R, K, B, C, P, F> {
    pub(crate) ports: &'a Ports<S, T, R, K, B>,
    pub(crate) asker: Asker<'a, C>,
    pub(crate) readings: Readings<P>,
    pub(crate) progress: F,
    pub(crate) at: std::cell::Cell<Progress>,
}

impl<S, T, R, K, B, C, P, F> Reader<'_, S, T, R, K, B, C, P, F>
where
    S: SesReader,
    T: NotificationTopics,
    R: RuleSets,
    K: AccessKeys,
    B: Buckets,
    C: Timer,
    P: Keep,
    F: Fn(Progress),
{
    /// Reads everything that the audit judges. What could not be read is told as that.
    pub(crate) async fn facts(&self, scope: Scope) -> Result<Facts, Interrupted<P::Error>> {
        let Scope { stack, list, told, iam, peers } = scope;
        let ses = &self.ports.ses;
        let account = self.once("account", "ses:GetAccount", async || ses.account().await).await?;
        let configuration_sets = self.configuration_sets().await?;
        let rule_set = if stack.receives { self.rule_set().await? } else { Asked::NotAsked };
        let buckets = self.buckets(rule_set.answer().and_then(Option::as_ref)).await?;
        let listed = self.listed().await?;
        let access_keys = if iam {
            let regions: Vec<_> = [&stack.region].into_iter().chain(&peers).map(String::as_str).collect();
            self.access_keys(&regions, listed.answer()).await?
        } else {
            Asked::NotAsked
        };
        let identities = match listed {
            Asked::Answered(listed) => Asked::Answered(self.identities(listed).await?),
            unanswered => not_told(unanswered),
        };
        let peers = told;
        Ok(Facts {
            stack,
            account,
            identities,
            configuration_sets,
            list,
            peers,
            access_keys,
            rule_set,
            buckets,
        })
    }

    /// Makes a call and keeps its answer, unless an answer is kept already.
    async fn once<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        call: impl AsyncFn() -> Result<A, AskError>,
    ) -> Result<Asked<A>, Interrupted<P::Error>> {
        if let Some(kept) = self.readings.take(name) {
            return Ok(kept);
        }
        let heard = self.ask(action, call).await?;
        self.settle(name, heard).await
    }

    async fn ask<A>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<A, AskError>,
    ) -> Result<Heard<A>, Interrupted<P::Error>> {
        self.asker.ask(action, call).await.map_err(|OutOfTime| Interrupted::OutOfTime(self.at.get()))
    }

    /// Keeps an answer that another call would not change. Any other is counted, so that the next wake makes the call
    /// again.
    async fn settle<A: Serialize>(
        &self,
        name: &str,
        heard: Heard<A>,
    ) -> Result<Asked<A>, Interrupted<P::Error>> {
        match heard {
            Heard::Settled(asked) => {
                self.readings.keep(name, &asked).await.map_err(Interrupted::Unkept)?;
                Ok(asked)
            }
            Heard::Nothing(asked) => {
                self.readings.missed();
                Ok(asked)
            }
        }
    }

    /// Reads all pages of a listing. It gives either all of it or nothing, since whatever was left out would look as if it
    /// were not there. SES does not say how long a page's token is good for: a listing whose token, got by a former
    /// invocation, has expired is started again, and one that does not come to its end even so is left to the next wake.
    async fn all<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        page: impl AsyncFn(Option<&str>) -> Result<Page<A>, AskError>,
    ) -> Result<Asked<Vec<A>>, Interrupted<P::Error>> {
        for _ in 0..LISTING_STARTS {
            if let Some(all) = self.pages(name, action, &page).await? {
                return Ok(all);
            }
        }
        self.readings.missed();
        Ok(Asked::Failed { action: action.to_owned(), why: "a page's token is refused".to_owned() })
    }

    /// Reads the pages of a listing; `None` if a page's token is refused, which is not kept.
    async fn pages<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        page: &impl AsyncFn(Option<&str>) -> Result<Page<A>, AskError>,
    ) -> Result<Option<Asked<Vec<A>>>, Interrupted<P::Error>> {
        let (mut all, mut next) = (Vec::new(), None);
        for number in 0.. {
            let name = format!("{name}#{number}");
            let asked = match self.readings.take(&name) {
                Some(kept) => kept,
                None => match self.ask(action, async || page(next.as_deref()).await).await? {
                    Heard::Settled(Asked::Failed { .. }) if number > 0 => return Ok(None),
                    heard => self.settle(&name, heard).await?,
                },
            };
            match asked {
                Asked::Answered(page) => {
                    all.extend(page.items);
                    next = page.next;
                }
                unanswered => return Ok(Some(not_told(unanswered))),
            }
            if next.is_none() {
                break;
            }
        }
        Ok(Some(Asked::Answered(all)))
    }

    async fn configuration_sets(&self) -> Result<Asked<Vec<Asked<ConfigurationSet>>>, Interrupted<P::Error>> {
        let ses = &self.ports.ses;
        let page = async |next: Option<&str>| ses.configuration_sets(next).await;
        let names = match self.all("configuration-sets", "ses:ListConfigurationSets", page).await? {
            Asked::Answered(names) => names,
            unanswered => return Ok(not_told(unanswered)),
        };
        let mut all = Vec::new();
        for name in names {
            let get = async || ses.configuration_set(&name).await;
            let asked =
                self.once(&format!("configuration-set#{name}"), "ses:GetConfigurationSet", get).await?;
            let mut set = match asked {
                Asked::Answered(Some(set)) => set,
                // The set was deleted after it was listed.
                Asked::Answered(None) => continue,
                unanswered => {
                    all.push(not_told(unanswered));
                    continue;
                }
            };
            let get = async || ses.event_destinations(&name).await;
            let reading = format!("event-destinations#{name}");
            set.event_destinations =
                self.once(&reading, "ses:GetConfigurationSetEventDestinations", get).await?;
            all.push(Asked::Answered(set));
        }
        Ok(Asked::Answered(all))
    }

    async fn rule_set(&self) -> Result<Asked<Option<RuleSet>>, Interrupted<P::Error>> {
        let active = async || Ok(self.ports.rule_sets.active().await?.map(rule_set));
        self.once("rule-set", "ses:DescribeActiveReceiptRuleSet", active).await
    }

    async fn buckets(&self, rule_set: Option<&RuleSet>) -> Result<Vec<Bucket>, Interrupted<P::Error>> {
        let actions = rule_set.into_iter().flat_map(|set| &set.rules).flat_map(|rule| &rule.actions);
        let names: BTreeSet<_> = actions.filter_map(|action| action.bucket.clone()).collect();
        let mut buckets = Vec::new();
        for name in names {
            let head = async || self.ports.buckets.bucket(&name).await;
            let asked = self.once(&format!("bucket#{name}"), "s3:ListBucket", head).await?;
            buckets.push(match asked {
                Asked::Answered(bucket) => bucket,
                unanswered => Bucket { name, exists: not_told(unanswered) },
            });
        }
        Ok(buckets)
    }

    async fn listed(&self) -> Result<Asked<Vec<ListedIdentity>>, Interrupted<P::Error>> {
        let page = async |next: Option<&str>| self.ports.ses.identities(next).await;
        self.all("identities", "ses:ListEmailIdentities", page).await
    }

    async fn identities(
        &self,
        listed: Vec<ListedIdentity>,
    ) -> Result<Vec<IdentityFacts>, Interrupted<P::Error>> {
        self.at.set(Progress { read: 0, of: Some(listed.len()) });
        (self.progress)(self.at.get());
        let mut identities = Vec::with_capacity(listed.len());
        for (number, some) in listed.chunks(MOST_IDENTITIES).enumerate() {
            let notifications = self.notifications(number, some).await?;
            for ListedIdentity { name, kind } in some {
                let get = async || self.ports.ses.identity(name).await;
                let asked: Asked<Option<Identity>> =
                    self.once(&format!("identity#{name}"), "ses:GetEmailIdentity", get).await?;
                let mut at = self.at.get();
                at.read += 1;
                self.at.set(at);
                (self.progress)(at);
                let identity = match asked {
                    Asked::Answered(Some(identity)) => Asked::Answered(identity),
                    // The identity was deleted after it was listed.
                    Asked::Answered(None) => continue,
                    unanswered => not_told(unanswered),
                };
                let forwarding_enabled =
                    identity.answer().is_none_or(|identity| identity.feedback_forwarding);
                // SES tells nothing of an identity for which nobody ever set a topic.
                let none = Notifications { forwarding_enabled, ..Notifications::default() };
                let notifications = match &notifications {
                    Asked::Answered(all) => Asked::Answered(all.get(name).cloned().unwrap_or(none)),
                    unanswered => not_told(unanswered.clone()),
                };
                identities.push(IdentityFacts {
                    name: name.clone(),
                    kind: kind.clone(),
                    identity,
                    notifications,
                });
            }
        }
        Ok(identities)
    }

    async fn notifications(
        &self,
        number: usize,
        identities: &[ListedIdentity],
    ) -> Result<Asked<BTreeMap<String, Notifications>>, Interrupted<P::Error>> {
        let names: Vec<_> = identities.iter().map(|identity| identity.name.clone()).collect();
        let get = async || {
            let attributes = self.ports.topics.attributes(&names).await?;
            Ok(attributes.into_iter().map(|(name, attributes)| (name, notifications(attributes))).collect())
        };
        self.once(&format!("notifications#{number}"), "ses:GetIdentityNotificationAttributes", get).await
    }

    /// Reads access keys that are older than Signature Version 4. Only users who are as old can have such a key.
    async fn access_keys(
        &self,
        regions: &[&str],
        identities: Option<&Vec<ListedIdentity>>,
    ) -> Result<Asked<Vec<AccessKey>>, Interrupted<P::Error>> {
        let iam = &self.ports.keys;
        let page = async |next: Option<&str>| iam.users(next).await;
        let users = match self.all("users", "iam:ListUsers", page).await? {
            Asked::Answered(users) => users,
            unanswered => return Ok(not_told(unanswered)),
        };
        let old = |at: Timestamp| at.millis() < SIGNATURE_VERSION_4_SINCE;
        let mut all = Vec::new();
        for user in users.iter().filter(|user| old(user.created_at)) {
            let list = async || iam.keys(&user.name).await;
            let keys = match self.once(&format!("keys#{}", user.name), "iam:ListAccessKeys", list).await? {
                Asked::Answered(keys) => keys,
                unanswered => return Ok(unanswered),
            };
            let mut may_send = None;
            for mut key in keys.into_iter().filter(|key| old(key.created_at)) {
                if key.status != "Inactive" {
                    let used = async || iam.last_used(&key.id).await;
                    let reading = format!("last-used#{}", key.id);
                    key.last_used = self.once(&reading, "iam:GetAccessKeyLastUsed", used).await?;
                    if !key.used_for_ses() {
                        key.may_send = match may_send.take() {
                            Some(known) => known,
                            None => self.may_send(user, regions, identities).await?,
                        };
                        may_send = Some(key.may_send.clone());
                    }
                }
                all.push(key);
            }
        }
        Ok(Asked::Answered(all))
    }

    /// Whether a user may send at all: from any identity, or from one with the name of an identity here, in any of these
    /// Regions.
    async fn may_send(
        &self,
        user: &User,
        regions: &[&str],
        identities: Option<&Vec<ListedIdentity>>,
    ) -> Result<Asked<bool>, Interrupted<P::Error>> {
        const ACTION: &str = "iam:SimulatePrincipalPolicy";
        let iam = &self.ports.keys;
        let name = |number: usize| format!("may-send#{}#{number}", user.name);
        let any = async || iam.may_send(&user.arn, &[]).await;
        let asked = self.once(&name(0), ACTION, any).await?;
        if asked != Asked::Answered(false) {
            return Ok(asked);
        }
        let identities = identities.map(Vec::as_slice).unwrap_or_default();
        let arns: Vec<_> = identities
            .iter()
            .flat_map(|of| regions.iter().filter_map(|region| identity_arn(&user.arn, region, &of.name)))
            .collect();
        for (number, arns) in arns.chunks(IDENTITIES_PER_SIMULATION).enumerate() {
            let these = async || iam.may_send(&user.arn, arns).await;
            let asked = self.once(&name(number + 1), ACTION, these).await?;
            if asked != Asked::Answered(false) {
                return Ok(asked);
            }
        }
        Ok(Asked::Answered(false))
    }
}

/// Says of something else that it could not be read, for the same reason.
fn not_told<A, U>(asked: Asked<A>) -> Asked<U> {
    match asked {
        Asked::Denied(action) => Asked::Denied(action),
        Asked::NotEnabled(code) => Asked::NotEnabled(code),
        Asked::Throttled(action) => Asked::Throttled(action),
        Asked::Failed { action, why } => Asked::Failed { action, why },
        Asked::Answered(_) | Asked::NotAsked => Asked::NotAsked,
    }
}

/// The ARN of an identity in the partition and account of a user's ARN, such as `arn:aws:iam::123456789012:user/smtp`.
fn identity_arn(user_arn: &str, region: &str, identity: &str) -> Option<String> {
    let mut parts = user_arn.split(':');
    let (partition, account) = (parts.nth(1)?, parts.nth(2)?);
    Some(format!("arn:{partition}:ses:{region}:{account}:identity/{identity}"))
}

fn notifications(attributes: NotificationAttributes) -> Notifications {
    let topic = |topic: Option<String>| topic.filter(|topic| !topic.is_empty());
    Notifications {
        bounce_topic: topic(attributes.bounce_topic),
        complaint_topic: topic(attributes.complaint_topic),
        forwarding_enabled: attributes.forwarding,
    }
}

/// Converts a rule set, as SES tells it, into the audit's own type.
pub fn rule_set(set: rule_sets::RuleSet) -> RuleSet {
    let action = |action: rule_sets::RuleAction| ReceiptAction {
        kind: if action.kind.is_empty() { "unknown".to_owned() } else { action.kind.to_owned() },
        bucket: action.bucket,
        arns: action.arns.into_iter().map(|(field, arn)| (field.to_owned(), arn)).collect(),
    };
    let rule = |rule: rule_sets::Rule| ReceiptRule {
        name: rule.name,
        enabled: rule.enabled,
        scan_enabled: rule.scans,
        recipients: rule.recipients,
        actions: rule.actions.into_iter().map(action).collect(),
    };
    RuleSet { name: set.name, rules: set.rules.into_iter().map(rule).collect() }
}
