//! The laws of suppression, over generated histories: events, echoes, operators' decisions and lists, in several Regions,
//! delivered in any order and any number of times.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

use std::time::Duration;

use mailroom_core::address::Address;
use mailroom_core::envelope;
use mailroom_core::evidence::DecisionTrigger;
use mailroom_core::feedback::{self, Retention};
use mailroom_core::notification::{NotificationFormat, ParsedMessage};
use mailroom_core::suppression::address_state::{
    ApplyAttempt, ApplyContext, ApplyOutcomeKind, ImportResult, LastKnownEntry, ListAction, WaitReason,
    all_shards, shard,
};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::peer_message::{self, PeerState};
use mailroom_core::suppression::policy::{
    CandidatePolicy, LeaveReason, PolicyDecision, SuppressionPolicy, TenantPolicy, TransientThreshold,
};
use mailroom_core::suppression::reconcile::{
    self, AddressEntries, ListEntry, MissingEntryPolicy, PassContext, ReconcileAction,
};
use mailroom_core::suppression::spellings::Spellings;
use mailroom_core::suppression::{
    AddressState, FeedbackSummary, StateChange, Statement, StatementSource, SuppressionReason,
    SuppressionState,
};
use mailroom_core::timestamp::Timestamp;
use proptest::prelude::*;

const JANE: &str = "jane@example.com";
const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];
const HERE: ApplyContext<'static> =
    ApplyContext { region: "us-east-1", first_pass_ended: true, trust_origin: false };

/// Seconds after a day in 2026.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis((1_780_000_000 + seconds) * 1000).unwrap()
}

fn day(days: i64) -> Timestamp {
    at(days * 86_400)
}

fn said(seconds: i64, source: StatementSource) -> Statement {
    Statement { at: at(seconds), source, region: REGIONS[1].to_owned(), id: seconds.to_string() }
}

fn change(state: SuppressionState) -> StateChange {
    StateChange { address: JANE.to_owned(), spellings: Spellings::from_iter(["Jane@example.com"]), state }
}

fn bounce(seconds: i64) -> StateChange {
    change(SuppressionState::from_reason(SuppressionReason::Bounce, said(seconds, StatementSource::Bounce)))
}

fn complaint(seconds: i64) -> StateChange {
    change(SuppressionState::from_reason(
        SuppressionReason::Complaint,
        said(seconds, StatementSource::Complaint),
    ))
}

fn release(seconds: i64) -> StateChange {
    change(SuppressionState::from_release(said(seconds, StatementSource::Operator)))
}

fn told(decidable: Option<DecisionTrigger>, occurred_at: Timestamp, event_id: &str) -> FeedbackSummary {
    FeedbackSummary {
        kind: if decidable == Some(DecisionTrigger::Complaint) { "complaint" } else { "bounce" }.to_owned(),
        event_id: event_id.to_owned(),
        occurred_at,
        sent_at: None,
        decidable,
        recipient: "Jane@example.com".to_owned(),
        address: JANE.to_owned(),
        tenant: None,
        candidates: None,
        format: Some(NotificationFormat::Event),
    }
}

/// The policy with soft bounces counted.
fn counting() -> SuppressionPolicy {
    SuppressionPolicy {
        transient_threshold: Some(TransientThreshold::default()),
        ..SuppressionPolicy::default()
    }
}

fn advanced(known: Option<&AddressState>, change: &StateChange, now: i64) -> AddressState {
    AddressState::join_change(known, change, at(now)).unwrap()
}

fn written(item: &AddressState, reason: Option<SuppressionReason>, now: i64) -> AddressState {
    item.record_attempt(item.version(), ApplyAttempt::Written { reason, enabled: true }, at(now))
}

// ---- the state

fn any_said() -> impl Strategy<Value = Option<Statement>> {
    let source =
        prop::sample::select(vec![StatementSource::Bounce, StatementSource::Operator, StatementSource::List]);
    let said = (0_i64..6, source, 0_usize..3, 0_u8..2).prop_map(|(seconds, source, region, id)| Statement {
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
            prop_assert!(joined.effective_reason() >= a.effective_reason());
        }
        // A complaint becomes a bounce only by a release after it.
        if a.effective_reason() == Some(SuppressionReason::Complaint) && joined.effective_reason() == Some(SuppressionReason::Bounce) {
            prop_assert!(joined.released_at() >= a.complained_at());
        }
    }

    #[test]
    fn a_release_is_not_undone_by_older_evidence(a in any_state(), evidence in any_state()) {
        let evidence = SuppressionState { released: None, ..evidence };
        if a.effective_reason().is_none() && evidence.last_statement_at() <= a.released_at() {
            prop_assert_eq!(a.join(&evidence).effective_reason(), None);
        }
    }

    #[test]
    fn a_state_reads_back_as_it_was_written(state in any_state(), now in 0_i64..9) {
        if let Some(item) = AddressState::join_change(None, &change(state), at(now)) {
            let text = serde_json::to_string(&item).unwrap();
            prop_assert_eq!(&serde_json::from_str::<AddressState>(&text).unwrap(), &item);
            // An absent attribute keeps an item out of a sparse index; a NULL one is an error.
            prop_assert!(!text.contains("null"));
            let sent: Vec<_> = peer_message::pack_states("us-east-1", [PeerState::from(&item)]).collect();
            let incoming = peer_message::parse_peer_message(&sent[0]).unwrap();
            prop_assert!(incoming.malformed_states.is_empty());
            prop_assert_eq!(&incoming.states[0], &PeerState::from(&item));
        }
    }

    #[test]
    fn no_text_panics_as_a_message(text in "\\PC*", at in 0_usize..400, with in ".{0,2}") {
        let _ = peer_message::parse_peer_message(&text);
        let item = advanced(None, &bounce(1), 1);
        let mut sent: Vec<char> = peer_message::pack_states("us-east-1", [PeerState::from(&item)]).next().unwrap().chars().collect();
        let at = at.min(sent.len() - 1);
        sent.splice(at..=at, with.chars());
        let _ = peer_message::parse_peer_message(&sent.into_iter().collect::<String>());
    }
}

// ---- several Regions

/// A record in one Region's table.
#[derive(Debug, Clone)]
enum Happened {
    Feedback { region: usize, decidable: Option<DecisionTrigger>, second: i64, event: u8 },
    Decided { region: usize, suppress: Option<SuppressionReason>, second: i64, overrules: Option<i64> },
}

fn any_history() -> impl Strategy<Value = Vec<Happened>> {
    let decidable = prop::sample::select(vec![
        Some(DecisionTrigger::Bounce),
        Some(DecisionTrigger::Complaint),
        Some(DecisionTrigger::Transient),
        Some(DecisionTrigger::Transient),
        Some(DecisionTrigger::Undetermined),
        None,
    ]);
    let suppress = prop::sample::select(vec![
        None,
        None,
        Some(SuppressionReason::Bounce),
        Some(SuppressionReason::Complaint),
    ]);
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
    records: [Vec<FeedbackSummary>; 3],
}

impl World {
    /// A Region reads a record, which stands in its table by then, as do those that it has read before.
    fn take_in(&mut self, happened: &Happened) {
        // So few that they are often reached.
        let threshold = TransientThreshold { events: 3, days: 1, within_days: 1 };
        let policy = SuppressionPolicy {
            transient_threshold: Some(threshold),
            count_undetermined: true,
            ..SuppressionPolicy::default()
        };
        match happened {
            Happened::Feedback { region, decidable, second, event } => {
                // An event has one time and says one thing.
                let id = format!("{decidable:?} {second} {event}");
                let new = told(*decidable, at(*second), &id);
                self.records[*region].push(new.clone());
                let verdict = policy.decide(&new, &self.records[*region]);
                if let Some(change) = new.to_state_change(&verdict, REGIONS[*region]) {
                    self.join(*region, &change);
                } else {
                    assert!(!matches!(decidable, Some(DecisionTrigger::Bounce | DecisionTrigger::Complaint)));
                }
            }
            Happened::Decided { region, suppress, second, overrules } => {
                let address = Address::parse("JANE@example.com").unwrap();
                let released = overrules.map(|at| said(at, StatementSource::Operator));
                let known = SuppressionState { released, ..SuppressionState::default() };
                let decision =
                    OperatorDecision::new(&address, *suppress, "ops", "why", at(*second), &known, "");
                self.join(*region, &decision.to_state_change(REGIONS[*region]));
            }
        }
    }

    fn take_in_all(&mut self, history: &[Happened]) {
        for happened in history {
            self.take_in(happened);
        }
    }

    fn join(&mut self, region: usize, change: &StateChange) {
        let before = self.items[region].as_ref();
        if let Some(next) = AddressState::join_change(before, change, at(1_000)) {
            assert_eq!(next.version(), before.map_or(0, AddressState::version) + 1);
            // Nothing is ever in force that the list neither has nor will get.
            let applied = next.last_known_entry().and_then(|applied| applied.reason);
            assert!(next.is_pending() || next.effective_reason() == applied);
            self.items[region] = Some(next);
        }
    }

    fn tell(&mut self, from: usize, to: usize) {
        let Some(item) = &self.items[from] else { return };
        let messages: Vec<_> = peer_message::pack_states(REGIONS[from], [PeerState::from(item)]).collect();
        for state in peer_message::parse_peer_message(&messages[0]).unwrap().states {
            self.join(to, &StateChange::from(state));
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
        world.join(0, &release.to_state_change(REGIONS[0]));
        prop_assert_eq!(world.items[0].as_ref().unwrap().effective_reason(), None);
        for (second, id, expected) in [(late, "late", None), (2_000, "new", Some(SuppressionReason::Bounce))] {
            let bounce = told(Some(DecisionTrigger::Bounce), at(second), id);
            let verdict = SuppressionPolicy::default().decide(&bounce, []);
            world.join(0, &bounce.to_state_change(&verdict, REGIONS[0]).unwrap());
            prop_assert_eq!(world.items[0].as_ref().unwrap().effective_reason(), expected);
        }
    }
}

/// A peer's complaint four minutes after a release, which the operator had not read.
#[test]
fn a_complaint_after_a_release_stands_whichever_arrives_first() {
    let address = Address::parse(JANE).unwrap();
    let release =
        OperatorDecision::new(&address, None, "ops", "why", at(0), &SuppressionState::default(), "");
    let release = release.to_state_change(REGIONS[0]);
    let complaint = told(Some(DecisionTrigger::Complaint), at(240), "1");
    let complaint =
        complaint.to_state_change(&SuppressionPolicy::default().decide(&complaint, []), REGIONS[1]).unwrap();
    for order in [[&release, &complaint], [&complaint, &release]] {
        let item = AddressState::join_changes(None, &order.map(StateChange::clone), at(300)).unwrap();
        assert_eq!(item.effective_reason(), Some(SuppressionReason::Complaint));
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
    let policy = SuppressionPolicy {
        count_undetermined: true,
        transient_threshold: Some(TransientThreshold { events: 1, days: 1, within_days: 1 }),
        ..SuppressionPolicy::default()
    };
    for (kind, subtype) in
        [("Bounce", "Permanent"), ("Bounce", "Transient"), ("Bounce", "Undetermined"), ("Complaint", "")]
    {
        let payload = envelope::open_payload(&text(kind, subtype)).unwrap();
        let Ok(ParsedMessage::Feedback(notification)) = &payload.messages[0].content else {
            panic!("{payload:?}")
        };
        let normalized =
            feedback::normalize(notification, &payload.messages[0].origin, None, Retention::default())
                .unwrap();
        let record = serde_json::to_value(&normalized.records[0]).unwrap();
        assert_eq!((record.get("decidable"), &record["evidence"]), (None, &serde_json::Value::Null));
        let told: FeedbackSummary = serde_json::from_value(record).unwrap();
        let verdict = policy.decide(&told, [&told]);
        assert_eq!(verdict, PolicyDecision::Leave(LeaveReason::NothingToDecide));
        assert_eq!(told.to_state_change(&verdict, "us-east-1"), None);
    }
}

// ---- the policy

#[test]
fn at_once_or_not_at_all() {
    let suppress =
        |reason, source| PolicyDecision::Suppress { reason, source, at: at(5), id: "1".to_owned() };
    let default = SuppressionPolicy::default();
    let strict = SuppressionPolicy {
        candidate_policy: CandidatePolicy::SuppressNone,
        tenant_policy: TenantPolicy::TenantLists,
        ..SuppressionPolicy::default()
    };
    let bounce = told(Some(DecisionTrigger::Bounce), at(5), "1");
    let complaint = told(Some(DecisionTrigger::Complaint), at(5), "1");
    let several = FeedbackSummary { candidates: Some(3), ..complaint.clone() };
    let one = FeedbackSummary { candidates: Some(1), ..complaint.clone() };
    let tenants = FeedbackSummary { tenant: Some("blue".to_owned()), ..bounce.clone() };
    let bounced = suppress(SuppressionReason::Bounce, StatementSource::Bounce);
    let complained = suppress(SuppressionReason::Complaint, StatementSource::Complaint);
    let cases = [
        (&default, &bounce, bounced.clone()),
        (&default, &complaint, complained.clone()),
        (&default, &several, complained.clone()),
        (&strict, &several, PolicyDecision::Leave(LeaveReason::SeveralCandidates)),
        (&strict, &one, complained.clone()),
        (&strict, &complaint, complained),
        (&default, &tenants, bounced),
        (&strict, &tenants, PolicyDecision::Leave(LeaveReason::TenantMail)),
    ];
    for (policy, new, expected) in cases {
        assert_eq!(policy.history_range(new), None);
        assert_eq!(policy.decide(new, []), expected, "{policy:?} {new:?}");
    }
    // Nothing bounces before it is sent.
    let sent_later = FeedbackSummary { sent_at: Some(at(7)), ..bounce };
    let change = sent_later.to_state_change(&default.decide(&sent_later, []), REGIONS[0]).unwrap();
    assert_eq!((sent_later.takes_effect_at(), change.state.bounced_at()), (at(7), Some(at(7))));
}

/// Days and event ids; the last one is new.
type Events = &'static [Event];
/// A day and an event id.
type Event = (i64, &'static str);

fn transient(events: Events) -> Vec<FeedbackSummary> {
    events.iter().map(|(days, id)| told(Some(DecisionTrigger::Transient), day(*days), id)).collect()
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
        let window = policy.history_range(new).unwrap();
        assert_eq!(window.end().since(*window.start()), Duration::from_hours(24) * 60, "{name}");
        let verdict = policy.decide(new, &events);
        let expected = expected.map_or(PolicyDecision::Leave(LeaveReason::BelowThreshold), |(days, id)| {
            PolicyDecision::Suppress {
                reason: SuppressionReason::Bounce,
                source: StatementSource::Transient,
                at: day(days),
                id: id.to_owned(),
            }
        });
        assert_eq!(verdict, expected, "{name}");
        // The new one need not be among those before it.
        assert_eq!(policy.decide(new, &events[..events.len() - 1]), expected, "{name}");
    }
}

#[test]
fn what_starts_the_count_again_and_what_does_not_count() {
    let policy = counting();
    // Whether the address is suppressed, if it was released so many days after.
    let reached = |policy: &SuppressionPolicy, events: &[FeedbackSummary], released: Option<i64>| {
        let new = events.last().unwrap();
        let state = new.to_state_change(&policy.decide(new, events), REGIONS[0]).map(|change| change.state);
        let release = released
            .map(|days| SuppressionState::from_release(said(days * 86_400, StatementSource::Operator)));
        state.unwrap_or_default().join(&release.unwrap_or_default()).effective_reason().is_some()
    };
    let events = transient(&[(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e")]);
    assert!(reached(&policy, &events, None));
    assert!(!reached(&policy, &events, Some(0)));
    assert!(!reached(&policy, &events, Some(2)));
    assert!(reached(&policy, &events, Some(-1)));

    let delivered = |days| FeedbackSummary { kind: "delivery".to_owned(), ..told(None, day(days), "x") };
    let with = |told: FeedbackSummary| [vec![told], events.clone()].concat();
    assert!(!reached(&policy, &with(delivered(2)), None));
    // The last bounce was found late, and mail has arrived meanwhile.
    assert!(!reached(&policy, &with(delivered(5)), None));
    assert!(reached(&policy, &with(delivered(-1)), None));
    assert!(reached(
        &policy,
        &with(FeedbackSummary { address: "joe@example.com".to_owned(), ..delivered(2) }),
        None
    ));

    for other in [
        FeedbackSummary { decidable: None, ..events[0].clone() },
        FeedbackSummary { decidable: Some(DecisionTrigger::Undetermined), ..events[0].clone() },
        FeedbackSummary { decidable: Some(DecisionTrigger::Bounce), ..events[0].clone() },
        FeedbackSummary { address: "joe@example.com".to_owned(), ..events[0].clone() },
    ] {
        let events = [vec![other.clone()], events[1..].to_vec()].concat();
        assert!(!reached(&policy, &events, None), "{other:?}");
        let undetermined = SuppressionPolicy { count_undetermined: true, ..counting() };
        assert_eq!(
            reached(&undetermined, &events, None),
            other.decidable == Some(DecisionTrigger::Undetermined)
        );
    }

    let own = SuppressionPolicy { tenant_policy: TenantPolicy::TenantLists, ..counting() };
    let tenants = FeedbackSummary { tenant: Some("blue".to_owned()), ..events[0].clone() };
    assert!(!reached(&own, &[vec![tenants], events[1..].to_vec()].concat(), None));
    // An identity's notifications tell of no deliveries in between.
    let identity = |fact: &FeedbackSummary| FeedbackSummary {
        format: Some(NotificationFormat::Identity),
        ..fact.clone()
    };
    let by_identity: Vec<_> = events.iter().map(identity).collect();
    assert_eq!(policy.history_range(&by_identity[4]), None);
    assert_eq!(
        policy.decide(&by_identity[4], &by_identity),
        PolicyDecision::Leave(LeaveReason::NothingToDecide)
    );
    assert!(!reached(&policy, &[by_identity[..1].to_vec(), events[1..].to_vec()].concat(), None));

    // By default they are not counted at all.
    let none = SuppressionPolicy::default();
    assert_eq!(none.history_range(&events[4]), None);
    assert_eq!(none.decide(&events[4], &events), PolicyDecision::Leave(LeaveReason::NothingToDecide));
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
        let delivered: Vec<_> = delivered.into_iter().map(|days| FeedbackSummary { kind: "delivery".to_owned(), ..told(None, day(days), "d") }).collect();
        let state = |events: &[(i64, u8)]| {
            let mut arrived: Vec<FeedbackSummary> = delivered.clone();
            let mut state = SuppressionState::default();
            for (days, id) in events {
                // One event has one time.
                let id = format!("{days}-{id}");
                arrived.push(told(Some(DecisionTrigger::Transient), day(*days), &id));
                let new = arrived.last().unwrap();
                let verdict = counting().decide(new, &arrived);
                if let Some(change) = new.to_state_change(&verdict, "us-east-1") {
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
            let suppress = (n % 2 == 0).then_some(SuppressionReason::Bounce);
            let known = item.as_ref().map(AddressState::state).cloned().unwrap_or_default();
            // The operator's clock stands still.
            let decision = OperatorDecision::new(&address, suppress, "ops", "why", at(0), &known, "");
            let change = decision.to_state_change(REGIONS[0]);
            item = Some(advanced(item.as_ref(), &change, 200));
            change
        })
        .collect();
    assert_eq!(AddressState::join_changes(item.as_ref(), &changes, at(300)), None);
    assert_eq!(item.unwrap().effective_reason(), None);
}

#[test]
fn pending_until_applied_and_again_when_something_is_said() {
    let item = advanced(None, &bounce(10), 12);
    let put = ListAction::Put { spelling: "Jane@example.com".to_owned(), reason: SuppressionReason::Bounce };
    assert_eq!(item.next_list_action(HERE, at(12)), put);
    assert_eq!((item.version(), item.pending_since(), item.last_joined_at()), (1, Some(at(12)), at(12)));
    let item = written(&item, Some(SuppressionReason::Bounce), 13);
    assert_eq!(item.next_list_action(HERE, at(13)), ListAction::Nothing);
    assert_eq!(item.current_apply_outcome().unwrap().kind, ApplyOutcomeKind::Applied);
    assert_eq!(AddressState::join_change(Some(&item), &bounce(10), at(14)), None);

    // Evidence from before the list was written needs no more of it.
    let item = advanced(Some(&item), &bounce(12), 15);
    assert_eq!((item.next_list_action(HERE, at(15)), item.last_joined_at()), (ListAction::Nothing, at(15)));
    // After it, the entry may have been taken off by hand.
    let item = advanced(Some(&item), &bounce(16), 17);
    assert_eq!(item.next_list_action(HERE, at(17)), put);
    let item = written(&item, Some(SuppressionReason::Bounce), 18);

    let item = advanced(Some(&item), &complaint(11), 19);
    assert!(matches!(
        item.next_list_action(HERE, at(19)),
        ListAction::Put { reason: SuppressionReason::Complaint, .. }
    ));
    let item = written(&item, Some(SuppressionReason::Complaint), 20);
    let item = advanced(Some(&item), &release(21), 22);
    let spellings = vec!["Jane@example.com".to_owned(), JANE.to_owned()];
    assert_eq!(item.next_list_action(HERE, at(22)), ListAction::Delete { spellings });
    assert_eq!(written(&item, None, 23).next_list_action(HERE, at(23)), ListAction::Nothing);
}

/// However often it was spelled otherwise, what is found on the list is deleted from it, and so is the match form.
#[test]
fn a_spelling_beyond_the_cap_is_deleted_once_it_is_found() {
    let spelled = |n: u32| {
        let letters = "example".char_indices();
        let cased = letters.map(|(i, c)| if n >> i & 1 == 1 { c.to_ascii_uppercase() } else { c });
        format!("jane@{}.com", cased.collect::<String>())
    };
    let change = StateChange { spellings: (1..40).map(spelled).collect(), ..release(10) };
    let item = written(&advanced(None, &change, 10), None, 11);
    let found = "JANE@example.com";
    let deleted = |item: &AddressState| match item.next_list_action(HERE, at(20)) {
        ListAction::Delete { spellings } => spellings,
        other => panic!("{other:?}"),
    };
    let marked = item.mark_newly_pending([JANE], None, at(12)).unwrap();
    assert!(!deleted(&marked).iter().any(|spelling| spelling == found));
    let marked = item.mark_newly_pending([found], None, at(12)).unwrap();
    assert!(
        [found, JANE].iter().all(|expected| deleted(&marked).iter().any(|spelling| spelling == expected))
    );
}

#[test]
fn what_was_said_meanwhile_stays_pending() {
    let read = advanced(None, &bounce(10), 12);
    let now = advanced(Some(&read), &release(13), 13);
    let now = now.record_attempt(
        read.version(),
        ApplyAttempt::Written { reason: Some(SuppressionReason::Bounce), enabled: true },
        at(14),
    );
    assert_eq!(
        now.last_known_entry(),
        Some(LastKnownEntry {
            reason: Some(SuppressionReason::Bounce),
            at: at(14),
            removal_accepted: false,
            trusted: false
        })
    );
    assert!(matches!(now.next_list_action(HERE, at(14)), ListAction::Delete { .. }));
}

#[test]
fn an_import_job_holds_its_addresses() {
    let pending = advanced(None, &bounce(10), 12);
    let held = pending.assign_to_job("import/put/1.json");
    assert_eq!(held.next_list_action(HERE, at(900)), ListAction::Wait(WaitReason::HeldByJob));
    assert_eq!(
        held.record_import_result("import/put/2.json", ImportResult::Written { enabled: true }, at(20)),
        None
    );
    let done = held
        .record_import_result("import/put/1.json", ImportResult::Written { enabled: true }, at(20))
        .unwrap();
    assert_eq!((done.next_list_action(HERE, at(20)), done.assigned_job()), (ListAction::Nothing, None));
    assert_eq!(done.last_known_entry().unwrap().reason, Some(SuppressionReason::Bounce));

    // A release that comes meanwhile is done after the job, and is not undone by it.
    let released = advanced(Some(&held), &release(15), 15);
    assert_eq!(released.next_list_action(HERE, at(15)), ListAction::Wait(WaitReason::HeldByJob));
    let ended = released
        .record_import_result("import/put/1.json", ImportResult::Written { enabled: true }, at(20))
        .unwrap();
    assert_eq!(ended.last_known_entry().unwrap().reason, Some(SuppressionReason::Bounce));
    assert!(matches!(ended.next_list_action(HERE, at(20)), ListAction::Delete { .. }));
    // A straggler's write does not take it out of the job.
    let straggled = held.record_attempt(
        pending.version(),
        ApplyAttempt::Written { reason: Some(SuppressionReason::Bounce), enabled: true },
        at(13),
    );
    assert_eq!(straggled.next_list_action(HERE, at(13)), ListAction::Wait(WaitReason::HeldByJob));

    let failed = held
        .record_import_result("import/put/1.json", ImportResult::Failed { cause: "x".to_owned() }, at(20))
        .unwrap();
    assert_eq!(failed.next_list_action(HERE, at(79)), ListAction::Wait(WaitReason::NotDue));
    assert!(matches!(failed.next_list_action(HERE, at(80)), ListAction::Put { .. }));
}

#[test]
fn an_overdue_job_holds_nothing_and_what_it_may_undo_is_done_again_until_it_has_ended() {
    const KEY: &str = "import/put/1.json";
    let held = advanced(None, &complaint(10), 12).assign_to_job(KEY);
    assert_eq!(held.mark_job_overdue("import/put/2.json", at(20)), None);
    let overdue = held.mark_job_overdue(KEY, at(20)).unwrap();
    assert_eq!(
        (overdue.assigned_job(), overdue.overdue_job().unwrap().reason),
        (None, Some(SuppressionReason::Complaint))
    );
    assert!(matches!(overdue.next_list_action(HERE, at(20)), ListAction::Put { .. }));
    // It may do what is in force: that is no trouble.
    let put = written(&overdue, Some(SuppressionReason::Complaint), 30);
    assert!(!put.is_pending());
    // But not once something else is.
    let released = written(&advanced(Some(&put), &release(40), 41), None, 42);
    assert_eq!(released.next_list_action(HERE, at(42 + 3599)), ListAction::Wait(WaitReason::NotDue));
    assert!(matches!(released.next_list_action(HERE, at(42 + 3600)), ListAction::Delete { .. }));
    assert_eq!(released.pending_since(), released.due_at(), "until then the list is right");
    let by_job = entry(JANE, SuppressionReason::Complaint, 50_000);
    let leave = ReconcileAction::Skip(reconcile::SkipReason::Pending);
    assert_eq!(judged(std::slice::from_ref(&by_job), Some(&released)).0, leave);
    // Nor is its complaint joined into a bounce that came after the release.
    let bounced = advanced(Some(&released), &bounce(60), 61);
    assert_eq!(judged(std::slice::from_ref(&by_job), Some(&bounced)).0, leave);
    let bounced = written(&bounced, Some(SuppressionReason::Bounce), 62);
    assert_eq!(judged(&[by_job], Some(&bounced)).0, leave);
    // After its end it is done a last time.
    let ended = released.record_import_result(KEY, ImportResult::Unknown, at(5_000)).unwrap();
    assert!(matches!(ended.next_list_action(HERE, at(5_000)), ListAction::Delete { .. }));
    assert_eq!(written(&ended, None, 5_001).next_list_action(HERE, at(99_999)), ListAction::Nothing);
    // What it did counts, unless something has happened since it became overdue.
    let done = ImportResult::Written { enabled: true };
    assert_eq!(
        overdue.record_import_result(KEY, done.clone(), at(90)).unwrap().next_list_action(HERE, at(90)),
        ListAction::Nothing
    );
    let again = released.record_import_result(KEY, done, at(90)).unwrap();
    assert!(matches!(again.next_list_action(HERE, at(90)), ListAction::Delete { .. }));
}

#[test]
fn what_fails_waits_longer_each_time_until_something_new_is_said() {
    let mut item = advanced(None, &bounce(10), 12);
    let failed = |may_pass| ApplyAttempt::Failed { cause: "no\u{1b}\n".repeat(300), retryable: may_pass };
    for wait in [60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600, 21_600] {
        item = item.record_attempt(item.version(), failed(true), at(20));
        assert_eq!(item.next_list_action(HERE, at(20 + wait - 1)), ListAction::Wait(WaitReason::NotDue));
        assert!(matches!(item.next_list_action(HERE, at(20 + wait)), ListAction::Put { .. }));
    }
    let outcome = item.current_apply_outcome().unwrap();
    assert_eq!((outcome.tries, outcome.cause.as_ref().unwrap().chars().count()), (11, 256));
    assert_eq!(item.pending_since(), Some(at(12)));
    item = advanced(Some(&item), &bounce(30), 31);
    assert!(matches!(item.next_list_action(HERE, at(31)), ListAction::Put { .. }));
    assert_eq!(item.current_apply_outcome(), None);
    for _ in 0..2 {
        item = item.record_attempt(item.version(), failed(false), at(32));
    }
    assert_eq!(item.next_list_action(HERE, at(99_999)), ListAction::Nothing);
    item = advanced(Some(&item), &bounce(33), 34);
    item = item.record_attempt(item.version(), ApplyAttempt::RefusedSandbox, at(35));
    assert_eq!(
        (item.next_list_action(HERE, at(99_999)), item.last_known_entry()),
        (ListAction::Nothing, None)
    );
    assert_eq!(item.current_apply_outcome().unwrap().kind, ApplyOutcomeKind::RefusedSandbox);
    item = advanced(Some(&item), &bounce(36), 37);
    let not_enabled = ApplyAttempt::Written { reason: Some(SuppressionReason::Bounce), enabled: false };
    item = item.record_attempt(item.version(), not_enabled, at(38));
    assert_eq!(
        (item.next_list_action(HERE, at(99_999)), item.current_apply_outcome().unwrap().kind),
        (ListAction::Nothing, ApplyOutcomeKind::ReasonNotEnabled)
    );
}

#[test]
fn before_the_first_pass_only_complaints_are_put_and_ses_may_be_trusted_with_its_own() {
    let before = ApplyContext { first_pass_ended: false, ..HERE };
    assert_eq!(
        advanced(None, &bounce(1), 2).next_list_action(before, at(2)),
        ListAction::Wait(WaitReason::AwaitingFirstPass)
    );
    assert!(matches!(
        advanced(None, &complaint(1), 2).next_list_action(before, at(2)),
        ListAction::Put { .. }
    ));
    assert!(matches!(
        advanced(None, &release(1), 2).next_list_action(before, at(2)),
        ListAction::Delete { .. }
    ));

    let own = |source| {
        let said = Statement { region: HERE.region.to_owned(), ..said(1, source) };
        advanced(None, &change(SuppressionState::from_reason(SuppressionReason::Bounce, said)), 2)
    };
    let trusting = ApplyContext { trust_origin: true, ..HERE };
    assert_eq!(
        own(StatementSource::Bounce).next_list_action(trusting, at(2)),
        ListAction::TrustSes(SuppressionReason::Bounce)
    );
    assert!(matches!(own(StatementSource::Bounce).next_list_action(HERE, at(2)), ListAction::Put { .. }));
    assert!(matches!(
        own(StatementSource::Transient).next_list_action(trusting, at(2)),
        ListAction::Put { .. }
    ));
    assert!(matches!(
        advanced(None, &bounce(1), 2).next_list_action(trusting, at(2)),
        ListAction::Put { .. }
    ));
}

#[test]
fn what_was_left_off_comes_back_with_new_evidence_only() {
    let item = written(&advanced(None, &bounce(10), 12), Some(SuppressionReason::Bounce), 13)
        .record_accepted_removal(at(1_000));
    let mut elsewhere = bounce(10);
    elsewhere.spellings.add_if_room("JANE@example.com");
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
    assert!(counts.keys().cloned().eq(all_shards()));
    assert!(counts.values().all(|count| (800..1_200).contains(count)), "{counts:?}");
    let item = serde_json::to_value(advanced(None, &bounce(10), 12)).unwrap();
    assert_eq!((&item["pk"], &item["sk"]), (&"ADDR#jane@example.com".into(), &"SUPPRESSION".into()));
    assert_eq!((&item["shard"], &item["pending"]), (&shard(JANE).into(), &shard(JANE).into()));
}

// ---- reconcile

fn entry(spelling: &str, reason: SuppressionReason, seconds: i64) -> ListEntry {
    ListEntry { spelling: spelling.to_owned(), reason, updated_at: at(seconds) }
}

fn listing(entries: &[ListEntry]) -> AddressEntries {
    let mut grouped = AddressEntries::group_by_address(entries.iter().cloned());
    assert_eq!((grouped.addresses.len(), grouped.unreadable_count), (1, 0));
    grouped.addresses.remove(0)
}

/// A pass long after everything.
fn pass() -> PassContext<'static> {
    PassContext::new("us-east-1", at(100_000))
}

/// What is done, and what is pending after.
fn judged(entries: &[ListEntry], item: Option<&AddressState>) -> (ReconcileAction, Option<AddressState>) {
    let listing = (!entries.is_empty()).then(|| listing(entries));
    let action = reconcile::judge_address(listing.as_ref(), item, &pass());
    let next = reconcile::state_after_action(&action, listing.as_ref(), item, &pass(), at(100_001));
    (action, next)
}

#[test]
fn what_stood_there_is_taken_in_with_its_own_time() {
    let old = [
        entry("Jane@example.com", SuppressionReason::Bounce, -5_000),
        entry(JANE, SuppressionReason::Complaint, -9_000),
    ];
    let (action, item) = judged(&old, None);
    assert_eq!(action, ReconcileAction::Adopt(old[1].clone()));
    let item = item.unwrap();
    assert_eq!(item.state().complained.as_ref().unwrap().source, StatementSource::List);
    assert_eq!((item.state().complained_at(), item.is_pending()), (Some(at(-9_000)), false));
    assert!(item.spellings().iter().eq([JANE, "Jane@example.com"]));
    // The next pass finds nothing to do.
    let later = PassContext::new("us-east-1", at(200_000));
    assert_eq!(
        reconcile::judge_address(Some(&listing(&old)), Some(&item), &later),
        ReconcileAction::NoChange
    );
    assert_eq!(
        judged(&[entry("bounce@simulator.amazonses.com", SuppressionReason::Bounce, 0)], None).0,
        ReconcileAction::Skip(reconcile::SkipReason::MailboxSimulator)
    );
}

#[test]
fn a_spelling_that_is_listed_and_was_not_known_is_recorded_as_long_as_there_is_room() {
    let item = written(&advanced(None, &bounce(10), 12), Some(SuppressionReason::Bounce), 13);
    let entries = [
        entry("Jane@example.com", SuppressionReason::Bounce, 13),
        entry("JANE@example.com", SuppressionReason::Bounce, 500),
    ];
    let (action, next) = judged(&entries, Some(&item));
    assert_eq!(action, ReconcileAction::RecordSpellings);
    let next = next.unwrap();
    assert!(next.spellings().iter().eq(["Jane@example.com", "JANE@example.com"]));
    // Nothing else is: not when, nor how it was applied, nor that there is anything to do.
    assert_eq!(
        (next.last_known_entry(), next.current_apply_outcome()),
        (item.last_known_entry(), item.current_apply_outcome())
    );
    assert!(!next.is_pending() && next.state() == item.state());
    let later = PassContext::new("us-east-1", at(200_000));
    assert_eq!(
        reconcile::judge_address(Some(&listing(&entries)), Some(&next), &later),
        ReconcileAction::NoChange
    );
    // A release deletes both.
    let released = advanced(Some(&next), &release(300_000), 300_001);
    let ListAction::Delete { spellings } = released.next_list_action(HERE, at(300_002)) else {
        panic!("{released:?}")
    };
    assert!(spellings.iter().any(|spelling| spelling == "JANE@example.com"));
}

#[test]
fn a_complaint_that_stands_there_is_joined_into_a_bounce_that_waits() {
    let waiting = advanced(None, &bounce(10), 12);
    let complained = entry(JANE, SuppressionReason::Complaint, -9_000);
    let (action, item) = judged(std::slice::from_ref(&complained), Some(&waiting));
    assert_eq!(action, ReconcileAction::JoinComplaint(complained.clone()));
    assert!(matches!(
        item.unwrap().next_list_action(HERE, at(100_001)),
        ListAction::Put { reason: SuppressionReason::Complaint, .. }
    ));
    // But not by an import job that may have written it.
    assert_eq!(
        judged(&[complained], Some(&waiting.assign_to_job("k"))).0,
        ReconcileAction::Skip(reconcile::SkipReason::HeldByJob)
    );
}

#[test]
fn released_but_listed_is_deleted_in_every_spelling_unless_it_is_newer() {
    let released = written(&advanced(Some(&advanced(None, &bounce(10), 12)), &release(20), 21), None, 22);
    let (action, item) = judged(&[entry("JANE@example.com", SuppressionReason::Bounce, 30)], Some(&released));
    assert_eq!(action, ReconcileAction::MarkForDelete);
    let spellings = ["Jane@example.com", "JANE@example.com", JANE].map(str::to_owned).to_vec();
    assert_eq!(item.unwrap().next_list_action(HERE, at(100_001)), ListAction::Delete { spellings });
    // Within the margin it may still be our own; after it, it is SES's.
    assert_eq!(
        judged(&[entry(JANE, SuppressionReason::Bounce, 322)], Some(&released)).0,
        ReconcileAction::MarkForDelete
    );
    let newer = entry(JANE, SuppressionReason::Bounce, 323);
    let (action, item) = judged(std::slice::from_ref(&newer), Some(&released));
    assert_eq!(action, ReconcileAction::Adopt(newer));
    let item = item.unwrap();
    assert_eq!((item.effective_reason(), item.is_pending()), (Some(SuppressionReason::Bounce), false));
}

#[test]
fn gone_is_confirmed_then_left_off_or_put_back() {
    let item = written(&advanced(None, &bounce(10), 12), Some(SuppressionReason::Bounce), 13);
    assert_eq!(judged(&[], Some(&item)), (ReconcileAction::LookUpEntry, None));
    let found = entry("Jane@example.com", SuppressionReason::Bounce, 13);
    assert_eq!(reconcile::judge_after_lookup(Some(found), &item, &pass()), ReconcileAction::NoChange);
    assert_eq!(reconcile::judge_after_lookup(None, &item, &pass()), ReconcileAction::AcceptRemoval);
    let off = reconcile::state_after_action(
        &ReconcileAction::AcceptRemoval,
        None,
        Some(&item),
        &pass(),
        at(100_001),
    )
    .unwrap();
    let later = PassContext::new("us-east-1", at(200_000));
    assert_eq!(
        reconcile::judge_address(None, Some(&off), &later),
        ReconcileAction::Skip(reconcile::SkipReason::RemovalAccepted)
    );
    let back = PassContext { missing_entry_policy: MissingEntryPolicy::PutBack, ..pass() };
    let action = reconcile::judge_after_lookup(None, &item, &back);
    assert_eq!(action, ReconcileAction::MarkForPut(None));
    let item = reconcile::state_after_action(&action, None, Some(&item), &back, at(100_001)).unwrap();
    assert!(matches!(item.next_list_action(HERE, at(100_001)), ListAction::Put { .. }));
}

#[test]
fn the_entry_with_the_wrong_reason_is_the_one_that_is_put_over() {
    let item = written(&advanced(None, &complaint(10), 12), Some(SuppressionReason::Complaint), 13);
    let wrong = entry("JANE@example.com", SuppressionReason::Bounce, 50);
    let (action, item) = judged(std::slice::from_ref(&wrong), Some(&item));
    assert_eq!(action, ReconcileAction::MarkForPut(Some(wrong)));
    let spelling = "JANE@example.com".to_owned();
    assert_eq!(
        item.unwrap().next_list_action(HERE, at(100_001)),
        ListAction::Put { spelling, reason: SuppressionReason::Complaint }
    );
}

#[test]
fn an_own_complaint_from_before_a_release_was_heard_of_is_no_new_one() {
    let complained = written(&advanced(None, &complaint(10), 12), Some(SuppressionReason::Complaint), 5_000);
    // Told late by a peer: released before that was written, and bounced after.
    let released = advanced(Some(&complained), &release(20), 6_000);
    let bounced = advanced(Some(&released), &bounce(400), 6_001);
    let item = written(&bounced, Some(SuppressionReason::Bounce), 6_100);
    let entries = [
        entry("JANE@example.com", SuppressionReason::Complaint, 5_000),
        entry(JANE, SuppressionReason::Bounce, 6_100),
    ];
    let (action, next) = judged(&entries, Some(&item));
    assert_eq!(action, ReconcileAction::MarkForPut(Some(entries[0].clone())));
    assert_eq!(next.unwrap().effective_reason(), Some(SuppressionReason::Bounce));
    // One that is newer than all that we wrote is SES's.
    let newer = entry("JANE@example.com", SuppressionReason::Complaint, 6_401);
    assert_eq!(judged(std::slice::from_ref(&newer), Some(&item)).0, ReconcileAction::JoinComplaint(newer));
}

#[test]
fn a_refusal_is_believed_when_it_is_repeated() {
    let item = advanced(None, &bounce(10), 12);
    let refused = |item: &AddressState, why: &str, now| {
        item.record_attempt(
            item.version(),
            ApplyAttempt::Failed { cause: why.to_owned(), retryable: false },
            at(now),
        )
    };
    let kind = |item: &AddressState| item.current_apply_outcome().map(|outcome| outcome.kind);
    let once = refused(&item, "sandbox", 13);
    assert_eq!((kind(&once), once.is_pending()), (Some(ApplyOutcomeKind::Failed), true));
    let otherwise = refused(&once, "no such thing", 100);
    assert_eq!((kind(&otherwise), otherwise.is_pending()), (Some(ApplyOutcomeKind::Failed), true));
    let twice = refused(&otherwise, "no such thing", 200);
    assert_eq!((kind(&twice), twice.is_pending()), (Some(ApplyOutcomeKind::FailedForGood), false));
}

#[test]
fn what_moved_is_judged_in_the_next_pass_and_the_sandbox_when_it_is_left() {
    let item = written(&advanced(None, &bounce(99_000), 99_600), Some(SuppressionReason::Bounce), 99_700);
    assert_eq!(judged(&[], Some(&item)).0, ReconcileAction::Skip(reconcile::SkipReason::RecentlyChanged));
    let refused = advanced(None, &bounce(10), 12);
    let refused = refused.record_attempt(refused.version(), ApplyAttempt::RefusedSandbox, at(13));
    let sandbox = PassContext { in_sandbox: true, ..pass() };
    assert_eq!(
        reconcile::judge_address(None, Some(&refused), &sandbox),
        ReconcileAction::Skip(reconcile::SkipReason::InSandbox)
    );
    assert_eq!(judged(&[], Some(&refused)).0, ReconcileAction::MarkForPut(None));
}

#[test]
fn entries_are_grouped_by_address_and_what_is_none_is_counted() {
    let entries = [
        entry("B@example.com", SuppressionReason::Bounce, 1),
        entry("a@example.com", SuppressionReason::Bounce, 1),
        entry("b@Example.com", SuppressionReason::Bounce, 1),
        entry("nobody", SuppressionReason::Bounce, 1),
    ];
    let grouped = AddressEntries::group_by_address(entries);
    let addresses: Vec<_> = grouped.addresses.iter().map(AddressEntries::address).collect();
    assert_eq!((addresses, grouped.unreadable_count), (vec!["a@example.com", "b@example.com"], 1));
}

/// One Region's list as SES keeps it: by exact spelling, overwriting.
#[derive(Debug, Default)]
struct SesList(std::collections::BTreeMap<String, (SuppressionReason, Timestamp)>);

impl SesList {
    fn entries(&self) -> Vec<ListEntry> {
        let entry = |(spelling, (reason, updated_at)): (&String, &(SuppressionReason, Timestamp))| {
            ListEntry { spelling: spelling.clone(), reason: *reason, updated_at: *updated_at }
        };
        self.0.iter().map(entry).collect()
    }

    /// As `apply` would; how many calls it took.
    fn apply(&mut self, item: &mut Option<AddressState>, now: i64) -> usize {
        let Some(known) = item else { return 0 };
        let (reason, calls) = match known.next_list_action(HERE, at(now)) {
            ListAction::Nothing | ListAction::Wait(_) => return 0,
            ListAction::TrustSes(_) => unreachable!("not trusted here"),
            ListAction::Put { spelling, reason } => {
                self.0.insert(spelling, (reason, at(now)));
                (Some(reason), 1)
            }
            ListAction::Delete { spellings } => {
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
            item = AddressState::join_change(item.as_ref(), &change, at(50_000)).or(item);
        }
        list.apply(&mut item, 50_001);
        if taken_off {
            list.0.clear();
        }
        for (spelling, complained, at_second) in by_hand {
            let reason = if complained { SuppressionReason::Complaint } else { SuppressionReason::Bounce };
            list.0.insert(["jane@example.com", "Jane@example.com", "JANE@EXAMPLE.COM"][spelling].to_owned(), (reason, at(at_second)));
        }
        let mut rest = 0;
        for n in 1..=4 {
            let start = n * 100_000;
            let pass = PassContext::new("us-east-1", at(start));
            let entries = list.entries();
            let listing = (!entries.is_empty()).then(|| listing(&entries));
            let mut action = reconcile::judge_address(listing.as_ref(), item.as_ref(), &pass);
            if action == ReconcileAction::LookUpEntry {
                action = reconcile::judge_after_lookup(None, item.as_ref().unwrap(), &pass);
            }
            match reconcile::state_after_action(&action, listing.as_ref(), item.as_ref(), &pass, at(start + 1)) {
                Some(next) => item = Some(next),
                None => rest += 1,
            }
            list.apply(&mut item, start + 2);
        }
        prop_assert!(rest >= 2, "{:?} {:?}", item, list);
        let strongest = list.0.values().map(|(reason, _)| *reason).max();
        let left_off = item.as_ref().and_then(AddressState::last_known_entry).is_some_and(|applied| applied.removal_accepted);
        if left_off {
            prop_assert!(taken_off && strongest.is_none());
        } else {
            prop_assert_eq!(item.as_ref().and_then(AddressState::effective_reason), strongest);
        }
    }
}
