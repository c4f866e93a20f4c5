//! What the template tells a function, in environment variables that are read once when the function starts.

use std::time::Duration;

use mailroom_core::record::Retention;
use mailroom_core::suppression::policy::{
    CandidatePolicy, SuppressionPolicy, TenantPolicy, TransientThreshold,
};

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
pub struct EnvironmentVariables<F>(pub F);

impl EnvironmentVariables<fn(&str) -> Option<String>> {
    /// The variables of the process's environment.
    pub fn from_process() -> Self {
        Self(|name| std::env::var(name).ok())
    }
}

/// The variables of a test: all of these, except that one has another value.
pub fn override_variable<'a>(
    variables: &'a [(&'a str, &'a str)],
    variable_name: &'a str,
    value: &'a str,
) -> EnvironmentVariables<impl Fn(&str) -> Option<String> + 'a> {
    EnvironmentVariables(move |name: &str| {
        let others = || variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let found = if name == variable_name { Some(value) } else { others() };
        found.map(str::to_owned)
    })
}

impl<F: Fn(&str) -> Option<String>> EnvironmentVariables<F> {
    /// A variable that may be absent; empty counts as absent.
    pub fn get_optional(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// A variable that must be there.
    ///
    /// # Errors
    /// [`SettingError::Missing`]
    pub fn get_required(&self, name: &'static str) -> Result<String, SettingError> {
        self.get_optional(name).ok_or(SettingError::Missing(name))
    }

    /// A variable that must be there and that `parse` must be able to read; `expected` says in an error what it must be.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn parse_required<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, SettingError> {
        parse(&self.get_required(name)?).ok_or(SettingError::Invalid(name, expected))
    }

    /// What every function is told: see [`CommonSettings`].
    ///
    /// # Errors
    /// [`SettingError::Missing`]
    pub fn common(&self) -> Result<CommonSettings, SettingError> {
        Ok(CommonSettings {
            table: self.get_required("TABLE_NAME")?,
            account: self.get_required("ACCOUNT_ID")?,
            region: self.get_required("AWS_REGION")?,
            function: self.get_required("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }

    /// How long records are kept (`RETENTION_DAYS`).
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn retention(&self) -> Result<Retention, SettingError> {
        let days = |text: &str| text.parse().ok();
        Ok(Retention { days: self.parse_required("RETENTION_DAYS", "a number of days up to 65535", days)? })
    }

    /// How many calls of SES's API to make in a second (`REQUESTS_PER_SECOND`). SES takes one for each account and Region
    /// unless its quota has been raised.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn requests_per_second(&self) -> Result<f64, SettingError> {
        let rate = |text: &str| text.parse().ok().filter(|rate| (0.01..=1000.0).contains(rate));
        self.parse_required("REQUESTS_PER_SECOND", "a number from 0.01 to 1000", rate)
    }

    /// The time between two calls of SES: see [`Self::requests_per_second`].
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn call_interval(&self) -> Result<Duration, SettingError> {
        self.requests_per_second().map(|rate| Duration::from_secs_f64(1.0 / rate))
    }

    /// The Regions that are told what is decided here (`PEERS`, separated by commas). This Region is left out, so that
    /// all Regions may be given the same list.
    ///
    /// # Errors
    /// [`SettingError::Invalid`]
    pub fn peer_regions(&self, own_region: &str) -> Result<Vec<String>, SettingError> {
        let list = self.get_optional("PEERS").unwrap_or_default();
        let mut peers: Vec<_> = list.split(',').map(str::trim).map(str::to_owned).collect();
        peers.retain(|peer| !peer.is_empty() && peer != own_region);
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
        self.parse_required("SOFT_BOUNCES", "count or off", |text| match text {
            "count" => Some(true),
            "off" => Some(false),
            _ => None,
        })
    }

    /// When to suppress, by `SOFT_BOUNCES`, `UNDETERMINED_BOUNCES`, `COMPLAINT_CANDIDATES` and `TENANTS`. How many soft
    /// bounces it takes is [`TransientThreshold`]'s default.
    ///
    /// # Errors
    /// [`SettingError`]
    pub fn suppression_policy(&self) -> Result<SuppressionPolicy, SettingError> {
        Ok(SuppressionPolicy {
            transient_threshold: self.counts_soft_bounces()?.then(TransientThreshold::default),
            count_undetermined: self.parse_required("UNDETERMINED_BOUNCES", "count or ignore", |text| {
                match text {
                    "count" => Some(true),
                    "ignore" => Some(false),
                    _ => None,
                }
            })?,
            candidate_policy: self.parse_required(
                "COMPLAINT_CANDIDATES",
                "all or none",
                |text| match text {
                    "all" => Some(CandidatePolicy::SuppressAll),
                    "none" => Some(CandidatePolicy::SuppressNone),
                    _ => None,
                },
            )?,
            tenant_policy: self.parse_required("TENANTS", "account or own", |text| match text {
                "account" => Some(TenantPolicy::AccountWide),
                "own" => Some(TenantPolicy::TenantLists),
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

    type All = (CommonSettings, Retention, Duration, SuppressionPolicy);

    fn with(changed: &str, value: &str) -> Result<All, SettingError> {
        let variables = override_variable(ALL, changed, value);
        Ok((
            variables.common()?,
            variables.retention()?,
            variables.call_interval()?,
            variables.suppression_policy()?,
        ))
    }

    #[test]
    fn all_or_a_clear_error() {
        let (common, retention, pace, policy) = with("", "").unwrap();
        assert_eq!((common.table.as_str(), common.account.as_str()), ("t", "123456789012"));
        assert_eq!((common.region.as_str(), common.function.as_str()), ("us-east-1", "f"));
        assert_eq!((retention.days, pace), (400, Duration::from_millis(250)));
        assert_eq!(
            policy,
            SuppressionPolicy {
                transient_threshold: Some(TransientThreshold::default()),
                ..SuppressionPolicy::default()
            }
        );
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
        assert_eq!(policy("SOFT_BOUNCES", "off"), SuppressionPolicy::default());
        assert!(policy("UNDETERMINED_BOUNCES", "count").count_undetermined);
        assert_eq!(policy("COMPLAINT_CANDIDATES", "none").candidate_policy, CandidatePolicy::SuppressNone);
        assert_eq!(policy("TENANTS", "own").tenant_policy, TenantPolicy::TenantLists);
    }

    #[test]
    fn peers_are_other_regions() {
        let peers =
            |list: &str| EnvironmentVariables(|_: &str| Some(list.to_owned())).peer_regions("us-east-1");
        assert_eq!(peers("").unwrap(), [""; 0]);
        assert_eq!(peers("us-east-1, us-west-2,,eu-west-1,us-west-2 ").unwrap(), ["eu-west-1", "us-west-2"]);
        assert_eq!(
            peers("example.com/").unwrap_err().to_string(),
            "environment variable PEERS must be Regions' names"
        );
    }
}
