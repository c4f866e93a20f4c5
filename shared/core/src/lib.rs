//! Mailroom's domain, pure: no AWS SDK, no clock, no I/O.
//!
//! Read in the order in which a message passes through:
//!
//! | module | turns | into |
//! |---|---|---|
//! | [`lambda_event`] | an event with `Records` | records and messages of queues, each on its own |
//! | [`envelope`] | a payload of any wrapping (SQS, SNS, EventBridge, bare) | messages, each on its own |
//! | [`notification`] | one message | what SES said, typed: of mail sent, of mail received, or a notice to ignore |
//! | [`ownership`] | a notification and where it came from | a refusal, if it is not this stack's |
//! | [`feedback`] | a notification | records, one per event, recipient and format |
//! | [`inbound`] | a receipt, and where its mail lies | records, one per recipient of the envelope |
//! | [`evidence`] | what is known of one recipient | `bounce`, `complaint` or nothing, and whether it is worth deciding on |
//! | [`suppression`] | records, peers' messages, a Region's list | an address's state, and what the list needs |
//!
//! [`notification::Notification::fields_with_unknown_values`] tells what SES has added since we last read its documentation.
//!
//! Where it happens: [`region`], the catalogue; [`setup`], what CloudFormation cannot set up there; and [`smtp`], each
//! Region's password.
//!
//! What they are made of: [`address`], [`timestamp`], [`arn`], [`text`], [`origin`], [`record`]; [`malformed`] for what can't be read, and
//! [`dead_letter`] for what becomes of that.

pub mod address;
pub mod arn;
pub mod dead_letter;
mod documented_values;
pub mod envelope;
pub mod escaped_json;
pub mod evidence;
pub mod feedback;
pub mod inbound;
mod json;
pub mod lambda_event;
pub mod malformed;
pub mod notification;
pub mod origin;
pub mod ownership;
pub mod record;
pub mod region;
pub mod setup;
pub mod smtp;
pub mod suppression;
pub mod text;
pub mod timestamp;
