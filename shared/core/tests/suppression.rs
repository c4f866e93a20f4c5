//! The laws of suppression, over generated histories: events, echoes, operators' decisions and lists, in several Regions,
//! delivered in any order and any number of times.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use std::time::Duration;

use mailroom_core::address::Address;
use mailroom_core::envelope;
use mailroom_core::evidence::Decidable;
use mailroom_core::feedback::{self, Retention};
use mailroom_core::notification::{Format, Reading};
use mailroom_core::suppression::item::{
    Applied, Attempt, JobRecord, OutcomeKind, Site, ToDo, Wait, shard, shards,
};
use mailroom_core::suppression::message::{self, PeerState};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::{Candidates, Leave, Policy, Tenants, Threshold, Verdict};
use mailroom_core::suppression::reconcile::{self, Action, Entry, Gone, Listing, Pass};
use mailroom_core::suppression::spellings::Spellings;
use mailroom_core::suppression::{
    AddressState, Change, FeedbackFact, Reason, Said, Source, SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use proptest::prelude::*;

const JANE: &str = "jane@example.com";
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];
const HERE: Site<'static> = Site { region: "us-east-1", first_pass_ended: true, trust_origin: false };

/// Seconds after a day in 2026.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_780_000_000 + seconds) * 1000).unwrap()
}

fn day(days: i64) -> Timestamp {
    at(days * 86_400)
}

fn said(seconds: i64, source: Source) -> Said {
    Said { at: at(seconds), source, region: REGIONS[1].to_owned(), id: seconds.to_string() }
}

fn change(state: SuppressionState) -> Change {
    Change { address: JANE.to_owned(), spellings: Spellings::from_iter(["Jane@example.com"]), state }
}

fn bounce(seconds: i64) -> Change {
    change(SuppressionState::suppressed(Reason::Bounce, said(seconds, Source::Bounce)))
}

fn complaint(seconds: i64) -> Change {
    change(SuppressionState::suppressed(Reason::Complaint, said(seconds, Source::Complaint)))
}

fn release(seconds: i64) -> Change {
    change(SuppressionState::released(said(seconds, Source::Operator)))
}

fn told(decidable: Option<Decidable>, occurred_at: Timestamp, event_id: &str) -> FeedbackFact {
    FeedbackFact {
        kind: if decidable == Some(Decidable::Complaint) { "complaint" } else { "bounce" }.to_owned(),
        event_id: event_id.to_owned(),
        occurred_at,
        sent_at: None,
        decidable,
        recipient: "Jane@example.com".to_owned(),
        address: JANE.to_owned(),
        tenant: None,
        candidates: None,
        format: Some(Format::Event),
    }
}

/// The policy with soft bounces counted.
fn counting() -> Policy {
    Policy { transient: Some(Threshold::default()), ..Policy::default() }
}

fn advanced(known: Option<&AddressState>, change: &Change, now: i64) -> AddressState {
    AddressState::advance(known, change, at(now)).unwrap()
}

fn written(item: &AddressState, reason: Option<Reason>, now: i64) -> AddressState {
    item.attempted(item.version(), Attempt::Written { reason, enabled: true }, at(now))
}

// ---- the state

fn any_said() -> impl Strategy<Value = Option<Said>> {
    let source = prop::sample::select(vec![Source::Bounce, Source::Operator, Source::List]);
    let said = (0_i64..6, source, 0_usize..3, 0_u8..2).prop_map(|(seconds, source, region, id)| Said {
        at: at(seconds),
        source,
        region: REGIONS[region].to_owned(),
        id: id.to_string(),
    });
    prop::option::of(said)
}

fn any_state() -> impl Strategy<Value = SuppressionState> {
    (any_said(), any_said(), any_said()).prop_map(|(bounced, complained, released)| SuppressionState {
        bounced,
        complained,
        released,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn joining_is_a_join(a in any_state(), b in any_state(), c in any_state()) {
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(&a.join(&a), &a);
        prop_assert_eq!(&a.join(&SuppressionState::default()), &a);
        let joined = a.join(&b);
        prop_assert_eq!(&joined.join(&a), &joined);
        prop_assert!(joined.bounced >= a.bounced && joined.complained >= a.complained && joined.released >= a.released);
    }

    #[test]
    fn a_join_never_weakens_what_is_in_force_without_a_release(a in any_state(), b in any_state()) {
        let joined = a.join(&b);
        if b.released_at() <= a.released_at() {
            prop_assert!(joined.effective() >= a.effective());
        }
        // A complaint becomes a bounce only by a release after it.
        if a.effective() == Some(Reason::Complaint) && joined.effective() == Some(Reason::Bounce) {
            prop_assert!(joined.released_at() >= a.complained_at());
        }
    }

    #[test]
    fn a_release_is_not_undone_by_older_evidence(a in any_state(), evidence in any_state()) {
        let evidence = SuppressionState { released: None, ..evidence };
        if a.effective().is_none() && evidence.last_said_at() <= a.released_at() {
            prop_assert_eq!(a.join(&evidence).effective(), None);
        }
    }

    #[test]
    fn a_state_reads_back_as_it_was_written(state in any_state(), now in 0_i64..9) {
        if let Some(item) = AddressState::advance(None, &change(state), at(now)) {
            let text = serde_json::to_string(&item).unwrap();
            prop_assert_eq!(&serde_json::from_str::<AddressState>(&text).unwrap(), &item);
            // An absent attribute keeps an item out of a sparse index; a NULL one is an error.
            prop_assert!(!text.contains("null"));
            let sent: Vec<_> = message::pack("us-east-1", [PeerState::from(&item)]).collect();
            let incoming = message::read(&sent[0]).unwrap();
            prop_assert!(incoming.malformed.is_empty());
            prop_assert_eq!(&incoming.states[0], &PeerState::from(&item));
        }
    }

    #[test]
    fn no_text_panics_as_a_message(text in "\\PC*", at in 0_usize..400, with in ".{0,2}") {
        let _ = message::read(&text);
        let item = advanced(None, &bounce(1), 1);
        let mut sent: Vec<char> = message::pack("us-east-1", [PeerState::from(&item)]).next().unwrap().chars().collect();
        let at = at.min(sent.len() - 1);
        sent.splice(at..=at, with.chars());
        let _ = message::read(&sent.into_iter().collect::<String>());
    }
}

// ---- several Regions

/// A record in one Region's table.
#[derive(Debug, Clone)]
enum Happened {
    Feedback { region: usize, decidable: Option<Decidable>, second: i64, event: u8 },
    Decided { region: usize, suppress: Option<Reason>, second: i64, overrules: Option<i64> },
}

fn any_history() -> impl Strategy<Value = Vec<Happened>> {
    let decidable = prop::sample::select(vec![
        Some(Decidable::Bounce),
        Some(Decidable::Complaint),
        Some(Decidable::Transient),
        Some(Decidable::Transient),
        Some(Decidable::Undetermined),
        None,
    ]);
    let suppress = prop::sample::select(vec![None, None, Some(Reason::Bounce), Some(Reason::Complaint)]);
    // So few different times that many are the same.
    let event = (0_usize..3, decidable, 0_i64..40, 0_u8..8).prop_map(|(region, decidable, second, event)| {
        Happened::Feedback { region, decidable, second, event }
    });
    let decision = (0_usize..3, suppress, 0_i64..40, prop::option::of(0_i64..80)).prop_map(
        |(region, suppress, second, overrules)| Happened::Decided { region, suppress, second, overrules },
    );
    prop::collection::vec(prop_oneof![3 => event, 1 => decision], 0..16)
}

/// The states of three Regions, each of which decides on its own records.
#[derive(Debug, Default)]
struct World {
    items: [Option<AddressState>; 3],
    records: [Vec<FeedbackFact>; 3],
}

impl World {
    /// A Region reads a record, which stands in its table by then, as do those that it has read before.
    fn take_in(&mut self, happened: &Happened) {
        // So few that they are often reached.
        let threshold = Threshold { events: 3, days: 1, within_days: 1 };
        let policy = Policy { transient: Some(threshold), count_undetermined: true, ..Policy::default() };
        match happened {
            Happened::Feedback { region, decidable, second, event } => {
                // An event has one time and says one thing.
                let id = format!("{decidable:?} {second} {event}");
                let new = told(*decidable, at(*second), &id);
                self.records[*region].push(new.clone());
                let verdict = policy.judge(&new, &self.records[*region]);
                if let Some(change) = new.change(&verdict, REGIONS[*region]) {
                    self.join(*region, &change);
                } else {
                    assert!(!matches!(decidable, Some(Decidable::Bounce | Decidable::Complaint)));
                }
            }
            Happened::Decided { region, suppress, second, overrules } => {
                let address = Address::parse("JANE@example.com").unwrap();
                let released = overrules.map(|at| said(at, Source::Operator));
                let known = SuppressionState { released, ..SuppressionState::default() };
                let decision =
                    OperatorDecision::new(&address, *suppress, "ops", "why", at(*second), &known, "");
                self.join(*region, &decision.change(REGIONS[*region]));
            }
        }
    }

    fn take_in_all(&mut self, history: &[Happened]) {
        for happened in history {
            self.take_in(happened);
        }
    }

    fn join(&mut self, region: usize, change: &Change) {
        let before = self.items[region].as_ref();
        if let Some(next) = AddressState::advance(before, change, at(1_000)) {
            assert_eq!(next.version(), before.map_or(0, AddressState::version) + 1);
            // Nothing is ever in force that the list neither has nor will get.
            let applied = next.applied().and_then(|applied| applied.reason);
            assert!(next.is_pending() || next.effective() == applied);
            self.items[region] = Some(next);
        }
    }

    fn tell(&mut self, from: usize, to: usize) {
        let Some(item) = &self.items[from] else { return };
        let messages: Vec<_> = message::pack(REGIONS[from], [PeerState::from(item)]).collect();
        for state in message::read(&messages[0]).unwrap().states {
            self.join(to, &Change::from(state));
        }
    }

    /// Each tells each, and what a Region heard last it tells on.
    fn tell_all(&mut self) {
        for (from, to) in [(0, 1), (1, 2), (2, 0), (0, 1)] {
            self.tell(from, to);
        }
    }

    fn states(&self) -> Vec<Option<&SuppressionState>> {
        self.items.iter().map(|item| item.as_ref().map(AddressState::state)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// However the Regions' messages are interleaved, lost, repeated: once each has heard of each, all say the same.
    #[test]
    fn all_regions_converge(
        history in any_history(),
        messages in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3, 0_usize..3), 0..20),
        last in Just((0..3).flat_map(|from| (0..3).map(move |to| (from, to))).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut world = World::default();
        for (n, event) in history.iter().enumerate() {
            for (_, from, to) in messages.iter().filter(|(after, ..)| after.index(history.len()) == n) {
                world.tell(*from, *to);
            }
            world.take_in(event);
        }
        // What reconcile pushes, twice: what a Region heard last it tells on.
        for (from, to) in last.iter().chain(&last).chain(&last) {
            world.tell(*from, *to);
        }
        let states = world.states();
        prop_assert_eq!(states[0], states[1]);
        prop_assert_eq!(states[1], states[2]);
        // And telling it again changes nothing.
        let versions = |world: &World| world.items.each_ref().map(|item| item.as_ref().map(AddressState::version));
        let before = versions(&world);
        for (from, to) in last {
            world.tell(from, to);
        }
        prop_assert_eq!(before, versions(&world));
    }

    /// In whatever order the records are read, some of them again, and whenever the Regions tell each other: the states are
    /// the same.
    #[test]
    fn the_order_of_records_does_not_matter(
        (history, shuffled) in any_history().prop_flat_map(|history| {
            let again = prop::sample::subsequence(history.clone(), 0..=history.len());
            let all = again.prop_map({ let history = history.clone(); move |again| [history.clone(), again].concat() });
            (Just(history), all.prop_shuffle())
        }),
        messages in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3, 0_usize..3), 0..20),
    ) {
        let mut in_order = World::default();
        in_order.take_in_all(&history);
        in_order.tell_all();
        let mut world = World::default();
        for (n, event) in shuffled.iter().enumerate() {
            world.take_in(event);
            for (_, from, to) in messages.iter().filter(|(after, ..)| after.index(shuffled.len()) == n) {
                world.tell(*from, *to);
            }
        }
        world.tell_all();
        prop_assert_eq!(in_order.states(), world.states());
    }

    /// A batch of the stream that is delivered again, whole or from any record on, changes nothing.
    #[test]
    fn a_batch_again_changes_nothing(history in any_history(), from in any::<prop::sample::Index>()) {
        let mut world = World::default();
        world.take_in_all(&history);
        // By then all of it stands in the table.
        world.take_in_all(&history);
        let once = format!("{:?}", world.items);
        if !history.is_empty() {
            world.take_in_all(&history[from.index(history.len())..]);
        }
        prop_assert_eq!(once, format!("{:?}", world.items));
    }

    /// A release stands against whatever was read before it and whatever is older, whenever that arrives; and against
    /// nothing that is newer.
    #[test]
    fn the_last_release_stands_until_newer_evidence(history in any_history(), late in 0_i64..1_000) {
        let mut world = World::default();
        world.take_in_all(&history);
        let address = Address::parse(JANE).unwrap();
        let known = world.items[0].as_ref().map(|item| item.state().clone()).unwrap_or_default();
        let release = OperatorDecision::new(&address, None, "ops", "why", at(1_000), &known, "");
        world.join(0, &release.change(REGIONS[0]));
        prop_assert_eq!(world.items[0].as_ref().unwrap().effective(), None);
        for (second, id, expected) in [(late, "late", None), (2_000, "new", Some(Reason::Bounce))] {
            let bounce = told(Some(Decidable::Bounce), at(second), id);
            let verdict = Policy::default().judge(&bounce, []);
            world.join(0, &bounce.change(&verdict, REGIONS[0]).unwrap());
            prop_assert_eq!(world.items[0].as_ref().unwrap().effective(), expected);
        }
    }
}

/// A peer's complaint four minutes after a release, which the operator had not read.
#[test]
fn a_complaint_after_a_release_stands_whichever_arrives_first() {
    let address = Address::parse(JANE).unwrap();
    let release =
        OperatorDecision::new(&address, None, "ops", "why", at(0), &SuppressionState::default(), "");
    let release = release.change(REGIONS[0]);
    let complaint = told(Some(Decidable::Complaint), at(240), "1");
    let complaint = complaint.change(&Policy::default().judge(&complaint, []), REGIONS[1]).unwrap();
    for order in [[&release, &complaint], [&complaint, &release]] {
        let item = AddressState::advance_all(None, &order.map(Change::clone), at(300)).unwrap();
        assert_eq!(item.effective(), Some(Reason::Complaint));
    }
}

#[test]
fn an_echo_decides_nothing() {
    let text = |kind: &str, subtype: &str| {
        format!(
            r#"{{"eventType":"{kind}","mail":{{"messageId":"m","timestamp":"2026-01-01T00:00:00Z",
                "destination":["jane@example.com"]}},
            "bounce":{{"bounceType":"{subtype}","bounceSubType":"OnAccountSuppressionList","timestamp":"2026-01-01T00:00:01Z",
                "bouncedRecipients":[{{"emailAddress":"jane@example.com","action":"failed","status":"5.1.1"}}]}},
            "complaint":{{"complaintSubType":"OnAccountSuppressionList","timestamp":"2026-01-01T00:00:01Z",
                "complainedRecipients":[{{"emailAddress":"jane@example.com"}}]}}}}"#
        )
    };
    let policy = Policy {
        count_undetermined: true,
        transient: Some(Threshold { events: 1, days: 1, within_days: 1 }),
        ..Policy::default()
    };
    for (kind, subtype) in
        [("Bounce", "Permanent"), ("Bounce", "Transient"), ("Bounce", "Undetermined"), ("Complaint", "")]
    {
        let payload = envelope::open(&text(kind, subtype)).unwrap();
        let Ok(Reading::Feedback(notification)) = &payload.messages[0].reading else { panic!("{payload:?}") };
        let normalized =
            feedback::normalize(notification, &payload.messages[0].origin, None, Retention::default())
                .unwrap();
        let record = serde_json::to_value(&normalized.records[0]).unwrap();
        assert_eq!((record.get("decidable"), &record["evidence"]), (None, &serde_json::Value::Null));
        let told: FeedbackFact = serde_json::from_value(record).unwrap();
        let verdict = policy.judge(&told, [&told]);
        assert_eq!(verdict, Verdict::Leave(Leave::NotDecidable));
        assert_eq!(told.change(&verdict, "us-east-1"), None);
    }
}

// ---- the policy

#[test]
fn at_once_or_not_at_all() {
    let suppress = |reason, source| Verdict::Suppress { reason, source, at: at(5), id: "1".to_owned() };
    let default = Policy::default();
    let strict = Policy { candidates: Candidates::None, tenants: Tenants::TheirOwn, ..Policy::default() };
    let bounce = told(Some(Decidable::Bounce), at(5), "1");
    let complaint = told(Some(Decidable::Complaint), at(5), "1");
    let several = FeedbackFact { candidates: Some(3), ..complaint.clone() };
    let one = FeedbackFact { candidates: Some(1), ..complaint.clone() };
    let tenants = FeedbackFact { tenant: Some("blue".to_owned()), ..bounce.clone() };
    let bounced = suppress(Reason::Bounce, Source::Bounce);
    let complained = suppress(Reason::Complaint, Source::Complaint);
    let cases = [
        (&default, &bounce, bounced.clone()),
        (&default, &complaint, complained.clone()),
        (&default, &several, complained.clone()),
        (&strict, &several, Verdict::Leave(Leave::Candidates)),
        (&strict, &one, complained.clone()),
        (&strict, &complaint, complained),
        (&default, &tenants, bounced),
        (&strict, &tenants, Verdict::Leave(Leave::Tenant)),
    ];
    for (policy, new, expected) in cases {
        assert_eq!(policy.history(new), None);
        assert_eq!(policy.judge(new, []), expected, "{policy:?} {new:?}");
    }
    // Nothing bounces before it is sent.
    let sent_later = FeedbackFact { sent_at: Some(at(7)), ..bounce };
    let change = sent_later.change(&default.judge(&sent_later, []), REGIONS[0]).unwrap();
    assert_eq!((sent_later.counts_from(), change.state.bounced_at()), (at(7), Some(at(7))));
}

/// Days and event ids; the last one is new.
type Events = &'static [Event];
/// A day and an event id.
type Event = (i64, &'static str);

fn transient(events: Events) -> Vec<FeedbackFact> {
    events.iter().map(|(days, id)| told(Some(Decidable::Transient), day(*days), id)).collect()
}

#[test]
fn a_dead_mailbox_by_its_transient_bounces() {
    // The last column is the first of the events that are needed: a release after that starts the count again.
    let cases: [(&str, Events, Option<Event>); 9] = [
        ("enough", &[(0, "a"), (0, "b"), (1, "c"), (1, "d"), (2, "e")], Some((0, "a"))),
        ("more than enough", &[(0, "a"), (0, "b"), (1, "c"), (1, "d"), (2, "e"), (3, "f")], Some((0, "b"))),
        ("four", &[(0, "a"), (1, "c"), (1, "d"), (2, "e")], None),
        ("on two days", &[(0, "a"), (0, "b"), (1, "c"), (1, "d"), (1, "e")], None),
        ("one event in two formats", &[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (3, "d")], None),
        ("a month and more", &[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (31, "e")], None),
        ("a month", &[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (30, "e")], Some((0, "a"))),
        ("the last arrives first", &[(9, "e"), (0, "a"), (1, "b"), (3, "d"), (2, "c")], Some((0, "a"))),
        (
            "the window ends before others",
            &[(60, "f"), (0, "a"), (1, "b"), (3, "d"), (4, "e"), (2, "c")],
            Some((0, "a")),
        ),
    ];
    let policy = counting();
    for (name, events, expected) in cases {
        let events = transient(events);
        let new = events.last().unwrap();
        let window = policy.history(new).unwrap();
        assert_eq!(window.end().since(*window.start()), Duration::from_hours(24) * 60, "{name}");
        let verdict = policy.judge(new, &events);
        let expected =
            expected.map_or(Verdict::Leave(Leave::BelowThreshold), |(days, id)| Verdict::Suppress {
                reason: Reason::Bounce,
                source: Source::Transient,
                at: day(days),
                id: id.to_owned(),
            });
        assert_eq!(verdict, expected, "{name}");
        // The new one need not be among those before it.
        assert_eq!(policy.judge(new, &events[..events.len() - 1]), expected, "{name}");
    }
}

#[test]
fn what_starts_the_count_again_and_what_does_not_count() {
    let policy = counting();
    // Whether the address is suppressed, if it was released so many days after.
    let reached = |policy: &Policy, events: &[FeedbackFact], released: Option<i64>| {
        let new = events.last().unwrap();
        let state = new.change(&policy.judge(new, events), REGIONS[0]).map(|change| change.state);
        let release = released.map(|days| SuppressionState::released(said(days * 86_400, Source::Operator)));
        state.unwrap_or_default().join(&release.unwrap_or_default()).effective().is_some()
    };
    let events = transient(&[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e")]);
    assert!(reached(&policy, &events, None));
    assert!(!reached(&policy, &events, Some(0)));
    assert!(!reached(&policy, &events, Some(2)));
    assert!(reached(&policy, &events, Some(-1)));

    let delivered = |days| FeedbackFact { kind: "delivery".to_owned(), ..told(None, day(days), "x") };
    let with = |told: FeedbackFact| [vec![told], events.clone()].concat();
    assert!(!reached(&policy, &with(delivered(2)), None));
    // The last bounce was found late, and mail has arrived meanwhile.
    assert!(!reached(&policy, &with(delivered(5)), None));
    assert!(reached(&policy, &with(delivered(-1)), None));
    assert!(reached(
        &policy,
        &with(FeedbackFact { address: "joe@example.com".to_owned(), ..delivered(2) }),
        None
    ));

    for other in [
        FeedbackFact { decidable: None, ..events[0].clone() },
        FeedbackFact { decidable: Some(Decidable::Undetermined), ..events[0].clone() },
        FeedbackFact { decidable: Some(Decidable::Bounce), ..events[0].clone() },
        FeedbackFact { address: "joe@example.com".to_owned(), ..events[0].clone() },
    ] {
        let events = [vec![other.clone()], events[1..].to_vec()].concat();
        assert!(!reached(&policy, &events, None), "{other:?}");
        let undetermined = Policy { count_undetermined: true, ..counting() };
        assert_eq!(reached(&undetermined, &events, None), other.decidable == Some(Decidable::Undetermined));
    }

    let own = Policy { tenants: Tenants::TheirOwn, ..counting() };
    let tenants = FeedbackFact { tenant: Some("blue".to_owned()), ..events[0].clone() };
    assert!(!reached(&own, &[vec![tenants], events[1..].to_vec()].concat(), None));
    // An identity's notifications tell of no deliveries in between.
    let identity = |fact: &FeedbackFact| FeedbackFact { format: Some(Format::Identity), ..fact.clone() };
    let by_identity: Vec<_> = events.iter().map(identity).collect();
    assert_eq!(policy.history(&by_identity[4]), None);
    assert_eq!(policy.judge(&by_identity[4], &by_identity), Verdict::Leave(Leave::NotDecidable));
    assert!(!reached(&policy, &[by_identity[..1].to_vec(), events[1..].to_vec()].concat(), None));

    // By default they are not counted at all.
    let none = Policy::default();
    assert_eq!(none.history(&events[4]), None);
    assert_eq!(none.judge(&events[4], &events), Verdict::Leave(Leave::NotDecidable));
}

proptest! {
    /// In whatever order transient bounces arrive, once all have, the address is suppressed or not, from the same time on;
    /// and not for what came before a mail that is known to have been delivered.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (events, shuffled) in prop::collection::vec((0_i64..60, 0_u8..8), 1..14).prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
        delivered in prop::option::of(0_i64..60),
    ) {
        let delivered: Vec<_> = delivered.into_iter().map(|days| FeedbackFact { kind: "delivery".to_owned(), ..told(None, day(days), "d") }).collect();
        let state = |events: &[(i64, u8)]| {
            let mut arrived: Vec<FeedbackFact> = delivered.clone();
            let mut state = SuppressionState::default();
            for (days, id) in events {
                // One event has one time.
                let id = format!("{days}-{id}");
                arrived.push(told(Some(Decidable::Transient), day(*days), &id));
                let new = arrived.last().unwrap();
                let verdict = counting().judge(new, &arrived);
                if let Some(change) = new.change(&verdict, "us-east-1") {
                    state = state.join(&change.state);
                }
            }
            state.bounced_at()
        };
        prop_assert_eq!(state(&events), state(&shuffled));
        if let Some(delivered) = delivered.first() {
            prop_assert!(state(&events).is_none_or(|bounced_at| bounced_at > delivered.occurred_at));
        }
    }
}

// ---- the item

/// A batch of the stream that ends with a crash comes again, and all of it may be of one address.
#[test]
fn a_batch_of_decisions_is_taken_in_once() {
    let address = Address::parse(JANE).unwrap();
    let mut item = None;
    let changes: Vec<_> = (0..200)
        .map(|n: i64| {
            let suppress = (n % 2 == 0).then_some(Reason::Bounce);
            let known = item.as_ref().map(AddressState::state).cloned().unwrap_or_default();
            // The operator's clock stands still.
            let decision = OperatorDecision::new(&address, suppress, "ops", "why", at(0), &known, "");
            let change = decision.change(REGIONS[0]);
            item = Some(advanced(item.as_ref(), &change, 200));
            change
        })
        .collect();
    assert_eq!(AddressState::advance_all(item.as_ref(), &changes, at(300)), None);
    assert_eq!(item.unwrap().effective(), None);
}

#[test]
fn pending_until_applied_and_again_when_something_is_said() {
    let item = advanced(None, &bounce(10), 12);
    let put = ToDo::Put { spelling: "Jane@example.com".to_owned(), reason: Reason::Bounce };
    assert_eq!(item.to_do(HERE, at(12)), put);
    assert_eq!((item.version(), item.pending_since(), item.changed_at()), (1, Some(at(12)), at(12)));
    let item = written(&item, Some(Reason::Bounce), 13);
    assert_eq!(item.to_do(HERE, at(13)), ToDo::Nothing);
    assert_eq!(item.outcome().unwrap().kind, OutcomeKind::Applied);
    assert_eq!(AddressState::advance(Some(&item), &bounce(10), at(14)), None);

    // Evidence from before the list was written needs no more of it.
    let item = advanced(Some(&item), &bounce(12), 15);
    assert_eq!((item.to_do(HERE, at(15)), item.changed_at()), (ToDo::Nothing, at(15)));
    // After it, the entry may have been taken off by hand.
    let item = advanced(Some(&item), &bounce(16), 17);
    assert_eq!(item.to_do(HERE, at(17)), put);
    let item = written(&item, Some(Reason::Bounce), 18);

    let item = advanced(Some(&item), &complaint(11), 19);
    assert!(matches!(item.to_do(HERE, at(19)), ToDo::Put { reason: Reason::Complaint, .. }));
    let item = written(&item, Some(Reason::Complaint), 20);
    let item = advanced(Some(&item), &release(21), 22);
    let spellings = vec!["Jane@example.com".to_owned(), JANE.to_owned()];
    assert_eq!(item.to_do(HERE, at(22)), ToDo::Delete { spellings });
    assert_eq!(written(&item, None, 23).to_do(HERE, at(23)), ToDo::Nothing);
}

/// However often it was spelled otherwise, what is found on the list is deleted from it, and so is the match form.
#[test]
fn a_spelling_beyond_the_cap_is_deleted_once_it_is_found() {
    let spelled = |n: u32| {
        let letters = "example".char_indices();
        let cased = letters.map(|(i, c)| if n >> i & 1 == 1 { c.to_ascii_uppercase() } else { c });
        format!("jane@{}.com", cased.collect::<String>())
    };
    let change = Change { spellings: (1..40).map(spelled).collect(), ..release(10) };
    let item = written(&advanced(None, &change, 10), None, 11);
    let found = "JANE@example.com";
    let deleted = |item: &AddressState| match item.to_do(HERE, at(20)) {
        ToDo::Delete { spellings } => spellings,
        other => panic!("{other:?}"),
    };
    let marked = item.marked([JANE], None, at(12)).unwrap();
    assert!(!deleted(&marked).iter().any(|spelling| spelling == found));
    let marked = item.marked([found], None, at(12)).unwrap();
    assert!(
        [found, JANE].iter().all(|expected| deleted(&marked).iter().any(|spelling| spelling == expected))
    );
}

#[test]
fn what_was_said_meanwhile_stays_pending() {
    let read = advanced(None, &bounce(10), 12);
    let now = advanced(Some(&read), &release(13), 13);
    let now = now.attempted(
        read.version(),
        Attempt::Written { reason: Some(Reason::Bounce), enabled: true },
        at(14),
    );
    assert_eq!(
        now.applied(),
        Some(Applied { reason: Some(Reason::Bounce), at: at(14), left_off: false, trusted: false })
    );
    assert!(matches!(now.to_do(HERE, at(14)), ToDo::Delete { .. }));
}

#[test]
fn an_import_job_holds_its_addresses() {
    let pending = advanced(None, &bounce(10), 12);
    let held = pending.in_job("import/put/1.json");
    assert_eq!(held.to_do(HERE, at(900)), ToDo::Wait(Wait::Job));
    assert_eq!(held.job_ended("import/put/2.json", JobRecord::Written { enabled: true }, at(20)), None);
    let done = held.job_ended("import/put/1.json", JobRecord::Written { enabled: true }, at(20)).unwrap();
    assert_eq!((done.to_do(HERE, at(20)), done.job()), (ToDo::Nothing, None));
    assert_eq!(done.applied().unwrap().reason, Some(Reason::Bounce));

    // A release that comes meanwhile is done after the job, and is not undone by it.
    let released = advanced(Some(&held), &release(15), 15);
    assert_eq!(released.to_do(HERE, at(15)), ToDo::Wait(Wait::Job));
    let ended =
        released.job_ended("import/put/1.json", JobRecord::Written { enabled: true }, at(20)).unwrap();
    assert_eq!(ended.applied().unwrap().reason, Some(Reason::Bounce));
    assert!(matches!(ended.to_do(HERE, at(20)), ToDo::Delete { .. }));
    // A straggler's write does not take it out of the job.
    let straggled = held.attempted(
        pending.version(),
        Attempt::Written { reason: Some(Reason::Bounce), enabled: true },
        at(13),
    );
    assert_eq!(straggled.to_do(HERE, at(13)), ToDo::Wait(Wait::Job));

    let failed =
        held.job_ended("import/put/1.json", JobRecord::Failed { why: "x".to_owned() }, at(20)).unwrap();
    assert_eq!(failed.to_do(HERE, at(79)), ToDo::Wait(Wait::NotDue));
    assert!(matches!(failed.to_do(HERE, at(80)), ToDo::Put { .. }));
}

#[test]
fn an_overdue_job_holds_nothing_and_what_it_may_undo_is_done_again_until_it_has_ended() {
    const KEY: &str = "import/put/1.json";
    let held = advanced(None, &complaint(10), 12).in_job(KEY);
    assert_eq!(held.job_overdue("import/put/2.json", at(20)), None);
    let overdue = held.job_overdue(KEY, at(20)).unwrap();
    assert_eq!((overdue.job(), overdue.overdue_job().unwrap().reason), (None, Some(Reason::Complaint)));
    assert!(matches!(overdue.to_do(HERE, at(20)), ToDo::Put { .. }));
    // It may do what is in force: that is no trouble.
    let put = written(&overdue, Some(Reason::Complaint), 30);
    assert!(!put.is_pending());
    // But not once something else is.
    let released = written(&advanced(Some(&put), &release(40), 41), None, 42);
    assert_eq!(released.to_do(HERE, at(42 + 3599)), ToDo::Wait(Wait::NotDue));
    assert!(matches!(released.to_do(HERE, at(42 + 3600)), ToDo::Delete { .. }));
    assert_eq!(released.pending_since(), released.due_at(), "until then the list is right");
    let by_job = entry(JANE, Reason::Complaint, 50_000);
    let leave = Action::Leave(reconcile::Leave::Pending);
    assert_eq!(judged(std::slice::from_ref(&by_job), Some(&released)).0, leave);
    // Nor is its complaint joined into a bounce that came after the release.
    let bounced = advanced(Some(&released), &bounce(60), 61);
    assert_eq!(judged(std::slice::from_ref(&by_job), Some(&bounced)).0, leave);
    let bounced = written(&bounced, Some(Reason::Bounce), 62);
    assert_eq!(judged(&[by_job], Some(&bounced)).0, leave);
    // After its end it is done a last time.
    let ended = released.job_ended(KEY, JobRecord::Unknown, at(5_000)).unwrap();
    assert!(matches!(ended.to_do(HERE, at(5_000)), ToDo::Delete { .. }));
    assert_eq!(written(&ended, None, 5_001).to_do(HERE, at(99_999)), ToDo::Nothing);
    // What it did counts, unless something has happened since it became overdue.
    let done = JobRecord::Written { enabled: true };
    assert_eq!(overdue.job_ended(KEY, done.clone(), at(90)).unwrap().to_do(HERE, at(90)), ToDo::Nothing);
    let again = released.job_ended(KEY, done, at(90)).unwrap();
    assert!(matches!(again.to_do(HERE, at(90)), ToDo::Delete { .. }));
}

#[test]
fn what_fails_waits_longer_each_time_until_something_new_is_said() {
    let mut item = advanced(None, &bounce(10), 12);
    let failed = |may_pass| Attempt::Failed { why: "no\u{1b}\n".repeat(300), may_pass };
    for wait in [60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600, 21_600] {
        item = item.attempted(item.version(), failed(true), at(20));
        assert_eq!(item.to_do(HERE, at(20 + wait - 1)), ToDo::Wait(Wait::NotDue));
        assert!(matches!(item.to_do(HERE, at(20 + wait)), ToDo::Put { .. }));
    }
    let outcome = item.outcome().unwrap();
    assert_eq!((outcome.tries, outcome.why.as_ref().unwrap().chars().count()), (11, 256));
    assert_eq!(item.pending_since(), Some(at(12)));
    item = advanced(Some(&item), &bounce(30), 31);
    assert!(matches!(item.to_do(HERE, at(31)), ToDo::Put { .. }));
    assert_eq!(item.outcome(), None);
    for _ in 0..2 {
        item = item.attempted(item.version(), failed(false), at(32));
    }
    assert_eq!(item.to_do(HERE, at(99_999)), ToDo::Nothing);
    item = advanced(Some(&item), &bounce(33), 34);
    item = item.attempted(item.version(), Attempt::RefusedSandbox, at(35));
    assert_eq!((item.to_do(HERE, at(99_999)), item.applied()), (ToDo::Nothing, None));
    assert_eq!(item.outcome().unwrap().kind, OutcomeKind::RefusedSandbox);
    item = advanced(Some(&item), &bounce(36), 37);
    let not_enabled = Attempt::Written { reason: Some(Reason::Bounce), enabled: false };
    item = item.attempted(item.version(), not_enabled, at(38));
    assert_eq!(
        (item.to_do(HERE, at(99_999)), item.outcome().unwrap().kind),
        (ToDo::Nothing, OutcomeKind::ReasonNotEnabled)
    );
}

#[test]
fn before_the_first_pass_only_complaints_are_put_and_ses_may_be_trusted_with_its_own() {
    let before = Site { first_pass_ended: false, ..HERE };
    assert_eq!(advanced(None, &bounce(1), 2).to_do(before, at(2)), ToDo::Wait(Wait::FirstPass));
    assert!(matches!(advanced(None, &complaint(1), 2).to_do(before, at(2)), ToDo::Put { .. }));
    assert!(matches!(advanced(None, &release(1), 2).to_do(before, at(2)), ToDo::Delete { .. }));

    let own = |source| {
        let said = Said { region: HERE.region.to_owned(), ..said(1, source) };
        advanced(None, &change(SuppressionState::suppressed(Reason::Bounce, said)), 2)
    };
    let trusting = Site { trust_origin: true, ..HERE };
    assert_eq!(own(Source::Bounce).to_do(trusting, at(2)), ToDo::Trust(Reason::Bounce));
    assert!(matches!(own(Source::Bounce).to_do(HERE, at(2)), ToDo::Put { .. }));
    assert!(matches!(own(Source::Transient).to_do(trusting, at(2)), ToDo::Put { .. }));
    assert!(matches!(advanced(None, &bounce(1), 2).to_do(trusting, at(2)), ToDo::Put { .. }));
}

#[test]
fn what_was_left_off_comes_back_with_new_evidence_only() {
    let item = written(&advanced(None, &bounce(10), 12), Some(Reason::Bounce), 13).left_off(at(1_000));
    let mut elsewhere = bounce(10);
    elsewhere.spellings.add("JANE@example.com");
    assert!(!advanced(Some(&item), &elsewhere, 1_001).is_pending());
    assert!(!advanced(Some(&item), &release(5), 1_001).is_pending());
    assert!(advanced(Some(&item), &bounce(11), 1_001).is_pending());
    assert!(advanced(Some(&item), &complaint(9), 1_001).is_pending());
}

#[test]
fn an_item_is_spread_over_the_indexes_by_its_address() {
    let mut counts = std::collections::BTreeMap::new();
    for n in 0..16_000 {
        *counts.entry(shard(&format!("{n}@example.com"))).or_insert(0) += 1;
    }
    assert!(counts.keys().cloned().eq(shards()));
    assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
    let item = serde_json::to_value(advanced(None, &bounce(10), 12)).unwrap();
    assert_eq!((&item["pk"], &item["sk"]), (&"ADDR#jane@example.com".into(), &"SUPPRESSION".into()));
    assert_eq!((&item["shard"], &item["pending"]), (&shard(JANE).into(), &shard(JANE).into()));
}

// ---- reconcile

fn entry(spelling: &str, reason: Reason, seconds: i64) -> Entry {
    Entry { spelling: spelling.to_owned(), reason, updated_at: at(seconds) }
}

fn listing(entries: &[Entry]) -> Listing {
    let (mut listings, unread) = Listing::group(entries.iter().cloned());
    assert_eq!((listings.len(), unread), (1, 0));
    listings.remove(0)
}

/// A pass long after everything.
fn pass() -> Pass<'static> {
    Pass::new("us-east-1", at(100_000))
}

/// What is done, and what is pending after.
fn judged(entries: &[Entry], item: Option<&AddressState>) -> (Action, Option<AddressState>) {
    let listing = (!entries.is_empty()).then(|| listing(entries));
    let action = reconcile::judge(listing.as_ref(), item, &pass());
    let next = reconcile::carried_out(&action, listing.as_ref(), item, &pass(), at(100_001));
    (action, next)
}

#[test]
fn what_stood_there_is_taken_in_with_its_own_time() {
    let old = [entry("Jane@example.com", Reason::Bounce, -5_000), entry(JANE, Reason::Complaint, -9_000)];
    let (action, item) = judged(&old, None);
    assert_eq!(action, Action::TakeIn(old[1].clone()));
    let item = item.unwrap();
    assert_eq!(item.state().complained.as_ref().unwrap().source, Source::List);
    assert_eq!((item.state().complained_at(), item.is_pending()), (Some(at(-9_000)), false));
    assert!(item.spellings().iter().eq([JANE, "Jane@example.com"]));
    // The next pass finds nothing to do.
    let later = Pass::new("us-east-1", at(200_000));
    assert_eq!(reconcile::judge(Some(&listing(&old)), Some(&item), &later), Action::Agree);
    assert_eq!(
        judged(&[entry("bounce@simulator.amazonses.com", Reason::Bounce, 0)], None).0,
        Action::Leave(reconcile::Leave::Simulator)
    );
}

#[test]
fn a_spelling_that_is_listed_and_was_not_known_is_recorded_as_long_as_there_is_room() {
    let item = written(&advanced(None, &bounce(10), 12), Some(Reason::Bounce), 13);
    let entries =
        [entry("Jane@example.com", Reason::Bounce, 13), entry("JANE@example.com", Reason::Bounce, 500)];
    let (action, next) = judged(&entries, Some(&item));
    assert_eq!(action, Action::Spell);
    let next = next.unwrap();
    assert!(next.spellings().iter().eq(["Jane@example.com", "JANE@example.com"]));
    // Nothing else is: not when, nor how it was applied, nor that there is anything to do.
    assert_eq!((next.applied(), next.outcome()), (item.applied(), item.outcome()));
    assert!(!next.is_pending() && next.state() == item.state());
    let later = Pass::new("us-east-1", at(200_000));
    assert_eq!(reconcile::judge(Some(&listing(&entries)), Some(&next), &later), Action::Agree);
    // A release deletes both.
    let released = advanced(Some(&next), &release(300_000), 300_001);
    let ToDo::Delete { spellings } = released.to_do(HERE, at(300_002)) else { panic!("{released:?}") };
    assert!(spellings.iter().any(|spelling| spelling == "JANE@example.com"));
}

#[test]
fn a_complaint_that_stands_there_is_joined_into_a_bounce_that_waits() {
    let waiting = advanced(None, &bounce(10), 12);
    let complained = entry(JANE, Reason::Complaint, -9_000);
    let (action, item) = judged(std::slice::from_ref(&complained), Some(&waiting));
    assert_eq!(action, Action::Join(complained.clone()));
    assert!(matches!(item.unwrap().to_do(HERE, at(100_001)), ToDo::Put { reason: Reason::Complaint, .. }));
    // But not by an import job that may have written it.
    assert_eq!(judged(&[complained], Some(&waiting.in_job("k"))).0, Action::Leave(reconcile::Leave::Job));
}

#[test]
fn released_but_listed_is_deleted_in_every_spelling_unless_it_is_newer() {
    let released = written(&advanced(Some(&advanced(None, &bounce(10), 12)), &release(20), 21), None, 22);
    let (action, item) = judged(&[entry("JANE@example.com", Reason::Bounce, 30)], Some(&released));
    assert_eq!(action, Action::Delete);
    let spellings = ["Jane@example.com", "JANE@example.com", JANE].map(str::to_owned).to_vec();
    assert_eq!(item.unwrap().to_do(HERE, at(100_001)), ToDo::Delete { spellings });
    // Within the margin it may still be our own; after it, it is SES's.
    assert_eq!(judged(&[entry(JANE, Reason::Bounce, 322)], Some(&released)).0, Action::Delete);
    let newer = entry(JANE, Reason::Bounce, 323);
    let (action, item) = judged(std::slice::from_ref(&newer), Some(&released));
    assert_eq!(action, Action::TakeIn(newer));
    let item = item.unwrap();
    assert_eq!((item.effective(), item.is_pending()), (Some(Reason::Bounce), false));
}

#[test]
fn gone_is_confirmed_then_left_off_or_put_back() {
    let item = written(&advanced(None, &bounce(10), 12), Some(Reason::Bounce), 13);
    assert_eq!(judged(&[], Some(&item)), (Action::Confirm, None));
    let found = entry("Jane@example.com", Reason::Bounce, 13);
    assert_eq!(reconcile::confirmed(Some(found), &item, &pass()), Action::Agree);
    assert_eq!(reconcile::confirmed(None, &item, &pass()), Action::LeaveOff);
    let off = reconcile::carried_out(&Action::LeaveOff, None, Some(&item), &pass(), at(100_001)).unwrap();
    let later = Pass::new("us-east-1", at(200_000));
    assert_eq!(reconcile::judge(None, Some(&off), &later), Action::Leave(reconcile::Leave::LeftOff));
    let back = Pass { gone: Gone::PutBack, ..pass() };
    let action = reconcile::confirmed(None, &item, &back);
    assert_eq!(action, Action::Put(None));
    let item = reconcile::carried_out(&action, None, Some(&item), &back, at(100_001)).unwrap();
    assert!(matches!(item.to_do(HERE, at(100_001)), ToDo::Put { .. }));
}

#[test]
fn the_entry_with_the_wrong_reason_is_the_one_that_is_put_over() {
    let item = written(&advanced(None, &complaint(10), 12), Some(Reason::Complaint), 13);
    let wrong = entry("JANE@example.com", Reason::Bounce, 50);
    let (action, item) = judged(std::slice::from_ref(&wrong), Some(&item));
    assert_eq!(action, Action::Put(Some(wrong)));
    let spelling = "JANE@example.com".to_owned();
    assert_eq!(item.unwrap().to_do(HERE, at(100_001)), ToDo::Put { spelling, reason: Reason::Complaint });
}

#[test]
fn an_own_complaint_from_before_a_release_was_heard_of_is_no_new_one() {
    let complained = written(&advanced(None, &complaint(10), 12), Some(Reason::Complaint), 5_000);
    // Told late by a peer: released before that was written, and bounced after.
    let released = advanced(Some(&complained), &release(20), 6_000);
    let bounced = advanced(Some(&released), &bounce(400), 6_001);
    let item = written(&bounced, Some(Reason::Bounce), 6_100);
    let entries = [entry("JANE@example.com", Reason::Complaint, 5_000), entry(JANE, Reason::Bounce, 6_100)];
    let (action, next) = judged(&entries, Some(&item));
    assert_eq!(action, Action::Put(Some(entries[0].clone())));
    assert_eq!(next.unwrap().effective(), Some(Reason::Bounce));
    // One that is newer than all that we wrote is SES's.
    let newer = entry("JANE@example.com", Reason::Complaint, 6_401);
    assert_eq!(judged(std::slice::from_ref(&newer), Some(&item)).0, Action::Join(newer));
}

#[test]
fn a_refusal_is_believed_when_it_is_repeated() {
    let item = advanced(None, &bounce(10), 12);
    let refused = |item: &AddressState, why: &str, now| {
        item.attempted(item.version(), Attempt::Failed { why: why.to_owned(), may_pass: false }, at(now))
    };
    let kind = |item: &AddressState| item.outcome().map(|outcome| outcome.kind);
    let once = refused(&item, "sandbox", 13);
    assert_eq!((kind(&once), once.is_pending()), (Some(OutcomeKind::Failed), true));
    let otherwise = refused(&once, "no such thing", 100);
    assert_eq!((kind(&otherwise), otherwise.is_pending()), (Some(OutcomeKind::Failed), true));
    let twice = refused(&otherwise, "no such thing", 200);
    assert_eq!((kind(&twice), twice.is_pending()), (Some(OutcomeKind::FailedForGood), false));
}

#[test]
fn what_moved_is_judged_in_the_next_pass_and_the_sandbox_when_it_is_left() {
    let item = written(&advanced(None, &bounce(99_000), 99_600), Some(Reason::Bounce), 99_700);
    assert_eq!(judged(&[], Some(&item)).0, Action::Leave(reconcile::Leave::Moved));
    let refused = advanced(None, &bounce(10), 12);
    let refused = refused.attempted(refused.version(), Attempt::RefusedSandbox, at(13));
    let sandbox = Pass { sandbox: true, ..pass() };
    assert_eq!(reconcile::judge(None, Some(&refused), &sandbox), Action::Leave(reconcile::Leave::Sandbox));
    assert_eq!(judged(&[], Some(&refused)).0, Action::Put(None));
}

#[test]
fn entries_are_grouped_by_address_and_what_is_none_is_counted() {
    let entries = [
        entry("B@example.com", Reason::Bounce, 1),
        entry("a@example.com", Reason::Bounce, 1),
        entry("b@Example.com", Reason::Bounce, 1),
        entry("nobody", Reason::Bounce, 1),
    ];
    let (listings, unread) = Listing::group(entries);
    let addresses: Vec<_> = listings.iter().map(Listing::address).collect();
    assert_eq!((addresses, unread), (vec!["a@example.com", "b@example.com"], 1));
}

/// One Region's list as SES keeps it: by exact spelling, overwriting.
#[derive(Debug, Default)]
struct SesList(std::collections::BTreeMap<String, (Reason, Timestamp)>);

impl SesList {
    fn entries(&self) -> Vec<Entry> {
        let entry = |(spelling, (reason, updated_at)): (&String, &(Reason, Timestamp))| Entry {
            spelling: spelling.clone(),
            reason: *reason,
            updated_at: *updated_at,
        };
        self.0.iter().map(entry).collect()
    }

    /// As `apply` would; how many calls it took.
    fn apply(&mut self, item: &mut Option<AddressState>, now: i64) -> usize {
        let Some(known) = item else { return 0 };
        let (reason, calls) = match known.to_do(HERE, at(now)) {
            ToDo::Nothing | ToDo::Wait(_) => return 0,
            ToDo::Trust(_) => unreachable!("not trusted here"),
            ToDo::Put { spelling, reason } => {
                self.0.insert(spelling, (reason, at(now)));
                (Some(reason), 1)
            }
            ToDo::Delete { spellings } => {
                self.0.retain(|spelling, _| !spellings.contains(spelling));
                (None, spellings.len())
            }
        };
        *item = Some(written(known, reason, now));
        calls
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever was done to a list by hand or by SES: two passes later it is what the state says (but for what was taken
    /// off by hand, which stays off), and a third finds nothing to do.
    #[test]
    fn reconcile_comes_to_rest(
        said in prop::collection::vec((0_u8..3, 0_i64..50_000, 0_i64..50_000), 0..4),
        by_hand in prop::collection::vec((0_usize..3, any::<bool>(), -50_000_i64..90_000), 0..3),
        taken_off in any::<bool>(),
    ) {
        let mut list = SesList::default();
        let mut item = None;
        for (kind, at_second, _) in &said {
            let change = [bounce, complaint, release][usize::from(*kind)](*at_second);
            item = AddressState::advance(item.as_ref(), &change, at(50_000)).or(item);
        }
        list.apply(&mut item, 50_001);
        if taken_off {
            list.0.clear();
        }
        for (spelling, complained, at_second) in by_hand {
            let reason = if complained { Reason::Complaint } else { Reason::Bounce };
            list.0.insert(["jane@example.com", "Jane@example.com", "JANE@EXAMPLE.COM"][spelling].to_owned(), (reason, at(at_second)));
        }
        let mut rest = 0;
        for n in 1..=4 {
            let start = n * 100_000;
            let pass = Pass::new("us-east-1", at(start));
            let entries = list.entries();
            let listing = (!entries.is_empty()).then(|| listing(&entries));
            let mut action = reconcile::judge(listing.as_ref(), item.as_ref(), &pass);
            if action == Action::Confirm {
                action = reconcile::confirmed(None, item.as_ref().unwrap(), &pass);
            }
            match reconcile::carried_out(&action, listing.as_ref(), item.as_ref(), &pass, at(start + 1)) {
                Some(next) => item = Some(next),
                None => rest += 1,
            }
            list.apply(&mut item, start + 2);
        }
        prop_assert!(rest >= 2, "{:?} {:?}", item, list);
        let strongest = list.0.values().map(|(reason, _)| *reason).max();
        let left_off = item.as_ref().and_then(AddressState::applied).is_some_and(|applied| applied.left_off);
        if left_off {
            prop_assert!(taken_off && strongest.is_none());
        } else {
            prop_assert_eq!(item.as_ref().and_then(AddressState::effective), strongest);
        }
    }
}
