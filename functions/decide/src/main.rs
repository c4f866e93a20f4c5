//! Wires the handler to Lambda, DynamoDB, SQS and CloudWatch.

use decide::handler::DecideFunction;
use decide::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::peer_queues::SqsPeerQueues;
use mailroom_aws::settings::EnvironmentVariables;
use mailroom_aws::table::RegionTable;
use serde_json::value::RawValue;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = EnvironmentVariables::from_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    // The queue in which a Region takes in what its peers decided: one name in every Region.
    let queue = variables.get_required("QUEUE_NAME")?;
    let config = client::load_sdk_config().await;
    let decide = &DecideFunction {
        table: RegionTable::new(&config, common.table.as_str()),
        peers: SqsPeerQueues::new(&config, common.account.as_str(), queue),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        Ok::<_, Error>(decide.handle(event.payload.get(), deadline).await?)
    }))
    .await
}
