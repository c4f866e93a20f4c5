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

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use mailroom_aws::dynamo::{TableError, read_item, retried};
use mailroom_core::timestamp::Timestamp;
use tokio::time::Instant;

use crate::section_verdict::SectionVerdict;

/// How long readings are kept, which is much longer than a pass takes over as many identities as SES allows.
const READINGS_KEPT_FOR: Duration = Duration::from_hours(24 * 7);

/// Keeps the verdicts and readings of one Region.
pub trait AuditTable {
    /// The readings of a pass so far: JSON by name.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn readings(
        &self,
        pass: Timestamp,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, TableError>;

    /// Writes a reading.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    async fn keep(
        &self,
        pass: Timestamp,
        name: &str,
        reading: &str,
        deadline: Instant,
    ) -> Result<(), TableError>;

    /// Writes a section's verdict in the place of the one that is there.
    ///
    /// # Errors
    /// See [`TableError`]. It may have been written nevertheless.
    async fn put(&self, verdict: &SectionVerdict, deadline: Instant) -> Result<(), TableError>;

    /// The verdicts that were written last. There are none for a Region without a pass, and while a pass is writing its
    /// verdicts, some may be older than the others.
    ///
    /// # Errors
    /// See [`TableError`].
    async fn verdicts(&self, deadline: Instant) -> Result<Vec<SectionVerdict>, TableError>;
}

type Item = std::collections::HashMap<String, AttributeValue>;

/// DynamoDB's table.
pub struct DynamoAuditTable {
    client: Client,
    table: String,
    region: String,
}

impl DynamoAuditTable {
    /// A table in the configuration's own Region.
    pub fn new(config: &aws_config::SdkConfig, table: impl Into<String>) -> Self {
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        Self { client: Client::new(config), table: table.into(), region }
    }

    /// All items of the Region whose sort key has a prefix.
    async fn items(&self, prefix: &str, deadline: Instant) -> Result<Vec<Item>, TableError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = || {
                let query = self.client.query().table_name(&self.table).consistent_read(true);
                query
                    .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                    .expression_attribute_names("#pk", "pk")
                    .expression_attribute_names("#sk", "sk")
                    .expression_attribute_values(":pk", text(&SectionVerdict::partition_key(&self.region)))
                    .expression_attribute_values(":prefix", text(prefix))
                    .set_exclusive_start_key(start.clone())
                    .send()
            };
            let page = retried(deadline, query).await?;
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    async fn write(&self, item: Item, deadline: Instant) -> Result<(), TableError> {
        let put = || self.client.put_item().table_name(&self.table).set_item(Some(item.clone())).send();
        retried(deadline, put).await?;
        Ok(())
    }
}

impl AuditTable for DynamoAuditTable {
    async fn readings(
        &self,
        pass: Timestamp,
        deadline: Instant,
    ) -> Result<BTreeMap<String, String>, TableError> {
        let prefix = prefix(pass);
        let items = self.items(&prefix, deadline).await?.into_iter();
        let reading = |item: Item| {
            let name = item.get("sk")?.as_s().ok()?.strip_prefix(&prefix)?.to_owned();
            Some((name, item.get("reading")?.as_s().ok()?.clone()))
        };
        let unread = || TableError::NotAnItem("a reading without a text".to_owned());
        items.map(|item| reading(item).ok_or_else(unread)).collect()
    }

    async fn keep(
        &self,
        pass: Timestamp,
        name: &str,
        reading: &str,
        deadline: Instant,
    ) -> Result<(), TableError> {
        let expires_at = pass.plus(READINGS_KEPT_FOR).seconds().to_string();
        let item = [
            ("pk", text(&SectionVerdict::partition_key(&self.region))),
            ("sk", text(&format!("{}{name}", prefix(pass)))),
            ("reading", text(reading)),
            ("expires_at", AttributeValue::N(expires_at)),
        ];
        self.write(item.map(|(name, value)| (name.to_owned(), value)).into(), deadline).await
    }

    async fn put(&self, verdict: &SectionVerdict, deadline: Instant) -> Result<(), TableError> {
        let mut item: Item =
            serde_dynamo::to_item(verdict).map_err(|error| TableError::NotAnItem(error.to_string()))?;
        item.retain(|_, value| !value.is_null());
        self.write(item, deadline).await
    }

    async fn verdicts(&self, deadline: Instant) -> Result<Vec<SectionVerdict>, TableError> {
        let items = self.items(SectionVerdict::SORT_KEY_PREFIX, deadline).await?.into_iter();
        items.map(read_item).collect()
    }
}

fn prefix(pass: Timestamp) -> String {
    format!("AUDIT-FACTS#{pass}#")
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::section::Section;
    use crate::verdict::Verdict;

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
        let table = DynamoAuditTable::new(&config, "table");
        let pass = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        let readings = table.readings(pass, deadline).await.unwrap();
        let expected = [("account", "2"), ("identity#a#b", "1")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(readings, expected.into());
        table.keep(pass, "account", "3", deadline).await.unwrap();
        let verdict = SectionVerdict::unknown("us-east-1", Section::MailFrom, "why", pass);
        table.put(&verdict, deadline).await.unwrap();
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
        assert_eq!(sent[4]["Item"]["verdict"]["S"], Verdict::Unknown.as_str());
    }

    #[tokio::test]
    async fn verdicts_come_back_as_they_were_written() {
        const ITEM: &str = r#"{"Items":[{"pk":{"S":"REGION#us-east-1"},"sk":{"S":"AUDIT#dkim"},"region":{"S":"us-east-1"},
            "section":{"S":"dkim"},"verdict":{"S":"fail"},"evidence":{"S":"e"},"findings":{"L":[]},"more_findings":{"N":"0"},
            "checked_at":{"S":"2026-11-23T12:00:00.000Z"}}]}"#;
        let stub = Stub::start([(200, ITEM), (200, r#"{"Items":[{"sk":{"S":"AUDIT#new"}}]}"#)]);
        let table = DynamoAuditTable::new(&stub.config(), "table");
        let deadline = Instant::now() + Duration::from_mins(1);
        let verdicts = table.verdicts(deadline).await.unwrap();
        assert_eq!((verdicts[0].section, verdicts[0].verdict), (Section::Dkim, Verdict::Fail));
        let unread = table.verdicts(deadline).await.unwrap_err();
        assert!(matches!(unread, TableError::NotAnItem(_)), "{unread}");
    }
}
