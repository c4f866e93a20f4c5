//! A Lambda Runtime API under which a `bootstrap` runs without any emulator: given its events one by one, its answers
//! and its output kept, its CPU time and memory measured, killed when a test says so.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use local_ses::loopback::{Answer, Cut, Server};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::process::{cpu_time, peak_memory};
use crate::proxy::{Action, Flow, Matcher, Moment, Proxy, Rule, RuleId, hook};

/// How often a process is asked whether it has ended.
const WATCH: Duration = Duration::from_millis(2);

/// So far, of all sandboxes: an id is nobody else's.
static INVOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Why a bootstrap does not run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The API has no port.
    #[error("could not listen for the bootstrap: {0}")]
    Listen(#[source] io::Error),
    /// The program is not there or not executable.
    #[error("could not start {}: {source}", .program.display())]
    Start {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It has not asked for an event.
    #[error("the bootstrap did not ask for an event within {at_most:?}; it printed:\n{output}")]
    NotReady {
        /// How long it was given.
        at_most: Duration,
        /// Standard output and error.
        output: String,
    },
}

/// An execution environment to be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program.
    pub bootstrap: PathBuf,
    /// `AWS_LAMBDA_FUNCTION_NAME`.
    pub function_name: String,
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`; nothing enforces it.
    pub memory_mb: u32,
    /// `AWS_ENDPOINT_URL`: a proxy, an emulator or a stub.
    pub endpoint: Option<String>,
    /// What an invocation may take. As in Lambda the function is told by its deadline and killed when it passes.
    pub timeout: Duration,
    /// The function's own variables; they win over those above.
    pub environment: BTreeMap<String, String>,
}

impl Spec {
    /// A function as the template sets it up, but for its variables.
    pub fn new(bootstrap: impl Into<PathBuf>, region: &str) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            function_name: "function".to_owned(),
            region: region.to_owned(),
            memory_mb: 128,
            endpoint: None,
            timeout: Duration::from_secs(30),
            environment: BTreeMap::new(),
        }
    }

    /// Sets one of the function's own variables.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Sends its AWS calls there.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Gives an invocation that long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, crate::clients::ACCOUNT, self.function_name)
    }

    /// Lambda's variables, and nothing of the test's own.
    fn command(&self, api: &str) -> Command {
        let mut command = Command::new(&self.bootstrap);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "en_US.UTF-8")
            .env("TZ", ":UTC")
            .env("_HANDLER", "bootstrap")
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("AWS_LAMBDA_FUNCTION_NAME", &self.function_name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.memory_mb.to_string())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.function_name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .env("AWS_REGION", &self.region)
            .env("AWS_DEFAULT_REGION", &self.region)
            .env("AWS_ACCESS_KEY_ID", crate::clients::CREDENTIAL)
            .env("AWS_SECRET_ACCESS_KEY", crate::clients::CREDENTIAL)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(endpoint) = &self.endpoint {
            command.env("AWS_ENDPOINT_URL", endpoint);
        }
        command.envs(&self.environment);
        command
    }
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function's response.
    Response(Value),
    /// The function's error, by `/invocation/ID/error` or `/init/error`.
    Error(Value),
    /// The process ended, with this status, before it answered.
    Exited(String),
    /// It took longer than it may, and was killed.
    TimedOut,
}

impl Outcome {
    /// The response, or nothing.
    pub fn response(self) -> Option<Value> {
        match self {
            Self::Response(value) => Some(value),
            Self::Error(_) | Self::Exited(_) | Self::TimedOut => None,
        }
    }
}

/// What a process has used up to a point in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Since it was started.
    pub elapsed: Duration,
    /// User and system time.
    pub cpu: Duration,
    /// The largest resident set, in bytes.
    pub peak_memory: u64,
}

/// A running bootstrap; it ends with its value.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Invocation>,
    exit: watch::Receiver<Option<String>>,
    timeout: Duration,
    // Held for what dropping them ends.
    _server: Server,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    process: Mutex<Option<Process>>,
    state: Mutex<State>,
    // Apart from the state: a waiting `next` holds it.
    events: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    arn: String,
}

#[derive(Debug)]
struct Process {
    child: Child,
    started: Instant,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<String, oneshot::Sender<Outcome>>,
    output: Vec<String>,
    init_error: Option<Value>,
    first_poll: Option<Mark>,
    first_response: Option<Mark>,
    last_response: Option<Mark>,
}

#[derive(Debug)]
struct Invocation {
    id: String,
    deadline_ms: u128,
    event: Bytes,
}

impl Sandbox {
    /// Starts the program. It need not have asked for an event yet: an invocation waits for it, as in a cold start.
    pub async fn start(spec: Spec) -> Result<Self, RuntimeError> {
        let (events, to_come) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            process: Mutex::new(None),
            state: Mutex::new(State::default()),
            events: tokio::sync::Mutex::new(to_come),
            arn: spec.arn(),
        });
        let handler = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&handler);
            async move { shared.answer(request).await }
        })
        .await
        .map_err(RuntimeError::Listen)?;
        let output = shared
            .spawn(spec.command(&server.address().to_string()))
            .map_err(|source| RuntimeError::Start { program: spec.bootstrap.clone(), source })?;
        let (ended, exit) = watch::channel(None);
        let watcher = tokio::spawn(Arc::clone(&shared).watch(ended, output));
        let timeout = spec.timeout;
        Ok(Self { shared, events, exit, timeout, _server: server, watcher })
    }

    /// Waits until it asks for its first event.
    pub async fn ready(&self, at_most: Duration) -> Result<Mark, RuntimeError> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(mark) = self.first_poll() {
                return Ok(mark);
            }
            if Instant::now() > until || self.exit_status().is_some() {
                return Err(RuntimeError::NotReady { at_most, output: self.output().join("\n") });
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Gives it an event and waits for what becomes of it.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        if let Some(error) = self.shared.state().init_error.clone() {
            return Outcome::Error(error);
        }
        let number = INVOCATIONS.fetch_add(1, Ordering::Relaxed) + 1;
        let id = format!("00000000-0000-4000-8000-{number:012}");
        let (answer, answered) = oneshot::channel();
        self.shared.state().waiting.insert(id.clone(), answer);
        let deadline = SystemTime::now() + self.timeout;
        let invocation = Invocation {
            id: id.clone(),
            deadline_ms: deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis(),
            event: Bytes::from(event.to_string()),
        };
        // Cannot fail while `shared` holds the other end.
        let _ = self.events.send(invocation);
        let mut exit = self.exit.clone();
        let outcome = tokio::select! {
            // An answer that came in the process's last moment counts.
            biased;
            Ok(outcome) = answered => outcome,
            Ok(status) = exit.wait_for(Option::is_some) => {
                Outcome::Exited(status.clone().unwrap_or_default())
            }
            () = tokio::time::sleep(self.timeout) => {
                self.killer().kill();
                Outcome::TimedOut
            }
        };
        self.shared.state().waiting.remove(&id);
        match (outcome, self.shared.state().init_error.clone()) {
            // It says why it could not start, then ends.
            (Outcome::Exited(_), Some(error)) => Outcome::Error(error),
            (outcome, _) => outcome,
        }
    }

    /// The process, for a hook that ends it.
    pub fn killer(&self) -> Killer {
        Killer { shared: Arc::clone(&self.shared) }
    }

    /// Kills it at the n-th request through the proxy that matches, counted from the rule's first: before the request
    /// is passed on, so that it never happened, or after, so that it happened and nobody was told.
    pub fn kill_at(&self, proxy: &Proxy, matcher: Matcher, n: u64, moment: Moment) -> RuleId {
        let killer = self.killer();
        let kill = hook(move |_| {
            killer.kill();
            Flow::Cut
        });
        proxy.rule(Rule::new(matcher, Action::Call(moment, kill)).nth(n))
    }

    /// Waits until it has ended, however that comes; says how.
    pub async fn wait(&self) -> String {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await;
        status.map_or_else(|_| "unknown".to_owned(), |status| status.clone().unwrap_or_default())
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Option<String> {
        self.exit.borrow().clone()
    }

    /// Its process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.shared.process().as_ref()?.child.id()
    }

    /// What it had used when it first asked for an event.
    pub fn first_poll(&self) -> Option<Mark> {
        self.shared.state().first_poll
    }

    /// What it had used when its first response came.
    pub fn first_response(&self) -> Option<Mark> {
        self.shared.state().first_response
    }

    /// What it had used when its latest response came.
    pub fn last_response(&self) -> Option<Mark> {
        self.shared.state().last_response
    }

    /// Waits until it has printed so many lines with this word in them: a line may arrive later than the response that was
    /// sent after it.
    pub async fn printed(&self, word: &str, lines: usize, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        loop {
            if self.output().iter().filter(|line| line.contains(word)).count() >= lines {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(WATCH).await;
        }
    }

    /// The lines it has printed so far, on standard output and error. A line may arrive a little later than the
    /// response that was sent after it; all are there once [`Sandbox::wait`] returns.
    pub fn output(&self) -> Vec<String> {
        self.shared.state().output.clone()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.killer().kill();
        self.watcher.abort();
    }
}

/// Ends a bootstrap by SIGKILL, from anywhere.
#[derive(Debug, Clone)]
pub struct Killer {
    shared: Arc<Shared>,
}

impl Killer {
    /// Kills it; that it has ended already is fine.
    pub fn kill(&self) {
        if let Some(process) = self.shared.process().as_mut() {
            let _ = process.child.start_kill();
        }
    }
}

impl Shared {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().expect("no panic while the process is held")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the sandbox's state is held")
    }

    /// Starts the process and the tasks that keep what it prints.
    fn spawn(self: &Arc<Self>, mut command: Command) -> io::Result<Vec<JoinHandle<()>>> {
        // Held over the start: the first poll may come before this returns, and is measured from `started`.
        let mut process = self.process();
        let started = Instant::now();
        let mut child = command.spawn()?;
        let output = child.stdout.take().map(|pipe| tokio::spawn(Arc::clone(self).keep(pipe)));
        let errors = child.stderr.take().map(|pipe| tokio::spawn(Arc::clone(self).keep(pipe)));
        *process = Some(Process { child, started });
        Ok(output.into_iter().chain(errors).collect())
    }

    async fn keep(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(pipe).lines();
        // A line that is not UTF-8 ends it: our functions print JSON.
        while let Ok(Some(line)) = lines.next_line().await {
            self.state().output.push(line);
        }
    }

    /// Asks again and again rather than awaiting the end: that would hold the child, which must stay within reach of
    /// those who kill it at once.
    async fn watch(self: Arc<Self>, ended: watch::Sender<Option<String>>, output: Vec<JoinHandle<()>>) {
        let status = loop {
            let status = self.process().as_mut().map(|process| process.child.try_wait());
            match status {
                Some(Ok(None)) => tokio::time::sleep(WATCH).await,
                Some(Ok(Some(status))) => break status.to_string(),
                Some(Err(error)) => break error.to_string(),
                None => break "never started".to_owned(),
            }
        };
        // A grandchild that keeps the pipes open must not keep us.
        let _ = tokio::time::timeout(Duration::from_secs(1), futures_util::future::join_all(output)).await;
        let _ = ended.send(Some(status));
    }

    /// What the process has used. It is waiting for our answer now, so nothing of it runs.
    fn mark(&self) -> Option<Mark> {
        let process = self.process();
        let process = process.as_ref()?;
        let id = process.child.id()?;
        let elapsed = process.started.elapsed();
        Some(Mark { elapsed, cpu: cpu_time(id).ok()?, peak_memory: peak_memory(id).ok()? })
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Cut> {
        let mark = self.mark();
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let Some(path) = head.uri.path().strip_prefix("/2018-06-01/runtime/") else { return Ok(status(404)) };
        let parts: Vec<&str> = path.split('/').collect();
        match (&head.method, parts.as_slice()) {
            (&Method::GET, ["invocation", "next"]) => {
                self.note_poll(mark);
                self.next().await
            }
            (&Method::POST, ["invocation", id, "response"]) => {
                self.note_response(mark);
                Ok(self.settle(id, Outcome::Response(value(&body))))
            }
            (&Method::POST, ["invocation", id, "error"]) => Ok(self.settle(id, Outcome::Error(value(&body)))),
            (&Method::POST, ["init", "error"]) => {
                self.note_init_error(&value(&body));
                Ok(status(202))
            }
            _ => Ok(status(404)),
        }
    }

    fn note_poll(&self, mark: Option<Mark>) {
        let mut state = self.state();
        state.first_poll = state.first_poll.or(mark);
    }

    fn note_response(&self, mark: Option<Mark>) {
        let mut state = self.state();
        state.first_response = state.first_response.or(mark);
        state.last_response = mark.or(state.last_response);
    }

    fn note_init_error(&self, error: &Value) {
        let mut state = self.state();
        state.init_error = Some(error.clone());
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.send(Outcome::Error(error.clone()));
        }
    }

    async fn next(&self) -> Result<Answer, Cut> {
        let invocation = self.events.lock().await.recv().await.ok_or(Cut)?;
        Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &invocation.id)
            .header("Lambda-Runtime-Deadline-Ms", invocation.deadline_ms.to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", &self.arn)
            .header(
                "Lambda-Runtime-Trace-Id",
                "Root=1-00000000-000000000000000000000000;Parent=0000000000000000;Sampled=0",
            )
            .body(invocation.event)
            .map_err(|_| Cut)
    }

    fn settle(&self, id: &str, outcome: Outcome) -> Answer {
        match self.state().waiting.remove(id) {
            Some(waiting) => {
                let _ = waiting.send(outcome);
                status(202)
            }
            None => status(400),
        }
    }
}

fn status(code: u16) -> Answer {
    let mut answer = Response::new(Bytes::from_static(b"{}"));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    answer
}

/// JSON, or as a string what is none.
fn value(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
