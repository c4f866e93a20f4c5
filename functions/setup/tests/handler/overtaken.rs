//! Several instances at once: Lambda brings a request twice, and CloudFormation does not wait for a request that it cancels.
//! The newest one counts, and each is answered.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use doubles::{Fuse, MemoryClock};
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::deadline::Deadline;
use mailroom_core::timestamp::Timestamp;
use serde_json::Value;
use tokio::task::yield_now;

use crate::world::{DOMAIN, Function, Properties, State, World, all, fresh, set_up};

const OVERTAKEN: &str = "overtaken by a newer request";

fn deadline() -> Deadline {
    Deadline::after(Duration::from_mins(15))
}

/// A request that is overtaken by another one, and how the account is to be then.
fn pairs(start: &State) -> [(Vec<Value>, Value, Value, State); 4] {
    let less = Properties { identities: vec![DOMAIN], active_rule_set: "leave", ..all(false) };
    let create = |properties: &Properties| vec![properties.request("Create", "0")];
    let (all_of_it, less_of_it) = (all(false).of(start), less.of(start));
    [
        // Another resource has failed: CloudFormation deletes what it has made.
        (vec![], all(false).request("Create", "1"), all(false).request("Delete", "2"), start.clone()),
        // The update is cancelled, and rolled back.
        (create(&less), all(false).request("Update", "1"), less.request("Update", "2"), less_of_it),
        (create(&all(false)), less.request("Update", "1"), all(false).request("Update", "2"), all_of_it),
        (create(&all(false)), less.request("Update", "1"), all(false).request("Delete", "2"), start.clone()),
    ]
}

async fn world(before: &[Value]) -> World {
    let world = World::new(&fresh());
    for event in before {
        assert_eq!(world.send(event).await, Ok(()));
    }
    world
}

/// Both were answered, and only the second may have been carried out after it had come; whether it has overtaken the first.
async fn check(world: &World, expected: &State, when: &str) -> bool {
    let mut answers = world.answers_by_request();
    assert_eq!(answers.remove("2"), Some(Ok(())), "{when}");
    let first = answers.remove("1").unwrap();
    assert_eq!(world.state(), *expected, "{when}");
    let overtaken = first == Err(OVERTAKEN.to_owned());
    assert!(overtaken || first == Ok(()), "{first:?}");
    assert_eq!(world.send(&all(false).request("Delete", "3")).await, Ok(()));
    assert_eq!(world.state(), fresh(), "{when}");
    overtaken
}

/// The second starts after each effect of the first, and from then on each of them has its turn.
#[tokio::test]
async fn the_newest_request_counts_while_both_are_carried_out() {
    for (before, first, second, expected) in pairs(&fresh()) {
        // The first effect is that the first one is noted to have come.
        let mut effects = 1;
        let mut times = 0;
        loop {
            let world = world(&before).await;
            let (fuse, done) = (Fuse::default(), Cell::new(false));
            let one = async {
                world.function(&fuse).handle(&first, deadline()).await.unwrap();
                done.set(true);
            };
            let other = async {
                while fuse.spent() < effects && !done.get() {
                    yield_now().await;
                }
                let late = done.get();
                world.function(&Fuse::default()).handle(&second, deadline()).await.unwrap();
                late
            };
            let ((), late) = tokio::join!(one, other);
            times += u32::from(check(&world, &expected, &format!("{second} after {effects} effects")).await);
            if late {
                break;
            }
            effects += 1;
        }
        assert!(times > 5, "overtaken {times} times");
    }
}

/// A clock on which one of the pauses is so long that another request is carried out meanwhile.
#[derive(Clone)]
struct Pausing {
    clock: MemoryClock,
    pauses_left: Rc<Cell<usize>>,
    held: Rc<Cell<bool>>,
}

impl Clock for Pausing {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Timer for Pausing {
    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
        let Some(left) = self.pauses_left.get().checked_sub(1) else { return };
        self.pauses_left.set(left);
        self.held.set(left == 0);
        while self.held.get() {
            yield_now().await;
        }
    }
}

/// The second is carried out while the first waits before a call: for its turn, or because SES throttles.
#[tokio::test]
async fn the_newest_request_counts_after_each_pause_of_another() {
    for (before, first, second, expected) in pairs(&fresh()) {
        for pause in 1.. {
            let world = world(&before).await;
            let clock = Pausing {
                clock: world.clock.clone(),
                pauses_left: Rc::new(Cell::new(pause)),
                held: Rc::default(),
            };
            let done = Cell::new(false);
            let function: Function<_, Pausing> =
                world.function_with(&Fuse::default(), world.topics.clone(), clock.clone());
            let one = async {
                function.handle(&first, deadline()).await.unwrap();
                done.set(true);
            };
            let other = async {
                while !clock.held.get() && !done.get() {
                    yield_now().await;
                }
                let late = done.get();
                world.function(&Fuse::default()).handle(&second, deadline()).await.unwrap();
                clock.held.set(false);
                late
            };
            let ((), late) = tokio::join!(one, other);
            let overtaken = check(&world, &expected, &format!("{second} in pause {pause}")).await;
            assert_eq!(overtaken, !late);
            if late {
                assert!(pause > 5, "{pause}");
                break;
            }
        }
    }
}

/// An update dies, it is cancelled, and the rollback is answered. Then Lambda brings the update again.
#[tokio::test]
async fn an_overtaken_request_is_not_carried_out_when_it_comes_again() {
    for (before, first, second, expected) in pairs(&fresh()) {
        let mut times = 0;
        for bears in 1.. {
            let world = world(&before).await;
            let fuse = Fuse::default();
            fuse.set(bears);
            if world.invoke(&first, 900, &fuse).await.is_some() {
                assert!(times > 5, "overtaken {times} times");
                break;
            }
            assert_eq!(world.send(&second).await, Ok(()));
            let calls = world.ses.calls().len();
            let answer = world.send(&first).await;
            // It may have been through, and died before it was heard.
            assert!(answer == Ok(()) || answer == Err(OVERTAKEN.to_owned()), "{answer:?}");
            times += u32::from(answer.is_err());
            assert_eq!(
                (world.state(), world.ses.calls().len()),
                (expected.clone(), calls),
                "died after {bears}"
            );
        }
    }
}

/// A call of the request before may be under way when the newer one comes, and land later.
#[tokio::test]
async fn what_another_instance_may_have_begun_is_waited_for() {
    let world = World::new(&fresh());
    let fuse = Fuse::default();
    fuse.set(1);
    assert!(world.invoke(&all(false).request("Create", "1"), 900, &fuse).await.is_none());
    let seconds = async |id: &str| {
        let start = world.clock.now();
        assert_eq!(world.send(&all(false).request("Delete", id)).await, Ok(()));
        world.clock.now().since(start).as_secs() - 60
    };
    assert_eq!(seconds("2").await, 8, "the note is read, and the call is made, in three seconds each");
    assert!(world.ses.calls().is_empty());
    let world = World::new(&fresh());
    assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
    let start = world.clock.now();
    assert_eq!(world.send(&all(false).request("Update", "2")).await, Ok(()));
    assert_eq!(world.clock.now().since(start).as_secs(), 60 + 2, "nobody was left to wait for");
}

#[tokio::test]
async fn two_instances_with_one_request() {
    let world = World::new(&fresh());
    let create = all(false).request("Create", "1");
    let one = async || world.function(&Fuse::default()).handle(&create, deadline()).await;
    let (first, second) = tokio::join!(one(), one());
    assert!(first.is_ok() && second.is_ok());
    let answers = world.answers.take();
    assert!(
        answers.len() == 2 && answers.iter().all(|(_, answer)| answer.contains("SUCCESS")),
        "{answers:?}"
    );
    assert_eq!(world.state(), set_up(&fresh()));
    assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
    assert_eq!(world.state(), fresh());
}
