//! Mutations: damage of the kinds that happen to text on its way, and of those that somebody would think of.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::corpus::{Kind, Sample};
use crate::random::Random;

/// The most bytes of a mutated sample: enough for every cap and limit to be reached.
const MAX_BYTES: usize = 256 * 1024;

/// What is put in: JSON's, MIME's and Unicode's own traps.
const ODDITIES: &[&[u8]] = &[
    br"\ud83d",
    br"\uDE00",
    br"\ud83d\ud83d",
    br"\\ud83d",
    br"\u12",
    br"\x41",
    br"\'",
    br"\",
    b"\n",
    b"\t",
    b"\0",
    b"\x1b[31m",
    b"\"",
    b"\"\"",
    b",",
    b":",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"1e999",
    b"-0",
    b"99999999999999999999999999999",
    b"0.1e-400",
    b"(",
    b")",
    b"<",
    b">",
    b"<a@b>",
    b"@",
    b";",
    b"=?utf-8?b?",
    b"=?iso-2022-jp?B?GyRC?=",
    b"=?x?Q?=41?=",
    b"?=",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"--b\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"\xff",
    b"\xc0\xaf",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    "\u{feff}".as_bytes(),
    "\u{202e}".as_bytes(),
    "\u{ffff}".as_bytes(),
    "\u{85}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "。".as_bytes(),
    "＠".as_bytes(),
    br#""Records":"#,
    br#""eventSource":"aws:sqs","#,
    br#""Type":"Notification","#,
    br#""detail-type":"x","#,
    br#""eventType":"Bounce","#,
    br#""mail":{},"#,
    br#""bounce":null,"#,
    br#""timestamp":"0000-00-00T99:99:99Z","#,
];

/// Makes one mutation of one sample.
pub(crate) struct Mutator<'a> {
    samples: &'a [Sample],
    random: Random,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(samples: &'a [Sample], seed: u64, number: usize) -> Self {
        Self { samples, random: Random::new(seed, number) }
    }

    /// The sample, and what has become of it.
    pub(crate) fn mutate(mut self) -> (&'a Sample, Vec<u8>) {
        let sample = self.random.pick(self.samples);
        let mut bytes = sample.bytes.clone();
        for _ in 0..=self.random.below(4) {
            self.damage(sample.kind, &mut bytes);
            bytes.truncate(MAX_BYTES);
        }
        if sample.kind == Kind::Body {
            for _ in 0..self.random.below(3) {
                bytes = self.wrap(&bytes);
            }
        }
        (sample, bytes)
    }

    fn range(&mut self, bytes: &[u8], max: usize) -> std::ops::Range<usize> {
        let start = self.random.below(bytes.len() + 1);
        start..(start + self.random.below(max)).min(bytes.len())
    }

    fn damage(&mut self, kind: Kind, bytes: &mut Vec<u8>) {
        match self.random.below(10) {
            0 => {
                let at = self.random.below(bytes.len());
                let bit = 1 << self.random.below(8);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= bit;
                }
            }
            1 => drop(bytes.drain(self.range(bytes, 64))),
            2 => {
                let range = self.range(bytes, 64);
                let times = *self.random.pick(&[1, 2, 3, 50, 1000]);
                let again = bytes[range.clone()].repeat(times);
                bytes.splice(range.end..range.end, again);
            }
            3 => {
                let samples = self.samples;
                let other = self.random.pick(samples);
                let from = self.range(&other.bytes, other.bytes.len() + 1);
                let to = self.range(bytes, 256);
                bytes.splice(to, other.bytes[from].iter().copied());
            }
            4 => bytes.truncate(self.random.below(bytes.len() + 1)),
            5 => self.nest(bytes),
            6 => self.replace_value(bytes),
            7 => {
                let (one, other) = (self.random.below(bytes.len()), self.random.below(bytes.len()));
                if !bytes.is_empty() {
                    bytes.swap(one, other);
                }
            }
            _ if kind == Kind::Mail && self.random.below(4) == 0 => {
                let noise: Vec<u8> =
                    (0..self.random.below(64)).map(|_| self.random.below(256).to_le_bytes()[0]).collect();
                let range = self.range(bytes, 8);
                bytes.splice(range, noise);
            }
            _ => {
                let odd = *self.random.pick(ODDITIES);
                let range = self.range(bytes, 3);
                bytes.splice(range, odd.iter().copied());
            }
        }
    }

    /// Puts deep nesting before a value, closed or not.
    fn nest(&mut self, bytes: &mut Vec<u8>) {
        let depth = *self.random.pick(&[1, 5, 127, 128, 129, 3000]);
        let (open, close): (&[u8], &[u8]) = *self.random.pick(&[
            (&b"["[..], &b"]"[..]),
            (&br#"{"a":"#[..], &b"}"[..]),
            (&br#"{"Message":"#[..], &b"}"[..]),
            (&br#"{"detail-type":"x","detail":"#[..], &b"}"[..]),
        ]);
        let colons: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == b':').collect();
        let at = if colons.is_empty() { 0 } else { *self.random.pick(&colons) + 1 };
        let closed = self.random.below(2) == 0;
        let mut nested = open.repeat(depth);
        if closed {
            nested.push(b'1');
            nested.extend(close.repeat(depth));
            nested.push(b',');
        }
        bytes.splice(at..at, nested);
    }

    /// Replaces a member of a JSON object, at any depth, by another value; the text stays JSON.
    fn replace_value(&mut self, bytes: &mut Vec<u8>) {
        let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return };
        let mut at = &mut value;
        for _ in 0..=self.random.below(5) {
            let length = match at {
                Value::Object(fields) => fields.len(),
                Value::Array(values) => values.len(),
                _ => 0,
            };
            let which = self.random.below(length);
            if length == 0 {
                break;
            }
            at = match at {
                Value::Object(fields) => fields.values_mut().nth(which).unwrap(),
                Value::Array(values) => &mut values[which],
                leaf => leaf,
            };
        }
        *at = match self.random.below(7) {
            0 => Value::Null,
            1 => Value::from(true),
            2 => Value::from(u64::MAX),
            3 => serde_json::json!([[]]),
            4 => serde_json::json!({"emailAddress": {"a": 1}}),
            5 => Value::from("x".repeat(self.random.below(5000))),
            _ => at.as_str().map_or(Value::from(-1e300), |text| Value::from(text.repeat(2))),
        };
        *bytes = value.to_string().into_bytes();
    }

    /// Puts an envelope around it.
    fn wrap(&mut self, bytes: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(bytes);
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        let message = Value::from(text.as_ref());
        match self.random.below(4) {
            0 if is_json => format!(
                r#"{{"detail-type":"Email Bounced","source":"aws.ses","region":"us-east-1","account":"123456789012","detail":{text}}}"#
            ),
            1 if is_json => format!(r#"{{"detail-type":"x","source":"aws.ses","detail":{text}}}"#),
            2 => format!(r#"{{"Type":"Notification","Message":{message}}}"#),
            _ => format!(
                r#"{{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:123456789012:local-feedback","Timestamp":"2026-01-01T00:00:00Z","Message":{message}}}"#
            ),
        }
        .into_bytes()
    }
}
