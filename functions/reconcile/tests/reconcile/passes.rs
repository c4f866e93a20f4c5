//! Passes that are cut short, fail, die, or meet another.

use std::time::Duration;

use mailroom_aws::clock::Clock;
use mailroom_aws::fault::Fault;
use mailroom_aws::fuse::Fuse;
use mailroom_aws::notes::{LIST_PASSES, ListPasses, Notes};
use mailroom_aws::suppression_list::MemoryRules;
use mailroom_core::audit::facts::ListPass;
use mailroom_core::suppression::Reason;
use reconcile::handler::{Counts, Done, Passed, Pushed, Wake};
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::Instant;

use crate::world::{A_WHILE, Region, WAKE, regions};

#[tokio::test]
async fn the_audit_finds_in_the_note_what_the_last_pass_found() {
    let (home, _) = regions();
    home.list.insert("a@example.com", Reason::Bounce);
    let begun = home.clock.now().plus(A_WHILE);
    let counts = home.counts().await;
    let note = home.notes.get::<ListPasses<IgnoredAny>>(LIST_PASSES).await.unwrap().unwrap().value;
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
    assert_eq!((note.last, note.open.is_some()), (Some(expected), false));
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
    assert_eq!((counts.restarts, counts.entries, home.counted("ListRestarts")), (1, 35, 1));
    assert_eq!(home.states.states().len(), 35);
    // The first page has no token: what is refused there is something else.
    home.list.fault([Fault::None, Fault::Refused]);
    home.clock.advance(A_WHILE);
    assert_eq!(
        home.wake(WAKE, 900).await.unwrap_err().to_string(),
        "the list: SES refuses it: BadRequestException"
    );
    assert_eq!(home.counts().await.entries, 35);
}

#[tokio::test]
async fn that_a_list_is_begun_again_is_counted_though_the_pass_does_not_end() {
    let (home, _) = regions();
    home.list.set_rules(MemoryRules { page: 10, ..MemoryRules::default() });
    for n in 0..300 {
        home.list.insert(&format!("user{n}@example.com"), Reason::Bounce);
    }
    home.list.fault([Fault::None, Fault::None, Fault::Refused]);
    let done = home.wake(WAKE, 20).await.unwrap();
    assert!(matches!(done, Done::Woken { passed: Passed::Unfinished(Counts { restarts: 1, .. }), .. }));
    assert_eq!((home.counted("ListRestarts"), home.counted("PassesEnded")), (1, 0));
}

/// A list of 120 pages, each entry of which is known: whatever of it is not seen counts as gone.
async fn long() -> Region {
    let (home, _) = regions();
    home.list.set_rules(MemoryRules { page: 10, ..MemoryRules::default() });
    for n in 0..1200 {
        home.list.insert(&format!("user{n}@example.com"), Reason::Bounce);
    }
    assert_eq!(home.counts().await.mended, 1200);
    home.clock.advance(A_WHILE);
    home
}

fn pages(home: &Region) -> usize {
    home.list.calls()["page"]
}

#[tokio::test]
async fn a_pass_that_dies_in_mid_paging_goes_on_at_most_a_minute_before() {
    let home = long().await;
    let before = pages(&home);
    let fuse = Fuse::default();
    let dying = home.function(&fuse);
    // The lease, the peer's note, the account, and what was kept after a minute are effects, too.
    fuse.set(85);
    let deadline = Instant::now() + Duration::from_mins(4);
    assert_eq!(fuse.run(dying.handle(WAKE, "dies", deadline)).await, None);
    let read = pages(&home) - before;
    assert!((75..=85).contains(&read), "{read}");
    let counts = home.counts().await;
    let again = pages(&home) - before - 120;
    assert_eq!((counts.entries, counts.agree, counts.expected, counts.gone), (1200, 1200, 1200, 0));
    // What was read in its first minute is not read again.
    assert!(again > 0 && again <= read - 58, "{again} of {read} were read again");
}

#[tokio::test]
async fn a_filter_that_is_not_kept_keeps_the_pass_where_it_was() {
    let home = long().await;
    let before = pages(&home);
    let unfinished = home.wake(WAKE, 60).await.unwrap();
    assert!(matches!(unfinished, Done::Woken { passed: Passed::Unfinished(_), .. }));
    let kept = pages(&home) - before;
    // Both at the end of an invocation and in the middle of one.
    for (seconds, read) in [(30, 15..25), (240, 55..65)] {
        home.clock.advance(Duration::from_mins(5));
        home.notes.fail(Some("reconcile-seen"));
        let before = pages(&home);
        let error = home.wake(WAKE, seconds).await.unwrap_err();
        assert!(error.to_string().starts_with("the notes:"), "{error}");
        assert!(read.contains(&(pages(&home) - before)), "{}", pages(&home) - before);
    }
    home.notes.fail(None);
    let before = pages(&home);
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.gone), (1200, 0));
    assert_eq!(pages(&home) - before, 120 - kept);
}

#[tokio::test]
async fn an_operator_who_wakes_it_is_told_what_it_did() {
    let (home, _) = regions();
    home.list.insert("a@example.com", Reason::Bounce);
    let told = json!(home.wake(Wake { pass: true, ..WAKE }, 240).await.unwrap());
    assert_eq!((&told["state"], &told["passed"]["state"]), (&json!("woken"), &json!("ended")));
    assert_eq!((&told["passed"]["entries"], &told["pushed"]["peers_failed"]), (&json!(1), &json!(0)));
    assert_eq!(told["looked_back"]["decided"], json!(0));
    assert_eq!(json!(Passed::NotDue), json!({"state": "not_due"}));
    assert_eq!(json!(Done::Held), json!({"state": "held"}));
}

#[tokio::test]
async fn while_one_is_at_it_another_leaves() {
    let (home, _) = regions();
    let fuse = Fuse::default();
    let died = home.function(&fuse);
    fuse.set(2);
    assert_eq!(fuse.run(died.handle(WAKE, "dies", Instant::now() + Duration::from_mins(10))).await, None);
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
    assert!(error.to_string().starts_with("the list: SES does not answer"), "{error}");
    home.list.recover();
    // The peer is told the next time.
    home.states.fail(1);
    assert!(matches!(home.pass().await, (Pushed { peers_failed: 1, .. }, Passed::Ended(_))));
    home.states.fail(1000);
    home.clock.advance(A_WHILE);
    let error = home.wake(WAKE, 900).await.unwrap_err();
    assert!(error.to_string().starts_with("the states: no answer"), "{error}");
}
