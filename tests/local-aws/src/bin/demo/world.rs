//! What the demo runs in: a local AWS and one local SES for all of its Regions, with a stack in each.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::Stdio;
use std::time::{Duration, Instant};

use aws_sdk_lambda::primitives::Blob;
use futures_util::future::try_join_all;
use local_aws::clients::{ACCOUNT, CREDENTIAL};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, paths, shifted_clock};
use local_ses::{Config, LocalSes};
use serde_json::Value;
use tokio::process::Command;

use crate::{account, mail, print, suppression};

/// The Regions in which the stack is deployed.
pub(crate) const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// The stack's name, which is `mailroom`'s default.
pub(crate) const STACK: &str = "mailroom";

/// The pause between two looks at something that takes a while.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// The local AWS and the local SES. Both end when this is dropped.
pub(crate) struct World {
    // Fields are dropped in order, and functions that still run must not find SES gone.
    pub(crate) aws: LocalAws,
    pub(crate) ses: LocalSes,
}

/// What the operator's tool printed, and how it ended.
pub(crate) struct Said {
    /// What it printed on standard output.
    pub(crate) out: String,
    /// What it printed on standard error.
    pub(crate) err: String,
    /// Its exit status; `None` if a signal ended it.
    pub(crate) status: Option<i32>,
}

impl World {
    /// Starts both, without stacks.
    pub(crate) async fn start() -> Result<Self, Box<dyn Error>> {
        let config = Config { account: ACCOUNT.to_owned(), ..Config::default() };
        let ses = LocalSes::start(config).await?;
        let aws = LocalAws::start_with(ses_endpoints(&ses)).await?;
        ses.connect(&aws.ministack().endpoint());
        account::make(&ses)?;
        Ok(Self { aws, ses })
    }

    /// Deploys the template into each Region, with the other Regions as its peers.
    pub(crate) async fn deploy(&mut self) -> Result<(), Box<dyn Error>> {
        mail::make_bucket(&self.aws).await?;
        let Self { aws, ses } = self;
        let stacks = REGIONS.map(|region| (region, deployment(region)));
        let deployed = async { aws.deploy_each(&stacks).await.map_err(Box::from) };
        tokio::try_join!(deployed, account::prepare(ses))?;
        account::complete(self).await
    }

    /// A Region's stack.
    pub(crate) fn region(&self, name: &str) -> &Regional {
        self.aws.region(name)
    }

    /// All stacks, in the order in which they are shown.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Regional> {
        REGIONS.into_iter().map(|region| self.region(region))
    }

    /// Invokes a function in each Region, as its schedule does, and returns the answers. `output` is the stack's output
    /// with the function's name.
    pub(crate) async fn invoke(&self, output: &str, payload: &Value) -> Result<Vec<Value>, Box<dyn Error>> {
        try_join_all(REGIONS.map(|region| self.invoke_in(region, output, payload))).await
    }

    /// Invokes a function in one Region, and returns its answer.
    pub(crate) async fn invoke_in(
        &self,
        region: &str,
        output: &str,
        payload: &Value,
    ) -> Result<Value, Box<dyn Error>> {
        let region = self.region(region);
        let name = region.outputs().get(output);
        let payload = Blob::new(payload.to_string());
        let answer = region.clients().lambda.invoke().function_name(name).payload(payload).send().await?;
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if answer.function_error.is_some() {
            return Err(format!("{}: {name}: {}", region.name(), String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The environment variables that a program in a terminal needs to talk to this AWS.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = ses_endpoints(&self.ses);
        environment.insert("AWS_ENDPOINT_URL".to_owned(), self.aws.ministack().endpoint());
        for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            environment.insert(variable.to_owned(), CREDENTIAL.to_owned());
        }
        environment
    }

    /// Runs `mailroom`, as an operator would.
    pub(crate) async fn mailroom(&self, arguments: &[&str]) -> Result<Said, Box<dyn Error>> {
        let done = Command::new(paths::binary("mailroom"))
            .args(arguments)
            // The developer's own environment is left out, which may hold a profile or a Region.
            .env_clear()
            .envs(shifted_clock::variables())
            .envs(self.environment())
            .env("USER", "operator")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { out: text(&done.stdout), err: text(&done.stderr), status: done.status.code() })
    }
}

impl World {
    /// Prints how to go on by hand.
    pub(crate) fn how_to_talk(&self) {
        print::heading("It is all still running. To talk to it");
        let environment: Vec<String> =
            self.environment().iter().map(|(name, value)| format!("{name}={value}")).collect();
        println!("  export AWS_REGION={} \\\n      {}\n", REGIONS[0], environment.join(" \\\n      "));
        println!("  PATH=\"{}:$PATH\"\n", paths::binary("mailroom").with_file_name("").display());
        println!("  mailroom show {} --regions {}", suppression::ADDRESS, REGIONS.join(","));
        println!("  mailroom suppress somebody@example.org --reason complaint --why \"asked us to\"");
        println!("  mailroom audit --regions {}", REGIONS.join(","));
        println!("  mailroom dns {} --regions {}", account::FORGOTTEN, REGIONS.join(","));
        println!("  aws sesv2 list-suppressed-destinations");
        let outputs = self.region(REGIONS[0]).outputs();
        println!("  aws dynamodb scan --table-name {}", outputs.get("TableName"));
        println!(
            "  aws sns publish --topic-arn {} --message file://BOUNCE.json",
            outputs.get("FeedbackTopicArn")
        );
        println!("  aws sqs receive-message --queue-url {}", outputs.get("FeedbackDeadLetterQueueUrl"));
        println!("\n  its log, with what the functions print: {}", self.aws.ministack().log_path().display());
        println!("  to stop it: make demo-stop\n");
    }
}

fn ses_endpoints(ses: &LocalSes) -> BTreeMap<String, String> {
    // The local SES also answers the calls of IAM that the audit makes.
    ["AWS_ENDPOINT_URL_IAM", "AWS_ENDPOINT_URL_SES", "AWS_ENDPOINT_URL_SESV2"]
        .into_iter()
        .map(|variable| (variable.to_owned(), ses.endpoint()))
        .collect()
}

/// The parameters of a Region's stack.
pub(crate) fn deployment(region: &str) -> Deployment {
    let stack = Deployment::new(STACK)
        .parameter("Timings", "fast")
        .parameter("Identities", account::domains(region).join(","))
        .parameter("Suppression", "on")
        .parameter("SuppressionReasons", "BOUNCE,COMPLAINT")
        .parameter("Peers", REGIONS.join(","));
    mail::deployment(stack, region)
}

/// Calls `look` again and again until it returns something; `None` if that takes longer than `at_most`.
pub(crate) async fn until<T>(at_most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let until = Instant::now() + at_most;
    loop {
        let seen = look();
        if seen.is_some() || Instant::now() > until {
            return seen;
        }
        tokio::time::sleep(LOOK).await;
    }
}
