//! Which addresses a Region's suppression list must hold, and what to do so that it does.
//!
//! | module | decides |
//! |---|---|
//! | [`policy`] | whether a new record, with the address's recent history, is reason to suppress |
//! | [`delivery`] | what is kept of the latest delivery to an address |
//! | [`operator`] | what an operator's suppress or release comes to |
//! | [`state`] | how what was said joins, in any order and from any Region, and what is in force |
//! | [`address_state`] | what the table keeps of an address, and when the list needs work |
//! | [`peer_message`] | what peers are told |
//! | [`dispatch`] | what goes to the list by single calls, what by import job, and in which order |
//! | [`import`] | what an import job is made of, and what SES says it did |
//! | [`import_job`] | a Region's import job, from its intent to its end |
//! | [`reconcile`] | what a difference between list and state means |
//! | [`list_pass`] | what a pass over the list has found |
//! | [`window`] | in which parts a long list is read |
//!
//! All of it is pure: whoever calls reads the item, asks, and writes the answer on condition that the item's
//! [version](address_state::AddressState::version) is still the one that was read.

pub mod address_state;
pub mod delivery;
pub mod dispatch;
mod feedback_fact;
pub mod import;
pub mod import_job;
pub mod list_pass;
pub mod operator;
pub mod peer_message;
pub mod policy;
pub mod reason;
pub mod reconcile;
pub mod spellings;
pub mod state;
pub mod urgency;
pub mod window;

pub use address_state::{AddressState, StateChange};
pub use feedback_fact::FeedbackSummary;
pub use reason::SuppressionReason;
pub use state::{Statement, StatementSource, SuppressionState};
