//! What the template tells the function.

use std::time::Duration;

use mailroom_audit::facts::Stack;
use mailroom_aws::settings::{SettingError, Variables};

/// The function's settings, read once at start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `TABLE_NAME`: the name of the table.
    pub table: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name of this function, set by Lambda.
    pub function: String,
    /// `AWS_REGION`, set by Lambda; `ACCOUNT_ID`, `FEEDBACK_TOPIC_ARN`, `CONFIGURATION_SET`; `RULE_SET`, empty if the stack
    /// has none; `RECEIVES`, `true` or `false`; `RECONCILE_FUNCTION`, empty if the stack does not keep the suppression
    /// list.
    pub stack: Stack,
    /// `PEERS`: see [`Variables::peers`].
    pub peers: Vec<String>,
    /// Whether this Region asks IAM, which is global. Of itself and its peers, the Region whose name sorts first does, so
    /// that of Regions with the same list of peers exactly one asks.
    pub iam: bool,
    /// `AUDIT_EVERY_HOURS`: the time from the start of a pass to the start of the next one.
    pub pass_every: Duration,
    /// The time between two calls, from `REQUESTS_PER_SECOND`. SES takes one a second, and may raise that.
    pub pace: Duration,
}

impl Settings {
    /// Reads the settings from the environment variables that the fields name.
    ///
    /// # Errors
    /// The first variable that is missing or unusable.
    pub fn read(variables: &Variables<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingError> {
        let region = variables.required("AWS_REGION")?;
        let peers = variables.peers(&region)?;
        let hours = |text: &str| text.parse().ok().filter(|hours: &u32| *hours > 0);
        let hours = variables.parsed("AUDIT_EVERY_HOURS", "a number of hours", hours)?;
        Ok(Self {
            table: variables.required("TABLE_NAME")?,
            function: variables.required("AWS_LAMBDA_FUNCTION_NAME")?,
            iam: peers.iter().all(|peer| region < *peer),
            peers,
            stack: Stack {
                region,
                account: Some(variables.required("ACCOUNT_ID")?),
                feedback_topic: Some(variables.required("FEEDBACK_TOPIC_ARN")?),
                configuration_set: Some(variables.required("CONFIGURATION_SET")?),
                rule_set: variables.optional("RULE_SET"),
                receives: variables.parsed("RECEIVES", "true or false", |text| text.parse().ok())?,
                reconcile_function: variables.optional("RECONCILE_FUNCTION"),
            },
            pass_every: Duration::from_secs(u64::from(hours) * 3600),
            pace: variables.pace()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use mailroom_aws::settings::but_for;

    use super::*;

    const ALL: &[(&str, &str)] = &[
        ("AWS_REGION", "eu-west-1"),
        ("TABLE_NAME", "t"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("ACCOUNT_ID", "123456789012"),
        ("FEEDBACK_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:m-feedback"),
        ("CONFIGURATION_SET", "m"),
        ("RECEIVES", "true"),
        ("AUDIT_EVERY_HOURS", "24"),
        ("REQUESTS_PER_SECOND", "1"),
    ];

    fn with(changed: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::read(&but_for(ALL, changed, value))
    }

    #[test]
    fn all_or_a_clear_error() {
        let settings = with("", "").unwrap();
        assert_eq!((settings.pass_every, settings.pace), (Duration::from_hours(24), Duration::from_secs(1)));
        assert!(settings.stack.receives);
        assert_eq!((settings.stack.rule_set, settings.stack.reconcile_function), (None, None));
        let reconcile = with("RECONCILE_FUNCTION", "m-reconcile").unwrap().stack.reconcile_function;
        assert_eq!(reconcile.as_deref(), Some("m-reconcile"));
        assert_eq!(with("RULE_SET", "m-inbound").unwrap().stack.rule_set.as_deref(), Some("m-inbound"));
        assert_eq!(with("REQUESTS_PER_SECOND", "4").unwrap().pace, Duration::from_millis(250));
        for (name, _) in ALL {
            assert_eq!(with(name, "").unwrap_err(), SettingError::Missing(name));
        }
        for (name, value) in [
            ("AUDIT_EVERY_HOURS", "0"),
            ("REQUESTS_PER_SECOND", "0"),
            ("RECEIVES", "auto"),
            ("PEERS", "example.com/"),
        ] {
            assert!(matches!(with(name, value).unwrap_err(), SettingError::Invalid(..)), "{name}");
        }
    }

    #[test]
    fn of_regions_with_the_same_peers_one_asks_iam() {
        for (peers, asks) in [
            ("", true),
            ("eu-west-1", true),
            ("us-east-1,eu-west-1", true),
            ("eu-central-1,us-east-1", false),
        ] {
            assert_eq!(with("PEERS", peers).unwrap().iam, asks, "{peers}");
        }
    }
}
