//! The reasons for which SES keeps this Region's account-level suppression list.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::config::retry::RetryConfig;
use aws_sdk_sesv2::types::{
    FeatureStatus, SuppressionConditionThreshold, SuppressionConfidenceThreshold,
    SuppressionConfidenceVerdictThreshold, SuppressionListReason, SuppressionValidationAttributes,
};

use crate::ses::{SesError, classify_error};

/// Reads and writes the account's suppression settings. Each method is one call of SES's API.
pub trait AccountSettings {
    /// Reads all settings.
    ///
    /// # Errors
    /// See [`SesError`].
    async fn suppression_attributes(&self) -> Result<SuppressionAttributes, SesError>;

    /// Writes all settings.
    ///
    /// # Errors
    /// See [`SesError`].
    async fn put_suppression_attributes(&self, attributes: &SuppressionAttributes) -> Result<(), SesError>;
}

/// The account's suppression settings in a Region.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuppressionAttributes {
    /// The reasons for which addresses go on the list, and for which mail to them is stopped: SES's names, `BOUNCE` and
    /// `COMPLAINT` and whatever it has added since.
    pub reasons: BTreeSet<String>,
    /// The setting of Auto Validation; `None` if SES tells none. No source says whether a call that leaves it out leaves
    /// it alone, so it is handed back as it was.
    pub validation: Option<AutoValidation>,
}

/// Whether SES skips sending to addresses that it takes for invalid (API reference v2, `SuppressionValidationAttributes`,
/// November 2026). The values are SES's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutoValidation {
    /// Whether it is switched on: `ENABLED` or `DISABLED`.
    pub status: String,
    /// How sure SES must be: `MEDIUM`, `HIGH` or `MANAGED`; `None` if SES does not say.
    pub threshold: Option<String>,
}

/// The account's settings by SES's own API.
pub struct SesAccountSettings {
    client: Client,
}

impl SesAccountSettings {
    /// The account in the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        // The SDK's retries would break the pace.
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

impl AccountSettings for SesAccountSettings {
    async fn suppression_attributes(&self) -> Result<SuppressionAttributes, SesError> {
        let account = self.client.get_account().send().await.map_err(|error| classify_error(&error))?;
        let Some(attributes) = account.suppression_attributes else {
            return Ok(SuppressionAttributes::default());
        };
        let reasons = attributes.suppressed_reasons.unwrap_or_default();
        let threshold =
            attributes.validation_attributes.and_then(|validation| validation.condition_threshold);
        Ok(SuppressionAttributes {
            reasons: reasons.iter().map(|reason| reason.as_str().to_owned()).collect(),
            validation: threshold.map(|threshold| AutoValidation {
                status: threshold.condition_threshold_enabled.as_str().to_owned(),
                threshold: threshold
                    .overall_confidence_threshold
                    .map(|threshold| threshold.confidence_verdict_threshold.as_str().to_owned()),
            }),
        })
    }

    async fn put_suppression_attributes(&self, attributes: &SuppressionAttributes) -> Result<(), SesError> {
        let reasons =
            attributes.reasons.iter().map(|reason| SuppressionListReason::from(reason.as_str())).collect();
        let validation = attributes.validation.as_ref().map(to_sdk_validation_attributes).transpose()?;
        let put = self.client.put_account_suppression_attributes().set_suppressed_reasons(Some(reasons));
        let put = put.set_validation_attributes(validation);
        put.send().await.map(drop).map_err(|error| classify_error(&error))
    }
}

fn to_sdk_validation_attributes(
    validation: &AutoValidation,
) -> Result<SuppressionValidationAttributes, SesError> {
    let unbuilt = |error: &dyn std::error::Error| SesError::Refused {
        code: "incomplete".to_owned(),
        message: error.to_string(),
    };
    let threshold = validation.threshold.as_deref().map(|threshold| {
        let threshold = SuppressionConfidenceVerdictThreshold::from(threshold);
        SuppressionConfidenceThreshold::builder().confidence_verdict_threshold(threshold).build()
    });
    let threshold = threshold.transpose().map_err(|error| unbuilt(&error))?;
    let condition = SuppressionConditionThreshold::builder()
        .condition_threshold_enabled(FeatureStatus::from(validation.status.as_str()))
        .set_overall_confidence_threshold(threshold)
        .build()
        .map_err(|error| unbuilt(&error))?;
    Ok(SuppressionValidationAttributes::builder().condition_threshold(condition).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::Stub;

    #[tokio::test]
    async fn what_was_read_can_be_put_back() {
        const VALIDATED: &str = r#"{"SuppressionAttributes":{"SuppressedReasons":["COMPLAINT","NEW"],"ValidationAttributes":
            {"ConditionThreshold":{"ConditionThresholdEnabled":"ENABLED","OverallConfidenceThreshold":
            {"ConfidenceVerdictThreshold":"HIGH"}}}}}"#;
        let stub = Stub::start([
            (200, VALIDATED),
            (200, "{}"),
            (200, r#"{"SuppressionAttributes":{"SuppressedReasons":[]}}"#),
            (200, "{}"),
            (200, "{}"),
        ]);
        let account = SesAccountSettings::new(&stub.config());
        let read = account.suppression_attributes().await.unwrap();
        assert_eq!(read.reasons, BTreeSet::from(["COMPLAINT", "NEW"].map(str::to_owned)));
        assert_eq!(account.put_suppression_attributes(&read).await, Ok(()));
        let read = account.suppression_attributes().await.unwrap();
        assert_eq!(read, SuppressionAttributes::default());
        assert_eq!(account.put_suppression_attributes(&read).await, Ok(()));
        assert_eq!(account.suppression_attributes().await, Ok(SuppressionAttributes::default()));
        let sent = stub.bodies();
        assert_eq!(
            sent[1],
            r#"{"SuppressedReasons":["COMPLAINT","NEW"],"ValidationAttributes":{"ConditionThreshold":{"ConditionThresholdEnabled":"ENABLED","OverallConfidenceThreshold":{"ConfidenceVerdictThreshold":"HIGH"}}}}"#
        );
        assert_eq!(sent[3], r#"{"SuppressedReasons":[]}"#);
    }
}
