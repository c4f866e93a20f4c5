//! Trouble for tests: how a call of SES in memory fails.

/// What becomes of a call of an SES in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call succeeds as usual.
    None,
    /// The call is throttled.
    Throttled,
    /// The call fails, and nothing is done.
    Unavailable,
    /// The call is carried out, but not answered.
    Unanswered,
    /// The call is denied, as for a role that lacks a permission.
    Denied,
    /// The call is refused, as for a page's token that SES no longer knows.
    Refused,
}
