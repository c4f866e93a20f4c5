//! Wires the handler to Lambda, SES, DynamoDB and CloudFormation.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::account::SesAccountSettings;
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::custom_resource::HttpResponder;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::SesNotificationTopics;
use mailroom_aws::rule_sets::SesRuleSetApi;
use mailroom_aws::settings::EnvironmentVariables;
use mailroom_aws::table::RegionTable;
use serde_json::Value;
use setup::handler::{Ports, SetupFunction};

struct Aws;

impl Ports for Aws {
    type Topics = SesNotificationTopics;
    type RuleSets = SesRuleSetApi;
    type Account = SesAccountSettings;
    type Table = RegionTable;
    type Answers = HttpResponder;
    type Clock = SystemClock;
}

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = EnvironmentVariables::from_process();
    let common = variables.common()?;
    let config = client::load_sdk_config().await;
    let setup = &SetupFunction::<Aws> {
        topics: SesNotificationTopics::new(&config),
        rule_sets: SesRuleSetApi::new(&config),
        account_settings: SesAccountSettings::new(&config),
        table: RegionTable::new(&config, common.table.as_str()),
        responder: HttpResponder::new(),
        clock: SystemClock,
        interval: variables.call_interval()?,
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        setup.handle(&event.payload, deadline).await?;
        Ok::<_, Error>(())
    }))
    .await
}
