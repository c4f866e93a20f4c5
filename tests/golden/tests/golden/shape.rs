//! What 405ee81 requires of items and messages: attributes, whether they must be there, and their types. The tables are
//! derived from that commit's source: its types with their `serde` attributes. It ignores attributes that are not named here,
//! and takes null for an absent attribute.

use mailroom_core::timestamp::Timestamp;
use serde_json::Value;

/// A type of 405ee81.
#[derive(Clone, Copy)]
pub(crate) enum Type {
    Any,
    Flag,
    /// A whole number that is not negative.
    Number,
    Text,
    /// RFC 3339 in UTC with milliseconds, since sort keys and conditions compare it as text.
    Time,
    /// One of these texts.
    Word(&'static [&'static str]),
    List(&'static Type),
    Map(&'static [Attribute]),
    /// A map of one attribute.
    Variant(&'static [Attribute]),
}

use Type::{Any, Flag, List, Map, Number, Text, Time, Variant, Word};

/// An attribute's name, whether it must be there, and its type.
pub(crate) type Attribute = (&'static str, Presence, Type);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Presence {
    Required,
    Optional,
}

use Presence::{Optional, Required};

const REASON: Type = Word(&["bounce", "complaint"]);

const STATEMENT: Type = Map(&[
    ("at", Required, Time),
    ("source", Required, Text),
    ("region", Required, Text),
    ("id", Optional, Text),
]);

pub(crate) const STATE: Type = Map(&[
    ("pk", Required, Text),
    ("sk", Required, Word(&["SUPPRESSION"])),
    ("address", Required, Text),
    ("shard", Required, Text),
    ("changed_at", Required, Time),
    (
        "state",
        Required,
        Map(&[
            ("bounced", Optional, STATEMENT),
            ("complained", Optional, STATEMENT),
            ("released", Optional, STATEMENT),
        ]),
    ),
    ("spellings", Required, List(&Text)),
    ("version", Required, Number),
    ("pending", Optional, Text),
    ("due_at", Optional, Time),
    ("pending_since", Optional, Time),
    (
        "applied",
        Optional,
        Map(&[
            ("reason", Optional, REASON),
            ("at", Required, Time),
            ("left_off", Optional, Flag),
            ("trusted", Optional, Flag),
        ]),
    ),
    (
        "outcome",
        Optional,
        Map(&[
            (
                "kind",
                Required,
                Word(&["applied", "refused_sandbox", "reason_not_enabled", "failed", "failed_for_good"]),
            ),
            ("at", Required, Time),
            ("why", Optional, Text),
            ("tries", Optional, Number),
        ]),
    ),
    (
        "job",
        Optional,
        Map(&[("key", Required, Text), ("version", Required, Number), ("reason", Optional, REASON)]),
    ),
    ("decisions", Optional, List(&Text)),
]);

pub(crate) const FEEDBACK: Type = Map(&[
    ("pk", Required, Text),
    ("sk", Required, Text),
    ("kind", Required, Text),
    ("event_id", Required, Text),
    ("occurred_at", Required, Time),
    ("recipient", Required, Text),
    ("address", Required, Text),
    ("sent_at", Optional, Time),
    ("decidable", Optional, Word(&["bounce", "complaint", "transient", "undetermined"])),
    ("tenant", Optional, Text),
    ("candidates", Optional, Number),
]);

pub(crate) const DECISION: Type = Map(&[
    ("pk", Required, Text),
    ("sk", Required, Text),
    ("kind", Required, Text),
    ("decidable", Required, Word(&["operator"])),
    ("decided_at", Required, Time),
    ("action", Required, Word(&["suppress", "release"])),
    ("reason", Optional, REASON),
    ("recipient", Required, Text),
    ("address", Required, Text),
    ("who", Required, Text),
    ("why", Required, Text),
]);

/// 405ee81 does not read these. Those who use the table do.
pub(crate) const RECEIVED: Type = Map(&[
    ("pk", Required, Text),
    ("sk", Required, Text),
    ("kind", Required, Text),
    ("address", Required, Text),
    ("recipient", Required, Text),
    ("message_id", Required, Text),
    ("occurred_at", Required, Time),
    ("mail_from", Optional, Text),
    ("from", Required, List(&Map(&[("name", Optional, Text), ("address", Optional, Text)]))),
    ("subject", Optional, Text),
    ("header_message_id", Optional, Text),
    ("in_reply_to", Optional, Text),
    ("references", Required, List(&Text)),
    ("disposition", Required, Word(&["clean", "suspect", "reject"])),
    (
        "verdicts",
        Required,
        Map(&[
            ("spam", Optional, Text),
            ("virus", Optional, Text),
            ("spf", Optional, Text),
            ("dkim", Optional, Text),
            ("dmarc", Optional, Text),
        ]),
    ),
    ("loop_signs", Required, Map(&[("auto_reply_ok", Optional, Flag), ("null_sender", Required, Flag)])),
    (
        "reference",
        Required,
        Map(&[("bucket", Required, Text), ("key", Required, Text), ("size", Optional, Number)]),
    ),
    ("expires_at", Required, Number),
]);

pub(crate) const MESSAGE: Type = Map(&[
    ("version", Required, Number),
    ("origin", Required, Text),
    (
        "states",
        Required,
        List(&Map(&[
            ("address", Required, Text),
            ("spellings", Optional, List(&Text)),
            ("bounced", Optional, STATEMENT),
            ("complained", Optional, STATEMENT),
            ("released", Optional, STATEMENT),
        ])),
    ),
]);

pub(crate) const LEASE: Type = Map(&[
    ("pk", Required, Text),
    ("sk", Required, Text),
    ("holder", Required, Text),
    ("until", Required, Time),
]);

const PLACE: Type = Map(&[("shard", Required, Number), ("after", Optional, CURSOR)]);
const CURSOR: Type = Map(&[("at", Required, Time), ("pk", Required, Text)]);
const PASS: Type =
    Map(&[("started_at", Required, Time), ("ended_at", Optional, Time), ("entries", Required, Number)]);

/// The contents of notes, by their names.
pub(crate) const NOTES: [(&str, Type); 8] = [
    (
        "audit",
        Map(&[
            ("held_until", Optional, Time),
            ("open", Optional, Map(&[("started_at", Required, Time), ("tries", Required, Number)])),
            ("last", Optional, Time),
        ]),
    ),
    ("first-pass", Map(&[("ended_at", Required, Time)])),
    (
        "import-job",
        Map(&[
            (
                "intent",
                Optional,
                Map(&[
                    ("key", Required, Text),
                    ("deletes", Required, Flag),
                    ("planned_at", Required, Time),
                    ("tried_at", Optional, Time),
                    ("id", Optional, Text),
                ]),
            ),
            ("singly_until", Optional, Time),
        ]),
    ),
    (
        "peer-eu-west-1",
        Map(&[
            ("until", Optional, Time),
            ("everything_at", Optional, Time),
            (
                "walk",
                Optional,
                Map(&[
                    ("started_at", Required, Time),
                    ("everything", Required, Flag),
                    ("since", Required, Time),
                    ("shard", Required, Number),
                    ("after", Optional, CURSOR),
                ]),
            ),
        ]),
    ),
    (
        "reconcile",
        Map(&[
            (
                "open",
                Optional,
                Map(&[
                    ("started_at", Required, Time),
                    ("chunks", Required, Number),
                    (
                        "step",
                        Required,
                        Variant(&[
                            ("List", Optional, Text),
                            ("States", Optional, PLACE),
                            ("Confirm", Optional, PLACE),
                        ]),
                    ),
                    ("counts", Required, Map(&[("entries", Optional, Number), ("gone", Optional, Number)])),
                ]),
            ),
            ("last", Optional, PASS),
        ]),
    ),
    ("reconcile-seen-0", Map(&[("pass", Required, Time), ("bits", Required, Text)])),
    (
        "records",
        Map(&[
            ("last", Optional, Time),
            (
                "open",
                Optional,
                Map(&[
                    ("started_at", Required, Time),
                    ("after", Optional, Map(&[("pk", Required, Text), ("sk", Required, Text)])),
                ]),
            ),
        ]),
    ),
    (
        "setup",
        Map(&[
            ("remembered", Optional, Any),
            (
                "requests",
                Optional,
                List(&Map(&[
                    ("id", Required, Text),
                    ("answer", Optional, Map(&[("failed", Optional, Text)])),
                ])),
            ),
        ]),
    ),
];

/// The shape of a note's content; `None` if 405ee81 has no note of this name.
pub(crate) fn of_note(name: &str) -> Option<Type> {
    NOTES.into_iter().find(|(known, _)| *known == name).map(|(_, shape)| shape)
}

/// Checks that a value has all that is required of it, and nothing of another type.
pub(crate) fn assert_fits(value: &Value, shape: Type, path: &str) {
    let fits = match shape {
        Any => true,
        Flag => value.is_boolean(),
        Number => {
            value.as_u64().is_some()
                || value.as_f64().is_some_and(|number| number >= 0.0 && number.fract() == 0.0)
        }
        Text => value.is_string(),
        Time => value.as_str().is_some_and(|text| {
            Timestamp::parse(text).is_some_and(|time| time.to_string() == text) && text.len() == 24
        }),
        Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        List(of) => {
            for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
                assert_fits(entry, *of, &format!("{path}[{index}]"));
            }
            value.is_array()
        }
        Map(attributes) => {
            for (name, presence, of) in attributes {
                match value.get(name).filter(|value| !value.is_null()) {
                    Some(value) => assert_fits(value, *of, &format!("{path}.{name}")),
                    None => assert!(*presence == Optional, "{path}.{name} is missing"),
                }
            }
            value.is_object()
        }
        Variant(of) => {
            let one = value
                .as_object()
                .filter(|variants| variants.len() == 1)
                .and_then(|variants| variants.keys().next());
            assert!(one.is_some_and(|name| of.iter().any(|(known, ..)| known == name)), "{path}: {value}");
            assert_fits(value, Map(of), path);
            true
        }
    };
    assert!(fits, "{path} is of another type: {value}");
}
