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

use super::address_state::{AddressState, StateChange, pseudonym};
use super::spellings::Spellings;
use super::state::{Statement, SuppressionState};
use crate::escaped_json;
use crate::malformed::{InputProblem, MalformedInput};
use crate::text::{ScalarText, sanitize_text};

/// The version that this code writes, and the only one that it reads.
pub const MESSAGE_VERSION: u32 = 1;
/// The most bytes of a message. SQS takes 1 MiB now and took 256 KiB for long, which stand-ins for it and queues set up
/// with that limit still do. Besides, a smaller message costs less if it is lost.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
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

impl From<PeerState> for StateChange {
    fn from(peer: PeerState) -> Self {
        Self { address: peer.address, spellings: peer.spellings, state: peer.state }
    }
}

/// What a peer's message says, as far as it could be read.
#[derive(Debug, Default)]
pub struct PartialPeerMessage {
    /// The Region that sent the message.
    pub origin_region: String,
    /// The states that could be read.
    pub states: Vec<PeerState>,
    /// The states that could not be read, with their path. The message is not done until somebody has looked at it, but
    /// its other states are joined.
    pub malformed_states: Vec<MalformedInput>,
}

/// Packs states into as few messages as hold them, lazily.
pub fn pack_states<I: IntoIterator<Item = PeerState>>(
    origin_region: &str,
    states: I,
) -> PeerMessages<I::IntoIter> {
    PeerMessages { head: message_head(origin_region), states: states.into_iter(), carried_state: None }
}

fn message_head(origin_region: &str) -> String {
    // A string is JSON whatever it holds.
    let origin = to_ascii_json(&sanitize_text(origin_region, MAX_ORIGIN_CHARS)).unwrap_or_default();
    format!(r#"{{"version":{MESSAGE_VERSION},"origin":{origin},"states":["#)
}

fn to_ascii_json(value: &impl Serialize) -> serde_json::Result<String> {
    escaped_json::to_escaped_json(value, |c| !c.is_ascii())
}

/// The messages that [`pack_states`] makes, one after the other.
#[derive(Debug)]
pub struct PeerMessages<I> {
    head: String,
    states: I,
    /// The state that the last message had no room for.
    carried_state: Option<String>,
}

const MESSAGE_TAIL: &str = "]}";

impl<I: Iterator<Item = PeerState>> Iterator for PeerMessages<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut message = String::new();
        loop {
            let next = self.carried_state.take().or_else(|| {
                // A state has nothing but text and numbers, so JSON can hold it.
                self.states.find_map(|state| to_ascii_json(&state).ok())
            });
            let Some(state) = next else { break };
            if message.is_empty() {
                message.push_str(&self.head);
            } else if message.len() + 1 + state.len() + MESSAGE_TAIL.len() > MAX_MESSAGE_BYTES {
                self.carried_state = Some(state);
                break;
            } else {
                message.push(',');
            }
            message.push_str(&state);
        }
        (!message.is_empty()).then(|| message + MESSAGE_TAIL)
    }
}

/// What a message that a queue has refused is cut into.
#[derive(Debug, PartialEq, Eq)]
pub enum HalvesOrSingleState {
    /// Two messages with half of the states each.
    Halves(String, String),
    /// The message holds only one state: that of the address with this [`pseudonym`].
    SingleState(String),
}

/// Cuts a message that [`pack_states`] made, so that whatever a queue refuses in it costs no more than one state.
///
/// # Errors
/// If the text is no such message.
pub fn halve_message(message: &str) -> Result<HalvesOrSingleState, MalformedInput> {
    let RawPeerMessage { origin, states } = MalformedInput::parse_json(message)?;
    if let [] | [_] = states[..] {
        let RawPeerState { address, .. } =
            MalformedInput::parse_json(states.first().map_or("{}", |state| state.get()))?;
        return Ok(HalvesOrSingleState::SingleState(pseudonym(address.get().unwrap_or_default())));
    }
    let head = message_head(origin.get().unwrap_or_default());
    let (first, second) = states.split_at(states.len() / 2);
    let half = |states: &[&RawValue]| {
        let states: Vec<_> = states.iter().map(|state| state.get()).collect();
        format!("{head}{}{MESSAGE_TAIL}", states.join(","))
    };
    Ok(HalvesOrSingleState::Halves(half(first), half(second)))
}

#[derive(Deserialize)]
struct MessageVersion {
    #[serde(default)]
    version: ScalarText,
}

#[derive(Deserialize)]
struct RawPeerMessage<'a> {
    #[serde(default)]
    origin: ScalarText,
    #[serde(borrow, default)]
    states: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct RawPeerState {
    #[serde(default)]
    address: ScalarText,
    #[serde(default)]
    spellings: Spellings,
    bounced: Option<Statement>,
    complained: Option<Statement>,
    released: Option<Statement>,
}

/// Reads a peer's message.
///
/// # Errors
/// If it is none, or of an unknown version. A state that can't be read costs only itself:
/// [`PartialPeerMessage::malformed_states`].
pub fn parse_peer_message(text: &str) -> Result<PartialPeerMessage, MalformedInput> {
    let version: MessageVersion = MalformedInput::parse_json(text)?;
    let version =
        version.version.get().ok_or_else(|| MalformedInput::new("version", InputProblem::Missing))?;
    if version.parse() != Ok(MESSAGE_VERSION) {
        return Err(MalformedInput::new("version", InputProblem::UnknownVersion).with_excerpt(version));
    }
    let raw: RawPeerMessage<'_> = MalformedInput::parse_json(text)?;
    let origin = raw
        .origin
        .sanitized_text(MAX_ORIGIN_CHARS)
        .ok_or_else(|| MalformedInput::new("origin", InputProblem::Missing))?;
    let mut incoming = PartialPeerMessage { origin_region: origin, ..PartialPeerMessage::default() };
    for (index, state) in raw.states.into_iter().enumerate() {
        match parse_peer_state(state.get()) {
            Ok(state) => incoming.states.push(state),
            Err(error) => incoming.malformed_states.push(error.prefix_field(&format!("states[{index}]"))),
        }
    }
    Ok(incoming)
}

fn parse_peer_state(json: &str) -> Result<PeerState, MalformedInput> {
    let RawPeerState { address, spellings, bounced, complained, released } =
        MalformedInput::parse_json(json)?;
    let address = address.get().ok_or_else(|| MalformedInput::new("address", InputProblem::Missing))?;
    // A spelling of another address would have that one's entry deleted.
    if !spellings.all_match(address) || !Spellings::from_iter([address]).all_match(address) {
        return Err(MalformedInput::new("spellings", InputProblem::NotOneAddress));
    }
    let state = SuppressionState { bounced, complained, released };
    if state == SuppressionState::default() {
        return Err(MalformedInput::new("bounced (or complained, or released)", InputProblem::Missing));
    }
    Ok(PeerState { address: address.to_owned(), spellings, state })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suppression::{StatementSource, SuppressionReason};
    use crate::timestamp::Timestamp;

    fn state(n: usize) -> PeerState {
        let at = Timestamp::parse("2026-01-27T14:59:38.237Z").unwrap();
        let said = Statement {
            at,
            source: StatementSource::Bounce,
            region: "us-east-1".to_owned(),
            id: "0100".to_owned(),
        };
        PeerState {
            address: format!("jane{n}@example.com"),
            spellings: Spellings::from_iter([format!("Jane{n}@example.com")]),
            state: SuppressionState::from_reason(SuppressionReason::Bounce, said),
        }
    }

    #[test]
    fn the_text_of_a_message() {
        let messages: Vec<_> = pack_states("us-east-1", [state(1)]).collect();
        assert_eq!(
            messages,
            [concat!(
                r#"{"version":1,"origin":"us-east-1","states":[{"address":"jane1@example.com","#,
                r#""spellings":["Jane1@example.com"],"bounced":{"at":"2026-01-27T14:59:38.237Z","#,
                r#""source":"bounce","region":"us-east-1","id":"0100"}}]}"#
            )]
        );
        assert_eq!(pack_states("us-east-1", []).next(), None);
    }

    #[test]
    fn many_states_are_few_messages_and_none_is_lost() {
        let states: Vec<_> = (0..5_000).map(state).collect();
        let messages: Vec<_> = pack_states("us-east-1", states.iter().cloned()).collect();
        assert!(messages.iter().all(|message| message.len() <= MAX_MESSAGE_BYTES));
        assert!(
            messages[..messages.len() - 1].iter().all(|message| message.len() > MAX_MESSAGE_BYTES - 1024)
        );
        assert_eq!(messages.len(), 4);
        let read: Vec<_> = messages
            .iter()
            .flat_map(|message| {
                let incoming = parse_peer_message(message).unwrap();
                assert_eq!(
                    (incoming.origin_region.as_str(), incoming.malformed_states),
                    ("us-east-1", vec![])
                );
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
        let messages: Vec<_> = pack_states("us-east-1", [odd.clone()]).collect();
        assert!(messages[0].is_ascii());
        assert!(messages[0].contains(r"\ud83c\udff3\uffff\ufdd0\u00fc@"), "{}", messages[0]);
        let incoming = parse_peer_message(&messages[0]).unwrap();
        assert_eq!((incoming.states, incoming.malformed_states), (vec![odd], vec![]));
    }

    #[test]
    fn a_refused_message_is_cut_down_to_the_state() {
        let states: Vec<_> = (0..5).map(state).collect();
        let message = pack_states("us-east-1", states.iter().cloned()).next().unwrap();
        let (mut rest, mut read_back, mut names) = (vec![message], Vec::new(), Vec::new());
        while let Some(message) = rest.pop() {
            match halve_message(&message).unwrap() {
                HalvesOrSingleState::Halves(first, second) => rest.extend([second, first]),
                HalvesOrSingleState::SingleState(name) => {
                    let incoming = parse_peer_message(&message).unwrap();
                    assert_eq!(incoming.origin_region, "us-east-1");
                    read_back.extend(incoming.states);
                    names.push(name);
                }
            }
        }
        assert_eq!(read_back, states);
        assert_eq!(names, states.iter().map(|state| pseudonym(&state.address)).collect::<Vec<_>>());
        assert!(halve_message("Hello").is_err());
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
            let error = parse_peer_message(text).unwrap_err().to_string();
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
            let incoming = parse_peer_message(&text).unwrap();
            assert_eq!(incoming.states.len(), 2);
            let error = incoming.malformed_states[0].to_string();
            assert!(error.starts_with(expected), "{bad}: {error}");
        }
    }
}
