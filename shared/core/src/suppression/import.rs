//! What goes to the list by import job, and what a job has done.
//!
//! Sources, Amazon SES Developer Guide: "Adding email addresses in bulk to your account-level suppression list" (lines of
//! `{"emailAddress":"a@example.com","reason":"BOUNCE"}`, at most 100,000 in an object) and "Removing email addresses in
//! bulk from your account-level suppression list" (lines of `{"emailAddress":"a@example.com"}`, at most 10,000); API
//! reference v2: `CreateImportJob`, `GetImportJob`, `ImportJobSummary` (states), `FailureInfo`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::address_state::ListAction;
use crate::address::Address;
use crate::text::sanitize_text;
use crate::timestamp::Timestamp;

/// How many characters of a status that is not known are kept.
const MAX_STATUS_CHARS: usize = 64;

/// What a job does with its entries: either it adds all of them, or it removes all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImportAction {
    /// The job adds entries, and replaces those that are there.
    Put,
    /// The job removes entries.
    Delete,
}

impl ImportAction {
    /// SES's name for it: `PUT` or `DELETE`.
    pub fn as_ses(self) -> &'static str {
        match self {
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// The most entries that SES takes in one object.
    pub fn max_entries(self) -> usize {
        match self {
            Self::Put => 100_000,
            Self::Delete => 10_000,
        }
    }
}

/// How many calls of the list's API an address would cost without a job.
pub fn count_api_calls(action: &ListAction) -> usize {
    match action {
        ListAction::Nothing | ListAction::Wait(_) | ListAction::TrustSes(_) => 0,
        ListAction::Put { .. } => 1,
        ListAction::Delete { spellings } => spellings.len(),
    }
}

/// Whether only a job can do it: see [`requires_import_job_to_delete`].
pub fn requires_import_job(action: &ListAction) -> bool {
    matches!(action, ListAction::Delete { spellings } if spellings.iter().any(|spelling| requires_import_job_to_delete(spelling)))
}

/// Whether a spelling can be deleted only by a job: `DeleteSuppressedDestination` has the address in its path, and
/// answers 400 to one with a slash (aws/aws-sdk#158, where SES's people say so themselves and name import jobs; open
/// since 2022).
pub fn requires_import_job_to_delete(spelling: &str) -> bool {
    spelling.contains('/')
}

/// A job that has not been made yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportPlan {
    /// What the job does with its entries.
    pub action: ImportAction,
    /// The content of the object: newline-delimited JSON.
    pub body: String,
    /// The match forms of the addresses in the object: the job is to hold these, and no others.
    pub addresses: Vec<String>,
}

impl ImportPlan {
    /// The key for the object, by which the job is found again. It is made of the time and of what is in the object.
    pub fn object_key(&self, now: Timestamp) -> String {
        let kind = self.action.as_ses().to_ascii_lowercase();
        let mut key = format!("import/{kind}/{now}-");
        for byte in Sha256::digest(&self.body).iter().take(8) {
            // Writing to a String cannot fail.
            let _ = write!(key, "{byte:02x}");
        }
        key + ".json"
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportLine<'a> {
    email_address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Plans a job of the kind that has more entries, of as many addresses as SES takes; the others wait for the next job.
/// All of an address's spellings go in, or none. `None` if there is nothing to put or delete.
pub fn plan_import<'a>(
    actions_by_address: impl IntoIterator<Item = (&'a str, &'a ListAction)> + Clone,
) -> Option<ImportPlan> {
    let entries = |kind| {
        actions_by_address
            .clone()
            .into_iter()
            .filter(move |(_, to_do)| import_action_for(to_do) == Some(kind))
            .map(|(_, to_do)| count_api_calls(to_do))
    };
    let (puts, deletes): (usize, usize) =
        (entries(ImportAction::Put).sum(), entries(ImportAction::Delete).sum());
    let kind = if puts >= deletes { ImportAction::Put } else { ImportAction::Delete };
    let mut plan = ImportPlan { action: kind, body: String::new(), addresses: Vec::new() };
    let mut left = kind.max_entries();
    let mut push = |email_address: &str, reason| {
        // The line has nothing but text, so JSON can hold it.
        if let Ok(line) = serde_json::to_string(&ImportLine { email_address, reason }) {
            plan.body.push_str(&line);
            plan.body.push('\n');
        }
    };
    for (address, to_do) in actions_by_address {
        if import_action_for(to_do) != Some(kind) {
            continue;
        }
        let Some(rest) = left.checked_sub(count_api_calls(to_do)) else { break };
        left = rest;
        match to_do {
            ListAction::Put { spelling, reason } => push(spelling, Some(reason.as_ses())),
            ListAction::Delete { spellings } => spellings.iter().for_each(|spelling| push(spelling, None)),
            ListAction::Nothing | ListAction::Wait(_) | ListAction::TrustSes(_) => continue,
        }
        plan.addresses.push(address.to_owned());
    }
    (!plan.addresses.is_empty()).then_some(plan)
}

fn import_action_for(action: &ListAction) -> Option<ImportAction> {
    match action {
        ListAction::Put { .. } => Some(ImportAction::Put),
        ListAction::Delete { .. } => Some(ImportAction::Delete),
        ListAction::Nothing | ListAction::Wait(_) | ListAction::TrustSes(_) => None,
    }
}

/// The addresses that the lines of an object of ours or of a list of failed records name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordAddresses {
    /// The addresses in match form.
    pub match_forms: BTreeSet<String>,
    /// How many lines, empty ones aside, name no address.
    pub lines_without_address: usize,
}

/// Reads the addresses that an object of ours or a list of failed records names. The form of SES's list of failed records
/// is not documented. Read are JSON and CSV, the two forms that go in, and JSON that holds the record as it went in, beside
/// what went wrong.
pub fn parse_record_addresses(records: &str) -> RecordAddresses {
    let mut found = RecordAddresses::default();
    for line in records.lines().filter(|line| !line.trim().is_empty()) {
        let spelling = match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(fields)) => find_nested_email_address(&fields),
            _ => line.split(',').next().map(|field| field.trim().trim_matches('"').to_owned()),
        };
        match spelling.and_then(|spelling| Address::parse(&spelling).ok()) {
            Some(address) => drop(found.match_forms.insert(address.match_form().to_owned())),
            None => found.lines_without_address += 1,
        }
    }
    found
}

/// The address of a record, or of a record within it, which may be an object or the text of one.
fn find_nested_email_address(record: &Map<String, Value>) -> Option<String> {
    let address = record.iter().find(|(name, _)| name.eq_ignore_ascii_case("emailAddress"));
    let within = || {
        record.values().find_map(|value| match value {
            Value::Object(record) => find_nested_email_address(record),
            Value::String(text) => {
                serde_json::from_str(text).ok().and_then(|record| find_nested_email_address(&record))
            }
            _ => None,
        })
    };
    address.and_then(|(_, value)| value.as_str()).map(str::to_owned).or_else(within)
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStatus {
    /// The job is not done: look again later.
    Running,
    /// The job is done, but single records may have failed.
    Completed,
    /// The job was given up, and nobody knows which records it has done.
    Failed,
    /// A status that SES has added since, capped and with its control characters made visible. The job may be running.
    Unknown(String),
}

impl JobStatus {
    /// Reads SES's status: `CREATED`, `PROCESSING`, `COMPLETED`, `FAILED`, `CANCELLED`.
    pub fn from_ses(text: &str) -> Self {
        match text {
            "CREATED" | "PROCESSING" => Self::Running,
            "COMPLETED" => Self::Completed,
            "FAILED" | "CANCELLED" | "ERROR" => Self::Failed,
            unknown => Self::Unknown(sanitize_text(unknown, MAX_STATUS_CHARS)),
        }
    }
}

/// Which of its addresses a job has not dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportJobOutcome {
    /// The job has dealt with all addresses.
    Complete,
    /// The job has not dealt with these addresses (match forms).
    FailedFor(BTreeSet<String>),
    /// Nobody knows which addresses the job has not dealt with: any may be one.
    Unknown,
}

impl ImportJobOutcome {
    /// What a job that has ended left undone. `failed_count` is its `FailedRecordsCount`, `failed_records` what lies at its
    /// `FailedRecordsS3Url`. Unless every failed record is accounted for, any address may be one.
    pub fn from_job_result(status: &JobStatus, failed_count: usize, failed_records: Option<&str>) -> Self {
        match status {
            JobStatus::Completed if failed_count == 0 => Self::Complete,
            JobStatus::Completed => {
                let RecordAddresses { match_forms, lines_without_address } =
                    parse_record_addresses(failed_records.unwrap_or_default());
                // A head line names no address, and several spellings of an address count as one.
                let lines = failed_records
                    .map_or(0, |text| text.lines().filter(|line| !line.trim().is_empty()).count());
                let accounted = !match_forms.is_empty() && lines - lines_without_address >= failed_count;
                if accounted { Self::FailedFor(match_forms) } else { Self::Unknown }
            }
            JobStatus::Failed | JobStatus::Running | JobStatus::Unknown(_) => Self::Unknown,
        }
    }

    /// Whether the job may not have dealt with this address.
    pub fn may_have_failed_for(&self, match_form: &str) -> bool {
        match self {
            Self::Complete => false,
            Self::FailedFor(addresses) => addresses.contains(match_form),
            Self::Unknown => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suppression::SuppressionReason;
    use crate::suppression::address_state::WaitReason;

    fn put(spelling: &str, reason: SuppressionReason) -> ListAction {
        ListAction::Put { spelling: spelling.to_owned(), reason }
    }

    fn delete(spellings: &[&str]) -> ListAction {
        ListAction::Delete { spellings: spellings.iter().map(|&spelling| spelling.to_owned()).collect() }
    }

    fn planned(to_do: &[(&str, ListAction)]) -> Option<ImportPlan> {
        plan_import(to_do.iter().map(|(address, to_do)| (*address, to_do)))
    }

    #[test]
    fn a_job_is_of_one_kind() {
        let mut to_do = vec![
            ("a@example.com", put("A@example.com", SuppressionReason::Bounce)),
            ("b@example.com", delete(&["B@example.com", "b@example.com"])),
            ("c@example.com", put("c@example.com", SuppressionReason::Complaint)),
            ("d@example.com", ListAction::Wait(WaitReason::HeldByJob)),
            ("e@example.com", ListAction::TrustSes(SuppressionReason::Bounce)),
        ];
        let plan = planned(&to_do).unwrap();
        assert_eq!(plan.action, ImportAction::Put);
        assert_eq!(plan.addresses, ["a@example.com", "c@example.com"]);
        assert_eq!(
            plan.body,
            "{\"emailAddress\":\"A@example.com\",\"reason\":\"BOUNCE\"}\n{\"emailAddress\":\"c@example.com\",\"reason\":\"COMPLAINT\"}\n"
        );
        to_do.push(("f@example.com", delete(&["f@example.com"])));
        let plan = planned(&to_do).unwrap();
        assert_eq!(
            (plan.action, &plan.addresses[..]),
            (ImportAction::Delete, &["b@example.com".to_owned(), "f@example.com".to_owned()][..])
        );
        assert_eq!(plan.body.lines().next(), Some("{\"emailAddress\":\"B@example.com\"}"));
        assert_eq!(planned(&to_do[3..5]), None);
        let key = plan.object_key(Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap());
        assert!(key.starts_with("import/delete/2026-01-27T14:59:38.237Z-") && key.len() == 60, "{key}");
    }

    #[test]
    fn no_more_than_ses_takes_and_no_address_in_parts() {
        let three = delete(&["A@example.com", "B@example.com", "c@example.com"]);
        let to_do: Vec<_> = (0..5_000).map(|_| ("a@example.com", three.clone())).collect();
        let plan = planned(&to_do).unwrap();
        assert_eq!((plan.addresses.len(), plan.body.lines().count()), (3_333, 9_999));
        let one = put("a@example.com", SuppressionReason::Bounce);
        let to_do: Vec<_> = (0..100_001).map(|_| ("a@example.com", one.clone())).collect();
        assert_eq!(planned(&to_do).unwrap().addresses.len(), 100_000);
        assert!(requires_import_job(&delete(&["a@example.com", "A/b@example.com"])));
        assert!(
            !requires_import_job(&delete(&["a@example.com"]))
                && !requires_import_job(&put("a/b@example.com", SuppressionReason::Bounce))
        );
    }

    #[test]
    fn what_a_job_left_undone() {
        let these = |addresses: &[&str]| {
            ImportJobOutcome::FailedFor(addresses.iter().map(|&a| a.to_owned()).collect())
        };
        let json = r#"{"emailAddress":"A@example.com","reason":"BOUNCE","error":"x"}"#;
        let as_text =
            r#"{"error":"x","record":"{\"emailAddress\":\"A@example.com\",\"reason\":\"BOUNCE\"}"}"#;
        let as_object = r#"{"error":"x","record":{"emailAddress":"A@example.com"}}"#;
        let cases = [
            (JobStatus::Completed, 0, None, ImportJobOutcome::Complete),
            (JobStatus::Completed, 1, Some(json), these(&["a@example.com"])),
            (JobStatus::Completed, 2, Some(json), ImportJobOutcome::Unknown),
            (JobStatus::Completed, 1, Some(as_text), these(&["a@example.com"])),
            (JobStatus::Completed, 1, Some(as_object), these(&["a@example.com"])),
            (
                JobStatus::Completed,
                1,
                Some(r#"{"record":"{}","error":"a@example.com"}"#),
                ImportJobOutcome::Unknown,
            ),
            (
                JobStatus::Completed,
                2,
                Some("email,why\nA@example.com,x\n\"b@example.com\",y\n"),
                these(&["a@example.com", "b@example.com"]),
            ),
            (JobStatus::Completed, 2, Some("A@example.com\na@example.com"), these(&["a@example.com"])),
            (JobStatus::Completed, 1, None, ImportJobOutcome::Unknown),
            (JobStatus::Completed, 1, Some("<html>"), ImportJobOutcome::Unknown),
            (JobStatus::from_ses("CANCELLED"), 0, None, ImportJobOutcome::Unknown),
        ];
        for (status, failed, text, expected) in cases {
            assert_eq!(
                ImportJobOutcome::from_job_result(&status, failed, text),
                expected,
                "{status:?} {failed} {text:?}"
            );
        }
        assert!(these(&["a@example.com"]).may_have_failed_for("a@example.com"));
        assert!(
            !ImportJobOutcome::Complete.may_have_failed_for("a")
                && ImportJobOutcome::Unknown.may_have_failed_for("a")
        );
        assert_eq!(JobStatus::from_ses("CREATED"), JobStatus::Running);
        assert_eq!(JobStatus::from_ses("SOMETHING_NEW"), JobStatus::Unknown("SOMETHING_NEW".to_owned()));
    }
}
