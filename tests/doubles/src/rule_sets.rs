//! Receipt rule sets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mailroom_aws::rule_sets::{Rule, RuleSet, RuleSets};
use mailroom_aws::ses::SesError;

use crate::{MemorySes, lock};

/// The receipt rule sets of one Region.
#[derive(Debug, Clone)]
pub struct MemoryRuleSets {
    sets: Arc<Mutex<Sets>>,
    ses: MemorySes,
}

#[derive(Debug, Default)]
struct Sets {
    by_name: BTreeMap<String, Vec<Rule>>,
    active: Option<String>,
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
    pub fn create(&self, set: RuleSet) {
        lock(&self.sets).by_name.insert(set.name, set.rules);
    }

    /// Deletes a rule set. `false` if it is active: as in SES, it then stays.
    pub fn delete(&self, name: &str) -> bool {
        let mut sets = lock(&self.sets);
        sets.active.as_deref() != Some(name) && sets.by_name.remove(name).is_some()
    }

    /// Activates a rule set, as somebody other than Mailroom would; `None` deactivates the active one.
    pub fn set_active(&self, name: Option<&str>) {
        lock(&self.sets).active = name.map(str::to_owned);
    }

    /// The name of the active rule set; `None` if there is none.
    pub fn active_name(&self) -> Option<String> {
        lock(&self.sets).active.clone()
    }
}

impl RuleSets for MemoryRuleSets {
    async fn active(&self) -> Result<Option<RuleSet>, SesError> {
        let describe = || {
            let sets = lock(&self.sets);
            let set = |name: &String| RuleSet {
                name: name.clone(),
                rules: sets.by_name.get(name).cloned().unwrap_or_default(),
            };
            Ok(sets.active.as_ref().map(set))
        };
        self.ses.call("DescribeActiveReceiptRuleSet".to_owned(), describe).await
    }

    async fn activate(&self, name: Option<&str>) -> Result<(), SesError> {
        let activate = || {
            let mut sets = lock(&self.sets);
            if name.is_some_and(|name| !sets.by_name.contains_key(name)) {
                let code = "RuleSetDoesNotExist".to_owned();
                return Err(SesError::Refused { code, message: "no such rule set".to_owned() });
            }
            sets.active = name.map(str::to_owned);
            Ok(())
        };
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
        assert_eq!(sets.active().await, Ok(None));
        second();
        assert!(sets.activate(Some("a")).await.is_err());
        let set = RuleSet { name: "a".to_owned(), rules: Vec::new() };
        sets.create(set.clone());
        second();
        assert_eq!(sets.activate(Some("a")).await, Ok(()));
        assert!(!sets.delete("a"), "while it is active");
        second();
        assert_eq!(sets.active().await, Ok(Some(set)));
        second();
        assert_eq!(sets.activate(None).await, Ok(()));
        assert_eq!(sets.active_name(), None);
        assert!(sets.delete("a"));
    }
}
