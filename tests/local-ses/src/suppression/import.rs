//! Import jobs: what their files say, and how far each job is.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;

use super::Reason;

/// What a job does with the addresses of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportAction {
    /// It adds them to the list, in place of entries that are there.
    Put,
    /// It removes them from the list.
    Delete,
}

/// The format of a job's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportFormat {
    /// Lines such as `recipient@example.com,BOUNCE`.
    Csv,
    /// Lines such as `{"emailAddress":"recipient@example.com","reason":"BOUNCE"}`.
    Json,
}

/// What a job is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Whether to add or to remove.
    pub action: ImportAction,
    /// The format of the file.
    pub format: ImportFormat,
    /// The URL of the file: `s3://bucket/key`.
    pub source: String,
}

/// How far a job is (API reference v2, `ImportJobSummary`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobStatus {
    /// The job waits before its first record.
    Created,
    /// The job is working.
    Processing,
    /// The job has been through every record. Some may have failed.
    Completed,
    /// The job could not even begin.
    Failed,
}

impl JobStatus {
    /// The status as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// A record that a job could not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// The line in the file.
    pub line: String,
    /// Why the record failed.
    pub why: String,
}

/// What a job that has ended tells of its failure (API reference v2, `FailureInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFailure<'a> {
    /// Some records have failed: they are named in a file of their own.
    Records,
    /// The whole job has failed, for this reason.
    Job(&'a str),
}

/// An import job.
#[derive(Debug, Clone)]
pub struct Job {
    /// The id of the job.
    pub id: String,
    /// What it was asked to do.
    pub import: Import,
    /// When the job was created.
    pub created: OffsetDateTime,
    /// When the job ended; `None` if it has not.
    pub completed: Option<OffsetDateTime>,
    /// The number of records that the job has been through, including those that failed.
    pub processed: usize,
    /// The records that failed.
    pub failed: Vec<FailedRecord>,
    /// Why the job could not even begin; `None` if it could.
    pub error: Option<String>,
    pub(super) begins: OffsetDateTime,
    pub(super) begun: bool,
    pub(super) records: Vec<Record>,
}

/// A record of a job's file.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) line: String,
    /// What the record asks for, or why it can't be read. There is a reason if, and only if, the job adds.
    pub(super) wants: Result<(String, Option<Reason>), String>,
}

impl Job {
    /// How far the job is.
    pub const fn status(&self) -> JobStatus {
        match (&self.error, self.completed, self.begun) {
            (Some(_), Some(_), _) => JobStatus::Failed,
            (None, Some(_), _) => JobStatus::Completed,
            (_, None, true) => JobStatus::Processing,
            (_, None, false) => JobStatus::Created,
        }
    }

    /// What has failed; `None` if nothing has, or the job has not ended.
    pub fn failure(&self) -> Option<JobFailure<'_>> {
        self.completed?;
        if self.failed.is_empty() {
            self.error.as_deref().map(JobFailure::Job)
        } else {
            Some(JobFailure::Records)
        }
    }

    /// The file of the failed records, with a line of JSON for each. No source tells what that of SES looks like.
    pub fn failed_records(&self) -> String {
        let line =
            |failed: &FailedRecord| format!("{}\n", json!({ "record": failed.line, "error": failed.why }));
        self.failed.iter().map(line).collect()
    }

    /// When the job's next step is due; `None` if it has ended.
    pub(super) fn due(&self, per_record: Duration) -> Option<OffsetDateTime> {
        if self.completed.is_some() {
            return None;
        }
        if self.error.is_some() || self.records.is_empty() {
            return Some(self.begins);
        }
        let steps = u32::try_from(self.processed + 1).unwrap_or(u32::MAX);
        Some(self.begins + per_record * steps)
    }
}

/// Reads the records of a file. Blank lines are no records.
pub(super) fn records(import: &Import, content: &[u8]) -> Vec<Record> {
    let read = match import.format {
        ImportFormat::Csv => csv_row,
        ImportFormat::Json => json_row,
    };
    String::from_utf8_lossy(content)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| Record {
            line: line.to_owned(),
            wants: read(line).and_then(|row| row.wants(import.action)),
        })
        .collect()
}

/// An address and a reason, as both formats of the file name them (guide, "bulk": the same names in the examples of both).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    email_address: String,
    reason: Option<String>,
}

impl Row {
    fn wants(self, action: ImportAction) -> Result<(String, Option<Reason>), String> {
        let reason = match action {
            ImportAction::Delete => None,
            ImportAction::Put => match self.reason.as_deref().map(str::parse) {
                Some(Ok(reason)) => Some(reason),
                Some(Err(())) => return Err("The reason is neither BOUNCE nor COMPLAINT.".to_owned()),
                None => return Err("A reason is required.".to_owned()),
            },
        };
        Ok((self.email_address, reason))
    }
}

fn json_row(line: &str) -> Result<Row, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

/// Reads a line of CSV. Its fields may be quoted. A field with a line break in it is not supported, since no address has
/// one.
#[expect(clippy::unnecessary_wraps, reason = "the shape of `json_row`")]
fn csv_row(line: &str) -> Result<Row, String> {
    let mut fields = Vec::new();
    let (mut field, mut quoted) = (String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if quoted || field.is_empty() => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    let mut fields = fields.into_iter().map(|field| field.trim().to_owned());
    let email_address = fields.next().unwrap_or_default();
    Ok(Row { email_address, reason: fields.next().filter(|reason| !reason.is_empty()) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(
        action: ImportAction,
        format: ImportFormat,
        content: &str,
    ) -> Vec<Result<(String, Option<Reason>), ()>> {
        let import = Import { action, format, source: "s3://b/k".to_owned() };
        records(&import, content.as_bytes()).into_iter().map(|record| record.wants.map_err(drop)).collect()
    }

    #[test]
    fn files_are_read_as_the_guide_writes_them() {
        let put = |address: &str, reason| Ok((address.to_owned(), Some(reason)));
        let both =
            [put("recipient1@example.com", Reason::Bounce), put("recipient2@example.com", Reason::Complaint)];
        let csv = "recipient1@example.com,BOUNCE\r\n\nrecipient2@example.com, COMPLAINT\n";
        assert_eq!(read(ImportAction::Put, ImportFormat::Csv, csv), both);
        let json = "{\"emailAddress\":\"recipient1@example.com\",\"reason\":\"BOUNCE\"}\n\
            {\"emailAddress\":\"recipient2@example.com\",\"reason\":\"COMPLAINT\"}";
        assert_eq!(read(ImportAction::Put, ImportFormat::Json, json), both);
        let gone = [Ok(("recipient3@example.com".to_owned(), None))];
        assert_eq!(read(ImportAction::Delete, ImportFormat::Csv, "recipient3@example.com\n"), gone);
        let json = r#"{"emailAddress":"recipient3@example.com"}"#;
        assert_eq!(read(ImportAction::Delete, ImportFormat::Json, json), gone);
        let quoted = "\"\"\"a,b\"\"@example.com\",BOUNCE";
        assert_eq!(
            read(ImportAction::Put, ImportFormat::Csv, quoted),
            [put("\"a,b\"@example.com", Reason::Bounce)]
        );
    }

    #[test]
    fn a_bad_line_is_a_bad_record_and_nothing_more() {
        let json = "{\"emailAddress\":\"a@example.com\"}\n[1]\n{\"emailAddress\":\"a@example.com\",\"reason\":\"x\"}\n\
            not json\n{\"emailAddress\":\"b@example.com\",\"reason\":\"BOUNCE\"}";
        let read: Vec<bool> =
            read(ImportAction::Put, ImportFormat::Json, json).iter().map(Result::is_ok).collect();
        assert_eq!(read, [false, false, false, false, true]);
    }

    proptest! {
        #[test]
        fn no_file_breaks_it(content in proptest::collection::vec(any::<u8>(), 0..200), json: bool) {
            let format = if json { ImportFormat::Json } else { ImportFormat::Csv };
            records(&Import { action: ImportAction::Put, format, source: String::new() }, &content);
        }
    }
}
