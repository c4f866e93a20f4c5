//! What the template tells the function.

use mailroom_aws::settings::{CommonSettings, EnvironmentVariables, SettingError};
use mailroom_core::suppression::policy::SuppressionPolicy;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of this Region.
    pub region: String,
    /// `PEERS`: see [`EnvironmentVariables::peer_regions`].
    pub peers: Vec<String>,
    /// The policy for bounces and complaints: see [`EnvironmentVariables::suppression_policy`].
    pub policy: SuppressionPolicy,
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
            peers: variables.peer_regions(&common.region)?,
            policy: variables.suppression_policy()?,
        })
    }
}
