//! What is ours in a Region: from the stack's settings, not from an answer.

use serde::{Deserialize, Serialize};

/// The stack, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    /// The Region that is audited: `eu-west-1`.
    pub region: String,
    /// The account: twelve digits. `None` if it is not known.
    pub account: Option<String>,
    /// The topic for feedback. `None` if the Region has no stack: nothing there is ours then.
    pub feedback_topic: Option<String>,
    /// The stack's configuration set.
    pub configuration_set: Option<String>,
    /// The stack's receipt rule set. `None` where it makes none.
    pub rule_set: Option<String>,
    /// Whether SES is to receive there: the template's parameter `Receiving`, by the catalogue if it says `auto`.
    pub receives: bool,
    /// The reconcile function. `None` if the stack does not keep the suppression list right: the template's parameter
    /// `Suppression`.
    pub reconcile_function: Option<String>,
}
