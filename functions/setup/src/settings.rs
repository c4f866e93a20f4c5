//! What the template tells the function.

use std::time::Duration;

use mailroom_aws::settings::{SettingError, Variables};

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// The time between two calls of SES, from `REQUESTS_PER_SECOND`. SES takes one a second, and may raise that.
    pub interval: Duration,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        Ok(Self { table: variables.required("TABLE_NAME")?, interval: variables.pace()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_a_clear_error() {
        let read = |table: &'static str, rate: &'static str| {
            Settings::read(&Variables(move |name: &str| {
                Some(if name == "TABLE_NAME" { table } else { rate }.to_owned())
            }))
        };
        let settings = read("t", "4").unwrap();
        assert_eq!((settings.table.as_str(), settings.interval), ("t", Duration::from_millis(250)));
        assert_eq!(read("", "1").unwrap_err(), SettingError::Missing("TABLE_NAME"));
        assert_eq!(read("t", "").unwrap_err(), SettingError::Missing("REQUESTS_PER_SECOND"));
        for rate in ["0", "fast", "NaN"] {
            assert!(matches!(read("t", rate).unwrap_err(), SettingError::Invalid(..)), "{rate}");
        }
    }
}
