//! How SES's v2 API says no.

/// SES says no. Status and name are those of API reference v2, each action's "Errors".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.code())]
pub struct Refused {
    /// Which error.
    pub kind: RefusedKind,
    /// For people.
    pub message: String,
}

/// The errors of SES's v2 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// There is one of that name.
    AlreadyExists,
    /// The input is not right, or the account is in the sandbox.
    BadRequest,
    /// Something else of the kind is under way.
    Conflict,
    /// A token that was not given out for this.
    InvalidNextToken,
    /// Too many jobs.
    LimitExceeded,
    /// There is no such thing.
    NotFound,
    /// Too fast.
    TooManyRequests,
}

impl RefusedKind {
    /// As the SDK tells errors apart.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AlreadyExists => "AlreadyExistsException",
            Self::BadRequest => "BadRequestException",
            Self::Conflict => "ConflictException",
            Self::InvalidNextToken => "InvalidNextTokenException",
            Self::LimitExceeded => "LimitExceededException",
            Self::NotFound => "NotFoundException",
            Self::TooManyRequests => "TooManyRequestsException",
        }
    }

    /// Of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::AlreadyExists | Self::BadRequest | Self::InvalidNextToken | Self::LimitExceeded => 400,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooManyRequests => 429,
        }
    }
}

impl Refused {
    pub(crate) fn new(kind: RefusedKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(RefusedKind::BadRequest, message)
    }

    /// The wording is SES's (probed).
    pub(crate) fn constraint(member: &str, constraint: &str) -> Self {
        Self::bad(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"
        ))
    }

    /// The guide says that an account in the sandbox cannot use them ("considerations"), not how it is told. Of the
    /// errors that the API reference lists for these actions, this is the one that could be meant.
    pub(crate) fn sandbox(action: &str) -> Self {
        Self::bad(format!("{action} is not available while the account is in the sandbox."))
    }
}
