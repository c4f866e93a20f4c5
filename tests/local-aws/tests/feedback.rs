//! The feedback function's own binary: through the whole stack, and alone under a Runtime API, against a DynamoDB that
//! fails in every way that the proxy knows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use local_aws::clients::ACCOUNT;
use local_aws::proxy::{Action, Failure, Matcher, Moment, Rule};
use local_aws::runtime_api::{Outcome, Sandbox, Spec};
use local_aws::samples::{Sample, hard_bounce};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, paths};
use serde_json::{Value, json};

const REGION: &str = "us-east-1";

fn writes() -> Matcher {
    Matcher::operation("dynamodb", "BatchWriteItem")
}

/// A stack with waiting times that a test can wait for.
async fn stack() -> LocalAws {
    let mut aws = LocalAws::start().await.expect("a local AWS");
    let deployment = Deployment::new("mailroom").parameter("Suppression", "off").parameter("Timings", "fast");
    aws.deploy(&deployment, &[REGION]).await.expect("a stack");
    aws
}

fn bounce(n: usize, address: &str) -> String {
    hard_bounce(REGION, &format!("{n:06}"), address, "2026-11-23T09:15:27.123Z")
}

fn address(n: usize) -> String {
    format!("user{n}@example.com")
}

fn bounces(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|n| bounce(n, &address(n))).collect()
}

/// An SQS event with raw delivery; message `n` has the id `id-n`.
fn batch<B: AsRef<str>>(bodies: impl IntoIterator<Item = B>) -> Value {
    let record = |(n, body): (usize, B)| {
        json!({"eventSource": "aws:sqs", "messageId": format!("id-{n}"), "body": body.as_ref(),
               "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:feedback")})
    };
    json!({ "Records": bodies.into_iter().enumerate().map(record).collect::<Vec<_>>() })
}

/// The function's own binary, writing to a stack's table through the proxy.
async fn sandbox(aws: &LocalAws, timeout: Duration) -> Sandbox {
    Sandbox::start(spec(aws, ACCOUNT).timeout(timeout)).await.expect("the function starts")
}

fn spec(aws: &LocalAws, account: &str) -> Spec {
    Spec::new(paths::binary("feedback"), REGION)
        .endpoint(aws.proxy().endpoint())
        .variable("ACCOUNT_ID", account)
        .variable("DEAD_LETTER_QUEUE_URL", aws.region(REGION).outputs().get("FeedbackDeadLetterQueueUrl"))
        .variable("FEEDBACK_TOPIC_ARN", format!("arn:aws:sns:{REGION}:{account}:local-feedback"))
        .variable("KINDS_NOT_STORED", "")
        .variable("RETENTION_DAYS", "400")
        .variable("SOFT_BOUNCES", "off")
        .variable("TABLE_NAME", aws.region(REGION).outputs().get("TableName"))
}

fn failures(outcome: Outcome) -> BTreeSet<String> {
    let response = outcome.response().expect("a response");
    let failures = response["batchItemFailures"].as_array().expect("batchItemFailures").clone();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().expect("an id").to_owned()).collect()
}

async fn addresses(region: &Regional) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for item in region.items().await.expect("a scan") {
        *seen.entry(item["address"].as_str().expect("an address").to_owned()).or_default() += 1;
    }
    seen
}

fn once(numbers: impl IntoIterator<Item = usize>) -> BTreeMap<String, usize> {
    numbers.into_iter().map(|n| (address(n), 1)).collect()
}

/// The messages in the dead-letter queue, out of SNS's envelope.
async fn dead_messages(region: &Regional) -> Vec<String> {
    let bodies = region.dead_letters().await.expect("dead letters");
    let message = |body: &String| {
        let envelope: Value = serde_json::from_str(body).unwrap_or_default();
        envelope["Message"].as_str().map_or_else(|| body.clone(), str::to_owned)
    };
    let mut messages: Vec<_> = bodies.iter().map(message).collect();
    messages.sort();
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_notifications_every_event_is_recorded_once_and_every_poison_kept() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let poison: Vec<String> = (0..10).map(|n| format!("this is no JSON: {n:02}")).collect();
    let mut messages = bounces(0..990);
    // Every tenth of them is told again, one to five times; the first hundred multiples of ten are below 990.
    for n in (0..990).step_by(10) {
        messages.extend(std::iter::repeat_n(bounce(n, &address(n)), 1 + n / 10 % 5));
    }
    messages.extend(poison.iter().cloned());
    fastrand::Rng::with_seed(7).shuffle(&mut messages);

    region.publish_all(&messages).await.expect("published");
    region.wait_until_idle(Duration::from_mins(3)).await.expect("all processed");

    assert_eq!(addresses(region).await, once(0..990));
    assert_eq!(dead_messages(region).await, poison);
    let depth = region.queues().await.expect("queues")["FeedbackSubscriptionDeadLetterQueue"];
    assert_eq!(depth.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dynamodb_in_trouble_loses_nothing() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let proxy = aws.proxy();
    let troubles = [
        (Action::Fail(Failure::throughput_exceeded()), 0.10),
        (Action::Fail(Failure::internal_error()), 0.10),
        (Action::Cut, 0.05),
        (Action::Hang, 0.02),
        (Action::AnswerThenFail(Failure::internal_error()), 0.05),
        (Action::AnswerThenCut, 0.05),
        (Action::Unprocessed { keep: 1 }, 0.30),
        (Action::Unprocessed { keep: 0 }, 0.10),
    ];
    let rules: Vec<_> = (1..)
        .zip(troubles)
        .map(|(seed, (action, chance))| proxy.rule(Rule::new(writes(), action).chance(chance, seed)))
        .collect();
    let mut messages = bounces(0..300);
    messages.extend((0..3).map(|n| format!("poison {n}")));
    fastrand::Rng::with_seed(11).shuffle(&mut messages);

    region.publish_all(&messages).await.expect("published");
    region.wait_until_idle(Duration::from_secs(200)).await.expect("all processed");

    assert_eq!(addresses(region).await, once(0..300));
    assert_eq!(dead_messages(region).await, ["poison 0", "poison 1", "poison 2"]);
    let acted: u64 = rules.into_iter().map(|rule| proxy.acted(rule)).sum();
    assert!(acted > 10, "only {acted} calls met with trouble: this has tested nothing");
}

/// What is not durable when time is up comes back; nothing else does. Poison does not wait for the table.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_is_acknowledged_before_its_records_are_durable() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let ids = |numbers: &mut dyn Iterator<Item = usize>| {
        numbers.map(|n| format!("id-{n}")).collect::<BTreeSet<_>>()
    };
    let mut bodies = bounces(0..30);
    bodies.push("poison".to_owned());
    bodies.push("Successfully validated SNS topic for Amazon SES event publishing.".to_owned());
    let event = batch(&bodies);
    let never = [
        Action::Fail(Failure::throttling()),
        Action::Fail(Failure::bare(503)),
        Action::Fail(Failure::access_denied()),
        Action::Hang,
        Action::Cut,
        Action::Unprocessed { keep: 0 },
    ];
    for action in never {
        let name = format!("{action:?}");
        let rule = aws.proxy().rule(Rule::new(writes(), action));
        let sandbox = sandbox(&aws, Duration::from_secs(4)).await;
        let failed = failures(sandbox.invoke(&event).await);
        assert_eq!(failed, ids(&mut (0..30)), "{name}");
        assert!(addresses(region).await.is_empty(), "{name}");
        aws.proxy().remove(rule);
    }

    // One of the two calls is refused for good: exactly the messages of that one come back, 25 or 5 of them.
    let rule = aws.proxy().rule(Rule::new(writes(), Action::Fail(Failure::access_denied())).nth(1));
    let sandbox = sandbox(&aws, Duration::from_secs(10)).await;
    let failed = failures(sandbox.invoke(&event).await);
    let written = addresses(region).await;
    let missing = (0..30).filter(|n| !written.contains_key(&address(*n)));
    assert_eq!(failed, missing.map(|n| format!("id-{n}")).collect());
    assert!([5, 25].contains(&written.len()), "{}", written.len());
    aws.proxy().remove(rule);

    // Some are left unprocessed: the rest of the call is sent again, in the same invocation.
    let rule = aws.proxy().rule(Rule::new(writes(), Action::Unprocessed { keep: 3 }).first(1));
    assert!(failures(sandbox.invoke(&event).await).is_empty());
    assert_eq!(aws.proxy().acted(rule), 1);
    assert_eq!(addresses(region).await, once(0..30));

    // An answer that is lost after the effect: written again, to no effect.
    let rule = aws.proxy().rule(Rule::new(writes(), Action::AnswerThenCut).first(2));
    assert!(failures(sandbox.invoke(&event).await).is_empty());
    assert_eq!(aws.proxy().acted(rule), 2);
    assert_eq!(addresses(region).await, once(0..30));
    // A dead letter for each of the nine invocations.
    assert_eq!(dead_messages(region).await, ["poison"; 9]);
}

/// Poison is given up only once it lies in the dead-letter queue, with the reason beside it, as it came.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_says_why_and_is_sent_before_its_message_is_acknowledged() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let sandbox = sandbox(&aws, Duration::from_secs(4)).await;
    let event =
        batch([bounce(0, &address(0)), "{\"Type\": \"Notification\", \"Message\":\t\"ä\"}".to_owned()]);
    let sends = Matcher::operation("sqs", "SendMessage");
    for action in [Action::Fail(Failure::access_denied()), Action::Fail(Failure::bare(503)), Action::Cut] {
        let rule = aws.proxy().rule(Rule::new(sends.clone(), action));
        assert_eq!(failures(sandbox.invoke(&event).await), BTreeSet::from(["id-1".to_owned()]));
        assert!(aws.proxy().acted(rule) > 0);
        aws.proxy().remove(rule);
    }
    assert!(region.dead_letters().await.expect("dead letters").is_empty());
    assert!(failures(sandbox.invoke(&event).await).is_empty());

    let url = region.outputs().get("FeedbackDeadLetterQueueUrl");
    let receive = region.clients().sqs.receive_message().queue_url(url).message_attribute_names("All");
    let received = receive.send().await.expect("a dead letter").messages.unwrap_or_default();
    let [letter] = &received[..] else { panic!("{received:?}") };
    assert_eq!(letter.body(), event["Records"][1]["body"].as_str());
    let attributes = letter.message_attributes().expect("attributes");
    assert_eq!(attributes["Field"].string_value(), Some("Message"));
    assert_eq!(attributes["Reason"].string_value(), Some("not JSON"));
}

/// DynamoDB refuses all 25 writes of a call for one that it does not like.
#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_dynamodb_refuses_costs_only_its_own_message() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let sandbox = sandbox(&aws, Duration::from_secs(20)).await;
    let event = batch(bounces(0..8));
    // The first call and the halves that hold the odd one: 8, 4, 2 and 1 writes.
    let rule = aws.proxy().rule(Rule::new(writes(), Action::Fail(Failure::validation())).first(4));
    let failed = failures(sandbox.invoke(&event).await);
    assert_eq!((failed.len(), aws.proxy().acted(rule)), (1, 4));
    assert_eq!(addresses(region).await.len(), 7);
    aws.proxy().clear_rules();
    assert!(failures(sandbox.invoke(&event).await).is_empty());
    assert_eq!(addresses(region).await, once(0..8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_killed_at_any_request_leaves_nothing_that_redelivery_does_not_mend() {
    let aws = stack().await;
    let region = aws.region(REGION);
    let requests = 3;
    let mut expected = 0;
    for n in 1..=requests {
        for moment in [Moment::Before, Moment::After] {
            let numbers = expected..expected + 60;
            expected += 60;
            let event = batch(bounces(numbers.clone()));
            let killed = sandbox(&aws, Duration::from_secs(20)).await;
            let rule = killed.kill_at(aws.proxy(), writes(), n, moment);
            let outcome = killed.invoke(&event).await;
            assert!(matches!(outcome, Outcome::Exited(_)), "{n} {moment:?}: {outcome:?}");
            aws.proxy().remove(rule);
            let again = sandbox(&aws, Duration::from_secs(20)).await;
            assert!(failures(again.invoke(&event).await).is_empty());
            assert_eq!(addresses(region).await, once(0..expected), "killed {moment:?} request {n}");
        }
    }
}

/// The floor: 25 records are one call, and there is no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_n_bounces_costs_a_call_for_every_25() {
    let aws = stack().await;
    let sandbox = sandbox(&aws, Duration::from_secs(20)).await;
    for n in [1, 10, 24, 25, 26, 50, 60, 100, 1000] {
        aws.proxy().forget();
        // Every event told twice: what is in a batch twice is written once.
        let event = batch(bounces(0..n).into_iter().chain(bounces(0..n)));
        assert!(failures(sandbox.invoke(&event).await).is_empty());
        assert_eq!(aws.proxy().count(&Matcher::any()), n.div_ceil(25), "{n} bounces");
        assert_eq!(aws.proxy().count(&writes()), n.div_ceil(25), "{n} bounces");
    }
}

/// What `mailroom normalize` prints for a sample, as the table would hold it: without nulls.
fn normalized(sample: &Sample) -> Vec<Value> {
    let output = Command::new(paths::binary("mailroom"))
        .arg("normalize")
        .arg(paths::samples("feedback").join(format!("{}.json", sample.name)))
        .output()
        .expect("the build of `mailroom`: `make local`");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| without_nulls(serde_json::from_str(line).expect("JSON"))).collect()
}

fn without_nulls(mut record: Value) -> Value {
    record.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    record
}

/// One code path: the records that the operator's tool prints are those that the function writes, attribute by
/// attribute; and its log has no address in it.
#[tokio::test(flavor = "multi_thread")]
async fn every_sample_is_written_as_the_tool_prints_it_and_logged_without_addresses() {
    let aws = stack().await;
    let region = aws.region(REGION);
    // The samples speak of this account.
    let function = Sandbox::start(spec(&aws, "123456789012")).await.expect("the function starts");
    let samples = Sample::load_all(&paths::samples("feedback")).expect("samples");
    assert!(samples.len() > 90, "{}", samples.len());
    let not_ours = ["malformed-another-account", "malformed-another-region", "malformed-foreign-topic"];
    let mut expected: BTreeMap<String, Value> = BTreeMap::new();
    let mut letters = 0;
    let key = |item: &Value| format!("{} {}", item["pk"], item["sk"]);
    for sample in &samples {
        let foreign = not_ours.contains(&sample.name.as_str()) || sample.name.contains("unidentified");
        let records = if foreign { Vec::new() } else { normalized(sample) };
        expected.extend(records.into_iter().map(|record| (key(&record), record)));
        let outcome = function.invoke(&sample.event).await;
        assert_eq!(outcome, Outcome::Response(json!({"batchItemFailures": []})), "{}", sample.name);
        letters += match sample.name.as_str() {
            "batch-good-and-bad" => 2,
            name => usize::from(name.contains("malformed")),
        };
    }
    assert_eq!(region.dead_letters().await.expect("dead letters").len(), letters);
    let written: BTreeMap<String, Value> =
        region.items().await.expect("a scan").into_iter().map(|item| (key(&item), item)).collect();
    for (key, record) in &expected {
        assert_eq!(written.get(key), Some(record), "{key}");
    }
    assert_eq!(written.len(), expected.len());

    let told = function.printed("can never be processed", 12, Duration::from_secs(20)).await;
    let output = function.output();
    assert!(told, "{output:#?}");
    let addresses: BTreeSet<&str> = written
        .values()
        .flat_map(|record| [record["recipient"].as_str(), record["address"].as_str()])
        .flatten()
        .collect();
    for line in &output {
        assert!(!line.contains('@'), "an address in a log line: {line}");
        assert!(!addresses.iter().any(|address| line.contains(address)), "{line}");
    }
}
