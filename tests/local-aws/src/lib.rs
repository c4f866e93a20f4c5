//! A local AWS for the demo and for the tests that run across functions.
//!
//! Everything listens on 127.0.0.1, on ports of its own, so that several can run side by side. All of it ends when the
//! value that started it is dropped, and also when a test panics or its process is killed.
//!
//! ```text
//!   test ──publish──▶ ministack (SNS ▶ SQS ▶ Lambda, DynamoDB, CloudFormation)
//!                        │ starts bootstraps             ▲
//!                        ▼                               │
//!                     bootstrap ──AWS_ENDPOINT_URL──▶ proxy: counts, fails, delays, cuts
//! ```
//!
//! | module | for |
//! |---|---|
//! | [`local`] | the whole of it: ministack, proxy, one stack per Region |
//! | [`ministack`] | the emulator's process |
//! | [`proxy`] | between functions and emulator: counts calls and makes them fail |
//! | [`stack`] | deploys `template.yaml` as CloudFormation would |
//! | [`runtime_api`] | runs one bootstrap without ministack: measured, killed when a test says so |
//! | [`tls`] | a DynamoDB that speaks TLS and says yes, for measuring cold starts |
//! | [`receiving`] | mail: a local SES with the template's receipt rules |
//! | [`samples`] | the sample events, as SES would publish them |
//! | [`expected`] | what a message must become, by the domain's own code |
//! | [`clients`] | the SDK's clients, per Region |
//! | [`shifted_clock`] | runs at another date, children included |
//! | [`paths`] | where the workspace keeps what the harness needs |

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    reason = "a test harness: a poisoned lock is a failed test already, and the error enums say what can go wrong"
)]

pub mod clients;
pub mod expected;
mod http;
pub mod local;
pub mod ministack;
pub mod paths;
mod process;
pub mod proxy;
pub mod receiving;
pub mod runtime_api;
pub mod samples;
pub mod shifted_clock;
pub mod stack;
pub mod tls;

pub use local::{LocalAws, Regional};
pub use process::group_members;
