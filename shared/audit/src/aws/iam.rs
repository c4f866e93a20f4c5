//! Access keys of IAM users, which SMTP credentials are. Nothing is written, and no secret can be read.
//!
//! IAM is global: a partition has one endpoint, and the SDK's endpoint rules sign for its Region (`us-east-1`; in
//! `GovCloud` `us-gov-west-1`), whatever Region the configuration names.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_iam::Client;
use aws_sdk_iam::primitives::DateTime;
use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};
use mailroom_aws::ses::is_not_found;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ResultPage, classify_error};
use crate::facts::{AccessKey, AccessKeyLastUsed, ApiAnswer};

/// The only permission that sending mail by SMTP needs (Amazon SES Developer Guide, "Obtaining Amazon SES SMTP
/// credentials").
const SEND_ACTION: &str = "ses:SendRawEmail";

/// How long one call may take: IAM may be in another part of the world, and is slow if there are many users.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);

/// Reads IAM's users and their keys. Each method is one call of IAM's API, with the permission that it names.
pub trait AccessKeyReader {
    /// A page of the users (`iam:ListUsers`).
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn users(&self, next_token: Option<&str>) -> Result<ResultPage<IamUser>, ApiError>;

    /// A user's keys (`iam:ListAccessKeys`), without what the other methods tell about them; empty if the user no longer
    /// exists. IAM allows two keys, so one call tells all ("IAM and AWS STS quotas", IAM User Guide).
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn keys(&self, user_name: &str) -> Result<Vec<AccessKey>, ApiError>;

    /// When, where and for what a key was last used (`iam:GetAccessKeyLastUsed`); `None` if never.
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn last_used(&self, access_key_id: &str) -> Result<Option<AccessKeyLastUsed>, ApiError>;

    /// Whether a user may send from any of these identities (`iam:SimulatePrincipalPolicy`). A policy that allows only
    /// certain senders, recipients or networks counts as allowing.
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn may_send(&self, user_arn: &str, identities: SimulatedIdentities<'_>) -> Result<bool, ApiError>;
}

/// The identities from which a user is asked to send in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SimulatedIdentities<'a> {
    /// All identities, whatever their names: the resource `*`.
    All,
    /// The identities of these ARNs.
    Listed(&'a [String]),
}

/// An IAM user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IamUser {
    /// The user's name (`UserName`).
    pub name: String,
    /// The user's ARN (`Arn`).
    pub arn: String,
    /// When the user was created (`CreateDate`).
    pub created_at: Timestamp,
}

/// IAM itself. Nothing is retried here, since the caller keeps the pace.
pub struct IamAccessKeyReader {
    client: Client,
}

impl IamAccessKeyReader {
    /// The account's users.
    pub fn new(config: &SdkConfig) -> Self {
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(CALL_TIMEOUT).build();
        let config = aws_sdk_iam::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.timeout_config(timeouts).build()) }
    }
}

impl AccessKeyReader for IamAccessKeyReader {
    async fn users(&self, next_token: Option<&str>) -> Result<ResultPage<IamUser>, ApiError> {
        let list = self.client.list_users().max_items(1000).set_marker(next_token.map(str::to_owned));
        let output = list.send().await.map_err(|error| classify_error(&error))?;
        let users = output.users.into_iter().map(|user| {
            let created_at = to_timestamp(&user.create_date)?;
            Some(IamUser { name: user.user_name, arn: user.arn, created_at })
        });
        let items = users.collect::<Option<_>>().ok_or_else(|| unreadable_output_error("a user"))?;
        Ok(ResultPage { items, next_token: output.marker.filter(|_| output.is_truncated) })
    }

    async fn keys(&self, user_name: &str) -> Result<Vec<AccessKey>, ApiError> {
        let output = match self.client.list_access_keys().user_name(user_name).send().await {
            Ok(output) => output,
            Err(error) if is_not_found(&error) => return Ok(Vec::new()),
            Err(error) => return Err(classify_error(&error)),
        };
        let keys = output.access_key_metadata.into_iter().map(|key| {
            Some(AccessKey {
                user: user_name.to_owned(),
                id: key.access_key_id?,
                status: key.status?.as_str().to_owned(),
                created_at: to_timestamp(&key.create_date?)?,
                may_send: ApiAnswer::NotAsked,
                last_used: ApiAnswer::NotAsked,
            })
        });
        keys.collect::<Option<_>>().ok_or_else(|| unreadable_output_error("an access key"))
    }

    async fn last_used(&self, access_key_id: &str) -> Result<Option<AccessKeyLastUsed>, ApiError> {
        let output = self.client.get_access_key_last_used().access_key_id(access_key_id).send().await;
        let used = output.map_err(|error| classify_error(&error))?.access_key_last_used;
        // Without a date the key was never used, or not since April 2015, and the other fields are "N/A".
        Ok(used.and_then(|used| {
            Some(AccessKeyLastUsed {
                at: to_timestamp(&used.last_used_date?)?,
                service: used.service_name,
                region: used.region,
            })
        }))
    }

    async fn may_send(&self, user_arn: &str, identities: SimulatedIdentities<'_>) -> Result<bool, ApiError> {
        let arns = match identities {
            SimulatedIdentities::All => None,
            SimulatedIdentities::Listed(arns) => Some(arns.to_vec()),
        };
        let simulate =
            self.client.simulate_principal_policy().policy_source_arn(user_arn).action_names(SEND_ACTION);
        let simulated = simulate.set_resource_arns(arns).max_items(1000).send().await;
        let results = simulated.map_err(|error| classify_error(&error))?.evaluation_results;
        Ok(results.unwrap_or_default().iter().any(allows_some_sending))
    }
}

/// Whether any decision of a simulation allows it. The overall decision is the strictest of those on single resources,
/// which are listed apart.
fn allows_some_sending(result: &EvaluationResult) -> bool {
    let lets = |decision: &PolicyEvaluationDecisionType, missing: &[String]| match decision {
        PolicyEvaluationDecisionType::Allowed => true,
        // A condition was not met because the simulation had nothing to compare with. If it only narrows what is sent, or
        // from where, the user may send.
        PolicyEvaluationDecisionType::ImplicitDeny => {
            let narrows =
                |key: &String| ["ses:", "aws:Source", "aws:Vpc"].iter().any(|of| key.starts_with(of));
            missing.iter().any(narrows)
        }
        _ => false,
    };
    lets(&result.eval_decision, result.missing_context_values())
        || result
            .resource_specific_results()
            .iter()
            .any(|result| lets(&result.eval_resource_decision, result.missing_context_values()))
}

fn to_timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millis(time.to_millis().ok()?)
}

fn unreadable_output_error(object_kind: &str) -> ApiError {
    ApiError::Refused(format!("{object_kind} that can't be read"))
}
