//! Wires the handler to Lambda, SES, DynamoDB and CloudFormation.

use lambda_runtime::{Error, LambdaEvent, service_fn, tracing};
use mailroom_aws::account::SesAccount;
use mailroom_aws::client;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::custom_resource::HttpAnswers;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::SesTopics;
use mailroom_aws::rule_sets::SesRuleSets;
use mailroom_aws::settings::Variables;
use mailroom_aws::table::Table;
use serde_json::Value;
use setup::handler::{Ports, Setup};

struct Aws;

impl Ports for Aws {
    type Topics = SesTopics;
    type RuleSets = SesRuleSets;
    type Account = SesAccount;
    type Table = Table;
    type Answers = HttpAnswers;
    type Clock = SystemClock;
}

// One event at a time and nothing to compute: a second thread would only cost its start.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    tracing::init_default_subscriber();
    let variables = Variables::of_process();
    let common = variables.common()?;
    let config = client::config().await;
    let setup = &Setup::<Aws> {
        topics: SesTopics::new(&config),
        rule_sets: SesRuleSets::new(&config),
        account: SesAccount::new(&config),
        table: Table::new(&config, common.table.as_str()),
        answers: HttpAnswers::new(),
        clock: SystemClock,
        interval: variables.pace()?,
    };
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = Deadline::of_invocation(event.context.deadline());
        setup.handle(&event.payload, deadline).await?;
        Ok::<_, Error>(())
    }))
    .await
}
