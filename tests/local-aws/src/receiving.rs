//! Mail for the stacks of a local AWS: a local SES with the same receipt rules that the template describes.
//!
//! The local CloudFormation knows no receipt rules, so a stack is deployed with `ReceiptRules=operator`; what is installed
//! here is what the template would have made of the same parameters with `ReceiptRules=mailroom`.

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use local_ses::template::{Stack, TemplateError, rules_from_template};
use local_ses::{Config, InstallError, LocalSes};

use crate::clients::{ACCOUNT, told};
use crate::local::{LocalAws, Regional};
use crate::stack::Deployment;

/// Why mail cannot be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceivingError {
    /// The local SES did not start.
    #[error("could not start the local SES: {0}")]
    Start(#[source] std::io::Error),
    /// The template's file cannot be read.
    #[error("could not read {path}: {source}")]
    Read {
        /// The template's path.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The receipt rules cannot be read from the template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The local SES refuses the rules.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// A call of the local AWS failed.
    #[error("could not {what}: {message}")]
    Call {
        /// What was tried.
        what: &'static str,
        /// The local AWS's error.
        message: String,
    },
}

/// Starts a local SES whose actions reach this local AWS directly, not through the proxy.
pub async fn start(aws: &LocalAws) -> Result<LocalSes, ReceivingError> {
    let config = Config { account: ACCOUNT.to_owned(), ..Config::default() };
    let ses = LocalSes::start(config).await.map_err(ReceivingError::Start)?;
    ses.connect(&aws.ministack().endpoint());
    Ok(ses)
}

/// Gives a Region's SES the rules that the template describes for a stack, and activates them.
pub async fn install(
    ses: &LocalSes,
    region: &Regional,
    deployment: &Deployment,
) -> Result<(), ReceivingError> {
    let path = &deployment.template;
    let template = std::fs::read_to_string(path)
        .map_err(|source| ReceivingError::Read { path: path.display().to_string(), source })?;
    let mut stack = Stack::new(region.stack(), region.name(), ACCOUNT);
    for (name, value) in &deployment.parameters {
        stack = stack.parameter(name, value);
    }
    stack = stack.parameter("ReceiptRules", "mailroom");
    let resources = region
        .clients()
        .cloudformation
        .describe_stack_resources()
        .stack_name(region.stack())
        .send()
        .await
        .map_err(|error| ReceivingError::Call {
            what: "list the stack's resources",
            message: told(&error),
        })?;
    for resource in resources.stack_resources() {
        if let (Some(logical), Some(physical)) =
            (resource.logical_resource_id(), resource.physical_resource_id())
        {
            stack = stack.resource(logical, physical);
        }
    }
    let rule_sets = rules_from_template(&template, &stack)?;
    let active = rule_sets.first().map(|set| set.name.clone());
    ses.install(region.name(), &rule_sets, active.as_deref()).await?;
    Ok(())
}

/// Makes a bucket in a Region, for mail that is received in another Region.
pub async fn make_bucket(
    aws: &LocalAws,
    bucket: &str,
    region: &str,
) -> Result<aws_sdk_s3::Client, ReceivingError> {
    let s3 = crate::clients::Clients::new(&aws.ministack().endpoint(), region).s3;
    let constraint = BucketLocationConstraint::from(region);
    s3.create_bucket()
        .bucket(bucket)
        .create_bucket_configuration(
            CreateBucketConfiguration::builder().location_constraint(constraint).build(),
        )
        .send()
        .await
        .map_err(|error| ReceivingError::Call { what: "make a bucket for mail", message: told(&error) })?;
    Ok(s3)
}
