//! The whole local AWS: ministack, the proxy between it and the functions, and a stack in each of several Regions.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use aws_sdk_sns::types::PublishBatchRequestEntry;
use aws_sdk_sqs::types::{ChangeMessageVisibilityBatchRequestEntry, QueueAttributeName};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use crate::clients::{Clients, told};
use crate::ministack::{Ministack, MinistackError, Options};
use crate::proxy::Proxy;
use crate::stack::{Deployment, Outputs, StackError};

/// The number of messages that are published at a time. SES does not wait for one before the next either.
const PUBLISHES_AT_ONCE: usize = 8;

/// The pause between two looks at a queue.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How many looks in a row must find a queue empty: at a single look, a message may be on its way.
const EMPTY_LOOKS: u32 = 3;

/// Why the local AWS does not do what a test asks of it.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The emulator did not start.
    #[error(transparent)]
    Ministack(#[from] MinistackError),
    /// The proxy did not start.
    #[error("could not start the proxy: {0}")]
    Proxy(#[source] io::Error),
    /// A stack could not be deployed.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// A call of the local AWS failed.
    #[error("{region}: could not {what}: {message}")]
    Call {
        /// The Region of the call.
        region: String,
        /// What was tried.
        what: &'static str,
        /// The local AWS's error.
        message: String,
    },
    /// Messages are left in a queue after all the time that they were given.
    #[error("{region}: after {at_most:?} the queue still holds {depth}")]
    Busy {
        /// The Region of the queue.
        region: String,
        /// How long the messages were given.
        at_most: Duration,
        /// What is left in the queue.
        depth: Depth,
    },
}

/// How many messages a queue holds, by SQS's attributes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Depth {
    /// Messages that can be received.
    pub visible: u32,
    /// Messages that were received and are not yet acknowledged.
    pub in_flight: u32,
    /// Messages that cannot be received yet.
    pub delayed: u32,
}

impl Depth {
    /// The number of all messages.
    pub const fn total(self) -> u32 {
        self.visible + self.in_flight + self.delayed
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} visible, {} in flight, {} delayed", self.visible, self.in_flight, self.delayed)
    }
}

/// A local AWS. Dropping it ends everything that it started.
#[derive(Debug)]
pub struct LocalAws {
    // Fields are dropped in order, and functions that still run must not find their endpoint gone.
    ministack: Ministack,
    proxy: Proxy,
    regions: BTreeMap<String, Regional>,
}

impl LocalAws {
    /// Starts a local AWS without stacks, with the proxy in front of the functions' calls.
    pub async fn start() -> Result<Self, LocalError> {
        Self::start_with(BTreeMap::new()).await
    }

    /// Starts a local AWS as [`LocalAws::start`] does, with more variables in the environment of every function.
    pub async fn start_with(environment: BTreeMap<String, String>) -> Result<Self, LocalError> {
        let proxy = Proxy::start().await.map_err(LocalError::Proxy)?;
        let options = Options { functions_endpoint: Some(proxy.endpoint()), environment };
        let ministack = Ministack::start(&options).await?;
        proxy.forward_to(ministack.address());
        Ok(Self { ministack, proxy, regions: BTreeMap::new() })
    }

    /// Deploys a stack into several Regions at the same time.
    pub async fn deploy(&mut self, deployment: &Deployment, regions: &[&str]) -> Result<(), LocalError> {
        let stacks: Vec<_> = regions.iter().map(|region| (*region, deployment.clone())).collect();
        self.deploy_each(&stacks).await
    }

    /// Deploys stacks into several Regions at the same time, each with a deployment of its own.
    pub async fn deploy_each(&mut self, stacks: &[(&str, Deployment)]) -> Result<(), LocalError> {
        let endpoint = &self.ministack.endpoint();
        let deployed = try_join_all(stacks.iter().map(|(region, deployment)| async move {
            let package = deployment.package()?;
            let clients = Clients::new(endpoint, region);
            let outputs = package.deploy(&clients, region).await?;
            let stack = deployment.stack.clone();
            let name = (*region).to_owned();
            Ok::<_, LocalError>((name.clone(), Regional { name, stack, clients, outputs }))
        }))
        .await?;
        self.regions.extend(deployed);
        Ok(())
    }

    /// A stack, by the Region that it was deployed to.
    ///
    /// # Panics
    /// If nothing was deployed to that Region, which is a mistake of the test's.
    pub fn region(&self, name: &str) -> &Regional {
        let Some(region) = self.regions.get(name) else { panic!("nothing was deployed into {name}") };
        region
    }

    /// The stacks of all Regions that were deployed to.
    pub fn regions(&self) -> impl Iterator<Item = &Regional> {
        self.regions.values()
    }

    /// The proxy between the functions and this AWS.
    pub const fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// The emulator, with its endpoint, its log and its process group.
    pub const fn ministack(&self) -> &Ministack {
        &self.ministack
    }
}

/// A stack in a Region, and what tests ask of it.
#[derive(Debug, Clone)]
pub struct Regional {
    name: String,
    stack: String,
    clients: Clients,
    outputs: Outputs,
}

impl Regional {
    /// The Region's name, such as `eu-west-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stack's name.
    pub fn stack(&self) -> &str {
        &self.stack
    }

    /// The Region's clients, which go past the proxy.
    pub const fn clients(&self) -> &Clients {
        &self.clients
    }

    /// The stack's outputs.
    pub const fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    fn refused<E: std::error::Error + 'static>(
        &self,
        what: &'static str,
    ) -> impl FnOnce(E) -> LocalError + use<E> {
        let region = self.name.clone();
        move |error| LocalError::Call { region, what, message: told(&error) }
    }

    /// Publishes to the feedback topic, as SES does. Returns SNS's message id.
    pub async fn publish(&self, message: &str) -> Result<String, LocalError> {
        let published = self
            .clients
            .sns
            .publish()
            .topic_arn(self.outputs.get("FeedbackTopicArn"))
            .subject("Amazon SES Email Event Notification")
            .message(message)
            .send()
            .await
            .map_err(self.refused("publish to the feedback topic"))?;
        Ok(published.message_id.unwrap_or_default())
    }

    /// Publishes several messages, some at a time. The ids are in the order of the messages.
    pub async fn publish_all<M: AsRef<str>>(
        &self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<Vec<String>, LocalError> {
        stream::iter(messages)
            .map(|message| async move { self.publish(message.as_ref()).await })
            .buffered(PUBLISHES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Publishes many small messages, ten with each call, for tests to which only their number matters. SES does not
    /// publish so.
    pub async fn publish_storm(&self, messages: &[String]) -> Result<(), LocalError> {
        const PER_CALL: usize = 10;
        let what = "publish many to the feedback topic";
        let calls = messages.chunks(PER_CALL).map(|chunk| async move {
            let entries = chunk.iter().enumerate().map(|(index, message)| {
                PublishBatchRequestEntry::builder().id(index.to_string()).message(message).build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(self.refused(what))?;
            let topic = self.outputs.get("FeedbackTopicArn");
            let call = self.clients.sns.publish_batch().topic_arn(topic);
            let done = call.set_publish_batch_request_entries(Some(entries)).send().await;
            let done = done.map_err(self.refused(what))?;
            match done.failed().first() {
                None => Ok(()),
                Some(failed) => Err(LocalError::Call {
                    region: self.name.clone(),
                    what,
                    message: failed.message().unwrap_or(failed.code()).to_owned(),
                }),
            }
        });
        stream::iter(calls).buffered(PUBLISHES_AT_ONCE).try_collect().await
    }

    /// Puts a message straight into the feedback queue, as raw delivery would.
    pub async fn send(&self, body: &str) -> Result<(), LocalError> {
        let queue = self.outputs.get("FeedbackQueueUrl");
        let sent = self.clients.sqs.send_message().queue_url(queue).message_body(body).send().await;
        sent.map(drop).map_err(self.refused("send to the feedback queue"))
    }

    /// How many messages each of the stack's queues holds, by the name of its output.
    pub async fn queues(&self) -> Result<BTreeMap<String, Depth>, LocalError> {
        let queues = self.outputs.iter().filter(|(key, _)| key.ends_with("QueueUrl"));
        let depths = try_join_all(queues.map(|(key, url)| async move {
            Ok::<_, LocalError>((key.trim_end_matches("Url").to_owned(), self.depth(url).await?))
        }))
        .await?;
        Ok(depths.into_iter().collect())
    }

    /// How many messages a queue holds, by its URL.
    pub async fn depth(&self, url: &str) -> Result<Depth, LocalError> {
        use QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesDelayed as Delayed,
            ApproximateNumberOfMessagesNotVisible as InFlight,
        };
        let seen = self
            .clients
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(Visible)
            .attribute_names(InFlight)
            .attribute_names(Delayed)
            .send()
            .await
            .map_err(self.refused("look at a queue"))?;
        let count = |name| seen.attributes()?.get(&name)?.parse().ok();
        Ok(Depth {
            visible: count(Visible).unwrap_or_default(),
            in_flight: count(InFlight).unwrap_or_default(),
            delayed: count(Delayed).unwrap_or_default(),
        })
    }

    /// Waits until the feedback queue is empty and stays so, which means that every message was acknowledged or given up.
    pub async fn wait_until_idle(&self, at_most: Duration) -> Result<(), LocalError> {
        let queue = self.outputs.get("FeedbackQueueUrl");
        let started = Instant::now();
        let mut empty = 0;
        loop {
            let depth = self.depth(queue).await?;
            empty = if depth.total() == 0 { empty + 1 } else { 0 };
            if empty == EMPTY_LOOKS {
                return Ok(());
            }
            if started.elapsed() > at_most {
                return Err(LocalError::Busy { region: self.name.clone(), at_most, depth });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// All items of the table, page by page.
    pub async fn items(&self) -> Result<Vec<Value>, LocalError> {
        let items: Vec<_> = self
            .clients
            .dynamodb
            .scan()
            .table_name(self.outputs.get("TableName"))
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>()
            .await
            .map_err(self.refused("scan the table"))?;
        items
            .into_iter()
            .map(|item| serde_dynamo::from_item(item).map_err(self.refused("read an item of the table")))
            .collect()
    }

    /// The bodies of the messages in the feedback function's dead-letter queue. They stay there.
    pub async fn dead_letters(&self) -> Result<Vec<String>, LocalError> {
        self.bodies(self.outputs.get("FeedbackDeadLetterQueueUrl")).await
    }

    /// The bodies of a queue's visible messages. They become visible again afterwards.
    pub async fn bodies(&self, url: &str) -> Result<Vec<String>, LocalError> {
        /// The time for which a message is hidden: long enough that none is received twice here.
        const HIDDEN_SECONDS: i32 = 60;
        let sqs = &self.clients.sqs;
        let mut bodies = Vec::new();
        let mut hidden = Vec::new();
        loop {
            let received = sqs
                .receive_message()
                .queue_url(url)
                .max_number_of_messages(10)
                .visibility_timeout(HIDDEN_SECONDS)
                .send()
                .await
                .map_err(self.refused("receive from a queue"))?;
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            let entries: Result<Vec<_>, _> = messages
                .iter()
                .enumerate()
                .map(|(index, message)| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(index.to_string())
                        .set_receipt_handle(message.receipt_handle.clone())
                        .visibility_timeout(0)
                        .build()
                })
                .collect();
            hidden.push(entries.map_err(self.refused("put messages back"))?);
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
        for entries in hidden {
            sqs.change_message_visibility_batch()
                .queue_url(url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(self.refused("put messages back"))?;
        }
        Ok(bodies)
    }
}
