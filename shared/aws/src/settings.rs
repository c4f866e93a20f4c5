//! What the template tells a function, in environment variables that are read once when the function starts.

use std::time::Duration;

use mailroom_core::suppression::policy::{Candidates, Policy, Tenants, Threshold};

/// Why a variable can't be used. The deployment is wrong, so no retry can help.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// The variable is not set, or empty.
    #[error("environment variable {0} is not set")]
    Missing(&'static str),
    /// The variable is set to something that it must not be.
    #[error("environment variable {0} must be {1}")]
    Invalid(&'static str, &'static str),
}

/// Looks up variables, in the process's environment or in a test's.
pub struct Variables<F>(pub F);

impl Variables<fn(&str) -> Option<String>> {
    /// The variables of the process's environment.
    pub fn of_process() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

/// The variables of a test: all of these, except that one has another value.
pub fn but_for<'a>(
    all: &'a [(&'a str, &'a str)],
    changed: &'a str,
    value: &'a str,
) -> Variables<impl Fn(&str) -> Option<String> + 'a> {
    Variables(move |name: &str| {
        let others = || all.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let found = if name == changed { Some(value) } else { others() };
        found.map(str::to_owned)
    })
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

    /// A variable that must be there and that `parse` must be able to read; `what` says in an error what it must be.
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

    /// How many calls of SES's API to make in a second (`REQUESTS_PER_SECOND`). SES takes one for each account and Region
    /// unless its quota has been raised.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn requests_per_second(&self) -> Result<f64, SettingError> {
        let rate = |text: &str| text.parse().ok().filter(|rate| (0.01..=1000.0).contains(rate));
        self.parsed("REQUESTS_PER_SECOND", "a number from 0.01 to 1000", rate)
    }

    /// The time between two calls of SES: see [`Self::requests_per_second`].
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn pace(&self) -> Result<Duration, SettingError> {
        self.requests_per_second().map(|rate| Duration::from_secs_f64(1.0 / rate))
    }

    /// The Regions that are told what is decided here (`PEERS`, separated by commas). This Region is left out, so that
    /// all Regions may be given the same list.
    ///
    /// # Errors
    /// [`SettingError::Invalid`]
    pub fn peers(&self, region: &str) -> Result<Vec<String>, SettingError> {
        let list = self.optional("PEERS").unwrap_or_default();
        let mut peers: Vec<_> = list.split(',').map(str::trim).map(str::to_owned).collect();
        peers.retain(|peer| !peer.is_empty() && peer != region);
        peers.sort_unstable();
        peers.dedup();
        // The name becomes part of a host's name.
        let named = |peer: &String| peer.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if peers.iter().all(named) {
            Ok(peers)
        } else {
            Err(SettingError::Invalid("PEERS", "Regions' names"))
        }
    }

    /// Whether soft bounces are counted (`SOFT_BOUNCES`, `count`), which needs the latest delivery to each address, or only
    /// recorded (`off`).
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn counts_soft_bounces(&self) -> Result<bool, SettingError> {
        self.parsed("SOFT_BOUNCES", "count or off", |text| match text {
            "count" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }

    /// When to suppress, by `SOFT_BOUNCES`, `TRANSIENT_EVENTS`, `TRANSIENT_DAYS`, `TRANSIENT_WITHIN_DAYS`,
    /// `UNDETERMINED_BOUNCES`, `COMPLAINT_CANDIDATES` and `TENANTS`.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn policy(&self) -> Result<Policy, SettingError> {
        let number = |name| self.parsed(name, "a number", |text| text.parse().ok());
        let threshold = Threshold {
            events: self.parsed("TRANSIENT_EVENTS", "a number from 1", |events| {
                events.parse().ok().filter(|events| *events > 0)
            })?,
            days: number("TRANSIENT_DAYS")?,
            within_days: self.parsed("TRANSIENT_WITHIN_DAYS", "a number of days up to 65535", |days| {
                days.parse().ok().filter(|days| *days > 0)
            })?,
        };
        let transient = self.counts_soft_bounces()?.then_some(threshold);
        if transient.is_some_and(|threshold| threshold.days > usize::from(threshold.within_days) + 1) {
            let what = "no more than can begin within TRANSIENT_WITHIN_DAYS, which is one more than that";
            return Err(SettingError::Invalid("TRANSIENT_DAYS", what));
        }
        Ok(Policy {
            transient,
            count_undetermined: self.parsed(
                "UNDETERMINED_BOUNCES",
                "count or ignore",
                |text| match text {
                    "count" => Some(true),
                    "ignore" => Some(false),
                    _ => None,
                },
            )?,
            candidates: self.parsed("COMPLAINT_CANDIDATES", "all or none", |text| match text {
                "all" => Some(Candidates::All),
                "none" => Some(Candidates::None),
                _ => None,
            })?,
            tenants: self.parsed("TENANTS", "account or own", |text| match text {
                "account" => Some(Tenants::AccountWide),
                "own" => Some(Tenants::TheirOwn),
                _ => None,
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_other_regions() {
        let peers = |list: &str| Variables(|_: &str| Some(list.to_owned())).peers("us-east-1");
        assert_eq!(peers("").unwrap(), [""; 0]);
        assert_eq!(peers("us-east-1, us-west-2,,eu-west-1,us-west-2 ").unwrap(), ["eu-west-1", "us-west-2"]);
        assert_eq!(
            peers("example.com/").unwrap_err().to_string(),
            "environment variable PEERS must be Regions' names"
        );
    }
}
