//! Twenty thousand permanent bounces within minutes, at SES's one request a second.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what failed by panicking, and what it cost"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sesv2::config::{Credentials, SharedCredentialsProvider};
use doubles::MemoryObjects;
use laws::storm::{Cost, START, Ses, Storm, one_put_per_bounce, run};
use local_ses::clock::Clock;
use local_ses::{Config, LocalSes};
use mailroom_aws::suppression_list::{
    AccountStatus, ImportJob, ImportJobSummary, ListError, ListPage, SesSuppressionList, SuppressionList,
};
use mailroom_core::inbound::ObjectLocation;
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::import::ImportAction;
use mailroom_core::suppression::reconcile::ListEntry;
use mailroom_core::suppression::window::ListWindow;
use time::OffsetDateTime;
use tokio::runtime::Runtime;

const BOUNCES: usize = 20_000;
const LONGEST: Duration = Duration::from_mins(5);
const MOST_CALLS: usize = 60;

/// Of each Region.
type Objects = Arc<Mutex<BTreeMap<String, MemoryObjects>>>;

/// The local SES, whose clock is the world's, asked by the shipped adapter.
struct OverHttp {
    /// Its threads carry requests and answers.
    runtime: Runtime,
    ses: LocalSes,
    objects: Objects,
    asked: Rc<Cell<usize>>,
}

impl OverHttp {
    fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = Clock::at(OffsetDateTime::from_unix_timestamp(START / 1000).unwrap());
        // Who may read the bucket is another test's.
        let config = Config { clock, needs_permission: false, ..Config::default() };
        let ses = runtime.block_on(LocalSes::start(config)).unwrap();
        let objects = Objects::default();
        ses.connect(&s3(Arc::clone(&objects)));
        Self { runtime, ses, objects, asked: Rc::default() }
    }
}

impl Ses for OverHttp {
    type List = Asking;

    fn open(&self, region: &'static str, objects: &MemoryObjects) {
        self.objects.lock().unwrap().insert(region.to_owned(), objects.clone());
    }

    fn list(&self, region: &str) -> Asking {
        let credentials = Credentials::new("test", "test", None, None, "local");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(self.ses.endpoint())
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Asking { list: SesSuppressionList::new(&config), asked: Rc::clone(&self.asked) }
    }

    fn is_asked(&self) -> bool {
        self.asked.get() > 0
    }

    fn go_on(&self, by: Duration) {
        self.ses.clock().advance(by);
    }

    fn entries(&self, region: &str) -> BTreeMap<String, SuppressionReason> {
        let reason = |entry: local_ses::suppression::Entry| match entry.reason {
            local_ses::suppression::Reason::Bounce => SuppressionReason::Bounce,
            local_ses::suppression::Reason::Complaint => SuppressionReason::Complaint,
        };
        self.ses.list(region).into_iter().map(|(address, entry)| (address, reason(entry))).collect()
    }

    fn calls(&self, region: &str) -> BTreeMap<String, usize> {
        let of_region = self.ses.requests().into_iter().filter(|((of, _), _)| of == region);
        of_region.map(|((_, action), count)| (action, usize::try_from(count).unwrap())).collect()
    }
}

/// Knows whether somebody waits for an answer: meanwhile, no virtual time goes by.
struct Asking {
    list: SesSuppressionList,
    asked: Rc<Cell<usize>>,
}

impl Asking {
    async fn ask<T>(&self, call: impl Future<Output = T>) -> T {
        self.asked.set(self.asked.get() + 1);
        let answer = call.await;
        self.asked.set(self.asked.get() - 1);
        answer
    }
}

impl SuppressionList for Asking {
    async fn put(&self, spelling: &str, reason: SuppressionReason) -> Result<(), ListError> {
        self.ask(self.list.put(spelling, reason)).await
    }

    async fn delete(&self, spelling: &str) -> Result<(), ListError> {
        self.ask(self.list.delete(spelling)).await
    }

    async fn get(&self, spelling: &str) -> Result<Option<ListEntry>, ListError> {
        self.ask(self.list.get(spelling)).await
    }

    async fn list_entries(
        &self,
        window: ListWindow,
        next_token: Option<&str>,
    ) -> Result<ListPage<ListEntry>, ListError> {
        self.ask(self.list.list_entries(window, next_token)).await
    }

    async fn account_status(&self) -> Result<AccountStatus, ListError> {
        self.ask(self.list.account_status()).await
    }

    async fn create_import_job(&self, action: ImportAction, object_url: &str) -> Result<String, ListError> {
        self.ask(self.list.create_import_job(action, object_url)).await
    }

    async fn import_job(&self, job_id: &str) -> Result<ImportJob, ListError> {
        self.ask(self.list.import_job(job_id)).await
    }

    async fn import_jobs(&self, next_token: Option<&str>) -> Result<ListPage<ImportJobSummary>, ListError> {
        self.ask(self.list.import_jobs(next_token)).await
    }

    async fn download_failed_records(&self, failed_records_url: &str) -> Result<String, ListError> {
        self.ask(self.list.download_failed_records(failed_records_url)).await
    }
}

/// S3 as far as import jobs read it; its endpoint.
fn s3(objects: Objects) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&stream.unwrap(), &objects);
        }
    });
    endpoint
}

fn answer(mut stream: &TcpStream, objects: &Objects) {
    let lines = BufReader::new(stream).lines().map(Result::unwrap);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    // Keys hold a time; nothing else in them is escaped.
    let path = head[0].split(' ').nth(1).unwrap().split('?').next().unwrap().replace("%3A", ":");
    let signature = head.iter().find(|line| line.to_lowercase().starts_with("authorization:")).unwrap();
    let region = signature.split('/').nth(2).unwrap();
    // Without a key it is the bucket that is asked for.
    let content = path[1..].split_once('/').filter(|(_, key)| !key.is_empty()).map(|(bucket, key)| {
        let location = ObjectLocation { bucket: bucket.to_owned(), key: key.to_owned() };
        objects.lock().unwrap()[region].content(&location)
    });
    let (status, content) = match content {
        None => ("200 OK", Vec::new()),
        Some(Some(content)) => ("200 OK", content),
        Some(None) => ("404 Not Found", Vec::new()),
    };
    let length = content.len();
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").unwrap();
    stream.write_all(&content).unwrap();
}

/// Through the shipped handlers and SES's own client; only table, notes, objects and queues are in memory.
fn weather(per_second: usize) {
    let ses = OverHttp::start();
    let (calls, took) = ses.runtime.block_on(one_put_per_bounce(BOUNCES)).unwrap();
    let _entered = ses.runtime.enter();
    let costs = run(Storm { bounces: BOUNCES, per_second }, &ses).unwrap();
    println!("{BOUNCES} bounces, {per_second} a second");
    println!("    baseline: one Put per bounce: complete after {took:?}, {calls} calls of SES");
    for cost in &costs {
        let Cost { region, complete_after, calls } = cost;
        println!("{region:>12}: complete after {complete_after:?}, {} calls of SES: {calls:?}", cost.total());
    }
    for cost in &costs {
        assert!(cost.complete_after <= LONGEST, "{cost:?}");
        assert!(cost.total() < MOST_CALLS, "{cost:?}");
    }
}

#[test]
fn a_sudden_storm_is_over_within_minutes_and_few_calls() {
    weather(400);
}

#[test]
fn so_is_one_that_lasts() {
    weather(100);
}
