//! A Lambda Runtime API under which a `bootstrap` runs without an emulator: it gets its events one by one, its answers and
//! its output are kept, its CPU time and memory are measured, and a test can kill it.

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
use crate::shifted_clock;

/// The time between two looks at whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The number of invocations so far, of all sandboxes, so that no two have the same id.
static INVOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Why a bootstrap does not run.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The API could not listen on a port.
    #[error("could not listen for the bootstrap: {0}")]
    Listen(#[source] io::Error),
    /// The program does not exist or is not executable.
    #[error("could not start {}: {source}", .program.display())]
    Start {
        /// The program's path.
        program: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The bootstrap has not asked for an event in time.
    #[error("the bootstrap did not ask for an event within {at_most:?}; it printed:\n{output}")]
    NotReady {
        /// How long it was given.
        at_most: Duration,
        /// What it printed on standard output and error.
        output: String,
    },
}

/// How to run a bootstrap: what Lambda would know of the function.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The path of the program.
    pub bootstrap: PathBuf,
    /// `AWS_LAMBDA_FUNCTION_NAME`: the name that the function is given.
    pub function_name: String,
    /// `AWS_REGION`: the Region that the function is given.
    pub region: String,
    /// `AWS_LAMBDA_FUNCTION_MEMORY_SIZE`, in MB; nothing enforces it.
    pub memory_mb: u32,
    /// `AWS_ENDPOINT_URL`: the URL of a proxy, an emulator or a stub. `None` leaves it out.
    pub endpoint: Option<String>,
    /// How long an invocation may take. As in Lambda, the function is told its deadline, and killed when it has passed.
    pub timeout: Duration,
    /// The function's own environment variables. They override those above.
    pub environment: BTreeMap<String, String>,
}

impl Spec {
    /// A function as the template sets it up, but without its own variables.
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

    /// Sets the endpoint to which the function's AWS calls go.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets how long an invocation may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", self.region, crate::clients::ACCOUNT, self.function_name)
    }

    /// The command that starts the program: with Lambda's environment variables, and none of the test's own.
    fn command(&self, api: &str) -> Command {
        let mut command = Command::new(&self.bootstrap);
        command
            .env_clear()
            .envs(shifted_clock::variables())
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
    /// The function answered with this response.
    Response(Value),
    /// The function reported this error, by `/invocation/ID/error` or `/init/error`.
    Error(Value),
    /// The process ended before it answered, in the way that this text says.
    Exited(String),
    /// The invocation took longer than it may, and the process was killed.
    TimedOut,
}

impl Outcome {
    /// The response; `None` if the invocation ended in another way.
    pub fn response(self) -> Option<Value> {
        match self {
            Self::Response(value) => Some(value),
            Self::Error(_) | Self::Exited(_) | Self::TimedOut => None,
        }
    }
}

/// What a process has used up to some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The time since it was started.
    pub elapsed: Duration,
    /// Its user and system time.
    pub cpu: Duration,
    /// Its largest resident set so far, in bytes.
    pub peak_memory: u64,
}

/// A running bootstrap, which ends when this is dropped.
#[derive(Debug)]
pub struct Sandbox {
    shared: Arc<Shared>,
    events: mpsc::UnboundedSender<Invocation>,
    exit: watch::Receiver<Option<String>>,
    timeout: Duration,
    // Held because dropping them ends what they stand for.
    _server: Server,
    watcher: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    process: Mutex<Option<Process>>,
    state: Mutex<State>,
    // Not part of the state, since it stays locked while a `next` waits for an event.
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
    /// Starts the program. It may not have asked for an event yet when this returns: the first invocation waits for that,
    /// as in a cold start.
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

    /// Waits until the bootstrap asks for its first event. Returns what it had used by then.
    pub async fn ready(&self, at_most: Duration) -> Result<Mark, RuntimeError> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(mark) = self.first_poll() {
                return Ok(mark);
            }
            if Instant::now() > until || self.exit_status().is_some() {
                return Err(RuntimeError::NotReady { at_most, output: self.output().join("\n") });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Hands the bootstrap an event, and waits for what becomes of it.
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
        // This cannot fail while `shared` holds the other end.
        let _ = self.events.send(invocation);
        let mut exit = self.exit.clone();
        let outcome = tokio::select! {
            // In this order, so that an answer that came in the process's last moment still counts.
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
            // A bootstrap that cannot start first reports why, then ends.
            (Outcome::Exited(_), Some(error)) => Outcome::Error(error),
            (outcome, _) => outcome,
        }
    }

    /// A handle that a hook can use to kill the process.
    pub fn killer(&self) -> Killer {
        Killer { shared: Arc::clone(&self.shared) }
    }

    /// Kills the process at the n-th request through the proxy that matches, counted from when this is called: before the
    /// request is forwarded, so that it never happened, or after it, so that it happened and nobody was told.
    pub fn kill_at(&self, proxy: &Proxy, matcher: Matcher, n: u64, moment: Moment) -> RuleId {
        let killer = self.killer();
        let kill = hook(move |_| {
            killer.kill();
            Flow::Cut
        });
        proxy.rule(Rule::new(matcher, Action::Call(moment, kill)).nth(n))
    }

    /// Waits until the process has ended, for whatever reason. Returns how it ended.
    pub async fn wait(&self) -> String {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await;
        status.map_or_else(|_| "unknown".to_owned(), |status| status.clone().unwrap_or_default())
    }

    /// How the process ended; `None` while it runs.
    pub fn exit_status(&self) -> Option<String> {
        self.exit.borrow().clone()
    }

    /// The process's id; `None` once it has ended.
    pub fn process_id(&self) -> Option<u32> {
        self.shared.process().as_ref()?.child.id()
    }

    /// What the process had used when it first asked for an event; `None` if it has not yet.
    pub fn first_poll(&self) -> Option<Mark> {
        self.shared.state().first_poll
    }

    /// What the process had used when its first response came; `None` if none has yet.
    pub fn first_response(&self) -> Option<Mark> {
        self.shared.state().first_response
    }

    /// What the process had used when its latest response came; `None` if none has yet.
    pub fn last_response(&self) -> Option<Mark> {
        self.shared.state().last_response
    }

    /// Waits until the process has printed at least `lines` lines with this word in them; `false` if it has not in time. A
    /// line may arrive later than the response that was sent after it.
    pub async fn printed(&self, word: &str, lines: usize, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        loop {
            if self.output().iter().filter(|line| line.contains(word)).count() >= lines {
                return true;
            }
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The lines that the process has printed so far, on standard output and error. A line may arrive a little later than
    /// the response that was sent after it; after [`Sandbox::wait`] all are there.
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

/// Kills a bootstrap by SIGKILL; clones can be used anywhere.
#[derive(Debug, Clone)]
pub struct Killer {
    shared: Arc<Shared>,
}

impl Killer {
    /// Kills the process. It is no error if it has ended already.
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

    /// Starts the process, and the tasks that keep what it prints.
    fn spawn(self: &Arc<Self>, mut command: Command) -> io::Result<Vec<JoinHandle<()>>> {
        // Held while it starts: the first poll may come before this returns, and its time counts from `started`.
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
        // A line that is not UTF-8 ends the loop; our functions print JSON.
        while let Ok(Some(line)) = lines.next_line().await {
            self.state().output.push(line);
        }
    }

    /// Looks again and again whether the process has ended. Awaiting its end would hold the child, which must stay within
    /// reach of whoever kills it.
    async fn watch(self: Arc<Self>, ended: watch::Sender<Option<String>>, output: Vec<JoinHandle<()>>) {
        let status = loop {
            let status = self.process().as_mut().map(|process| process.child.try_wait());
            match status {
                Some(Ok(None)) => tokio::time::sleep(LOOK_EVERY).await,
                Some(Ok(Some(status))) => break status.to_string(),
                Some(Err(error)) => break error.to_string(),
                None => break "never started".to_owned(),
            }
        };
        // A grandchild that keeps the pipes open must not make this wait for ever.
        let _ = tokio::time::timeout(Duration::from_secs(1), futures_util::future::join_all(output)).await;
        let _ = ended.send(Some(status));
    }

    /// What the process has used so far. It is waiting for our answer now, so none of it is running.
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

/// The body as JSON, or as a string if it is not JSON.
fn value(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}
