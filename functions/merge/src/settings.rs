//! What the template tells the function.

use mailroom_aws::settings::{SettingError, Variables};

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// `DEAD_LETTER_QUEUE_URL`: the URL of the queue for what can never be joined.
    pub dead_letter_queue: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name of this function, set by Lambda.
    pub function: String,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            dead_letter_queue: variables.required("DEAD_LETTER_QUEUE_URL")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }
}
