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

use mailroom_aws::account::{AccountSettings, SuppressionAttributes};
use mailroom_aws::notification_topics::{MOST_IDENTITIES, NotificationTopics};
use mailroom_aws::rate_limiter::OutOfTimeError;
use mailroom_aws::rule_sets::RuleSetApi;
use mailroom_aws::ses::SesError;
use mailroom_aws::table::TableError;
use mailroom_core::setup::plan::{
    ChangePurpose, PlannedChange, SesChange, SetupPlan, SetupRefusal, max_identities, plan_setup,
};
use mailroom_core::setup::{CurrentSettings, IdentityNotifications, SettingsToRead, redact_identity};
use tracing::{info, warn};

use crate::handler::{Ports, SetupFunction};
use crate::request::{RequestError, SetupRequest};
use crate::setup_caller::{SetupCallError, SetupCaller};
use crate::setup_note::{RequestStanding, SetupNote, VersionedSetupNote};

/// How often a request is begun again because another instance has written the note. Lambda may bring one request twice.
const MAX_TRIES: usize = 5;

/// Why a request has failed. Its `Display` is shown among CloudFormation's events: it is short, and holds no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupFailure {
    /// The request can't be read. No retry can help.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The request was turned down before anything was changed. No retry can help.
    #[error(transparent)]
    Refused(#[from] SetupRefusal),
    /// SES did not do what it was asked. Whether a retry can help, [`SesError`] says.
    #[error("{operation}: {cause}")]
    Ses {
        /// What SES was asked to do.
        operation: String,
        /// What SES answered.
        cause: SesError,
    },
    /// The note of what was before can't be read or written. Whether a retry can help, [`TableError`] says.
    #[error("the table: {0}")]
    Table(#[from] TableError),
    /// Another instance is at work on it. A retry can help.
    #[error("another instance is at it")]
    Contended,
    /// CloudFormation has sent another request meanwhile, and only that one counts. No retry can help.
    #[error("overtaken by a newer request")]
    Superseded,
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
pub(crate) struct SetupRun<'a, P: Ports> {
    pub(crate) setup: &'a SetupFunction<P>,
    pub(crate) caller: SetupCaller<'a, P::Clock>,
}

impl<P: Ports> SetupRun<'_, P> {
    /// Carries a request out, unless that was done before or must no longer be. Returns the answer: a reason if it has
    /// failed.
    pub(crate) async fn fulfil_request(&self, request: &SetupRequest<'_>) -> Option<String> {
        for _ in 0..MAX_TRIES {
            let mut record = match VersionedSetupNote::read(&self.setup.table, &self.caller).await {
                Ok(record) => record,
                Err(error) => return Some(SetupFailure::from(error).to_string()),
            };
            match record.note.request_standing(request.request_id) {
                RequestStanding::New | RequestStanding::Newest => {}
                RequestStanding::Superseded => return Some(SetupFailure::Superseded.to_string()),
                RequestStanding::Answered(failed) => {
                    info!("was answered before");
                    return failed.map(str::to_owned);
                }
            }
            match self.try_fulfil_request(request, &mut record).await {
                Ok(()) => return None,
                Err(SetupFailure::Contended) => warn!("another instance is at it: begun again"),
                Err(failure) => {
                    let failed = failure.to_string();
                    let mut kept = record.note.clone();
                    kept.record_outcome(request.request_id, Some(&failed));
                    // If the failure can't be noted and Lambda brings the request again, it is carried out again. That is no
                    // reason to answer with another failure.
                    match record.save(&self.setup.table, &self.caller, kept).await {
                        Ok(true) => {}
                        Ok(false) => warn!("that it has failed is not noted: another instance is at it"),
                        Err(error) => warn!(%error, "that it has failed is not noted"),
                    }
                    return Some(failed);
                }
            }
        }
        Some(SetupFailure::Contended.to_string())
    }

    async fn try_fulfil_request(
        &self,
        request: &SetupRequest<'_>,
        note: &mut VersionedSetupNote,
    ) -> Result<(), SetupFailure> {
        if note.note.request_standing(request.request_id) == RequestStanding::New {
            let mut kept = note.note.clone();
            kept.add_request(request.request_id);
            self.save_note(note, kept).await?;
        }
        let wanted = request.parse_wanted_settings()?;
        let (lists_new, room) =
            (wanted.adds_identities(&note.note.remembered), self.caller.total_call_budget());
        let (listed, most) = (wanted.identities.len(), max_identities(room));
        if lists_new && listed > most {
            return Err(SetupRefusal::TooManyIdentities { listed, max: most }.into());
        }
        if note.note.has_other_open_request(request.request_id) {
            let landed = self.caller.wait_for_superseded_calls().await;
            landed.map_err(|OutOfTimeError| SetupFailure::OutOfTime { done: 0, all: 0 })?;
        }
        let concerned = wanted.settings_to_read(&note.note.remembered);
        let (found, settings) = self.read_current_settings(&concerned).await?;
        let SetupPlan {
            remembered_during: during,
            changes,
            remembered_after: after,
            foreign_settings_kept: left_alone,
        } = plan_setup(&wanted, &found, &note.note.remembered)?;
        let all = changes.len();
        // Only a request with new identities is turned down for its size. Undoing, and doing again, go as far as they get
        // in the time: nobody could ask for less.
        if lists_new && all > room {
            return Err(SetupRefusal::TooManyChanges { changes: all, max: room }.into());
        }
        if left_alone > 0 {
            warn!(left_alone, "changed by somebody else since it was set up");
        }
        if all > 0 && during != note.note.remembered {
            self.save_note(note, SetupNote { remembered: during, ..note.note.clone() }).await?;
        }
        for (done, change) in changes.iter().enumerate() {
            self.make_change_or_replace_undo(request, change, &settings)
                .await
                .map_err(|error| to_setup_failure(error, || describe_change(&change.change), done, all))?;
        }
        let mut kept = SetupNote { remembered: after, ..note.note.clone() };
        kept.record_outcome(request.request_id, None);
        self.save_note(note, kept).await?;
        info!(changes = all, "carried out");
        Ok(())
    }

    /// Checks that the request is still the one to carry out.
    async fn check_is_newest(&self, request: &SetupRequest<'_>) -> Result<(), SetupCallError> {
        let record =
            VersionedSetupNote::read(&self.setup.table, &self.caller).await.map_err(SetupCallError::Table)?;
        match record.note.request_standing(request.request_id) {
            RequestStanding::Newest => Ok(()),
            _ => Err(SetupCallError::Contended),
        }
    }

    async fn save_note(
        &self,
        note: &mut VersionedSetupNote,
        new_note: SetupNote,
    ) -> Result<(), SetupFailure> {
        if note.save(&self.setup.table, &self.caller, new_note).await? {
            Ok(())
        } else {
            Err(SetupFailure::Contended)
        }
    }

    async fn read_current_settings(
        &self,
        settings_to_read: &SettingsToRead,
    ) -> Result<(CurrentSettings, SuppressionAttributes), SetupFailure> {
        let told = |doing: &'static str| move |error| to_setup_failure(error, || doing.to_owned(), 0, 0);
        let mut found = CurrentSettings::default();
        if settings_to_read.rule_set {
            let active = self
                .caller
                .call_ses(async || self.setup.rule_sets.active_rule_set().await.map_err(SetupCallError::Ses))
                .await;
            found.rule_set = active.map_err(told("which rule set is active"))?.map(|set| set.name);
        }
        let mut settings = SuppressionAttributes::default();
        if settings_to_read.reasons {
            settings = self
                .caller
                .call_ses(async || {
                    self.setup.account_settings.suppression_attributes().await.map_err(SetupCallError::Ses)
                })
                .await
                .map_err(told("the account's suppression settings"))?;
            found.reasons.clone_from(&settings.reasons);
        }
        for identities in settings_to_read.identities.chunks(MOST_IDENTITIES) {
            let attributes =
                async || self.setup.topics.attributes(identities).await.map_err(SetupCallError::Ses);
            let page = self
                .caller
                .call_ses(attributes)
                .await
                .map_err(told("whom identities' notifications are sent to"))?;
            found.identities.extend(page.into_iter().map(|(identity, attributes)| {
                let told = IdentityNotifications {
                    bounce_topic: attributes.bounce_topic,
                    complaint_topic: attributes.complaint_topic,
                    email_forwarding: attributes.forwarding_enabled,
                };
                (identity, told)
            }));
        }
        Ok((found, settings))
    }

    async fn make_change_or_replace_undo(
        &self,
        request: &SetupRequest<'_>,
        planned_change: &PlannedChange,
        settings: &SuppressionAttributes,
    ) -> Result<(), SetupCallError> {
        match self.make_change_if_newest(request, &planned_change.change, settings).await {
            Err(SetupCallError::Ses(why @ SesError::Refused { .. }))
                if planned_change.purpose == ChangePurpose::Undo =>
            {
                self.replace_refused_undo(request, &planned_change.change, why).await
            }
            result => result,
        }
    }

    async fn make_change_if_newest(
        &self,
        request: &SetupRequest<'_>,
        change: &SesChange,
        settings: &SuppressionAttributes,
    ) -> Result<(), SetupCallError> {
        let call = async || {
            // This is checked after the pause before the call, since that may be a long one.
            self.check_is_newest(request).await?;
            let made = match change {
                SesChange::ActivateRuleSet(name) => self.setup.rule_sets.activate(name.as_deref()).await,
                SesChange::PutReasons(reasons) => {
                    let settings = SuppressionAttributes { reasons: reasons.clone(), ..settings.clone() };
                    self.setup.account_settings.put_suppression_attributes(&settings).await
                }
                SesChange::SetTopic { identity, kind, topic } => {
                    self.setup.topics.set_topic(identity, *kind, topic.as_deref()).await
                }
                SesChange::SetForwarding { identity, enabled } => {
                    self.setup.topics.set_forwarding(identity, *enabled).await
                }
            };
            made.map_err(SetupCallError::Ses)
        };
        self.caller.call_ses(call).await
    }

    /// SES does not take what was there before: a rule set, a topic or an identity has been deleted since. That must not
    /// make it impossible to delete the stack, so the next best is done.
    async fn replace_refused_undo(
        &self,
        request: &SetupRequest<'_>,
        change: &SesChange,
        refusal: SesError,
    ) -> Result<(), SetupCallError> {
        let settings = SuppressionAttributes::default();
        match change {
            // With no active rule set SES receives nothing, which is nearest to a rule set that has gone.
            SesChange::ActivateRuleSet(Some(_)) => {
                warn!("the rule set that was active before has gone: none is active now");
                self.make_change_if_newest(request, &SesChange::ActivateRuleSet(None), &settings).await
            }
            // SES tells the sender by e-mail again, which it insists on while there is no topic.
            SesChange::SetTopic { identity, kind, topic: Some(_) } => {
                warn!("SES refuses the topic that was set before: it is taken away");
                let (identity, kind) = (identity.clone(), *kind);
                let on = SesChange::SetForwarding { identity: identity.clone(), enabled: true };
                for change in [on, SesChange::SetTopic { identity, kind, topic: None }] {
                    ignore_refusal(self.make_change_if_newest(request, &change, &settings).await)?;
                }
                Ok(())
            }
            // SES does the same by itself once it can no longer publish to a topic.
            SesChange::SetTopic { .. } | SesChange::SetForwarding { .. } => {
                warn!("SES refuses to set an identity back: it stays as it is");
                Ok(())
            }
            SesChange::ActivateRuleSet(None) | SesChange::PutReasons(_) => Err(SetupCallError::Ses(refusal)),
        }
    }
}

fn ignore_refusal(result: Result<(), SetupCallError>) -> Result<(), SetupCallError> {
    match result {
        Err(SetupCallError::Ses(SesError::Refused { code, .. })) => {
            warn!(code, "SES refuses that, too");
            Ok(())
        }
        other => other,
    }
}

fn to_setup_failure(
    error: SetupCallError,
    operation: impl FnOnce() -> String,
    changes_done: usize,
    changes_total: usize,
) -> SetupFailure {
    match error {
        SetupCallError::Ses(why) => SetupFailure::Ses { operation: operation(), cause: why },
        SetupCallError::OutOfTime => SetupFailure::OutOfTime { done: changes_done, all: changes_total },
        SetupCallError::Table(error) => SetupFailure::Table(error),
        SetupCallError::Contended => SetupFailure::Contended,
    }
}

fn describe_change(change: &SesChange) -> String {
    match change {
        SesChange::ActivateRuleSet(None) => "to deactivate the rule set".to_owned(),
        SesChange::ActivateRuleSet(Some(name)) => format!("to activate the rule set {name}"),
        SesChange::PutReasons(_) => "to set the suppression reasons".to_owned(),
        SesChange::SetTopic { identity, kind, .. } => {
            format!("to set {}'s {} topic", redact_identity(identity), kind.as_ses())
        }
        SesChange::SetForwarding { identity, .. } => {
            format!("to set {}'s e-mail forwarding", redact_identity(identity))
        }
    }
}
