//! What may happen.

use std::time::Duration;

use mailroom_aws::fault::Fault;
use mailroom_core::suppression::Reason;

use crate::event::{Said, Told};

/// One thing that happens. Regions and addresses are numbers, taken modulo how many there are.
#[derive(Debug, Clone)]
pub enum Step {
    /// SES says something of a mail.
    Says {
        /// Where.
        region: usize,
        /// What.
        said: Said,
        /// Of whom.
        who: usize,
        /// In which of the address's spellings.
        spelling: usize,
        /// So many seconds after it was so, if one believes its time; before, if negative.
        ago: i32,
        /// In which words.
        told: Told,
        /// In so many messages besides.
        copies: usize,
        /// Whether SES puts it on its own list of that Region, as it does with permanent bounces and complaints.
        lists: bool,
    },
    /// An operator decides.
    Decides {
        /// Where.
        region: usize,
        /// On whom.
        who: usize,
        /// `None` releases.
        suppress: Option<Reason>,
    },
    /// Somebody edits a list by hand.
    Edits {
        /// Whose.
        region: usize,
        /// Which address.
        who: usize,
        /// In which spelling.
        spelling: usize,
        /// `None` takes the entry off.
        put: Option<Reason>,
    },
    /// A function is woken.
    Wakes {
        /// Where.
        region: usize,
        /// Which.
        function: Function,
        /// It dies before the effect after so many; `None`: it does not.
        dies_after: Option<usize>,
    },
    /// Something is lost on the way.
    Loses {
        /// Where.
        region: usize,
        /// What.
        what: Lost,
    },
    /// A Region's queue can't be reached, or can again.
    Unreachable {
        /// Which.
        region: usize,
        /// Whether.
        down: bool,
    },
    /// A Region's account goes into the sandbox, or leaves it.
    Sandbox {
        /// Which.
        region: usize,
        /// Whether.
        inside: bool,
    },
    /// What becomes of the next call of SES.
    Faults {
        /// Where.
        region: usize,
        /// What.
        fault: Fault,
    },
    /// The table's indexes lag behind by so many writes.
    Lags {
        /// Where.
        region: usize,
        /// How many.
        writes: usize,
    },
    /// Whoever is at work has so many turns, and no time goes by.
    Turns(usize),
    /// Time goes by.
    Time(Duration),
    /// Every function of a Region is woken, as it would be, for a minute.
    Minute {
        /// Which.
        region: usize,
    },
}

/// Whom Lambda wakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// With what lies in its queue.
    Feedback,
    /// With what is new in the stream.
    Decide,
    /// With what it has decided on before.
    DecideAgain,
    /// With what lies in its queue.
    Merge,
    /// With what the stream says is pending.
    Apply,
    /// By the clock.
    Reconcile,
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lost {
    /// New records of the table's stream, before decide has seen them.
    StreamRecords,
    /// What peers have sent, after SQS has taken it.
    PeersMessages,
}
