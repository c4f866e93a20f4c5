//! Whether what SES says is this stack's to record.

use crate::arn::Arn;
use crate::dead_letter::DeadLetterReason;
use crate::inbound::Receipt;
use crate::notification::Notification;
use crate::origin::MessageOrigin;

/// What this stack is responsible for.
#[derive(Debug, Clone)]
pub struct StackScope {
    /// The account's twelve digits.
    pub account: String,
    /// The Region, such as `us-east-1`.
    pub region: String,
    /// The ARN of the one topic that SES publishes to; `None` for a function that has none.
    pub topic_arn: Option<String>,
}

/// Why a notification is not this stack's. No retry makes it so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", self.field(), self.problem())]
pub enum ForeignMessage {
    /// The notification came by another topic.
    Topic,
    /// Neither the sending account, nor the account of the identity or of EventBridge's event, is this one.
    Account,
    /// The notification says nothing of an account or an identity, and has not come by this stack's topic, to which only
    /// SES may publish.
    Unidentified,
    /// The identity, or EventBridge's event, is of another Region.
    Region,
    /// The receipt rule's action invoked a function, or published to a topic, of another account.
    ActionAccount,
    /// The receipt rule's action invoked a function, or published to a topic, of another Region.
    ActionRegion,
}

impl ForeignMessage {
    /// The paths of the fields that say so.
    pub fn field(self) -> &'static str {
        match self {
            Self::Topic => "TopicArn",
            Self::Account | Self::Unidentified => "mail.sendingAccountId, mail.sourceArn",
            Self::Region => "mail.sourceArn",
            Self::ActionAccount | Self::ActionRegion => "receipt.action",
        }
    }

    /// What is wrong with them.
    pub fn problem(self) -> &'static str {
        match self {
            Self::Topic => "not this stack's topic",
            Self::Account | Self::ActionAccount => "another AWS account",
            Self::Unidentified => "missing, and not by this stack's topic",
            Self::Region | Self::ActionRegion => "another Region",
        }
    }
}

impl From<ForeignMessage> for DeadLetterReason {
    fn from(foreign: ForeignMessage) -> Self {
        Self::new(foreign.field(), foreign.problem())
    }
}

impl StackScope {
    /// Checks that a notification is this stack's. With sending authorization the sending account is the delegate's, so a
    /// notification is ours if that *or* the account of the identity is. One that names neither, nor the account of
    /// EventBridge's event, must have come by this stack's topic: anybody can write such a payload. What else a message does
    /// not say is not held against it, such as the topic after raw delivery.
    ///
    /// # Errors
    /// The first thing about it that is somebody else's.
    pub fn check_notification(
        &self,
        origin: &MessageOrigin,
        notification: &Notification,
    ) -> Result<(), ForeignMessage> {
        self.check_topic(origin)?;
        let identity = notification.source_arn();
        let accounts = [notification.mail.sending_account_id.get(), identity.map(|arn| arn.account)];
        let mut said = accounts.into_iter().flatten().peekable();
        if said.peek().is_none() && origin.account.is_none() && !self.came_through_topic(origin) {
            return Err(ForeignMessage::Unidentified);
        }
        let foreign = said.peek().is_some() && !said.any(|account| account == self.account);
        if foreign || origin.account.as_ref().is_some_and(|account| *account != self.account) {
            return Err(ForeignMessage::Account);
        }
        let regions = [identity.and_then(Arn::region), origin.region.as_deref()];
        if regions.into_iter().flatten().any(|region| region != self.region) {
            return Err(ForeignMessage::Region);
        }
        Ok(())
    }

    /// Checks that a mail that was received is this stack's. A receipt rule can only invoke and publish in its own
    /// Region, so the action says where the mail was received; the Lambda permission and the topic's policy say whose
    /// rule it was.
    ///
    /// # Errors
    /// The first thing about it that is somebody else's.
    pub fn check_receipt(&self, origin: &MessageOrigin, receipt: &Receipt) -> Result<(), ForeignMessage> {
        self.check_topic(origin)?;
        let action = receipt.action_arn();
        let accounts = [action.map(|arn| arn.account), origin.account.as_deref()];
        if accounts.into_iter().flatten().any(|account| account != self.account) {
            return Err(ForeignMessage::ActionAccount);
        }
        let regions = [action.and_then(Arn::region), origin.region.as_deref()];
        if regions.into_iter().flatten().any(|region| region != self.region) {
            return Err(ForeignMessage::ActionRegion);
        }
        Ok(())
    }

    fn came_through_topic(&self, origin: &MessageOrigin) -> bool {
        self.topic_arn.is_some() && origin.topic_arn == self.topic_arn
    }

    fn check_topic(&self, origin: &MessageOrigin) -> Result<(), ForeignMessage> {
        match (&origin.topic_arn, &self.topic_arn) {
            (Some(topic), Some(ours)) if topic != ours => Err(ForeignMessage::Topic),
            _ => Ok(()),
        }
    }
}
