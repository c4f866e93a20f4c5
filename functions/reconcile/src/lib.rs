//! Anti-entropy: compares a Region's suppression list with its states, and tells peers what they may have missed.
//!
//! It reads the list and marks states; it never writes the list.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | an invocation: pushes to peers, goes on with the pass, looks back |
//! | `pass` | a pass over the list and the states, over as many invocations as it takes |
//! | `pass_counts` | what a pass counts |
//! | `list_position` | where in the list a pass is: windows that are read to their end one after the other |
//! | `seen_addresses` | remembers what a pass has seen on the list |
//! | `peer_push` | tells each peer what has changed since it was last told |
//! | `abandoned_records` | keeps that decide has given up records, for `look_back` |
//! | `look_back` | decides on records that the stream has lost |
//! | [`settings`] | what the template tells it |

mod abandoned_records;
pub mod handler;
mod list_position;
mod look_back;
mod pass;
mod pass_counts;
mod peer_push;
mod seen_addresses;
pub mod settings;
