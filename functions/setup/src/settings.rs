//! What the template tells the function.

use std::time::Duration;

use mailroom_aws::settings::{SettingError, Variables};

/// Read once, at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`
    pub table: String,
    /// From one call of SES to the next: `REQUESTS_PER_SECOND`, of which SES takes 1, and may raise it.
    pub interval: Duration,
}

impl Settings {
    /// Reads the variables above.
    ///
    /// # Errors
    /// The first that is missing or unusable.
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
