//! An invocation: goes on with a pass over the Region, or begins one that is due.
//!
//! ```text
//! wake 1   begins a pass: notes it, reads till its time is up, keeps each answer as it comes
//! wake 2   finds the pass, and what was read of it; reads the rest; writes ten verdicts; notes that the pass has ended
//! ```
//!
//! Whoever finds the note held leaves at once: two at a time would be two requests a second, and the same ones. Woken every few
//! minutes, a pass over any number of identities ends. One that dies has lost the one answer that it had not kept.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::audit::buckets::Buckets;
use mailroom_aws::audit::iam::AccessKeys;
use mailroom_aws::audit::ses::SesReader;
use mailroom_aws::audit::table::AuditTable;
use mailroom_aws::clock::Timer;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::notes::{LIST_PASSES, ListPasses, NoteError, Noted, Notes, PeerNote, peer_note};
use mailroom_aws::notification_topics::NotificationTopics;
use mailroom_aws::rule_sets::RuleSets;
use mailroom_aws::states::TableError;
use mailroom_core::audit::facts::{Asked, ListPass, PeerTold};
use mailroom_core::audit::{Section, SectionVerdict, Verdict, audit};
use mailroom_core::timestamp::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::asker::Asker;
use crate::reader::{Interrupted, Ports, Progress, Reader, Scope};
use crate::readings::{InTable, Readings};
use crate::settings::Settings;

const NOTE: &str = "audit";
/// For clocks and for the answer's way: beyond its deadline nobody is at it any more.
const HELD_LONGER: Duration = Duration::from_secs(5);
/// How many invocations come to the end of a pass with something unanswered before that is what the pass has to say.
const MOST_TRIES: u32 = 6;
/// What was read longer ago is not how things are.
const LONGEST: Duration = Duration::from_hours(24);

/// The function.
pub struct Audit<S, T, R, K, B, N, A, C, M> {
    /// Whom to ask.
    pub ports: Ports<S, T, R, K, B>,
    /// Where a pass stands; and reconcile's note.
    pub notes: N,
    /// What was read, and the verdicts.
    pub table: A,
    /// The time.
    pub clock: C,
    /// Counts.
    pub metrics: M,
    /// What the template tells.
    pub settings: Settings,
}

/// What wakes it: a schedule's event has none of these fields.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Wake {
    /// Begin a pass, if none is in progress, though none is due.
    pub now: bool,
}

/// What an invocation did; its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Done {
    /// Nothing: another invocation is at it.
    Held,
    /// Nothing: no pass is due.
    NotDue,
    /// It goes on at the next wake.
    Unfinished(Progress),
    /// Something was not answered. It is asked for again at the next wake.
    Unanswered {
        /// How many calls.
        calls: usize,
    },
    /// A pass has ended.
    Ended {
        /// Each section's verdict.
        verdicts: BTreeMap<Section, Verdict>,
    },
}

/// The invocation has failed. A retry can help; so does the next wake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// Where the pass stands is not known.
    #[error("the notes: {0}")]
    Note(#[from] NoteError),
    /// What was read, or found, can't be kept.
    #[error("the table: {0}")]
    Table(#[from] TableError),
}

/// What is kept between invocations.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Kept {
    /// An invocation is at it until then, unless it ends before.
    held_until: Option<Timestamp>,
    open: Option<Open>,
    /// When the last pass that has ended began.
    last: Option<Timestamp>,
}

/// A pass in progress.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Open {
    started_at: Timestamp,
    /// Invocations that came to its end with something unanswered.
    tries: u32,
}

/// What reconcile's note says of its last pass; `None` if none has ended.
pub async fn last_pass(notes: &impl Notes) -> Asked<Option<ListPass>> {
    match notes.get::<ListPasses<IgnoredAny>>(LIST_PASSES).await {
        Ok(note) => Asked::Answered(note.and_then(|note| note.value.last)),
        Err(error) => note_unread(&error),
    }
}

/// What reconcile's notes say of peers.
async fn peers_told(notes: &impl Notes, peers: &[String]) -> Asked<Vec<PeerTold>> {
    let mut told = Vec::with_capacity(peers.len());
    for peer in peers {
        let until = match notes.get::<PeerNote>(&peer_note(peer)).await {
            Ok(note) => note.and_then(|note| note.value.until),
            Err(error) => return note_unread(&error),
        };
        told.push(PeerTold { region: peer.clone(), until });
    }
    Asked::Answered(told)
}

fn note_unread<T>(error: &NoteError) -> Asked<T> {
    Asked::Failed { action: "dynamodb:GetItem".to_owned(), why: error.to_string() }
}

impl<S, T, R, K, B, N, A, C, M> Audit<S, T, R, K, B, N, A, C, M>
where
    S: SesReader,
    T: NotificationTopics,
    R: RuleSets,
    K: AccessKeys,
    B: Buckets,
    N: Notes,
    A: AuditTable,
    C: Timer,
    M: Metrics,
{
    /// Handles one wake; done by `deadline`.
    ///
    /// # Errors
    /// See [`AuditError`].
    pub async fn handle(&self, wake: Wake, deadline: Instant) -> Result<Done, AuditError> {
        let note = self.notes.get::<Kept>(NOTE).await?;
        let (mut kept, version) =
            note.map_or((Kept::default(), None), |note| (note.value, Some(note.version)));
        let now = self.clock.now();
        if kept.held_until > Some(now) {
            info!("another invocation is at it");
            return Ok(Done::Held);
        }
        let Some(mut open) = self.open(kept, wake, now) else { return Ok(Done::NotDue) };
        let time = deadline.saturating_duration_since(Instant::now());
        kept.open = Some(open);
        kept.held_until = Some(now.plus(time + HELD_LONGER));
        let Noted::Done(version) = self.notes.put(NOTE, &kept, version).await? else {
            info!("another invocation is at it");
            return Ok(Done::Held);
        };
        let done = self.go_on(&mut open, now.plus(time), deadline).await;
        self.metrics.count(&[("PassesUnfinished", usize::from(!matches!(done, Ok(Done::Ended { .. }))))]);
        kept.held_until = None;
        kept.open = Some(open);
        if matches!(done, Ok(Done::Ended { .. })) {
            kept.open = None;
            kept.last = Some(open.started_at);
        }
        let noted = self.notes.put(NOTE, &kept, Some(version)).await;
        let done = done?;
        if noted? == Noted::Conflict {
            warn!("another invocation was at it");
        }
        Ok(done)
    }

    /// The pass in progress, or a new one.
    fn open(&self, kept: Kept, wake: Wake, now: Timestamp) -> Option<Open> {
        let new = Open { started_at: now, tries: 0 };
        match kept.open {
            Some(open) if now.since(open.started_at) < LONGEST => Some(open),
            Some(_) => {
                warn!("a pass has not come to its end in a day, and is begun anew");
                self.metrics.count(&[("PassesGivenUp", 1)]);
                Some(new)
            }
            None => {
                let due = kept.last.is_none_or(|last| now.since(last) >= self.settings.pass_every);
                (due || wake.now).then_some(new)
            }
        }
    }

    async fn go_on(
        &self,
        open: &mut Open,
        ends_at: Timestamp,
        deadline: Instant,
    ) -> Result<Done, AuditError> {
        let pass = open.started_at;
        let scope = Scope {
            stack: self.settings.stack.clone(),
            list: last_pass(&self.notes).await,
            told: peers_told(&self.notes, &self.settings.peers).await,
            iam: self.settings.iam,
            peers: self.settings.peers.clone(),
        };
        let kept = self.table.readings(pass, deadline).await?;
        let reader = Reader {
            ports: &self.ports,
            asker: Asker::new(&self.clock, self.settings.pace, Some(ends_at)),
            readings: Readings::new(kept, InTable { table: &self.table, pass, deadline }),
            progress: |_| {},
            at: Cell::default(),
        };
        let facts = match reader.facts(scope).await {
            Ok(facts) => facts,
            Err(Interrupted::Unkept(error)) => return Err(error.into()),
            Err(Interrupted::OutOfTime(progress)) => {
                info!(?progress, "the pass goes on at the next wake");
                return Ok(Done::Unfinished(progress));
            }
        };
        let calls = reader.readings.unanswered();
        if calls > 0 {
            open.tries += 1;
            warn!(calls, open.tries, "calls were not answered");
            if open.tries < MOST_TRIES {
                return Ok(Done::Unanswered { calls });
            }
        }
        let verdicts = audit(&facts, self.clock.now());
        for verdict in &verdicts {
            self.table.put(verdict, deadline).await?;
        }
        self.count(&verdicts);
        Ok(Done::Ended { verdicts: verdicts.iter().map(|of| (of.section, of.verdict)).collect() })
    }

    fn count(&self, verdicts: &[SectionVerdict]) {
        let sections = |verdict| verdicts.iter().filter(|section| section.verdict == verdict).count();
        let findings = |verdict| {
            let found = verdicts.iter().flat_map(|section| &section.findings);
            found.filter(|finding| finding.verdict == verdict).count()
        };
        self.metrics.count(&[
            ("PassesEnded", 1),
            ("SectionsPassed", sections(Verdict::Pass)),
            ("SectionsWarned", sections(Verdict::Warn)),
            ("SectionsFailed", sections(Verdict::Fail)),
            ("SectionsUnknown", sections(Verdict::Unknown)),
            ("SectionsNotApplicable", sections(Verdict::NotApplicable)),
            ("FindingsWarned", findings(Verdict::Warn)),
            ("FindingsFailed", findings(Verdict::Fail)),
            ("FindingsUnknown", findings(Verdict::Unknown)),
        ]);
        for section in verdicts {
            info!(section = section.section.as_str(), verdict = section.verdict.as_str(), "audited");
        }
    }
}
