//! How a call of SES fails.

use mailroom_aws::ses::SesError;

/// What becomes of a call of SES.
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

impl Fault {
    /// Carries out a call with this fault.
    pub(crate) fn meet<T, E: From<SesError>>(self, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let error = match self {
            Self::None => return call(),
            Self::Unanswered => {
                // Whoever gets no answer does not learn of a refusal either.
                let _ = call();
                SesError::Unavailable("injected timeout".to_owned())
            }
            Self::Throttled => SesError::Throttled,
            Self::Unavailable => SesError::Unavailable("injected failure".to_owned()),
            Self::Denied => SesError::Denied("AccessDenied".to_owned()),
            Self::Refused => SesError::Refused {
                code: "BadRequestException".to_owned(),
                message: "injected refusal".to_owned(),
            },
        };
        Err(error.into())
    }
}
