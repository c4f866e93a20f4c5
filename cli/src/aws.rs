//! How the commands that need AWS reach it, and how its refusals are told to a person.

use std::future::Future;
use std::io;
use std::time::Duration;

use mailroom_aws::deadline::Deadline;
use mailroom_aws::operator::{AwsAccess, OpenTableError};
use mailroom_aws::table::{RegionTable, TableError};
use tokio::runtime;

/// How long a call or a few may take, retries included.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// The arguments that say which table it is.
#[derive(clap::Args)]
pub(crate) struct TableArguments {
    /// The stack whose output `TableName` names the table
    #[arg(long, value_name = "NAME", default_value = "mailroom")]
    stack: String,
    /// The table's own name, which CloudFormation is not asked for then
    #[arg(long, value_name = "NAME", conflicts_with = "stack")]
    table: Option<String>,
}

impl TableArguments {
    /// The stack's name.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }

    /// Whether the table itself is named.
    pub(crate) fn has_table_name(&self) -> bool {
        self.table.is_some()
    }

    /// Opens the table of a Region, or of the environment's Region. Tells in words what stands in the way.
    pub(crate) async fn open_table(
        &self,
        access: &AwsAccess,
        region: Option<&str>,
    ) -> Result<RegionTable, String> {
        let opened = self.try_open_table(access, region).await;
        opened.map_err(|error| {
            self.explain_open_error(&error, region.or(access.default_region()).unwrap_or_default())
        })
    }

    /// The same, for decisions: a stack that has no decide function keeps records, and would leave a decision lying among them.
    /// A table that is named itself is taken as it is, since nothing tells what becomes of its records.
    pub(crate) async fn open_table_for_decisions(
        &self,
        access: &AwsAccess,
        region: Option<&str>,
    ) -> Result<RegionTable, String> {
        if self.table.is_some() {
            return self.open_table(access, region).await;
        }
        let opened = access.outputs(region, &self.stack, call_deadline()).await.and_then(|outputs| {
            let table =
                access.table(region, outputs.get("TableName").ok_or(OpenTableError::NoTableOutput)?)?;
            Ok((table, outputs.get("DecideFunctionName").is_some()))
        });
        match opened {
            Ok((table, true)) => Ok(table),
            Ok((table, false)) => Err(format!(
                "{}: nothing has been written, for nobody would act on it: the stack {} does not keep the suppression list \
                 (Suppression=off; it has no output DecideFunctionName). Name a Region whose stack does with --region, or update \
                 this one with Suppression=on",
                table.region(),
                self.stack
            )),
            Err(error) => {
                Err(self.explain_open_error(&error, region.or(access.default_region()).unwrap_or_default()))
            }
        }
    }

    /// Opens the table, for those to whom it matters what stands in the way.
    pub(crate) async fn try_open_table(
        &self,
        access: &AwsAccess,
        region: Option<&str>,
    ) -> Result<RegionTable, OpenTableError> {
        match &self.table {
            Some(table) => access.table(region, table),
            None => access.table_of_stack(region, &self.stack, call_deadline()).await,
        }
    }

    /// Why a Region's table could not be opened, in words.
    pub(crate) fn explain_open_error(&self, error: &OpenTableError, region: &str) -> String {
        match error {
            OpenTableError::StackNotFound => format!(
                "{region} has no stack {}: name it with --stack, or its table with --table",
                self.stack
            ),
            OpenTableError::Refused(code) => {
                format!(
                    "{region}: cloudformation:DescribeStacks: {}; --table NAME does without",
                    explain_error_code(code)
                )
            }
            other => explain_stack_error(other, region, &self.stack),
        }
    }
}

/// Why a stack could not be found or is of no use, in words.
pub(crate) fn explain_stack_error(error: &OpenTableError, region: &str, stack: &str) -> String {
    match error {
        OpenTableError::NoRegion => "which Region? Say it with --region, or by AWS_REGION".to_owned(),
        OpenTableError::StackNotFound => format!("{region} has no stack {stack}: name it with --stack"),
        OpenTableError::NoTableOutput => format!(
            "{region}: the stack {stack} has no output TableName: is it Mailroom's, and has it been deployed to its end?"
        ),
        OpenTableError::Refused(code) => {
            format!("{region}: cloudformation:DescribeStacks: {}", explain_error_code(code))
        }
        other => format!("{region}: {other}"),
    }
}

/// Whether AWS refuses credentials in a Region as it does in one that the account has not enabled. It may also be that it knows
/// them nowhere.
pub(crate) fn may_mean_region_disabled(error_code: &str) -> bool {
    ["InvalidClientTokenId", "OptInRequired", "UnrecognizedClientException"].contains(&error_code)
}

/// When to give up a call that starts now.
pub(crate) fn call_deadline() -> Deadline {
    Deadline::after(CALL_TIMEOUT)
}

/// Runs what needs AWS.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(runtime::Builder::new_current_thread().enable_all().build()?.block_on(work))
}

/// The environment's credentials; in words why there are none.
pub(crate) async fn load_access() -> Result<AwsAccess, String> {
    AwsAccess::load().await.map_err(|error| {
        format!(
            "{error}\n(AWS_PROFILE, or the variables AWS_ACCESS_KEY_ID and so on; after `aws sso login` \
             `eval \"$(aws configure export-credentials --format env)\"` sets them)"
        )
    })
}

/// What it takes to read somebody's state and history.
pub(crate) const READ_ACTIONS: &str = "dynamodb:GetItem and dynamodb:Query";

/// Why a table could not be read or written, in words, and what that takes.
pub(crate) fn explain_table_error(error: &TableError, required_actions: &str) -> String {
    match error {
        TableError::Refused(code) => explain_error_code_with_actions(code, required_actions),
        other => other.to_string(),
    }
}

/// What AWS means by a code, and which permissions it takes if they are missing.
fn explain_error_code_with_actions(code: &str, required_actions: &str) -> String {
    if code == "AccessDeniedException" {
        return format!("{}: it takes {required_actions}", explain_error_code(code));
    }
    explain_error_code(code)
}

/// What AWS means by a code, as far as an operator can do something about it.
fn explain_error_code(code: &str) -> String {
    let means = match code {
        "ResourceNotFoundException" => "there is no such table",
        "AccessDenied" | "AccessDeniedException" => "these credentials may not do that",
        "ExpiredToken" | "ExpiredTokenException" => "the credentials have expired",
        "InvalidClientTokenId" | "UnrecognizedClientException" => "AWS does not know these credentials",
        "InvalidSignatureException" | "SignatureDoesNotMatch" => {
            "the secret key is wrong, or this machine's clock"
        }
        _ => return format!("refused: {code}"),
    };
    format!("{means} ({code})")
}
