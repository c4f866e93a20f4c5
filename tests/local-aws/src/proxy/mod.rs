//! Between the functions and the local AWS: counts every call by Region, service and operation, and makes the calls
//! that a test names fail, wait, break off, or take effect and fail all the same.

mod call;
mod failure;
mod rule;
mod unprocessed;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use local_ses::loopback::{Answer, Cut, Server};

pub use call::{Call, Matcher};
pub use failure::Failure;
pub use rule::{Action, Flow, Hook, Moment, Rule, RuleId, hook};

use crate::http::{self, Pool};
use rule::{End, Plan, Rules};

/// One request as it went through.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Counted from 1 over all requests of this proxy.
    pub number: usize,
    /// Region, service and operation.
    pub call: Call,
    /// What was asked.
    pub body: Bytes,
    /// When, since the proxy was started.
    pub at: Duration,
    /// What the client was answered; none while it is under way and when the connection was cut.
    pub status: Option<u16>,
    /// Whether the local AWS got it, and so may have done it.
    pub forwarded: bool,
    /// What the rules did to it, in a word or two.
    pub fault: Option<String>,
}

/// A running proxy; it ends with its value.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    started: Instant,
    pool: Pool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    upstream: Option<SocketAddr>,
    routes: Vec<(Matcher, SocketAddr)>,
    rules: Rules,
    log: Vec<Exchange>,
    numbered: usize,
    /// Numbers up to here are of exchanges that [`Proxy::forget`] dropped.
    forgotten: usize,
}

impl Proxy {
    /// Starts one on a free loopback port. It answers 503 until [`Proxy::forward_to`] names an upstream: the emulator
    /// must know the proxy's port before its own is settled.
    pub async fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            started: Instant::now(),
            pool: http::pool(),
            state: Mutex::new(State::default()),
        });
        let handler = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let shared = Arc::clone(&handler);
            async move { shared.answer(request).await }
        })
        .await?;
        Ok(Self { server, shared })
    }

    /// Names the upstream.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.shared.lock().upstream = Some(upstream);
    }

    /// Sends the calls that match somewhere else, such as those of SES to a local SES. They are counted, and meet with rules,
    /// like all others.
    pub fn route(&self, matcher: Matcher, upstream: SocketAddr) {
        self.shared.lock().routes.push((matcher, upstream));
    }

    /// What functions take as `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Adds a rule. Rules are looked at in the order in which they came: delays and hooks add up, and of those that
    /// end a request (fail, cut, hang) the first wins.
    pub fn rule(&self, rule: Rule) -> RuleId {
        self.shared.lock().rules.add(rule)
    }

    /// Takes a rule away.
    pub fn remove(&self, rule: RuleId) {
        self.shared.lock().rules.remove(rule);
    }

    /// Takes all rules away.
    pub fn clear_rules(&self) {
        self.shared.lock().rules.clear();
    }

    /// How often a rule has acted.
    pub fn acted(&self, rule: RuleId) -> u64 {
        self.shared.lock().rules.acted(rule)
    }

    /// Every request since the start or the last [`Proxy::forget`], in the order of arrival.
    pub fn log(&self) -> Vec<Exchange> {
        self.shared.lock().log.clone()
    }

    /// The requests that match.
    pub fn requests(&self, matcher: &Matcher) -> Vec<Exchange> {
        self.shared.lock().log.iter().filter(|exchange| matcher.matches(&exchange.call)).cloned().collect()
    }

    /// How many requests match.
    pub fn count(&self, matcher: &Matcher) -> usize {
        self.shared.lock().log.iter().filter(|exchange| matcher.matches(&exchange.call)).count()
    }

    /// Requests by Region, service and operation.
    pub fn counts(&self) -> BTreeMap<Call, usize> {
        let mut counts = BTreeMap::new();
        for exchange in &self.shared.lock().log {
            *counts.entry(exchange.call.clone()).or_default() += 1;
        }
        counts
    }

    /// Starts counting afresh; rules stay.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.forgotten = state.numbered;
        state.log.clear();
    }

    /// Waits until that many requests match; false if they did not come in time.
    pub async fn wait_for(&self, matcher: &Matcher, count: usize, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        while self.count(matcher) < count {
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the proxy's state is held")
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Cut> {
        let (head, body) = request.into_parts();
        // A client that went away while it was still sending: nothing to count, nobody to answer.
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let call = Call::of(&head, &body);
        let (number, plan) = self.note(&call, &body);
        // A task of its own: a client that is killed while it waits must not take the request back from the local
        // AWS. On a network it could not.
        let shared = Arc::clone(&self);
        let done = tokio::spawn(async move { shared.carry_out(plan, &head, call, body, number).await }).await;
        let answer = done.unwrap_or(Err(Cut));
        if let Ok(answer) = &answer {
            self.amend(number, |exchange| exchange.status = Some(answer.status().as_u16()));
        }
        answer
    }

    /// The place of this call alone, if it has one, and that of all others.
    fn upstream(&self, call: &Call) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let state = self.lock();
        let route = state.routes.iter().find(|(matcher, _)| matcher.matches(call));
        (route.map(|(_, upstream)| *upstream), state.upstream)
    }

    fn note(&self, call: &Call, body: &Bytes) -> (usize, Plan) {
        let mut state = self.lock();
        let plan = state.rules.plan(call);
        state.numbered += 1;
        let number = state.numbered;
        state.log.push(Exchange {
            number,
            call: call.clone(),
            body: body.clone(),
            at: self.started.elapsed(),
            status: None,
            forwarded: false,
            fault: plan.name(),
        });
        (number, plan)
    }

    fn amend(&self, number: usize, change: impl FnOnce(&mut Exchange)) {
        let mut state = self.lock();
        let index = number.checked_sub(state.forgotten + 1);
        if let Some(exchange) = index.and_then(|index| state.log.get_mut(index)) {
            change(exchange);
        }
    }

    fn exchange(&self, number: usize, call: &Call, body: &Bytes) -> Exchange {
        let state = self.lock();
        let index = number.checked_sub(state.forgotten + 1);
        index.and_then(|index| state.log.get(index)).cloned().unwrap_or_else(|| Exchange {
            number,
            call: call.clone(),
            body: body.clone(),
            at: self.started.elapsed(),
            status: None,
            forwarded: false,
            fault: None,
        })
    }

    async fn carry_out(
        &self,
        plan: Plan,
        head: &Parts,
        call: Call,
        body: Bytes,
        number: usize,
    ) -> Result<Answer, Cut> {
        tokio::time::sleep(plan.delay).await;
        for hook in &plan.before {
            if hook(&self.exchange(number, &call, &body)) == Flow::Cut {
                return Err(Cut);
            }
        }
        match &plan.end {
            Some(End::Fail(failure)) => return Ok(failure.answer(&call, head)),
            Some(End::Cut) => return Err(Cut),
            // For ever: the client's own timeout has to end it.
            Some(End::Hang) => return std::future::pending().await,
            Some(End::AnswerThenFail(_) | End::AnswerThenCut) | None => {}
        }
        let (body, held_back) = match plan.keep {
            Some(keep) => unprocessed::split(&body, keep),
            None => (Some(body), None),
        };
        let mut answer = match body.clone() {
            Some(body) => {
                self.amend(number, |exchange| exchange.forwarded = true);
                self.forward(&call, head, body).await
            }
            None => unprocessed::nothing_done(),
        };
        if let Some(held_back) = held_back {
            answer = unprocessed::join(answer, held_back);
        }
        for hook in &plan.after {
            if hook(&self.exchange(number, &call, &body.clone().unwrap_or_default())) == Flow::Cut {
                return Err(Cut);
            }
        }
        match &plan.end {
            Some(End::AnswerThenFail(failure)) => Ok(failure.answer(&call, head)),
            Some(End::AnswerThenCut) => Err(Cut),
            _ => Ok(answer),
        }
    }

    async fn forward(&self, call: &Call, head: &Parts, body: Bytes) -> Answer {
        let (route, upstream) = self.upstream(call);
        let Some(upstream) = route.or(upstream) else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the proxy has no upstream yet".to_owned());
        };
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(&head.method).uri(format!("http://{upstream}{path}"));
        if let Some(headers) = request.headers_mut() {
            headers.extend(head.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
            // Of this hop, not of the request; the length may have changed.
            for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
                headers.remove(name);
            }
            // ministack tells by it what is asked for; whoever else answers with URLs means its own.
            if route.is_some() {
                headers.remove(HOST);
            }
        }
        let sent = match request.body(Full::new(body)) {
            Ok(request) => http::send(&self.pool, request).await,
            Err(error) => Err(error.into()),
        };
        match sent {
            Ok(answer) => {
                let (mut answered, body) = answer.into_parts();
                for name in [CONNECTION, TRANSFER_ENCODING] {
                    answered.headers.remove(name);
                }
                // To HEAD it is an answer in itself, S3's to how large an object is; else it is the body's.
                if head.method != Method::HEAD {
                    answered.headers.remove(CONTENT_LENGTH);
                }
                Response::from_parts(answered, body)
            }
            Err(error) => plain(StatusCode::BAD_GATEWAY, format!("the local AWS: {error}")),
        }
    }
}

fn plain(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = status;
    answer
}
