//! Three Regions, and what their lists hold.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use local_aws::LocalAws;
use local_aws::clients::ACCOUNT;
use local_aws::samples::hard_bounce;
use local_aws::stack::Deployment;
use local_ses::suppression::Reason;
use local_ses::{Config, LocalSes};
use serde_json::Value;

pub(crate) const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-southeast-2"];

/// A list, as a test thinks of it.
pub(crate) type List = BTreeMap<String, Reason>;

pub(crate) struct World {
    pub(crate) aws: LocalAws,
    pub(crate) ses: LocalSes,
}

impl World {
    /// Three Regions, each of which has been through its list once.
    pub(crate) async fn start() -> Self {
        let config = Config { account: ACCOUNT.to_owned(), ..Config::default() };
        let ses = LocalSes::start(config).await.expect("a local SES");
        let environment = BTreeMap::from([("AWS_ENDPOINT_URL_SESV2".to_owned(), ses.endpoint())]);
        let mut aws = LocalAws::start_with(environment).await.expect("a local AWS");
        ses.connect(&aws.ministack().endpoint());
        let deployment = Deployment::new("mailroom")
            .parameter("Receiving", "off")
            .parameter("Peers", REGIONS.join(","))
            .parameter("Timings", "fast");
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

    pub(crate) async fn reconcile(&self, region: &str) {
        self.invoke(region, "ReconcileFunctionName").await;
    }

    pub(crate) async fn bounce(&self, region: &str, n: usize) {
        self.aws.region(region).publish(&bounce(region, n)).await.expect("published");
    }

    pub(crate) fn list(&self, region: &str) -> List {
        self.ses.list(region).into_iter().map(|(address, entry)| (address, entry.reason)).collect()
    }

    /// A Region's states, by address.
    pub(crate) async fn states(&self, region: &str) -> BTreeMap<String, Value> {
        let items = self.aws.region(region).items().await.expect("a scan");
        let states = items.into_iter().filter(|item| item["sk"] == "SUPPRESSION");
        states.map(|item| (item["address"].as_str().expect("an address").to_owned(), item)).collect()
    }

    /// Waits until no Region has anything left to do.
    pub(crate) async fn wait_until_settled(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        for region in REGIONS {
            loop {
                let states = self.states(region).await;
                let pending = states.values().filter(|state| state.get("pending").is_some()).count();
                if pending == 0 {
                    break;
                }
                assert!(
                    Instant::now() < until,
                    "{region}: {pending} pending\n{}",
                    self.aws.ministack().log()
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Waits until these Regions' lists hold exactly this.
    pub(crate) async fn wait_for(&self, regions: &[&str], expected: &List, at_most: Duration) {
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

pub(crate) fn address(n: usize) -> String {
    format!("user{n}@example.com")
}

pub(crate) fn bounce(region: &str, n: usize) -> String {
    let now = time::OffsetDateTime::now_utc()
        .format(&time::format_description::well_known::Rfc3339)
        .expect("a time");
    hard_bounce(region, &format!("{n:06}"), &address(n), &now)
}

pub(crate) fn bounced(numbers: impl IntoIterator<Item = usize>) -> List {
    numbers.into_iter().map(|n| (address(n), Reason::Bounce)).collect()
}
