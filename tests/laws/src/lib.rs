//! The shipped suppression functions of several Regions, driven together with their ports in memory, and the laws that must
//! hold whatever happens to them.
//!
//! A history is a list of [steps](step::Step): what SES says, what operators decide, which function Lambda wakes with what,
//! which one dies, what is lost. Invocations run side by side in virtual time. Before every effect each gives the others a
//! turn, and a seed decides whose turn it is, so that a history always runs in the same way.
//! | module | is |
//! |---|---|
//! | [`step`] | what may happen |
//! | [`world`] | the Regions, what happens to them, and how they come to rest |
//! | `region` | one Region: its table, list and queues, and its functions |
//! | `queue` | what SQS does with messages |
//! | `tasks` | invocations side by side |
//! | [`time`] | virtual time, which no two clocks tell alike |
//! | `truth` | what was said and when, by which the functions are judged |
//! | `soft` | the part of it that is about soft bounces and deliveries |
//! | `law` | the laws |
//! | [`coverage`] | counts what happened in the histories |
//! | [`bootstrap`] | a fixed history: a Region with a long list, and one with none |
//! | [`storm`] | a fixed history: thousands of bounces, and how many calls of SES they cost |

#![allow(clippy::missing_errors_doc, reason = "a test's world: the error is the law that was broken")]

pub mod bootstrap;
pub mod coverage;
mod law;
mod queue;
mod region;
mod soft;
pub mod step;
pub mod storm;
mod tasks;
pub mod time;
mod truth;
pub mod world;
