//! The audit of a Region in one go, without a table, while an operator waits.

use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::clock::Timer;
use mailroom_core::timestamp::Timestamp;

use crate::caller::Caller;
use crate::judge::judge_sections;
use crate::reader::{AuditPorts, AuditProgress, AuditScope, ReadError, RegionReader, Services};
use crate::readings::{NoStore, SavedAnswers};
use crate::section_verdict::SectionVerdict;

/// The audit did not end in the time that it was allowed. The field says how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is up after {} of {} identities", .0.identities_read, .0.identities_total.map_or_else(|| "?".to_owned(), |of| of.to_string()))]
pub struct LiveAuditTimeout(pub AuditProgress);

/// Reads a Region and gives its verdicts. This takes as long as SES takes to be asked: a call every `pace`, at least one
/// for each identity. What could not be read is told as unknown; no call is tried for longer than half a minute. `progress`
/// is called with each identity.
///
/// # Errors
/// [`LiveAuditTimeout`], ten seconds before `ends_at`; never if that is `None`.
pub async fn audit_region<P: AuditPorts>(
    services: &Services<P>,
    scope: AuditScope,
    clock: &impl Timer,
    pace: Duration,
    ends_at: Option<Timestamp>,
    progress: impl Fn(AuditProgress),
) -> Result<Vec<SectionVerdict>, LiveAuditTimeout> {
    let caller = Caller::new(clock, pace, ends_at);
    let reader = RegionReader::new(services, caller, SavedAnswers::new(BTreeMap::new(), NoStore), progress);
    match reader.read_facts(scope).await {
        Ok(facts) => Ok(judge_sections(&facts, clock.now())),
        Err(ReadError::OutOfTime(progress)) => Err(LiveAuditTimeout(progress)),
        Err(ReadError::Store(never)) => match never {},
    }
}
