//! Wires the handler to Lambda, SES, DynamoDB, SQS and CloudWatch.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::metrics::EmbeddedMetrics;
use mailroom_aws::peers::SqsPeers;
use mailroom_aws::settings::Variables;
use mailroom_aws::suppression_list::SesList;
use mailroom_aws::table::Table;
use reconcile::handler::{Event, Ports, Reconcile};
use reconcile::settings::Settings;
use serde_json::value::RawValue;

struct Aws;

impl Ports for Aws {
    type Table = Table;
    type List = SesList;
    type Peers = SqsPeers;
    type Clock = SystemClock;
    type Metrics = EmbeddedMetrics;
}

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = Variables::of_process();
    let common = variables.common()?;
    let settings = Settings::read(&common, &variables)?;
    // The queue in which a Region takes in what its peers decided: one name in every Region.
    let queue = variables.required("QUEUE_NAME")?;
    let config = client::config().await;
    let reconcile = &Reconcile::<Aws> {
        table: Table::new(&config, common.table.as_str()),
        list: SesList::new(&config),
        peers: SqsPeers::new(&config, common.account.as_str(), queue),
        clock: SystemClock,
        metrics: EmbeddedMetrics::new(common.function.as_str()),
        settings: settings.clone(),
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Box<RawValue>>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        let asked = Event::read(event.payload.get())?;
        let answer = reconcile.answer(asked, &event.context.request_id, deadline);
        // Boxed, or it would be moved about, 16 KB of it.
        Ok::<_, Error>(Box::pin(answer).await?)
    }))
    .await
}
