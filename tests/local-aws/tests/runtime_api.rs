//! The Runtime API, under a bootstrap written in Python: a function that does what its event says.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use local_aws::proxy::{Matcher, Moment, Proxy};
use local_aws::runtime_api::{Outcome, RuntimeError, Sandbox, Spec};
use serde_json::json;
use tempfile::TempDir;

const BOOTSTRAP: &str = r#"#!/usr/bin/env python3
import json, os, sys, time, urllib.request

api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/"

def post(path, body):
    urllib.request.urlopen(urllib.request.Request(api + path, data=json.dumps(body).encode(), method="POST"))

if os.environ.get("FAIL_INIT"):
    post("init/error", {"errorType": "Init"})
    sys.exit(1)
while True:
    with urllib.request.urlopen(api + "invocation/next") as given:
        headers, event = given.headers, json.load(given)
    request = "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"]
    if event["do"] == "answer":
        print("answering", flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        left = int(headers["Lambda-Runtime-Deadline-Ms"]) / 1000 - time.time()
        post(request + "/response", {
            "name": os.environ["AWS_LAMBDA_FUNCTION_NAME"], "region": os.environ["AWS_REGION"],
            "table": os.environ.get("TABLE_NAME"), "home": os.environ.get("HOME"),
            "arn": headers["Lambda-Runtime-Invoked-Function-Arn"], "seconds_left": round(left)})
    elif event["do"] == "fail":
        post(request + "/error", {"errorType": "Asked"})
    elif event["do"] == "call":
        for n in range(3):
            try:
                urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/%d" % n)
            except urllib.error.HTTPError:
                pass
        post(request + "/response", "called")
    elif event["do"] == "exit":
        sys.exit(3)
    elif event["do"] == "sleep":
        time.sleep(600)
"#;

const START: Duration = Duration::from_secs(20);

fn bootstrap() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bootstrap");
    std::fs::write(&path, BOOTSTRAP).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
    (folder, path)
}

async fn sandbox(change: impl FnOnce(Spec) -> Spec) -> (TempDir, Sandbox) {
    let (folder, path) = bootstrap();
    let path_of_tests = std::env::var("PATH").unwrap_or_default();
    let spec = change(Spec::new(path, "eu-west-1").variable("PATH", path_of_tests));
    (folder, Sandbox::start(spec).await.expect("Python 3"))
}

#[tokio::test]
async fn it_gives_events_and_takes_responses_and_errors() {
    let (_folder, sandbox) = sandbox(|spec| spec.variable("TABLE_NAME", "the-table")).await;
    let answer = sandbox.invoke(&json!({ "do": "answer" })).await.response().expect("a response");
    assert_eq!(
        answer,
        json!({
            "name": "function", "region": "eu-west-1", "table": "the-table", "home": null, "seconds_left": 30,
            "arn": "arn:aws:lambda:eu-west-1:000000000000:function:function"
        })
    );
    assert_eq!(
        sandbox.invoke(&json!({ "do": "fail" })).await,
        Outcome::Error(json!({ "errorType": "Asked" }))
    );
    // It lives on.
    assert!(sandbox.invoke(&json!({ "do": "answer" })).await.response().is_some());
    let (poll, response) = (sandbox.first_poll().expect("one"), sandbox.first_response().expect("one"));
    assert!(poll.cpu > Duration::ZERO && poll.cpu < response.cpu, "{poll:?} {response:?}");
    assert!(poll.elapsed < response.elapsed && response.peak_memory > 1_000_000);
    assert!(sandbox.last_response().expect("one").cpu > response.cpu);
    sandbox.killer().kill();
    sandbox.wait().await;
    let mut output = sandbox.output();
    output.sort();
    assert_eq!(output, ["answering", "answering", "to stderr", "to stderr"]);
}

#[tokio::test]
async fn an_end_is_told_as_it_was() {
    let (_folder, sandbox) = sandbox(|spec| spec).await;
    assert_eq!(sandbox.invoke(&json!({ "do": "exit" })).await, Outcome::Exited("exit status: 3".to_owned()));
    let process = sandbox.process_id();
    assert_eq!(process, None);
}

#[tokio::test]
async fn a_start_that_failed_is_told() {
    let (_folder, sandbox) = sandbox(|spec| spec.variable("FAIL_INIT", "1")).await;
    assert_eq!(
        sandbox.invoke(&json!({ "do": "answer" })).await,
        Outcome::Error(json!({ "errorType": "Init" }))
    );
    assert!(matches!(sandbox.ready(START).await, Err(RuntimeError::NotReady { .. })));
    let missing = Sandbox::start(Spec::new("/nonexistent", "eu-west-1")).await.expect_err("no such file");
    assert!(missing.to_string().starts_with("could not start /nonexistent"), "{missing}");
}

#[tokio::test]
async fn its_deadline_kills_it() {
    let (_folder, sandbox) = sandbox(|spec| spec.timeout(Duration::from_secs(2))).await;
    sandbox.ready(START).await.expect("it comes up");
    assert_eq!(sandbox.invoke(&json!({ "do": "sleep" })).await, Outcome::TimedOut);
    assert_eq!(sandbox.wait().await, "signal: 9 (SIGKILL)");
}

#[tokio::test]
async fn dropping_it_ends_the_process() {
    let (_folder, sandbox) = sandbox(|spec| spec).await;
    sandbox.ready(START).await.expect("it comes up");
    let process = sandbox.process_id().expect("it runs");
    drop(sandbox);
    for _ in 0..200 {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{process} is still there");
}

#[tokio::test]
async fn it_can_be_killed_at_a_request() {
    for (moment, forwarded) in [(Moment::Before, [true, false]), (Moment::After, [true, true])] {
        // It answers 503, for want of an upstream: enough to be called.
        let proxy = Proxy::start().await.expect("a port");
        let (_folder, sandbox) = sandbox(|spec| spec.endpoint(proxy.endpoint())).await;
        sandbox.kill_at(&proxy, Matcher::any(), 2, moment);
        let outcome = sandbox.invoke(&json!({ "do": "call" })).await;
        assert_eq!(outcome, Outcome::Exited("signal: 9 (SIGKILL)".to_owned()));
        let log: Vec<bool> = proxy.log().iter().map(|exchange| exchange.forwarded).collect();
        assert_eq!(log, forwarded, "{moment:?}");
    }
}
