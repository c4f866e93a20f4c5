//! What the template tells the function.

use mailroom_aws::settings::{SettingError, Variables};
use mailroom_core::inbound::{Disposition, DispositionPolicy, Store};
use mailroom_core::ours::Ours;
use mailroom_core::record::Retention;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// `DEAD_LETTER_QUEUE_URL`: the URL of the queue for what can never be processed.
    pub dead_letter_queue: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name of this function, set by Lambda.
    pub function: String,
    /// `ACCOUNT_ID` and Lambda's `AWS_REGION`: by these a receipt is known to be ours. No topic is checked, since an
    /// operator's rules may have any.
    pub ours: Ours,
    /// `MAIL_BUCKET` and `MAIL_PREFIX`: where the stack's rule puts mail, which the Lambda action does not say.
    pub store: Store,
    /// `MAIL_BUCKET_REGION`: the bucket's Region. If `None`, the function finds it out.
    pub bucket_region: Option<String>,
    /// `MAIL_HEAD_BYTES`: the number of bytes that are read of a mail for its structure; 0 reads nothing.
    pub head_bytes: u64,
    /// `SPAM_DISPOSITION`, `INCONCLUSIVE_DISPOSITION` and `UNSCANNED_DISPOSITION`: what the verdicts of SES's scans come
    /// to.
    pub disposition: DispositionPolicy,
    /// `RETENTION_DAYS`: how long records are kept.
    pub retention: Retention,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        let disposition = |name| variables.parsed(name, "clean, suspect or reject", Disposition::parse);
        let days =
            variables.parsed("RETENTION_DAYS", "a number of days up to 65535", |days| days.parse().ok())?;
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            dead_letter_queue: variables.required("DEAD_LETTER_QUEUE_URL")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
            ours: Ours {
                account: variables.required("ACCOUNT_ID")?,
                region: variables.required("AWS_REGION")?,
                topic_arn: None,
            },
            store: Store {
                bucket: variables.required("MAIL_BUCKET")?,
                prefix: variables.optional("MAIL_PREFIX").unwrap_or_default(),
            },
            bucket_region: variables.optional("MAIL_BUCKET_REGION"),
            head_bytes: variables
                .parsed("MAIL_HEAD_BYTES", "a number of bytes", |bytes| bytes.parse().ok())?,
            disposition: DispositionPolicy {
                spam: disposition("SPAM_DISPOSITION")?,
                inconclusive: disposition("INCONCLUSIVE_DISPOSITION")?,
                unscanned: disposition("UNSCANNED_DISPOSITION")?,
            },
            retention: Retention { days },
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::but_for;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("TABLE_NAME", "t"),
        ("DEAD_LETTER_QUEUE_URL", "https://sqs/dead"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("ACCOUNT_ID", "123456789012"),
        ("AWS_REGION", "us-east-1"),
        ("MAIL_BUCKET", "b"),
        ("MAIL_HEAD_BYTES", "65536"),
        ("SPAM_DISPOSITION", "reject"),
        ("INCONCLUSIVE_DISPOSITION", "suspect"),
        ("UNSCANNED_DISPOSITION", "clean"),
        ("RETENTION_DAYS", "400"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&but_for(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!(settings.bucket_region, None);
        assert_eq!(settings.store.prefix, "");
        assert_eq!(settings.disposition.spam, Disposition::Reject);
        assert_eq!(
            with("MAIL_BUCKET_REGION", "eu-west-1").unwrap().bucket_region.as_deref(),
            Some("eu-west-1")
        );
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for name in ["RETENTION_DAYS", "MAIL_HEAD_BYTES", "SPAM_DISPOSITION"] {
            assert!(matches!(with(name, "none").unwrap_err(), SettingError::Invalid(..)), "{name}");
        }
    }
}
