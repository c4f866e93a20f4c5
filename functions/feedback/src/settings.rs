//! What the template tells the function.

use std::collections::HashSet;

use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};
use mailroom_core::notification::EventKind;
use mailroom_core::ownership::StackScope;
use mailroom_core::record::Retention;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The account, the Region and `FEEDBACK_TOPIC_ARN`: by these a message is known to be ours.
    pub stack_scope: StackScope,
    /// How long records are kept: see [`EnvironmentVariables::retention`].
    pub retention: Retention,
    /// `KINDS_NOT_STORED`: the kinds of event that are acknowledged without a record.
    pub kinds_not_stored: KindsNotStored,
    /// `SOFT_BOUNCES`: whether the latest delivery to each address is kept, since soft bounces are counted from it on.
    pub stores_deliveries: bool,
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
        Ok(Self {
            stack_scope: StackScope {
                account: common.account.clone(),
                region: common.region.clone(),
                topic_arn: Some(variables.get_required("FEEDBACK_TOPIC_ARN")?),
            },
            retention: variables.retention()?,
            kinds_not_stored: KindsNotStored::parse(
                &variables.get_optional("KINDS_NOT_STORED").unwrap_or_default(),
            ),
            stores_deliveries: variables.counts_soft_bounces()?,
        })
    }
}

/// The kinds of event that are acknowledged without a record. It lists what is left out, so that a kind that SES adds is
/// kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KindsNotStored(HashSet<String>);

impl KindsNotStored {
    /// Reads a list such as `send,delivery,open,click`, with kinds as `mailroom normalize` prints them.
    pub fn parse(list: &str) -> Self {
        Self(list.split(',').map(str::trim).filter(|kind| !kind.is_empty()).map(str::to_owned).collect())
    }

    /// Whether an event of this kind is left out.
    pub fn contains(&self, kind: &EventKind) -> bool {
        self.0.contains(kind.as_str())
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::override_variable;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("FEEDBACK_TOPIC_ARN", "arn"),
        ("RETENTION_DAYS", "400"),
        ("KINDS_NOT_STORED", " send, open ,"),
        ("SOFT_BOUNCES", "off"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&CommonSettings::default(), &override_variable(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert!(settings.kinds_not_stored.contains(&EventKind::Send));
        assert!(settings.kinds_not_stored.contains(&EventKind::Open));
        assert!(!settings.kinds_not_stored.contains(&EventKind::Bounce));
        assert!(!settings.kinds_not_stored.contains(&EventKind::Unknown("Quarantine".to_owned())));
        for (name, _) in ALL.iter().filter(|(name, _)| *name != "KINDS_NOT_STORED") {
            assert_eq!(
                with(name, "").unwrap_err().to_string(),
                format!("environment variable {name} is not set")
            );
        }
        assert!(!settings.stores_deliveries && with("SOFT_BOUNCES", "count").unwrap().stores_deliveries);
        assert_eq!(
            with("SOFT_BOUNCES", "on").unwrap_err().to_string(),
            "environment variable SOFT_BOUNCES must be count or off"
        );
        assert_eq!(with("KINDS_NOT_STORED", "").unwrap().kinds_not_stored, KindsNotStored::default());
    }
}
