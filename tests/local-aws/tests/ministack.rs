//! ministack's process: it comes up on the loopback alone, deploys, runs functions through the proxy, and goes.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use local_aws::local::LocalError;
use local_aws::proxy::{Action, Failure, Matcher, Rule};
use local_aws::stack::{Deployment, StackError};
use local_aws::{LocalAws, group_members};
use tempfile::TempDir;

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

/// The real one's skeleton, with its outputs: topic, queue, function, table.
const TEMPLATE: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Architecture: { Type: String, Default: arm64 }
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: { TopicName: !Sub "${AWS::StackName}-feedback" }
  DeadLetters: { Type: AWS::SQS::Queue }
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1
      RedrivePolicy: { deadLetterTargetArn: !GetAtt DeadLetters.Arn, maxReceiveCount: 1 }
  Subscription:
    Type: AWS::SNS::Subscription
    Properties: { TopicArn: !Ref Topic, Protocol: sqs, Endpoint: !GetAtt Queue.Arn }
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }, { AttributeName: sk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }, { AttributeName: sk, KeyType: RANGE }]
  Function:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/toy
      Handler: bootstrap
      Runtime: provided.al2023
      Architectures: [!Ref Architecture]
      Environment: { Variables: { TABLE_NAME: !Ref Table } }
  Mapping:
    Type: AWS::Lambda::EventSourceMapping
    Properties:
      FunctionName: !Ref Function
      EventSourceArn: !GetAtt Queue.Arn
      FunctionResponseTypes: [ReportBatchItemFailures]
Outputs:
  FeedbackTopicArn: { Value: !Ref Topic }
  FeedbackQueueUrl: { Value: !Ref Queue }
  FeedbackDeadLetterQueueUrl: { Value: !Ref DeadLetters }
  TableName: { Value: !Ref Table }
"#;

/// Puts an item for each message, by hand-signed calls; a message that says "poison" fails.
const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, urllib.request

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
region = os.environ["AWS_REGION"]
while True:
    with urllib.request.urlopen(api + "next") as given:
        request, event = given.headers["Lambda-Runtime-Aws-Request-Id"], json.load(given)
    failed = []
    for record in event["Records"]:
        text = json.loads(record["body"])["Message"]
        item = {"pk": {"S": "TEXT#" + text}, "sk": {"S": region}, "length": {"N": str(len(text))}}
        call = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"],
            data=json.dumps({"TableName": os.environ["TABLE_NAME"], "Item": item}).encode(),
            headers={"X-Amz-Target": "DynamoDB_20120810.PutItem", "Content-Type": "application/x-amz-json-1.0",
                     "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/%s/dynamodb/aws4_request, "
                                      "SignedHeaders=host, Signature=0" % region})
        try:
            if text == "poison":
                raise OSError
            urllib.request.urlopen(call)
        except OSError:
            failed.append({"itemIdentifier": record["messageId"]})
    answer = json.dumps({"batchItemFailures": failed}).encode()
    urllib.request.urlopen(urllib.request.Request(api + request + "/response", data=answer, method="POST"))
"#;

fn toy() -> (TempDir, Deployment) {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    let bootstrap = write("toy", BOOTSTRAP);
    std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let mut deployment = Deployment::new("toy").binary("toy", bootstrap);
    deployment.template = write("template.yaml", TEMPLATE);
    (folder, deployment)
}

/// The sockets that members of a group listen on, from `/proc/net/tcp*` and their open files.
fn listening(group: u32) -> Vec<String> {
    let mut sockets = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(3) == Some(&"0A") {
                sockets.insert(format!("socket:[{}]", fields[9]), fields[1].to_owned());
            }
        }
    }
    let open = |member: u32| std::fs::read_dir(format!("/proc/{member}/fd")).into_iter().flatten().flatten();
    let links = group_members(group)
        .into_iter()
        .flat_map(open)
        .filter_map(|file| std::fs::read_link(file.path()).ok());
    links.filter_map(|link| sockets.get(Path::to_str(&link)?).cloned()).collect()
}

async fn wait_for_end(group: u32) {
    for _ in 0..500 {
        if group_members(group).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left: {:?}", group_members(group));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_through_topic_queue_function_and_proxy_into_each_regions_table() {
    let (_folder, deployment) = toy();
    let mut aws = LocalAws::start().await.expect("ministack");
    aws.deploy(&deployment, &REGIONS).await.expect("two stacks");
    let group = aws.ministack().process_group();

    aws.proxy().rule(Rule::new(
        Matcher::service("dynamodb").in_region("eu-west-1"),
        Action::Fail(Failure::internal_error()),
    ));
    for region in aws.regions() {
        region.publish_all(["one", "two", "poison"]).await.expect("published");
    }
    for region in aws.regions() {
        region.wait_until_idle(Duration::from_secs(30)).await.expect("done");
    }

    let found = aws.region("us-east-1").items().await.expect("a table");
    let mut keys: Vec<&str> = found.iter().filter_map(|item| item["pk"].as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["TEXT#one", "TEXT#two"]);
    assert_eq!(found[0]["length"], 3);
    assert_eq!(aws.region("eu-west-1").items().await.expect("a table"), [0; 0]);

    for (region, letters) in [("us-east-1", 1), ("eu-west-1", 3)] {
        let region = aws.region(region);
        assert_eq!(region.dead_letters().await.expect("a queue").len(), letters);
        // They are still there.
        assert_eq!(
            region.queues().await.expect("queues")["FeedbackDeadLetterQueue"].visible,
            u32::try_from(letters).expect("few")
        );
    }
    assert_eq!(aws.proxy().count(&Matcher::operation("dynamodb", "PutItem").in_region("us-east-1")), 2);
    assert_eq!(aws.proxy().count(&Matcher::operation("dynamodb", "PutItem").in_region("eu-west-1")), 2);

    // With bootstraps running, nothing of it listens elsewhere than on 127.0.0.1.
    let sockets = listening(group);
    assert!(group_members(group).len() >= 3 && !sockets.is_empty());
    assert!(sockets.iter().all(|socket| socket.starts_with("0100007F:")), "{sockets:?}");

    drop(aws);
    wait_for_end(group).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_that_fails_says_which_resource_and_why() {
    let (folder, mut deployment) = toy();
    deployment.template = folder.path().join("broken.yaml");
    // A change set is made of it; the stack fails.
    let broken = TEMPLATE.replace("!GetAtt Queue.Arn }", "!GetAtt Queue.Nothing }");
    std::fs::write(&deployment.template, broken).expect("written");
    let mut aws = LocalAws::start().await.expect("ministack");
    let error = aws.deploy(&deployment, &["us-east-1"]).await.expect_err("no such attribute");
    assert!(matches!(&error, LocalError::Stack(StackError::Failed { .. })), "{error}");
    assert!(error.to_string().contains("Subscription AWS::SNS::Subscription CREATE_FAILED"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_was_not_built_is_named() {
    let (_folder, mut deployment) = toy();
    deployment.binaries.clear();
    let error = deployment.package().expect_err("nobody builds it");
    assert!(error.to_string().ends_with("debug/toy is not there; `make local` makes it"), "{error}");
}
