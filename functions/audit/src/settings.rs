//! What the template tells the function.

use std::time::Duration;

use mailroom_audit::facts::StackFacts;
use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The Region and account, `FEEDBACK_TOPIC_ARN` and `CONFIGURATION_SET`; `RULE_SET`, empty if the stack has none;
    /// `RECEIVES`, `true` or `false`; `RECONCILE_FUNCTION`, empty if the stack does not keep the suppression list.
    pub stack: StackFacts,
    /// `PEERS`: see [`EnvironmentVariables::peer_regions`].
    pub peers: Vec<String>,
    /// Whether this Region asks IAM, which is global. Of itself and its peers, the Region whose name sorts first does, so
    /// that of Regions with the same list of peers exactly one asks.
    pub reads_iam: bool,
    /// The time between two calls, from `REQUESTS_PER_SECOND`. SES takes one a second, and may raise that.
    pub call_interval: Duration,
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
        let peers = variables.peer_regions(&common.region)?;
        Ok(Self {
            reads_iam: peers.iter().all(|peer| common.region < *peer),
            peers,
            stack: StackFacts {
                region: common.region.clone(),
                account: Some(common.account.clone()),
                feedback_topic: Some(variables.get_required("FEEDBACK_TOPIC_ARN")?),
                configuration_set: Some(variables.get_required("CONFIGURATION_SET")?),
                rule_set: variables.get_optional("RULE_SET"),
                receives: variables.parse_required("RECEIVES", "true or false", |text| text.parse().ok())?,
                reconcile_function: variables.get_optional("RECONCILE_FUNCTION"),
            },
            call_interval: variables.call_interval()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::override_variable;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("FEEDBACK_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:m-feedback"),
        ("CONFIGURATION_SET", "m"),
        ("RECEIVES", "true"),
        ("REQUESTS_PER_SECOND", "1"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        let common = CommonSettings { region: "eu-west-1".to_owned(), ..CommonSettings::default() };
        Settings::read(&common, &override_variable(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert!(settings.stack.receives);
        assert_eq!((settings.stack.rule_set, settings.stack.reconcile_function), (None, None));
        let reconcile = with("RECONCILE_FUNCTION", "m-reconcile").unwrap().stack.reconcile_function;
        assert_eq!(reconcile.as_deref(), Some("m-reconcile"));
        assert_eq!(with("RULE_SET", "m-inbound").unwrap().stack.rule_set.as_deref(), Some("m-inbound"));
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, value) in [("RECEIVES", "auto"), ("PEERS", "example.com/")] {
            assert!(matches!(with(name, value).unwrap_err(), SettingError::Invalid(..)), "{name}");
        }
    }

    #[test]
    fn of_regions_with_the_same_peers_one_asks_iam() {
        for (peers, asks) in [
            ("", true),
            ("eu-west-1", true),
            ("us-east-1,eu-west-1", true),
            ("eu-central-1,us-east-1", false),
        ] {
            assert_eq!(with("PEERS", peers).unwrap().reads_iam, asks, "{peers}");
        }
    }
}
