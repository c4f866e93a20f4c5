//! Wires the handler to Lambda, DynamoDB, SQS and CloudWatch.

use feedback::handler::FeedbackFunction;
use feedback::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::dead_letters::sqs::SqsDeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
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
    let dead_letter_queue = variables.get_required("DEAD_LETTER_QUEUE_URL")?;
    let config = client::load_sdk_config().await;
    let feedback = FeedbackFunction {
        table: RegionTable::new(&config, common.table.as_str()),
        dead_letters: SqsDeadLetterQueue::new(&config, dead_letter_queue),
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings,
    };
    let feedback = &feedback;
    // The payload stays text: its shape is told by its content, and one odd record must not refuse the batch.
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        Ok::<_, Error>(feedback.handle(event.payload.get(), deadline).await?)
    }))
    .await
}
