//! Linear time: every field of every sample is grown by itself, with filling that is harmless and filling that invites a
//! parser to look again and again.
//!
//! What is compared is the processor time for eight times the input: other processes on the machine do not count. Linear work
//! takes eight times as long, quadratic work 64 times, and the limit is 24. Noise only ever adds time, so the
//! least of several tries counts. What exceeds the limit at one size is tried again at larger ones before it fails: caches and
//! page faults cost more at one step, quadratic work at every step.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use mailroom_core::address::Address;
use mailroom_core::envelope;
use mailroom_core::inbound::MailStructure;
use mailroom_core::suppression::peer_message;
use nix::time::{ClockId, clock_gettime};
use serde_json::Value;

use crate::check::received;
use crate::common::told;
use crate::corpus::{self, Kind};

/// The bytes of the smaller input. Twice and four times as many confirm what exceeds the limit.
const SMALL_BYTES: [usize; 3] = [6 * 1024, 12 * 1024, 24 * 1024];
const FACTOR: usize = 8;
/// Half-way, on a logarithmic scale, between linear and quadratic.
const MAX_RATIO: u32 = 24;
/// How often an input may be read until its growth is within the limit.
const MAX_TRIES: usize = 10;
/// A larger input that takes less than this is not compared: its time is the allocator's as much as the parser's. Comparing
/// each of 48 KiB with each other takes more.
const NEGLIGIBLE: Duration = Duration::from_micros(500);
const FILLINGS: &[&str] = &[
    "x",
    " ",
    "\"",
    "\\",
    "(",
    "()",
    "<",
    "<a@b> ",
    "a@b.example, ",
    "=?utf-8?q?=41?= ",
    "=?utf-8?b?",
    "=?",
    "\r\n ",
    "\u{1b}",
    "é",
    "。",
    "@",
    "a.",
    ";b=",
    "--b\r\n",
    "[",
    "{\"a\":",
];

#[test]
fn reading_takes_linear_time() {
    let cases = cases();
    let failures: Vec<_> = cases.iter().filter_map(|case| case.check_growth().err()).collect();
    println!("{} cases", cases.len());
    assert!(failures.is_empty(), "more than linear time: {failures:#?}");
}

/// The check itself, of work whose growth is clear: less of it than a parser would do.
#[test]
fn quadratic_work_is_noticed_and_linear_work_is_not() {
    const APART: usize = 256;
    let case = |name: &str, read: fn(&[u8])| Case {
        name: name.to_owned(),
        grow: Box::new(|bytes| vec![b'x'; bytes]),
        read,
    };
    let quadratic = [
        case("some bytes are compared with every byte", |text| {
            assert!(!text.iter().step_by(APART).any(|one| text.iter().any(|other| black_box(other) != one)));
        }),
        case("the start is searched again for some bytes", |text| {
            let is_at = |end: usize| text[..end].iter().any(|byte| *black_box(byte) == b'y');
            assert!(!(0..text.len()).step_by(APART).any(is_at));
        }),
    ];
    for case in &quadratic {
        assert!(case.check_growth().is_err(), "{} is not noticed", case.name);
    }
    let linear = [
        case("every byte is read a hundred times", |text| {
            for _ in 0..100 {
                assert!(text.iter().all(|byte| *black_box(byte) == b'x'));
            }
        }),
        case("parts are sorted", |text| {
            let mut parts: Vec<_> = (0..text.len()).map(|n| (n * 7919) % text.len()).collect();
            parts.sort_unstable();
            black_box(parts);
        }),
    ];
    for case in &linear {
        assert_eq!(case.check_growth(), Ok(()));
    }
}

struct Case {
    name: String,
    grow: Box<dyn Fn(usize) -> Vec<u8>>,
    read: fn(&[u8]),
}

impl Case {
    /// Whether the time grows linearly from one size at least; otherwise the times.
    fn check_growth(&self) -> Result<(), String> {
        let mut times = self.name.clone();
        for bytes in SMALL_BYTES {
            let (small, large) = ((self.grow)(bytes), (self.grow)(bytes * FACTOR));
            let (mut least_small, mut least_large) = (Duration::MAX, Duration::MAX);
            for _ in 0..MAX_TRIES {
                least_small = least_small.min(self.time(&small)).min(self.time(&small));
                least_large = least_large.min(self.time(&large));
                if least_large < NEGLIGIBLE.max(least_small * MAX_RATIO) {
                    return Ok(());
                }
            }
            let _ = write!(times, "; {bytes} bytes {least_small:?}, {FACTOR} times as many {least_large:?}");
        }
        Err(times)
    }

    /// The processor time of reading this.
    fn time(&self, input: &[u8]) -> Duration {
        let start = processor_time();
        (self.read)(input);
        processor_time().saturating_sub(start)
    }
}

/// What this thread has used so far.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

fn read_event(input: &[u8]) {
    if let Ok(payload) = envelope::open_payload(&String::from_utf8_lossy(input)) {
        told(&payload);
    }
}

/// A case for each filling of each field, each list and each object that occurs anywhere; each name of a mail's fields; and
/// each filling by itself.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut seen = HashSet::new();
    for sample in corpus::load() {
        let name = format!("{:?} {}", sample.kind, sample.name);
        match sample.kind {
            Kind::Body | Kind::PeerMessage => {
                let read = if sample.kind == Kind::Body { read_event } else { read_peer };
                let Ok(value) = serde_json::from_slice::<Value>(&sample.bytes) else { continue };
                let what =
                    value["eventType"].as_str().or(value["notificationType"].as_str()).unwrap_or_default();
                let mut paths = Vec::new();
                pointers(&value, &mut String::new(), &mut paths);
                paths.retain(|path| {
                    seen.insert(format!("{:?} {what} {}", sample.kind, without_numbers(path)))
                });
                cases.extend(paths.iter().flat_map(|path| json_cases(&name, &value, path, read)));
            }
            Kind::Mail => {
                let mail = String::from_utf8_lossy(&sample.bytes).into_owned();
                for (index, line) in mail.lines().enumerate() {
                    if seen.insert(line.split(':').next().unwrap_or_default().to_owned()) {
                        cases.extend(mail_cases(&name, &mail, index));
                    }
                }
            }
            _ => {}
        }
    }
    for filling in FILLINGS {
        let text = |bytes: usize| filling.repeat(bytes / filling.len()).into_bytes();
        let whole = |what: &str, read: fn(&[u8])| Case {
            name: format!("{what} of {filling:?}"),
            grow: Box::new(text),
            read,
        };
        cases.push(whole("an event", read_event));
        cases.push(whole("a mail", read_mail));
        cases.push(whole("an address", |input| drop(Address::parse(&String::from_utf8_lossy(input)))));
    }
    cases
}

fn read_peer(input: &[u8]) {
    drop(peer_message::parse_peer_message(&String::from_utf8_lossy(input)));
}

fn read_mail(input: &[u8]) {
    MailStructure::parse(input, true);
    read_event(received(&Value::from(String::from_utf8_lossy(input).as_ref())).as_bytes());
}

/// The JSON pointers of all values in a value.
fn pointers(value: &Value, path: &mut String, found: &mut Vec<String>) {
    found.push(path.clone());
    let mut inner = |name: &str, value: &Value| {
        let length = path.len();
        let _ = write!(path, "/{}", name.replace('~', "~0").replace('/', "~1"));
        pointers(value, path, found);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| inner(name, value)),
        Value::Array(values) => values.iter().enumerate().for_each(|(n, value)| inner(&n.to_string(), value)),
        _ => {}
    }
}

fn without_numbers(path: &str) -> String {
    path.split('/').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join("/")
}

fn json_cases(name: &str, value: &Value, path: &str, read: fn(&[u8])) -> Vec<Case> {
    let grown = |filling: &'static str| {
        let (value, path) = (value.clone(), path.to_owned());
        move |bytes: usize| {
            let mut value = value.clone();
            let Some(field) = value.pointer_mut(&path) else { return Vec::new() };
            match field {
                Value::Array(values) if !values.is_empty() => {
                    let each = values[0].to_string().len() + 1;
                    let first = values[0].clone();
                    values.extend(std::iter::repeat_n(first, bytes / each));
                }
                Value::Object(fields) => {
                    fields.extend((0..bytes / 16).map(|n| (format!("{filling}{n:07}"), Value::from(n))));
                }
                field => *field = Value::from(filling.repeat(bytes / filling.len())),
            }
            value.to_string().into_bytes()
        }
    };
    let is_text = !matches!(value.pointer(path), Some(Value::Array(_) | Value::Object(_)));
    let fillings = if is_text { FILLINGS } else { &FILLINGS[..1] };
    let case = |filling: &&'static str| Case {
        name: format!("{name} {path} of {filling:?}"),
        grow: Box::new(grown(filling)),
        read,
    };
    fillings.iter().map(case).collect()
}

/// The line repeated, and with each filling after its colon.
fn mail_cases(name: &str, mail: &str, line: usize) -> Vec<Case> {
    let grown = |filling: &'static str| {
        let lines: Vec<String> = mail.lines().map(str::to_owned).collect();
        move |bytes: usize| {
            let mut lines = lines.clone();
            let old = &lines[line];
            lines[line] = if filling.is_empty() {
                format!("{old}\r\n").repeat(bytes / (old.len() + 2))
            } else {
                let name = old.split_inclusive(':').next().unwrap_or_default();
                format!("{name} {}", filling.repeat(bytes / filling.len()))
            };
            lines.join("\r\n").into_bytes()
        }
    };
    let case = |filling: &'static str| Case {
        name: format!("{name} line {line} of {filling:?}"),
        grow: Box::new(grown(filling)),
        read: read_mail,
    };
    FILLINGS.iter().copied().chain([""]).map(case).collect()
}
