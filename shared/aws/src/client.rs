//! How the SDK's clients are made.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use tokio::time::Instant;

/// How long one attempt may take. DynamoDB answers within 10 ms or so; what takes this long has failed, and is better
/// tried again than waited for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Loads the environment's credentials, Region and endpoints. The SDK retries nothing: the adapters do that themselves,
/// since DynamoDB's unprocessed items are successes to the SDK, and they know the invocation's deadline.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    aws_config::from_env().retry_config(RetryConfig::disabled()).timeout_config(timeouts).load().await
}

/// How much of an invocation's time is kept back for its answer.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// When an invocation must have finished its calls, given the time at which Lambda ends it.
pub fn deadline(ends_at: SystemTime) -> Instant {
    let left = ends_at.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(TIME_TO_ANSWER)
}
