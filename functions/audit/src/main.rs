//! Wires the handler to Lambda, SES, IAM, S3, DynamoDB and CloudWatch.

use audit::handler::{AuditFunction, AuditRequest};
use audit::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_audit::aws::services;
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::settings::EnvironmentVariables;
use mailroom_aws::table::RegionTable;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = EnvironmentVariables::from_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    let config = client::load_sdk_config().await;
    let audit = &AuditFunction {
        services: services(&config),
        table: RegionTable::new(&config, common.table.as_str()),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<AuditRequest>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        let outcome = audit.handle(event.payload, &event.context.request_id, deadline);
        // Boxed, or it would be moved about, 16 KB of it.
        Ok::<_, Error>(Box::pin(outcome).await?)
    }))
    .await
}
