//! What the template tells a function: environment variables, read once at its start.

/// A variable that is missing or can't be used. Deployment is wrong; no retry can help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Not set, or empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// Set to something else than it must be.
    #[error("environment variable {0} must be {1}")]
    Invalid(&'static str, &'static str),
}

/// Looks variables up, in the process's environment or in a test's.
pub struct Variables<F>(pub F);

impl Variables<fn(&str) -> Option<String>> {
    /// The process's environment.
    pub fn of_process() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    /// A variable that may be absent; empty counts as absent.
    pub fn optional(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A variable that must be there.
    ///
    /// # Errors
    /// [`SettingError::Missing`]
    pub fn required(&self, name: &'static str) -> Result<String, SettingError> {
        self.optional(name).ok_or(SettingError::Missing(name))
    }

    /// A variable that must be there and be read by `parse`; `what` says what it must be.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn parsed<T>(
        &self,
        name: &'static str,
        what: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        parse(&self.required(name)?).ok_or(SettingError::Invalid(name, what))
    }
}
