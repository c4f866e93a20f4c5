//! What the template tells the function.

use mailroom_aws::settings::{CommonSettings, SettingError, Variables};
use mailroom_core::suppression::policy::Policy;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of this Region.
    pub region: String,
    /// `PEERS`: see [`Variables::peers`].
    pub peers: Vec<String>,
    /// The policy for bounces and complaints: see [`Variables::policy`].
    pub policy: Policy,
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
        Ok(Self {
            region: common.region.clone(),
            peers: variables.peers(&common.region)?,
            policy: variables.policy()?,
        })
    }
}
