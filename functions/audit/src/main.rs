//! Wires the handler to Lambda, SES, IAM, S3, DynamoDB and CloudWatch.

use audit::handler::{Audit, AuditRequest};
use audit::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_audit::aws::buckets::S3Buckets;
use mailroom_audit::aws::iam::Iam;
use mailroom_audit::aws::ses::Ses;
use mailroom_audit::aws::table::DynamoAuditTable;
use mailroom_audit::reader::Ports;
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::notes::DynamoNotes;
use mailroom_aws::notification_topics::SesTopics;
use mailroom_aws::rule_sets::SesRuleSets;
use mailroom_aws::settings::Variables;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = Variables::of_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    let config = client::config().await;
    let audit = &Audit {
        ports: Ports {
            ses: Ses::new(&config),
            topics: SesTopics::new(&config),
            rule_sets: SesRuleSets::new(&config),
            keys: Iam::new(&config),
            buckets: S3Buckets::new(&config),
        },
        notes: DynamoNotes::new(&config, common.table.as_str()),
        table: DynamoAuditTable::new(&config, common.table.as_str()),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<AuditRequest>| {
        let deadline = client::deadline(event.context.deadline());
        Ok::<_, Error>(audit.handle(event.payload, deadline).await?)
    }))
    .await
}
