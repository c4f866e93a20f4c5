//! What only the operator's tool asks of AWS: who the operator is, and where a Region's table is, since no template tells
//! it.

use std::collections::HashMap;
use std::error::Error;

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::config::ProvideCredentials;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Output;

use crate::client;
use crate::deadline::Deadline;
use crate::retry::{CallFailure, error_code_or_text, retry_until_deadline};
use crate::table::RegionTable;

/// The name of the template's output that holds the table's name.
const TABLE_NAME_OUTPUT: &str = "TableName";
/// The code with which CloudFormation answers if there is no stack of a name.
const NO_STACK_CODE: &str = "ValidationError";

/// Why a table can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenTableError {
    /// The environment has no credentials, or they could not be obtained.
    #[error("no credentials: {0}")]
    NoCredentials(String),
    /// Neither an argument nor the environment names one.
    #[error("no Region")]
    NoRegion,
    /// There is no stack of that name in that Region.
    #[error("no such stack")]
    StackNotFound,
    /// The stack has no output `TableName`: it is another stack, or has not been created completely yet.
    #[error("the stack has no output {TABLE_NAME_OUTPUT}")]
    NoTableOutput,
    /// CloudFormation refused the call, such as for a missing permission. A retry can help once that is fixed.
    #[error("refused: {0}")]
    Refused(String),
    /// The calls were throttled, failed or were not answered until the deadline. A retry can help.
    #[error("no answer but errors until the deadline, the last: {0}")]
    DeadlineExceeded(String),
}

/// Access to any Region with the environment's credentials and endpoints.
pub struct AwsAccess {
    config: SdkConfig,
}

/// A stack's outputs, as the template names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackOutputs(HashMap<String, String>);

impl StackOutputs {
    /// The value of one output; `None` also if it belongs to a part of the stack that was not asked for.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl AwsAccess {
    /// Finds credentials in environment variables, a profile or the machine's role, as AWS's own tools do.
    ///
    /// # Errors
    /// [`OpenTableError::NoCredentials`]: without credentials, each call would be tried until its deadline.
    pub async fn load() -> Result<Self, OpenTableError> {
        let config = client::load_sdk_config().await;
        let none = || OpenTableError::NoCredentials("nothing provides any".to_owned());
        let provider = config.credentials_provider().ok_or_else(none)?;
        let credentials = provider.provide_credentials().await;
        credentials.map_err(|error| OpenTableError::NoCredentials(describe_causes(&error)))?;
        Ok(Self { config })
    }

    /// The environment's Region; `None` if it names none.
    pub fn default_region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref)
    }

    /// A table by its name, in `region` or else the environment's Region.
    ///
    /// # Errors
    /// [`OpenTableError::NoRegion`]
    pub fn table(&self, region: Option<&str>, name: &str) -> Result<RegionTable, OpenTableError> {
        let region = region.or(self.default_region()).ok_or(OpenTableError::NoRegion)?;
        Ok(RegionTable::new(&self.config(region), name))
    }

    /// The table of a stack, in `region` or else the environment's Region.
    ///
    /// # Errors
    /// See [`OpenTableError`].
    pub async fn table_of_stack(
        &self,
        region: Option<&str>,
        stack: &str,
        deadline: Deadline,
    ) -> Result<RegionTable, OpenTableError> {
        let outputs = self.outputs(region, stack, deadline).await?;
        self.table(region, outputs.get(TABLE_NAME_OUTPUT).ok_or(OpenTableError::NoTableOutput)?)
    }

    /// The outputs of a stack, in `region` or else the environment's Region.
    ///
    /// # Errors
    /// See [`OpenTableError`].
    pub async fn outputs(
        &self,
        region: Option<&str>,
        stack: &str,
        deadline: Deadline,
    ) -> Result<StackOutputs, OpenTableError> {
        let region = region.or(self.default_region()).ok_or(OpenTableError::NoRegion)?;
        let client = Client::new(&self.config(region));
        let output =
            retry_until_deadline(deadline, || client.describe_stacks().stack_name(stack).send()).await;
        let output = output.map_err(|failure| match failure {
            CallFailure::DeadlineExceeded(last_error) => OpenTableError::DeadlineExceeded(last_error),
            CallFailure::Refused(error) if error.code() == Some(NO_STACK_CODE) => {
                OpenTableError::StackNotFound
            }
            CallFailure::Refused(error) => OpenTableError::Refused(error_code_or_text(&error)),
        })?;
        let stack = output.stacks().first().ok_or(OpenTableError::StackNotFound)?;
        let outputs = stack.outputs().iter();
        let read = |of: &Output| Some((of.output_key()?.to_owned(), of.output_value()?.to_owned()));
        Ok(StackOutputs(outputs.filter_map(read).collect()))
    }

    /// The configuration for clients of a Region.
    pub fn config(&self, region: &str) -> SdkConfig {
        self.config.to_builder().region(Region::new(region.to_owned())).build()
    }
}

/// The causes of an SDK's error, in a line: its own text says only that something failed.
fn describe_causes(error: &dyn Error) -> String {
    let line = |error: &dyn Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let Some(mut cause) = error.source() else { return line(error) };
    let mut told = line(cause);
    while let Some(next) = cause.source() {
        told = format!("{told}: {}", line(next));
        cause = next;
    }
    told.trim_end_matches(" Attempted:").to_owned()
}
