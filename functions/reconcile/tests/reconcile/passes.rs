//! Passes that are cut short, fail, die, or meet another.

use std::time::Duration;

use doubles::{Fault, Fuse, ListRules};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::notes::{FIRST_PASS_NOTE, FirstPassNote, PASS_NOTE, PassNote};
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::list_pass::ListPass;
use reconcile::handler::{PassCounts, PassOutcome, PushCounts, ReconcileRequest, ReconcileRunOutcome};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::world::{A_WHILE, Region, WAKE, regions};

/// The time between two invocations, by the template. Tokens do not last so long.
const EVERY: Duration = Duration::from_mins(5);

#[tokio::test]
async fn the_audit_finds_in_the_note_what_the_last_pass_found() {
    let (home, _) = regions();
    home.list.insert("a@example.com", SuppressionReason::Bounce);
    let begun = home.clock.now().plus(A_WHILE);
    let counts = home.counts().await;
    let note = home.table.note::<PassNote<IgnoredAny>>(PASS_NOTE).unwrap().value;
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
    assert_eq!((note.last_pass, note.open_pass.is_some()), (Some(expected), false));
}

#[tokio::test]
async fn a_pass_that_takes_longer_than_an_invocation_goes_on_at_the_next() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    for n in 0..300 {
        home.list.insert(&format!("user{n}@example.com"), SuppressionReason::Bounce);
    }
    let (mut wakes, started_at) = (0, home.clock.now());
    let counts = loop {
        wakes += 1;
        home.clock.advance(Duration::from_secs(1));
        match home.wake(WAKE, 20).await.unwrap() {
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Ended(counts), .. } => break counts,
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Unfinished(_), .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((counts.entries, counts.mended, wakes), (300, 300, 4));
    let calls = home.list.calls();
    assert_eq!((calls["page"], calls["account"]), (30, 4));
    assert!(home.clock.now().since(started_at) <= Duration::from_secs(45));
    assert_eq!(home.table.states().len(), 300);
}

#[tokio::test]
async fn a_list_whose_token_is_refused_is_begun_again() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    for n in 0..35 {
        home.list.insert(&format!("user{n}@example.com"), SuppressionReason::Bounce);
    }
    // The account, three pages, and the fourth's token.
    home.list.fault([Fault::None, Fault::None, Fault::None, Fault::None, Fault::Refused]);
    let counts = home.counts().await;
    assert_eq!((counts.restarts, counts.entries, home.counted("ListRestarts")), (1, 35, 1));
    assert_eq!(home.table.states().len(), 35);
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
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    for n in 0..300 {
        home.list.insert(&format!("user{n}@example.com"), SuppressionReason::Bounce);
    }
    home.list.fault([Fault::None, Fault::None, Fault::Refused]);
    let done = home.wake(WAKE, 20).await.unwrap();
    assert!(matches!(
        done,
        ReconcileRunOutcome::Completed {
            pass_outcome: PassOutcome::Unfinished(PassCounts { restarts: 1, .. }),
            ..
        }
    ));
    assert_eq!((home.counted("ListRestarts"), home.counted("PassesEnded")), (1, 0));
}

/// A list of 120 pages, each entry of which is known: whatever of it is not seen counts as gone. SES's tokens last.
async fn long() -> Region {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, token_life: Duration::from_hours(24), ..ListRules::default() });
    for n in 0..1200 {
        home.list.insert(&format!("user{n}@example.com"), SuppressionReason::Bounce);
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
    let deadline = Deadline::after(Duration::from_mins(4));
    assert_eq!(fuse.run(dying.handle_request(WAKE, "dies", deadline)).await, None);
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
    assert!(matches!(
        unfinished,
        ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Unfinished(_), .. }
    ));
    let kept = pages(&home) - before;
    // Both at the end of an invocation and in the middle of one.
    for (seconds, read) in [(30, 15..25), (240, 55..65)] {
        home.clock.advance(Duration::from_mins(5));
        home.table.fail_notes(Some("reconcile-seen"));
        let before = pages(&home);
        let error = home.wake(WAKE, seconds).await.unwrap_err();
        assert!(error.to_string().starts_with("the table:"), "{error}");
        assert!(read.contains(&(pages(&home) - before)), "{}", pages(&home) - before);
    }
    home.table.fail_notes(None);
    let before = pages(&home);
    let counts = home.counts().await;
    assert_eq!((counts.entries, counts.gone), (1200, 0));
    assert_eq!(pages(&home) - before, 120 - kept);
}

#[tokio::test]
async fn an_operator_who_wakes_it_is_told_what_it_did() {
    let (home, _) = regions();
    home.list.insert("a@example.com", SuppressionReason::Bounce);
    let told = json!(home.wake(ReconcileRequest { start_pass: true, ..WAKE }, 240).await.unwrap());
    assert_eq!((&told["state"], &told["passed"]["state"]), (&json!("woken"), &json!("ended")));
    assert_eq!((&told["passed"]["entries"], &told["pushed"]["peers_failed"]), (&json!(1), &json!(0)));
    assert_eq!(told["looked_back"]["decided"], json!(0));
    assert_eq!(json!(PassOutcome::NotDue), json!({"state": "not_due"}));
    assert_eq!(json!(ReconcileRunOutcome::Busy), json!({"state": "held"}));
}

#[tokio::test]
async fn while_one_is_at_it_another_leaves() {
    let (home, _) = regions();
    let fuse = Fuse::default();
    let died = home.function(&fuse);
    fuse.set(2);
    assert_eq!(
        fuse.run(died.handle_request(WAKE, "dies", Deadline::after(Duration::from_mins(10)))).await,
        None
    );
    assert_eq!(home.wake(WAKE, 900).await, Ok(ReconcileRunOutcome::Busy));
    home.clock.advance(Duration::from_mins(11));
    assert!(matches!(home.wake(WAKE, 900).await, Ok(ReconcileRunOutcome::Completed { .. })));
}

#[tokio::test]
async fn trouble_with_the_list_is_waited_out_or_told_and_peers_are_told_nevertheless() {
    let (home, _) = regions();
    home.suppress("a@example.com", SuppressionReason::Bounce);
    home.list.fault([Fault::Throttled, Fault::Unavailable, Fault::None, Fault::Unanswered]);
    assert!(matches!(home.pass().await, (PushCounts { states: 1, .. }, PassOutcome::Ended(_))));
    home.list.fault([Fault::Unavailable; 100]);
    home.clock.advance(A_WHILE);
    let error = home.wake(WAKE, 900).await.unwrap_err();
    assert!(error.to_string().starts_with("the list: SES does not answer"), "{error}");
    home.list.recover();
    // The peer is told the next time.
    home.table.fail(1);
    assert!(matches!(home.pass().await, (PushCounts { peers_failed: 1, .. }, PassOutcome::Ended(_))));
    home.table.fail(1000);
    home.clock.advance(A_WHILE);
    let error = home.wake(WAKE, 900).await.unwrap_err();
    assert!(error.to_string().starts_with("the table: no answer"), "{error}");
}

/// Puts so many entries on the list, ten in a second.
fn insert_over_time(home: &Region, entries: usize) {
    for n in 0..entries {
        home.list.insert(&format!("user{n}@example.com"), SuppressionReason::Bounce);
        if n % 10 == 9 {
            home.clock.advance(Duration::from_secs(1));
        }
    }
}

/// Wakes it every five minutes, for so many seconds each, until a pass has ended. Returns how often it was woken.
async fn wake_until_ended(home: &Region, seconds: u64, most: usize) -> (usize, PassCounts) {
    for wakes in 1..=most {
        home.clock.advance(EVERY);
        match home.wake(WAKE, seconds).await.unwrap() {
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Ended(counts), .. } => {
                return (wakes, counts);
            }
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Unfinished(_), .. } => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("no end after {most} invocations")
}

fn first_pass_ended(home: &Region) -> bool {
    home.table.note::<FirstPassNote>(FIRST_PASS_NOTE).is_some()
}

/// Each invocation can read half of the list at most.
#[tokio::test]
async fn a_long_list_comes_to_an_end_though_its_tokens_expire_between_invocations() {
    const ENTRIES: usize = 100_000;
    let (home, _) = regions();
    insert_over_time(&home, ENTRIES);
    let (wakes, counts) = wake_until_ended(&home, 60, 20).await;
    assert_eq!((home.table.states().len(), counts.entries, counts.gone), (ENTRIES, ENTRIES, 0));
    assert!(first_pass_ended(&home));
    assert!(counts.restarts > 0 && home.counted("ListRestarts") == counts.restarts, "{counts:?}");
    println!("{ENTRIES} entries: {wakes} invocations of a minute, {} pages, {counts:?}", pages(&home));
    assert!(pages(&home) < 3 * ENTRIES / 1000, "{}", pages(&home));
}

/// As an import job writes them.
#[tokio::test]
async fn what_was_written_within_a_second_must_be_read_in_one_go() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    insert_over_time(&home, 200);
    for n in 0..1000 {
        home.list.insert(&format!("imported{n}@example.com"), SuppressionReason::Bounce);
    }
    home.clock.advance(Duration::from_secs(1));
    insert_over_time(&home, 100);
    // A hundred pages take a hundred seconds. In less it is begun again and again, and told each time.
    for _ in 0..30 {
        home.clock.advance(EVERY);
        let done = home.wake(WAKE, 60).await.unwrap();
        assert!(
            matches!(done, ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Unfinished(_), .. }),
            "{done:?}"
        );
    }
    let restarts = home.counted("ListRestarts");
    assert!(restarts > 20 && !first_pass_ended(&home), "{restarts}");
    let (_, counts) = wake_until_ended(&home, 240, 2).await;
    assert_eq!((home.table.states().len(), counts.entries), (1200, 1200));
}

#[tokio::test]
async fn a_pass_that_is_killed_at_any_point_comes_to_an_end_though_tokens_expire() {
    for effects in (1..700).step_by(61) {
        for killed in [1, 3] {
            let (home, _) = regions();
            home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
            insert_over_time(&home, 300);
            for invocation in 1.. {
                home.clock.advance(EVERY);
                let fuse = Fuse::default();
                if invocation <= killed {
                    fuse.set(effects);
                }
                let function = home.function(&fuse);
                let deadline = Deadline::after(Duration::from_secs(25));
                match fuse.run(function.handle_request(WAKE, "an invocation", deadline)).await {
                    None
                    | Some(Ok(ReconcileRunOutcome::Completed {
                        pass_outcome: PassOutcome::Unfinished(_),
                        ..
                    })) => {
                        assert!(!first_pass_ended(&home) || home.table.states().len() == 300);
                    }
                    Some(Ok(ReconcileRunOutcome::Completed {
                        pass_outcome: PassOutcome::Ended(counts),
                        ..
                    })) => {
                        assert_eq!((counts.entries, counts.gone), (300, 0), "{effects} {killed}");
                        break;
                    }
                    other => panic!("{other:?}"),
                }
                assert!(invocation < 20, "{effects} {killed}");
            }
            assert_eq!(home.table.states().len(), 300, "{effects} {killed}");
        }
    }
}

#[tokio::test]
async fn what_is_written_during_a_pass_in_windows_is_not_missed_nor_taken_for_gone() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    insert_over_time(&home, 300);
    wake_until_ended(&home, 240, 1).await;
    home.clock.advance(A_WHILE);
    // In each pause somebody writes an entry that was read, one that was not, and a new one.
    let mut pauses = 0;
    let counts = loop {
        home.clock.advance(EVERY);
        match home.wake(WAKE, 25).await.unwrap() {
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Ended(counts), .. } => break counts,
            ReconcileRunOutcome::Completed { pass_outcome: PassOutcome::Unfinished(_), .. } => pauses += 1,
            other => panic!("{other:?}"),
        }
        for written in [format!("user{pauses}"), format!("user{}", 299 - pauses), format!("new{pauses}")] {
            home.list.insert(&format!("{written}@example.com"), SuppressionReason::Complaint);
        }
    };
    assert!(pauses >= 3 && counts.restarts > 0, "{pauses} {counts:?}");
    assert_eq!((counts.gone, counts.asked), (0, 0), "{counts:?}");
    for n in 1..=pauses {
        for written in [format!("user{n}"), format!("user{}", 299 - n), format!("new{n}")] {
            let state = home.state(&format!("{written}@example.com")).unwrap();
            assert_eq!(state.effective_reason(), Some(SuppressionReason::Complaint), "{written}");
        }
    }
}

/// A stack may be updated in the middle of a pass.
#[tokio::test]
async fn a_pass_that_a_version_before_windows_began_goes_on() {
    let (home, _) = regions();
    home.list.set_rules(ListRules { page: 10, ..ListRules::default() });
    insert_over_time(&home, 35);
    let open = json!({
        "started_at": home.clock.now(),
        "chunks": 1,
        "step": {"List": "a token that is no longer good"},
        "counts": {"entries": 10},
    });
    home.table.write_note(PASS_NOTE, &json!({"open": open, "last": null}));
    assert_eq!(home.counts().await.restarts, 1);
    assert_eq!(home.table.states().len(), 35);
}
