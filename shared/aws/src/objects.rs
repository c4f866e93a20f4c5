//! Objects in S3, in whichever Region their bucket lies.
//!
//! A bucket's Region is known from the settings, or found out by the first call to it: S3 names it in
//! `x-amz-bucket-region`, also when it refuses the call (301 for another Region's bucket, 403). It is kept as long as the
//! function's environment lives, since a bucket never moves.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_config::{Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use mailroom_core::inbound::{ObjectFacts, ObjectLocation};

/// Looks at objects, reads their first bytes, and writes small ones.
pub trait ObjectStore {
    /// What S3 says of an object, asked in the bucket's own Region.
    ///
    /// # Errors
    /// See [`ObjectError`]; a missing object is one.
    async fn head(&self, location: &ObjectLocation) -> Result<ObjectFacts, ObjectError>;

    /// At most the first `max_bytes` bytes of the version that `version_facts` describe.
    ///
    /// # Errors
    /// See [`ObjectError`].
    async fn first_bytes(
        &self,
        location: &ObjectLocation,
        version_facts: &ObjectFacts,
        max_bytes: u64,
    ) -> Result<Vec<u8>, ObjectError>;

    /// Writes an object.
    ///
    /// # Errors
    /// See [`ObjectError`].
    async fn put(&self, location: &ObjectLocation, content: Vec<u8>) -> Result<(), ObjectError>;

    /// Writes an object to a bucket in the function's own Region, without asking first where the bucket is.
    ///
    /// # Errors
    /// See [`ObjectError`].
    async fn put_in_own_region(&self, location: &ObjectLocation, content: Vec<u8>)
    -> Result<(), ObjectError>;
}

/// Why S3 did not do as asked. Names no key, since a prefix may hold anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no such object, or not yet. A retry can help.
    #[error("no such object in the bucket")]
    ObjectNotFound,
    /// There is no such bucket. A retry can help once somebody has made it.
    #[error("no such bucket")]
    BucketNotFound,
    /// The role lacks a permission. A retry can help once it is granted.
    #[error("S3 denies access to the object")]
    Denied,
    /// The call was throttled, failed or was not answered. A retry can help.
    #[error("S3 does not answer: {0}")]
    Unavailable(String),
}

/// S3 itself.
pub struct S3ObjectStore {
    config: SdkConfig,
    clients: Mutex<HashMap<String, Client>>,
    regions: Mutex<HashMap<String, String>>,
}

impl S3ObjectStore {
    /// A client in the configuration's own Region, unless a bucket is elsewhere. `bucket_regions` are buckets and their Regions;
    /// one that turns out to be wrong is corrected.
    pub fn new(config: &SdkConfig, bucket_regions: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            config: config.clone(),
            clients: Mutex::default(),
            regions: Mutex::new(bucket_regions.into_iter().collect()),
        }
    }

    fn own_region(&self) -> String {
        self.config.region().map(ToString::to_string).unwrap_or_default()
    }

    fn cached_region(&self, bucket: &str) -> Option<String> {
        self.regions.lock().ok()?.get(bucket).cloned()
    }

    fn cache_region(&self, bucket: &str, region: &str) {
        if let Ok(mut regions) = self.regions.lock() {
            regions.insert(bucket.to_owned(), region.to_owned());
        }
    }

    fn client(&self, region: &str) -> Client {
        let make = || {
            let config =
                aws_sdk_s3::config::Builder::from(&self.config).region(Region::new(region.to_owned()));
            Client::from_conf(config.build())
        };
        self.clients.lock().map_or_else(
            |_| make(),
            |mut clients| clients.entry(region.to_owned()).or_insert_with(make).clone(),
        )
    }

    /// The bucket's Region, which is asked for once if it is not known.
    async fn bucket_region(&self, bucket: &str) -> Result<String, ObjectError> {
        if let Some(region) = self.cached_region(bucket) {
            return Ok(region);
        }
        let home = self.own_region();
        let region = match self.client(&home).head_bucket().bucket(bucket).send().await {
            Ok(found) => found.bucket_region.unwrap_or(home),
            Err(error) => match (region_from_error(&error), classify_error(&error)) {
                (Some(region), _) => region,
                (None, ObjectError::ObjectNotFound) => return Err(ObjectError::BucketNotFound),
                (None, error) => return Err(error),
            },
        };
        self.cache_region(bucket, &region);
        Ok(region)
    }

    /// Makes a call in the bucket's Region, and once more if S3 says that the bucket is in another one.
    async fn call_in_bucket_region<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        bucket: &str,
        call: impl AsyncFn(Client) -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<(T, String), ObjectError> {
        let region = self.bucket_region(bucket).await?;
        let error = match call(self.client(&region)).await {
            Ok(done) => return Ok((done, region)),
            Err(error) => error,
        };
        match region_from_error(&error).filter(|other| *other != region) {
            Some(other) => {
                self.cache_region(bucket, &other);
                let done = call(self.client(&other)).await.map_err(|error| classify_error(&error))?;
                Ok((done, other))
            }
            None => Err(classify_error(&error)),
        }
    }
}

impl ObjectStore for S3ObjectStore {
    async fn head(&self, location: &ObjectLocation) -> Result<ObjectFacts, ObjectError> {
        let head = async |client: Client| {
            client.head_object().bucket(&location.bucket).key(&location.key).send().await
        };
        let (head, region) = self.call_in_bucket_region(&location.bucket, head).await?;
        Ok(object_facts_from_head(head, region))
    }

    async fn first_bytes(
        &self,
        location: &ObjectLocation,
        version_facts: &ObjectFacts,
        max_bytes: u64,
    ) -> Result<Vec<u8>, ObjectError> {
        // S3 refuses a range of an empty object.
        if max_bytes == 0 || version_facts.size == Some(0) {
            return Ok(Vec::new());
        }
        let get = async |client: Client| {
            client
                .get_object()
                .bucket(&location.bucket)
                .key(&location.key)
                .set_version_id(version_facts.version_id.clone())
                .range(format!("bytes=0-{}", max_bytes - 1))
                .send()
                .await
        };
        let (object, _) = self.call_in_bucket_region(&location.bucket, get).await?;
        let body =
            object.body.collect().await.map_err(|error| ObjectError::Unavailable(error.to_string()))?;
        Ok(body.to_vec())
    }

    async fn put(&self, location: &ObjectLocation, content: Vec<u8>) -> Result<(), ObjectError> {
        let put = async |client: Client| {
            client
                .put_object()
                .bucket(&location.bucket)
                .key(&location.key)
                .body(ByteStream::from(content.clone()))
                .send()
                .await
        };
        self.call_in_bucket_region(&location.bucket, put).await.map(|_| ())
    }

    async fn put_in_own_region(
        &self,
        location: &ObjectLocation,
        content: Vec<u8>,
    ) -> Result<(), ObjectError> {
        let put = self.client(&self.own_region()).put_object().bucket(&location.bucket).key(&location.key);
        put.body(ByteStream::from(content)).send().await.map(drop).map_err(|error| classify_error(&error))
    }
}

fn object_facts_from_head(head: HeadObjectOutput, bucket_region: String) -> ObjectFacts {
    ObjectFacts {
        bucket_region,
        // S3's name for what was written before versions were kept is "null".
        version_id: head.version_id.filter(|version| version != "null"),
        etag: head.e_tag,
        size: head.content_length.and_then(|length| u64::try_from(length).ok()),
        server_side_encryption: head.server_side_encryption.map(|encryption| encryption.as_str().to_owned()),
        metadata: head.metadata.unwrap_or_default().into_iter().collect(),
    }
}

/// The Region in which S3 says that the bucket is.
fn region_from_error<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    error.raw_response()?.headers().get("x-amz-bucket-region").map(str::to_owned)
}

/// Reads S3's error. An answer to HEAD has no body, so its status is all there is to go by.
fn classify_error<E: ProvideErrorMetadata + std::error::Error + 'static>(
    error: &SdkError<E, HttpResponse>,
) -> ObjectError {
    let status = error.raw_response().map(|response| response.status().as_u16());
    match (status, error.code()) {
        (_, Some("NoSuchBucket")) => ObjectError::BucketNotFound,
        (Some(404), _) => ObjectError::ObjectNotFound,
        (Some(401 | 403), _) => ObjectError::Denied,
        (_, Some(code)) => ObjectError::Unavailable(code.to_owned()),
        (Some(status), None) => ObjectError::Unavailable(format!("status {status}")),
        (None, None) => ObjectError::Unavailable(DisplayErrorContext(error).to_string()),
    }
}
