//! Wires the handler to Lambda, S3, DynamoDB, SQS and CloudWatch.

use inbound::handler::InboundFunction;
use inbound::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::dead_letters::sqs::SqsDeadLetterQueue;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::objects::S3ObjectStore;
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
    // Without the bucket's Region the function finds it out.
    let bucket_region = variables.get_optional("MAIL_BUCKET_REGION");
    let known = bucket_region.map(|region| (settings.mail_store.bucket.clone(), region));
    let inbound = &InboundFunction {
        table: RegionTable::new(&config, common.table.as_str()),
        objects: S3ObjectStore::new(&config, known),
        dead_letters: SqsDeadLetterQueue::new(&config, dead_letter_queue),
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        Ok::<_, Error>(inbound.handle(event.payload.get(), deadline).await?)
    }))
    .await
}
