//! Wires the handler to Lambda, DynamoDB, SES, S3 and CloudWatch.

use apply::handler::{ApplyFunction, Ports};
use apply::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::objects::S3ObjectStore;
use mailroom_aws::settings::EnvironmentVariables;
use mailroom_aws::suppression_list::SesSuppressionList;
use mailroom_aws::table::RegionTable;
use serde_json::value::RawValue;

struct Aws;

impl Ports for Aws {
    type Table = RegionTable;
    type List = SesSuppressionList;
    type Objects = S3ObjectStore;
    type Clock = SystemClock;
    type Metrics = EmbeddedMetrics;
}

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = EnvironmentVariables::from_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    let config = client::load_sdk_config().await;
    let apply = &ApplyFunction::<Aws> {
        table: RegionTable::new(&config, common.table.as_str()),
        list: SesSuppressionList::new(&config),
        objects: S3ObjectStore::new(&config, []),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        let outcome = apply.handle(event.payload.get(), &event.context.request_id, deadline);
        // Boxed, or it would be moved about, 16 KB of it.
        Ok::<_, Error>(Box::pin(outcome).await?)
    }))
    .await
}
