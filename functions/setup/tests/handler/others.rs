//! What belongs to somebody else.

use crate::world::{
    ADDRESS, DOMAIN, NEW, OTHERS, Properties, SET_UP, State, THEIRS, World, all, fresh, state,
};

#[tokio::test]
async fn what_is_somebody_else_s_is_refused_before_anything_is_changed() {
    for (start, reason) in [
        (
            state(Some("theirs"), &[], NEW, NEW),
            "the receipt rule set theirs is active; ActiveRuleSet=replace would replace it".to_owned(),
        ),
        (
            state(None, &[], NEW, (None, Some(THEIRS), true)),
            format!(
                "another topic is told of an address at example.org's complaints: {THEIRS}; ForeignTopics=replace would replace it"
            ),
        ),
    ] {
        let world = World::new(&start);
        assert_eq!(world.send(&all(false).request("Create", "1")).await, Err(reason));
        assert_eq!(world.state(), start);
        // CloudFormation then deletes what it takes for half made.
        assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
        assert_eq!(world.state(), start);
        assert!(world.ses.calls().iter().all(|call| call.starts_with("Get") || call.starts_with("Describe")));
    }
    let world = World::new(&fresh());
    world.topics.delete(ADDRESS);
    let refused = world.send(&all(false).request("Create", "1")).await;
    assert_eq!(refused, Err("an address at example.org is no identity in this Region".to_owned()));
}

#[tokio::test]
async fn what_somebody_has_changed_since_is_left_alone() {
    type Hand = fn(&mut State);
    let hands: [(&str, Hand, Hand); 5] = [
        (
            "activates another rule set",
            |now| now.rule_set = Some("others"),
            |end| end.rule_set = Some("others"),
        ),
        ("activates none", |now| now.rule_set = None, |_| {}),
        (
            "enables another reason",
            |now| now.reasons = ["BOUNCE"].into(),
            |end| end.reasons = ["BOUNCE"].into(),
        ),
        (
            "points bounces elsewhere",
            |now| now.identities.get_mut(DOMAIN).unwrap().0 = Some(OTHERS),
            |end| end.identities.get_mut(DOMAIN).unwrap().0 = Some(OTHERS),
        ),
        // As SES does when it can't tell the topic.
        ("takes the topics away", |now| *now.identities.get_mut(ADDRESS).unwrap() = NEW, |_| {}),
    ];
    for (what, hand, expected) in hands {
        for update in [false, true] {
            let world = World::new(&fresh());
            assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
            world.change(hand);
            let mut end = fresh();
            expected(&mut end);
            if update {
                // An update must not fail of it, nor its rollback; what is declared as such is put again.
                assert_eq!(world.send(&all(false).request("Update", "2")).await, Ok(()), "{what}");
            }
            assert_eq!(world.send(&all(false).request("Delete", "3")).await, Ok(()), "{what}");
            assert_eq!(world.state(), end, "somebody {what}, updated: {update}");
        }
    }
}

#[tokio::test]
async fn what_was_before_may_have_gone() {
    let theirs = (Some(THEIRS), Some(THEIRS), false);
    let world = World::new(&state(Some("theirs"), &[], theirs, theirs));
    assert_eq!(world.send(&all(true).request("Create", "1")).await, Ok(()));
    assert!(world.rule_sets.delete("theirs"));
    world.topics.delete_topic(THEIRS);
    world.topics.delete(ADDRESS);
    assert_eq!(world.send(&all(true).request("Update", "2")).await, Ok(()));
    assert_eq!(world.send(&all(true).request("Delete", "3")).await, Ok(()), "a stack can be deleted");
    let mut end = fresh();
    end.identities.remove(ADDRESS);
    assert_eq!(world.state(), end, "who was told by a topic is told by e-mail");
}

/// Another resource of the stack fails after the update: CloudFormation asks for what was before.
#[tokio::test]
async fn an_update_can_be_rolled_back_whatever_others_have_done() {
    let theirs = (Some(THEIRS), Some(THEIRS), false);
    let start = state(Some("theirs"), &[], theirs, theirs);
    let less = Properties { identities: vec![DOMAIN], active_rule_set: "leave", ..all(false) };
    let world = World::new(&start);
    assert_eq!(world.send(&all(true).request("Create", "1")).await, Ok(()));
    assert_eq!(world.send(&all(false).request("Update", "2")).await, Ok(()), "nothing is there to replace");
    assert_eq!(world.send(&less.request("Update", "3")).await, Ok(()));
    assert_eq!(world.state(), less.of(&start));
    assert_eq!(world.send(&all(false).request("Update", "4")).await, Ok(()));
    assert_eq!(world.state(), all(false).of(&start));
    // Somebody deletes an identity, and takes it off the list.
    world.topics.delete(ADDRESS);
    assert_eq!(world.send(&less.request("Update", "5")).await, Ok(()));
    assert_eq!(world.send(&all(false).request("Update", "6")).await, Ok(()));
    assert_eq!(world.send(&all(false).request("Delete", "7")).await, Ok(()));
    let mut end = start;
    end.identities.remove(ADDRESS);
    assert_eq!(world.state(), end);
}

/// An identity that was pointed at the stack's topic by hand, and then listed.
#[tokio::test]
async fn nobody_is_left_with_a_topic_that_goes() {
    let world = World::new(&state(None, &[], SET_UP, NEW));
    assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
    assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
    assert_eq!(world.state(), state(None, &[], NEW, NEW));
}
