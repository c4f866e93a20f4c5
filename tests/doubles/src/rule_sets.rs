//! Receipt rule sets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use local_ses::rules::RuleSets as Model;
use mailroom_aws::rule_sets::{RuleSetApi, SesReceiptRule, SesRuleSet};
use mailroom_aws::ses::SesError;
use time::OffsetDateTime;

use crate::ses::refused;
use crate::{MemorySes, lock};

/// The receipt rule sets of one Region.
#[derive(Debug, Clone)]
pub struct MemoryRuleSets {
    sets: Arc<Mutex<Sets>>,
    ses: MemorySes,
}

#[derive(Debug, Default)]
struct Sets {
    model: Model,
    /// The rules of each set, as the port has them.
    rules: BTreeMap<String, Vec<SesReceiptRule>>,
}

impl MemoryRuleSets {
    /// A Region without rule sets.
    pub fn new(ses: &MemorySes) -> Self {
        Self { sets: Arc::default(), ses: ses.clone() }
    }

    /// The same rule sets, reached through an SES of the same kind: [`MemorySes::with_fuse`].
    #[must_use]
    pub fn through(&self, ses: &MemorySes) -> Self {
        Self { ses: ses.clone(), ..self.clone() }
    }

    /// Makes a rule set, as somebody other than Mailroom would.
    pub fn create(&self, set: SesRuleSet) {
        let mut sets = lock(&self.sets);
        sets.model.create_set(&set.name, OffsetDateTime::UNIX_EPOCH).unwrap();
        sets.rules.insert(set.name, set.rules);
    }

    /// Deletes a rule set. `false` if it is active: it then stays.
    pub fn delete(&self, name: &str) -> bool {
        lock(&self.sets).model.delete_set(name).is_ok()
    }

    /// Activates a rule set, as somebody other than Mailroom would; `None` deactivates the active one.
    pub fn set_active(&self, name: Option<&str>) {
        lock(&self.sets).model.set_active(name).unwrap();
    }

    /// The name of the active rule set; `None` if there is none.
    pub fn active_name(&self) -> Option<String> {
        lock(&self.sets).model.active().map(|set| set.name.clone())
    }
}

impl RuleSetApi for MemoryRuleSets {
    async fn active_rule_set(&self) -> Result<Option<SesRuleSet>, SesError> {
        let describe = || {
            let sets = lock(&self.sets);
            Ok(sets
                .model
                .active()
                .map(|set| SesRuleSet { name: set.name.clone(), rules: sets.rules[&set.name].clone() }))
        };
        self.ses.call("DescribeActiveReceiptRuleSet".to_owned(), describe).await
    }

    async fn activate(&self, name: Option<&str>) -> Result<(), SesError> {
        let activate = || lock(&self.sets).model.set_active(name).map_err(refused);
        self.ses.call(format!("SetActiveReceiptRuleSet {}", name.unwrap_or("-")), activate).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailroom_core::timestamp::Timestamp;

    use super::*;
    use crate::MemoryClock;

    #[tokio::test]
    async fn one_is_active() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let sets = MemoryRuleSets::new(&MemorySes::new(&clock));
        let second = || clock.advance(Duration::from_secs(1));
        assert_eq!(sets.active_rule_set().await, Ok(None));
        second();
        assert!(sets.activate(Some("a")).await.is_err());
        let set = SesRuleSet { name: "a".to_owned(), rules: Vec::new() };
        sets.create(set.clone());
        second();
        assert_eq!(sets.activate(Some("a")).await, Ok(()));
        assert!(!sets.delete("a"), "while it is active");
        second();
        assert_eq!(sets.active_rule_set().await, Ok(Some(set)));
        second();
        assert_eq!(sets.activate(None).await, Ok(()));
        assert_eq!(sets.active_name(), None);
        assert!(sets.delete("a"));
    }
}
