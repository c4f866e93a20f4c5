//! The configuration sets of one Region, as far as they say which suppression list counts and where events are published.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::pages::{Page, Paging};
use crate::refused::{Refused, RefusedKind};
use crate::suppression::Reason;

/// The most sets in a Region (guide, "Service quotas").
const MAX_SETS: usize = 10_000;
/// The most event destinations of a set (guide, "Service quotas").
const MAX_DESTINATIONS: usize = 10;

/// The kinds of destination (API reference v2, `EventDestinationDefinition`).
const KINDS: [&str; 5] = [
    "CloudWatchDestination",
    "EventBridgeDestination",
    "KinesisFirehoseDestination",
    "PinpointDestination",
    "SnsDestination",
];

const EVENT_TYPES: [&str; 10] = [
    "SEND",
    "REJECT",
    "BOUNCE",
    "COMPLAINT",
    "DELIVERY",
    "OPEN",
    "CLICK",
    "RENDERING_FAILURE",
    "DELIVERY_DELAY",
    "SUBSCRIPTION",
];

/// A configuration set.
#[derive(Debug, Clone)]
pub(crate) struct ConfigurationSet {
    /// The reasons that count for this set in place of the account's. `None`: the account's count; empty: no list counts.
    pub(crate) suppressed_reasons: Option<Vec<Reason>>,
    pub(crate) sending: bool,
    destinations: BTreeMap<String, Definition>,
}

/// An event destination as a request defines it (API reference v2).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Definition {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    matching_event_types: Vec<String>,
    #[serde(flatten)]
    to: Map<String, Value>,
}

impl Definition {
    /// Checks that there is exactly one kind of destination, and that all its events exist.
    pub(crate) fn check(&self, region: &str) -> Result<(), Refused> {
        if self.matching_event_types.is_empty() {
            return Err(Refused::bad("An event destination needs at least one event type."));
        }
        if let Some(none) =
            self.matching_event_types.iter().find(|kind| !EVENT_TYPES.contains(&kind.as_str()))
        {
            return Err(Refused::constraint("matchingEventTypes", &format!("{none} is none")));
        }
        if self.to.len() != 1 || !self.to.keys().all(|kind| KINDS.contains(&kind.as_str())) {
            return Err(Refused::bad("An event destination is exactly one destination."));
        }
        match self.topic() {
            // Guide, "Regions and Amazon SES": event destinations are of the same Region.
            Some(topic) if topic.split(':').nth(3) != Some(region) => {
                Err(Refused::bad(format!("Invalid SNS topic: {topic}")))
            }
            _ => Ok(()),
        }
    }

    /// The ARN of its topic; `None` if the destination is not a topic.
    pub(crate) fn topic(&self) -> Option<&str> {
        self.to.get("SnsDestination")?["TopicArn"].as_str()
    }

    fn described(&self, name: &str) -> Value {
        let mut described = json!({
            "Name": name, "Enabled": self.enabled, "MatchingEventTypes": self.matching_event_types,
        });
        for (kind, to) in &self.to {
            described[kind] = to.clone();
        }
        described
    }
}

impl ConfigurationSet {
    /// Its event destinations, as the API tells them.
    pub(crate) fn destinations(&self) -> Vec<Value> {
        self.destinations.iter().map(|(name, definition)| definition.described(name)).collect()
    }

    pub(crate) fn add(&mut self, name: &str, definition: Definition) -> Result<(), Refused> {
        check_name(name)?;
        if self.destinations.contains_key(name) {
            let message = format!("An event destination with name {name} already exists.");
            return Err(Refused::new(RefusedKind::AlreadyExists, message));
        }
        if self.destinations.len() >= MAX_DESTINATIONS {
            let message = format!("{MAX_DESTINATIONS} event destinations are the limit.");
            return Err(Refused::new(RefusedKind::LimitExceeded, message));
        }
        self.destinations.insert(name.to_owned(), definition);
        Ok(())
    }

    pub(crate) fn replace(&mut self, name: &str, definition: Definition) -> Result<(), Refused> {
        let old = self.destinations.get_mut(name).ok_or_else(|| no_destination(name))?;
        *old = definition;
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Refused> {
        self.destinations.remove(name).map(drop).ok_or_else(|| no_destination(name))
    }
}

/// The configuration sets of one Region, by name.
#[derive(Debug, Default)]
pub(crate) struct ConfigurationSets(BTreeMap<String, ConfigurationSet>);

impl ConfigurationSets {
    pub(crate) fn create(
        &mut self,
        name: &str,
        suppressed_reasons: Option<Vec<Reason>>,
    ) -> Result<(), Refused> {
        check_name(name)?;
        if self.0.contains_key(name) {
            let message = format!("Configuration set {name} already exists.");
            return Err(Refused::new(RefusedKind::AlreadyExists, message));
        }
        if self.0.len() >= MAX_SETS {
            let message = format!("{MAX_SETS} configuration sets are the limit.");
            return Err(Refused::new(RefusedKind::LimitExceeded, message));
        }
        let set = ConfigurationSet { suppressed_reasons, sending: true, destinations: BTreeMap::new() };
        self.0.insert(name.to_owned(), set);
        Ok(())
    }

    pub(crate) fn get(&self, name: &str) -> Result<&ConfigurationSet, Refused> {
        self.0.get(name).ok_or_else(|| no_set(name))
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Result<&mut ConfigurationSet, Refused> {
        self.0.get_mut(name).ok_or_else(|| no_set(name))
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<(), Refused> {
        self.0.remove(name).map(drop).ok_or_else(|| no_set(name))
    }

    /// A page of the names. There are fifty on a page if the request does not say (probed).
    pub(crate) fn page(
        &self,
        region: &str,
        size: Option<usize>,
        token: Option<&str>,
    ) -> Result<Page<String>, Refused> {
        let paging = Paging { scope: &format!("{region} configuration sets"), usual: 50, most: 1000 };
        paging.page(self.0.keys(), size, token)
    }
}

fn no_set(name: &str) -> Refused {
    Refused::new(RefusedKind::NotFound, format!("Configuration set <{name}> does not exist."))
}

fn no_destination(name: &str) -> Refused {
    Refused::new(RefusedKind::NotFound, format!("Event destination <{name}> does not exist."))
}

/// Checks a set's name (API reference v2, `CreateConfigurationSet`).
fn check_name(name: &str) -> Result<(), Refused> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(Refused::bad(format!("Invalid name {name:?}.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(value: Value) -> Definition {
        serde_json::from_value(value).expect("a definition")
    }

    fn kind<T>(result: Result<T, Refused>) -> Option<RefusedKind> {
        result.err().map(|refused| refused.kind)
    }

    #[test]
    fn a_destination_is_one_thing_in_this_region() {
        let topic = |region: &str| json!({ "TopicArn": format!("arn:aws:sns:{region}:123456789012:t") });
        for (value, good) in [
            (json!({ "MatchingEventTypes": ["BOUNCE"], "SnsDestination": topic("eu-west-1") }), true),
            (json!({ "MatchingEventTypes": ["BOUNCE"], "SnsDestination": topic("us-east-1") }), false),
            (json!({ "MatchingEventTypes": [], "SnsDestination": topic("eu-west-1") }), false),
            (json!({ "MatchingEventTypes": ["BOUNCED"], "SnsDestination": topic("eu-west-1") }), false),
            (json!({ "MatchingEventTypes": ["BOUNCE"] }), false),
            (
                json!({ "MatchingEventTypes": ["SEND"], "EventBridgeDestination": { "EventBusArn": "b" } }),
                true,
            ),
            (json!({ "MatchingEventTypes": ["SEND"], "MailDestination": {} }), false),
        ] {
            assert_eq!(definition(value.clone()).check("eu-west-1").is_ok(), good, "{value}");
        }
    }

    #[test]
    fn sets_and_destinations_come_and_go() {
        let mut sets = ConfigurationSets::default();
        assert_eq!(kind(sets.create("a b", None)), Some(RefusedKind::BadRequest));
        sets.create("a", Some(vec![])).expect("made");
        assert_eq!(kind(sets.create("a", None)), Some(RefusedKind::AlreadyExists));
        let set = sets.get_mut("a").expect("there");
        let bus = definition(
            json!({ "Enabled": true, "MatchingEventTypes": ["SEND"], "EventBridgeDestination": {} }),
        );
        set.add("d", bus.clone()).expect("made");
        assert_eq!(kind(set.add("d", bus.clone())), Some(RefusedKind::AlreadyExists));
        assert_eq!(
            set.destinations(),
            [
                json!({ "Name": "d", "Enabled": true, "MatchingEventTypes": ["SEND"], "EventBridgeDestination": {} })
            ]
        );
        assert_eq!(kind(set.replace("e", bus.clone())), Some(RefusedKind::NotFound));
        set.replace("d", bus).expect("replaced");
        set.remove("d").expect("gone");
        assert_eq!(kind(set.remove("d")), Some(RefusedKind::NotFound));
        sets.delete("a").expect("gone");
        assert_eq!(kind(sets.delete("a")), Some(RefusedKind::NotFound));
    }
}
