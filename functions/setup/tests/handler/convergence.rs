//! Whatever happens in whatever order: in the end the account is as others have left it.

use std::collections::BTreeSet;

use doubles::Fuse;
use proptest::prelude::*;

use crate::world::{ADDRESS, DOMAIN, NEW, OTHERS, Properties, State, THEIRS, World, all, starts};

/// What may happen to a stack and its account.
#[derive(Debug, Clone)]
enum Step {
    /// CloudFormation asks for something, and the function may die after so many effects.
    Request { kind: &'static str, properties: Properties, dies_after: Option<usize> },
    /// Lambda brings the request before the last one again.
    Again,
    /// Somebody does something to the account.
    Hand(Hand),
}

#[derive(Debug, Clone)]
enum Hand {
    /// Activates another rule set.
    RuleSet(Option<&'static str>),
    /// Enables other reasons.
    Reasons(&'static [&'static str]),
    /// Sets a topic; and switches e-mail on, if it is one less.
    Topic { identity: &'static str, bounce: bool, topic: Option<&'static str> },
    /// Switches e-mail on; or off, if there are both topics.
    Mail { identity: &'static str, on: bool },
    /// Verifies an identity once more, or a new one.
    Verify(&'static str),
    /// Deletes an identity.
    Delete(&'static str),
}

/// What others have left.
struct Left {
    state: State,
    /// The identities whose e-mail somebody has switched off. It may be on in the end: whether Mailroom had switched it off
    /// already is not always to be known, and one mail too many is better than none.
    hushed: BTreeSet<&'static str>,
    /// Topics that were deleted. What had them before may have none in the end.
    gone: BTreeSet<&'static str>,
}

fn step() -> impl Strategy<Value = Step> {
    let identity = || prop::sample::select(vec![DOMAIN, ADDRESS]);
    let properties = (
        prop::sample::subsequence(vec![DOMAIN, ADDRESS], 0..=2),
        prop::sample::select(vec!["refuse", "replace"]),
        prop::sample::select(vec!["leave", "activate", "replace"]),
        prop::sample::select(vec!["leave", "BOUNCE", "BOUNCE,COMPLAINT"]),
    );
    let properties = properties.prop_map(|(identities, foreign_topics, active_rule_set, reasons)| {
        Properties { identities, foreign_topics, active_rule_set, reasons }
    });
    let kind = prop::sample::select(vec!["Create", "Update", "Update", "Delete"]);
    let request = (kind, properties, prop::option::of(0..12_usize))
        .prop_map(|(kind, properties, dies_after)| Step::Request { kind, properties, dies_after });
    let hand = prop_oneof![
        prop::sample::select(vec![None, Some("theirs"), Some("others")]).prop_map(Hand::RuleSet),
        prop::sample::select(vec![&[][..], &["COMPLAINT"][..]]).prop_map(Hand::Reasons),
        (identity(), any::<bool>(), prop::sample::select(vec![None, Some(THEIRS), Some(OTHERS)]))
            .prop_map(|(identity, bounce, topic)| Hand::Topic { identity, bounce, topic }),
        (identity(), any::<bool>()).prop_map(|(identity, on)| Hand::Mail { identity, on }),
        identity().prop_map(Hand::Verify),
        identity().prop_map(Hand::Delete),
    ];
    prop_oneof![5 => request, 1 => Just(Step::Again), 5 => hand.prop_map(Step::Hand)]
}

impl Hand {
    fn on(&self, state: &mut State) {
        match *self {
            Self::RuleSet(name) => state.rule_set = name,
            Self::Reasons(reasons) => state.reasons = reasons.iter().copied().collect(),
            Self::Topic { identity, bounce, topic } => {
                if let Some(told) = state.identities.get_mut(identity) {
                    *(if bounce { &mut told.0 } else { &mut told.1 }) = topic;
                    told.2 |= topic.is_none();
                }
            }
            Self::Mail { identity, on } => {
                if let Some(told) = state.identities.get_mut(identity) {
                    told.2 = on || told.0.is_none() || told.1.is_none();
                }
            }
            Self::Verify(identity) => _ = state.identities.entry(identity).or_insert(NEW),
            Self::Delete(identity) => _ = state.identities.remove(identity),
        }
    }
}

impl Left {
    /// What a hand has changed is its own now, field by field.
    fn changed(&mut self, before: &State, after: &State) {
        if before.rule_set != after.rule_set {
            self.state.rule_set = after.rule_set;
        }
        if before.reasons != after.reasons {
            self.state.reasons.clone_from(&after.reasons);
        }
        self.state.identities.retain(|identity, _| after.identities.contains_key(identity));
        for (&identity, &told) in &after.identities {
            let Some(was) = before.identities.get(identity) else {
                self.hushed.remove(identity);
                self.state.identities.insert(identity, told);
                continue;
            };
            let left = self.state.identities.get_mut(identity).unwrap();
            if was.0 != told.0 {
                left.0 = told.0;
            }
            if was.1 != told.1 {
                left.1 = told.1;
            }
            if was.2 != told.2 {
                left.2 = told.2;
                if told.2 {
                    self.hushed.remove(identity);
                } else {
                    self.hushed.insert(identity);
                }
            }
        }
    }

    /// What there may be in the end, next to what there is.
    fn end(&self, is: &State) -> State {
        let mut end = self.state.clone();
        for (identity, told) in &mut end.identities {
            let Some(is) = is.identities.get(identity) else { continue };
            for (topic, is) in [(&mut told.0, is.0), (&mut told.1, is.1)] {
                if is.is_none() && topic.is_some_and(|topic| self.gone.contains(topic)) {
                    *topic = None;
                }
            }
            // SES insists on e-mail while there is a topic missing, whoever has taken it away.
            told.2 |= told.0.is_none() || told.1.is_none() || (is.2 && self.hushed.contains(identity));
        }
        end
    }
}

proptest! {
    /// Whatever CloudFormation asks for, wherever the function dies, whatever somebody else does meanwhile: in the end the
    /// account is as they have left it. (What a hand sets to what it is already, it does not set.)
    #[test]
    fn in_the_end_it_is_as_others_have_left_it(
        start in prop::sample::select(starts().map(|(start, _)| start).to_vec()),
        steps in prop::collection::vec(step(), 0..14),
        topic_goes_before in prop::option::of(0..14_usize),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::new(&start);
            let mut left = Left { state: start, hushed: BTreeSet::new(), gone: BTreeSet::new() };
            let mut requests = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                if topic_goes_before == Some(number) {
                    world.topics.delete_topic(THEIRS);
                    left.gone.insert(THEIRS);
                }
                match step {
                    Step::Request { kind, properties, dies_after } => {
                        let fuse = Fuse::default();
                        fuse.set(dies_after.unwrap_or(usize::MAX));
                        let event = properties.request(kind, &number.to_string());
                        match world.invoke(&event, 900, &fuse).await {
                            Some(result) => {
                                result.unwrap();
                                let answer = world.answer();
                                assert!(answer.is_ok() || *kind != "Delete", "{answer:?}");
                            }
                            None => assert!(world.answers.take().is_empty()),
                        }
                        // Killed before it was noted, a request is a new one when it comes again.
                        if *dies_after != Some(0) {
                            requests.push(event);
                        }
                    }
                    Step::Again => {
                        if let [.., event, _] = &requests[..] {
                            let before = world.state();
                            _ = world.send(event).await;
                            assert_eq!(world.state(), before, "another one has come since");
                        }
                    }
                    Step::Hand(Hand::Topic { topic: Some(topic), .. }) if left.gone.contains(topic) => {}
                    Step::Hand(hand) => {
                        let (before, mut after) = (world.state(), world.state());
                        hand.on(&mut after);
                        for identity in before.identities.keys().filter(|name| !after.identities.contains_key(*name)) {
                            world.topics.delete(identity);
                        }
                        world.set(&after);
                        left.changed(&before, &after);
                    }
                }
            }
            assert_eq!(world.send(&all(false).request("Delete", "last")).await, Ok(()));
            let is = world.state();
            assert_eq!(is, left.end(&is));
        });
    }
}
