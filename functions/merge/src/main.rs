//! Wires the handler to Lambda, DynamoDB, SQS and CloudWatch.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::dead_letters::sqs::SqsDeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::settings::EnvironmentVariables;
use mailroom_aws::table::RegionTable;
use merge::handler::MergeFunction;
use serde_json::value::RawValue;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = EnvironmentVariables::from_process();
    let common = variables.common()?;
    let dead_letter_queue = variables.get_required("DEAD_LETTER_QUEUE_URL")?;
    let config = client::load_sdk_config().await;
    let merge = &MergeFunction {
        table: RegionTable::new(&config, common.table.as_str()),
        dead_letters: SqsDeadLetterQueue::new(&config, dead_letter_queue),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        Ok::<_, Error>(merge.handle(event.payload.get(), deadline).await?)
    }))
    .await
}
