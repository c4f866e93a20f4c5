//! What Regions tell each other: many addresses' states in a message, as JSON.
//!
//! ```json
//! {"version": 1, "origin": "us-east-1", "states": [{
//!   "address": "jane@example.com", "spellings": ["Jane@example.com"],
//!   "bounced": {"at": "2026-01-27T14:59:38.237Z", "source": "bounce", "region": "us-east-1", "id": "0100…"}}]}
//! ```
//!
//! What is not ASCII is escaped. SQS takes only the characters of XML 1.0: it refuses a message with any other, such as
//! U+FFFF, or used to put U+FFFD in its place, which makes another address of it.
//!
//! Fields that a newer version adds are left out; a version that this one can't read is refused, and comes back from the
//! queue until this Region has been brought up to date.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::item::{AddressState, Change, pseudonym};
use super::spellings::Spellings;
use super::state::{Said, SuppressionState};
use crate::escaped_json;
use crate::malformed::{Malformed, Problem};
use crate::text::{Text, visible};

/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// The most bytes of a message. SQS takes 1 MiB now and took 256 KiB for long, which stand-ins for it and queues set up
/// with that limit still do. Besides, a smaller message costs less if it is lost.
pub const MAX_BYTES: usize = 256 * 1024;
/// The most bytes of a sending Region's name, with room to spare.
const MAX_ORIGIN_CHARS: usize = 64;

/// One address, as a peer is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerState {
    /// The address in match form.
    pub address: String,
    /// The spellings in which the origin knows the address.
    pub spellings: Spellings,
    /// What was said, in the origin and elsewhere.
    #[serde(flatten)]
    pub state: SuppressionState,
}

impl From<&AddressState> for PeerState {
    fn from(item: &AddressState) -> Self {
        Self {
            address: item.address().to_owned(),
            spellings: item.spellings().clone(),
            state: item.state().clone(),
        }
    }
}

impl From<PeerState> for Change {
    fn from(peer: PeerState) -> Self {
        Self { address: peer.address, spellings: peer.spellings, state: peer.state }
    }
}

/// What a peer's message says.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The Region that sent the message.
    pub origin: String,
    /// The states that could be read.
    pub states: Vec<PeerState>,
    /// The states that could not be read, with their path. The message is not done until somebody has looked at it, but
    /// its other states are joined.
    pub malformed: Vec<Malformed>,
}

/// Packs states into as few messages as hold them, lazily.
pub fn pack<I: IntoIterator<Item = PeerState>>(origin: &str, states: I) -> Pack<I::IntoIter> {
    Pack { head: head(origin), states: states.into_iter(), carried: None }
}

fn head(origin: &str) -> String {
    // A string is JSON whatever it holds.
    let origin = ascii(&visible(origin, MAX_ORIGIN_CHARS)).unwrap_or_default();
    format!(r#"{{"version":{VERSION},"origin":{origin},"states":["#)
}

fn ascii(value: &impl Serialize) -> serde_json::Result<String> {
    escaped_json::to_string(value, |c| !c.is_ascii())
}

/// The messages that [`pack`] makes, one after the other.
#[derive(Debug)]
pub struct Pack<I> {
    head: String,
    states: I,
    /// The state that the last message had no room for.
    carried: Option<String>,
}

const TAIL: &str = "]}";

impl<I: Iterator<Item = PeerState>> Iterator for Pack<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut message = String::new();
        loop {
            let next = self.carried.take().or_else(|| {
                // A state has nothing but text and numbers, so JSON can hold it.
                self.states.find_map(|state| ascii(&state).ok())
            });
            let Some(state) = next else { break };
            if message.is_empty() {
                message.push_str(&self.head);
            } else if message.len() + 1 + state.len() + TAIL.len() > MAX_BYTES {
                self.carried = Some(state);
                break;
            } else {
                message.push(',');
            }
            message.push_str(&state);
        }
        (!message.is_empty()).then(|| message + TAIL)
    }
}

/// What a message that a queue has refused is cut into.
#[derive(Debug, PartialEq, Eq)]
pub enum Cut {
    /// Two messages with half of the states each.
    Halves(String, String),
    /// The message holds only one state: that of the address with this [`pseudonym`].
    State(String),
}

/// Cuts a message that [`pack`] made, so that whatever a queue refuses in it costs no more than one state.
///
/// # Errors
/// If the text is no such message.
pub fn cut(message: &str) -> Result<Cut, Malformed> {
    let Raw { origin, states } = Malformed::parse(message)?;
    if let [] | [_] = states[..] {
        let RawState { address, .. } = Malformed::parse(states.first().map_or("{}", |state| state.get()))?;
        return Ok(Cut::State(pseudonym(address.get().unwrap_or_default())));
    }
    let head = head(origin.get().unwrap_or_default());
    let (first, second) = states.split_at(states.len() / 2);
    let half = |states: &[&RawValue]| {
        let states: Vec<_> = states.iter().map(|state| state.get()).collect();
        format!("{head}{}{TAIL}", states.join(","))
    };
    Ok(Cut::Halves(half(first), half(second)))
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    version: Text,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(default)]
    origin: Text,
    #[serde(borrow, default)]
    states: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawState {
    #[serde(default)]
    address: Text,
    #[serde(default)]
    spellings: Spellings,
    bounced: Option<Said>,
    complained: Option<Said>,
    released: Option<Said>,
}

/// Reads a peer's message.
///
/// # Errors
/// If it is none, or of an unknown version. A state that can't be read costs only itself: [`Incoming::malformed`].
pub fn read(text: &str) -> Result<Incoming, Malformed> {
    let version: Versioned = Malformed::parse(text)?;
    let version = version.version.get().ok_or_else(|| Malformed::new("version", Problem::Missing))?;
    if version.parse() != Ok(VERSION) {
        return Err(Malformed::new("version", Problem::UnknownVersion).quoting(version));
    }
    let raw: Raw<'_> = Malformed::parse(text)?;
    let origin =
        raw.origin.visible(MAX_ORIGIN_CHARS).ok_or_else(|| Malformed::new("origin", Problem::Missing))?;
    let mut incoming = Incoming { origin, ..Incoming::default() };
    for (index, state) in raw.states.into_iter().enumerate() {
        match read_state(state.get()) {
            Ok(state) => incoming.states.push(state),
            Err(error) => incoming.malformed.push(error.within(&format!("states[{index}]"))),
        }
    }
    Ok(incoming)
}

fn read_state(json: &str) -> Result<PeerState, Malformed> {
    let RawState { address, spellings, bounced, complained, released } = Malformed::parse(json)?;
    let address = address.get().ok_or_else(|| Malformed::new("address", Problem::Missing))?;
    // A spelling of another address would have that one's entry deleted.
    if !spellings.all_match(address) || !Spellings::from_iter([address]).all_match(address) {
        return Err(Malformed::new("spellings", Problem::NotOneAddress));
    }
    let state = SuppressionState { bounced, complained, released };
    if state == SuppressionState::default() {
        return Err(Malformed::new("bounced (or complained, or released)", Problem::Missing));
    }
    Ok(PeerState { address: address.to_owned(), spellings, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suppression::{Reason, Source};
    use crate::timestamp::Timestamp;

    fn state(n: usize) -> PeerState {
        let at = Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap();
        let said = Said { at, source: Source::Bounce, region: "us-east-1".to_owned(), id: "0100".to_owned() };
        PeerState {
            address: format!("jane{n}@example.com"),
            spellings: Spellings::from_iter([format!("Jane{n}@example.com")]),
            state: SuppressionState::suppressed(Reason::Bounce, said),
        }
    }

    #[test]
    fn the_text_of_a_message() {
        let messages: Vec<_> = pack("us-east-1", [state(1)]).collect();
        assert_eq!(
            messages,
            [concat!(
                r#"{"version":1,"origin":"us-east-1","states":[{"address":"jane1@example.com","#,
                r#""spellings":["Jane1@example.com"],"bounced":{"at":"2026-01-27T14:59:38.237Z","#,
                r#""source":"bounce","region":"us-east-1","id":"0100"}}]}"#
            )]
        );
        assert_eq!(pack("us-east-1", []).next(), None);
    }

    #[test]
    fn many_states_are_few_messages_and_none_is_lost() {
        let states: Vec<_> = (0..5_000).map(state).collect();
        let messages: Vec<_> = pack("us-east-1", states.iter().cloned()).collect();
        assert!(messages.iter().all(|message| message.len() <= MAX_BYTES));
        assert!(messages[..messages.len() - 1].iter().all(|message| message.len() > MAX_BYTES - 1024));
        assert_eq!(messages.len(), 4);
        let read: Vec<_> = messages
            .iter()
            .flat_map(|message| {
                let incoming = read(message).unwrap();
                assert_eq!((incoming.origin.as_str(), incoming.malformed), ("us-east-1", vec![]));
                incoming.states
            })
            .collect();
        assert_eq!(read, states);
    }

    #[test]
    fn what_is_not_ascii_is_escaped() {
        let address = "\u{1f3f3}\u{ffff}\u{fdd0}ü@example.com";
        let odd =
            PeerState { address: address.to_owned(), spellings: Spellings::from_iter([address]), ..state(1) };
        let messages: Vec<_> = pack("us-east-1", [odd.clone()]).collect();
        assert!(messages[0].is_ascii());
        assert!(messages[0].contains(r"\ud83c\udff3\uffff\ufdd0\u00fc@"), "{}", messages[0]);
        let incoming = read(&messages[0]).unwrap();
        assert_eq!((incoming.states, incoming.malformed), (vec![odd], vec![]));
    }

    #[test]
    fn a_refused_message_is_cut_down_to_the_state() {
        let states: Vec<_> = (0..5).map(state).collect();
        let message = pack("us-east-1", states.iter().cloned()).next().unwrap();
        let (mut rest, mut read_back, mut names) = (vec![message], Vec::new(), Vec::new());
        while let Some(message) = rest.pop() {
            match cut(&message).unwrap() {
                Cut::Halves(first, second) => rest.extend([second, first]),
                Cut::State(name) => {
                    let incoming = read(&message).unwrap();
                    assert_eq!(incoming.origin, "us-east-1");
                    read_back.extend(incoming.states);
                    names.push(name);
                }
            }
        }
        assert_eq!(read_back, states);
        assert_eq!(names, states.iter().map(|state| pseudonym(&state.address)).collect::<Vec<_>>());
        assert!(cut("Hello").is_err());
    }

    #[test]
    fn what_cannot_be_read_names_its_field() {
        let cases = [
            ("Hello", "payload: not JSON: Hello"),
            ("{}", "version: missing or empty"),
            (r#"{"version":2,"origin":7}"#, "version: of an unknown version: 2"),
            (r#"{"version":1}"#, "origin: missing or empty"),
            (r#"{"version":1,"origin":"x","states":7}"#, "states: of the wrong type"),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_bad_state_costs_only_itself_and_a_new_field_nothing() {
        let good = r#"{"address":"a@example.com","spellings":["A@example.com"],"released":{"at":"2026-01-01T00:00:00Z","source":"operator","region":"x"},"more":{}}"#;
        let bad = [
            (r"7", "states[1]: of the wrong type"),
            (r#"{"spellings":[]}"#, "states[1].address: missing or empty"),
            (
                r#"{"address":"a@example.com"}"#,
                "states[1].bounced (or complained, or released): missing or empty",
            ),
            (r#"{"address":"A@example.com"}"#, "states[1].spellings: not spellings of one address"),
            (
                r#"{"address":"a@example.com","spellings":["b@example.com"]}"#,
                "states[1].spellings: not spellings of one address",
            ),
            (
                r#"{"address":"a@example.com","bounced":{"at":"soon"}}"#,
                "states[1].bounced.at: of the wrong type",
            ),
            (r#"{"address":"a@example.com","bounced":{}}"#, "states[1].bounced.at: missing or empty"),
        ];
        for (bad, expected) in bad {
            let text = format!(r#"{{"version":"1","origin":"x","states":[{good},{bad},{good}],"more":1}}"#);
            let incoming = read(&text).unwrap();
            assert_eq!(incoming.states.len(), 2);
            let error = incoming.malformed[0].to_string();
            assert!(error.starts_with(expected), "{bad}: {error}");
        }
    }
}
