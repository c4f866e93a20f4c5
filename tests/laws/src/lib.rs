//! The shipped suppression functions of several Regions, driven together with their ports in memory, and what must hold
//! whatever happens to them.
//!
//! A history is a list of [steps](step::Step): what SES says, what operators decide, whom Lambda wakes with what, who dies,
//! what is lost. Invocations go on side by side in virtual time, each gives the others a turn before every effect, and
//! whose turn it is comes from a seed, so that a history is the same however often it is told.
//!
//! | module | is |
//! |---|---|
//! | [`step`] | what may happen |
//! | [`event`] | what SES says, in its own words |
//! | [`world`] | the Regions, whom it happens to, and how they come to rest |
//! | `region` | one of them: its table, list, queues, and its functions |
//! | `queue` | what SQS does with messages |
//! | `tasks` | invocations side by side |
//! | [`time`] | virtual time, which no two clocks tell alike |
//! | `truth` | what was said and when, to judge by |
//! | `law` | the laws |
//! | [`coverage`] | what the histories held |
//! | [`bootstrap`] | another: a Region with a long list, and one with none |
//! | [`storm`] | a history of its own: thousands of bounces, and how many calls of SES they cost |

#![allow(clippy::missing_errors_doc, reason = "a test's world: the error is the law that was broken")]

pub mod bootstrap;
pub mod coverage;
pub mod event;
mod law;
mod queue;
mod region;
pub mod step;
pub mod storm;
mod tasks;
pub mod time;
mod truth;
pub mod world;
