//! The handler with its ports in memory, in two Regions: what it mends, and what it leaves alone.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use mailroom_aws::clock::{Clock, MemoryClock};
use mailroom_aws::fault::Fault;
use mailroom_aws::fuse::Fuse;
use mailroom_aws::metrics::MemoryMetrics;
use mailroom_aws::notes::{FIRST_PASS, FirstPass, MemoryNotes, Notes, PeerNote, peer_note};
use mailroom_aws::peers::{MemoryPeers, PeerError};
use mailroom_aws::records::RecordTable;
use mailroom_aws::states::{MemoryStates, Put, StateTable};
use mailroom_aws::suppression_list::{Account, MemoryList, MemoryRules, SuppressionList};
use mailroom_core::address::Address;
use mailroom_core::audit::facts::ListPass;
use mailroom_core::record::Record;
use mailroom_core::suppression::item::{Attempt, JobRecord, Site, ToDo};
use mailroom_core::suppression::operator::OperatorDecision;
use mailroom_core::suppression::policy::Policy;
use mailroom_core::suppression::reconcile::{Gone, Guard};
use mailroom_core::suppression::spellings::Spellings;
use mailroom_core::suppression::{AddressState, Change, Reason, Said, Source, SuppressionState, message};
use mailroom_core::timestamp::Timestamp;
use proptest::prelude::*;
use reconcile::handler::{Counts, Done, Passed, Pushed, Reconcile, ReconcileError, Wake};
use reconcile::settings::Settings;
use serde_json::{Value, json};
use tokio::time::Instant;

type Function =
    Reconcile<MemoryStates, MemoryList<MemoryClock>, MemoryNotes, MemoryPeers, MemoryClock, MemoryMetrics>;

const HOME: &str = "us-east-1";
const PEER: &str = "eu-west-1";
const WAKE: Wake = Wake { pass: false, everything: false, records: false };
/// Longer than an invocation, so that whoever died at it holds nothing, and than what counts as moving.
const A_WHILE: Duration = Duration::from_mins(20);

/// A Region: its table, its list, and its functions.
struct Region {
    name: &'static str,
    states: MemoryStates,
    list: MemoryList<MemoryClock>,
    notes: MemoryNotes,
    queues: MemoryPeers,
    clock: MemoryClock,
    settings: Settings,
}

fn regions() -> (Region, Region) {
    let clock = MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap());
    let queues = MemoryPeers::default();
    let region = |name, peer: &str| Region {
        name,
        states: MemoryStates::default(),
        list: MemoryList::new(clock.clone(), |_| None),
        notes: MemoryNotes::default(),
        queues: queues.clone(),
        clock: clock.clone(),
        settings: Settings {
            table: "table".to_owned(),
            function: "reconcile".to_owned(),
            account: "123456789012".to_owned(),
            region: name.to_owned(),
            peers: vec![peer.to_owned()],
            queue: "mailroom-suppression".to_owned(),
            gone: Gone::LeaveOff,
            guard: Guard::default(),
            pass_every: Duration::from_mins(10),
            policy: Policy::default(),
            pace: Duration::from_secs(1),
        },
    };
    (region(HOME, PEER), region(PEER, HOME))
}

impl Region {
    fn function(&self, fuse: &Fuse) -> Function {
        Reconcile {
            states: self.states.with_fuse(fuse),
            list: self.list.with_fuse(fuse),
            notes: self.notes.with_fuse(fuse),
            peers: self.queues.with_fuse(fuse),
            clock: self.clock.clone(),
            metrics: MemoryMetrics::default(),
            settings: self.settings.clone(),
        }
    }

    async fn wake(&self, wake: Wake, seconds: u64) -> Result<Done, ReconcileError> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        self.function(&Fuse::default()).handle(wake, deadline).await
    }

    /// Wakes it later, in time for a whole pass.
    async fn pass(&self) -> (Pushed, Passed) {
        self.clock.advance(A_WHILE);
        match self.wake(WAKE, 900).await.unwrap() {
            Done::Woken { pushed, passed, .. } => (pushed, passed),
            Done::Held => panic!("held"),
        }
    }

    async fn counts(&self) -> Counts {
        match self.pass().await.1 {
            Passed::Ended(counts) => counts,
            other => panic!("{other:?}"),
        }
    }

    async fn state(&self, address: &str) -> Option<AddressState> {
        self.states.get(address, Instant::now()).await.unwrap()
    }

    async fn write(&self, next: AddressState, read: Option<u64>) {
        assert_eq!(self.states.put(&next, read, Instant::now()).await, Ok(Put::Done));
    }

    /// Joins something, as decide and merge do.
    async fn join(&self, change: &Change) {
        let known = self.state(&change.address).await;
        if let Some(next) = AddressState::advance(known.as_ref(), change, self.clock.now()) {
            self.write(next, known.map(|known| known.version())).await;
        }
    }

    async fn say(&self, spelling: &str, state: impl FnOnce(Said) -> SuppressionState) {
        let address = Address::parse(spelling).unwrap();
        let said = Said {
            at: self.clock.now(),
            source: Source::Operator,
            region: self.name.to_owned(),
            id: "OPERATOR#".to_owned(),
        };
        let change = Change {
            address: address.match_form().to_owned(),
            spellings: Spellings::from_iter([spelling]),
            state: state(said),
            decision: None,
        };
        self.join(&change).await;
    }

    async fn suppress(&self, spelling: &str, reason: Reason) {
        self.say(spelling, |said| SuppressionState::suppressed(reason, said)).await;
    }

    async fn release(&self, spelling: &str) {
        self.say(spelling, SuppressionState::released).await;
    }

    /// What merge does.
    async fn merge(&self) -> usize {
        let messages = self.queues.receive(self.name);
        for message in &messages {
            for peer in message::read(message).unwrap().states {
                self.join(&Change::from(peer)).await;
            }
        }
        messages.len()
    }

    /// What apply does.
    async fn apply(&self) {
        let first_pass_ended = self.notes.get::<FirstPass>(FIRST_PASS).await.unwrap().is_some();
        let site = Site { region: self.name, first_pass_ended, trust_origin: false };
        let production_access = self.list.account().await.map_or(true, |account| account.production_access);
        for state in self.states.states() {
            let now = self.clock.now();
            let written = |reason| Attempt::Written { reason, enabled: true };
            let attempt = match state.to_do(site, now) {
                ToDo::Put { .. } if !production_access => Attempt::RefusedSandbox,
                ToDo::Put { spelling, reason } => {
                    self.list.insert(&spelling, reason);
                    written(Some(reason))
                }
                ToDo::Delete { spellings } => {
                    for spelling in &spellings {
                        self.list.remove(spelling);
                    }
                    written(None)
                }
                ToDo::Nothing | ToDo::Wait(_) | ToDo::Trust(_) => continue,
            };
            let version = state.version();
            self.write(state.attempted(version, attempt, now), Some(version)).await;
        }
    }

    fn listed(&self) -> BTreeMap<String, Reason> {
        self.list.entries()
    }

    fn effective(&self) -> BTreeMap<String, Option<Reason>> {
        self.states.states().iter().map(|state| (state.address().to_owned(), state.effective())).collect()
    }
}

/// All functions of both Regions, often enough to be done.
async fn settle(home: &Region, peer: &Region) {
    for _ in 0..3 {
        for region in [home, peer] {
            region.pass().await;
            region.apply().await;
        }
        for region in [home, peer] {
            region.merge().await;
            region.apply().await;
        }
    }
}

/// Invocations that die after so many effects.
async fn die(home: &Region, peer: &Region, deaths: &[(bool, usize)]) {
    for (at_home, effects) in deaths {
        let region = if *at_home { home } else { peer };
        region.clock.advance(A_WHILE);
        let fuse = Fuse::default();
        let function = region.function(&fuse);
        fuse.set(*effects);
        fuse.run(function.handle(WAKE, Instant::now() + Duration::from_mins(15))).await;
        region.apply().await;
    }
}

fn entries<const N: usize>(entries: [(&str, Reason); N]) -> BTreeMap<String, Reason> {
    entries.into_iter().map(|(spelling, reason)| (spelling.to_owned(), reason)).collect()
}

#[tokio::test]
async fn what_stood_on_a_list_is_taken_in_and_comes_to_the_others() {
    let (home, peer) = regions();
    home.list.insert("Jane@Example.com", Reason::Bounce);
    home.list.insert("joe@example.com", Reason::Complaint);
    home.list.insert("success@simulator.amazonses.com", Reason::Bounce);
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.differ, counts.mended, counts.left), (3, 2, 2, 1));
    assert!(home.notes.get::<FirstPass>(FIRST_PASS).await.unwrap().is_some());
    settle(&home, &peer).await;
    assert_eq!(
        peer.listed(),
        entries([("Jane@Example.com", Reason::Bounce), ("joe@example.com", Reason::Complaint)])
    );
    let counts = peer.counts().await;
    assert_eq!((counts.agree, counts.differ, counts.mended, counts.busy), (2, 0, 0, 0));
}

#[tokio::test]
async fn what_is_no_address_stays_on_the_list_and_is_counted() {
    let (home, _) = regions();
    for spelling in ["a@example.com", "no address", "two@signs@example.com"] {
        home.list.insert(spelling, Reason::Bounce);
    }
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.unread), (3, 2));
    assert_eq!((home.list.entries().len(), home.states.states().len()), (3, 1));
}

#[tokio::test]
async fn a_bounce_is_not_put_over_a_complaint_that_nobody_knew_of() {
    let (home, _) = regions();
    home.clock.advance(A_WHILE);
    home.list.insert("joe@example.com", Reason::Complaint);
    home.suppress("joe@example.com", Reason::Bounce).await;
    home.apply().await;
    assert_eq!(home.listed(), entries([("joe@example.com", Reason::Complaint)]));
    home.counts().await;
    home.apply().await;
    assert_eq!(home.listed(), entries([("joe@example.com", Reason::Complaint)]));
    assert_eq!(home.effective()["joe@example.com"], Some(Reason::Complaint));
}

#[tokio::test]
async fn what_is_added_by_hand_on_either_side_comes_to_both() {
    let (home, peer) = regions();
    settle(&home, &peer).await;
    home.list.insert("a@example.com", Reason::Bounce);
    peer.list.insert("b@example.com", Reason::Complaint);
    settle(&home, &peer).await;
    let both = entries([("a@example.com", Reason::Bounce), ("b@example.com", Reason::Complaint)]);
    assert_eq!((home.listed(), peer.listed()), (both.clone(), both));
}

#[tokio::test]
async fn what_is_removed_by_hand_is_left_off_until_there_is_new_evidence() {
    let (home, peer) = regions();
    for n in 0..20 {
        home.suppress(&format!("user{n}@example.com"), Reason::Bounce).await;
    }
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
    home.list.remove("user7@example.com");
    let counts = home.counts().await;
    assert_eq!((counts.expected, counts.gone, counts.asked, counts.drifted), (20, 1, 1, 1));
    settle(&home, &peer).await;
    assert_eq!((home.listed().len(), peer.listed().len()), (19, 20));
    assert_eq!(home.counts().await.gone, 0);
    home.suppress("user7@example.com", Reason::Bounce).await;
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
}

#[tokio::test]
async fn what_is_removed_by_hand_is_put_back_if_so_set() {
    let (mut home, peer) = regions();
    home.settings.gone = Gone::PutBack;
    home.suppress("a@example.com", Reason::Bounce).await;
    settle(&home, &peer).await;
    home.list.remove("a@example.com");
    settle(&home, &peer).await;
    assert_eq!(home.listed(), entries([("a@example.com", Reason::Bounce)]));
}

#[tokio::test]
async fn nothing_is_concluded_from_a_list_that_has_been_emptied() {
    let (mut home, peer) = regions();
    for n in 0..20 {
        home.suppress(&format!("user{n}@example.com"), Reason::Bounce).await;
    }
    settle(&home, &peer).await;
    for n in 0..20 {
        home.list.remove(&format!("user{n}@example.com"));
    }
    let before = home.states.states();
    for _ in 0..2 {
        assert!(matches!(home.pass().await.1, Passed::Alarmed(Counts { gone: 20, mended: 0, .. })));
    }
    assert_eq!(home.states.states(), before);
    // Somebody has looked, and wants them back.
    home.settings.guard.percent = 100;
    home.settings.gone = Gone::PutBack;
    settle(&home, &peer).await;
    assert_eq!(home.listed().len(), 20);
}

#[tokio::test]
async fn the_audit_finds_in_the_note_what_the_last_pass_found() {
    #[derive(serde::Deserialize)]
    struct Note {
        last: ListPass,
    }
    let (home, _) = regions();
    home.list.insert("a@example.com", Reason::Bounce);
    let begun = home.clock.now().plus(A_WHILE);
    let counts = home.counts().await;
    let note = home.notes.get::<Note>("reconcile").await.unwrap().unwrap().value;
    let expected = ListPass {
        started_at: begun,
        ended_at: Some(home.clock.now()),
        entries: 1,
        agree: Some(counts.agree),
        differ: Some(1),
        mended: Some(1),
        gone: Some(0),
        alarmed: false,
    };
    assert_eq!(note.last, expected);
}

#[tokio::test]
async fn the_audit_finds_in_the_note_how_far_a_peer_has_been_told() {
    let (home, peer) = regions();
    let begun = home.clock.now().plus(A_WHILE);
    home.counts().await;
    let note = home.notes.get::<PeerNote>(&peer_note(peer.name)).await.unwrap().unwrap().value;
    assert_eq!(note, PeerNote { until: Some(begun) });
}

#[tokio::test]
async fn what_was_released_and_is_on_the_list_goes() {
    let (home, peer) = regions();
    home.suppress("a@example.com", Reason::Bounce).await;
    settle(&home, &peer).await;
    home.release("a@example.com").await;
    settle(&home, &peer).await;
    assert!(home.listed().is_empty() && peer.listed().is_empty());
    // By hand, in another spelling, and after the release: that is new.
    home.clock.advance(A_WHILE);
    home.list.insert("A@example.com", Reason::Complaint);
    settle(&home, &peer).await;
    assert_eq!(home.effective()["a@example.com"], Some(Reason::Complaint));
    assert!(peer.listed().values().eq([&Reason::Complaint]));
    // A delete that SES accepted and did not do.
    home.release("a@example.com").await;
    let state = home.state("a@example.com").await.unwrap();
    let attempt = Attempt::Written { reason: None, enabled: true };
    let version = state.version();
    home.write(state.attempted(version, attempt, home.clock.now()), Some(version)).await;
    assert_eq!(home.listed().len(), 1);
    settle(&home, &peer).await;
    assert!(home.listed().is_empty() && peer.listed().is_empty());
}

#[tokio::test]
async fn a_put_that_was_lost_or_has_another_reason_is_done_again() {
    let (home, peer) = regions();
    home.suppress("a@example.com", Reason::Complaint).await;
    settle(&home, &peer).await;
    home.clock.advance(A_WHILE);
    home.list.insert("a@example.com", Reason::Bounce);
    settle(&home, &peer).await;
    assert_eq!(home.listed(), entries([("a@example.com", Reason::Complaint)]));
}

#[tokio::test]
async fn a_peer_that_cannot_be_told_is_told_later_and_the_pass_goes_on() {
    let (home, peer) = regions();
    home.queues.fail(PEER, Some(PeerError::NoQueue));
    home.list.insert("a@example.com", Reason::Bounce);
    home.pass().await;
    for _ in 0..2 {
        let (pushed, passed) = home.pass().await;
        assert!(pushed.peers_failed == 1 && matches!(passed, Passed::Ended(_)));
    }
    home.queues.fail(PEER, None);
    assert_eq!(home.pass().await.0, Pushed { states: 1, messages: 1, ..Pushed::default() });
    assert_eq!(peer.merge().await, 1);
    assert_eq!(peer.effective()["a@example.com"], Some(Reason::Bounce));
    // It has been told, and is not told again.
    assert_eq!(home.pass().await.0, Pushed::default());
}

#[tokio::test]
async fn a_message_that_was_accepted_and_lost_is_made_good_within_a_week() {
    let (home, peer) = regions();
    home.suppress("a@example.com", Reason::Bounce).await;
    assert_eq!(home.pass().await.0.states, 1);
    home.queues.receive(PEER);
    assert_eq!(home.pass().await.0.states, 0);
    assert_eq!(peer.merge().await, 0);
    home.clock.advance(Duration::from_hours(7 * 24));
    home.pass().await;
    assert_eq!(peer.merge().await, 1);
    // Or when an operator asks for it.
    home.clock.advance(A_WHILE);
    home.wake(Wake { everything: true, ..WAKE }, 900).await.unwrap();
    assert_eq!(peer.merge().await, 1);
}

#[tokio::test]
async fn a_peer_that_is_added_late_is_told_everything() {
    let (mut home, peer) = regions();
    home.settings.peers.clear();
    for n in 0..3000 {
        home.suppress(&format!("user{n}@example.com"), Reason::Bounce).await;
    }
    home.clock.advance(Duration::from_hours(24));
    home.pass().await;
    home.apply().await;
    home.settings.peers.push(PEER.to_owned());
    let (pushed, _) = home.pass().await;
    assert_eq!((pushed.states, pushed.messages), (3000, 3));
    peer.pass().await;
    peer.merge().await;
    peer.apply().await;
    assert_eq!(peer.listed(), home.listed());
    assert_eq!(peer.listed().len(), 3000);
}

#[tokio::test]
async fn what_apply_or_a_job_has_to_do_is_left_to_it() {
    let (home, peer) = regions();
    settle(&home, &peer).await;
    for name in ["a", "b", "c"] {
        home.suppress(&format!("{name}@example.com"), Reason::Bounce).await;
    }
    home.clock.advance(A_WHILE);
    // a is in a job, b's record in a job has failed, c's too, for good.
    for name in ["a", "b", "c"] {
        let state = home.state(&format!("{name}@example.com")).await.unwrap();
        let version = state.version();
        home.write(state.in_job("key"), Some(version)).await;
    }
    let b = home.state("b@example.com").await.unwrap();
    let failed = JobRecord::Failed { why: "invalid".to_owned() };
    home.write(b.job_ended("key", failed.clone(), home.clock.now()).unwrap(), Some(b.version())).await;
    let c = home.state("c@example.com").await.unwrap();
    let released = c.job_ended("key", failed, home.clock.now()).unwrap();
    home.write(released.clone(), Some(c.version())).await;
    let refused = Attempt::Failed { why: "refused".to_owned(), may_pass: false };
    let once = released.attempted(released.version(), refused.clone(), home.clock.now());
    let for_good = once.attempted(once.version(), refused, home.clock.now());
    home.write(for_good, Some(released.version())).await;
    let counts = home.counts().await;
    assert_eq!((counts.busy, counts.left, counts.mended), (2, 1, 0));
    home.apply().await;
    assert_eq!(home.listed(), entries([("b@example.com", Reason::Bounce)]));
}

#[tokio::test]
async fn what_the_sandbox_refused_is_put_once_the_account_has_left_it() {
    let (home, _) = regions();
    home.pass().await;
    home.clock.advance(A_WHILE);
    let account = home.list.account().await.unwrap();
    home.list.set_account(Account { production_access: false, ..account.clone() });
    home.suppress("a@example.com", Reason::Bounce).await;
    home.clock.advance(A_WHILE);
    home.apply().await;
    assert_eq!(home.counts().await.left, 1);
    home.list.set_account(account);
    assert_eq!(home.counts().await.mended, 1);
    home.clock.advance(A_WHILE);
    home.apply().await;
    assert_eq!(home.listed().len(), 1);
}

#[tokio::test]
async fn a_pass_that_takes_longer_than_an_invocation_goes_on_at_the_next() {
    let (home, _) = regions();
    home.list.set_rules(MemoryRules { page: 10, ..MemoryRules::default() });
    for n in 0..300 {
        home.list.insert(&format!("user{n}@example.com"), Reason::Bounce);
    }
    let (mut wakes, started_at) = (0, home.clock.now());
    let counts = loop {
        wakes += 1;
        home.clock.advance(Duration::from_secs(1));
        match home.wake(WAKE, 20).await.unwrap() {
            Done::Woken { passed: Passed::Ended(counts), .. } => break counts,
            Done::Woken { passed: Passed::Unfinished(_), .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((counts.entries, counts.mended, wakes), (300, 300, 4));
    let calls = home.list.calls();
    assert_eq!((calls["page"], calls["account"]), (30, 4));
    assert!(home.clock.now().since(started_at) <= Duration::from_secs(45));
    assert_eq!(home.states.states().len(), 300);
}

#[tokio::test]
async fn a_list_whose_token_is_refused_is_begun_again() {
    let (home, _) = regions();
    home.list.set_rules(MemoryRules { page: 10, ..MemoryRules::default() });
    for n in 0..35 {
        home.list.insert(&format!("user{n}@example.com"), Reason::Bounce);
    }
    // The account, three pages, and the fourth's token.
    home.list.fault([Fault::None, Fault::None, Fault::None, Fault::None, Fault::Refused]);
    let counts = home.counts().await;
    assert_eq!((counts.restarts, counts.entries), (1, 35));
    assert_eq!(home.states.states().len(), 35);
    // The first page has no token: what is refused there is something else.
    home.list.fault([Fault::None, Fault::Refused]);
    home.clock.advance(A_WHILE);
    assert_eq!(home.wake(WAKE, 900).await.unwrap_err().to_string(), "the list: refused");
    assert_eq!(home.counts().await.entries, 35);
}

#[tokio::test]
async fn while_one_is_at_it_another_leaves() {
    let (home, _) = regions();
    let fuse = Fuse::default();
    let died = home.function(&fuse);
    fuse.set(2);
    assert_eq!(fuse.run(died.handle(WAKE, Instant::now() + Duration::from_mins(10))).await, None);
    assert_eq!(home.wake(WAKE, 900).await, Ok(Done::Held));
    home.clock.advance(Duration::from_mins(11));
    assert!(matches!(home.wake(WAKE, 900).await, Ok(Done::Woken { .. })));
}

#[tokio::test]
async fn trouble_with_the_list_is_waited_out_or_told_and_peers_are_told_nevertheless() {
    let (home, _) = regions();
    home.suppress("a@example.com", Reason::Bounce).await;
    home.list.fault([Fault::Throttled, Fault::Unavailable, Fault::None, Fault::Unanswered]);
    assert!(matches!(home.pass().await, (Pushed { states: 1, .. }, Passed::Ended(_))));
    home.list.fault([Fault::Unavailable; 100]);
    home.clock.advance(A_WHILE);
    let error = home.wake(WAKE, 900).await.unwrap_err();
    assert_eq!(error.to_string(), "the list: no answer");
    home.list.recover();
    // The peer is told the next time.
    home.states.fail(1);
    assert!(matches!(home.pass().await, (Pushed { peers_failed: 1, .. }, Passed::Ended(_))));
    home.states.fail(1000);
    home.clock.advance(A_WHILE);
    let error = home.wake(WAKE, 900).await.unwrap_err();
    assert!(error.to_string().starts_with("the states: no answer"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever was said and done, and wherever an invocation died, both Regions come to the same, and nothing is lost.
    #[test]
    fn whatever_dies_both_come_to_the_same(
        here in proptest::collection::vec((0..12_u8, any::<bool>(), any::<bool>()), 0..12),
        there in proptest::collection::vec((0..12_u8, any::<bool>(), any::<bool>()), 0..12),
        by_hand in proptest::collection::vec((0..12_u8, 0..4_u8, any::<bool>()), 0..8),
        deaths in proptest::collection::vec((any::<bool>(), 0..60_usize), 0..6),
        page in 1..6_usize,
    ) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let (mut home, mut peer) = regions();
            for region in [&mut home, &mut peer] {
                region.settings.gone = Gone::PutBack;
                region.settings.guard.percent = 100;
            }
            for (region, said) in [(&home, &here), (&peer, &there)] {
                region.list.set_rules(MemoryRules { page, ..MemoryRules::default() });
                for (name, listed, complaint) in said {
                    let reason = if *complaint { Reason::Complaint } else { Reason::Bounce };
                    let spelling = format!("User{name}@example.com");
                    if *listed {
                        region.list.insert(&spelling, reason);
                    } else {
                        region.suppress(&spelling, reason).await;
                    }
                    region.clock.advance(Duration::from_secs(1));
                }
            }
            let (before, after) = deaths.split_at(deaths.len() / 2);
            die(&home, &peer, before).await;
            settle(&home, &peer).await;
            let known: Vec<_> = here.iter().chain(&there).map(|(name, ..)| *name).collect();
            for name in known {
                let address = format!("user{name}@example.com");
                prop_assert!(home.effective()[&address].is_some(), "{}", address);
            }
            for (name, what, at_home) in by_hand {
                let region = if at_home { &home } else { &peer };
                region.clock.advance(A_WHILE);
                let address = format!("user{name}@example.com");
                match what {
                    0 => region.list.insert(&format!("user{name}@EXAMPLE.com"), Reason::Complaint),
                    1 => {
                        for spelling in region.listed().keys().filter(|on| on.to_lowercase() == address) {
                            region.list.remove(spelling);
                        }
                    }
                    2 => region.release(&address).await,
                    _ => region.suppress(&address, Reason::Bounce).await,
                }
            }
            die(&home, &peer, after).await;
            settle(&home, &peer).await;
            settle(&home, &peer).await;
            prop_assert_eq!(home.effective(), peer.effective());
            for region in [&home, &peer] {
                let mut wanted = region.effective();
                wanted.retain(|_, reason| reason.is_some());
                let mut listed = BTreeMap::new();
                for (spelling, reason) in region.listed() {
                    let address = Address::parse(&spelling).unwrap().match_form().to_owned();
                    let entry = listed.entry(address).or_insert(Some(reason));
                    *entry = (*entry).max(Some(reason));
                }
                prop_assert_eq!(&listed, &wanted);
                prop_assert_eq!(region.counts().await.differ, 0);
            }
            Ok(())
        })?;
    }
}

/// Issue 4, point 5. Time is the clock's: a page a second.
#[tokio::test]
async fn a_hundred_thousand_entries_come_to_an_empty_list() {
    let (home, peer) = regions();
    let count = 100_000;
    for n in 0..count {
        let reason = if n % 10 == 0 { Reason::Complaint } else { Reason::Bounce };
        home.list.insert(&format!("User{n}@example.com"), reason);
    }
    let started_at = home.clock.now();
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.mended), (count, count));
    assert!(home.clock.now().since(started_at) < A_WHILE + Duration::from_mins(3));
    let (pushed, _) = home.pass().await;
    assert_eq!((pushed.states, pushed.peers_behind), (count, 0));
    assert!(pushed.messages < 150, "{pushed:?}");
    peer.pass().await;
    peer.merge().await;
    peer.apply().await;
    assert!(peer.listed() == home.listed());
    let counts = peer.counts().await;
    assert_eq!((counts.entries, counts.differ), (count, 0));
}

/// Records whose stream records were lost: in the table, and nobody has decided on them.
fn bounce(address: &str, event: u32, kind: &str, at: Timestamp) -> Value {
    json!({
        "pk": format!("ADDR#{address}"), "sk": format!("FEEDBACK#{at}#bounce#{event}#event"),
        "kind": "bounce", "event_id": format!("{event}"), "occurred_at": at, "sent_at": at, "decidable": kind,
        "recipient": address, "address": address,
    })
}

#[tokio::test]
async fn what_the_stream_has_lost_is_decided_on_late() {
    let (home, peer) = regions();
    let at = home.clock.now();
    let day = |n: u64| at.plus(Duration::from_hours(24 * n));
    let decision = |address: &str, suppress, at| {
        let address = Address::parse(address).unwrap();
        serde_json::to_value(OperatorDecision::new(&address, suppress, "ops", "ticket", at, "")).unwrap()
    };
    let records = [
        bounce("gone@example.com", 1, "bounce", day(2)),
        bounce("full@example.com", 2, "transient", day(0)),
        bounce("full@example.com", 3, "transient", day(0).plus(Duration::from_secs(1))),
        bounce("full@example.com", 4, "transient", day(1)),
        bounce("full@example.com", 5, "transient", day(2)),
        bounce("full@example.com", 6, "transient", day(3)),
        bounce("slow@example.com", 7, "transient", day(3)),
        bounce("known@example.com", 8, "bounce", day(3)),
        bounce("freed@example.com", 9, "bounce", day(3)),
        decision("freed@example.com", None, day(4)),
        decision("unwanted@example.com", Some(Reason::Complaint), day(4)),
        json!({"pk": "ADDR#odd@example.com", "sk": "FEEDBACK#x", "decidable": "bounce", "occurred_at": day(4)}),
        json!({"pk": "ADDR#gone@example.com", "sk": "FEEDBACK#y", "kind": "delivery", "occurred_at": day(4)}),
    ];
    let records: Vec<_> = records.into_iter().map(Stored::new).collect();
    assert!(home.states.append(&records, Instant::now()).await.is_empty());
    home.clock.set(day(5));
    home.suppress("known@example.com", Reason::Bounce).await;
    home.suppress("freed@example.com", Reason::Bounce).await;
    home.release("freed@example.com").await;
    let before = home.states.states();
    home.clock.advance(A_WHILE);
    let looked_back = |done| match done {
        Ok(Done::Woken { looked_back, .. }) => looked_back,
        other => panic!("{other:?}"),
    };
    let done = looked_back(home.wake(WAKE, 900).await);
    assert_eq!((done.records, done.unreadable), (11, 1));
    assert!(done.decided >= 3, "{done:?}");
    settle(&home, &peer).await;
    let wanted = [
        ("full@example.com", Some(Reason::Bounce)),
        ("gone@example.com", Some(Reason::Bounce)),
        ("known@example.com", Some(Reason::Bounce)),
        ("unwanted@example.com", Some(Reason::Complaint)),
    ];
    let mut effective = peer.effective();
    effective.retain(|_, reason| reason.is_some());
    assert_eq!(effective, wanted.map(|(address, reason)| (address.to_owned(), reason)).into());
    assert_eq!(peer.listed(), wanted.map(|(address, reason)| (address.to_owned(), reason.unwrap())).into());
    for state in before {
        assert_eq!(home.state(state.address()).await.unwrap().state(), state.state());
    }
    // Once a week, or when an operator asks; what is known changes nothing.
    home.clock.advance(A_WHILE);
    assert_eq!(looked_back(home.wake(WAKE, 900).await).records, 0);
    home.clock.advance(A_WHILE);
    let done = looked_back(home.wake(Wake { records: true, ..WAKE }, 900).await);
    assert_eq!((done.records, done.decided), (11, 0));
}

#[tokio::test]
async fn a_release_stands_against_what_is_dated_ahead_and_looked_at_again() {
    let (home, peer) = regions();
    // It came to light now, and was taken in so.
    let ahead = home.clock.now().plus(Duration::from_secs(65));
    home.suppress("a@example.com", Reason::Bounce).await;
    home.suppress("b@example.com", Reason::Bounce).await;
    let records: Vec<_> =
        ["a", "b"].map(|name| Stored::new(bounce(&format!("{name}@example.com"), 1, "bounce", ahead))).into();
    assert!(home.states.append(&records, Instant::now()).await.is_empty());
    home.clock.advance(Duration::from_mins(1));
    // Of one release the Region knows when it looks back, of the other not yet.
    home.release("a@example.com").await;
    peer.release("b@example.com").await;
    home.clock.advance(Duration::from_hours(2));
    settle(&home, &peer).await;
    settle(&home, &peer).await;
    assert!(home.effective().values().all(Option::is_none), "{:?}", home.effective());
    assert_eq!((home.effective(), home.listed()), (peer.effective(), peer.listed()));
}

#[tokio::test]
async fn what_ses_was_trusted_with_is_put_if_it_is_not_there() {
    let (home, _) = regions();
    home.pass().await;
    home.clock.advance(A_WHILE);
    home.suppress("a@example.com", Reason::Bounce).await;
    let state = home.state("a@example.com").await.unwrap();
    let trusted = Attempt::Trusted { reason: Reason::Bounce, enabled: true };
    let version = state.version();
    home.write(state.attempted(version, trusted, home.clock.now()), Some(version)).await;
    let counts = home.counts().await;
    assert_eq!((counts.mended, counts.drifted), (1, 0));
    home.apply().await;
    assert_eq!(home.listed(), entries([("a@example.com", Reason::Bounce)]));
}

/// Of two scans one dies after any page.
#[tokio::test]
async fn a_look_back_that_dies_goes_on() {
    for effects in 0..20 {
        let (home, _) = regions();
        let names: Vec<_> = (0..7).map(|n| format!("user{n}@example.com")).collect();
        let records = names.iter().map(|name| Stored::new(bounce(name, 1, "bounce", home.clock.now())));
        assert!(home.states.append(&records.collect::<Vec<_>>(), Instant::now()).await.is_empty());
        home.clock.advance(Duration::from_hours(2));
        let fuse = Fuse::default();
        let function = home.function(&fuse);
        fuse.set(effects);
        fuse.run(function.handle(WAKE, Instant::now() + Duration::from_mins(15))).await;
        home.pass().await;
        assert!(home.effective().keys().eq(&names), "{effects}");
    }
}

/// A record as it lies in the table.
#[derive(serde::Serialize)]
#[serde(transparent)]
struct Stored {
    record: Value,
    #[serde(skip)]
    key: (String, String),
}

impl Stored {
    fn new(record: Value) -> Self {
        let [pk, sk] = ["pk", "sk"].map(|name| record[name].as_str().unwrap().to_owned());
        Self { record, key: (pk, sk) }
    }
}

impl Record for Stored {
    fn key(&self) -> (&str, &str) {
        (&self.key.0, &self.key.1)
    }
}
