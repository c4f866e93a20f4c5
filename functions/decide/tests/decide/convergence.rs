//! Whatever happens in whatever order, however often, and whoever dies meanwhile: all Regions end with the same states.

use std::time::Duration;

use doubles::{EventKind, MemoryPeers};
use futures_util::future;
use mailroom_aws::peer_queues::PeerError;
use mailroom_core::suppression::{SuppressionReason, SuppressionState};
use proptest::prelude::*;

use crate::world::{Event, Region, at, deadline, world};

const ADDRESSES: [&str; 3] = ["Jane@example.com", "JANE@example.com", "zoe@example.com"];

/// What may happen in a Region.
#[derive(Debug, Clone)]
enum Step {
    /// SES says something, `ago` seconds after it was so.
    Happens { said: EventKind, address: usize, event: u8, ago: u64, identity: bool },
    /// An operator decides.
    Decides { address: usize, suppress: Option<SuppressionReason> },
    /// The stream brings what is new, to a function that dies after so many effects and is tried again.
    Decide { bears: usize, conflicts: usize },
    /// The stream brings what it has brought before.
    Again { from: usize, count: usize },
    /// All at once: the stream brings new and old, and the queue what lies in it.
    AllAtOnce,
    /// The queue brings what lies in it, in another order, some of it twice.
    Merge { bears: usize, conflicts: usize, reversed: bool, twice: bool },
    /// Nobody can reach it for a while.
    Down(bool),
    /// Its clock goes on.
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let said = prop_oneof![
        3 => Just(EventKind::Permanent),
        4 => Just(EventKind::Transient),
        2 => Just(EventKind::Complaint),
        1 => Just(EventKind::EchoOfBounce),
        1 => Just(EventKind::Delivery),
    ];
    let suppress = prop_oneof![
        Just(None),
        Just(Some(SuppressionReason::Bounce)),
        Just(Some(SuppressionReason::Complaint))
    ];
    let address = 0..ADDRESSES.len();
    let bears = prop_oneof![2 => Just(usize::MAX), 3 => 0..6_usize];
    prop_oneof![
        6 => (said, address.clone(), 0..12_u8, 0..400_000_u64, any::<bool>())
            .prop_map(|(said, address, event, ago, identity)| Step::Happens { said, address, event, ago, identity }),
        2 => (address, suppress).prop_map(|(address, suppress)| Step::Decides { address, suppress }),
        4 => (bears.clone(), 0..3_usize).prop_map(|(bears, conflicts)| Step::Decide { bears, conflicts }),
        2 => Just(Step::AllAtOnce),
        2 => (0..20_usize, 1..8_usize).prop_map(|(from, count)| Step::Again { from, count }),
        4 => (bears, 0..3_usize, any::<bool>(), any::<bool>())
            .prop_map(|(bears, conflicts, reversed, twice)| Step::Merge { bears, conflicts, reversed, twice }),
        1 => any::<bool>().prop_map(Step::Down),
        2 => (1..200_000_u64).prop_map(Step::Later),
    ]
}

/// How far a Region's stream has been taken in, and what its queue has handed out in vain.
#[derive(Default)]
struct Progress {
    decided: usize,
    undelivered: Vec<String>,
    decisions: usize,
}

async fn take(region: &Region, progress: &mut Progress, peers: &MemoryPeers, step: &Step) {
    match step.clone() {
        Step::Happens { said, address, event, ago, identity } => {
            // The same event is told in the same words.
            let occurred_at = at("2026-02-01T00:00:00Z").minus(Duration::from_secs(ago));
            let id = format!("{event}-{ago}");
            region
                .happens(&Event { identity, ..Event::new(said, ADDRESSES[address], &id, occurred_at) })
                .await;
        }
        Step::Decides { address, suppress } => {
            progress.decisions += 1;
            region.decides(ADDRESSES[address], suppress, &progress.decisions.to_string()).await;
        }
        Step::Decide { bears, conflicts } => {
            let changes = region.changes();
            let batch = region.batch(&changes[progress.decided..]).to_string();
            region.fuse.set(bears);
            region.table.conflict(conflicts);
            let ended = region.fuse.run(region.decide.handle(&batch, deadline())).await;
            region.fuse.set(usize::MAX);
            region.table.conflict(0);
            if let Some(decided) = ended {
                decided.unwrap();
                progress.decided = changes.len();
            }
        }
        Step::Again { from, count } => {
            let changes = region.changes();
            let old = &changes[..progress.decided];
            let from = from.min(old.len());
            let batch = region.batch(&old[from..(from + count).min(old.len())]).to_string();
            region.decide.handle(&batch, deadline()).await.unwrap();
        }
        Step::AllAtOnce => {
            let changes = region.changes();
            let new = region.batch(&changes[progress.decided..]).to_string();
            let all = region.batch(&changes).to_string();
            let messages = peers.receive(region.name);
            let (new, all, merged, again) = future::join4(
                region.decide.handle(&new, deadline()),
                region.decide.handle(&all, deadline()),
                region.merge(&messages),
                region.merge(&messages),
            )
            .await;
            assert_eq!((new, all), (Ok(()), Ok(())));
            progress.decided = changes.len();
            // What one of the two has joined, the queue does not bring again.
            let messages = messages.into_iter().enumerate();
            let failed =
                |index: usize| [&merged, &again].iter().all(|failed| failed.contains(&index.to_string()));
            progress
                .undelivered
                .extend(messages.filter(|(index, _)| failed(*index)).map(|(_, message)| message));
        }
        Step::Merge { bears, conflicts, reversed, twice } => {
            progress.undelivered.extend(peers.receive(region.name));
            if reversed {
                progress.undelivered.reverse();
            }
            if twice {
                progress.undelivered.extend(progress.undelivered.first().cloned());
            }
            region.fuse.set(bears);
            region.table.conflict(conflicts);
            let ended = region.fuse.run(region.merge(&progress.undelivered)).await;
            region.fuse.set(usize::MAX);
            region.table.conflict(0);
            if let Some(failed) = ended {
                let failed: Vec<usize> = failed.iter().map(|id| id.parse().unwrap()).collect();
                progress.undelivered =
                    failed.into_iter().map(|index| progress.undelivered[index].clone()).collect();
            }
        }
        Step::Down(down) => {
            peers.fail(region.name, down.then(|| PeerError::Unavailable("down".to_owned())));
        }
        Step::Later(seconds) => region.clock.advance(Duration::from_secs(seconds)),
    }
}

/// Everything works again, and all that was lost comes once more.
async fn settle(regions: &[Region], progress: &mut [Progress], peers: &MemoryPeers) {
    let latest = at("2026-12-01T00:00:00Z");
    for region in regions {
        peers.fail(region.name, None);
        region.clock.set(latest);
    }
    for (region, progress) in regions.iter().zip(progress.iter_mut()) {
        take(region, progress, peers, &Step::Decide { bears: usize::MAX, conflicts: 0 }).await;
        region.decide_all().await.unwrap();
    }
    for (region, progress) in regions.iter().zip(progress.iter_mut()) {
        let merge = Step::Merge { bears: usize::MAX, conflicts: 0, reversed: false, twice: false };
        take(region, progress, peers, &merge).await;
        assert_eq!(progress.undelivered, [""; 0]);
    }
}

fn states(region: &Region) -> Vec<(String, SuppressionState)> {
    let state =
        |state: mailroom_core::suppression::AddressState| (state.address().to_owned(), state.state().clone());
    region.table.states().into_iter().map(state).collect()
}

/// The last bounce and the last complaint that were recorded count, whatever else was said.
fn assert_evidence_counts(regions: &[Region]) {
    for record in regions.iter().flat_map(|region| region.table.records()) {
        let occurred_at = || at(record["occurred_at"].as_str().unwrap());
        let state = || regions[0].state(record["address"].as_str().unwrap()).unwrap();
        match record["decidable"].as_str() {
            Some("bounce") => assert!(state().state().bounced_at() >= Some(occurred_at())),
            Some("complaint") => assert!(state().state().complained_at() >= Some(occurred_at())),
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn all_regions_come_to_the_same(steps in prop::collection::vec((0..3_usize, step()), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (regions, peers) = world();
            let mut progress: Vec<_> = regions.iter().map(|_| Progress::default()).collect();
            for (index, step) in &steps {
                take(&regions[*index], &mut progress[*index], &peers, step).await;
            }
            settle(&regions, &mut progress, &peers).await;
            for other in &regions[1..] {
                assert_eq!(states(&regions[0]), states(other), "{}", other.name);
            }
            assert_evidence_counts(&regions);
            // And there it stays.
            let versions: Vec<_> = regions.iter().map(|region| region.table.states()).collect();
            settle(&regions, &mut progress, &peers).await;
            assert_eq!(regions.iter().map(|region| region.table.states()).collect::<Vec<_>>(), versions);
        });
    }
}
