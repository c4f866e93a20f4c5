//! What only `audit` reads and writes.

pub(crate) mod buckets;
pub(crate) mod iam;
pub(crate) mod ses;
pub(crate) mod table;

use mailroom_audit::reader::AuditPorts;

use crate::{MemoryRuleSets, MemoryTopics};

/// The types of the doubles that `audit` reads.
pub struct MemoryServices;

impl AuditPorts for MemoryServices {
    type Ses = ses::MemorySesReader;
    type Topics = MemoryTopics;
    type RuleSets = MemoryRuleSets;
    type AccessKeys = iam::MemoryIam;
    type Buckets = buckets::MemoryBuckets;
}
