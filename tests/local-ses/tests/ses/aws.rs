//! S3, SNS and Lambda as far as SES uses them, each call kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ses::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_ses::error::{ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use local_ses::loopback::{Answer, Server};
use local_ses::{Config, LocalSes};
use serde_json::{Value, json};

pub(crate) const ACCOUNT: &str = "123456789012";

/// An object in a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) content: Bytes,
    pub(crate) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Bucket to Region.
    pub(crate) buckets: BTreeMap<String, String>,
    /// By bucket and key.
    pub(crate) objects: BTreeMap<(String, String), Object>,
    pub(crate) topics: Vec<String>,
    /// Topic and message.
    pub(crate) published: Vec<(String, Value)>,
    /// Function and what it answers.
    pub(crate) functions: BTreeMap<String, &'static str>,
    /// Function, invocation type, event.
    pub(crate) invoked: Vec<(String, String, Value)>,
    /// Bucket or function and who may use it, if not SES.
    pub(crate) policies: BTreeMap<String, Value>,
    /// Nobody may write.
    pub(crate) denied: bool,
}

pub(crate) struct Aws {
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) endpoint: String,
    _server: Server,
}

impl Aws {
    pub(crate) async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let state = Arc::clone(&shared);
            async move { Ok(answer(&state, request).await) }
        })
        .await
        .expect("a port");
        Self { state, endpoint: format!("http://{}", server.address()), _server: server }
    }

    pub(crate) fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().expect("unpoisoned"))
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Object> {
        self.change(|state| state.objects.get(&(bucket.to_owned(), key.to_owned())).cloned())
    }
}

impl State {
    fn policy(&self, of: &str) -> String {
        let anybody = json!({ "Statement": [
            { "Effect": "Allow", "Principal": { "Service": "ses.amazonaws.com" }, "Action": "*", "Resource": "*" },
        ] });
        self.policies.get(of).unwrap_or(&anybody).to_string()
    }
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = header("authorization").split('/').nth(2).unwrap_or_default().to_owned();
    let service = header("authorization").split('/').nth(3).unwrap_or_default().to_owned();
    let mut state = state.lock().expect("unpoisoned");
    let reply = |status: u16, body: &str| {
        Response::builder().status(status).body(Bytes::from(body.to_owned())).expect("an answer")
    };
    match service.as_str() {
        "s3" => {
            let path = percent_decoded(head.uri.path());
            let (bucket, key) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
            let Some(region) = state.buckets.get(bucket).cloned() else {
                return reply(404, "<Error><Code>NoSuchBucket</Code></Error>");
            };
            if region != signed {
                let mut answer = reply(301, "<Error><Code>PermanentRedirect</Code></Error>");
                answer.headers_mut().insert("x-amz-bucket-region", region.parse().expect("a value"));
                return answer;
            }
            if head.uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("policy"))) {
                return reply(200, &state.policy(bucket));
            }
            if head.method == Method::PUT {
                if state.denied {
                    return reply(403, "<Error><Code>AccessDenied</Code></Error>");
                }
                let metadata = head.headers.iter().filter_map(|(name, value)| {
                    let name = name.as_str().strip_prefix("x-amz-meta-")?;
                    Some((name.to_owned(), value.to_str().ok()?.to_owned()))
                });
                let object = Object { content: body, metadata: metadata.collect() };
                state.objects.insert((bucket.to_owned(), key.to_owned()), object);
            }
            if head.method == Method::GET {
                let stored = state.objects.get(&(bucket.to_owned(), key.to_owned()));
                return stored.map_or_else(
                    || reply(404, "<Error><Code>NoSuchKey</Code></Error>"),
                    |object| Response::new(object.content.clone()),
                );
            }
            reply(200, "")
        }
        "sns" => {
            let form: BTreeMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
            let (action, topic) = (&form["Action"], form["TopicArn"].clone());
            if !state.topics.contains(&topic) {
                return reply(404, "<ErrorResponse><Error><Code>NotFound</Code></Error></ErrorResponse>");
            }
            if action == "Publish" {
                let message =
                    serde_json::from_str(&form["Message"]).unwrap_or_else(|_| json!(form["Message"]));
                state.published.push((topic, message));
            }
            reply(200, &format!("<{action}Response><{action}Result/></{action}Response>"))
        }
        "lambda" => {
            let path = percent_decoded(head.uri.path());
            let function = path.split('/').nth(3).unwrap_or_default().to_owned();
            let Some(answer) = state.functions.get(&function).copied() else {
                return reply(404, r#"{"Message":"Function not found"}"#);
            };
            if path.ends_with("/policy") {
                return reply(200, &json!({ "Policy": state.policy(&function) }).to_string());
            }
            let kind = header("x-amz-invocation-type").to_owned();
            if kind == "DryRun" {
                return reply(204, "");
            }
            state.invoked.push((function, kind.clone(), serde_json::from_slice(&body).expect("JSON")));
            if kind == "Event" { reply(202, "") } else { reply(200, answer) }
        }
        other => reply(400, other),
    }
}

fn percent_decoded(path: &str) -> String {
    // A form's parser with nothing but a name: decodes, and '+' stands for itself in a path.
    let form = path.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(form.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}

/// A local SES that is connected, with a bucket in another Region, a topic and a function in this one.
pub(crate) async fn started(config: Config) -> (LocalSes, Aws) {
    let aws = Aws::start().await;
    let ses = LocalSes::start(Config { account: ACCOUNT.to_owned(), ..config }).await.expect("a port");
    ses.connect(&aws.endpoint);
    aws.change(|state| {
        state.buckets.insert("mail".to_owned(), "eu-west-1".to_owned());
        state.topics.push(topic("us-east-1"));
        state.functions.insert(function("us-east-1"), "null");
    });
    (ses, aws)
}

/// Nobody in a hurry.
pub(crate) fn unpaced() -> Config {
    Config { pace: None, ..Config::default() }
}

pub(crate) fn topic(region: &str) -> String {
    format!("arn:aws:sns:{region}:{ACCOUNT}:mail")
}

pub(crate) fn function(region: &str) -> String {
    format!("arn:aws:lambda:{region}:{ACCOUNT}:function:inbound")
}

/// SES's own client, v1.
pub(crate) fn client(ses: &LocalSes, region: &str) -> aws_sdk_ses::Client {
    aws_sdk_ses::Client::new(&config(ses, region))
}

/// SES's own client, v2.
pub(crate) fn client_v2(ses: &LocalSes, region: &str) -> aws_sdk_sesv2::Client {
    aws_sdk_sesv2::Client::new(&config(ses, region))
}

pub(crate) fn config(ses: &LocalSes, region: &str) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .endpoint_url(ses.endpoint())
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(5)).build())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "test", "test", None, None, "local",
        )))
        .build()
}

/// Status and name of an error.
pub(crate) fn refused<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    result: Result<T, SdkError<E>>,
) -> (u16, String) {
    let error = result.expect_err("refused");
    let status = error.raw_response().map_or(0, |raw| raw.status().as_u16());
    (status, error.code().unwrap_or("none").to_owned())
}

pub(crate) fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
