//! A proxy between the functions and the local AWS. It counts every call by Region, service and operation, and makes the
//! calls that a test names fail, wait, break off, or take effect and fail all the same.

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

/// A request that went through the proxy, and its answer.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The request's number, counted from 1 over all requests of this proxy.
    pub number: usize,
    /// Region, service and operation.
    pub call: Call,
    /// The request's body.
    pub body: Bytes,
    /// When it arrived, counted from the start of the proxy.
    pub at: Duration,
    /// The status of the answer; `None` while the request is under way, and if its connection was cut.
    pub status: Option<u16>,
    /// Whether the local AWS got the request, and so may have done it.
    pub forwarded: bool,
    /// What the rules did to the request, in a word or two; `None` if they did nothing.
    pub fault: Option<String>,
}

/// A running proxy, which ends when this is dropped.
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
    /// The number of the last exchange that [`Proxy::forget`] dropped.
    forgotten: usize,
}

impl Proxy {
    /// Starts a proxy on a free loopback port. It answers 503 until [`Proxy::forward_to`] names an upstream: the emulator
    /// has to know the proxy's port before it has one of its own.
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

    /// Names the upstream, to which all calls go that have no route of their own.
    pub fn forward_to(&self, upstream: SocketAddr) {
        self.shared.lock().upstream = Some(upstream);
    }

    /// Sends the calls that match to another upstream, such as those of SES to a local SES. They are counted like all
    /// others, and rules apply to them, too.
    pub fn route(&self, matcher: Matcher, upstream: SocketAddr) {
        self.shared.lock().routes.push((matcher, upstream));
    }

    /// The URL that functions get as `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Adds a rule. Rules are applied in the order in which they were added: delays and hooks add up; of those that end a
    /// request (fail, cut, hang) only the first counts.
    pub fn rule(&self, rule: Rule) -> RuleId {
        self.shared.lock().rules.add(rule)
    }

    /// Removes a rule.
    pub fn remove(&self, rule: RuleId) {
        self.shared.lock().rules.remove(rule);
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.shared.lock().rules.clear();
    }

    /// How often a rule has acted.
    pub fn acted(&self, rule: RuleId) -> u64 {
        self.shared.lock().rules.acted(rule)
    }

    /// All requests since the start or the last [`Proxy::forget`], in the order of their arrival.
    pub fn log(&self) -> Vec<Exchange> {
        self.shared.lock().log.clone()
    }

    /// The requests that match, in the order of their arrival.
    pub fn requests(&self, matcher: &Matcher) -> Vec<Exchange> {
        self.shared.lock().log.iter().filter(|exchange| matcher.matches(&exchange.call)).cloned().collect()
    }

    /// The number of requests that match.
    pub fn count(&self, matcher: &Matcher) -> usize {
        self.shared.lock().log.iter().filter(|exchange| matcher.matches(&exchange.call)).count()
    }

    /// The number of requests by Region, service and operation.
    pub fn counts(&self) -> BTreeMap<Call, usize> {
        let mut counts = BTreeMap::new();
        for exchange in &self.shared.lock().log {
            *counts.entry(exchange.call.clone()).or_default() += 1;
        }
        counts
    }

    /// Forgets all requests, so that counting starts again. Rules stay.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.forgotten = state.numbered;
        state.log.clear();
    }

    /// Waits until `count` requests match. Returns `false` if they did not come in time.
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
        // If this fails, the client went away while it was still sending: there is nothing to count and nobody to answer.
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let call = Call::of(&head, &body);
        let (number, plan) = self.note(&call, &body);
        // The request is carried out in a task of its own: if the client is killed while it waits, that must not take the
        // request back from the local AWS, as it would not on a real network.
        let shared = Arc::clone(&self);
        let done = tokio::spawn(async move { shared.carry_out(plan, &head, call, body, number).await }).await;
        let answer = done.unwrap_or(Err(Cut));
        if let Ok(answer) = &answer {
            self.amend(number, |exchange| exchange.status = Some(answer.status().as_u16()));
        }
        answer
    }

    /// The upstream to which this call has a route, if it has one, and the upstream of all other calls.
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
            // This waits for ever, so that the client's own timeout has to end it.
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
            // These headers are about one connection, not about the request. The length may have changed.
            for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
                headers.remove(name);
            }
            // By this header ministack tells which service is meant. Another upstream makes URLs of it, which must have its
            // own address.
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
                // The answer to HEAD has no body, but its length tells, for S3, how large an object is. Any other is set
                // anew by the body.
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
