//! A configuration set: SES v2 `GetConfigurationSet` and `GetConfigurationSetEventDestinations`.

use serde::{Deserialize, Serialize};

use super::answer::ApiAnswer;

/// A configuration set. One that was deleted before it was read is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationSet {
    /// The set's name (`ConfigurationSetName`).
    pub name: String,
    /// The set's own reasons (`SuppressionOptions.SuppressedReasons`). `None` where SES gives no list, which means that
    /// the account's reasons are used. An empty list is different: it overrides the account's reasons, and so switches
    /// its suppression list off.
    pub suppressed_reasons: Option<Vec<String>>,
    /// Whose suppression list counts (`SuppressionOptions.SuppressionScope`): `ACCOUNT`, `TENANT`, or what else SES says.
    pub suppression_scope: Option<String>,
    /// Whether mail can be sent with the set (`SendingOptions.SendingEnabled`).
    pub sending_enabled: bool,
    /// The set's event destinations (`GetConfigurationSetEventDestinations`).
    #[serde(default)]
    pub event_destinations: ApiAnswer<Vec<EventDestination>>,
}

/// Where a configuration set publishes events (`EventDestination`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDestination {
    /// The destination's name.
    pub name: String,
    /// Whether events are sent there.
    pub enabled: bool,
    /// The kinds of event that are sent there (`MatchingEventTypes`): `BOUNCE`, `COMPLAINT`, `DELIVERY` and so on.
    pub event_types: Vec<String>,
    /// What receives the events.
    pub destination: EventDestinationTarget,
}

/// What receives events, with its ARN.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventDestinationTarget {
    /// An SNS topic (`SnsDestination.TopicArn`).
    Sns(String),
    /// An EventBridge bus (`EventBridgeDestination.EventBusArn`).
    EventBridge(String),
    /// A Firehose stream (`KinesisFirehoseDestination.DeliveryStreamArn`).
    Firehose(String),
    /// A Pinpoint application (`PinpointDestination.ApplicationArn`).
    Pinpoint(String),
    /// CloudWatch, which gets metrics only: they name no recipient.
    CloudWatch,
    /// A kind of destination that SES has added since.
    Other,
}
