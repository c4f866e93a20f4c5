//! Trouble for tests: how a call of SES fails, in memory.

/// What becomes of a call of an SES in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// Throttled.
    Throttled,
    /// Nothing is done.
    Unavailable,
    /// It is done and not answered.
    Unanswered,
    /// The role may not.
    Denied,
    /// SES does not take it, such as a page's token that it no longer knows.
    Refused,
}
