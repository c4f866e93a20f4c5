//! Where a mail lies.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::receipt::Receipt;
use crate::text::{MAX_SES_TEXT_CHARS, sanitize_text};

/// The bucket and prefix of the stack's receipt rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailStore {
    /// The bucket's name.
    pub bucket: String,
    /// The prefix, as the rule's S3 action has it; it may be empty.
    pub prefix: String,
}

/// An object in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLocation {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key, as S3 takes it.
    pub key: String,
}

impl ObjectLocation {
    /// Where the mail lies: where the S3 action says, or else, since no other action says it, where the stack's rule puts
    /// it. `None` if neither is known. Inline content belongs there too.
    pub fn from_receipt(receipt: &Receipt, store: Option<&MailStore>) -> Option<Self> {
        let action = &receipt.details.action;
        if let Some(bucket) = action.bucket_name.get() {
            let prefix = action.object_key_prefix.get().unwrap_or_default();
            let key = action
                .object_key
                .get()
                .map_or_else(|| object_key_in_folder(prefix, receipt.message_id()), str::to_owned);
            return Some(Self { bucket: bucket.to_owned(), key });
        }
        let store = store?;
        Some(Self {
            bucket: store.bucket.clone(),
            key: object_key_in_folder(&store.prefix, receipt.message_id()),
        })
    }
}

/// The key under which SES's S3 action stores a mail. A prefix is a folder's name, with or without its slash ("Deliver to
/// S3 bucket action", Amazon SES Developer Guide: with prefix `Email`, mail appears in a folder named `Email`).
pub fn object_key_in_folder(folder_prefix: &str, message_id: &str) -> String {
    let slash = if folder_prefix.is_empty() || folder_prefix.ends_with('/') { "" } else { "/" };
    format!("{folder_prefix}{slash}{message_id}")
}

/// What S3 says of an object (HeadObject), and in which Region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectFacts {
    /// The Region in which the bucket lies.
    pub bucket_region: String,
    /// The object's version (`x-amz-version-id`).
    pub version_id: Option<String>,
    /// The object's `ETag`, as it came.
    pub etag: Option<String>,
    /// The object's size in bytes (`Content-Length`).
    pub size: Option<u64>,
    /// How S3 encrypts the object (`x-amz-server-side-encryption`).
    pub server_side_encryption: Option<String>,
    /// The object's user metadata; names may have the prefix `x-amz-meta-` or not.
    pub metadata: BTreeMap<String, String>,
}

impl ObjectFacts {
    /// How the object is encrypted. Encryption on the client's side is what a reader has to know, whatever S3 does
    /// besides.
    pub fn encryption(&self) -> ObjectEncryption {
        let metadata = |wanted: &str| {
            let plain = |name: &str| name.to_ascii_lowercase().trim_start_matches("x-amz-meta-").to_owned();
            self.metadata.iter().find(|(name, _)| plain(name) == wanted).map(|(_, value)| value.as_str())
        };
        // The formats of Amazon's S3 encryption client ("Content Metadata", its specification): `x-amz-key` is the first,
        // which wraps with other keys than KMS's; SES writes the second, of which KMS is the usual wrapping.
        let wrapping = metadata("x-amz-wrap-alg").or(metadata("x-amz-w"));
        if metadata("x-amz-key-v2").or(metadata("x-amz-3")).is_some() {
            return match wrapping {
                None | Some("kms" | "kms+context" | "12") => ObjectEncryption::ClientKms,
                Some(_) => ObjectEncryption::Client,
            };
        }
        if metadata("x-amz-key").is_some() {
            return ObjectEncryption::Client;
        }
        match self.server_side_encryption.as_deref() {
            None | Some("") => ObjectEncryption::None,
            Some("AES256") => ObjectEncryption::SseS3,
            Some("aws:kms") => ObjectEncryption::SseKms,
            Some("aws:kms:dsse") => ObjectEncryption::SseKmsDsse,
            Some(other) => ObjectEncryption::Unknown(sanitize_text(other, 64)),
        }
    }
}

/// How an object is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectEncryption {
    /// The object is not encrypted.
    None,
    /// S3 encrypts the object with its own keys.
    SseS3,
    /// S3 encrypts the object with a KMS key: whoever reads it needs that key's `kms:Decrypt`.
    SseKms,
    /// S3 encrypts the object with a KMS key in two layers.
    SseKmsDsse,
    /// The object was encrypted with a KMS key before it came to S3 (the S3 action's `KmsKeyArn`): GetObject yields
    /// ciphertext.
    ClientKms,
    /// The object was encrypted with another key before it came to S3.
    Client,
    /// A way that S3 has added since, as it spelled it (capped).
    Unknown(String),
}

impl ObjectEncryption {
    /// The name of the encryption: `none`, `sse-s3`, `client-kms`, …; an unknown one as S3 spelled it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::SseS3 => "sse-s3",
            Self::SseKms => "sse-kms",
            Self::SseKmsDsse => "sse-kms-dsse",
            Self::ClientKms => "client-kms",
            Self::Client => "client",
            Self::Unknown(encryption) => encryption,
        }
    }

    /// Whether GetObject yields something other than the mail.
    pub fn is_client_side(&self) -> bool {
        matches!(self, Self::ClientKms | Self::Client)
    }
}

impl Serialize for ObjectEncryption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Where a mail lies, and what it takes to read it. What only S3 can tell is absent without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "S3's own names")]
pub struct MailReference {
    pub bucket: String,
    pub bucket_region: Option<String>,
    pub key: String,
    pub version_id: Option<String>,
    pub etag: Option<String>,
    pub size: Option<u64>,
    pub encryption: Option<ObjectEncryption>,
    /// Whether the mail lies in another Region than the one that received it; `None` if that is not known.
    pub crosses_regions: Option<bool>,
}

impl MailReference {
    pub(super) fn new(
        location: &ObjectLocation,
        object: Option<&ObjectFacts>,
        receiving_region: Option<&str>,
    ) -> Self {
        let text =
            |text: &Option<String>| text.as_deref().map(|text| sanitize_text(text, MAX_SES_TEXT_CHARS));
        Self {
            // Keeps the names as they came: whoever reads the mail gives them back to S3.
            bucket: location.bucket.clone(),
            key: location.key.clone(),
            bucket_region: object.map(|object| object.bucket_region.clone()),
            version_id: object.and_then(|object| text(&object.version_id)),
            etag: object.and_then(|object| text(&object.etag)),
            size: object.and_then(|object| object.size),
            encryption: object.map(ObjectFacts::encryption),
            crosses_regions: object
                .and_then(|object| receiving_region.map(|received_in| received_in != object.bucket_region)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_folder() {
        for (prefix, expected) in
            [("", "m-1"), ("mail/", "mail/m-1"), ("mail", "mail/m-1"), ("a/b c/", "a/b c/m-1")]
        {
            assert_eq!(object_key_in_folder(prefix, "m-1"), expected);
        }
    }

    /// S3's header, user metadata, and what they mean.
    type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn encryption_by_header_and_metadata() {
        let facts = |header: Option<&str>, metadata: &[(&str, &str)]| ObjectFacts {
            server_side_encryption: header.map(str::to_owned),
            metadata: metadata
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..ObjectFacts::default()
        };
        let cases: &[Case] = &[
            (None, &[], "none"),
            (Some("AES256"), &[("author", "x-amz-key-v2")], "sse-s3"),
            (Some("aws:kms"), &[], "sse-kms"),
            (Some("aws:kms:dsse"), &[], "sse-kms-dsse"),
            (Some("aws:fsx"), &[], "aws:fsx"),
            // As SES writes it, over S3's own default.
            (
                Some("AES256"),
                &[
                    ("x-amz-key-v2", "AQID"),
                    ("x-amz-iv", "aXY="),
                    ("x-amz-cek-alg", "AES/GCM/NoPadding"),
                    ("x-amz-wrap-alg", "kms"),
                    ("x-amz-matdesc", r#"{"kms_cmk_id":"arn"}"#),
                ],
                "client-kms",
            ),
            (
                None,
                &[("X-Amz-Meta-X-Amz-Key-V2", "AQID"), ("x-amz-meta-x-amz-wrap-alg", "kms+context")],
                "client-kms",
            ),
            (None, &[("x-amz-key-v2", "AQID")], "client-kms"),
            (None, &[("x-amz-key-v2", "AQID"), ("x-amz-wrap-alg", "AES/GCM")], "client"),
            (None, &[("x-amz-3", "AQID"), ("x-amz-w", "12"), ("x-amz-c", "115")], "client-kms"),
            (None, &[("x-amz-3", "AQID"), ("x-amz-w", "02"), ("x-amz-c", "115")], "client"),
            (Some("aws:kms"), &[("x-amz-key", "AQID"), ("x-amz-iv", "aXY=")], "client"),
        ];
        for (header, metadata, expected) in cases {
            let encryption = facts(*header, metadata).encryption();
            assert_eq!(encryption.as_str(), *expected, "{header:?} {metadata:?}");
            assert_eq!(encryption.is_client_side(), expected.starts_with("client"));
        }
    }
}
