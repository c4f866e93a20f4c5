//! What only `audit` reads and writes.

pub(crate) mod buckets;
pub(crate) mod iam;
pub(crate) mod ses;
pub(crate) mod table;
