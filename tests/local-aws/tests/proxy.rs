//! The proxy and its faults, against an upstream of a few lines.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use local_aws::proxy::{Action, Failure, Flow, Matcher, Moment, Proxy, Rule, hook};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An upstream that counts its requests and answers each with an empty JSON object.
async fn upstream() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counter = Arc::clone(&counter);
            tokio::spawn(async move {
                while read_message(&mut stream).await.is_some() {
                    counter.fetch_add(1, Ordering::SeqCst);
                    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}";
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    (address, count)
}

/// Status line with headers, and body, of a message with a length.
async fn read_message(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                let body = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
                return Some((text[..end].to_owned(), body));
            }
        }
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&more[..read]),
        }
    }
}

async fn proxy() -> (Proxy, Arc<AtomicUsize>) {
    let (address, count) = upstream().await;
    let proxy = Proxy::start().await.expect("a port");
    proxy.forward_to(address);
    (proxy, count)
}

/// A signed call; none if the connection ended without an answer.
async fn call(proxy: &Proxy, region: &str, operation: &str, body: &Value) -> Option<(u16, String, Value)> {
    let address = proxy.endpoint();
    let address = address.strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(address).await.expect("the proxy listens");
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nx-amz-target: DynamoDB_20120810.{operation}\r\nauthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/{region}/dynamodb/aws4_request, SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let (head, body) = read_message(&mut stream).await?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Some((status, head, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

async fn status(proxy: &Proxy, operation: &str) -> Option<u16> {
    call(proxy, "eu-west-1", operation, &json!({})).await.map(|(status, ..)| status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_route_goes_there_and_is_counted_and_failed_like_all_others() {
    let (proxy, count) = proxy().await;
    let (elsewhere, routed) = upstream().await;
    let matcher = Matcher::any().in_region("eu-west-1");
    proxy.route(matcher.clone(), elsewhere);
    proxy.rule(Rule::new(matcher, Action::Fail(Failure::internal_error())).nth(2));
    for (region, status) in [("us-east-1", 200), ("eu-west-1", 200), ("eu-west-1", 500), ("us-east-1", 200)] {
        let (answered, ..) = call(&proxy, region, "GetItem", &json!({})).await.expect("an answer");
        assert_eq!(answered, status, "{region}");
    }
    assert_eq!((count.load(Ordering::SeqCst), routed.load(Ordering::SeqCst)), (2, 1));
    assert_eq!(proxy.count(&Matcher::any()), 4);
}

#[tokio::test]
async fn calls_are_counted_by_region_service_and_operation() {
    let (proxy, upstream) = proxy().await;
    for (region, operation) in [("eu-west-1", "PutItem"), ("eu-west-1", "PutItem"), ("us-east-1", "Query")] {
        assert!(call(&proxy, region, operation, &json!({ "n": 1 })).await.is_some());
    }
    let counts: Vec<(String, usize)> =
        proxy.counts().iter().map(|(call, count)| (call.to_string(), *count)).collect();
    assert_eq!(
        counts,
        [("eu-west-1 dynamodb PutItem".to_owned(), 2), ("us-east-1 dynamodb Query".to_owned(), 1)]
    );
    assert_eq!(proxy.count(&Matcher::any().in_region("eu-west-1")), 2);
    assert_eq!(upstream.load(Ordering::SeqCst), 3);
    let log = proxy.log();
    assert_eq!((log[2].number, log[2].status, log[2].forwarded), (3, Some(200), true));
    assert_eq!(log[0].body, r#"{"n":1}"#);
    proxy.forget();
    assert_eq!(status(&proxy, "PutItem").await, Some(200));
    assert_eq!((proxy.log().len(), proxy.log()[0].number, proxy.log()[0].status), (1, 4, Some(200)));
}

#[tokio::test]
async fn a_failure_looks_like_the_services_own_and_stays_here() {
    let (proxy, upstream) = proxy().await;
    let rule = proxy.rule(
        Rule::new(
            Matcher::operation("dynamodb", "BatchWriteItem"),
            Action::Fail(Failure::throughput_exceeded()),
        )
        .first(1),
    );
    let (status, _, body) = call(&proxy, "eu-west-1", "BatchWriteItem", &json!({})).await.expect("an answer");
    assert_eq!(status, 400);
    assert_eq!(body["__type"], "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException");
    assert_eq!(upstream.load(Ordering::SeqCst), 0);
    let (status, ..) = call(&proxy, "eu-west-1", "BatchWriteItem", &json!({})).await.expect("an answer");
    assert_eq!(status, 200);
    assert_eq!(proxy.acted(rule), 1);
    assert_eq!(proxy.log()[0].fault.as_deref(), Some("fail"));
}

#[tokio::test]
async fn the_sdk_reads_a_failure_as_it_would_the_real_one() {
    let (proxy, _) = proxy().await;
    let clients = local_aws::clients::Clients::new(&proxy.endpoint(), "eu-west-1");
    let code_of = async || {
        let once = aws_sdk_dynamodb::config::Builder::new()
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled());
        let answer = clients.dynamodb.list_tables().customize().config_override(once).send().await;
        let error = answer.expect_err("a rule says so").into_service_error();
        aws_sdk_dynamodb::error::ProvideErrorMetadata::code(&error).map(str::to_owned)
    };
    for (failure, code) in [
        (Failure::throughput_exceeded(), "ProvisionedThroughputExceededException"),
        (Failure::throttling(), "ThrottlingException"),
        (Failure::internal_error(), "InternalServerError"),
        (Failure::validation(), "ValidationException"),
    ] {
        let rule = proxy.rule(Rule::new(Matcher::any(), Action::Fail(failure)));
        assert_eq!(code_of().await.as_deref(), Some(code));
        proxy.remove(rule);
    }
}

#[tokio::test]
async fn a_cut_is_no_answer_at_all() {
    let (proxy, upstream) = proxy().await;
    proxy.rule(Rule::new(Matcher::any(), Action::Cut).nth(1));
    proxy.rule(Rule::new(Matcher::any(), Action::AnswerThenCut).nth(2));
    assert_eq!(status(&proxy, "PutItem").await, None);
    assert_eq!(upstream.load(Ordering::SeqCst), 0);
    assert_eq!(status(&proxy, "PutItem").await, None);
    assert_eq!(upstream.load(Ordering::SeqCst), 1, "the second took effect");
    let forwarded: Vec<bool> = proxy.log().iter().map(|exchange| exchange.forwarded).collect();
    assert_eq!(forwarded, [false, true]);
}

#[tokio::test]
async fn an_answer_can_be_turned_into_a_failure_after_the_effect() {
    let (proxy, upstream) = proxy().await;
    proxy.rule(Rule::new(Matcher::any(), Action::AnswerThenFail(Failure::internal_error())));
    assert_eq!(status(&proxy, "PutItem").await, Some(500));
    assert_eq!(upstream.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_delay_delays_and_a_hang_hangs() {
    let (proxy, upstream) = proxy().await;
    proxy.rule(Rule::new(Matcher::any(), Action::Delay(Duration::from_millis(100))).nth(1));
    proxy.rule(Rule::new(Matcher::any(), Action::Hang).nth(2));
    let started = Instant::now();
    assert_eq!(status(&proxy, "PutItem").await, Some(200));
    assert!(started.elapsed() >= Duration::from_millis(100));
    let hanging = tokio::time::timeout(Duration::from_millis(300), status(&proxy, "PutItem")).await;
    assert!(hanging.is_err(), "no answer may come");
    assert_eq!(upstream.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_batch_can_be_left_half_done() {
    let (proxy, upstream) = proxy().await;
    proxy.rule(
        Rule::new(Matcher::operation("dynamodb", "BatchWriteItem"), Action::Unprocessed { keep: 1 }).nth(1),
    );
    proxy.rule(
        Rule::new(Matcher::operation("dynamodb", "BatchWriteItem"), Action::Unprocessed { keep: 0 }).nth(2),
    );
    let batch = json!({ "RequestItems": { "table": ["first", "second"] } });
    let (status, _, body) = call(&proxy, "eu-west-1", "BatchWriteItem", &batch).await.expect("an answer");
    assert_eq!((status, body), (200, json!({ "UnprocessedItems": { "table": ["second"] } })));
    let (_, _, body) = call(&proxy, "eu-west-1", "BatchWriteItem", &batch).await.expect("an answer");
    assert_eq!(body, json!({ "UnprocessedItems": { "table": ["first", "second"] } }));
    assert_eq!(upstream.load(Ordering::SeqCst), 1, "an empty batch is not passed on");
}

#[tokio::test]
async fn hooks_see_the_request_before_and_after_and_may_cut() {
    let (proxy, upstream) = proxy().await;
    for (n, moment) in [(1, Moment::Before), (2, Moment::After)] {
        let counter = Arc::clone(&upstream);
        let hook = hook(move |exchange| {
            let done = counter.load(Ordering::SeqCst);
            assert_eq!(exchange.forwarded, moment == Moment::After);
            assert_eq!(done, usize::from(moment == Moment::After));
            Flow::Cut
        });
        proxy.rule(Rule::new(Matcher::any(), Action::Call(moment, hook)).nth(n));
    }
    assert_eq!(status(&proxy, "PutItem").await, None);
    assert_eq!(upstream.load(Ordering::SeqCst), 0);
    assert_eq!(status(&proxy, "PutItem").await, None);
    assert_eq!(upstream.load(Ordering::SeqCst), 1);
    assert_eq!(status(&proxy, "PutItem").await, Some(200));
}

#[tokio::test]
async fn without_an_upstream_it_says_so() {
    let proxy = Proxy::start().await.expect("a port");
    assert_eq!(status(&proxy, "PutItem").await, Some(503));
}
