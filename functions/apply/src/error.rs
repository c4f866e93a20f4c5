//! Why an invocation fails, and why a run ends early.

use mailroom_aws::objects::ObjectError;
use mailroom_aws::suppression_list::ListError;
use mailroom_aws::table::TableError;
use mailroom_core::suppression::dispatch::JobWait;

use crate::list_caller::ListCallError;

/// Why an invocation failed. A retry can help, and the next minute is one.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The lease, a state or a note in the table can't be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
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
    #[error("the rest is left for the next run: {}", .0.redacted_text())]
    List(ListError),
    #[error(transparent)]
    Failed(#[from] ApplyError),
}

impl From<ListCallError> for RunEnd {
    fn from(error: ListCallError) -> Self {
        match error {
            ListCallError::Postponed(why) => Self::Later(why),
            ListCallError::List(error) => Self::List(error),
        }
    }
}

impl From<TableError> for RunEnd {
    fn from(error: TableError) -> Self {
        match error {
            TableError::Contended => Self::Later("others keep writing the same state"),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<ObjectError> for RunEnd {
    fn from(error: ObjectError) -> Self {
        Self::Failed(error.into())
    }
}
