//! What only the operator's tool asks of AWS: who it is, and where a Region's table is. No template tells it.

use std::collections::HashMap;
use std::error::Error;

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::ProvideCredentials;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Output;
use tokio::time::Instant;

use crate::audit::table::DynamoAuditTable;
use crate::client;
use crate::dynamo::{Failure, retried, told};
use crate::history::DynamoHistory;
use crate::notes::DynamoNotes;
use crate::records::DynamoRecords;
use crate::states::DynamoStates;

/// The template's output.
const TABLE_NAME: &str = "TableName";
/// What CloudFormation answers where there is no stack of a name.
const NO_STACK: &str = "ValidationError";

/// Why a table can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The environment has none, or they could not be got.
    #[error("no credentials: {0}")]
    Credentials(String),
    /// Neither an argument nor the environment names one.
    #[error("no Region")]
    NoRegion,
    /// There is no stack of that name in that Region.
    #[error("no such stack")]
    NoStack,
    /// It has no output `TableName`: it is another stack, or not made yet.
    #[error("the stack has no output {TABLE_NAME}")]
    NoTable,
    /// CloudFormation refused, such as for a missing permission. A retry can help once it is mended.
    #[error("refused: {0}")]
    Refused(String),
    /// Throttled, failed or unanswered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    Deadline(String),
}

/// The environment's credentials and endpoints, for any Region.
pub struct Access {
    config: SdkConfig,
}

/// A stack's outputs, as the template names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs(HashMap<String, String>);

impl Outputs {
    /// One of them. `None` too if it is of a part that was not asked for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A Region's table.
pub struct Table {
    config: SdkConfig,
    region: String,
    name: String,
}

impl Access {
    /// From environment variables, a profile or the machine's role, as other tools of AWS find them.
    ///
    /// # Errors
    /// [`OpenError::Credentials`]: without any, each call would be tried until its deadline.
    pub async fn load() -> Result<Self, OpenError> {
        let config = client::config().await;
        let none = || OpenError::Credentials("nothing provides any".to_owned());
        let provider = config.credentials_provider().ok_or_else(none)?;
        let credentials = provider.provide_credentials().await;
        credentials.map_err(|error| OpenError::Credentials(cause(&error)))?;
        Ok(Self { config })
    }

    /// The environment's Region.
    pub fn region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// A table by its name, in this Region or the environment's.
    ///
    /// # Errors
    /// [`OpenError::NoRegion`]
    pub fn table(&self, region: Option<&str>, name: &str) -> Result<Table, OpenError> {
        let region = region.or(self.region()).ok_or(OpenError::NoRegion)?.to_owned();
        Ok(Table { config: self.config(&region), region, name: name.to_owned() })
    }

    /// The table of a stack, in this Region or the environment's.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn table_of_stack(
        &self,
        region: Option<&str>,
        stack: &str,
        deadline: Instant,
    ) -> Result<Table, OpenError> {
        let outputs = self.outputs(region, stack, deadline).await?;
        self.table(region, outputs.get(TABLE_NAME).ok_or(OpenError::NoTable)?)
    }

    /// What a stack says of itself, in this Region or the environment's.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn outputs(
        &self,
        region: Option<&str>,
        stack: &str,
        deadline: Instant,
    ) -> Result<Outputs, OpenError> {
        let region = region.or(self.region()).ok_or(OpenError::NoRegion)?;
        let client = Client::new(&self.config(region));
        let output = retried(deadline, || client.describe_stacks().stack_name(stack).send()).await;
        let output = output.map_err(|failure| match failure {
            Failure::Deadline(trouble) => OpenError::Deadline(trouble),
            Failure::Refused(error) if error.code() == Some(NO_STACK) => OpenError::NoStack,
            Failure::Refused(error) => OpenError::Refused(told(&error)),
        })?;
        let stack = output.stacks().first().ok_or(OpenError::NoStack)?;
        let outputs = stack.outputs().iter();
        let read = |of: &Output| Some((of.output_key()?.to_owned(), of.output_value()?.to_owned()));
        Ok(Outputs(outputs.filter_map(read).collect()))
    }

    /// What clients of a Region are made of.
    pub fn config(&self, region: &str) -> SdkConfig {
        self.config.to_builder().region(Region::new(region.to_owned())).build()
    }
}

impl Table {
    /// Where it is.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What it is called there.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its states.
    pub fn states(&self) -> DynamoStates {
        DynamoStates::new(&self.config, self.name())
    }

    /// Its records, to be appended to.
    pub fn records(&self) -> DynamoRecords {
        DynamoRecords::new(&self.config, self.name())
    }

    /// Its verdicts of the last audit.
    pub fn audits(&self) -> DynamoAuditTable {
        DynamoAuditTable::new(&self.config, self.name())
    }

    /// What its functions keep for themselves.
    pub fn notes(&self) -> DynamoNotes {
        DynamoNotes::new(&self.config, self.name())
    }

    /// Its records, to be read.
    pub fn history(&self) -> DynamoHistory {
        DynamoHistory::new(&self.config, self.name())
    }
}

/// What an error of the SDK's comes from, each cause in a line's worth: on top it says only that something failed.
fn cause(error: &dyn Error) -> String {
    let line = |error: &dyn Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let Some(mut cause) = error.source() else { return line(error) };
    let mut told = line(cause);
    while let Some(next) = cause.source() {
        told = format!("{told}: {}", line(next));
        cause = next;
    }
    told.trim_end_matches(" Attempted:").to_owned()
}
