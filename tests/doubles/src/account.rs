//! The account's suppression settings.

use std::sync::{Arc, Mutex};

use mailroom_aws::account::{AccountSettings, SuppressionAttributes};
use mailroom_aws::ses::SesError;

use crate::{MemorySes, lock};

/// The account in one Region.
#[derive(Debug, Clone)]
pub struct MemoryAccount {
    settings: Arc<Mutex<SuppressionAttributes>>,
    ses: MemorySes,
}

impl MemoryAccount {
    /// An account with both reasons enabled, as accounts are since November 2019 (Developer Guide, "Using the
    /// account-level suppression list", November 2026).
    pub fn new(ses: &MemorySes) -> Self {
        let reasons = ["BOUNCE", "COMPLAINT"].map(str::to_owned).into();
        let settings = SuppressionAttributes { reasons, validation: None };
        Self { settings: Arc::new(Mutex::new(settings)), ses: ses.clone() }
    }

    /// The same account, reached through an SES of the same kind: [`MemorySes::with_fuse`].
    #[must_use]
    pub fn through(&self, ses: &MemorySes) -> Self {
        Self { ses: ses.clone(), ..self.clone() }
    }

    /// Sets all settings, as somebody other than Mailroom would.
    pub fn set(&self, settings: SuppressionAttributes) {
        *lock(&self.settings) = settings;
    }

    /// The settings as they are now.
    pub fn now(&self) -> SuppressionAttributes {
        lock(&self.settings).clone()
    }
}

impl AccountSettings for MemoryAccount {
    async fn suppression_attributes(&self) -> Result<SuppressionAttributes, SesError> {
        self.ses.call("GetAccount".to_owned(), || Ok(self.now())).await
    }

    async fn put_suppression_attributes(&self, attributes: &SuppressionAttributes) -> Result<(), SesError> {
        let reasons: Vec<_> = attributes.reasons.iter().map(String::as_str).collect();
        let name = format!("PutAccountSuppressionAttributes {}", reasons.join(","));
        let put = || {
            self.set(attributes.clone());
            Ok(())
        };
        self.ses.call(name, put).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mailroom_core::timestamp::Timestamp;

    use super::*;
    use crate::MemoryClock;

    #[tokio::test]
    async fn settings_are_as_they_were_put() {
        let clock = MemoryClock::at(Timestamp::from_millis(1_769_525_978_237).unwrap());
        let ses = MemorySes::new(&clock);
        let account = MemoryAccount::new(&ses);
        let mut settings = account.suppression_attributes().await.unwrap();
        settings.reasons.remove("BOUNCE");
        clock.advance(Duration::from_secs(1));
        assert_eq!(account.put_suppression_attributes(&settings).await, Ok(()));
        assert_eq!(account.now().reasons, ["COMPLAINT".to_owned()].into());
        account.set(SuppressionAttributes::default());
        clock.advance(Duration::from_secs(1));
        assert_eq!(account.suppression_attributes().await, Ok(SuppressionAttributes::default()));
        assert_eq!(ses.calls(), ["GetAccount", "PutAccountSuppressionAttributes COMPLAINT", "GetAccount"]);
    }
}
