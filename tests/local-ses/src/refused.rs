//! The errors of SES's v2 API.

/// An error of SES's v2 API. Its status and name are those of API reference v2, each action's "Errors".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .kind.code())]
pub struct Refused {
    /// Which of the API's errors it is.
    pub kind: RefusedKind,
    /// The text for people.
    pub message: String,
}

/// The errors of SES's v2 API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// Something of that name exists already.
    AlreadyExists,
    /// The input is not valid, or the account is in the sandbox.
    BadRequest,
    /// Something of the same kind is under way.
    Conflict,
    /// The page's token was not given out for this request.
    InvalidNextToken,
    /// There are too many import jobs.
    LimitExceeded,
    /// What the request names does not exist.
    NotFound,
    /// Requests come too fast.
    TooManyRequests,
}

impl RefusedKind {
    /// The error's name, by which the SDK tells errors apart.
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

    /// The HTTP status of the answer.
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

    /// An error for a member of the request that breaks a constraint. The wording is SES's (probed).
    pub(crate) fn constraint(member: &str, constraint: &str) -> Self {
        Self::bad(format!(
            "1 validation error detected: Value at '{member}' failed to satisfy constraint: {constraint}"
        ))
    }

    /// The error for an action that an account in the sandbox cannot use. The guide says that it cannot ("considerations"),
    /// but not how SES answers. Of the errors that the API reference lists for these actions, only this one fits.
    pub(crate) fn sandbox(action: &str) -> Self {
        Self::bad(format!("{action} is not available while the account is in the sandbox."))
    }
}
