//! Reads a Region from the first call to the last, as if in one go: answers that a former invocation has kept are not asked
//! for again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use mailroom_aws::clock::Timer;
use mailroom_aws::notification_topics::{MOST_IDENTITIES, NotificationAttributes, NotificationTopics};
use mailroom_aws::rate_limiter::OutOfTimeError;
use mailroom_aws::rule_sets::{self, RuleSetApi};
use mailroom_core::suppression::list_pass::ListPass;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::aws::buckets::BucketReader;
use crate::aws::iam::{AccessKeyReader, IamUser, SimulatedIdentities};
use crate::aws::ses::{IdentitySummary, SesReader};
use crate::aws::{ApiError, ResultPage};
use crate::caller::{CallOutcome, Caller};
use crate::facts::access_key::predates_signature_v4;
use crate::facts::{
    AccessKey, ApiAnswer, BucketExistence, ConfigurationSet, EmailIdentity, IdentityFacts,
    IdentityNotificationAttributes, PeerProgress, ReceiptAction, ReceiptRule, ReceiptRuleSet, RegionFacts,
    StackFacts,
};
use crate::readings::{AnswerStore, SavedAnswers};

/// How often one invocation starts a listing, at most: once more after a page's token was refused.
const MAX_LISTING_STARTS: usize = 2;
/// How many identities one call of `iam:SimulatePrincipalPolicy` tries a user's policies on.
const IDENTITIES_PER_SIMULATION: usize = 100;

/// The services that are read. All but `keys` and `buckets` are SES.
pub struct Services<P: AuditPorts> {
    /// SES's API, version 2.
    pub ses: P::Ses,
    /// SES's API, version 1: the topics of identities.
    pub topics: P::Topics,
    /// SES's API, version 1: the active receipt rule set.
    pub rule_sets: P::RuleSets,
    /// IAM: users and their access keys.
    pub keys: P::AccessKeys,
    /// S3: buckets.
    pub buckets: P::Buckets,
}

/// The types of the [`Services`].
pub trait AuditPorts {
    /// SES's API, version 2.
    type Ses: SesReader;
    /// The topics of identities.
    type Topics: NotificationTopics;
    /// Receipt rule sets.
    type RuleSets: RuleSetApi;
    /// IAM.
    type AccessKeys: AccessKeyReader;
    /// S3.
    type Buckets: BucketReader;
}

/// What an audit of a Region is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditScope {
    /// What belongs to our stack in the Region.
    pub stack: StackFacts,
    /// What reconcile noted of its last pass: how the suppression list and the table agree. `None` if no pass has ended.
    pub list: ApiAnswer<Option<ListPass>>,
    /// How far each peer has been told, by reconcile's notes.
    pub peer_progress: ApiAnswer<Vec<PeerProgress>>,
    /// Whether IAM is asked, too. IAM is global, so one Region asking is enough.
    pub asks_iam: bool,
    /// Other Regions from whose identities a user may be allowed to send. The identities there are taken to have the same
    /// names as here, since no Region lists another's.
    pub peers: Vec<String>,
}

/// How far a pass has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct AuditProgress {
    /// The number of identities that were read.
    #[serde(rename = "read")]
    pub identities_read: usize,
    /// The number of all identities; `None` until they are listed.
    #[serde(rename = "of")]
    pub identities_total: Option<usize>,
}

/// Why a Region was not read to the end.
#[derive(Debug)]
pub enum ReadError<E> {
    /// The time is up. The rest must wait for the next invocation.
    OutOfTime(AuditProgress),
    /// What was read could not be kept.
    Store(E),
}

/// Reads a Region, for one invocation.
pub struct RegionReader<'a, P: AuditPorts, C, S, F> {
    services: &'a Services<P>,
    caller: Caller<'a, C>,
    saved_answers: SavedAnswers<S>,
    report_progress: F,
    progress: Cell<AuditProgress>,
}

impl<'a, P, C, S, F> RegionReader<'a, P, C, S, F>
where
    P: AuditPorts,
    C: Timer,
    S: AnswerStore,
    F: Fn(AuditProgress),
{
    /// A reader that makes no call whose answer is among the `readings`. `report_progress` is called with each identity.
    pub fn new(
        services: &'a Services<P>,
        caller: Caller<'a, C>,
        readings: SavedAnswers<S>,
        report_progress: F,
    ) -> Self {
        Self { services, caller, saved_answers: readings, report_progress, progress: Cell::default() }
    }

    /// The number of calls that were not answered.
    pub fn unanswered_calls(&self) -> usize {
        self.saved_answers.unanswered_calls()
    }

    /// Reads everything that the audit judges. What could not be read is told as that.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_facts(&self, scope: AuditScope) -> Result<RegionFacts, ReadError<S::Error>> {
        let AuditScope { stack, list, peer_progress, asks_iam, peers } = scope;
        let ses = &self.services.ses;
        let account = self.call_once("account", "ses:GetAccount", async || ses.account().await).await?;
        let configuration_sets = self.read_configuration_sets().await?;
        let rule_set = if stack.receives { self.read_active_rule_set().await? } else { ApiAnswer::NotAsked };
        let buckets = self.check_rule_buckets(rule_set.answer().and_then(Option::as_ref)).await?;
        let listed = self.list_identities().await?;
        let access_keys = if asks_iam {
            let regions: Vec<_> = [&stack.region].into_iter().chain(&peers).map(String::as_str).collect();
            self.read_old_access_keys(&regions, listed.answer()).await?
        } else {
            ApiAnswer::NotAsked
        };
        let identities = match listed {
            ApiAnswer::Answered(listed) => ApiAnswer::Answered(self.read_identities(listed).await?),
            unanswered => discard_answer(unanswered),
        };
        Ok(RegionFacts {
            stack,
            account,
            identities,
            configuration_sets,
            last_list_pass: list,
            peer_pushes: peer_progress,
            access_keys,
            rule_set,
            buckets,
        })
    }

    /// Makes a call and keeps its answer, unless an answer is kept already.
    async fn call_once<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        call: impl AsyncFn() -> Result<A, ApiError>,
    ) -> Result<ApiAnswer<A>, ReadError<S::Error>> {
        if let Some(kept) = self.saved_answers.take_answer(name) {
            return Ok(kept);
        }
        let outcome = self.call_without_saving(action, call).await?;
        self.keep_settled(name, outcome).await
    }

    async fn call_without_saving<A>(
        &self,
        action: &'static str,
        call: impl AsyncFn() -> Result<A, ApiError>,
    ) -> Result<CallOutcome<A>, ReadError<S::Error>> {
        self.caller
            .call_unless_given_up(action, call)
            .await
            .map_err(|OutOfTimeError| ReadError::OutOfTime(self.progress.get()))
    }

    /// Keeps an answer that another call would not change. Any other is counted, so that the next wake makes the call
    /// again.
    async fn keep_settled<A: Serialize>(
        &self,
        name: &str,
        outcome: CallOutcome<A>,
    ) -> Result<ApiAnswer<A>, ReadError<S::Error>> {
        match outcome {
            CallOutcome::Settled(asked) => {
                self.saved_answers.save_answer(name, &asked).await.map_err(ReadError::Store)?;
                Ok(asked)
            }
            CallOutcome::Unanswered(asked) => {
                self.saved_answers.count_unanswered();
                Ok(asked)
            }
        }
    }

    /// Reads all pages of a listing. It gives either all of it or nothing, since whatever was left out would look as if it
    /// were not there. SES does not say how long a page's token is good for: a listing whose token, got by a former
    /// invocation, has expired is started again, and one that does not come to its end even so is left to the next wake.
    async fn read_listing<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        page: impl AsyncFn(Option<&str>) -> Result<ResultPage<A>, ApiError>,
    ) -> Result<ApiAnswer<Vec<A>>, ReadError<S::Error>> {
        for _ in 0..MAX_LISTING_STARTS {
            if let Some(all) = self.read_pages(name, action, &page).await? {
                return Ok(all);
            }
        }
        self.saved_answers.count_unanswered();
        Ok(ApiAnswer::Failed { action: action.to_owned(), why: "a page's token is refused".to_owned() })
    }

    /// Reads the pages of a listing; `None` if a page's token is refused, which is not kept.
    async fn read_pages<A: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        action: &'static str,
        page: &impl AsyncFn(Option<&str>) -> Result<ResultPage<A>, ApiError>,
    ) -> Result<Option<ApiAnswer<Vec<A>>>, ReadError<S::Error>> {
        let (mut all, mut next) = (Vec::new(), None);
        for number in 0.. {
            let name = format!("{name}#{number}");
            let asked = match self.saved_answers.take_answer(&name) {
                Some(kept) => kept,
                None => match self.call_without_saving(action, async || page(next.as_deref()).await).await? {
                    CallOutcome::Settled(ApiAnswer::Failed { .. }) if number > 0 => return Ok(None),
                    outcome => self.keep_settled(&name, outcome).await?,
                },
            };
            match asked {
                ApiAnswer::Answered(page) => {
                    all.extend(page.items);
                    next = page.next_token;
                }
                unanswered => return Ok(Some(discard_answer(unanswered))),
            }
            if next.is_none() {
                break;
            }
        }
        Ok(Some(ApiAnswer::Answered(all)))
    }

    async fn read_configuration_sets(
        &self,
    ) -> Result<ApiAnswer<Vec<ApiAnswer<ConfigurationSet>>>, ReadError<S::Error>> {
        let ses = &self.services.ses;
        let page = async |next: Option<&str>| ses.configuration_sets(next).await;
        let names = match self.read_listing("configuration-sets", "ses:ListConfigurationSets", page).await? {
            ApiAnswer::Answered(names) => names,
            unanswered => return Ok(discard_answer(unanswered)),
        };
        let mut all = Vec::new();
        for name in names {
            let get = async || ses.configuration_set(&name).await;
            let asked =
                self.call_once(&format!("configuration-set#{name}"), "ses:GetConfigurationSet", get).await?;
            let mut set = match asked {
                ApiAnswer::Answered(Some(set)) => set,
                // The set was deleted after it was listed.
                ApiAnswer::Answered(None) => continue,
                unanswered => {
                    all.push(discard_answer(unanswered));
                    continue;
                }
            };
            let get = async || ses.event_destinations(&name).await;
            let reading = format!("event-destinations#{name}");
            set.event_destinations =
                self.call_once(&reading, "ses:GetConfigurationSetEventDestinations", get).await?;
            all.push(ApiAnswer::Answered(set));
        }
        Ok(ApiAnswer::Answered(all))
    }

    async fn read_active_rule_set(&self) -> Result<ApiAnswer<Option<ReceiptRuleSet>>, ReadError<S::Error>> {
        let active = async || Ok(self.services.rule_sets.active_rule_set().await?.map(rule_set_facts));
        self.call_once("rule-set", "ses:DescribeActiveReceiptRuleSet", active).await
    }

    async fn check_rule_buckets(
        &self,
        rule_set: Option<&ReceiptRuleSet>,
    ) -> Result<Vec<BucketExistence>, ReadError<S::Error>> {
        let actions = rule_set.into_iter().flat_map(|set| &set.rules).flat_map(|rule| &rule.actions);
        let names: BTreeSet<_> = actions.filter_map(|action| action.bucket.clone()).collect();
        let mut buckets = Vec::new();
        for name in names {
            let head = async || self.services.buckets.bucket(&name).await;
            let asked = self.call_once(&format!("bucket#{name}"), "s3:ListBucket", head).await?;
            buckets.push(match asked {
                ApiAnswer::Answered(bucket) => bucket,
                unanswered => BucketExistence { name, exists: discard_answer(unanswered) },
            });
        }
        Ok(buckets)
    }

    async fn list_identities(&self) -> Result<ApiAnswer<Vec<IdentitySummary>>, ReadError<S::Error>> {
        let page = async |next: Option<&str>| self.services.ses.identities(next).await;
        self.read_listing("identities", "ses:ListEmailIdentities", page).await
    }

    async fn read_identities(
        &self,
        summaries: Vec<IdentitySummary>,
    ) -> Result<Vec<IdentityFacts>, ReadError<S::Error>> {
        self.progress.set(AuditProgress { identities_read: 0, identities_total: Some(summaries.len()) });
        (self.report_progress)(self.progress.get());
        let mut identities = Vec::with_capacity(summaries.len());
        for (number, some) in summaries.chunks(MOST_IDENTITIES).enumerate() {
            let notifications = self.read_notifications(number, some).await?;
            for IdentitySummary { name, kind } in some {
                let get = async || self.services.ses.identity(name).await;
                let asked: ApiAnswer<Option<EmailIdentity>> =
                    self.call_once(&format!("identity#{name}"), "ses:GetEmailIdentity", get).await?;
                let mut at = self.progress.get();
                at.identities_read += 1;
                self.progress.set(at);
                (self.report_progress)(at);
                let identity = match asked {
                    ApiAnswer::Answered(Some(identity)) => ApiAnswer::Answered(identity),
                    // The identity was deleted after it was listed.
                    ApiAnswer::Answered(None) => continue,
                    unanswered => discard_answer(unanswered),
                };
                let forwarding_enabled =
                    identity.answer().is_none_or(|identity| identity.feedback_forwarding);
                // SES tells nothing of an identity for which nobody ever set a topic.
                let none = IdentityNotificationAttributes {
                    forwarding_enabled,
                    ..IdentityNotificationAttributes::default()
                };
                let notifications = match &notifications {
                    ApiAnswer::Answered(all) => ApiAnswer::Answered(all.get(name).cloned().unwrap_or(none)),
                    unanswered => discard_answer(unanswered.clone()),
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

    async fn read_notifications(
        &self,
        chunk_number: usize,
        summaries: &[IdentitySummary],
    ) -> Result<ApiAnswer<BTreeMap<String, IdentityNotificationAttributes>>, ReadError<S::Error>> {
        let names: Vec<_> = summaries.iter().map(|identity| identity.name.clone()).collect();
        let get = async || {
            let attributes = self.services.topics.attributes(&names).await?;
            Ok(attributes
                .into_iter()
                .map(|(name, attributes)| (name, from_notification_attributes(attributes)))
                .collect())
        };
        self.call_once(&format!("notifications#{chunk_number}"), "ses:GetIdentityNotificationAttributes", get)
            .await
    }

    /// Reads access keys that are older than Signature Version 4. Only users who are as old can have such a key.
    async fn read_old_access_keys(
        &self,
        regions: &[&str],
        identity_summaries: Option<&Vec<IdentitySummary>>,
    ) -> Result<ApiAnswer<Vec<AccessKey>>, ReadError<S::Error>> {
        let iam = &self.services.keys;
        let page = async |next: Option<&str>| iam.users(next).await;
        let users = match self.read_listing("users", "iam:ListUsers", page).await? {
            ApiAnswer::Answered(users) => users,
            unanswered => return Ok(discard_answer(unanswered)),
        };
        let mut all = Vec::new();
        for user in users.iter().filter(|user| predates_signature_v4(user.created_at)) {
            let list = async || iam.keys(&user.name).await;
            let keys =
                match self.call_once(&format!("keys#{}", user.name), "iam:ListAccessKeys", list).await? {
                    ApiAnswer::Answered(keys) => keys,
                    unanswered => return Ok(unanswered),
                };
            let mut may_send = None;
            for mut key in keys.into_iter().filter(|key| predates_signature_v4(key.created_at)) {
                if key.status != "Inactive" {
                    let used = async || iam.last_used(&key.id).await;
                    let reading = format!("last-used#{}", key.id);
                    key.last_used = self.call_once(&reading, "iam:GetAccessKeyLastUsed", used).await?;
                    if !key.was_used_for_ses() {
                        key.may_send = match may_send.take() {
                            Some(known) => known,
                            None => self.read_sending_permission(user, regions, identity_summaries).await?,
                        };
                        may_send = Some(key.may_send.clone());
                    }
                }
                all.push(key);
            }
        }
        Ok(ApiAnswer::Answered(all))
    }

    /// Whether a user may send at all: from any identity, or from one with the name of an identity here, in any of these
    /// Regions.
    async fn read_sending_permission(
        &self,
        user: &IamUser,
        regions: &[&str],
        identity_summaries: Option<&Vec<IdentitySummary>>,
    ) -> Result<ApiAnswer<bool>, ReadError<S::Error>> {
        const ACTION: &str = "iam:SimulatePrincipalPolicy";
        let iam = &self.services.keys;
        let name = |number: usize| format!("may-send#{}#{number}", user.name);
        let any = async || iam.may_send(&user.arn, SimulatedIdentities::All).await;
        let asked = self.call_once(&name(0), ACTION, any).await?;
        if asked != ApiAnswer::Answered(false) {
            return Ok(asked);
        }
        let identities = identity_summaries.map(Vec::as_slice).unwrap_or_default();
        let arns: Vec<_> = identities
            .iter()
            .flat_map(|of| regions.iter().filter_map(|region| identity_arn(&user.arn, region, &of.name)))
            .collect();
        for (number, arns) in arns.chunks(IDENTITIES_PER_SIMULATION).enumerate() {
            let these = async || iam.may_send(&user.arn, SimulatedIdentities::Listed(arns)).await;
            let asked = self.call_once(&name(number + 1), ACTION, these).await?;
            if asked != ApiAnswer::Answered(false) {
                return Ok(asked);
            }
        }
        Ok(ApiAnswer::Answered(false))
    }
}

/// Says of something else that it could not be read, for the same reason.
fn discard_answer<A, U>(asked: ApiAnswer<A>) -> ApiAnswer<U> {
    match asked {
        ApiAnswer::Denied(action) => ApiAnswer::Denied(action),
        ApiAnswer::NotEnabled(code) => ApiAnswer::NotEnabled(code),
        ApiAnswer::Throttled(action) => ApiAnswer::Throttled(action),
        ApiAnswer::Failed { action, why } => ApiAnswer::Failed { action, why },
        ApiAnswer::Answered(_) | ApiAnswer::NotAsked => ApiAnswer::NotAsked,
    }
}

/// The ARN of an identity in the partition and account of a user's ARN, such as `arn:aws:iam::123456789012:user/smtp`.
fn identity_arn(user_arn: &str, region: &str, identity: &str) -> Option<String> {
    let mut parts = user_arn.split(':');
    let (partition, account) = (parts.nth(1)?, parts.nth(2)?);
    Some(format!("arn:{partition}:ses:{region}:{account}:identity/{identity}"))
}

fn from_notification_attributes(attributes: NotificationAttributes) -> IdentityNotificationAttributes {
    let topic = |topic: Option<String>| topic.filter(|topic| !topic.is_empty());
    IdentityNotificationAttributes {
        bounce_topic: topic(attributes.bounce_topic),
        complaint_topic: topic(attributes.complaint_topic),
        forwarding_enabled: attributes.forwarding_enabled,
    }
}

/// Converts a rule set, as SES tells it, into the audit's own type.
pub fn rule_set_facts(set: rule_sets::SesRuleSet) -> ReceiptRuleSet {
    let action = |action: rule_sets::SesReceiptAction| ReceiptAction {
        kind: if action.kind.is_empty() { "unknown".to_owned() } else { action.kind.to_owned() },
        bucket: action.bucket,
        arns: action.arns.into_iter().map(|(field, arn)| (field.to_owned(), arn)).collect(),
    };
    let rule = |rule: rule_sets::SesReceiptRule| ReceiptRule {
        name: rule.name,
        enabled: rule.enabled,
        scan_enabled: rule.scan_enabled,
        recipients: rule.recipients,
        actions: rule.actions.into_iter().map(action).collect(),
    };
    ReceiptRuleSet { name: set.name, rules: set.rules.into_iter().map(rule).collect() }
}
