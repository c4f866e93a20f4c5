//! Where a function lives and dies: a table, a proxy and an SES of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, BillingMode, GlobalSecondaryIndex, TableDescription};
use local_aws::clients::{ACCOUNT, Clients};
use local_aws::proxy::{Matcher, Proxy};
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional};
use local_ses::suppression::Rules;
use local_ses::{Config, LocalSes};
use mailroom_core::suppression::peer_message;
use mailroom_core::suppression::{AddressState, SuppressionState};
use mailroom_core::timestamp::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

pub(crate) const REGION: &str = "us-east-1";
pub(crate) const PEERS: [&str; 2] = ["eu-west-1", "ap-southeast-2"];
pub(crate) const BUCKET: &str = "transit";

/// A local AWS with the template's table, and a bucket for import jobs.
pub(crate) struct Lab {
    aws: LocalAws,
    table: TableDescription,
    peers: BTreeMap<&'static str, Clients>,
    places: AtomicUsize,
}

pub(crate) struct Place {
    pub(crate) table: String,
    pub(crate) queue: String,
    pub(crate) proxy: Proxy,
    pub(crate) ses: LocalSes,
    clients: Clients,
    peers: BTreeMap<&'static str, Clients>,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let mut aws = LocalAws::start().await.expect("a local AWS");
        // For its table only: here nobody is woken but by the test.
        let deployment =
            Deployment::new("mailroom").idle().parameter("Suppression", "off").parameter("Receiving", "off");
        aws.deploy(&deployment, &[REGION]).await.expect("a stack");
        let region = aws.region(REGION);
        let clients = region.clients();
        let name = region.outputs().get("TableName");
        let table = clients.dynamodb.describe_table().table_name(name).send().await.expect("a table").table;
        clients.s3.create_bucket().bucket(BUCKET).send().await.expect("a bucket");
        let endpoint = aws.ministack().endpoint();
        let peers = PEERS.iter().map(|peer| (*peer, Clients::new(&endpoint, peer))).collect();
        Self { table: table.expect("described"), peers, places: AtomicUsize::new(0), aws }
    }

    /// The stack that the table is of.
    pub(crate) fn stack(&self) -> &Regional {
        self.aws.region(REGION)
    }

    /// A fresh one.
    pub(crate) async fn place(&self) -> Place {
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        let suppression = Rules {
            import_wait: Duration::from_millis(200),
            import_per_record: Duration::ZERO,
            page: 2,
            ..Rules::default()
        };
        // The pace is the functions' own; that SES throttles is tested elsewhere.
        let config = Config {
            account: ACCOUNT.to_owned(),
            pace: None,
            needs_permission: false,
            suppression,
            ..Config::default()
        };
        let ses = LocalSes::start(config).await.expect("a local SES");
        ses.connect(&self.aws.ministack().endpoint());
        let proxy = Proxy::start().await.expect("a proxy");
        proxy.forward_to(self.aws.ministack().address());
        let address = ses.endpoint();
        let address = address.trim_start_matches("http://").parse().expect("an address");
        proxy.route(Matcher::service("ses"), address);
        let place = Place {
            table: format!("table-{number}"),
            queue: format!("queue-{number}"),
            proxy,
            ses,
            clients: self.stack().clients().clone(),
            peers: self.peers.clone(),
        };
        place.make_table(&self.table).await;
        for clients in place.peers.values() {
            clients.sqs.create_queue().queue_name(&place.queue).send().await.expect("a queue");
        }
        place
    }
}

impl Place {
    /// Like that one, but for its stream, which would wake nobody.
    async fn make_table(&self, like: &TableDescription) {
        let indexes = like.global_secondary_indexes().iter().map(|index| {
            GlobalSecondaryIndex::builder()
                .set_index_name(index.index_name.clone())
                .set_key_schema(index.key_schema.clone())
                .set_projection(index.projection.clone())
                .build()
                .expect("as described")
        });
        let create = self.clients.dynamodb.create_table().table_name(&self.table);
        create
            .set_attribute_definitions(like.attribute_definitions.clone())
            .set_key_schema(like.key_schema.clone())
            .set_global_secondary_indexes(Some(indexes.collect()))
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .expect("a table");
    }

    /// Puts an item into the table.
    pub(crate) async fn put(&self, item: &impl Serialize) {
        let mut item: std::collections::HashMap<String, AttributeValue> =
            serde_dynamo::to_item(item).expect("an item");
        item.retain(|_, value| !value.is_null());
        let put = self.clients.dynamodb.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.expect("put");
    }

    /// Notes something, as a function does.
    pub(crate) async fn note(&self, name: &str, note: &Value) {
        let (pk, sk) = (format!("REGION#{REGION}"), format!("NOTE#{name}"));
        self.put(&json!({"pk": pk, "sk": sk, "version": 1, "note": note.to_string()})).await;
    }

    /// Notes by name, without their versions.
    pub(crate) async fn notes(&self) -> BTreeMap<String, Value> {
        let notes = self.items().await.into_iter().filter_map(|item| {
            let name = item["sk"].as_str()?.strip_prefix("NOTE#")?.to_owned();
            Some((name, serde_json::from_str(item["note"].as_str()?).ok()?))
        });
        notes.collect()
    }

    pub(crate) async fn items(&self) -> Vec<Value> {
        let scan = self.clients.dynamodb.scan().table_name(&self.table).consistent_read(true);
        let items: Vec<_> =
            scan.into_paginator().items().send().collect::<Result<_, _>>().await.expect("items");
        serde_dynamo::from_items(items).expect("items")
    }

    pub(crate) async fn states(&self) -> Vec<AddressState> {
        let states = self.items().await.into_iter().filter(|item| item["sk"] == "SUPPRESSION");
        states.map(|item| serde_json::from_value(item).expect("a state")).collect()
    }

    /// States by address, without times and versions of writes: those differ from run to run.
    pub(crate) async fn outcome_of_states(&self) -> Value {
        let mut states = serde_json::Map::new();
        for state in self.states().await {
            let applied =
                state.last_known_entry().map(|applied| json!([applied.reason, applied.removal_accepted]));
            let outcome = state.current_apply_outcome().map(|outcome| json!([outcome.kind, outcome.tries]));
            let said = json!({
                "state": state.state(), "spellings": state.spellings(), "pending": state.is_pending(),
                "applied": applied, "outcome": outcome, "job": state.assigned_job(),
            });
            states.insert(state.address().to_owned(), said);
        }
        states.into()
    }

    pub(crate) fn outcome_of_list(&self) -> Value {
        self.ses.list(REGION).into_iter().map(|(address, entry)| (address, json!(entry.reason))).collect()
    }

    /// What each peer was told of each address, all messages joined.
    pub(crate) async fn outcome_of_queues(&self) -> Value {
        let mut told = serde_json::Map::new();
        for (peer, clients) in &self.peers {
            let url =
                clients.sqs.get_queue_url().queue_name(&self.queue).send().await.expect("a queue").queue_url;
            let url = url.expect("a URL");
            let mut joined = BTreeMap::<String, SuppressionState>::new();
            loop {
                let receive = clients.sqs.receive_message().queue_url(&url).max_number_of_messages(10);
                let messages = receive.send().await.expect("received").messages.unwrap_or_default();
                if messages.is_empty() {
                    break;
                }
                for message in messages {
                    let incoming = peer_message::parse_peer_message(message.body().expect("a body"))
                        .expect("a peer's message");
                    assert!(
                        incoming.malformed_states.is_empty() && incoming.origin_region == REGION,
                        "{incoming:?}"
                    );
                    for state in incoming.states {
                        let known = joined.entry(state.address).or_default();
                        *known = known.join(&state.state);
                    }
                }
            }
            told.insert((*peer).to_owned(), json!(joined));
        }
        told.into()
    }

    /// Two minutes pass for all that somebody waits for: leases end, what was tried is tried again.
    pub(crate) async fn let_time_pass(&self) {
        for mut item in self.items().await {
            let sk = item["sk"].as_str().unwrap_or_default().to_owned();
            let before = item.clone();
            if sk.starts_with("LEASE#") {
                earlier(&mut item["until"]);
            } else if sk == "SUPPRESSION" {
                earlier(&mut item["due_at"]);
            } else if sk.starts_with("NOTE#") {
                let mut note: Value =
                    serde_json::from_str(item["note"].as_str().expect("text")).expect("JSON");
                note.pointer_mut("/intent/tried_at").map(earlier);
                item["note"] = note.to_string().into();
            }
            item.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
            if item != before {
                self.put(&item).await;
            }
        }
    }
}

fn earlier(time: &mut Value) {
    if let Some(at) = time.as_str().and_then(Timestamp::parse) {
        *time = json!(at.minus(Duration::from_mins(2)));
    }
}
