//! What the template tells the function.

use std::time::Duration;

use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};
use mailroom_core::suppression::policy::SuppressionPolicy;
use mailroom_core::suppression::reconcile::{EmptiedListGuard, MissingEntryPolicy};

/// The time from the start of a pass over SES's list to the start of the next one. A pass costs a call per thousand entries,
/// and finds only what went wrong elsewhere, which is rare.
const PASS_EVERY: Duration = Duration::from_hours(6);

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of this Region.
    pub region: String,
    /// `PEERS`: see [`EnvironmentVariables::peer_regions`].
    pub peers: Vec<String>,
    /// `PUT_BACK`: whether an entry that has gone from the list without our doing is put back (`true`) or left off until
    /// there is new evidence (`false`).
    pub missing_entry_policy: MissingEntryPolicy,
    /// `GONE_SHARE_PERCENT`: when a larger share of the list than this has gone since the last pass, nothing is concluded
    /// but an alarm. 100 always concludes; it is meant for one pass, after somebody has looked.
    pub emptied_list_guard: EmptiedListGuard,
    /// The time from the start of a pass to the start of the next one. Six hours; tests have less. Whenever the function is
    /// woken it goes on with a pass in progress and tells peers what has changed; this does not depend on it.
    pub pass_interval: Duration,
    /// The policy for records that nobody decided on: see [`EnvironmentVariables::suppression_policy`].
    pub policy: SuppressionPolicy,
    /// The time between two calls of SES: see [`EnvironmentVariables::requests_per_second`].
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
        let percent = |text: &str| text.parse().ok().filter(|percent| *percent <= 100);
        Ok(Self {
            region: common.region.clone(),
            peers: variables.peer_regions(&common.region)?,
            missing_entry_policy: variables.parse_required("PUT_BACK", "true or false", |put_back| {
                match put_back {
                    "true" => Some(MissingEntryPolicy::PutBack),
                    "false" => Some(MissingEntryPolicy::AcceptRemoval),
                    _ => None,
                }
            })?,
            emptied_list_guard: EmptiedListGuard {
                max_missing_percent: variables.parse_required(
                    "GONE_SHARE_PERCENT",
                    "a percentage",
                    percent,
                )?,
            },
            pass_interval: PASS_EVERY,
            policy: variables.suppression_policy()?,
            call_interval: variables.call_interval()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::override_variable;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("PUT_BACK", "false"),
        ("GONE_SHARE_PERCENT", "10"),
        ("REQUESTS_PER_SECOND", "1"),
        ("SOFT_BOUNCES", "off"),
        ("UNDETERMINED_BOUNCES", "ignore"),
        ("COMPLAINT_CANDIDATES", "all"),
        ("TENANTS", "account"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        let common = CommonSettings { region: "us-east-1".to_owned(), ..CommonSettings::default() };
        Settings::read(&common, &override_variable(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!(
            (settings.missing_entry_policy, settings.emptied_list_guard),
            (MissingEntryPolicy::AcceptRemoval, EmptiedListGuard::default())
        );
        assert!(settings.peers.is_empty());
        assert_eq!(
            with("PEERS", "eu-west-1, us-east-1,,us-west-2").unwrap().peers,
            ["eu-west-1", "us-west-2"]
        );
        assert_eq!(with("PUT_BACK", "true").unwrap().missing_entry_policy, MissingEntryPolicy::PutBack);
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, value) in [("PUT_BACK", "yes"), ("GONE_SHARE_PERCENT", "101")] {
            assert!(matches!(with(name, value).unwrap_err(), SettingError::Invalid(..)), "{name}");
        }
    }
}
