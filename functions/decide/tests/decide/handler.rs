use doubles::EventKind;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::peer_queues::PeerError;
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::peer_message;
use mailroom_core::suppression::policy::TenantPolicy;
use serde_json::{Value, json};

use crate::world::{Event, Region, at, deadline, world};

const JANE: &str = "jane@example.com";

fn on(day: u32, hour: u32) -> mailroom_core::timestamp::Timestamp {
    at(&format!("2026-01-{day:02}T{hour:02}:00:00Z"))
}

fn bounce(id: &str, day: u32) -> Event {
    Event::new(EventKind::Permanent, "Jane@Example.com", id, on(day, 0))
}

fn writes(region: &Region) -> usize {
    region.table.stream(0).iter().filter(|image| image.new["sk"] == "SUPPRESSION").count()
}

#[tokio::test]
async fn a_bounce_is_a_pending_state_and_every_peer_is_told() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.decide_all().await.unwrap();
    let state = home.state(JANE).unwrap();
    assert_eq!(
        (state.effective_reason(), state.is_pending(), state.version()),
        (Some(SuppressionReason::Bounce), true, 1)
    );
    let said = state.state().bounced.as_ref().unwrap();
    assert_eq!((said.at, said.region.as_str(), said.id.as_str()), (on(27, 0), "us-east-1", "b-1"));
    assert!(state.spellings().iter().eq(["Jane@Example.com"]));
    for peer in &regions[1..] {
        let sent = peers.receive(peer.name);
        assert_eq!(sent.len(), 1);
        let incoming = peer_message::parse_peer_message(&sent[0]).unwrap();
        assert_eq!((incoming.origin_region.as_str(), incoming.states.len()), ("us-east-1", 1));
        assert_eq!(&incoming.states[0].state, state.state());
        assert_eq!(peer.merge(&sent).await, [""; 0]);
        assert_eq!(peer.effective(JANE), Some(SuppressionReason::Bounce));
    }
    assert!(peers.receive("us-east-1").is_empty());
    assert_eq!(home.decide.metrics.get("StatesAdvanced"), 1);
    assert_eq!(home.decide.metrics.get("PeerMessagesSent"), 2);
}

/// A crash between the write and the messages leaves only the batch to come back.
#[tokio::test]
async fn a_batch_again_changes_nothing_and_tells_the_peers_again() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.decide_all().await.unwrap();
    let (before, told) = (home.table.states(), peers.receive("eu-west-1"));
    home.clock.advance(std::time::Duration::from_mins(1));
    // The state's own change is in the stream by now: were it let through, it would be nothing to decide on.
    home.decide_all().await.unwrap();
    assert_eq!((home.table.states(), peers.receive("eu-west-1")), (before, told));
}

#[tokio::test]
async fn an_address_is_written_once_per_batch() {
    let (regions, peers) = world();
    let home = &regions[0];
    for (id, day) in [("b-1", 27), ("b-2", 28), ("b-3", 26)] {
        home.happens(&bounce(id, day)).await;
        home.happens(&Event { identity: true, ..bounce(id, day) }).await;
    }
    home.happens(&Event::new(EventKind::Complaint, JANE, "c-1", on(25, 0))).await;
    home.decide_all().await.unwrap();
    assert_eq!(writes(home), 1);
    let state = home.state(JANE).unwrap();
    assert_eq!(
        (state.state().bounced_at(), state.state().complained_at()),
        (Some(on(28, 0)), Some(on(25, 0)))
    );
    assert_eq!(state.effective_reason(), Some(SuppressionReason::Complaint));
    assert!(state.spellings().iter().eq(["Jane@Example.com", JANE]));
    assert_eq!(peers.receive("us-west-2").len(), 1);
}

#[tokio::test]
async fn an_echo_decides_nothing() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&Event::new(EventKind::EchoOfBounce, JANE, "e-1", on(27, 0))).await;
    home.happens(&Event::new(EventKind::Delivery, JANE, "d-1", on(27, 0))).await;
    home.happens(&Event::new(EventKind::Permanent, "bounce@simulator.amazonses.com", "s-1", on(27, 0))).await;
    home.decide_all().await.unwrap();
    assert_eq!((home.table.states(), peers.receive("us-west-2")), (vec![], vec![]));
    assert_eq!(home.decide.metrics.get("RecordsRead"), 0);
}

#[tokio::test]
async fn transient_bounces_count_by_event_and_with_those_before() {
    let (regions, peers) = world();
    let home = &regions[0];
    for (n, day) in [20, 20, 21, 21].into_iter().enumerate() {
        let event =
            Event::new(EventKind::Transient, JANE, &format!("t-{n}"), on(day, u32::try_from(n).unwrap()));
        home.happens(&event).await;
        home.happens(&Event { identity: true, ..event }).await;
        home.decide_all().await.unwrap();
    }
    assert_eq!((home.table.states(), peers.receive("us-west-2")), (vec![], vec![]));
    // Only the new one is in the batch; the others are in the table.
    let before = home.changes().len();
    home.happens(&Event::new(EventKind::Transient, JANE, "t-9", on(22, 0))).await;
    let batch = home.batch(&home.changes()[before..]);
    home.decide.handle(&batch.to_string(), deadline()).await.unwrap();
    let state = home.state(JANE).unwrap();
    // It takes all of the five, so they count from the first: a release after that starts the count again.
    assert_eq!(
        (state.effective_reason(), state.state().bounced_at()),
        (Some(SuppressionReason::Bounce), Some(on(20, 0)))
    );
}

#[tokio::test]
async fn a_delivery_starts_the_count_again() {
    for (delivered, suppressed) in [(None, true), (Some(19), true), (Some(23), false), (Some(26), false)] {
        let (regions, _) = world();
        let home = &regions[0];
        for (n, day) in [20, 21, 22, 24].into_iter().enumerate() {
            home.happens(&Event::new(EventKind::Transient, JANE, &format!("t-{n}"), on(day, 0))).await;
        }
        if let Some(day) = delivered {
            home.happens(&Event::new(EventKind::Delivery, JANE, "d-2", on(day, 0))).await;
            // An earlier one that comes late is no news.
            home.happens(&Event::new(EventKind::Delivery, JANE, "d-1", on(18, 0))).await;
        }
        home.happens(&Event::new(EventKind::Transient, JANE, "t-9", on(25, 0))).await;
        home.decide_all().await.unwrap();
        assert_eq!(home.effective(JANE), suppressed.then_some(SuppressionReason::Bounce), "{delivered:?}");
    }
}

/// SES tells no deliveries with an identity's bounces, and none at all unless soft bounces are counted.
#[tokio::test]
async fn soft_bounces_count_only_where_deliveries_are_told() {
    for (identity, counted) in [(true, true), (false, false), (false, true)] {
        let (mut regions, _) = world();
        let home = &mut regions[0];
        if !counted {
            home.decide.settings.policy.transient_threshold = None;
        }
        for (n, day) in (20..25).enumerate() {
            let event = Event::new(EventKind::Transient, JANE, &format!("t-{n}"), on(day, 0));
            home.happens(&Event { identity, ..event }).await;
        }
        home.decide_all().await.unwrap();
        let expected = (counted && !identity).then_some(SuppressionReason::Bounce);
        assert_eq!(home.effective(JANE), expected, "identity {identity}, counted {counted}");
    }
}

/// Records that an earlier version wrote may come by the stream still, and are in the table for long.
#[tokio::test]
async fn what_an_earlier_version_called_evidence_is_judged_by_todays_rules() {
    let (regions, peers) = world();
    let home = &regions[0];
    for (n, day) in (20..25).enumerate() {
        home.happens(&Event::new(EventKind::Transient, JANE, &format!("t-{n}"), on(day, 0))).await;
    }
    home.happens(&bounce("b-1", 27)).await;
    let mut batch = home.batch(&home.changes());
    for record in batch["Records"].as_array_mut().unwrap() {
        let image = &mut record["dynamodb"]["NewImage"];
        let refused = image["bounce_type"]["S"] == "Permanent";
        // An automatic reply has no report of a server.
        image.as_object_mut().unwrap().retain(|name, _| !["action", "status"].contains(&name.as_str()));
        image["bounce_subtype"]["S"] = json!(if refused { "UnsubscribedRecipient" } else { "General" });
    }
    home.decide.handle(&batch.to_string(), deadline()).await.unwrap();
    assert_eq!((home.table.states(), peers.receive("us-west-2")), (vec![], vec![]));
}

#[tokio::test]
async fn a_release_starts_the_count_again() {
    for in_one_batch in [true, false] {
        let (regions, _) = world();
        let home = &regions[0];
        home.clock.set(on(23, 0));
        for (n, day) in [20, 21, 22, 23].into_iter().enumerate() {
            home.happens(&Event::new(EventKind::Transient, JANE, &format!("t-{n}"), on(day, 0))).await;
        }
        if !in_one_batch {
            home.decide_all().await.unwrap();
        }
        home.clock.set(on(24, 0));
        home.decides(JANE, None, "1").await;
        if !in_one_batch {
            home.decide_all().await.unwrap();
        }
        home.clock.set(on(26, 0));
        home.happens(&Event::new(EventKind::Transient, JANE, "t-9", on(25, 0))).await;
        home.decide_all().await.unwrap();
        // It is the fifth of its month.
        assert_eq!(home.effective(JANE), None);
    }
}

#[tokio::test]
async fn operators_have_the_last_word_and_are_taken_in_once() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.decides("JANE@example.com", None, "1").await;
    home.decide_all().await.unwrap();
    assert_eq!((home.effective(JANE), writes(home)), (None, 1));
    // Evidence from before the release, late.
    home.happens(&bounce("b-2", 28)).await;
    home.decide_all().await.unwrap();
    assert_eq!(home.effective(JANE), None);
    home.clock.advance(std::time::Duration::from_hours(1));
    home.happens(&Event::new(EventKind::Permanent, JANE, "b-3", at("2026-02-01T00:30:00Z"))).await;
    home.decide_all().await.unwrap();
    assert_eq!(home.effective(JANE), Some(SuppressionReason::Bounce));
    home.decides(JANE, Some(SuppressionReason::Complaint), "2").await;
    home.decide_all().await.unwrap();
    assert_eq!(home.effective(JANE), Some(SuppressionReason::Complaint));
    let peer = &regions[1];
    peer.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(peer.merge(&peers.receive(peer.name)).await, [""; 0]);
    assert_eq!(peer.state(JANE).unwrap().state(), home.state(JANE).unwrap().state());
}

#[tokio::test]
async fn evidence_from_the_far_future_counts_from_when_it_came() {
    let (regions, _) = world();
    let home = &regions[0];
    let times = [
        ("2031-01-01T00:00:00Z", "2026-02-01T00:00:00.000Z"),
        ("2026-02-01T00:05:00.001Z", "2026-02-01T00:00:00.000Z"),
        // As far as clocks may differ.
        ("2026-02-01T00:05:00Z", "2026-02-01T00:05:00.000Z"),
    ];
    for (n, (occurred_at, expected)) in times.into_iter().enumerate() {
        home.happens(&Event::new(EventKind::Permanent, JANE, &format!("b-{n}"), at(occurred_at))).await;
        home.decide_all().await.unwrap();
        assert_eq!(home.state(JANE).unwrap().state().bounced_at(), Some(at(expected)), "{occurred_at}");
    }
}

#[tokio::test]
async fn mail_of_tenants_may_be_left_to_their_own_lists() {
    let (mut regions, _) = world();
    let home = &mut regions[0];
    home.decide.settings.policy.tenant_policy = TenantPolicy::TenantLists;
    home.happens(&bounce("b-1", 27)).await;
    let mut batch = home.batch(&home.changes());
    batch["Records"][0]["dynamodb"]["NewImage"]["tenant"] = json!({"S": "tenant-north"});
    home.decide.handle(&batch.to_string(), deadline()).await.unwrap();
    assert_eq!(home.table.states(), []);
}

#[tokio::test]
async fn a_conflict_is_read_again_until_the_deadline() {
    let (regions, _) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.table.conflict(3);
    home.decide_all().await.unwrap();
    assert_eq!(home.effective(JANE), Some(SuppressionReason::Bounce));
    home.happens(&bounce("b-2", 28)).await;
    home.table.conflict(usize::MAX);
    let batch = home.batch(&home.changes()).to_string();
    let error = home.decide.handle(&batch, Deadline::after(std::time::Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 1 addresses failed; see the log");
}

#[tokio::test]
async fn a_peer_that_is_down_costs_a_metric() {
    let (regions, peers) = world();
    let home = &regions[0];
    for error in [
        PeerError::QueueNotFound,
        PeerError::Unavailable("down".to_owned()),
        PeerError::Refused("no".to_owned()),
    ] {
        peers.fail("eu-west-1", Some(error));
        home.happens(&bounce("b-1", 27)).await;
        home.decide_all().await.unwrap();
        assert_eq!((peers.receive("us-west-2").len(), peers.receive("eu-west-1").len()), (1, 0));
    }
    assert_eq!(home.decide.metrics.get("PeersFailed"), 3);
    assert_eq!(home.decide.metrics.get("PeerMessagesNotSent"), 3);
}

#[tokio::test]
async fn a_state_that_a_queue_refuses_costs_only_itself() {
    let (regions, peers) = world();
    let home = &regions[0];
    peers.refuse(JANE);
    home.happens(&bounce("b-1", 27)).await;
    home.happens(&Event::new(EventKind::Permanent, "joe@example.com", "b-2", on(27, 0))).await;
    home.decide_all().await.unwrap();
    for peer in &regions[1..] {
        let sent = peers.receive(peer.name);
        let states =
            sent.iter().flat_map(|message| peer_message::parse_peer_message(message).unwrap().states);
        assert!(states.map(|state| state.address).eq(["joe@example.com"]), "{}", peer.name);
    }
    let counted = |name| home.decide.metrics.get(name);
    let counts = ["PeerMessagesSent", "PeerStatesRefused", "PeersFailed", "PeerMessagesNotSent"].map(counted);
    assert_eq!(counts, [2, 2, 0, 0]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_counted_and_holds_up_nobody() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    let mut batch = home.batch(&home.changes());
    let good = batch["Records"][0].clone();
    let mut odd = good.clone();
    odd["dynamodb"]["NewImage"]["decidable"] = json!({"S": "by a newer version"});
    batch["Records"] = json!([odd, 7, good, {"eventName": "REMOVE", "dynamodb": {"Keys": {}}}]);
    assert_eq!(home.decide.handle(&batch.to_string(), deadline()).await, Ok(()));
    assert_eq!(home.decide.metrics.get("RecordsUnreadable"), 2);
    assert_eq!(
        (home.effective(JANE), peers.receive("us-west-2").len()),
        (Some(SuppressionReason::Bounce), 1)
    );
    assert!(home.decide.handle("{}", deadline()).await.is_err());
}

#[tokio::test]
async fn a_table_that_fails_fails_the_batch() {
    let (regions, peers) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.happens(&Event::new(EventKind::Permanent, "zoe@example.com", "b-2", on(27, 0))).await;
    home.table.fail(1);
    let error = home.decide_all().await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 2 addresses failed; see the log");
    // What is durable is told.
    assert_eq!(peer_message::parse_peer_message(&peers.receive("us-west-2")[0]).unwrap().states.len(), 1);
    home.decide_all().await.unwrap();
    assert_eq!(home.table.states().len(), 2);
}

#[tokio::test]
async fn many_states_are_few_messages() {
    let (regions, peers) = world();
    let home = &regions[0];
    for n in 0..2_000 {
        home.happens(&Event::new(
            EventKind::Permanent,
            &format!("user{n}@example.com"),
            &format!("b-{n}"),
            on(27, 0),
        ))
        .await;
    }
    home.decide_all().await.unwrap();
    let sent = peers.receive("us-west-2");
    assert_eq!(sent.len(), 2);
    assert_eq!(regions[1].merge(&sent).await, [""; 0]);
    assert_eq!(regions[1].table.states().len(), 2_000);
}

/// The mapping's filter and the record's attributes must agree.
#[tokio::test]
async fn what_the_stream_is_filtered_by() {
    let (regions, _) = world();
    let home = &regions[0];
    home.happens(&bounce("b-1", 27)).await;
    home.happens(&Event::new(EventKind::EchoOfBounce, JANE, "e-1", on(27, 0))).await;
    home.decides(JANE, None, "1").await;
    home.decide_all().await.unwrap();
    let decidable: Vec<Value> =
        home.changes().into_iter().map(|(image, _)| image.new["decidable"].clone()).collect();
    assert_eq!(decidable, [json!("bounce"), Value::Null, json!("operator"), Value::Null]);
}
