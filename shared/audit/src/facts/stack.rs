//! What belongs to the stack in a Region, as its settings say.

use serde::{Deserialize, Serialize};

/// The stack, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StackFacts {
    /// The Region that is audited, such as `eu-west-1`.
    pub region: String,
    /// The account's twelve digits; `None` if they are not known.
    pub account: Option<String>,
    /// The ARN of the topic for feedback. `None` if the Region has no stack; nothing there is the stack's then.
    pub feedback_topic: Option<String>,
    /// The name of the stack's configuration set.
    pub configuration_set: Option<String>,
    /// The name of the stack's receipt rule set; `None` where the stack makes none.
    pub rule_set: Option<String>,
    /// Whether SES is to receive there: the template's parameter `Receiving`, or the catalogue's answer if that says
    /// `auto`.
    pub receives: bool,
    /// The name of the reconcile function. `None` if the stack does not keep the suppression list right (the template's
    /// parameter `Suppression`).
    pub reconcile_function: Option<String>,
}
