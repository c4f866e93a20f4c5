//! Where SES sends notifications about an identity's mail: topics for bounces and complaints, or e-mail to the sender.
//!
//! This is version 1 of the API, since version 2 has e-mail forwarding but no topics (API reference v2,
//! `GetEmailIdentity`, November 2026).

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_ses::Client;
use aws_sdk_ses::config::retry::RetryConfig;
use aws_sdk_ses::types::{IdentityNotificationAttributes, NotificationType};
pub use mailroom_core::setup::FeedbackKind;
pub use mailroom_core::setup::plan::IDENTITIES_PER_CALL as MOST_IDENTITIES;

use crate::ses::{SesError, classify_error};

/// Reads and writes where SES sends notifications about an identity's mail. Each method is one call of SES's API.
pub trait NotificationTopics {
    /// The settings of at most [`MOST_IDENTITIES`] identities, by name. An identity that SES does not know is left out,
    /// or has the settings of a new one: no source says which.
    ///
    /// # Errors
    /// See [`SesError`].
    async fn attributes(
        &self,
        identities: &[String],
    ) -> Result<BTreeMap<String, NotificationAttributes>, SesError>;

    /// Sets an identity's topic for one kind of notification; `None` removes it.
    ///
    /// # Errors
    /// See [`SesError`]. SES publishes a trial message, so the topic must allow SES before.
    async fn set_topic(
        &self,
        identity: &str,
        feedback_kind: FeedbackKind,
        topic_arn: Option<&str>,
    ) -> Result<(), SesError>;

    /// Sets whether bounces and complaints are also sent by e-mail.
    ///
    /// # Errors
    /// See [`SesError`]. E-mail can be switched off only while both topics are set (API reference,
    /// `SetIdentityFeedbackForwardingEnabled`, November 2026).
    async fn set_forwarding(&self, identity: &str, enabled: bool) -> Result<(), SesError>;
}

/// Where SES sends notifications about one identity's mail. Topics are named by their ARNs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "these are SES's own switches")]
pub struct NotificationAttributes {
    /// The topic that gets bounces; `None` if there is none.
    pub bounce_topic: Option<String>,
    /// The topic that gets complaints; `None` if there is none.
    pub complaint_topic: Option<String>,
    /// The topic that gets deliveries; `None` if there is none.
    pub delivery_topic: Option<String>,
    /// Whether bounces and complaints are sent by e-mail.
    pub forwarding_enabled: bool,
    /// Whether notifications of bounces include the mail's headers.
    pub headers_in_bounces: bool,
    /// Whether notifications of complaints include the mail's headers.
    pub headers_in_complaints: bool,
    /// Whether notifications of deliveries include the mail's headers.
    pub headers_in_deliveries: bool,
}

impl Default for NotificationAttributes {
    /// The settings of a new identity, which are e-mail and nothing else (Developer Guide, "Receiving Amazon SES
    /// notifications through email": forwarding is on by default, November 2026).
    fn default() -> Self {
        Self {
            bounce_topic: None,
            complaint_topic: None,
            delivery_topic: None,
            forwarding_enabled: true,
            headers_in_bounces: false,
            headers_in_complaints: false,
            headers_in_deliveries: false,
        }
    }
}

/// The settings by SES's own API.
pub struct SesNotificationTopics {
    client: Client,
}

impl SesNotificationTopics {
    /// The identities of the configuration's own Region.
    pub fn new(config: &SdkConfig) -> Self {
        // The SDK's retries would break the pace.
        let config = aws_sdk_ses::config::Builder::from(config).retry_config(RetryConfig::disabled());
        Self { client: Client::from_conf(config.build()) }
    }
}

impl NotificationTopics for SesNotificationTopics {
    async fn attributes(
        &self,
        identities: &[String],
    ) -> Result<BTreeMap<String, NotificationAttributes>, SesError> {
        let get =
            self.client.get_identity_notification_attributes().set_identities(Some(identities.to_vec()));
        let output = get.send().await.map_err(|error| classify_error(&error))?;
        let attributes = output.notification_attributes.into_iter();
        Ok(attributes.map(|(identity, attributes)| (identity, from_sdk_attributes(attributes))).collect())
    }

    async fn set_topic(
        &self,
        identity: &str,
        feedback_kind: FeedbackKind,
        topic_arn: Option<&str>,
    ) -> Result<(), SesError> {
        let set = self.client.set_identity_notification_topic().identity(identity);
        let set = set.notification_type(NotificationType::from(feedback_kind.as_ses()));
        let set = set.set_sns_topic(topic_arn.map(str::to_owned));
        set.send().await.map(drop).map_err(|error| classify_error(&error))
    }

    async fn set_forwarding(&self, identity: &str, enabled: bool) -> Result<(), SesError> {
        let set = self.client.set_identity_feedback_forwarding_enabled().identity(identity);
        set.forwarding_enabled(enabled).send().await.map(drop).map_err(|error| classify_error(&error))
    }
}

/// Reads SES's answer. A topic that is not set is left out of it, or is empty, which is what the SDK makes of it.
fn from_sdk_attributes(attributes: IdentityNotificationAttributes) -> NotificationAttributes {
    let topic = |topic: String| Some(topic).filter(|topic| !topic.is_empty());
    NotificationAttributes {
        bounce_topic: topic(attributes.bounce_topic),
        complaint_topic: topic(attributes.complaint_topic),
        delivery_topic: topic(attributes.delivery_topic),
        forwarding_enabled: attributes.forwarding_enabled,
        headers_in_bounces: attributes.headers_in_bounce_notifications_enabled,
        headers_in_complaints: attributes.headers_in_complaint_notifications_enabled,
        headers_in_deliveries: attributes.headers_in_delivery_notifications_enabled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doubles::stub::Stub;

    const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:t";

    /// The API reference's example of `GetIdentityNotificationAttributes`.
    const ATTRIBUTES: &str = r#"<GetIdentityNotificationAttributesResponse xmlns="http://ses.amazonaws.com/doc/2010-12-01/">
        <GetIdentityNotificationAttributesResult><NotificationAttributes><entry><key>user@example.com</key><value>
        <ForwardingEnabled>true</ForwardingEnabled><BounceTopic>arn:aws:sns:us-east-1:123456789012:t</BounceTopic>
        <ComplaintTopic></ComplaintTopic><HeadersInComplaintNotificationsEnabled>true</HeadersInComplaintNotificationsEnabled>
        </value></entry></NotificationAttributes></GetIdentityNotificationAttributesResult>
        <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetIdentityNotificationAttributesResponse>"#;
    const THROTTLED: &str = r"<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>";
    const DENIED: &str = r"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>user@example.com</Message></Error></ErrorResponse>";
    const INVALID: &str = r"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidParameterValue</Code><Message>user@example.com</Message></Error></ErrorResponse>";
    const DONE: &str = "<R><R/></R>";

    #[tokio::test]
    async fn each_answer_says_whether_a_retry_can_help() {
        let stub = Stub::start([
            (200, ATTRIBUTES),
            (200, DONE),
            (200, DONE),
            (400, THROTTLED),
            (403, DENIED),
            (400, INVALID),
            (503, ""),
        ]);
        let topics = SesNotificationTopics::new(&stub.config());
        let told = topics.attributes(&["user@example.com".to_owned()]).await.unwrap();
        let expected = NotificationAttributes {
            bounce_topic: Some(TOPIC.to_owned()),
            headers_in_complaints: true,
            ..NotificationAttributes::default()
        };
        assert_eq!(told, BTreeMap::from([("user@example.com".to_owned(), expected)]));
        assert_eq!(topics.set_topic("example.com", FeedbackKind::Complaint, Some(TOPIC)).await, Ok(()));
        assert_eq!(topics.set_topic("example.com", FeedbackKind::Bounce, None).await, Ok(()));
        let forward = || topics.set_forwarding("example.com", false);
        assert_eq!(forward().await, Err(SesError::Throttled));
        assert_eq!(forward().await, Err(SesError::Denied("AccessDenied".to_owned())));
        let refused = forward().await.unwrap_err();
        assert_eq!(refused.to_string(), "SES refuses it: InvalidParameterValue", "nothing personal");
        assert!(!refused.may_succeed_later());
        assert_eq!(forward().await, Err(SesError::Unavailable("status 503".to_owned())));
        let sent = stub.bodies();
        assert_eq!(
            sent[1],
            "Action=SetIdentityNotificationTopic&Version=2010-12-01&Identity=example.com\
             &NotificationType=Complaint&SnsTopic=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3At"
        );
        assert!(!sent[2].contains("SnsTopic"), "{}", sent[2]);
        assert_eq!(sent.len(), 7, "each call is one request");
    }
}
