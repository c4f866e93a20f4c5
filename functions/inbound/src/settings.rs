//! What the template tells the function.

use mailroom_aws::settings::{CommonSettings, SettingError, Variables};
use mailroom_core::inbound::{Disposition, DispositionPolicy, Store};
use mailroom_core::ours::Ours;
use mailroom_core::record::Retention;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account and the Region: by these a receipt is known to be ours. No topic is checked, since an operator's rules
    /// may have any.
    pub ours: Ours,
    /// `MAIL_BUCKET` and `MAIL_PREFIX`: where the stack's rule puts mail, which the Lambda action does not say.
    pub store: Store,
    /// `SPAM_DISPOSITION`, `INCONCLUSIVE_DISPOSITION` and `UNSCANNED_DISPOSITION`: what the verdicts of SES's scans come
    /// to.
    pub disposition: DispositionPolicy,
    /// How long records are kept: see [`Variables::retention`].
    pub retention: Retention,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(
        common: &CommonSettings,
        variables: &Variables<impl Fn(&str) -> Option<String>>,
    ) -> Result<Self, SettingError> {
        let disposition = |name| variables.parsed(name, "clean, suspect or reject", Disposition::parse);
        Ok(Self {
            ours: Ours { account: common.account.clone(), region: common.region.clone(), topic_arn: None },
            store: Store {
                bucket: variables.required("MAIL_BUCKET")?,
                prefix: variables.optional("MAIL_PREFIX").unwrap_or_default(),
            },
            disposition: DispositionPolicy {
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
    use mailroom_aws::settings::but_for;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("MAIL_BUCKET", "b"),
        ("SPAM_DISPOSITION", "reject"),
        ("INCONCLUSIVE_DISPOSITION", "suspect"),
        ("UNSCANNED_DISPOSITION", "clean"),
        ("RETENTION_DAYS", "400"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&CommonSettings::default(), &but_for(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!(settings.store.prefix, "");
        assert_eq!(settings.disposition.spam, Disposition::Reject);
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        assert!(matches!(with("SPAM_DISPOSITION", "none").unwrap_err(), SettingError::Invalid(..)));
    }
}
