//! Suppression end to end, in three Regions: from a bounce published in one to the list of each, by the real template, the
//! functions' binaries and a local SES at SES's own pace. A storm is not tested here but with the handlers in memory: the local
//! AWS runs a stream's functions one after the other, ten records at a time, so that apply's pace would be everybody's.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use local_aws::LocalAws;
use local_aws::clients::ACCOUNT;
use local_aws::proxy::{Action, Failure, Matcher, Rule};
use local_aws::stack::Deployment;
use local_ses::faults::Fault;
use local_ses::suppression::Reason;
use local_ses::{Config, LocalSes};
use serde_json::{Value, json};

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-2"];

struct World {
    aws: LocalAws,
    ses: LocalSes,
}

impl World {
    /// Three Regions, each of which has been through its list once.
    async fn start() -> Self {
        let config = Config { account: ACCOUNT.to_owned(), ..Config::default() };
        let ses = LocalSes::start(config).await.expect("a local SES");
        let environment = BTreeMap::from([("AWS_ENDPOINT_URL_SESV2".to_owned(), ses.endpoint())]);
        let mut aws = LocalAws::start_with(environment).await.expect("a local AWS");
        ses.connect(&aws.ministack().endpoint());
        let deployment = Deployment::new("mailroom")
            .parameter("Suppression", "on")
            .parameter("Receiving", "off")
            .parameter("Peers", REGIONS.join(","))
            .parameter("FeedbackVisibilityTimeout", "5");
        aws.deploy(&deployment, &REGIONS).await.expect("three stacks");
        let world = Self { aws, ses };
        for region in REGIONS {
            world.reconcile(region).await;
        }
        world
    }

    /// As the schedule does.
    async fn invoke(&self, region: &str, output: &str) -> Value {
        let region = self.aws.region(region);
        let lambda = &region.clients().lambda;
        let answer =
            lambda.invoke().function_name(region.outputs().get(output)).payload(b"{}".to_vec().into());
        let answer = answer.send().await.expect("invoked");
        let body = answer.payload.map(aws_sdk_lambda::primitives::Blob::into_inner).unwrap_or_default();
        assert!(answer.function_error.is_none(), "{output}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }

    async fn reconcile(&self, region: &str) {
        self.invoke(region, "ReconcileFunctionName").await;
    }

    async fn bounce(&self, region: &str, n: usize) {
        self.aws.region(region).publish(&bounce(region, n)).await.expect("published");
    }

    fn list(&self, region: &str) -> BTreeMap<String, Reason> {
        self.ses.list(region).into_iter().map(|(address, entry)| (address, entry.reason)).collect()
    }

    /// Waits until these Regions' lists hold exactly this.
    async fn wait_for(&self, regions: &[&str], expected: &BTreeMap<String, Reason>, at_most: Duration) {
        let until = Instant::now() + at_most;
        loop {
            let wrong: Vec<_> = regions.iter().filter(|region| self.list(region) != *expected).collect();
            if wrong.is_empty() {
                return;
            }
            if Instant::now() > until {
                let lists: Vec<_> = wrong.iter().map(|region| (region, self.list(region).len())).collect();
                panic!(
                    "{lists:?}, not {}; calls: {:?}\n{}",
                    expected.len(),
                    self.ses.requests(),
                    self.aws.ministack().log()
                );
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn address(n: usize) -> String {
    format!("user{n}@example.com")
}

fn bounce(region: &str, n: usize) -> String {
    let address = address(n);
    let now = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .expect("a time");
    json!({
        "eventType": "Bounce",
        "bounce": {
            "feedbackId": format!("feedback-{n:06}"),
            "bounceType": "Permanent",
            "bounceSubType": "General",
            "bouncedRecipients": [{"emailAddress": address, "action": "failed", "status": "5.1.1"}],
            "timestamp": now,
        },
        "mail": {
            "timestamp": now,
            "messageId": format!("message-{n:06}"),
            "destination": [address],
            "sourceArn": format!("arn:aws:ses:{region}:{ACCOUNT}:identity/example.com"),
            "sendingAccountId": ACCOUNT,
        },
    })
    .to_string()
}

fn bounced(numbers: impl IntoIterator<Item = usize>) -> BTreeMap<String, Reason> {
    numbers.into_iter().map(|n| (address(n), Reason::Bounce)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_in_one_region_is_on_every_list() {
    let world = World::start().await;
    world.bounce("us-east-1", 1).await;
    world.wait_for(&REGIONS, &bounced([1]), Duration::from_mins(2)).await;
    world.bounce("ap-southeast-2", 2).await;
    world.wait_for(&REGIONS, &bounced([1, 2]), Duration::from_mins(2)).await;
}

/// What a dead peer has missed, it gets from reconcile's push; nobody else waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_was_down_catches_up_and_the_others_never_wait() {
    const DOWN: &str = "ap-southeast-2";
    let world = World::start().await;
    let queue = world.aws.proxy().rule(Rule::new(
        Matcher::service("sqs").in_region(DOWN),
        Action::Fail(Failure::new(503, "ServiceUnavailable", "down")),
    ));
    world.ses.fault(Fault::down().in_region(DOWN));

    world.bounce("us-east-1", 1).await;
    world.wait_for(&["us-east-1", "eu-west-1"], &bounced([1]), Duration::from_mins(2)).await;
    assert!(world.list(DOWN).is_empty());

    world.aws.proxy().remove(queue);
    world.ses.clear_faults();
    // What the schedule does every few minutes.
    let until = Instant::now() + Duration::from_mins(1);
    while world.list(DOWN).is_empty() && Instant::now() < until {
        world.reconcile("us-east-1").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    world.wait_for(&REGIONS, &bounced([1]), Duration::from_mins(2)).await;
}
