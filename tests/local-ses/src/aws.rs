//! The rest of the local AWS, as SES uses it: S3, SNS and Lambda.

use std::collections::HashMap;
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_lambda::error::DisplayErrorContext;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_s3::primitives::{AggregatedBytes, ByteStream};
use bytes::Bytes;
use serde_json::Value;

/// How long SES waits for a function that is invoked synchronously (guide, "Lambda action").
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(30);

/// The access key's id and secret. The local AWS does not check them, and neither does the local SES.
const CREDENTIAL: &str = "test";

/// The error of another service, in words.
pub(crate) type Said = String;

/// The services at one endpoint. A client is made for each call, since Regions differ and calls are few.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    endpoint: String,
}

impl Aws {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned() }
    }

    fn config(&self, region: &str) -> SdkConfig {
        // Nothing is read from the developer's environment or profile: no call may reach a real account.
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(&self.endpoint)
            .timeout_config(TimeoutConfig::builder().operation_timeout(INVOCATION_TIMEOUT).build())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                CREDENTIAL, CREDENTIAL, None, None, "local",
            )))
            .build()
    }

    fn s3(&self, region: &str) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config(region));
        // With virtual hosts, bucket names would have to resolve.
        aws_sdk_s3::Client::from_conf(config.force_path_style(true).build())
    }

    /// The Region of a bucket; `None` if there is no such bucket. Whoever asks in another Region is told in a header, which
    /// also comes with a 301 or a 403.
    pub(crate) async fn bucket_region(&self, bucket: &str, asked_in: &str) -> Result<Option<String>, Said> {
        match self.s3(asked_in).head_bucket().bucket(bucket).send().await {
            Ok(answer) => Ok(Some(answer.bucket_region().unwrap_or(asked_in).to_owned())),
            Err(error) => match error.raw_response() {
                Some(raw) => match raw.headers().get("x-amz-bucket-region") {
                    Some(region) => Ok(Some(region.to_owned())),
                    None if raw.status().as_u16() == 404 => Ok(None),
                    None => Err(said(&error)),
                },
                None => Err(said(&error)),
            },
        }
    }

    /// The policy of a bucket; `None` if it has none.
    pub(crate) async fn bucket_policy(&self, region: &str, bucket: &str) -> Result<Option<Value>, Said> {
        let answer = self.s3(region).get_bucket_policy().bucket(bucket).send().await;
        match answer {
            Ok(answer) => Ok(answer.policy().and_then(|policy| serde_json::from_str(policy).ok())),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(said(&error)),
        }
    }

    /// The policy of a function; `None` if it has none.
    pub(crate) async fn function_policy(&self, region: &str, function: &str) -> Result<Option<Value>, Said> {
        let lambda = aws_sdk_lambda::Client::new(&self.config(region));
        match lambda.get_policy().function_name(function).send().await {
            Ok(answer) => Ok(answer.policy().and_then(|policy| serde_json::from_str(policy).ok())),
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 404) => Ok(None),
            Err(error) => Err(said(&error)),
        }
    }

    pub(crate) async fn put(
        &self,
        region: &str,
        bucket: &str,
        key: &str,
        content: Bytes,
        metadata: HashMap<String, String>,
    ) -> Result<(), Said> {
        self.s3(region)
            .put_object()
            .bucket(bucket)
            .key(key)
            .set_metadata((!metadata.is_empty()).then_some(metadata))
            .body(ByteStream::from(content))
            .send()
            .await
            .map(drop)
            .map_err(|error| said(&error))
    }

    pub(crate) async fn get(&self, region: &str, bucket: &str, key: &str) -> Result<Bytes, Said> {
        let answer = self.s3(region).get_object().bucket(bucket).key(key).send().await;
        let content = answer.map_err(|error| said(&error))?.body.collect().await;
        content.map(AggregatedBytes::into_bytes).map_err(|error| said(&error))
    }

    pub(crate) async fn topic_exists(&self, region: &str, topic: &str) -> Result<(), Said> {
        let sns = aws_sdk_sns::Client::new(&self.config(region));
        sns.get_topic_attributes().topic_arn(topic).send().await.map(drop).map_err(|error| said(&error))
    }

    pub(crate) async fn publish(
        &self,
        region: &str,
        topic: &str,
        subject: Option<&str>,
        message: String,
    ) -> Result<(), Said> {
        aws_sdk_sns::Client::new(&self.config(region))
            .publish()
            .topic_arn(topic)
            .set_subject(subject.map(str::to_owned))
            .message(message)
            .send()
            .await
            .map(drop)
            .map_err(|error| said(&error))
    }

    /// Checks that a function exists and could be invoked, without invoking it.
    pub(crate) async fn function_exists(&self, region: &str, function: &str) -> Result<(), Said> {
        self.invocation(region, function, InvocationType::DryRun, Vec::new()).await.map(drop)
    }

    /// Invokes a function. The answer is empty if the invocation is not waited for.
    pub(crate) async fn invoke(
        &self,
        region: &str,
        function: &str,
        waits: bool,
        event: Vec<u8>,
    ) -> Result<Vec<u8>, Said> {
        let kind = if waits { InvocationType::RequestResponse } else { InvocationType::Event };
        self.invocation(region, function, kind, event).await
    }

    async fn invocation(
        &self,
        region: &str,
        function: &str,
        kind: InvocationType,
        event: Vec<u8>,
    ) -> Result<Vec<u8>, Said> {
        let answer = aws_sdk_lambda::Client::new(&self.config(region))
            .invoke()
            .function_name(function)
            .invocation_type(kind)
            .payload(Blob::new(event))
            .send()
            .await
            .map_err(|error| said(&error))?;
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        match answer.function_error {
            Some(error) => Err(format!("{function}: {error}: {}", String::from_utf8_lossy(&payload))),
            None => Ok(payload),
        }
    }
}

fn said(error: impl std::error::Error) -> Said {
    DisplayErrorContext(error).to_string()
}
