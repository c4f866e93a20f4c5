//! Whether a notification is this stack's to record.

use crate::envelope::Origin;
use crate::notification::Notification;

/// What this stack answers for.
#[derive(Debug, Clone)]
pub struct Ours {
    /// Twelve digits.
    pub account: String,
    /// `us-east-1`
    pub region: String,
    /// The one topic that SES publishes this stack's feedback to.
    pub topic_arn: String,
}

/// A notification of somebody else's. No retry makes it ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Foreign {
    /// It came by another topic.
    #[error("TopicArn: not the feedback topic of this stack")]
    Topic,
    /// Neither the sending account nor the identity's, or EventBridge's event, is of this account.
    #[error("mail.sendingAccountId, mail.sourceArn: another AWS account")]
    Account,
    /// The identity, or EventBridge's event, is of another Region.
    #[error("mail.sourceArn: another Region")]
    Region,
}

impl Ours {
    /// With sending authorization the sending account is the delegate's, so a notification is ours if that *or* the
    /// account of the identity is. What a message does not say is not held against it: raw delivery names no topic, and
    /// the queue's and topic's policies have let it in.
    ///
    /// # Errors
    /// The first thing about it that is somebody else's.
    pub fn check(&self, origin: &Origin, notification: &Notification) -> Result<(), Foreign> {
        if origin.topic_arn.as_ref().is_some_and(|arn| *arn != self.topic_arn) {
            return Err(Foreign::Topic);
        }
        let identity = notification.source_arn();
        let accounts = [notification.mail.sending_account_id.get(), identity.map(|arn| arn.account)];
        let mut said = accounts.into_iter().flatten().peekable();
        let foreign = said.peek().is_some() && !said.any(|account| account == self.account);
        if foreign || origin.account.as_ref().is_some_and(|account| *account != self.account) {
            return Err(Foreign::Account);
        }
        let regions = [identity.and_then(crate::arn::Arn::region), origin.region.as_deref()];
        if regions.into_iter().flatten().any(|region| region != self.region) {
            return Err(Foreign::Region);
        }
        Ok(())
    }
}
