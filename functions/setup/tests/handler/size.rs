//! How many identities fit into one run.

use std::time::Duration;

use doubles::Fault;
use mailroom_aws::notification_topics::NotificationAttributes;
use serde_json::{Value, json};

use crate::world::{World, all, fresh};

/// An account with so many identities, and their names.
fn world_of(identities: usize) -> (World, Vec<String>) {
    let world = World::new(&fresh());
    let names: Vec<_> = (0..identities).map(|number| format!("{number}.example.com")).collect();
    for name in &names {
        world.topics.set(name, NotificationAttributes::default());
    }
    (world, names)
}

fn request(kind: &str, id: &str, identities: &[String], reasons: &str) -> Value {
    let mut event = all(false).request(kind, id);
    event["ResourceProperties"]["Identities"] = json!(identities);
    event["ResourceProperties"]["SuppressionReasons"] = json!(reasons);
    event
}

#[tokio::test]
async fn no_more_identities_than_fit() {
    let (world, names) = world_of(233);
    let mut event = all(false).request("Create", "1");
    event["ResourceProperties"]["Identities"] = json!(names);
    let refused = world.send(&event).await;
    assert_eq!(refused, Err("233 identities are more than fit into one run, which are 232".to_owned()));
    assert!(world.ses.calls().is_empty(), "nothing is even looked at");
    event["RequestId"] = json!("2");
    event["ResourceProperties"]["Identities"] = json!(names[1..]);
    assert_eq!(world.send(&event).await, Ok(()));
    assert!(world.topics.all().values().filter(|told| !told.forwarding_enabled).count() == 232);
    // As many others instead would be twice as many changes.
    event["RequestId"] = json!("3");
    event["ResourceProperties"]["Identities"] = json!([&names[0]]);
    let before = world.topics.all();
    event["ResourceProperties"]["Identities"].as_array_mut().unwrap().extend((300..330).map(|number| {
        let name = format!("{number}.example.com");
        world.topics.set(&name, NotificationAttributes::default());
        json!(name)
    }));
    let refused = world.send(&event).await.unwrap_err();
    assert!(refused.starts_with("789 changes are more than fit into one run, which are 704"), "{refused}");
    assert!(before.iter().all(|(name, told)| world.topics.all()[name] == *told), "nothing is changed");
    // But all can be undone.
    assert_eq!(world.send(&all(false).request("Delete", "4")).await, Ok(()));
    assert!(world.topics.all().values().all(|told| *told == NotificationAttributes::default()));
}

#[tokio::test]
async fn the_number_that_fits_does_not_depend_on_what_goes_wrong() {
    let (world, names) = world_of(232);
    // A role that is not known everywhere yet costs half a minute.
    world.ses.fault([Fault::Denied; 4]);
    assert_eq!(world.send(&request("Create", "1", &names, "BOUNCE")).await, Ok(()));
}

#[tokio::test]
async fn what_was_set_up_is_not_too_much_to_keep() {
    let (world, mut names) = world_of(233);
    let new = names.pop().unwrap();
    assert_eq!(world.send(&request("Create", "1", &names, "BOUNCE")).await, Ok(()));
    // Half as fast, half of them would fit.
    world.interval.set(Duration::from_secs(2));
    assert_eq!(world.send(&request("Update", "2", &names, "COMPLAINT")).await, Ok(()));
    assert_eq!(world.send(&request("Update", "3", &names, "BOUNCE")).await, Ok(()), "its rollback");
    names.push(new);
    let refused = world.send(&request("Update", "4", &names, "BOUNCE")).await;
    assert_eq!(refused, Err("233 identities are more than fit into one run, which are 115".to_owned()));
    // More changes than fit are done as far as they go.
    assert!(
        world
            .send(&request("Update", "5", &[], "BOUNCE"))
            .await
            .unwrap_err()
            .starts_with("out of time after ")
    );
    assert_eq!(world.send(&request("Update", "6", &[], "BOUNCE")).await, Ok(()));
    assert!(world.topics.all().values().all(|told| told.forwarding_enabled));
}
