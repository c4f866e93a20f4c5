//! CloudFormation's custom resource: it sets up what CloudFormation itself cannot set up in SES, and undoes it.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | a request: has it carried out, and answers, whatever comes |
//! | [`request`] | what CloudFormation asks for |
//! | [`answer`] | what it is answered |
//! | `run` | carries a request out: looks, remembers, changes, forgets |
//! | `record` | what is remembered from one request to the next |
//! | `calls` | calls of SES, one after the other |

pub mod answer;
mod calls;
pub mod handler;
mod record;
pub mod request;
mod run;
