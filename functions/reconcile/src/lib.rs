//! Anti-entropy: compares a Region's suppression list with its states, and tells peers what they may have missed.
//!
//! It reads the list and marks states; it never writes the list.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | an invocation: pushes to peers, goes on with the pass, looks back |
//! | `pass` | a pass over the list and the states, over as many invocations as it takes |
//! | `pass_counts` | what a pass counts |
//! | `list_place` | where in the list a pass is: windows that are read to their end one after the other |
//! | `seen` | remembers what a pass has seen on the list |
//! | `push` | tells each peer what has changed since it was last told |
//! | `given_up` | keeps that decide has given up records, for `records` |
//! | `records` | decides on records that the stream has lost |
//! | [`settings`] | what the template tells it |

mod given_up;
pub mod handler;
mod list_place;
mod pass;
mod pass_counts;
mod push;
mod records;
mod seen;
pub mod settings;
