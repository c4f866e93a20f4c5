//! What the template tells the function.

use std::time::Duration;

use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of this Region.
    pub region: String,
    /// `TRANSIT_BUCKET`: the bucket for the objects of import jobs. It is in this Region, the only one from which SES reads
    /// them, and the bucket's policy lets SES in, not a role.
    pub bucket: String,
    /// `REQUESTS_PER_SECOND`: the pace of SES's calls. See [`EnvironmentVariables::requests_per_second`].
    pub requests_per_second: f64,
    /// `TRUST_ORIGIN`: whether SES is trusted to have put on its own list what bounced or complained in this Region.
    pub trust_origin: bool,
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
            region: common.region.clone(),
            bucket: variables.get_required("TRANSIT_BUCKET")?,
            requests_per_second: variables.requests_per_second()?,
            trust_origin: variables
                .parse_required("TRUST_ORIGIN", "true or false", |text| text.parse().ok())?,
        })
    }

    /// The time between two calls of SES.
    pub fn call_interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.requests_per_second)
    }

    /// The number of calls that go singly within a minute.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 60,000: see `read`"
    )]
    pub fn calls_per_minute(&self) -> usize {
        (self.requests_per_second * 60.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::override_variable;

    use super::*;

    const ALL: &[(&str, &str)] =
        &[("TRANSIT_BUCKET", "b"), ("REQUESTS_PER_SECOND", "1"), ("TRUST_ORIGIN", "false")];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&CommonSettings::default(), &override_variable(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!((settings.call_interval(), settings.calls_per_minute()), (Duration::from_secs(1), 60));
        assert!(!settings.trust_origin);
        let settings = with("REQUESTS_PER_SECOND", "4").unwrap();
        assert_eq!(
            (settings.call_interval(), settings.calls_per_minute()),
            (Duration::from_millis(250), 240)
        );
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        assert!(matches!(with("TRUST_ORIGIN", "yes").unwrap_err(), SettingError::Invalid(..)));
    }
}
