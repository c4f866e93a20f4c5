//! CloudFormation's custom resource: it sets up what CloudFormation itself cannot set up in SES, and undoes it.
//!
//! | module | does |
//! |---|---|
//! | [`handler`] | a request: has it carried out, and answers, whatever comes |
//! | [`request`] | what CloudFormation asks for |
//! | [`response`] | what it is answered |
//! | `setup_run` | carries a request out: looks, remembers, changes, forgets |
//! | `setup_note` | what is remembered from one request to the next |
//! | `setup_caller` | calls of SES, one after the other |

pub mod handler;
pub mod request;
pub mod response;
mod setup_caller;
mod setup_note;
mod setup_run;
