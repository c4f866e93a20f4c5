//! The audit of a Region in one go, without a table, while an operator waits.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::audit::buckets::Buckets;
use mailroom_aws::audit::iam::AccessKeys;
use mailroom_aws::audit::ses::SesReader;
use mailroom_aws::clock::Timer;
use mailroom_aws::notification_topics::NotificationTopics;
use mailroom_aws::rule_sets::RuleSets;
use mailroom_core::audit::{SectionVerdict, audit};
use mailroom_core::timestamp::Timestamp;

use crate::asker::Asker;
use crate::reader::{Interrupted, Ports, Progress, Reader, Scope};
use crate::readings::{Nowhere, Readings};

/// The audit did not end in the time that it was allowed. The field says how far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time is up after {} of {} identities", .0.read, .0.of.map_or_else(|| "?".to_owned(), |of| of.to_string()))]
pub struct TimeUp(pub Progress);

/// Reads a Region and gives its verdicts. This takes as long as SES takes to be asked: a call every `pace`, at least one
/// for each identity. What could not be read is told as unknown; no call is tried for longer than half a minute. `progress`
/// is called with each identity.
///
/// # Errors
/// [`TimeUp`], ten seconds before `ends_at`; never if that is `None`.
pub async fn run<S, T, R, K, B>(
    ports: &Ports<S, T, R, K, B>,
    scope: Scope,
    clock: &impl Timer,
    pace: Duration,
    ends_at: Option<Timestamp>,
    progress: impl Fn(Progress),
) -> Result<Vec<SectionVerdict>, TimeUp>
where
    S: SesReader,
    T: NotificationTopics,
    R: RuleSets,
    K: AccessKeys,
    B: Buckets,
{
    let reader = Reader {
        ports,
        asker: Asker::new(clock, pace, ends_at),
        readings: Readings::new(BTreeMap::new(), Nowhere),
        progress,
        at: Cell::default(),
    };
    match reader.facts(scope).await {
        Ok(facts) => Ok(audit(&facts, clock.now())),
        Err(Interrupted::OutOfTime(progress)) => Err(TimeUp(progress)),
        Err(Interrupted::Unkept(never)) => match never {},
    }
}
