//! Whether a bucket exists, in whichever Region.

use aws_config::retry::RetryConfig;
use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;

use super::error::{ApiError, classify_error};
use crate::facts::{ApiAnswer, BucketExistence};

/// Asks whether buckets exist.
pub trait BucketReader {
    /// Whether there is such a bucket (S3's `HeadBucket`, which takes `s3:ListBucket`).
    ///
    /// # Errors
    /// See [`ApiError`]; a denial is in the answer.
    async fn bucket(&self, name: &str) -> Result<BucketExistence, ApiError>;
}

/// S3 itself.
pub struct S3BucketReader {
    config: SdkConfig,
}

impl S3BucketReader {
    /// A client that asks in the configuration's own Region, unless a bucket is elsewhere.
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone() }
    }

    fn client(&self, region: Option<String>) -> Client {
        let config = aws_sdk_s3::config::Builder::from(&self.config).retry_config(RetryConfig::disabled());
        let config = match region {
            Some(region) => config.region(Region::new(region)),
            None => config,
        };
        Client::from_conf(config.build())
    }
}

impl BucketReader for S3BucketReader {
    async fn bucket(&self, name: &str) -> Result<BucketExistence, ApiError> {
        let home = self.config.region().map(ToString::to_string);
        let mut asked = self.client(None).head_bucket().bucket(name).send().await;
        // S3 answers differently here for another Region's bucket than it does there (301, or 400 in some Regions).
        let elsewhere =
            asked.as_ref().err().and_then(region_from_error).filter(|region| Some(region) != home.as_ref());
        if let Some(region) = elsewhere {
            asked = self.client(Some(region)).head_bucket().bucket(name).send().await;
        }
        let exists = match asked {
            Ok(_) => ApiAnswer::Answered(true),
            Err(error) if error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404) => {
                ApiAnswer::Answered(false)
            }
            Err(error) => match classify_error(&error) {
                ApiError::Denied => ApiAnswer::Denied("s3:ListBucket".to_owned()),
                error => return Err(error),
            },
        };
        Ok(BucketExistence { name: name.to_owned(), exists })
    }
}

/// The Region in which S3 says that the bucket is. S3 tells it in answers of 301, 400 and 403, too (S3 API Reference,
/// `HeadBucket`).
fn region_from_error<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    error.raw_response()?.headers().get("x-amz-bucket-region").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::{Answer, Stub};

    #[tokio::test]
    async fn a_bucket_is_there_or_elsewhere_or_not_or_nobody_says() {
        let bucket = |exists: ApiAnswer<bool>| Ok(BucketExistence { name: "mail".to_owned(), exists });
        let there = || bucket(ApiAnswer::Answered(true));
        let denied = || bucket(ApiAnswer::Denied("s3:ListBucket".to_owned()));
        let answers = [
            (200, Some("us-east-1")),
            // Older stand-ins for S3 do not name the Region.
            (200, None),
            (301, Some("eu-west-1")),
            (200, Some("eu-west-1")),
            (301, Some("eu-west-1")),
            (403, Some("eu-west-1")),
            (403, Some("us-east-1")),
            (404, None),
            (503, None),
        ];
        // S3 answers HEAD without a body.
        let stub = Stub::start(answers.map(|(status, region)| {
            let answer = Answer::from((status, ""));
            region.into_iter().fold(answer, |answer, region| answer.with("x-amz-bucket-region", region))
        }));
        let s3 = S3BucketReader::new(&stub.config());
        for expected in [
            there(),
            there(),
            there(),
            denied(),
            denied(),
            bucket(ApiAnswer::Answered(false)),
            Err(ApiError::Unavailable("status 503".to_owned())),
        ] {
            assert_eq!(s3.bucket("mail").await, expected);
        }
        let requests = stub.requests();
        // A bucket that is elsewhere is asked for again there.
        assert_eq!(requests.len(), answers.len());
        for request in requests {
            assert!(request.head.starts_with("HEAD /mail"), "{}", request.head);
        }
    }
}
