//! By which way, and in which order, what is due goes to the list: by single calls, or by import job.

use std::collections::BTreeSet;

use super::address_state::{AddressState, ApplyAttempt, ApplyContext, ApplyOutcomeKind, ListAction};
use super::import;
use super::reason::SuppressionReason;
use super::urgency::Urgency;
use crate::timestamp::Timestamp;

/// An address for which the list needs something now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueAddress {
    /// The address's state.
    pub state: AddressState,
    /// What the list needs: neither [`ListAction::Nothing`] nor [`ListAction::Wait`].
    pub to_do: ListAction,
}

impl DueAddress {
    /// Asks a state what the list needs; `None` if that is nothing, or has to wait.
    pub fn new(state: AddressState, site: ApplyContext<'_>, now: Timestamp) -> Option<Self> {
        match state.next_list_action(site, now) {
            ListAction::Nothing | ListAction::Wait(_) => None,
            to_do => Some(Self { state, to_do }),
        }
    }

    /// How soon this must reach the list.
    pub fn urgency(&self) -> Urgency {
        match self.to_do {
            _ if self.must_retry_by_call() => Urgency::RepeatedDeletion,
            ListAction::Put { reason, .. } | ListAction::TrustSes(reason) => {
                Urgency::of_effective_reason(Some(reason))
            }
            ListAction::Delete { .. } | ListAction::Nothing | ListAction::Wait(_) => Urgency::Release,
        }
    }

    /// Whether this is a deletion that has failed. It must not go by job (again): no source tells whether a job fails at
    /// an entry that is not on the list, so it may fail for ever. A single call says that there is none, and then nothing
    /// is left to do.
    fn must_retry_by_call(&self) -> bool {
        let failed = self
            .state
            .current_apply_outcome()
            .is_some_and(|outcome| outcome.kind == ApplyOutcomeKind::Failed);
        failed && matches!(self.to_do, ListAction::Delete { .. }) && !self.needs_job()
    }

    /// Whether only an import job can do it.
    fn needs_job(&self) -> bool {
        import::requires_import_job(&self.to_do)
    }

    /// Whether [`DueAddress::trusted_or_refused_attempt`] depends on the account.
    pub fn depends_on_account(&self) -> bool {
        matches!(self.to_do, ListAction::Put { .. } | ListAction::TrustSes(_))
    }

    /// What to record for an address that costs no call: SES is trusted to have put the entry, or refuses to put any, since
    /// the account has no `production_access`. `enabled_reasons` holds the reasons that are enabled in the Region. `None` if a call
    /// is needed.
    pub fn trusted_or_refused_attempt(
        &self,
        production_access: bool,
        enabled_reasons: &BTreeSet<SuppressionReason>,
    ) -> Option<ApplyAttempt> {
        match self.to_do {
            ListAction::TrustSes(reason) => {
                Some(ApplyAttempt::TrustedSes { reason, enabled: enabled_reasons.contains(&reason) })
            }
            ListAction::Put { .. } if !production_access => Some(ApplyAttempt::RefusedSandbox),
            _ => None,
        }
    }
}

/// Whether an import job may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAvailability {
    /// A job may be made.
    Available,
    /// A job is under way, and there is one at a time.
    InFlight,
    /// No jobs are made for a while, since one has failed or is overdue.
    Suspended,
    /// The account is in the sandbox, where SES makes no jobs.
    Sandbox,
}

/// Why something due is left for later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobWait {
    /// More than single calls can do waits for the end of the job.
    #[error("an import job is under way")]
    InFlight,
    /// Some of it can be done only by a job, and none may be made now.
    #[error("it needs an import job, which must wait")]
    NoJob,
}

/// All that is due.
#[derive(Debug)]
pub struct Backlog {
    due: Vec<DueAddress>,
    exceeds_calls_per_minute: bool,
}

/// What to do with a backlog.
#[derive(Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// What to make an import job of, before any calls; empty if no job is to be made.
    pub job: Vec<DueAddress>,
    /// What to do by single calls, in this order.
    pub calls: Vec<DueAddress>,
    /// Why the rest is left for later; `None` if there is no rest.
    pub waits: Option<JobWait>,
}

impl Backlog {
    /// A backlog, in a Region where SES takes so many calls a minute. More than that is a storm, which goes by job: a job
    /// takes one call to make and one a minute to watch, single calls their pace.
    pub fn new(due: Vec<DueAddress>, calls_per_minute: usize) -> Self {
        let may_go_by_job = due.iter().filter(|due| !due.must_retry_by_call());
        let calls: usize = may_go_by_job.map(|due| import::count_api_calls(&due.to_do)).sum();
        Self { due, exceeds_calls_per_minute: calls > calls_per_minute }
    }

    /// Whether it is more than single calls do in a minute.
    pub fn exceeds_calls_per_minute(&self) -> bool {
        self.exceeds_calls_per_minute
    }

    /// Whether it matters if the account is in the sandbox. `jobs_suspended` says whether no jobs are made for a while.
    pub fn depends_on_account(&self, jobs_suspended: bool) -> bool {
        (self.exceeds_calls_per_minute && !jobs_suspended) || self.due.iter().any(DueAddress::needs_job)
    }

    /// Divides the backlog between a job and single calls.
    pub fn dispatch(self, jobs: JobAvailability) -> Dispatch {
        let (mut calls, by_job): (Vec<_>, Vec<_>) =
            self.due.into_iter().partition(DueAddress::must_retry_by_call);
        let mut waits = None;
        match (self.exceeds_calls_per_minute, jobs) {
            (true, JobAvailability::Available) => {
                return Dispatch { job: by_job, calls: Vec::new(), waits: None };
            }
            (true, JobAvailability::InFlight) => {
                calls.extend(by_job.into_iter().filter(|due| due.urgency().is_complaint_or_release()));
                waits = Some(JobWait::InFlight);
            }
            _ => calls.extend(by_job),
        }
        let mut job = Vec::new();
        // In the sandbox a call is tried for what only a job can do, since SES may have changed its mind.
        if jobs != JobAvailability::Sandbox {
            (job, calls) = calls.into_iter().partition(DueAddress::needs_job);
        }
        if !job.is_empty() && jobs != JobAvailability::Available {
            job.clear();
            waits = waits.or(Some(JobWait::NoJob));
        }
        calls.sort_by_key(|due| (due.urgency(), due.state.pending_since()));
        Dispatch { job, calls, waits }
    }
}

/// The addresses of the most urgent of these states, `limit` at most, sorted.
pub fn select_most_urgent_addresses(states: &[AddressState], limit: usize) -> Vec<&str> {
    let by_urgency: BTreeSet<_> = states
        .iter()
        .map(|state| (Urgency::of_effective_reason(state.effective_reason()), state.address()))
        .collect();
    let addresses: BTreeSet<_> = by_urgency.into_iter().map(|(_, address)| address).take(limit).collect();
    addresses.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::{StateChange, Statement, StatementSource, SuppressionState};
    use super::*;

    const SITE: ApplyContext<'static> =
        ApplyContext { region: "us-east-1", first_pass_ended: true, trust_origin: true };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_780_000_000_000 + seconds * 1000).unwrap()
    }

    /// A state by its name: `c` complained, `b` bounced, `t` bounced here, `r` was released, `f` was released and could not be
    /// deleted, `s/` was released and can be deleted only by a job; a number tells them apart and dates them.
    fn state(name: &str) -> AddressState {
        let since = at(name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0));
        let said = |source, region: &str| Statement {
            at: since,
            source,
            region: region.to_owned(),
            id: String::new(),
        };
        let state = match name.as_bytes()[0] {
            b'c' => SuppressionState::from_reason(
                SuppressionReason::Complaint,
                said(StatementSource::Complaint, "eu-west-1"),
            ),
            b'b' => SuppressionState::from_reason(
                SuppressionReason::Bounce,
                said(StatementSource::Bounce, "eu-west-1"),
            ),
            b't' => SuppressionState::from_reason(
                SuppressionReason::Bounce,
                said(StatementSource::Bounce, SITE.region),
            ),
            _ => SuppressionState::from_release(said(StatementSource::Operator, SITE.region)),
        };
        let address = format!("{name}@example.com");
        let spellings = [address.as_str()].into_iter().collect();
        let state =
            AddressState::join_change(None, &StateChange { address, spellings, state }, since).unwrap();
        if name.starts_with('f') {
            let failed =
                ApplyAttempt::Failed { cause: "failed in an import job".to_owned(), retryable: true };
            return state.record_attempt(state.version(), failed, since);
        }
        state
    }

    fn due(names: &str) -> Vec<DueAddress> {
        let due = |name| DueAddress::new(state(name), SITE, at(3600)).unwrap();
        names.split_whitespace().map(due).collect()
    }

    fn names(due: &[DueAddress]) -> String {
        let names: Vec<_> =
            due.iter().map(|due| due.state.address().trim_end_matches("@example.com")).collect();
        names.join(" ")
    }

    #[test]
    fn a_storm_goes_by_job_and_the_rest_by_calls() {
        use JobAvailability::{Available, InFlight, Sandbox, Suspended};
        // Three calls a minute.
        let cases = [
            ("", Available, "", "", None),
            // Complaints first, then releases, then bounces; of these the oldest first; last what a job has failed at.
            ("b2 f1 r5 b1 c9", Available, "b2 r5 b1 c9", "", None),
            ("b2 f1 r5 c9", Available, "", "c9 r5 b2 f1", None),
            ("f1 f2 f3 f4 b1 b2 b3", Available, "", "b1 b2 b3 f1 f2 f3 f4", None),
            ("b2 f1 r5 b1 c9", InFlight, "", "c9 r5 f1", Some(JobWait::InFlight)),
            ("b2 r5 c9", InFlight, "", "c9 r5 b2", None),
            ("b2 f1 r5 b1 c9", Suspended, "", "c9 r5 b1 b2 f1", None),
            ("b2 f1 r5 b1 c9", Sandbox, "", "c9 r5 b1 b2 f1", None),
            // What only a job can do.
            ("b1 s/2", Available, "s/2", "b1", None),
            ("b1 s/2", InFlight, "", "b1", Some(JobWait::NoJob)),
            ("b1 s/2", Suspended, "", "b1", Some(JobWait::NoJob)),
            ("b1 s/2", Sandbox, "", "s/2 b1", None),
            ("b1 b2 b3 b4 s/2", Available, "b1 b2 b3 b4 s/2", "", None),
            ("b1 b2 b3 b4 s/2", InFlight, "", "", Some(JobWait::InFlight)),
            ("b1 b2 b3 b4 s/2", Suspended, "", "b1 b2 b3 b4", Some(JobWait::NoJob)),
        ];
        for (backlog, jobs, job, calls, waits) in cases {
            let dispatch = Backlog::new(due(backlog), 3).dispatch(jobs);
            let found = (names(&dispatch.job), names(&dispatch.calls), dispatch.waits);
            assert_eq!(found, (job.to_owned(), calls.to_owned(), waits), "{backlog}: {jobs:?}");
        }
    }

    #[test]
    fn the_account_matters_only_where_a_job_may_be_made() {
        for (backlog, suspended, expected) in [
            ("b1 b2 b3", false, false),
            ("b1 b2 b3 b4", false, true),
            ("b1 b2 b3 b4", true, false),
            ("b1 s/2", false, true),
            ("b1 s/2", true, true),
            ("f1 f2 f3 f4", false, false),
        ] {
            let backlog = Backlog::new(due(backlog), 3);
            assert_eq!(backlog.depends_on_account(suspended), expected, "{backlog:?} {suspended}");
        }
    }

    #[test]
    fn what_costs_no_call() {
        let trusted = |enabled| Some(ApplyAttempt::TrustedSes { reason: SuppressionReason::Bounce, enabled });
        for (name, production_access, expected) in [
            ("t1", true, trusted(true)),
            ("t1", false, trusted(true)),
            ("b1", false, Some(ApplyAttempt::RefusedSandbox)),
            ("b1", true, None),
            ("r1", false, None),
        ] {
            let due = due(name).pop().unwrap();
            let enabled = BTreeSet::from([SuppressionReason::Bounce]);
            assert_eq!(due.trusted_or_refused_attempt(production_access, &enabled), expected, "{name}");
            assert_eq!(due.depends_on_account(), !name.starts_with('r'));
        }
        let of_disabled = due("t1").pop().unwrap().trusted_or_refused_attempt(true, &BTreeSet::new());
        assert_eq!(of_disabled, trusted(false));
    }

    #[test]
    fn of_many_states_the_most_urgent() {
        let states: Vec<_> = ["b1", "r2", "c3", "b4", "c3"].map(state).into();
        for (limit, expected) in [(1, &["c3"][..]), (2, &["c3", "r2"]), (3, &["b1", "c3", "r2"])] {
            let expected: Vec<_> = expected.iter().map(|name| format!("{name}@example.com")).collect();
            assert_eq!(select_most_urgent_addresses(&states, limit), expected);
        }
    }
}
