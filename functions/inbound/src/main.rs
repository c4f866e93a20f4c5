//! Wires the handler to Lambda, S3, DynamoDB, SQS and CloudWatch.

use inbound::handler::Inbound;
use inbound::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::dead_letters::sqs::SqsDeadLetters;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::objects::S3Objects;
use mailroom_aws::records::DynamoRecords;
use mailroom_aws::settings::Variables;
use serde_json::value::RawValue;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let settings = Settings::read(&Variables::of_process())?;
    let config = client::config().await;
    let known = settings.bucket_region.iter().map(|region| (settings.store.bucket.clone(), region.clone()));
    let inbound = &Inbound {
        table: DynamoRecords::new(&config, settings.table.as_str()),
        objects: S3Objects::new(&config, known),
        dead_letters: SqsDeadLetters::new(&config, settings.dead_letter_queue.as_str()),
        metrics: EmbeddedMetrics::new(settings.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = client::deadline(event.context.deadline());
        Ok::<_, Error>(inbound.handle(event.payload.get(), deadline).await?)
    }))
    .await
}
