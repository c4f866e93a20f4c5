//! What CloudFormation asks for, in every order, twice, and cut off anywhere.

use std::time::Duration;

use doubles::Fuse;
use mailroom_aws::clock::Clock;
use mailroom_aws::notification_topics::NotificationAttributes;
use mailroom_aws::rule_sets::SesRuleSet;

use crate::world::{
    ADDRESS, DOMAIN, NEW, OURS, Properties, RULE_SET, SET_UP, THEIRS, World, all, fresh, set_up, starts,
    state,
};
#[tokio::test]
async fn in_every_order_and_twice() {
    let orders =
        [["Create", "Update", "Delete"], ["Create", "Delete", "Update"], ["Update", "Create", "Delete"]];
    let reversed = orders.map(|[first, second, third]| [third, second, first]);
    for (start, foreign) in starts() {
        for (order, twice) in orders.iter().chain(&reversed).flat_map(|order| [(order, false), (order, true)])
        {
            let world = World::new(&start);
            for (step, kind) in order.iter().enumerate() {
                for again in 0..=usize::from(twice) {
                    let event = all(foreign).request(kind, &format!("{step}-{again}"));
                    assert_eq!(world.send(&event).await, Ok(()), "{order:?}");
                    let expected = if *kind == "Delete" { start.clone() } else { set_up(&start) };
                    assert_eq!(world.state(), expected, "{order:?} after {kind}");
                }
            }
            assert_eq!(world.send(&all(foreign).request("Delete", "last")).await, Ok(()));
            assert_eq!(world.state(), start, "{order:?}");
        }
    }
}

/// `sam local invoke` takes them; here they come one after the other.
#[tokio::test]
async fn sample_events() {
    let world = World::new(&fresh());
    world.topics.set("sender@example.org", NotificationAttributes::default());
    world.rule_sets.create(SesRuleSet { name: "mailroom-inbound".to_owned(), rules: Vec::new() });
    for name in ["create", "update", "delete"] {
        let path = format!("{}/../../events/setup/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(world.invoke(&event, 900, &Fuse::default()).await.unwrap().is_ok());
        let answers = world.answers.take();
        assert!(answers.len() == 1 && answers[0].1.contains("SUCCESS"), "{name}: {answers:?}");
        let told = world.topics.all().values().filter(|told| !told.forwarding_enabled).count();
        assert_eq!(
            told,
            match name {
                "create" => 1,
                "update" => 2,
                _ => 0,
            }
        );
    }
}

/// What is asked for; nothing, if all is deleted.
type Asked = Option<Properties>;

/// Dies after each effect: a call of SES, a write to the table, an answer. Then Lambda brings the request again; or
/// CloudFormation has waited in vain, or cancels, and goes on with another, such as what was before an update.
#[tokio::test]
async fn cut_off_anywhere() {
    let rows = |foreign: bool| -> [(Asked, Asked, Asked); 10] {
        // Told to replace what is somebody else's once; never again.
        let less = Properties { identities: vec![DOMAIN], active_rule_set: "leave", ..all(false) };
        let (all, all_again) = (all(foreign), all(false));
        [
            (None, Some(all.clone()), None),
            (None, Some(all.clone()), Some(all.clone())),
            (Some(less.clone()), Some(all.clone()), Some(all.clone())),
            (Some(less.clone()), Some(all.clone()), Some(less.clone())),
            (Some(less.clone()), Some(all.clone()), None),
            (Some(all.clone()), Some(less.clone()), Some(less.clone())),
            (Some(all.clone()), Some(less.clone()), Some(all_again)),
            (Some(all.clone()), Some(less), None),
            (Some(all.clone()), None, None),
            (Some(all.clone()), None, Some(all)),
        ]
    };
    let cases = starts().into_iter().flat_map(|(start, foreign)| {
        rows(foreign)
            .into_iter()
            .flat_map(move |row| [(start.clone(), row.clone(), true), (start.clone(), row, false)])
    });
    for (start, (before, this, next), again) in cases {
        let expected = |asked: &Asked| asked.as_ref().map_or(start.clone(), |asked| asked.of(&start));
        let event = |asked: &Asked, id: &str| {
            asked
                .as_ref()
                .map_or_else(|| all(false).request("Delete", id), |asked| asked.request("Update", id))
        };
        let what = format!("{start:?}: {this:?}, then {next:?}");
        let mut bears = 0;
        loop {
            let world = World::new(&start);
            if let Some(Properties { identities, active_rule_set, .. }) = &before {
                let replacing = Properties {
                    identities: identities.clone(),
                    active_rule_set: if *active_rule_set == "leave" { "leave" } else { "replace" },
                    ..all(true)
                };
                assert_eq!(world.send(&replacing.request("Create", "before")).await, Ok(()), "{what}");
            }
            let fuse = Fuse::default();
            fuse.set(bears);
            let event_of_this = event(&this, "this");
            let lived = world.invoke(&event_of_this, 900, &fuse).await.is_some();
            if lived {
                assert_eq!(world.answer(), Ok(()), "{what}");
                assert!(bears >= 3, "a test that cuts off nothing");
            } else {
                assert!(world.answers.take().is_empty(), "the answer is the last thing that is done");
            }
            if again {
                assert_eq!(world.send(&event_of_this).await, Ok(()), "{what}, died after {bears}");
                assert_eq!(world.state(), expected(&this), "{what}, died after {bears}");
            }
            assert_eq!(world.send(&event(&next, "next")).await, Ok(()), "{what}, died after {bears}");
            assert_eq!(world.state(), expected(&next), "{what}, died after {bears}");
            assert_eq!(world.send(&event(&None, "last")).await, Ok(()));
            assert_eq!(world.state(), start, "{what}, died after {bears}, then Delete");
            if lived {
                break;
            }
            bears += 1;
        }
    }
}

#[tokio::test]
async fn an_update_sets_up_what_is_new_and_undoes_what_is_gone() {
    let world = World::new(&fresh());
    let one =
        Properties { identities: vec![DOMAIN], active_rule_set: "leave", reasons: "leave", ..all(false) };
    assert_eq!(world.send(&one.request("Create", "1")).await, Ok(()));
    assert_eq!(world.state(), state(None, &[], SET_UP, NEW));
    let other = Properties { identities: vec![ADDRESS], reasons: "COMPLAINT", ..all(false) };
    assert_eq!(world.send(&other.request("Update", "2")).await, Ok(()));
    assert_eq!(world.state(), state(Some(RULE_SET), &["COMPLAINT"], NEW, SET_UP));
    // Another update of the stack: what is listed once more is new then, and no rollback.
    let both = Properties { reasons: "BOUNCE,COMPLAINT", ..other.clone() };
    assert_eq!(world.send(&both.request("Update", "2b")).await, Ok(()));
    // Refused as a whole, and rolled back: with the properties that were before.
    world.change(|now| now.identities.get_mut(DOMAIN).unwrap().0 = Some(THEIRS));
    assert!(world.send(&all(false).request("Update", "3")).await.is_err());
    assert_eq!(world.send(&other.request("Update", "4")).await, Ok(()));
    let none = Properties { identities: vec![""], active_rule_set: "leave", reasons: "leave", ..all(false) };
    assert_eq!(world.send(&none.request("Update", "5")).await, Ok(()));
    assert_eq!(world.state(), state(None, &[], (Some(THEIRS), None, true), NEW));
}

#[tokio::test]
async fn one_call_a_second() {
    let world = World::new(&fresh());
    let start = world.clock.now();
    assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
    let calls = world.ses.calls();
    let expected = [
        "DescribeActiveReceiptRuleSet",
        "GetAccount",
        "GetIdentityNotificationAttributes 2",
        "SetActiveReceiptRuleSet m-inbound",
        "PutAccountSuppressionAttributes BOUNCE,COMPLAINT",
        &format!("SetIdentityNotificationTopic {ADDRESS} Bounce {OURS}"),
        &format!("SetIdentityNotificationTopic {ADDRESS} Complaint {OURS}"),
        &format!("SetIdentityFeedbackForwardingEnabled {ADDRESS} false"),
        &format!("SetIdentityNotificationTopic {DOMAIN} Bounce {OURS}"),
        &format!("SetIdentityNotificationTopic {DOMAIN} Complaint {OURS}"),
        &format!("SetIdentityFeedbackForwardingEnabled {DOMAIN} false"),
    ];
    assert_eq!(calls, expected, "none of them was throttled and made again");
    assert_eq!(world.clock.now().since(start), Duration::from_secs(60 + 10));
    // What is so already is only looked at.
    assert_eq!(world.send(&all(false).request("Update", "2")).await, Ok(()));
    assert_eq!(world.ses.calls().len(), 11 + 3);
}

#[tokio::test]
async fn a_request_that_was_answered_is_not_carried_out_again() {
    let world = World::new(&fresh());
    let create = all(false).request("Create", "1");
    assert_eq!(world.send(&create).await, Ok(()));
    assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
    assert_eq!(world.send(&create).await, Ok(()), "Lambda may bring an event twice");
    assert_eq!(world.state(), fresh());
    // Nor one that has failed: it could be carried out by now.
    world.rule_sets.set_active(Some("theirs"));
    let create = all(false).request("Create", "3");
    let failed = world.send(&create).await;
    assert!(failed.is_err());
    world.rule_sets.set_active(None);
    assert_eq!(world.send(&create).await, failed);
    assert_eq!(world.state(), fresh());
}
