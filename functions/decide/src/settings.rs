//! What the template tells the function.

use mailroom_aws::settings::{SettingError, Variables};
use mailroom_core::suppression::policy::Policy;

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name of this function, set by Lambda.
    pub function: String,
    /// `ACCOUNT_ID`: the id of the AWS account.
    pub account: String,
    /// `AWS_REGION`: the name of this Region, set by Lambda.
    pub region: String,
    /// `PEERS`: see [`Variables::peers`].
    pub peers: Vec<String>,
    /// `QUEUE_NAME`: the name of the queue, the same in every Region, in which a Region takes in what its peers decided.
    pub queue: String,
    /// The policy for bounces and complaints: see [`Variables::policy`].
    pub policy: Policy,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        let region = variables.required("AWS_REGION")?;
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
            account: variables.required("ACCOUNT_ID")?,
            peers: variables.peers(&region)?,
            region,
            queue: variables.required("QUEUE_NAME")?,
            policy: variables.policy()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::but_for;
    use mailroom_core::suppression::policy::{Candidates, Tenants, Threshold};

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("TABLE_NAME", "t"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("ACCOUNT_ID", "123456789012"),
        ("AWS_REGION", "us-east-1"),
        ("PEERS", "us-east-1,eu-west-1"),
        ("QUEUE_NAME", "q"),
        ("SOFT_BOUNCES", "count"),
        ("TRANSIENT_EVENTS", "5"),
        ("TRANSIENT_DAYS", "3"),
        ("TRANSIENT_WITHIN_DAYS", "30"),
        ("UNDETERMINED_BOUNCES", "ignore"),
        ("COMPLAINT_CANDIDATES", "all"),
        ("TENANTS", "account"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&but_for(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        let counted = Policy { transient: Some(Threshold::default()), ..Policy::default() };
        assert_eq!(settings.policy, counted);
        assert_eq!(with("SOFT_BOUNCES", "off").unwrap().policy, Policy::default());
        assert_eq!(settings.peers, ["eu-west-1"]);
        assert_eq!(with("PEERS", "").unwrap().peers, [""; 0]);
        for (name, _) in ALL.iter().filter(|(name, _)| *name != "PEERS") {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, _) in &ALL[6..] {
            assert!(matches!(with(name, "some"), Err(SettingError::Invalid(..))), "{name}");
        }
        for name in ["TRANSIENT_EVENTS", "TRANSIENT_WITHIN_DAYS"] {
            assert!(matches!(with(name, "0"), Err(SettingError::Invalid(..))), "{name}");
        }
    }

    #[test]
    fn a_policy_that_could_never_decide_is_refused() {
        assert_eq!(with("TRANSIENT_WITHIN_DAYS", "2").unwrap().policy.transient.unwrap().days, 3);
        let error = with("TRANSIENT_WITHIN_DAYS", "1").unwrap_err().to_string();
        assert!(error.starts_with("environment variable TRANSIENT_DAYS must be no more than"), "{error}");
        // Where transient bounces are not counted, the number of days does not matter.
        assert!(with("TRANSIENT_DAYS", "99").is_err());
        let none = [&[("SOFT_BOUNCES", "off")], &ALL[..6], &ALL[7..]].concat();
        assert_eq!(Settings::read(&but_for(&none, "TRANSIENT_DAYS", "99")).unwrap().policy.transient, None);
    }

    #[test]
    fn a_policy_of_ones_own() {
        assert_eq!(with("TRANSIENT_EVENTS", "9").unwrap().policy.transient.unwrap().events, 9);
        assert!(with("UNDETERMINED_BOUNCES", "count").unwrap().policy.count_undetermined);
        assert_eq!(with("COMPLAINT_CANDIDATES", "none").unwrap().policy.candidates, Candidates::None);
        assert_eq!(with("TENANTS", "own").unwrap().policy.tenants, Tenants::TheirOwn);
    }
}
