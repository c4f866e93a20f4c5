//! Why an invocation fails, and why a run ends early.

use mailroom_aws::lease::LeaseError;
use mailroom_aws::notes::NoteError;
use mailroom_aws::objects::ObjectError;
use mailroom_aws::states::TableError;
use mailroom_aws::suppression_list::ListError;
use mailroom_core::suppression::dispatch::JobWait;

use crate::calls::CallError;

/// Why an invocation failed. A retry can help, and the next minute is one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The lease could not be taken, so it is not known whether another instance is at work.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// A state in the table can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A note in the table can't be read or written.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The object of an import job can't be written.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

/// Why a run ends before everything is done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunEnd {
    #[error("the rest is left for the next run: {0}")]
    Later(&'static str),
    #[error("the rest is left for the next run: {0}")]
    Job(JobWait),
    /// SES's answer. Its text for people is left out, since that may name the address.
    #[error("the rest is left for the next run: {}", .0.kind())]
    List(ListError),
    #[error(transparent)]
    Failed(#[from] ApplyError),
}

impl From<CallError> for RunEnd {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Later(why) => Self::Later(why),
            CallError::List(error) => Self::List(error),
        }
    }
}

macro_rules! fails {
    ($($error:ty),*) => {$(
        impl From<$error> for RunEnd {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        }
    )*};
}
fails!(TableError, NoteError, ObjectError);
