//! The local SES as a test sees it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use time::OffsetDateTime;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::configuration_sets::ConfigurationSets;
use crate::deliver::Mailer;
use crate::delivery::Delivery;
use crate::faults::{Fault, Requests};
use crate::iam::Iam;
use crate::identities::{Identities, Told};
use crate::ids::Ids;
use crate::loopback::Server;
use crate::mail::Envelope;
use crate::rules::{Refusal, RuleSets};
use crate::sending::{NotSent, Outgoing, Sender};
use crate::suppression::{Account, Entry, Pace, Pacer, Refused, Rules, SuppressionList};
use crate::template::TemplateRuleSet;
use crate::{api, server};

/// What to start it with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account, of which KMS's encryption context tells.
    pub account: String,
    /// The Regions that receive. By default the three that always have; the catalogue knows more.
    pub receiving_regions: Vec<String>,
    /// SES's time.
    pub clock: Clock,
    /// Where ids come from; without a seed they differ from run to run.
    pub seed: Option<u64>,
    /// Whether it puts the headers before a mail that SES puts there.
    pub adds_headers: bool,
    /// Whether buckets' and functions' policies must let it in, as they must let SES. The local AWS asks nobody.
    pub needs_permission: bool,
    /// What of the suppression list differs from account to account.
    pub suppression: Rules,
    /// How fast both APIs may be called; with none, as fast as one likes.
    pub pace: Option<Pace>,
    /// Whether an address with a slash, once on the list, can be neither asked for nor taken off by the v2 API, other than
    /// by import (aws/aws-sdk#158: `DeleteSuppressedDestination` answers 400; reported in 2021, in a backlog in 2024. Of
    /// `GetSuppressedDestination`, whose path is the same, no source tells).
    pub refuses_slashes: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            receiving_regions: ["us-east-1", "us-west-2", "eu-west-1"].map(str::to_owned).to_vec(),
            clock: Clock::system(),
            seed: None,
            adds_headers: true,
            needs_permission: true,
            suppression: Rules::default(),
            pace: Some(Pace::default()),
            refuses_slashes: true,
        }
    }
}

/// Why a mail did not even come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// This Region has no inbound endpoint.
    #[error("{0} does not receive")]
    NotReceiving(String),
    /// Nobody said where S3, SNS and Lambda are.
    #[error("the local SES knows no local AWS yet: `connect` tells it")]
    NotConnected,
}

/// Why a rule set could not be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// This Region has no receipt rules.
    #[error("{0} does not receive")]
    NotReceiving(String),
    /// SES refused the set or a rule.
    #[error("{what}: {refusal}")]
    Refused {
        /// Which.
        what: String,
        /// Why.
        refusal: Refusal,
    },
}

/// SES in every Region, until dropped.
#[derive(Debug)]
pub struct LocalSes {
    server: Server,
    ses: Arc<Ses>,
}

/// What server and test share.
#[derive(Debug)]
pub(crate) struct Ses {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) requests: Requests,
    aws: Mutex<Option<Aws>>,
    identities: Mutex<Identities>,
    iam: Mutex<Iam>,
    regions: Mutex<BTreeMap<String, Regional>>,
}

/// What SES keeps in one Region.
#[derive(Debug, Default)]
struct Regional {
    rule_sets: RuleSets,
    suppression: SuppressionList,
    configuration_sets: ConfigurationSets,
    pacer: Pacer,
}

impl Ses {
    pub(crate) fn aws(&self) -> Option<Aws> {
        self.aws.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn receives(&self, region: &str) -> bool {
        self.config.receiving_regions.iter().any(|other| other == region)
    }

    pub(crate) fn rule_sets<T>(&self, region: &str, work: impl FnOnce(&mut RuleSets) -> T) -> T {
        self.regional(region, |regional| work(&mut regional.rule_sets))
    }

    pub(crate) fn suppression<T>(&self, region: &str, work: impl FnOnce(&mut SuppressionList) -> T) -> T {
        self.regional(region, |regional| work(&mut regional.suppression))
    }

    pub(crate) fn configuration_sets<T>(
        &self,
        region: &str,
        work: impl FnOnce(&mut ConfigurationSets) -> T,
    ) -> T {
        self.regional(region, |regional| work(&mut regional.configuration_sets))
    }

    pub(crate) fn identities<T>(&self, work: impl FnOnce(&mut Identities) -> T) -> T {
        work(&mut self.identities.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn iam<T>(&self, work: impl FnOnce(&mut Iam) -> T) -> T {
        work(&mut self.iam.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a request comes slowly enough.
    pub(crate) fn admit(&self, region: &str, action: &str) -> bool {
        let Some(pace) = self.config.pace else { return true };
        let now = self.clock.now();
        self.regional(region, |regional| regional.pacer.admit(pace, action, now))
    }

    fn regional<T>(&self, region: &str, work: impl FnOnce(&mut Regional) -> T) -> T {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Regional {
            suppression: SuppressionList::new(region, self.config.suppression.clone()),
            ..Regional::default()
        };
        work(regions.entry(region.to_owned()).or_insert_with(new))
    }
}

impl LocalSes {
    /// Starts it on a free loopback port.
    pub async fn start(config: Config) -> io::Result<Self> {
        let ses = Arc::new(Ses {
            clock: config.clock.clone(),
            ids: Ids::new(config.seed),
            requests: Requests::default(),
            aws: Mutex::new(None),
            identities: Mutex::default(),
            iam: Mutex::default(),
            regions: Mutex::default(),
            config,
        });
        let serving = Arc::clone(&ses);
        let server = Server::start(move |request| {
            let ses = Arc::clone(&serving);
            async move { server::answer(&ses, request).await }
        })
        .await?;
        Ok(Self { server, ses })
    }

    /// Says where S3, SNS and Lambda are. Apart from the start, because the local AWS in turn must know where SES is
    /// before it starts.
    pub fn connect(&self, aws_endpoint: &str) {
        *self.ses.aws.lock().unwrap_or_else(PoisonError::into_inner) = Some(Aws::new(aws_endpoint));
    }

    /// For `AWS_ENDPOINT_URL_SES`, `AWS_ENDPOINT_URL_SESV2` and `AWS_ENDPOINT_URL_IAM`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// SES's time.
    pub fn clock(&self) -> &Clock {
        &self.ses.clock
    }

    /// Lets requests meet with a fault.
    pub fn fault(&self, fault: Fault) {
        self.ses.requests.add(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.ses.requests.clear();
    }

    /// How often each action was called, by Region and action.
    pub fn requests(&self) -> BTreeMap<(String, String), u64> {
        self.ses.requests.counts()
    }

    /// How often one action was called in one Region.
    pub fn request_count(&self, region: &str, action: &str) -> u64 {
        self.requests().get(&(region.to_owned(), action.to_owned())).copied().unwrap_or_default()
    }

    /// Publishes a DNS record beside those that there are, for SES in every Region to see: `CNAME`, `MX` and `TXT` as
    /// zone files write them.
    pub fn publish_dns(&self, name: &str, kind: &str, value: &str) {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.publish(name, kind, value)));
    }

    /// Takes all DNS records of a name and type away; says whether there were any.
    pub fn withdraw_dns(&self, name: &str, kind: &str) -> bool {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.withdraw(name, kind)))
    }

    /// Lets the name servers of a domain answer, or not.
    pub fn dns_answers(&self, domain: &str, answers: bool) {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.answers(domain, answers)));
    }

    /// Clicks the link in the mail to an address that is to be verified; says whether there was one.
    pub fn confirm(&self, region: &str, address: &str) -> bool {
        self.ses.identities(|all| all.confirm(self.ses.clock.now(), region, address))
    }

    /// Makes an identity as if everything had been done for it: published for a domain, clicked for an address.
    pub fn verified(&self, region: &str, name: &str) -> Result<(), Refused> {
        self.ses.identities(|all| all.verified(self.ses.clock.now(), region, name))
    }

    /// The account's IAM: to look at and to change.
    pub fn iam<T>(&self, work: impl FnOnce(&mut Iam) -> T) -> T {
        self.ses.iam(work)
    }

    /// What SES does when it may no longer publish to an identity's topic: it drops the topic and sends mails again.
    pub fn lose_topic(&self, region: &str, identity: &str, told: Told) -> Result<(), Refused> {
        let lose = |all: &mut Identities| {
            all.change(self.ses.clock.now(), region, identity, |identity| identity.notifications.lose(told))
        };
        self.ses.identities(lose)
    }

    /// A Region's suppression list, by address.
    pub fn list(&self, region: &str) -> BTreeMap<String, Entry> {
        let now = self.ses.clock.now();
        self.ses.suppression(region, |list| list.entries(now))
    }

    /// Puts entries on a Region's list as they are, whatever SES would say.
    pub fn seed<A: Into<String>>(&self, region: &str, entries: impl IntoIterator<Item = (A, Entry)>) {
        self.ses.suppression(region, |list| list.seed(entries));
    }

    /// Empties a Region's list, as SES does when sending has been paused for 90 days.
    pub fn empty_list(&self, region: &str) {
        self.ses.suppression(region, SuppressionList::empty);
    }

    /// A Region's account: to look at and to change.
    pub fn account<T>(&self, region: &str, work: impl FnOnce(&mut Account) -> T) -> T {
        self.ses.suppression(region, |list| work(&mut list.account))
    }

    /// A Region's list, jobs and rules, and the time to give them.
    pub fn suppression<T>(
        &self,
        region: &str,
        work: impl FnOnce(&mut SuppressionList, OffsetDateTime) -> T,
    ) -> T {
        let now = self.ses.clock.now();
        self.ses.suppression(region, |list| work(list, now))
    }

    /// Sends a mail in one Region: what SES tells of it, by recipient and format, told to a topic as well if the mail says
    /// so. Hard bounces and complaints go on the list at once.
    pub async fn send(&self, region: &str, mail: &Outgoing) -> Result<Vec<Value>, NotSent> {
        let aws = self.ses.aws();
        if mail.topic().is_some() && aws.is_none() {
            return Err(NotSent::NotConnected);
        }
        let now = self.ses.clock.now();
        let sender = Sender { ids: &self.ses.ids, account: &self.ses.config.account, region };
        let notices = self.ses.suppression(region, |list| sender.send(list, mail, now))?;
        if let (Some(aws), Some(topic)) = (aws, mail.topic()) {
            for notice in &notices {
                let (subject, message) = notice.published();
                let not_told = |said| NotSent::NotTold { topic: topic.to_owned(), said };
                aws.publish(region, topic, subject, message).await.map_err(not_told)?;
            }
        }
        Ok(notices.into_iter().map(|notice| notice.message).collect())
    }

    /// Makes the rule sets as CloudFormation would, test writes included, and activates the one named.
    pub async fn install(
        &self,
        region: &str,
        sets: &[TemplateRuleSet],
        active: Option<&str>,
    ) -> Result<(), InstallError> {
        if !self.ses.receives(region) {
            return Err(InstallError::NotReceiving(region.to_owned()));
        }
        let refused = |what: &str, refusal| InstallError::Refused { what: what.to_owned(), refusal };
        for set in sets {
            let now = self.ses.clock.now();
            self.ses
                .rule_sets(region, |sets| sets.create_set(&set.name, now))
                .map_err(|refusal| refused(&set.name, refusal))?;
            let mut after: Option<&str> = None;
            for rule in &set.rules {
                api::create_rule(&self.ses, region, &set.name, rule.clone(), after)
                    .await
                    .map_err(|refusal| refused(&rule.name, refusal))?;
                after = Some(&rule.name);
            }
        }
        if let Some(active) = active {
            self.ses
                .rule_sets(region, |sets| sets.set_active(Some(active)))
                .map_err(|refusal| refused(active, refusal))?;
        }
        Ok(())
    }

    /// A mail comes in, in one Region.
    pub async fn deliver(&self, region: &str, envelope: Envelope) -> Result<Delivery, NotDelivered> {
        let id = envelope.message_id.clone().unwrap_or_else(|| self.ses.ids.message());
        self.run(region, &envelope, &id, self.ses.clock.now()).await
    }

    /// The same mail again, under the same id and time of receipt: SES runs actions at least once. Only the time that
    /// processing took differs, as it would.
    pub async fn deliver_again(&self, delivery: &Delivery) -> Result<Delivery, NotDelivered> {
        self.run(&delivery.region, &delivery.envelope, &delivery.message_id, delivery.received).await
    }

    async fn run(
        &self,
        region: &str,
        envelope: &Envelope,
        message_id: &str,
        received: OffsetDateTime,
    ) -> Result<Delivery, NotDelivered> {
        if !self.ses.receives(region) {
            return Err(NotDelivered::NotReceiving(region.to_owned()));
        }
        let aws = self.ses.aws().ok_or(NotDelivered::NotConnected)?;
        let active = self.ses.rule_sets(region, |sets| sets.active().cloned());
        let (rule_set, rules) = active.map(|set| (set.name, set.rules)).unwrap_or_default();
        let mailer = Mailer {
            aws: &aws,
            ids: &self.ses.ids,
            account: &self.ses.config.account,
            region,
            message_id,
            received,
            envelope,
            rule_set: &rule_set,
            adds_headers: self.ses.config.adds_headers,
            needs_permission: self.ses.config.needs_permission,
        };
        Ok(mailer.deliver(&rules).await)
    }
}
