//! The mail that SES writes to buckets and publishes to topics when a rule is made, to see whether it may.

use time::OffsetDateTime;

use crate::clock::rfc5322;

/// The id of that mail, which is also the object's key, after the prefix.
pub(crate) const MESSAGE_ID: &str = "AMAZON_SES_SETUP_NOTIFICATION";

/// The mail itself, as it was seen in buckets and topics.
pub(crate) fn mail(what: &str, now: OffsetDateTime) -> String {
    format!(
        "Date: {}\r\nTo: recipient@example.com\r\nFrom: Amazon Web Services <no-reply-aws@amazon.com>\r\n\
         Subject: Amazon SES Setup Notification\r\n\r\nHello,\r\n\r\n\
         You received this message because you attempted to set up Amazon SES to deliver emails to this {what}.\r\n\r\n\
         Please note that the rule that you configured to deliver emails to this {what} is only valid if the entire \
         setup process is successful. For more information about\r\nsetting up email-receiving rules, see the Amazon \
         SES Developer Guide at http://docs.aws.amazon.com/ses/latest/DeveloperGuide/Welcome.html .\r\n\r\n\
         Thank you for using Amazon SES!\r\n\r\nThe Amazon SES Team\n",
        rfc5322(now)
    )
}
