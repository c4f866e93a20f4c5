//! The SDK's clients, as the test itself uses them: of one Region, past the proxy.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_s3::config::RequestChecksumCalculation;

/// The account that dummy credentials belong to.
pub const ACCOUNT: &str = "000000000000";

/// Key id and secret: the local AWS asks for neither to be true.
pub const CREDENTIAL: &str = "test";

/// The clients of one Region.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Stacks.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// Tables.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// Functions, invoked as a schedule does.
    pub lambda: aws_sdk_lambda::Client,
    /// Code of functions.
    pub s3: aws_sdk_s3::Client,
    /// Topics.
    pub sns: aws_sdk_sns::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
}

/// Of clients that talk to an endpoint as to a Region. Nothing is read from the developer's environment or profile: no call of
/// a test may reach a real account.
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

/// The same, for a local SES that keeps SES's pace: what comes too fast is sent again.
pub fn patient(endpoint: &str, region: &str) -> SdkConfig {
    let retries = RetryConfig::standard().with_max_attempts(30).with_max_backoff(Duration::from_secs(2));
    config(endpoint, region).into_builder().retry_config(retries).build()
}

impl Clients {
    /// See [`config`].
    pub fn new(endpoint: &str, region: &str) -> Self {
        let config = config(endpoint, region);
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            // Virtual hosts need names that resolve.
            .force_path_style(true)
            // Not of its own accord: what is uploaded here goes no further than a loopback.
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

/// What the local AWS said, in a line. The SDK's own `Display` stops at "service error" and its `DisplayErrorContext`
/// adds the whole answer, headers and all.
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
