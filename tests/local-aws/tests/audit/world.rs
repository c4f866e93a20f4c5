//! Three Regions in which everything is ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::Environment;
use aws_sdk_sesv2::types::{BehaviorOnMxFailure, EventDestinationDefinition, EventType, SnsDestination};
use futures_util::future::join_all;
use local_aws::clients::{self, ACCOUNT};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, receiving};
use local_ses::{Config, LocalSes};
use serde_json::{Value, json};
use time::macros::datetime;

pub(crate) const REGIONS: [&str; 3] = ["ap-southeast-2", "eu-west-1", "us-east-1"];

/// What mail is sent from, in every Region.
pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const IDENTITIES: [&str; 4] =
    [DOMAIN, "billing@example.com", "news.example.com", "shop.example.org"];

/// Who may send as the domain, too.
pub(crate) const POLICY: &str = "agency";

/// The stack's receipt rule set, as the template names it.
pub(crate) const RULE_SET: &str = "mailroom-inbound";

/// Longer than a pass takes at one request a second, on a machine that is busy.
const PASS: Duration = Duration::from_mins(10);

pub(crate) struct World {
    pub(crate) aws: LocalAws,
    pub(crate) ses: LocalSes,
}

impl World {
    pub(crate) async fn ready() -> Self {
        let receiving_regions = REGIONS.map(str::to_owned).to_vec();
        let config = Config { account: ACCOUNT.to_owned(), receiving_regions, ..Config::default() };
        let ses = LocalSes::start(config).await.expect("a local SES");
        let services = ["SES", "SESV2", "IAM"];
        let environment = services.map(|name| (format!("AWS_ENDPOINT_URL_{name}"), ses.endpoint()));
        let mut aws = LocalAws::start_with(BTreeMap::from(environment)).await.expect("a local AWS");
        ses.connect(&aws.ministack().endpoint());
        for region in REGIONS {
            for identity in IDENTITIES {
                ses.verified(region, identity).expect("made");
            }
        }
        let deployment = Deployment::new("mailroom")
            .parameter("Identities", IDENTITIES.join(","))
            .parameter("SuppressionReasons", "BOUNCE,COMPLAINT")
            .parameter("Suppression", "on")
            .parameter("Peers", REGIONS.join(","))
            .parameter("Receiving", "on")
            .parameter("ReceiptRules", "operator")
            .parameter("MailRecipients", DOMAIN);
        aws.deploy(&deployment, &REGIONS).await.expect("three stacks");
        let world = Self { aws, ses };
        world.ses.iam(|iam| {
            iam.add_user("mailer", datetime!(2018-01-01 00:00 UTC), vec![sends()]);
            iam.add_key("mailer", "AKIAI44QH8DHBEXAMPLE", datetime!(2024-01-01 00:00 UTC));
            // Old, and nothing to do with mail.
            iam.add_user("backup", datetime!(2015-01-01 00:00 UTC), vec![]);
            iam.add_key("backup", "AKIAJ55RI9EICEXAMPLE", datetime!(2015-01-01 00:00 UTC));
        });
        join_all(REGIONS.map(|region| world.make_ready(region, &deployment))).await;
        world
    }

    /// What the stack does not do in this Region, or no local CloudFormation.
    async fn make_ready(&self, region: &str, deployment: &Deployment) {
        let v2 = self.v2(region);
        let of = self.aws.region(region);
        let topic = of.outputs().get("FeedbackTopicArn");

        let set = of.outputs().get("ConfigurationSetName");
        v2.create_configuration_set().configuration_set_name(set).send().await.expect("made");
        let types = [EventType::Bounce, EventType::Complaint];
        let to = EventDestinationDefinition::builder()
            .enabled(true)
            .set_matching_event_types(Some(types.to_vec()))
            .sns_destination(SnsDestination::builder().topic_arn(topic).build().expect("complete"))
            .build();
        v2.create_configuration_set_event_destination()
            .configuration_set_name(set)
            .event_destination_name("feedback")
            .event_destination(to)
            .send()
            .await
            .expect("made");

        let mail_from = mail_from(region);
        self.ses.publish_dns(&mail_from, "MX", &format!("10 feedback-smtp.{region}.amazonses.com"));
        v2.put_email_identity_mail_from_attributes()
            .email_identity(DOMAIN)
            .mail_from_domain(mail_from)
            .behavior_on_mx_failure(BehaviorOnMxFailure::UseDefaultValue)
            .send()
            .await
            .expect("set");
        v2.create_email_identity_policy()
            .email_identity(DOMAIN)
            .policy_name(POLICY)
            .policy(policy(region))
            .send()
            .await
            .expect("made");

        receiving::install(&self.ses, of, deployment).await.expect("the template's rules");
        with_rule_set(of).await;
        self.invoke(region, "ReconcileFunctionName", json!({ "pass": true })).await;
    }

    /// Has every Region audited anew.
    pub(crate) async fn audit(&self) {
        join_all(REGIONS.map(|region| self.audit_one(region))).await;
    }

    /// Wakes the function, as the schedule does, until its pass has ended.
    async fn audit_one(&self, region: &str) {
        let until = Instant::now() + PASS;
        let mut wake = json!({ "now": true });
        loop {
            let done = self.invoke(region, "AuditFunctionName", wake).await;
            match done["state"].as_str() {
                Some("ended") => return,
                // By the schedule: that pass may have begun too early.
                Some("held") => wake = json!({ "now": true }),
                Some("unfinished" | "unanswered") => wake = json!({}),
                _ => panic!("{region}: {done}"),
            }
            assert!(Instant::now() < until, "{region}: {done}\n{}", self.aws.ministack().log());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn invoke(&self, region: &str, output: &str, payload: Value) -> Value {
        let region = self.aws.region(region);
        let lambda = &region.clients().lambda;
        let invoke = lambda.invoke().function_name(region.outputs().get(output));
        let answer = invoke.payload(Blob::new(payload.to_string())).send().await.expect("invoked");
        let body = answer.payload.map(Blob::into_inner).unwrap_or_default();
        assert!(answer.function_error.is_none(), "{output}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or_default()
    }

    pub(crate) fn v1(&self, region: &str) -> aws_sdk_ses::Client {
        aws_sdk_ses::Client::new(&clients::patient(&self.ses.endpoint(), region))
    }

    pub(crate) fn v2(&self, region: &str) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::new(&clients::patient(&self.ses.endpoint(), region))
    }
}

/// As the template would with `ReceiptRules=mailroom`, which no local CloudFormation takes.
async fn with_rule_set(region: &Regional) {
    let lambda = &region.clients().lambda;
    let function = region.outputs().get("AuditFunctionName");
    let told = lambda.get_function_configuration().function_name(function).send().await.expect("told");
    let mut variables = told.environment.and_then(|environment| environment.variables).unwrap_or_default();
    variables.insert("RULE_SET".to_owned(), RULE_SET.to_owned());
    let environment = Environment::builder().set_variables(Some(variables)).build();
    let update = lambda.update_function_configuration().function_name(function).environment(environment);
    update.send().await.expect("changed");
}

/// Each Region's own: records of several would be one too many.
pub(crate) fn mail_from(region: &str) -> String {
    format!("bounce-{region}.{DOMAIN}")
}

fn policy(region: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Sid": "Agency",
        "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
        "Action": ["ses:SendEmail", "ses:SendRawEmail"],
        "Resource": format!("arn:aws:ses:{region}:{ACCOUNT}:identity/{DOMAIN}"),
    }] })
    .to_string()
}

fn sends() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*" },
    ] })
}
