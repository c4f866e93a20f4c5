//! Which addresses a Region's suppression list must hold, and what to do so that it does.
//!
//! | module | decides |
//! |---|---|
//! | [`policy`] | whether a new record, with the address's recent history, is reason to suppress |
//! | [`delivery`] | what is kept of the latest delivery to an address |
//! | [`operator`] | what an operator's suppress or release comes to |
//! | [`state`] | how what was said joins, in any order and from any Region, and what is in force |
//! | [`item`] | what the table keeps of an address, and when the list needs work |
//! | [`message`] | what peers are told |
//! | [`import`] | what goes to the list by import job, and what a job did |
//! | [`reconcile`] | what a difference between list and state means |
//! | [`window`] | in which parts a long list is read |
//!
//! All of it is pure: whoever calls reads the item, asks, and writes the answer on condition that the item's
//! [version](item::AddressState::version) is still the one that was read.

pub mod delivery;
pub mod import;
pub mod item;
pub mod message;
pub mod operator;
pub mod policy;
pub mod reason;
pub mod reconcile;
pub mod spellings;
pub mod state;
mod stored;
pub mod window;

pub use item::{AddressState, Change};
pub use reason::Reason;
pub use state::{Said, Source, SuppressionState};
