//! What comes of asking a Region.

use mailroom_audit::SectionVerdict;

/// What came of asking a Region.
pub(super) enum RegionOutcome {
    /// The Region's verdicts.
    Verdicts(Vec<SectionVerdict>),
    /// There is no stack.
    NoStack,
    /// There is a stack, and nothing to be read yet.
    NotAudited,
    /// The account has not enabled the Region: what AWS said.
    NotEnabled(String),
    /// The Region could not be read, and why.
    Failed(String),
}
