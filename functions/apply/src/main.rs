//! Wires the handler to Lambda, DynamoDB, SES, S3 and CloudWatch.

use apply::handler::Apply;
use apply::settings::Settings;
use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::lease::DynamoLease;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::notes::DynamoNotes;
use mailroom_aws::objects::S3Objects;
use mailroom_aws::settings::Variables;
use mailroom_aws::states::DynamoStates;
use mailroom_aws::suppression_list::SesList;
use serde_json::value::RawValue;

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = Variables::of_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    let config = client::config().await;
    let apply = &Apply {
        states: DynamoStates::new(&config, common.table.as_str()),
        list: SesList::new(&config),
        leases: DynamoLease::new(&config, common.table.as_str()),
        notes: DynamoNotes::new(&config, common.table.as_str()),
        objects: S3Objects::new(&config, []),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = client::deadline(event.context.deadline());
        let ran = apply.handle(event.payload.get(), &event.context.request_id, deadline).await?;
        Ok::<_, Error>(ran)
    }))
    .await
}
