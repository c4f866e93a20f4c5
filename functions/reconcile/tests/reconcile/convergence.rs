//! Whatever happens, the Regions come to the same.

use std::collections::BTreeMap;
use std::time::Duration;

use doubles::{Fuse, ListRules};
use mailroom_aws::deadline::Deadline;
use mailroom_core::address::Address;
use mailroom_core::suppression::SuppressionReason;
use mailroom_core::suppression::reconcile::MissingEntryPolicy;
use proptest::prelude::*;

use crate::world::{A_WHILE, Region, WAKE, regions, settle};

/// Invocations that die after so many effects.
async fn die(home: &Region, peer: &Region, deaths: &[(bool, usize)]) {
    for (at_home, effects) in deaths {
        let region = if *at_home { home } else { peer };
        region.clock.advance(A_WHILE);
        let fuse = Fuse::default();
        let function = region.function(&fuse);
        fuse.set(*effects);
        fuse.run(function.handle_request(WAKE, "dies", Deadline::after(Duration::from_mins(15)))).await;
        region.apply().await;
    }
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
                region.shared.parameters.gone = MissingEntryPolicy::PutBack;
                region.shared.parameters.guard.max_missing_percent = 100;
            }
            for (region, said) in [(&home, &here), (&peer, &there)] {
                region.list.set_rules(ListRules { page, ..ListRules::default() });
                for (name, listed, complaint) in said {
                    let reason = if *complaint { SuppressionReason::Complaint } else { SuppressionReason::Bounce };
                    let spelling = format!("User{name}@example.com");
                    if *listed {
                        region.list.insert(&spelling, reason);
                    } else {
                        region.suppress(&spelling, reason);
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
                    0 => region.list.insert(&format!("user{name}@EXAMPLE.com"), SuppressionReason::Complaint),
                    1 => {
                        for spelling in region.listed().keys().filter(|on| on.to_lowercase() == address) {
                            region.list.remove(spelling);
                        }
                    }
                    2 => region.release(&address),
                    _ => region.suppress(&address, SuppressionReason::Bounce),
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
