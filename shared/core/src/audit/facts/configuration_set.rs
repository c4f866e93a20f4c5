//! A configuration set: SES v2 `GetConfigurationSet` and `GetConfigurationSetEventDestinations`.

use serde::{Deserialize, Serialize};

use super::asked::Asked;

/// A configuration set. One that was deleted before it was read is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationSet {
    /// `ConfigurationSetName`
    pub name: String,
    /// `SuppressionOptions.SuppressedReasons`: `None` where SES gives no list, which is to use the account's. An empty list is
    /// something else: it overrides the account's, and switches its suppression list off.
    pub suppressed_reasons: Option<Vec<String>>,
    /// `SuppressionOptions.SuppressionScope`: `ACCOUNT`, `TENANT`, or what else SES says.
    pub suppression_scope: Option<String>,
    /// `SendingOptions.SendingEnabled`
    pub sending_enabled: bool,
    /// `GetConfigurationSetEventDestinations`
    #[serde(default)]
    pub event_destinations: Asked<Vec<EventDestination>>,
}

/// `EventDestination`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDestination {
    /// Its name.
    pub name: String,
    /// Whether events go there.
    pub enabled: bool,
    /// `MatchingEventTypes`: `BOUNCE`, `COMPLAINT`, `DELIVERY` and so on.
    pub event_types: Vec<String>,
    /// Where they go.
    pub destination: Destination,
}

/// Where events go. Each holds the ARN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// `SnsDestination.TopicArn`
    Sns(String),
    /// `EventBridgeDestination.EventBusArn`
    EventBridge(String),
    /// `KinesisFirehoseDestination.DeliveryStreamArn`
    Firehose(String),
    /// `PinpointDestination.ApplicationArn`
    Pinpoint(String),
    /// Metrics only: they name no recipient.
    CloudWatch,
    /// Something that SES has added since.
    Other,
}
