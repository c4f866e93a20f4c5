//! The audit's verdicts in the table, and, while a pass lasts, what it has read.
//!
//! | item | sort key | until |
//! |---|---|---|
//! | a section's verdict | `AUDIT#<section>` | the next pass |
//! | a reading: what one call was answered | `AUDIT-FACTS#<begin of the pass>#<reading>` | a week has passed |
//!
//! Both are under `REGION#<region>`. A reading is written as soon as it is made and never changed, so a pass that is
//! resumed goes on after the last one.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::item::{deserialize_item, get_string, serialize_item, string_attribute};
use mailroom_aws::table::{RegionTable, TableError};
use mailroom_core::timestamp::Timestamp;

use crate::section_verdict::SectionVerdict;

/// How long readings are kept, which is much longer than a pass takes over as many identities as SES allows.
const ANSWER_RETENTION: Duration = Duration::from_hours(24 * 7);

/// Keeps the verdicts and readings of one Region.
pub trait AuditTable {
    /// The readings of a pass so far: JSON by name.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn answers(
        &self,
        pass_started_at: Timestamp,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, String>, TableError>;

    /// Writes a reading.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    async fn put_answer(
        &self,
        pass_started_at: Timestamp,
        name: &str,
        answer_json: &str,
        deadline: Deadline,
    ) -> Result<(), TableError>;

    /// Writes a section's verdict in the place of the one that is there.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    async fn put_verdict(&self, verdict: &SectionVerdict, deadline: Deadline) -> Result<(), TableError>;

    /// The verdicts that were written last. There are none for a Region without a pass, and while a pass is writing its
    /// verdicts, some may be older than the others.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn verdicts(&self, deadline: Deadline) -> Result<Vec<SectionVerdict>, TableError>;
}

impl AuditTable for RegionTable {
    async fn answers(
        &self,
        pass_started_at: Timestamp,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, String>, TableError> {
        let prefix = answer_sort_key_prefix(pass_started_at);
        let mut readings = BTreeMap::new();
        for item in self.query_prefix(&self.region_key(), &prefix, deadline).await? {
            let name = get_string(&item, "sk").and_then(|sk| sk.strip_prefix(&prefix));
            let reading = name.zip(get_string(&item, "reading"));
            let (name, reading) =
                reading.ok_or_else(|| TableError::InvalidItem("a reading without a text".to_owned()))?;
            readings.insert(name.to_owned(), reading.to_owned());
        }
        Ok(readings)
    }

    async fn put_answer(
        &self,
        pass_started_at: Timestamp,
        name: &str,
        answer_json: &str,
        deadline: Deadline,
    ) -> Result<(), TableError> {
        let expires_at = pass_started_at.plus(ANSWER_RETENTION).seconds().to_string();
        let item = [
            ("pk", string_attribute(&self.region_key())),
            ("sk", string_attribute(&format!("{}{name}", answer_sort_key_prefix(pass_started_at)))),
            ("reading", string_attribute(answer_json)),
            ("expires_at", AttributeValue::N(expires_at)),
        ];
        self.put_item(item.map(|(name, value)| (name.to_owned(), value)).into(), deadline).await
    }

    async fn put_verdict(&self, verdict: &SectionVerdict, deadline: Deadline) -> Result<(), TableError> {
        self.put_item(serialize_item(verdict)?, deadline).await
    }

    async fn verdicts(&self, deadline: Deadline) -> Result<Vec<SectionVerdict>, TableError> {
        let items = self.query_prefix(&self.region_key(), SectionVerdict::SORT_KEY_PREFIX, deadline).await?;
        items.into_iter().map(deserialize_item).collect()
    }
}

fn answer_sort_key_prefix(pass_started_at: Timestamp) -> String {
    format!("AUDIT-FACTS#{pass_started_at}#")
}

#[cfg(test)]
mod tests {
    use crate::section::AuditSection;
    use crate::verdict::AuditVerdict;

    use super::*;
    use doubles::stub::Stub;

    const FIRST: &str = r#"{"Items":[{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"AUDIT-FACTS#2026-11-23T12:00:00.000Z#identity#a#b"},
        "reading":{"S":"1"}}],"LastEvaluatedKey":{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"x"}}}"#;
    const SECOND: &str = r#"{"Items":[{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"AUDIT-FACTS#2026-11-23T12:00:00.000Z#account"},
        "reading":{"S":"2"}}]}"#;
    const BUSY: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#;

    #[tokio::test]
    async fn readings_come_page_by_page_and_go_one_by_one() {
        let stub = Stub::start([(200, FIRST), (400, BUSY), (200, SECOND), (200, "{}"), (200, "{}")]);
        let config =
            stub.config().into_builder().retry_config(aws_config::retry::RetryConfig::disabled()).build();
        let table = RegionTable::new(&config, "table");
        let pass = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let deadline = Deadline::after(Duration::from_mins(1));
        let readings = table.answers(pass, deadline).await.unwrap();
        let expected = [("account", "2"), ("identity#a#b", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(readings, expected.into());
        table.put_answer(pass, "account", "3", deadline).await.unwrap();
        let verdict = SectionVerdict::unknown("us-east-1", AuditSection::MailFrom, "why", pass);
        table.put_verdict(&verdict, deadline).await.unwrap();
        let sent: Vec<serde_json::Value> =
            stub.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        assert_eq!(
            sent[0]["ExpressionAttributeValues"][":prefix"]["S"],
            "AUDIT-FACTS#2026-11-23T12:00:00.000Z#"
        );
        assert_eq!((&sent[1], &sent[2]["ExclusiveStartKey"]["sk"]["S"]), (&sent[2], &serde_json::json!("x")));
        assert_eq!(sent[3]["Item"]["sk"]["S"], "AUDIT-FACTS#2026-11-23T12:00:00.000Z#account");
        // 2026-11-30T12:00:00Z
        assert_eq!(sent[3]["Item"]["expires_at"]["N"], "1796040000");
        assert_eq!(sent[4]["Item"]["sk"]["S"], "AUDIT#mail_from");
        assert_eq!(sent[4]["Item"]["verdict"]["S"], AuditVerdict::Unknown.as_str());
    }

    #[tokio::test]
    async fn verdicts_come_back_as_they_were_written() {
        const ITEM: &str = r#"{"Items":[{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"AUDIT#dkim"},"region":{"S":"us-east-1"},
            "section":{"S":"dkim"},"verdict":{"S":"fail"},"evidence":{"S":"e"},"findings":{"L":[]},"more_findings":{"N":"0"},
            "checked_at":{"S":"2026-11-23T12:00:00.000Z"}}]}"#;
        let stub = Stub::start([(200, ITEM), (200, r#"{"Items":[{"sk":{"S":"AUDIT#new"}}]}"#)]);
        let table = RegionTable::new(&stub.config(), "table");
        let deadline = Deadline::after(Duration::from_mins(1));
        let verdicts = table.verdicts(deadline).await.unwrap();
        assert_eq!((verdicts[0].section, verdicts[0].verdict), (AuditSection::Dkim, AuditVerdict::Fail));
        let unread = table.verdicts(deadline).await.unwrap_err();
        assert!(matches!(unread, TableError::InvalidItem(_)), "{unread}");
    }
}
