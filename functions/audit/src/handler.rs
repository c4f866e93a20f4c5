//! One invocation: it goes on with a pass over the Region, or begins one that is due.
//!
//! ```text
//! wake 1   begins a pass and notes it, reads until its time is up, keeps each answer as it comes
//! wake 2   finds the pass and what was read of it, reads the rest, writes ten verdicts, notes that the pass has ended
//! ```
//!
//! An invocation that finds the lease held by another one leaves at once: both would make the same requests, two a second.
//! Since the function is woken every few minutes, a pass over any number of identities comes to its end. An invocation that
//! dies loses no more than the one answer that it had not kept.

use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_audit::aws::table::AuditTable;
use mailroom_audit::caller::Caller;
use mailroom_audit::reader::{AuditPorts, AuditProgress, AuditScope, ReadError, RegionReader, Services};
use mailroom_audit::readings::{SavedAnswers, TableStore};
use mailroom_audit::reconcile_notes::{read_last_pass, read_progress_of_each_peer};
use mailroom_audit::{AuditSection, AuditVerdict, SectionVerdict, judge_sections};
use mailroom_aws::clock::Timer;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::table::lease::{LeaseStore, run_with_lease};
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::{PutOutcome, TableError};
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::settings::Settings;

const NOTE_NAME: &str = "audit";
/// The name of the lease, which only one invocation holds at a time.
const LEASE: &str = "audit";
/// How much longer than the invocation the lease lasts, for clocks that differ and for the answer's way.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// After this many invocations that have read everything but for something unanswered, the pass ends, with that as unknown.
const MAX_INCOMPLETE_TRIES: u32 = 6;
/// The time from the start of a pass to the start of the next one: less than the day over which the alarm on failed sections
/// looks back, so that it does not end between two passes.
const PASS_EVERY: Duration = Duration::from_hours(12);
/// How long a pass may take. After that it is begun anew, since its first readings are no longer how things are.
const MAX_PASS_DURATION: Duration = Duration::from_hours(24);

/// The audit function: its ports and its settings.
pub struct AuditFunction<S: AuditPorts, T, C, M> {
    /// SES, IAM and S3, which are read.
    pub services: Services<S>,
    /// The table: where the audit's pass stands, what was read so far, the verdicts, the lease, and what reconcile has noted.
    pub table: T,
    /// The clock.
    pub clock: C,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}

/// The payload of an invocation. A schedule's event has none of these fields.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct AuditRequest {
    /// Begin a pass now, unless one is in progress, even if none is due.
    pub now: bool,
}

/// What an invocation did. This is also its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum AuditOutcome {
    /// It did nothing, since another invocation is at work.
    Held,
    /// It did nothing, since no pass is due.
    NotDue,
    /// Its time was up before everything was read. The next wake goes on.
    Unfinished(AuditProgress),
    /// It read everything but for some calls that were not answered. The next wake makes those again.
    Unanswered {
        /// The number of calls that were not answered.
        calls: usize,
    },
    /// It brought the pass to its end and wrote the verdicts.
    Ended {
        /// The verdict of each section.
        verdicts: BTreeMap<AuditSection, AuditVerdict>,
    },
}

/// Why an invocation failed. A retry may help, and the next wake is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The table could not be read or written, so it is not known where the pass stands, or what it found is not kept.
    #[error("the table: {0}")]
    Table(#[from] TableError),
}

/// The note on passes, which is kept between invocations.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct AuditPassNote {
    #[serde(rename = "open")]
    open_pass: Option<OpenPass>,
    /// When the last pass that has ended was begun.
    #[serde(rename = "last")]
    last_started_at: Option<Timestamp>,
}

/// A pass in progress.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct OpenPass {
    started_at: Timestamp,
    /// How many invocations have come to the end of the pass with something unanswered.
    tries: u32,
}

impl<S, T, C, M> AuditFunction<S, T, C, M>
where
    S: AuditPorts,
    T: AuditTable + NoteStore + LeaseStore,
    C: Timer,
    M: Metrics,
{
    /// Handles one invocation, and returns by `deadline`.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub async fn handle(
        &self,
        request: AuditRequest,
        invocation_id: &str,
        deadline: Deadline,
    ) -> Result<AuditOutcome, AuditError> {
        let resume = async |ends_at| self.resume_due_pass(request, ends_at, deadline).await;
        run_with_lease(&self.table, &self.clock, LEASE, invocation_id, LEASE_MARGIN, deadline, resume)
            .await?
            .unwrap_or(Ok(AuditOutcome::Held))
    }

    async fn resume_due_pass(
        &self,
        request: AuditRequest,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<AuditOutcome, AuditError> {
        let mut note = self.table.get_note::<AuditPassNote>(NOTE_NAME, deadline).await?.unwrap_or_default();
        let Some(mut open) = self.open_pass(note.value, request, self.clock.now()) else {
            return Ok(AuditOutcome::NotDue);
        };
        // Noted before anything is read, so that the next wake finds the readings if this one dies.
        if note.value.open_pass.is_none_or(|noted| noted.started_at != open.started_at) {
            note.value.open_pass = Some(open);
            if self.table.put_note(NOTE_NAME, &mut note, deadline).await? != PutOutcome::Written {
                info!("another invocation is at it");
                return Ok(AuditOutcome::Held);
            }
        }
        let outcome = self.read_and_judge_sections(&mut open, ends_at, deadline).await;
        let has_ended = matches!(outcome, Ok(AuditOutcome::Ended { .. }));
        self.metrics.count(&[("PassesUnfinished", usize::from(!has_ended))]);
        note.value.open_pass = (!has_ended).then_some(open);
        if has_ended {
            note.value.last_started_at = Some(open.started_at);
        }
        let noted = self.table.put_note(NOTE_NAME, &mut note, deadline).await;
        let outcome = outcome?;
        if noted? != PutOutcome::Written {
            warn!("another invocation was at it");
        }
        Ok(outcome)
    }

    /// The pass to go on with: the one in progress, or a new one if that is due; `None` if there is nothing to do.
    fn open_pass(&self, kept: AuditPassNote, request: AuditRequest, now: Timestamp) -> Option<OpenPass> {
        let new = OpenPass { started_at: now, tries: 0 };
        match kept.open_pass {
            Some(open) if now.since(open.started_at) < MAX_PASS_DURATION => Some(open),
            Some(_) => {
                warn!("a pass has not come to its end in a day, and is begun anew");
                self.metrics.count(&[("PassesGivenUp", 1)]);
                Some(new)
            }
            None => {
                let due = kept.last_started_at.is_none_or(|last| now.since(last) >= PASS_EVERY);
                (due || request.now).then_some(new)
            }
        }
    }

    async fn read_and_judge_sections(
        &self,
        open: &mut OpenPass,
        ends_at: Timestamp,
        deadline: Deadline,
    ) -> Result<AuditOutcome, AuditError> {
        let pass = open.started_at;
        let scope = AuditScope {
            stack: self.settings.stack.clone(),
            list: read_last_pass(&self.table, deadline).await,
            peer_progress: read_progress_of_each_peer(&self.table, &self.settings.peers, deadline).await,
            asks_iam: self.settings.reads_iam,
            peers: self.settings.peers.clone(),
        };
        let stored = self.table.answers(pass, deadline).await?;
        let store = TableStore { table: &self.table, pass, deadline };
        let caller = Caller::new(&self.clock, self.settings.call_interval, Some(ends_at));
        let reader = RegionReader::new(&self.services, caller, SavedAnswers::new(stored, store), |_| {});
        let facts = match reader.read_facts(scope).await {
            Ok(facts) => facts,
            Err(ReadError::Store(error)) => return Err(error.into()),
            Err(ReadError::OutOfTime(progress)) => {
                info!(?progress, "the pass goes on at the next wake");
                return Ok(AuditOutcome::Unfinished(progress));
            }
        };
        let calls = reader.unanswered_calls();
        if calls > 0 {
            open.tries += 1;
            warn!(calls, open.tries, "calls were not answered");
            if open.tries < MAX_INCOMPLETE_TRIES {
                return Ok(AuditOutcome::Unanswered { calls });
            }
        }
        let verdicts = judge_sections(&facts, self.clock.now());
        for verdict in &verdicts {
            self.table.put_verdict(verdict, deadline).await?;
        }
        self.emit_verdict_counts(&verdicts);
        Ok(AuditOutcome::Ended { verdicts: verdicts.iter().map(|of| (of.section, of.verdict)).collect() })
    }

    fn emit_verdict_counts(&self, verdicts: &[SectionVerdict]) {
        let sections = |verdict| verdicts.iter().filter(|section| section.verdict == verdict).count();
        let findings = |verdict| {
            let found = verdicts.iter().flat_map(|section| &section.findings);
            found.filter(|finding| finding.verdict == verdict).count()
        };
        self.metrics.count(&[
            ("PassesEnded", 1),
            ("SectionsPassed", sections(AuditVerdict::Pass)),
            ("SectionsWarned", sections(AuditVerdict::Warn)),
            ("SectionsFailed", sections(AuditVerdict::Fail)),
            ("SectionsUnknown", sections(AuditVerdict::Unknown)),
            ("SectionsNotApplicable", sections(AuditVerdict::NotApplicable)),
            ("FindingsWarned", findings(AuditVerdict::Warn)),
            ("FindingsFailed", findings(AuditVerdict::Fail)),
            ("FindingsUnknown", findings(AuditVerdict::Unknown)),
        ]);
        for section in verdicts {
            info!(section = section.section.as_str(), verdict = section.verdict.as_str(), "audited");
        }
    }
}
