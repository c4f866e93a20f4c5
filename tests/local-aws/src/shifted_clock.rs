//! The clock of a test that runs at another date (`tests/at-date`), for the processes that it starts with an environment of
//! their own.

use std::ffi::OsString;

/// The environment variables that give a child process this process's clock; none if the clock is not shifted.
pub fn variables() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, value)| {
        let name = name.to_string_lossy();
        name == "LD_PRELOAD"
            || name.starts_with("FAKETIME")
            // What Python needs besides, and nobody else's modules.
            || (name == "PYTHONPATH" && value.to_string_lossy().ends_with("/shifted-clock"))
    })
}
