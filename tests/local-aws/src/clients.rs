//! The SDK's clients that the tests themselves use: for one Region each, and past the proxy.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_s3::config::RequestChecksumCalculation;

/// The account that dummy credentials belong to.
pub const ACCOUNT: &str = "000000000000";

/// The access key's id and secret. The local AWS does not check either.
pub const CREDENTIAL: &str = "test";

/// The clients of one Region.
#[derive(Debug, Clone)]
pub struct Clients {
    /// CloudFormation: stacks.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// DynamoDB: tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Lambda: functions, which tests invoke as a schedule does.
    pub lambda: aws_sdk_lambda::Client,
    /// S3: the functions' code, and mail.
    pub s3: aws_sdk_s3::Client,
    /// SNS: topics.
    pub sns: aws_sdk_sns::Client,
    /// SQS: queues.
    pub sqs: aws_sdk_sqs::Client,
}

/// A configuration for clients that talk to an endpoint as if it were a Region. Nothing is read from the developer's
/// environment or profile, since no call of a test may reach a real account.
pub fn config(endpoint: &str, region: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            CREDENTIAL, CREDENTIAL, None, None, "local",
        )))
        .build()
}

/// A configuration for clients of a local SES that keeps SES's pace: a call that comes too fast is made again.
pub fn patient(endpoint: &str, region: &str) -> SdkConfig {
    let retries = RetryConfig::standard().with_max_attempts(30).with_max_backoff(Duration::from_secs(2));
    config(endpoint, region).into_builder().retry_config(retries).build()
}

impl Clients {
    /// Clients for an endpoint and a Region: see [`config`].
    pub fn new(endpoint: &str, region: &str) -> Self {
        let config = config(endpoint, region);
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            // With virtual hosts, bucket names would have to resolve.
            .force_path_style(true)
            // Checksums only where S3 requires them: what is uploaded here does not leave this machine.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            lambda: aws_sdk_lambda::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }
}

/// The local AWS's error, in a line. The SDK's own `Display` stops at "service error", and its `DisplayErrorContext` adds
/// the whole answer with its headers.
pub(crate) fn told(error: &(dyn Error + 'static)) -> String {
    let mut parts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(said) = error.downcast_ref::<ErrorMetadata>() {
            return format!(
                "{}: {}",
                said.code().unwrap_or("error"),
                said.message().unwrap_or("without a message")
            );
        }
        parts.push(error.to_string());
        next = error.source();
    }
    parts.join(": ")
}
