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

/// The options that the local SES is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The id of the account, which is also in the encryption context for KMS.
    pub account: String,
    /// The Regions that receive mail. By default these are the three that have from the start; the catalogue knows more.
    pub receiving_regions: Vec<String>,
    /// SES's clock.
    pub clock: Clock,
    /// The seed for ids. `None`: they differ from run to run.
    pub seed: Option<u64>,
    /// Whether received mail gets the headers that SES puts before it.
    pub adds_headers: bool,
    /// Whether the policies of buckets and functions must allow SES's access, as with SES itself. The local AWS does not
    /// check.
    pub needs_permission: bool,
    /// What differs from account to account about the suppression list.
    pub suppression: Rules,
    /// How fast both APIs may be called. `None`: as fast as one likes.
    pub pace: Option<Pace>,
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
        }
    }
}

/// Why a mail was not received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDelivered {
    /// This Region does not receive mail.
    #[error("{0} does not receive")]
    NotReceiving(String),
    /// `connect` was not called, so that it is not known where S3, SNS and Lambda are.
    #[error("the local SES knows no local AWS yet: `connect` tells it")]
    NotConnected,
}

/// Why a rule set could not be installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// This Region does not receive mail, so it has no receipt rules.
    #[error("{0} does not receive")]
    NotReceiving(String),
    /// SES refused the rule set or a rule.
    #[error("{what}: {refusal}")]
    Refused {
        /// What was refused.
        what: String,
        /// The error of SES.
        refusal: Refusal,
    },
}

/// The local SES, for every Region. It ends when this is dropped.
#[derive(Debug)]
pub struct LocalSes {
    server: Server,
    ses: Arc<Ses>,
}

/// What server and tests share.
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

    /// Whether a request comes slowly enough to be served.
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
    /// Starts the local SES on a free loopback port.
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

    /// Tells the local SES where S3, SNS and Lambda are. This is not part of the start, because the local AWS in turn has
    /// to know where SES is before it starts.
    pub fn connect(&self, aws_endpoint: &str) {
        *self.ses.aws.lock().unwrap_or_else(PoisonError::into_inner) = Some(Aws::new(aws_endpoint));
    }

    /// The URL for `AWS_ENDPOINT_URL_SES`, `AWS_ENDPOINT_URL_SESV2` and `AWS_ENDPOINT_URL_IAM`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// SES's clock.
    pub fn clock(&self) -> &Clock {
        &self.ses.clock
    }

    /// Adds a fault for requests to come.
    pub fn fault(&self, fault: Fault) {
        self.ses.requests.add(fault);
    }

    /// Removes all faults.
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

    /// Publishes a DNS record beside those that there are, for SES in every Region to see: `CNAME`, `MX` or `TXT`, with its
    /// value as zone files write it.
    pub fn publish_dns(&self, name: &str, kind: &str, value: &str) {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.publish(name, kind, value)));
    }

    /// Removes all DNS records of a name and type. Returns whether there were any.
    pub fn withdraw_dns(&self, name: &str, kind: &str) -> bool {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.withdraw(name, kind)))
    }

    /// Sets whether the name servers of a domain answer.
    pub fn dns_answers(&self, domain: &str, answers: bool) {
        self.ses.identities(|all| all.records(self.ses.clock.now(), |zone| zone.answers(domain, answers)));
    }

    /// Clicks the link in the mail to an address that is to be verified. Returns whether there was one.
    pub fn confirm(&self, region: &str, address: &str) -> bool {
        self.ses.identities(|all| all.confirm(self.ses.clock.now(), region, address))
    }

    /// Creates an identity that is verified: as if its records were published (a domain) or its link clicked (an address).
    pub fn verified(&self, region: &str, name: &str) -> Result<(), Refused> {
        self.ses.identities(|all| all.verified(self.ses.clock.now(), region, name))
    }

    /// Gives access to the account's IAM, to read and to change it.
    pub fn iam<T>(&self, work: impl FnOnce(&mut Iam) -> T) -> T {
        self.ses.iam(work)
    }

    /// Does what SES does when it may no longer publish to an identity's topic: drops the topic, and tells by e-mail again.
    pub fn lose_topic(&self, region: &str, identity: &str, told: Told) -> Result<(), Refused> {
        let lose = |all: &mut Identities| {
            all.change(self.ses.clock.now(), region, identity, |identity| identity.notifications.lose(told))
        };
        self.ses.identities(lose)
    }

    /// The entries of a Region's suppression list, by address.
    pub fn list(&self, region: &str) -> BTreeMap<String, Entry> {
        let now = self.ses.clock.now();
        self.ses.suppression(region, |list| list.entries(now))
    }

    /// Puts entries on a Region's list as they are, even if SES would refuse them.
    pub fn seed<A: Into<String>>(&self, region: &str, entries: impl IntoIterator<Item = (A, Entry)>) {
        self.ses.suppression(region, |list| list.seed(entries));
    }

    /// Empties a Region's list, as SES does when sending has been paused for 90 days.
    pub fn empty_list(&self, region: &str) {
        self.ses.suppression(region, SuppressionList::empty);
    }

    /// Gives access to a Region's account, to read and to change it.
    pub fn account<T>(&self, region: &str, work: impl FnOnce(&mut Account) -> T) -> T {
        self.ses.suppression(region, |list| work(&mut list.account))
    }

    /// Gives access to a Region's suppression list with its jobs and rules, and the time to call its methods with.
    pub fn suppression<T>(
        &self,
        region: &str,
        work: impl FnOnce(&mut SuppressionList, OffsetDateTime) -> T,
    ) -> T {
        let now = self.ses.clock.now();
        self.ses.suppression(region, |list| work(list, now))
    }

    /// Sends a mail in a Region. Returns what SES tells about it, by recipient and format, and publishes it to the mail's
    /// topic, if it has one. Hard bounces and complaints are put on the list at once.
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

    /// Creates rule sets as CloudFormation would, test writes included, and activates the one that is named.
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

    /// Receives a mail in a Region.
    pub async fn deliver(&self, region: &str, envelope: Envelope) -> Result<Delivery, NotDelivered> {
        let id = envelope.message_id.clone().unwrap_or_else(|| self.ses.ids.message());
        self.run(region, &envelope, &id, self.ses.clock.now()).await
    }

    /// Receives the same mail again, with the same id and time of receipt, since SES runs actions at least once. Only the
    /// processing time differs, as with SES.
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
