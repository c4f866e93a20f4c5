//! A run that dies: whatever it has done by then, the next one puts things right.

use std::time::Duration;

use crate::overdue_jobs::Stuck;
use crate::world::{MINUTE, Say, World};

/// Has a run die after no effect, after one, and so on, until one survives. `history` makes a world, has the run die in it
/// after so many effects, and returns whether it died.
async fn assert_right_after_each_effect(history: impl AsyncFn(usize) -> (World, bool)) {
    for effects in 0.. {
        let (mut world, died) = history(effects).await;
        world.clock.advance(2 * MINUTE);
        world.run_until_quiet().await;
        world.assert_right();
        if !died {
            assert!(effects > 10, "{effects}");
            return;
        }
    }
}

#[tokio::test]
async fn a_run_that_finds_a_job_overdue_may_die_after_any_effect() {
    assert_right_after_each_effect(async |effects| {
        let mut world = World { requests_per_second: 0.1, ..World::with_bounces(8).await };
        Stuck::Processing.set(&world.list, Duration::from_hours(3));
        world.run().await.ran();
        world.say("User1@example.com", Say::Complained).await;
        world.say("User2@example.com", Say::Released).await;
        world.clock.advance(Duration::from_hours(1));
        let died = world.run_with("{}", effects).await.ran.is_none();
        world.clock.advance(2 * MINUTE);
        world.let_pass(4).await;
        (world, died)
    })
    .await;
}

#[tokio::test]
async fn a_run_may_die_after_any_effect() {
    // Few, so that they go singly; and by job, with an interval that makes 5 a minute's worth.
    for (count, requests_per_second) in [(4, 1.0), (8, 0.1)] {
        assert_right_after_each_effect(async |effects| {
            let mut world = World { requests_per_second, ..World::new() };
            world.say("gone@example.com", Say::Bounced).await;
            world.run_until_quiet().await;
            world.clock.advance(MINUTE);
            world.say_numbered("User", count, Say::Bounced).await;
            world.say("gone@example.com", Say::Released).await;
            let died = world.run_with("{}", effects).await.ran.is_none();
            world.say("User1@example.com", Say::Complained).await;
            world.say("User2@example.com", Say::Released).await;
            (world, died)
        })
        .await;
    }
}
