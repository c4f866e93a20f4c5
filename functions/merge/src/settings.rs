//! What the template tells the function.

use mailroom_aws::settings::{SettingError, Variables};

/// Read once, at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`
    pub table: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`, set by Lambda.
    pub function: String,
}

impl Settings {
    /// Reads the variables above.
    ///
    /// # Errors
    /// The first that is missing.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }
}
