//! The sandbox, reasons that are not enabled, and what SES puts on its list itself.

use std::collections::BTreeSet;

use apply::handler::RunOutcome;
use mailroom_aws::clock::Clock;
use mailroom_aws::suppression_list::AccountStatus;
use mailroom_aws::table::states::StateTable;
use mailroom_core::suppression::address_state::ApplyOutcomeKind;
use mailroom_core::suppression::{Statement, StatementSource, SuppressionReason, SuppressionState};

use crate::world::{MINUTE, REGION, Say, World, entries};

#[tokio::test]
async fn the_sandbox_and_a_reason_that_is_not_enabled_are_outcomes() {
    let mut world = World::new();
    let account = |production_access, enabled: &[SuppressionReason]| AccountStatus {
        has_production_access: production_access,
        enabled_reasons: enabled.iter().copied().collect::<BTreeSet<_>>(),
    };
    world.list.set_account(account(false, &[SuppressionReason::Bounce]));
    world.list.insert("c@example.com", SuppressionReason::Bounce);
    world.say("a@example.com", Say::Bounced).await;
    world.say("c@example.com", Say::Released).await;
    let report = world.run().await;
    assert_eq!(report.metrics.get("RefusedSandbox"), 1);
    assert_eq!((report.ran(), world.of("put"), world.pending()), (RunOutcome::Drained, 0, 0));
    assert_eq!(world.outcome("a@example.com").await, Some(ApplyOutcomeKind::RefusedSandbox));
    assert_eq!(world.list.entries(), entries(&[]), "what was released goes from a sandbox's list, too");

    world.list.set_account(account(true, &[SuppressionReason::Bounce]));
    world.say("a@example.com", Say::Bounced).await;
    world.say("b@example.com", Say::Complained).await;
    world.clock.advance(MINUTE);
    assert_eq!(world.run().await.metrics.get("ReasonNotEnabled"), 1);
    assert_eq!(world.outcome("a@example.com").await, Some(ApplyOutcomeKind::Applied));
    assert_eq!(world.outcome("b@example.com").await, Some(ApplyOutcomeKind::ReasonNotEnabled));
    world.assert_right();
}

#[tokio::test]
async fn ses_is_trusted_with_its_own_bounces_if_told_so() {
    for trust_origin in [false, true] {
        let mut world = World { trust_origin, ..World::new() };
        let said = |region: &str| Statement {
            at: world.clock.now(),
            source: StatementSource::Bounce,
            region: region.to_owned(),
            id: "1".to_owned(),
        };
        let (here, there) = (said(REGION), said("eu-west-1"));
        world
            .join(
                "a@example.com",
                "a@example.com",
                SuppressionState::from_reason(SuppressionReason::Bounce, here),
            )
            .await;
        world
            .join(
                "b@example.com",
                "b@example.com",
                SuppressionState::from_reason(SuppressionReason::Bounce, there),
            )
            .await;
        assert_eq!(world.run().await.ran(), RunOutcome::Drained);
        assert_eq!((world.of("put"), world.pending()), (if trust_origin { 1 } else { 2 }, 0));
        assert_eq!(world.outcome("a@example.com").await, Some(ApplyOutcomeKind::Applied));
    }
}

#[tokio::test]
async fn what_ses_was_trusted_with_and_is_not_there_is_put() {
    let mut world = World { trust_origin: true, ..World::new() };
    for id in ["1", "2"] {
        let (source, region, id) = (StatementSource::Bounce, REGION.to_owned(), id.to_owned());
        let here = Statement { at: world.clock.now(), source, region, id };
        world
            .join(
                "a@example.com",
                "a@example.com",
                SuppressionState::from_reason(SuppressionReason::Bounce, here),
            )
            .await;
    }
    // The index shows it as it was before.
    world.table.lag(1);
    assert_eq!((world.run().await.ran(), world.of("put")), (RunOutcome::Drained, 0));
    world.table.lag(0);
    let state = world.state("a@example.com").await;
    assert!(state.last_known_entry().unwrap().trusted);
    // What reconcile writes.
    let marked = state.mark_newly_pending([], None, world.clock.now()).unwrap();
    world.table.put_state(&marked, Some(state.version()), World::deadline()).await.unwrap();
    world.clock.advance(MINUTE);
    assert_eq!((world.run().await.ran(), world.of("put")), (RunOutcome::Drained, 1));
    world.assert_right();
}

#[tokio::test]
async fn a_refusal_is_the_sandboxs_if_the_account_has_come_into_it() {
    let mut world = World::new();
    world.say_all(&["a@example.com", "b@example.com"], Say::Bounced).await;
    // After it was asked.
    let says = vec![("c@example.com".to_owned(), Say::Bounced), (String::new(), Say::Sandboxed)];
    assert_eq!(world.run_while("{}", usize::MAX, says).await.metrics.get("RefusedSandbox"), 3);
    assert_eq!(world.outcome("a@example.com").await, Some(ApplyOutcomeKind::RefusedSandbox));
    assert_eq!(world.outcome("b@example.com").await, Some(ApplyOutcomeKind::RefusedSandbox));
}
