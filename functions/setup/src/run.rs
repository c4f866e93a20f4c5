//! Carries a request out: looks how things are, remembers it, changes what is asked for, and forgets what was undone.
//!
//! ```text
//! how does the request stand?   answered: the same again; overtaken by a newer one: failed; new: noted as the newest
//! SES: how is it?               what to change, and what to remember
//! remember                      ✗ cut off here or later: the same is found to be done or to be left, and remembered
//! SES: change, change, ...      before each: is it still the newest?
//! forget what was undone; what the answer is
//! ```
//!
//! When CloudFormation cancels a request, as it does when another resource has failed, it does not wait for its answer: it
//! sends the next request at once, to another instance. From the moment at which that one is noted as the newest, the
//! earlier request changes nothing more, except by the call that is under way:
//!
//! ```text
//! Create   noted   look   set   set   [newest? yes   set...........]   newest? no: failed
//! Delete                                    noted   wait...........    look   set back   set back   done
//! ```

use mailroom_aws::account::{SuppressionAttributes, SuppressionSettings};
use mailroom_aws::notification_topics::{MOST_IDENTITIES, NotificationTopics};
use mailroom_aws::pace::OutOfTime;
use mailroom_aws::rule_sets::RuleSets;
use mailroom_aws::ses::SesError;
use mailroom_aws::table::TableError;
use mailroom_core::setup::plan::{Change, Plan, Planned, Refusal, most_identities, plan};
use mailroom_core::setup::{Concerned, Found, Told, described};
use tracing::{info, warn};

use crate::calls::{CallError, Calls};
use crate::handler::{Ports, Setup};
use crate::record::{Kept, Record, Standing};
use crate::request::{Request, RequestError};

/// How often a request is begun again because another instance has written the note. Lambda may bring one request twice.
const TRIES: usize = 5;

/// Why a request has failed. Its `Display` is shown among CloudFormation's events: it is short, and holds no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The request can't be read. No retry can help.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The request was turned down before anything was changed. No retry can help.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// SES did not do what it was asked. Whether a retry can help, [`SesError`] says.
    #[error("{doing}: {why}")]
    Ses {
        /// What SES was asked to do.
        doing: String,
        /// What SES answered.
        why: SesError,
    },
    /// The note of what was before can't be read or written. Whether a retry can help, [`TableError`] says.
    #[error("the table: {0}")]
    Table(#[from] TableError),
    /// Another instance is at work on it. A retry can help.
    #[error("another instance is at it")]
    Contended,
    /// CloudFormation has sent another request meanwhile, and only that one counts. No retry can help.
    #[error("overtaken by a newer request")]
    Overtaken,
    /// There was not enough time for all of it. A retry goes on from there.
    #[error(
        "out of time after {done} of {all} changes; what is done stays, and another try goes on from there"
    )]
    OutOfTime {
        /// The number of changes that were made.
        done: usize,
        /// The number of changes that are to be made in all.
        all: usize,
    },
}

/// Carries requests out.
pub(crate) struct Run<'a, P: Ports> {
    pub(crate) setup: &'a Setup<P>,
    pub(crate) calls: Calls<'a, P::Clock>,
}

impl<P: Ports> Run<'_, P> {
    /// Carries a request out, unless that was done before or must no longer be. Returns the answer: a reason if it has
    /// failed.
    pub(crate) async fn carry_out(&self, request: &Request<'_>) -> Option<String> {
        for _ in 0..TRIES {
            let mut record = match Record::read(&self.setup.table, &self.calls).await {
                Ok(record) => record,
                Err(error) => return Some(Failure::from(error).to_string()),
            };
            match record.kept.standing(request.id) {
                Standing::New | Standing::Newest => {}
                Standing::Overtaken => return Some(Failure::Overtaken.to_string()),
                Standing::Answered(failed) => {
                    info!("was answered before");
                    return failed.map(str::to_owned);
                }
            }
            match self.begin(request, &mut record).await {
                Ok(()) => return None,
                Err(Failure::Contended) => warn!("another instance is at it: begun again"),
                Err(failure) => {
                    let failed = failure.to_string();
                    let mut kept = record.kept.clone();
                    kept.answer(request.id, Some(&failed));
                    // If the failure can't be noted and Lambda brings the request again, it is carried out again. That is no
                    // reason to answer with another failure.
                    match record.keep(&self.setup.table, &self.calls, kept).await {
                        Ok(true) => {}
                        Ok(false) => warn!("that it has failed is not noted: another instance is at it"),
                        Err(error) => warn!(%error, "that it has failed is not noted"),
                    }
                    return Some(failed);
                }
            }
        }
        Some(Failure::Contended.to_string())
    }

    async fn begin(&self, request: &Request<'_>, record: &mut Record) -> Result<(), Failure> {
        if record.kept.standing(request.id) == Standing::New {
            let mut kept = record.kept.clone();
            kept.begin(request.id);
            self.keep(record, kept).await?;
        }
        let wanted = request.wanted()?;
        let (lists_new, room) = (wanted.lists_new(&record.kept.remembered), self.calls.room());
        let (listed, most) = (wanted.identities.len(), most_identities(room));
        if lists_new && listed > most {
            return Err(Refusal::TooManyIdentities { listed, most }.into());
        }
        if record.kept.others_under_way(request.id) {
            let landed = self.calls.wait_for_others().await;
            landed.map_err(|OutOfTime| Failure::OutOfTime { done: 0, all: 0 })?;
        }
        let concerned = wanted.concerns(&record.kept.remembered);
        let (found, settings) = self.look(&concerned).await?;
        let Plan { during, changes, after, left_alone } = plan(&wanted, &found, &record.kept.remembered)?;
        let all = changes.len();
        // Only a request with new identities is turned down for its size. Undoing, and doing again, go as far as they get
        // in the time: nobody could ask for less.
        if lists_new && all > room {
            return Err(Refusal::TooManyChanges { changes: all, most: room }.into());
        }
        if left_alone > 0 {
            warn!(left_alone, "changed by somebody else since it was set up");
        }
        if all > 0 && during != record.kept.remembered {
            self.keep(record, Kept { remembered: during, ..record.kept.clone() }).await?;
        }
        for (done, change) in changes.iter().enumerate() {
            self.change(request, change, &settings)
                .await
                .map_err(|error| failure(error, || doing(&change.change), done, all))?;
        }
        let mut kept = Kept { remembered: after, ..record.kept.clone() };
        kept.answer(request.id, None);
        self.keep(record, kept).await?;
        info!(changes = all, "carried out");
        Ok(())
    }

    /// Checks that the request is still the one to carry out.
    async fn is_newest(&self, request: &Request<'_>) -> Result<(), CallError> {
        let record = Record::read(&self.setup.table, &self.calls).await.map_err(CallError::Table)?;
        match record.kept.standing(request.id) {
            Standing::Newest => Ok(()),
            _ => Err(CallError::Contended),
        }
    }

    async fn keep(&self, record: &mut Record, kept: Kept) -> Result<(), Failure> {
        if record.keep(&self.setup.table, &self.calls, kept).await? {
            Ok(())
        } else {
            Err(Failure::Contended)
        }
    }

    async fn look(&self, concerned: &Concerned) -> Result<(Found, SuppressionAttributes), Failure> {
        let told = |doing: &'static str| move |error| failure(error, || doing.to_owned(), 0, 0);
        let mut found = Found::default();
        if concerned.rule_set {
            let active =
                self.calls.call(async || self.setup.rule_sets.active().await.map_err(CallError::Ses)).await;
            found.rule_set = active.map_err(told("which rule set is active"))?.map(|set| set.name);
        }
        let mut settings = SuppressionAttributes::default();
        if concerned.reasons {
            settings = self
                .calls
                .call(async || self.setup.account.settings().await.map_err(CallError::Ses))
                .await
                .map_err(told("the account's suppression settings"))?;
            found.reasons.clone_from(&settings.reasons);
        }
        for identities in concerned.identities.chunks(MOST_IDENTITIES) {
            let attributes = async || self.setup.topics.attributes(identities).await.map_err(CallError::Ses);
            let page = self
                .calls
                .call(attributes)
                .await
                .map_err(told("whom identities' notifications are sent to"))?;
            found.identities.extend(page.into_iter().map(|(identity, attributes)| {
                let told = Told {
                    bounce: attributes.bounce_topic,
                    complaint: attributes.complaint_topic,
                    forwarding: attributes.forwarding,
                };
                (identity, told)
            }));
        }
        Ok((found, settings))
    }

    async fn change(
        &self,
        request: &Request<'_>,
        planned: &Planned,
        settings: &SuppressionAttributes,
    ) -> Result<(), CallError> {
        match self.make(request, &planned.change, settings).await {
            Err(CallError::Ses(why @ SesError::Refused { .. })) if planned.undoes => {
                self.give_up(request, &planned.change, why).await
            }
            result => result,
        }
    }

    async fn make(
        &self,
        request: &Request<'_>,
        change: &Change,
        settings: &SuppressionAttributes,
    ) -> Result<(), CallError> {
        let call = async || {
            // This is checked after the pause before the call, since that may be a long one.
            self.is_newest(request).await?;
            let made = match change {
                Change::ActivateRuleSet(name) => self.setup.rule_sets.activate(name.as_deref()).await,
                Change::PutReasons(reasons) => {
                    let settings = SuppressionAttributes { reasons: reasons.clone(), ..settings.clone() };
                    self.setup.account.put_settings(&settings).await
                }
                Change::SetTopic { identity, kind, topic } => {
                    self.setup.topics.set_topic(identity, *kind, topic.as_deref()).await
                }
                Change::SetForwarding { identity, enabled } => {
                    self.setup.topics.set_forwarding(identity, *enabled).await
                }
            };
            made.map_err(CallError::Ses)
        };
        self.calls.call(call).await
    }

    /// SES does not take what was there before: a rule set, a topic or an identity has been deleted since. That must not
    /// make it impossible to delete the stack, so the next best is done.
    async fn give_up(&self, request: &Request<'_>, change: &Change, why: SesError) -> Result<(), CallError> {
        let settings = SuppressionAttributes::default();
        match change {
            // With no active rule set SES receives nothing, which is nearest to a rule set that has gone.
            Change::ActivateRuleSet(Some(_)) => {
                warn!("the rule set that was active before has gone: none is active now");
                self.make(request, &Change::ActivateRuleSet(None), &settings).await
            }
            // SES tells the sender by e-mail again, which it insists on while there is no topic.
            Change::SetTopic { identity, kind, topic: Some(_) } => {
                warn!("SES refuses the topic that was set before: it is taken away");
                let (identity, kind) = (identity.clone(), *kind);
                let on = Change::SetForwarding { identity: identity.clone(), enabled: true };
                for change in [on, Change::SetTopic { identity, kind, topic: None }] {
                    tolerate(self.make(request, &change, &settings).await)?;
                }
                Ok(())
            }
            // SES does the same by itself once it can no longer publish to a topic.
            Change::SetTopic { .. } | Change::SetForwarding { .. } => {
                warn!("SES refuses to set an identity back: it stays as it is");
                Ok(())
            }
            Change::ActivateRuleSet(None) | Change::PutReasons(_) => Err(CallError::Ses(why)),
        }
    }
}

fn tolerate(result: Result<(), CallError>) -> Result<(), CallError> {
    match result {
        Err(CallError::Ses(SesError::Refused { code, .. })) => {
            warn!(code, "SES refuses that, too");
            Ok(())
        }
        other => other,
    }
}

fn failure(error: CallError, doing: impl FnOnce() -> String, done: usize, all: usize) -> Failure {
    match error {
        CallError::Ses(why) => Failure::Ses { doing: doing(), why },
        CallError::OutOfTime => Failure::OutOfTime { done, all },
        CallError::Table(error) => Failure::Table(error),
        CallError::Contended => Failure::Contended,
    }
}

fn doing(change: &Change) -> String {
    match change {
        Change::ActivateRuleSet(None) => "to deactivate the rule set".to_owned(),
        Change::ActivateRuleSet(Some(name)) => format!("to activate the rule set {name}"),
        Change::PutReasons(_) => "to set the suppression reasons".to_owned(),
        Change::SetTopic { identity, kind, .. } => {
            format!("to set {}'s {} topic", described(identity), kind.as_ses())
        }
        Change::SetForwarding { identity, .. } => {
            format!("to set {}'s e-mail forwarding", described(identity))
        }
    }
}
