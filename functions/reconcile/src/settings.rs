//! What the template tells the function.

use std::time::Duration;

use mailroom_aws::settings::{SettingError, Variables};
use mailroom_core::suppression::policy::Policy;
use mailroom_core::suppression::reconcile::{Gone, Guard};

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
    /// `QUEUE_NAME`: the name of the merge queue, the same in every Region.
    pub queue: String,
    /// `PUT_BACK`: whether an entry that has gone from the list without our doing is put back (`true`) or left off until
    /// there is new evidence (`false`).
    pub gone: Gone,
    /// `GONE_SHARE_PERCENT`: when a larger share of the list than this has gone since the last pass, nothing is concluded
    /// but an alarm. 100 always concludes; it is meant for one pass, after somebody has looked.
    pub guard: Guard,
    /// `PASS_EVERY_MINUTES`: the time from the start of a pass to the start of the next one. Whenever the function is woken
    /// it goes on with a pass in progress and tells peers what has changed; this does not depend on it.
    pub pass_every: Duration,
    /// The policy for records that nobody decided on: see [`Variables::policy`].
    pub policy: Policy,
    /// The time between two calls of SES: see [`Variables::requests_per_second`].
    pub pace: Duration,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        let region = variables.required("AWS_REGION")?;
        let percent = |text: &str| text.parse().ok().filter(|percent| *percent <= 100);
        let minutes =
            |text: &str| text.parse().ok().map(|minutes: u32| Duration::from_secs(u64::from(minutes) * 60));
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
            account: variables.required("ACCOUNT_ID")?,
            peers: variables.peers(&region)?,
            region,
            queue: variables.required("QUEUE_NAME")?,
            gone: variables.parsed("PUT_BACK", "true or false", |put_back| match put_back {
                "true" => Some(Gone::PutBack),
                "false" => Some(Gone::LeaveOff),
                _ => None,
            })?,
            guard: Guard { percent: variables.parsed("GONE_SHARE_PERCENT", "a percentage", percent)? },
            pass_every: variables.parsed("PASS_EVERY_MINUTES", "a number of minutes", minutes)?,
            policy: variables.policy()?,
            pace: variables.pace()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::but_for;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("AWS_REGION", "us-east-1"),
        ("TABLE_NAME", "t"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("ACCOUNT_ID", "123456789012"),
        ("QUEUE_NAME", "q"),
        ("PUT_BACK", "false"),
        ("GONE_SHARE_PERCENT", "10"),
        ("PASS_EVERY_MINUTES", "360"),
        ("REQUESTS_PER_SECOND", "1"),
        ("SOFT_BOUNCES", "off"),
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
        assert_eq!((settings.gone, settings.guard), (Gone::LeaveOff, Guard::default()));
        assert_eq!((settings.peers.len(), settings.pass_every), (0, Duration::from_hours(6)));
        assert_eq!(
            with("PEERS", "eu-west-1, us-east-1,,us-west-2").unwrap().peers,
            ["eu-west-1", "us-west-2"]
        );
        assert_eq!(settings.pace, Duration::from_secs(1));
        assert_eq!(with("REQUESTS_PER_SECOND", "4").unwrap().pace, Duration::from_millis(250));
        assert_eq!(with("PUT_BACK", "true").unwrap().gone, Gone::PutBack);
        assert_eq!(with("PASS_EVERY_MINUTES", "60").unwrap().pass_every, Duration::from_hours(1));
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, value) in
            [("PUT_BACK", "yes"), ("GONE_SHARE_PERCENT", "101"), ("PASS_EVERY_MINUTES", "often")]
        {
            assert!(matches!(with(name, value).unwrap_err(), SettingError::Invalid(..)), "{name}");
        }
    }
}
