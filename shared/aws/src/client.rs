//! How the SDK's clients are made.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use tokio::time::Instant;

/// DynamoDB answers within 10 ms or so; what takes this long has failed, and is better tried again than waited for.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// The environment's credentials, Region and endpoints. Nothing is retried by the SDK: the adapters retry themselves,
/// since DynamoDB's unprocessed items are successes to the SDK, and they know the invocation's deadline.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    aws_config::from_env().retry_config(RetryConfig::disabled()).timeout_config(timeouts).load().await
}

/// How much of an invocation's time is kept back to answer in.
const TO_ANSWER: Duration = Duration::from_secs(1);

/// When an invocation must be done with calls, given the time at which Lambda ends it.
pub fn deadline(ends_at: SystemTime) -> Instant {
    let left = ends_at.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(TO_ANSWER)
}
