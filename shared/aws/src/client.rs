//! How the SDK's clients are made.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

/// How long one attempt may take. DynamoDB answers within 10 ms or so; what takes this long has failed, and is better
/// tried again than waited for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Loads the environment's credentials, Region and endpoints. The SDK retries nothing: the adapters do that themselves,
/// since DynamoDB's unprocessed items are successes to the SDK, and they know the invocation's deadline.
pub async fn load_sdk_config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    aws_config::from_env().retry_config(RetryConfig::disabled()).timeout_config(timeouts).load().await
}
