//! What the function works with.

use mailroom_aws::clock::Timer;
use mailroom_aws::metrics::Metrics;
use mailroom_aws::objects::ObjectStore;
use mailroom_aws::suppression_list::SuppressionList;
use mailroom_aws::table::lease::LeaseStore;
use mailroom_aws::table::notes::NoteStore;
use mailroom_aws::table::states::StateTable;

use crate::settings::Settings;

/// The types of the ports.
pub trait Ports {
    /// The table: states, the lease, and notes.
    type Table: StateTable + LeaseStore + NoteStore;
    /// SES's suppression list of this Region.
    type List: SuppressionList;
    /// The bucket for the objects of import jobs.
    type Objects: ObjectStore;
    /// The clock.
    type Clock: Timer;
    /// Where metrics are counted.
    type Metrics: Metrics;
}

/// The apply function: its ports and its settings.
pub struct ApplyFunction<P: Ports> {
    /// The table.
    pub table: P::Table,
    /// The suppression list.
    pub list: P::List,
    /// The bucket for the objects of import jobs.
    pub objects: P::Objects,
    /// The clock.
    pub clock: P::Clock,
    /// Where metrics are counted.
    pub metrics: P::Metrics,
    /// What the template tells the function.
    pub settings: Settings,
}
