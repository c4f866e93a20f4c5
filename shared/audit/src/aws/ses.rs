//! The part of SES's API, version 2, that is read to see whether a Region is ready. Nothing here changes anything.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::operation::get_account::GetAccountOutput;
use aws_sdk_sesv2::operation::get_configuration_set::GetConfigurationSetOutput;
use aws_sdk_sesv2::operation::get_email_identity::GetEmailIdentityOutput;
use aws_sdk_sesv2::primitives::DateTime;
use aws_sdk_sesv2::types;
use mailroom_aws::ses::is_not_found;
use mailroom_core::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{ApiError, ResultPage, classify_error};
use crate::facts::{
    AccountFacts, ApiAnswer, ConfigurationSet, DkimAttributes, EmailIdentity, EventDestination,
    EventDestinationTarget, MailFromAttributes, ProductionAccessReview, SendQuota,
};

/// Reads SES's configuration. Each method is one call of SES's API, which takes one a second.
pub trait SesReader {
    /// The account in this Region (`ses:GetAccount`).
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn account(&self) -> Result<AccountFacts, ApiError>;

    /// A page of the account's identities, at most a thousand (`ses:ListEmailIdentities`).
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn identities(&self, next_token: Option<&str>) -> Result<ResultPage<IdentitySummary>, ApiError>;

    /// An identity (`ses:GetEmailIdentity`); `None` if it no longer exists.
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn identity(&self, name: &str) -> Result<Option<EmailIdentity>, ApiError>;

    /// A page of the configuration sets' names (`ses:ListConfigurationSets`).
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn configuration_sets(&self, next_token: Option<&str>) -> Result<ResultPage<String>, ApiError>;

    /// A configuration set without its event destinations (`ses:GetConfigurationSet`); `None` if it no longer exists.
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn configuration_set(&self, name: &str) -> Result<Option<ConfigurationSet>, ApiError>;

    /// The event destinations of a configuration set (`ses:GetConfigurationSetEventDestinations`); empty if it no longer
    /// exists.
    ///
    /// # Errors
    /// See [`ApiError`].
    async fn event_destinations(&self, configuration_set: &str) -> Result<Vec<EventDestination>, ApiError>;
}

/// An identity as the list of identities names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentitySummary {
    /// The identity's name (`IdentityName`).
    pub name: String,
    /// The identity's kind (`IdentityType`); `None` if SES does not say.
    pub kind: Option<String>,
}

/// SES itself. Nothing is retried here, since the caller keeps the pace.
pub struct SesV2Reader {
    client: Client,
}

impl SesV2Reader {
    /// SES in the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

/// The most items on a page that SES gives (`PageSize` of `ListEmailIdentities` and `ListConfigurationSets`, SES v2 API
/// Reference).
const MAX_PAGE_SIZE: i32 = 1000;

impl SesReader for SesV2Reader {
    async fn account(&self) -> Result<AccountFacts, ApiError> {
        self.client.get_account().send().await.map(parse_account).map_err(|error| classify_error(&error))
    }

    async fn identities(&self, next_token: Option<&str>) -> Result<ResultPage<IdentitySummary>, ApiError> {
        let list = self
            .client
            .list_email_identities()
            .page_size(MAX_PAGE_SIZE)
            .set_next_token(next_token.map(str::to_owned));
        let output = list.send().await.map_err(|error| classify_error(&error))?;
        let identities = output.email_identities.unwrap_or_default().into_iter().map(|identity| {
            let kind = identity.identity_type.map(|kind| kind.as_str().to_owned());
            Some(IdentitySummary { name: identity.identity_name?, kind })
        });
        let items = identities
            .collect::<Option<_>>()
            .ok_or_else(|| unreadable_output_error("an identity without a name"))?;
        Ok(ResultPage { items, next_token: output.next_token })
    }

    async fn identity(&self, name: &str) -> Result<Option<EmailIdentity>, ApiError> {
        match self.client.get_email_identity().email_identity(name).send().await {
            Ok(output) => Ok(Some(parse_identity(output))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(classify_error(&error)),
        }
    }

    async fn configuration_sets(&self, next_token: Option<&str>) -> Result<ResultPage<String>, ApiError> {
        let list = self
            .client
            .list_configuration_sets()
            .page_size(MAX_PAGE_SIZE)
            .set_next_token(next_token.map(str::to_owned));
        let output = list.send().await.map_err(|error| classify_error(&error))?;
        Ok(ResultPage { items: output.configuration_sets.unwrap_or_default(), next_token: output.next_token })
    }

    async fn configuration_set(&self, name: &str) -> Result<Option<ConfigurationSet>, ApiError> {
        match self.client.get_configuration_set().configuration_set_name(name).send().await {
            Ok(output) => Ok(Some(parse_configuration_set(name, output))),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(classify_error(&error)),
        }
    }

    async fn event_destinations(&self, configuration_set: &str) -> Result<Vec<EventDestination>, ApiError> {
        let get = self.client.get_configuration_set_event_destinations();
        match get.configuration_set_name(configuration_set).send().await {
            Ok(output) => {
                let destinations = output.event_destinations.unwrap_or_default();
                Ok(destinations.into_iter().map(parse_event_destination).collect())
            }
            Err(error) if is_not_found(&error) => Ok(Vec::new()),
            Err(error) => Err(classify_error(&error)),
        }
    }
}

fn parse_account(output: GetAccountOutput) -> AccountFacts {
    let review = output.details.and_then(|details| details.review_details);
    let reasons = output.suppression_attributes.and_then(|attributes| attributes.suppressed_reasons);
    AccountFacts {
        production_access_enabled: output.production_access_enabled,
        sending_enabled: output.sending_enabled,
        enforcement_status: output.enforcement_status,
        send_quota: output.send_quota.map(|quota| SendQuota {
            max_24_hour_send: quota.max24_hour_send,
            max_send_rate: quota.max_send_rate,
            sent_last_24_hours: quota.sent_last24_hours,
        }),
        suppressed_reasons: reasons
            .unwrap_or_default()
            .iter()
            .map(|reason| reason.as_str().to_owned())
            .collect(),
        review: review.map(|review| ProductionAccessReview {
            status: review.status.map(|status| status.as_str().to_owned()),
            case_id: review.case_id,
        }),
    }
}

fn parse_identity(output: GetEmailIdentityOutput) -> EmailIdentity {
    let verification = output.verification_info;
    let checked = verification.as_ref().and_then(|info| info.last_checked_timestamp.as_ref());
    let succeeded = verification.as_ref().and_then(|info| info.last_success_timestamp.as_ref());
    EmailIdentity {
        verified_for_sending: output.verified_for_sending_status,
        verification_status: output.verification_status.map(|status| status.as_str().to_owned()),
        verification_error: verification
            .as_ref()
            .and_then(|info| info.error_type.as_ref())
            .map(|error| error.as_str().to_owned()),
        last_checked_at: checked.and_then(to_timestamp),
        last_success_at: succeeded.and_then(to_timestamp),
        dkim: output.dkim_attributes.map(parse_dkim),
        mail_from: output.mail_from_attributes.filter(|from| !from.mail_from_domain.is_empty()).map(|from| {
            MailFromAttributes {
                status: from.mail_from_domain_status.as_str().to_owned(),
                behavior_on_mx_failure: from.behavior_on_mx_failure.as_str().to_owned(),
                domain: from.mail_from_domain,
            }
        }),
        policies: output.policies.unwrap_or_default().into_iter().collect(),
        configuration_set: output.configuration_set_name.filter(|name| !name.is_empty()),
        feedback_forwarding: output.feedback_forwarding_status,
    }
}

fn parse_dkim(attributes: types::DkimAttributes) -> DkimAttributes {
    let length =
        |length: Option<types::DkimSigningKeyLength>| length.map(|length| length.as_str().to_owned());
    DkimAttributes {
        signing_enabled: attributes.signing_enabled,
        status: attributes.status.map(|status| status.as_str().to_owned()),
        tokens: attributes.tokens.unwrap_or_default(),
        signing_hosted_zone: attributes.signing_hosted_zone.filter(|zone| !zone.is_empty()),
        signing_attributes_origin: attributes
            .signing_attributes_origin
            .map(|origin| origin.as_str().to_owned()),
        current_signing_key_length: length(attributes.current_signing_key_length),
        next_signing_key_length: length(attributes.next_signing_key_length),
    }
}

fn parse_configuration_set(name: &str, output: GetConfigurationSetOutput) -> ConfigurationSet {
    let (reasons, scope) = output
        .suppression_options
        .map_or((None, None), |options| (options.suppressed_reasons, options.suppression_scope));
    ConfigurationSet {
        name: name.to_owned(),
        suppressed_reasons: reasons
            .map(|reasons| reasons.iter().map(|reason| reason.as_str().to_owned()).collect()),
        suppression_scope: scope.map(|scope| scope.as_str().to_owned()),
        sending_enabled: output.sending_options.is_none_or(|options| options.sending_enabled),
        event_destinations: ApiAnswer::NotAsked,
    }
}

fn parse_event_destination(destination: types::EventDestination) -> EventDestination {
    let to = if let Some(topic) = destination.sns_destination {
        EventDestinationTarget::Sns(topic.topic_arn)
    } else if let Some(bus) = destination.event_bridge_destination {
        EventDestinationTarget::EventBridge(bus.event_bus_arn)
    } else if let Some(firehose) = destination.kinesis_firehose_destination {
        EventDestinationTarget::Firehose(firehose.delivery_stream_arn)
    } else if let Some(pinpoint) = destination.pinpoint_destination {
        EventDestinationTarget::Pinpoint(pinpoint.application_arn.unwrap_or_default())
    } else if destination.cloud_watch_destination.is_some() {
        EventDestinationTarget::CloudWatch
    } else {
        EventDestinationTarget::Other
    };
    EventDestination {
        name: destination.name,
        enabled: destination.enabled,
        event_types: destination.matching_event_types.iter().map(|kind| kind.as_str().to_owned()).collect(),
        destination: to,
    }
}

fn to_timestamp(time: &DateTime) -> Option<Timestamp> {
    Timestamp::from_millis(time.to_millis().ok()?)
}

fn unreadable_output_error(problem: &str) -> ApiError {
    ApiError::Refused(problem.to_owned())
}
