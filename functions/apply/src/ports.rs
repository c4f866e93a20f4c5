//! What the function works with.

use crate::settings::Settings;

/// The apply function: its ports and its settings.
pub struct Apply<S, L, E, N, O, C, M> {
    /// The table: the states.
    pub states: S,
    /// SES's suppression list of this Region.
    pub list: L,
    /// The leases in the table, one of which keeps all but one instance from running.
    pub leases: E,
    /// Notes in the table: the import job's intent, and whether reconcile has been through the list once.
    pub notes: N,
    /// The bucket for the objects of import jobs.
    pub objects: O,
    /// The clock.
    pub clock: C,
    /// Where metrics are counted.
    pub metrics: M,
    /// What the template tells the function.
    pub settings: Settings,
}
