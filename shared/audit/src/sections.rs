//! What to make of a Region's facts, section by section.

pub(crate) mod authorization;
pub(crate) mod dkim;
pub(crate) mod endpoints;
pub(crate) mod feedback;
pub(crate) mod mail_from;
pub(crate) mod receiving;
mod replication;
pub(crate) mod sandbox;
pub(crate) mod smtp_credentials;
pub(crate) mod suppression_list;
pub(crate) mod verification;
