//! The steps of a history.

use std::time::Duration;

use doubles::{EventKind, Fault, Vocabulary};
use mailroom_core::suppression::SuppressionReason;

/// One thing that happens. Regions and addresses are given as numbers, taken modulo how many there are.
#[derive(Debug, Clone)]
pub enum Step {
    /// SES says something about a mail.
    Says {
        /// The Region in which SES says it.
        region: usize,
        /// What SES says.
        said: EventKind,
        /// The address that it is about.
        who: usize,
        /// The spelling of the address.
        spelling: usize,
        /// By how many seconds what it tells of came before now, by its own time; if negative, that lies ahead.
        ago: i32,
        /// The format in which SES says it, or both.
        told: Vocabulary,
        /// The number of further messages that say the same.
        copies: usize,
        /// Whether SES puts the address on its own list of that Region, as it does with permanent bounces and complaints.
        lists: bool,
    },
    /// An operator decides about an address.
    Decides {
        /// The Region in which the operator decides.
        region: usize,
        /// The address that is decided about.
        who: usize,
        /// The reason to suppress it for; `None` releases it.
        suppress: Option<SuppressionReason>,
    },
    /// Somebody edits a Region's list by hand.
    Edits {
        /// The Region whose list it is.
        region: usize,
        /// The address of the entry.
        who: usize,
        /// The spelling of the address.
        spelling: usize,
        /// The reason that is put on the list; `None` takes the entry off.
        put: Option<SuppressionReason>,
    },
    /// A function is woken.
    Wakes {
        /// The Region of the function.
        region: usize,
        /// The function.
        function: Function,
        /// How many effects it has before it dies; `None`: it does not die.
        dies_after: Option<usize>,
    },
    /// Something is lost on its way.
    Loses {
        /// The Region in which it is lost.
        region: usize,
        /// What is lost.
        what: Lost,
    },
    /// A Region's queue becomes unreachable, or reachable again.
    Unreachable {
        /// The Region of the queue.
        region: usize,
        /// Whether the queue is unreachable from now on.
        down: bool,
    },
    /// A Region's account comes into the sandbox, or out of it.
    Sandbox {
        /// The Region of the account.
        region: usize,
        /// Whether the account is in the sandbox from now on.
        inside: bool,
    },
    /// The next calls of SES meet with a fault.
    Faults {
        /// The Region of the calls.
        region: usize,
        /// The fault.
        fault: Fault,
        /// The number of calls. Apply gives up an address after three without an answer.
        calls: usize,
    },
    /// The table's indexes lag behind.
    Lags {
        /// The Region of the table.
        region: usize,
        /// The number of writes by which they lag behind.
        writes: usize,
    },
    /// This many turns are given to the invocations under way, while no time goes by.
    Turns(usize),
    /// This much time goes by.
    Time(Duration),
    /// Every function of a Region is woken, one after the other, and a minute goes by.
    Minute {
        /// The Region of the functions.
        region: usize,
    },
}

/// The function that Lambda wakes, and what with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Feedback, with messages of its queue.
    Feedback,
    /// Decide, with new records of the stream.
    Decide,
    /// Decide, with records that it has decided on before.
    DecideAgain,
    /// Merge, with messages of its queue.
    Merge,
    /// Apply, with what the stream says is pending.
    Apply,
    /// Reconcile, by its schedule.
    Reconcile,
}

/// A thing that is lost on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// New records of the table's stream, which decide has not seen yet.
    StreamRecords,
    /// Messages of peers that SQS has accepted.
    PeersMessages,
}
