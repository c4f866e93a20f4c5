//! What the template tells a function, in environment variables that are read once when the function starts.

use std::time::Duration;

use mailroom_core::record::Retention;
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

/// What every function is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommonSettings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// `ACCOUNT_ID`: the id of the AWS account.
    pub account: String,
    /// `AWS_REGION`: the name of this Region, set by Lambda.
    pub region: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name of this function, set by Lambda.
    pub function: String,
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

    /// What every function is told: see [`CommonSettings`].
    ///
    /// # Errors
    /// [`SettingError::Missing`]
    pub fn common(&self) -> Result<CommonSettings, SettingError> {
        Ok(CommonSettings {
            table: self.required("TABLE_NAME")?,
            account: self.required("ACCOUNT_ID")?,
            region: self.required("AWS_REGION")?,
            function: self.required("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }

    /// How long records are kept (`RETENTION_DAYS`).
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn retention(&self) -> Result<Retention, SettingError> {
        let days = |text: &str| text.parse().ok();
        Ok(Retention { days: self.parsed("RETENTION_DAYS", "a number of days up to 65535", days)? })
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

    /// When to suppress, by `SOFT_BOUNCES`, `UNDETERMINED_BOUNCES`, `COMPLAINT_CANDIDATES` and `TENANTS`. How many soft
    /// bounces it takes is [`Threshold`]'s default.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn policy(&self) -> Result<Policy, SettingError> {
        Ok(Policy {
            transient: self.counts_soft_bounces()?.then(Threshold::default),
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

    const ALL: &[(&str, &str)] = &[
        ("TABLE_NAME", "t"),
        ("ACCOUNT_ID", "123456789012"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("RETENTION_DAYS", "400"),
        ("REQUESTS_PER_SECOND", "4"),
        ("SOFT_BOUNCES", "count"),
        ("UNDETERMINED_BOUNCES", "ignore"),
        ("COMPLAINT_CANDIDATES", "all"),
        ("TENANTS", "account"),
    ];

    type All = (CommonSettings, Retention, Duration, Policy);

    fn with(changed: &str, value: &str) -> Result<All, SettingError> {
        let variables = but_for(ALL, changed, value);
        Ok((variables.common()?, variables.retention()?, variables.pace()?, variables.policy()?))
    }

    #[test]
    fn all_or_a_clear_error() {
        let (common, retention, pace, policy) = with("", "").unwrap();
        assert_eq!((common.table.as_str(), common.account.as_str()), ("t", "123456789012"));
        assert_eq!((common.region.as_str(), common.function.as_str()), ("us-east-1", "f"));
        assert_eq!((retention.days, pace), (400, Duration::from_millis(250)));
        assert_eq!(policy, Policy { transient: Some(Threshold::default()), ..Policy::default() });
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, _) in &ALL[4..] {
            assert!(matches!(with(name, "some"), Err(SettingError::Invalid(..))), "{name}");
        }
        for rate in ["0", "NaN", "1001"] {
            assert!(with("REQUESTS_PER_SECOND", rate).is_err(), "{rate}");
        }
        assert_eq!(
            with("RETENTION_DAYS", "a year").unwrap_err().to_string(),
            "environment variable RETENTION_DAYS must be a number of days up to 65535"
        );
    }

    #[test]
    fn a_policy_of_ones_own() {
        let policy = |changed, value| with(changed, value).unwrap().3;
        assert_eq!(policy("SOFT_BOUNCES", "off"), Policy::default());
        assert!(policy("UNDETERMINED_BOUNCES", "count").count_undetermined);
        assert_eq!(policy("COMPLAINT_CANDIDATES", "none").candidates, Candidates::None);
        assert_eq!(policy("TENANTS", "own").tenants, Tenants::TheirOwn);
    }

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
