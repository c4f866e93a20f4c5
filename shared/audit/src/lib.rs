//! Is a Region ready? A verdict for every section of AWS's page "Regions and Amazon SES" (Amazon SES Developer Guide), which
//! lists what is separate in every Region.
//!
//! What to make of what the APIs answered is pure, without AWS types, clock or I/O:
//!
//! | module | is |
//! |---|---|
//! | [`facts`] | what the APIs answered |
//! | `sections` | a module for each section: what to make of that. `judge` calls each |
//! | `verdict`, `section`, `section_verdict` | how a section fares, and what the table keeps of that |
//! | `judgement` | what a section's module hands over, and how much of it fits into the table |
//! | `comparable`, [`compare`] | what Regions are compared by, and the comparison |
//! | `identity_policy` | sending authorization policies |
//! | `fix`, [`dns`] | commands and DNS records that fix a fault |
//! | [`zone`] | all records of a domain, for a zone file |
//!
//! Reading a Region:
//!
//! | module | is |
//! |---|---|
//! | [`reader`] | reads a Region from the first call to the last |
//! | [`readings`] | keeps what was read, so that no call is made twice |
//! | [`caller`] | one call after the other, at SES's pace |
//! | [`reconcile_notes`] | what reconcile noted of the Region |
//! | [`live`] | the audit of a Region in one go, without a table |
//! | [`aws`] | the calls, and the table |
//!
//! A fix is printed for a person, who decides. Where the page is silent on how bad something is: what does not work fails, what
//! works for now or for some warns, and what could not be asked or is not known to this version is unknown and never a pass.

#![expect(
    async_fn_in_trait,
    reason = "ports are called through generics, by functions and a tool that run on one thread"
)]

pub mod aws;
pub mod caller;
mod comparable;
pub mod compare;
pub mod dns;
pub mod facts;
mod fix;
mod identity_policy;
mod judge;
mod judgement;
pub mod live;
pub mod reader;
pub mod readings;
pub mod reconcile_notes;
mod section;
mod section_verdict;
mod sections;
mod verdict;
pub mod zone;

pub use comparable::{
    Comparable, IdentityPolicy, ListSize, MailFromDomains, RegionIdentities, SendingPolicies,
};
pub use fix::{DnsRecord, Fix};
pub use judge::judge_sections;
pub use section::AuditSection;
pub use section_verdict::SectionVerdict;
pub use verdict::{AuditVerdict, Finding};
