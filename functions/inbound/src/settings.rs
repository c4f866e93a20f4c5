//! What the template tells the function.

use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};
use mailroom_core::inbound::{DispositionPolicy, MailDisposition, MailStore};
use mailroom_core::ownership::StackScope;
use mailroom_core::record::Retention;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account and the Region: by these a receipt is known to be ours. No topic is checked, since an operator's rules
    /// may have any.
    pub stack_scope: StackScope,
    /// `MAIL_BUCKET` and `MAIL_PREFIX`: where the stack's rule puts mail, which the Lambda action does not say.
    pub mail_store: MailStore,
    /// `SPAM_DISPOSITION`, `INCONCLUSIVE_DISPOSITION` and `UNSCANNED_DISPOSITION`: what the verdicts of SES's scans come
    /// to.
    pub disposition_policy: DispositionPolicy,
    /// How long records are kept: see [`EnvironmentVariables::retention`].
    pub retention: Retention,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(
        common: &CommonSettings,
        variables: &EnvironmentVariables<impl Fn(&str) -> Option<String>>,
    ) -> Result<Self, SettingError> {
        let disposition =
            |name| variables.parse_required(name, "clean, suspect or reject", MailDisposition::parse);
        Ok(Self {
            stack_scope: StackScope {
                account: common.account.clone(),
                region: common.region.clone(),
                topic_arn: None,
            },
            mail_store: MailStore {
                bucket: variables.get_required("MAIL_BUCKET")?,
                prefix: variables.get_optional("MAIL_PREFIX").unwrap_or_default(),
            },
            disposition_policy: DispositionPolicy {
                spam: disposition("SPAM_DISPOSITION")?,
                inconclusive: disposition("INCONCLUSIVE_DISPOSITION")?,
                unscanned: disposition("UNSCANNED_DISPOSITION")?,
            },
            retention: variables.retention()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::override_variable;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("MAIL_BUCKET", "b"),
        ("SPAM_DISPOSITION", "reject"),
        ("INCONCLUSIVE_DISPOSITION", "suspect"),
        ("UNSCANNED_DISPOSITION", "clean"),
        ("RETENTION_DAYS", "400"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&CommonSettings::default(), &override_variable(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!(settings.mail_store.prefix, "");
        assert_eq!(settings.disposition_policy.spam, MailDisposition::Reject);
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        assert!(matches!(with("SPAM_DISPOSITION", "none").unwrap_err(), SettingError::Invalid(..)));
    }
}
