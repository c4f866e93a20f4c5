//! What CloudFormation cannot set up: by the template and the local CloudFormation, which creates, updates and deletes; and by
//! the function's own binary, killed at each of its requests.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_sesv2::types::{SuppressionConditionThreshold, SuppressionValidationAttributes};
use futures_util::{StreamExt, stream};
use local_aws::clients::{self, ACCOUNT};
use local_aws::proxy::{Matcher, Moment, Proxy};
use local_aws::runtime_api::{Outcome, Sandbox, Spec};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, paths};
use local_ses::{Config, LocalSes};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const REGION: &str = "us-east-1";
const DOMAIN: &str = "example.com";
const ADDRESS: &str = "sender@example.org";
const RULE_SET: &str = "mailroom-inbound";

/// At a time.
const PARALLEL: usize = 8;

/// An SES with two identities, and what there is to see of it.
struct Account {
    ses: LocalSes,
    v1: aws_sdk_ses::Client,
    v2: aws_sdk_sesv2::Client,
}

impl Account {
    /// Without a local AWS yet: a stack makes the topics, which must let SES in. With one: the test does.
    async fn start(aws: Option<&LocalAws>) -> Self {
        // The pace is the function's own, and tested with it.
        let config = Config {
            account: ACCOUNT.to_owned(),
            pace: None,
            needs_permission: aws.is_none(),
            ..Config::default()
        };
        let ses = LocalSes::start(config).await.expect("a local SES");
        let config = clients::config(&ses.endpoint(), REGION);
        let account =
            Self { ses, v1: aws_sdk_ses::Client::new(&config), v2: aws_sdk_sesv2::Client::new(&config) };
        if let Some(aws) = aws {
            account.ses.connect(&aws.ministack().endpoint());
        }
        for identity in [DOMAIN, ADDRESS] {
            account.ses.verified(REGION, identity).expect("made");
        }
        let condition = SuppressionConditionThreshold::builder();
        let condition = condition.condition_threshold_enabled("ENABLED".into()).build().unwrap();
        let validation = SuppressionValidationAttributes::builder().condition_threshold(condition).build();
        account
            .v2
            .put_account_suppression_attributes()
            .suppressed_reasons("COMPLAINT".into())
            .validation_attributes(validation)
            .send()
            .await
            .unwrap();
        account
    }

    /// By SES's own API: the active rule set, the reasons and what is set with them, and topics and forwarding by identity.
    async fn state(&self) -> Value {
        let active = self.v1.describe_active_receipt_rule_set().send().await.unwrap();
        let attributes = self.v2.get_account().send().await.unwrap().suppression_attributes.unwrap();
        let reasons: Vec<_> =
            attributes.suppressed_reasons().iter().map(|reason| reason.as_str().to_owned()).collect();
        let told = self.v1.get_identity_notification_attributes().identities(DOMAIN).identities(ADDRESS);
        let told = told.send().await.unwrap().notification_attributes;
        let identity = |name: &str| {
            json!([told[name].bounce_topic, told[name].complaint_topic, told[name].forwarding_enabled])
        };
        json!({
            "active": active.metadata.and_then(|metadata| metadata.name),
            "reasons": reasons,
            "validation": format!("{:?}", attributes.validation_attributes),
            DOMAIN: identity(DOMAIN),
            ADDRESS: identity(ADDRESS),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_is_made_changed_and_deleted() {
    let account = Account::start(None).await;
    let services = ["SES", "SESV2"];
    let environment = services.map(|name| (format!("AWS_ENDPOINT_URL_{name}"), account.ses.endpoint()));
    let mut aws = LocalAws::start_with(BTreeMap::from(environment)).await.expect("a local AWS");
    account.ses.connect(&aws.ministack().endpoint());
    let before = account.state().await;
    let parameters = [("Receiving", "off"), ("Suppression", "off"), ("RequestsPerSecond", "20")];
    let deployment = parameters
        .iter()
        .fold(Deployment::new("mailroom"), |deployment, (name, value)| deployment.parameter(name, *value));
    let deployment =
        deployment.parameter("Identities", DOMAIN).parameter("SuppressionReasons", "BOUNCE,COMPLAINT");
    aws.deploy(&deployment, &[REGION])
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", aws.ministack().log()));
    let stack = aws.region(REGION);
    let topic = stack.outputs().get("FeedbackTopicArn");
    assert!(stack.outputs().has("SetupFunctionName"));
    let mut expected = before.clone();
    expected["reasons"] = json!(["BOUNCE", "COMPLAINT"]);
    expected[DOMAIN] = json!([topic, topic, false]);
    assert_eq!(account.state().await, expected);

    // Refused, since another topic is told of it: rolled back, and nothing is changed.
    let v1 = &account.v1;
    let theirs = stack.clients().sns.create_topic().name("theirs").send().await.unwrap().topic_arn.unwrap();
    let told = async |topic: Option<&str>| {
        let set = v1.set_identity_notification_topic().identity(ADDRESS).notification_type("Bounce".into());
        set.set_sns_topic(topic.map(str::to_owned)).send().await.unwrap();
    };
    let architecture = deployment.parameters["Architecture"].as_str();
    let update = async |identities: &str, reasons: &str| {
        let changed =
            [("Architecture", architecture), ("Identities", identities), ("SuppressionReasons", reasons)];
        let parameters = parameters
            .iter()
            .chain(&changed)
            .map(|(name, value)| Parameter::builder().parameter_key(*name).parameter_value(*value).build());
        let update = stack.clients().cloudformation.update_stack().stack_name("mailroom");
        let update =
            update.capabilities(Capability::CapabilityIam).capabilities(Capability::CapabilityAutoExpand);
        let update = update.use_previous_template(true).set_parameters(Some(parameters.collect()));
        update.send().await.unwrap();
    };
    told(Some(&theirs)).await;
    expected[ADDRESS][0] = json!(theirs);
    update(&format!("{DOMAIN},{ADDRESS}"), "BOUNCE,COMPLAINT").await;
    settled(&aws, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(account.state().await, expected);
    told(None).await;

    // Another identity, and the reasons are to be as they were.
    update(ADDRESS, "leave").await;
    settled(&aws, "UPDATE_COMPLETE").await;
    let mut expected = before.clone();
    expected[ADDRESS] = json!([topic, topic, false]);
    assert_eq!(account.state().await, expected);

    stack.clients().cloudformation.delete_stack().stack_name("mailroom").send().await.unwrap();
    settled(&aws, "DELETE_COMPLETE").await;
    assert_eq!(account.state().await, before);
}

/// Waits until the stack is like that; one that has gone is deleted.
async fn settled(aws: &LocalAws, status: &str) {
    let until = Instant::now() + Duration::from_mins(5);
    let cloudformation = &aws.region(REGION).clients().cloudformation;
    loop {
        let seen = cloudformation.describe_stacks().stack_name("mailroom").send().await;
        let is = seen.ok().and_then(|seen| Some(seen.stacks?.pop()?.stack_status?.as_str().to_owned()));
        let is = is.unwrap_or_else(|| "DELETE_COMPLETE".to_owned());
        if is == status {
            return;
        }
        let going_on = !is.contains("FAILED");
        assert!(going_on && Instant::now() < until, "{is}, not {status}\n{}", aws.ministack().log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Where CloudFormation would wait: takes answers.
struct Waiting {
    url: String,
    answers: Arc<Mutex<Vec<Value>>>,
}

impl Waiting {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/answer?X-Amz-Signature=secret", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&answers);
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                let answer: Value = loop {
                    let read = connection.read(&mut buffer).await.unwrap();
                    request.extend_from_slice(&buffer[..read]);
                    let text = String::from_utf8_lossy(&request).into_owned();
                    let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
                    if let Some(Ok(answer)) = body.map(serde_json::from_str) {
                        assert!(
                            text.starts_with("PUT /answer?X-Amz-Signature=secret HTTP/1.1\r\n"),
                            "{text}"
                        );
                        break answer;
                    }
                    assert_ne!(read, 0, "cut off: {text}");
                };
                kept.lock().unwrap().push(answer);
                let done = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                connection.write_all(done).await.unwrap();
            }
        });
        Self { url, answers }
    }

    /// The answers to a request.
    fn answers(&self, id: &str) -> Vec<Value> {
        let answers = self.answers.lock().unwrap();
        answers.iter().filter(|answer| answer["RequestId"] == id).cloned().collect()
    }
}

/// An account, a table and a stack, as far as the function knows them.
struct Place {
    account: Account,
    proxy: Proxy,
    waiting: Waiting,
    table: String,
    topics: [String; 2],
}

impl Place {
    async fn new(aws: &LocalAws, number: &str) -> Self {
        let account = Account::start(Some(aws)).await;
        let proxy = Proxy::start().await.expect("a proxy");
        proxy.forward_to(aws.ministack().address());
        let address = account.ses.endpoint();
        proxy.route(Matcher::service("ses"), address.trim_start_matches("http://").parse().unwrap());
        let clients = local_aws::clients::Clients::new(&aws.ministack().endpoint(), REGION);
        let table = format!("table-{number}");
        let mut create = clients.dynamodb.create_table().table_name(&table);
        for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let key = KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
            let attribute = AttributeDefinition::builder().attribute_name(name);
            let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
            create = create.key_schema(key).attribute_definitions(attribute);
        }
        create.billing_mode(BillingMode::PayPerRequest).send().await.unwrap();
        let mut topics = Vec::new();
        for name in ["ours", "theirs"] {
            let topic = clients.sns.create_topic().name(format!("{name}-{number}")).send().await.unwrap();
            topics.push(topic.topic_arn.unwrap());
        }
        let place = Self {
            account,
            proxy,
            waiting: Waiting::start().await,
            table,
            topics: topics.try_into().unwrap(),
        };
        place.belong_to_others().await;
        place
    }

    /// Another rule set is active, and one identity's bounces are somebody else's.
    async fn belong_to_others(&self) {
        let v1 = &self.account.v1;
        for name in [RULE_SET, "theirs"] {
            v1.create_receipt_rule_set().rule_set_name(name).send().await.unwrap();
        }
        v1.set_active_receipt_rule_set().rule_set_name("theirs").send().await.unwrap();
        let set = v1.set_identity_notification_topic().identity(DOMAIN).notification_type("Bounce".into());
        set.sns_topic(&self.topics[1]).send().await.unwrap();
    }

    async fn sandbox(&self) -> Sandbox {
        let spec = Spec::new(paths::binary("setup"), REGION)
            .endpoint(self.proxy.endpoint())
            .timeout(Duration::from_mins(2))
            .variable("ACCOUNT_ID", ACCOUNT)
            .variable("TABLE_NAME", self.table.as_str())
            .variable("REQUESTS_PER_SECOND", "50");
        Sandbox::start(spec).await.expect("the function starts")
    }

    fn request(&self, kind: &str, foreign: &str, active: &str) -> Value {
        json!({
            "RequestType": kind,
            "ResponseURL": self.waiting.url,
            "RequestId": format!("{kind}-{foreign}"),
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/mailroom/1",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "LogicalResourceId": "Setup",
            "PhysicalResourceId": "mailroom-setup",
            "OldResourceProperties": {},
            "ResourceProperties": {
                "ServiceTimeout": "3000",
                "Topic": self.topics[0],
                "Identities": [DOMAIN, ADDRESS],
                "ForeignTopics": foreign,
                "RuleSet": RULE_SET,
                "ActiveRuleSet": active,
                "SuppressionReasons": "BOUNCE,COMPLAINT",
            },
        })
    }

    /// Carries a request out, killed at the n-th of its own requests and brought again by Lambda; whether it was.
    async fn carry_out(&self, event: &Value, n: u64, moment: Moment) -> bool {
        let sandbox = self.sandbox().await;
        let rule = sandbox.kill_at(&self.proxy, Matcher::any(), n, moment);
        let outcome = sandbox.invoke(event).await;
        self.proxy.remove(rule);
        let killed = match outcome {
            Outcome::Response(_) => false,
            Outcome::Exited(_) => {
                let again = self.sandbox().await;
                let outcome = again.invoke(event).await;
                assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}\n{:#?}", again.output());
                true
            }
            other => panic!("{other:?}\n{:#?}", sandbox.output()),
        };
        let output = sandbox.output().join("\n");
        assert!(!output.contains(ADDRESS) && !output.contains("Signature"), "{output}");
        killed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_request() {
    let aws = LocalAws::start().await.expect("a local AWS");
    for moment in [Moment::Before, Moment::After] {
        let live = |n: u64| {
            let aws = &aws;
            async move {
                let place = Place::new(aws, &format!("{moment:?}-{n}")).await;
                let before = place.account.state().await;
                let create = place.request("Create", "replace", "replace");
                let killed = place.carry_out(&create, n, moment).await;
                let [ours, _] = &place.topics;
                let expected = json!({
                    "active": RULE_SET,
                    "reasons": ["BOUNCE", "COMPLAINT"],
                    "validation": before["validation"],
                    DOMAIN: [ours, ours, false],
                    ADDRESS: [ours, ours, false],
                });
                assert_eq!(place.account.state().await, expected, "created, killed at {n}");
                let delete = place.request("Delete", "replace", "replace");
                let again = place.carry_out(&delete, n, moment).await;
                assert_eq!(place.account.state().await, before, "deleted, killed at {n}");
                for request in [create, delete] {
                    let answers = place.waiting.answers(request["RequestId"].as_str().unwrap());
                    assert!(!answers.is_empty(), "{request}");
                    assert!(answers.iter().all(|answer| answer["Status"] == "SUCCESS"), "{answers:?}");
                    assert!(answers.iter().all(|answer| answer["PhysicalResourceId"] == "mailroom-setup"));
                }
                killed || again
            }
        };
        let lives: Vec<_> = stream::iter(1..=30).map(live).buffered(PARALLEL).collect().await;
        let kills = lives.iter().filter(|killed| **killed).count();
        assert!((20..30).contains(&kills), "killed {kills} times: at each request, and not without one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_it_is_cloudformation_is_answered() {
    let aws = LocalAws::start().await.expect("a local AWS");
    let place = Place::new(&aws, "answered").await;
    let before = place.account.state().await;
    let sandbox = place.sandbox().await;
    let mut unreadable = place.request("Create", "keep", "replace");
    unreadable["ResourceProperties"]["Identities"] = json!([ADDRESS, "two words"]);
    for (event, reason) in [
        (
            place.request("Create", "refuse", "activate"),
            "the receipt rule set theirs is active; ActiveRuleSet=replace would replace it".to_owned(),
        ),
        (
            place.request("Update", "refuse", "leave"),
            format!(
                "another topic is told of example.com's bounces: {}; ForeignTopics=replace would replace it",
                place.topics[1]
            ),
        ),
        (unreadable, "property Identities: number 2 is neither an address nor a domain".to_owned()),
    ] {
        let outcome = sandbox.invoke(&event).await;
        assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}\n{:#?}", sandbox.output());
        let answers = place.waiting.answers(event["RequestId"].as_str().unwrap());
        assert_eq!(answers.len(), 1);
        assert_eq!((&answers[0]["Status"], &answers[0]["Reason"]), (&json!("FAILED"), &json!(reason)));
    }
    assert_eq!(place.account.state().await, before);
}
