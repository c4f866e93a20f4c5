//! The handler with its ports in memory: create, update and delete in every order, cut off anywhere, with an account that
//! belongs to others, too. In the end it is as they have left it, and CloudFormation was answered.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mailroom_aws::account::MemoryAccount;
use mailroom_aws::clock::{Clock, MemoryClock};
use mailroom_aws::custom_resource::{AnswerError, MemoryAnswers};
use mailroom_aws::fault::Fault;
use mailroom_aws::fuse::Fuse;
use mailroom_aws::notes::{MemoryNotes, Notes};
use mailroom_aws::notification_topics::{MemoryTopics, NotificationAttributes};
use mailroom_aws::rule_sets::{MemoryRuleSets, RuleSet};
use mailroom_aws::ses::MemorySes;
use mailroom_core::timestamp::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use setup::handler::{Setup, SetupError};
use setup::settings::Settings;
use tokio::time::Instant;

type Function = Setup<MemoryTopics, MemoryRuleSets, MemoryAccount, MemoryNotes, MemoryAnswers, MemoryClock>;

const OURS: &str = "arn:aws:sns:us-east-1:123456789012:m-feedback";
const THEIRS: &str = "arn:aws:sns:us-east-1:123456789012:theirs";
const OTHERS: &str = "arn:aws:sns:us-east-1:123456789012:others";
const RULE_SET: &str = "m-inbound";
const DOMAIN: &str = "example.com";
const ADDRESS: &str = "Somebody@example.org";
const URL: &str = "https://example.com/answer?Signature=secret";

/// What Mailroom sets up, or finds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    rule_set: Option<&'static str>,
    reasons: BTreeSet<&'static str>,
    identities: BTreeMap<&'static str, (Option<&'static str>, Option<&'static str>, bool)>,
}

fn state(
    rule_set: Option<&'static str>,
    reasons: &[&'static str],
    domain: (Option<&'static str>, Option<&'static str>, bool),
    address: (Option<&'static str>, Option<&'static str>, bool),
) -> State {
    State {
        rule_set,
        reasons: reasons.iter().copied().collect(),
        identities: [(DOMAIN, domain), (ADDRESS, address)].into(),
    }
}

const NEW: (Option<&str>, Option<&str>, bool) = (None, None, true);
const SET_UP: (Option<&str>, Option<&str>, bool) = (Some(OURS), Some(OURS), false);

fn fresh() -> State {
    state(None, &[], NEW, NEW)
}

fn set_up() -> State {
    state(Some(RULE_SET), &["BOUNCE", "COMPLAINT"], SET_UP, SET_UP)
}

/// Back to names that live as long as the tests.
fn known(name: &str) -> &'static str {
    [OURS, THEIRS, OTHERS, RULE_SET, DOMAIN, ADDRESS, "theirs", "others", "BOUNCE", "COMPLAINT"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap()
}

/// The account in one Region, and the stack's table.
struct World {
    clock: MemoryClock,
    ses: MemorySes,
    topics: MemoryTopics,
    rule_sets: MemoryRuleSets,
    account: MemoryAccount,
    notes: MemoryNotes,
    answers: MemoryAnswers,
}

impl World {
    fn new(start: &State) -> Self {
        let clock = MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap());
        let ses = MemorySes::new(&clock);
        let world = Self {
            topics: MemoryTopics::new(&ses),
            rule_sets: MemoryRuleSets::new(&ses),
            account: MemoryAccount::new(&ses),
            notes: MemoryNotes::default(),
            answers: MemoryAnswers::default(),
            clock,
            ses,
        };
        for name in [RULE_SET, "theirs", "others"] {
            world.rule_sets.create(RuleSet { name: name.to_owned(), rules: Vec::new() });
        }
        world.set(start);
        world
    }

    /// Sets everything, not by way of Mailroom.
    fn set(&self, state: &State) {
        self.rule_sets.set_active(state.rule_set);
        self.account.set_reasons(&state.reasons.iter().copied().collect::<Vec<_>>());
        for (identity, (bounce, complaint, forwarding)) in &state.identities {
            let attributes = NotificationAttributes {
                bounce_topic: bounce.map(str::to_owned),
                complaint_topic: complaint.map(str::to_owned),
                forwarding: *forwarding,
                ..NotificationAttributes::default()
            };
            self.topics.set(identity, attributes);
        }
    }

    fn state(&self) -> State {
        let identity = |(identity, told): (&String, &NotificationAttributes)| {
            let topic = |topic: &Option<String>| topic.as_deref().map(known);
            (known(identity), (topic(&told.bounce_topic), topic(&told.complaint_topic), told.forwarding))
        };
        State {
            rule_set: self.rule_sets.active_name().as_deref().map(known),
            reasons: self.account.reasons().iter().map(|reason| known(reason)).collect(),
            identities: self.topics.all().iter().map(identity).collect(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.set(&state);
    }

    fn function(&self, fuse: &Fuse) -> Function {
        let ses = self.ses.with_fuse(fuse);
        Setup {
            topics: self.topics.through(&ses),
            rule_sets: self.rule_sets.through(&ses),
            account: self.account.through(&ses),
            notes: self.notes.with_fuse(fuse),
            answers: self.answers.with_fuse(fuse),
            clock: self.clock.clone(),
            settings: Settings { table: "table".to_owned(), interval: Duration::from_secs(1) },
        }
    }

    /// An invocation some time after the last; `None` if it dies.
    async fn invoke(&self, event: &Value, seconds: u64, fuse: &Fuse) -> Option<Result<(), SetupError>> {
        self.clock.advance(Duration::from_mins(1));
        let deadline = Instant::now() + Duration::from_secs(seconds);
        fuse.run(self.function(fuse).handle(event, deadline)).await
    }

    /// A request that is carried out, and its answer.
    async fn send(&self, event: &Value) -> Answer {
        self.invoke(event, 900, &Fuse::default()).await.unwrap().unwrap();
        self.answer()
    }

    /// The one answer since the last.
    fn answer(&self) -> Answer {
        let answers = self.answers.take();
        let [(url, answer)] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!(url, URL);
        assert!(answer.len() <= 4096);
        let answer: Value = serde_json::from_str(answer).unwrap();
        assert_eq!(answer["PhysicalResourceId"], "mailroom-setup", "whatever comes");
        assert_eq!(answer["LogicalResourceId"], "Setup");
        match answer["Status"].as_str().unwrap() {
            "SUCCESS" => Ok(()),
            "FAILED" => Err(answer["Reason"].as_str().unwrap().to_owned()),
            other => panic!("{other}"),
        }
    }
}

/// What CloudFormation was answered; a reason, if that it has failed.
type Answer = Result<(), String>;

/// What a stack's parameters make of the resource's properties.
#[derive(Debug, Clone)]
struct Properties {
    identities: Vec<&'static str>,
    foreign_topics: &'static str,
    active_rule_set: &'static str,
    reasons: &'static str,
}

fn all(foreign: bool) -> Properties {
    Properties {
        identities: vec![DOMAIN, ADDRESS],
        foreign_topics: if foreign { "replace" } else { "refuse" },
        active_rule_set: if foreign { "replace" } else { "activate" },
        reasons: "BOUNCE,COMPLAINT",
    }
}

impl Properties {
    fn request(&self, kind: &str, id: &str) -> Value {
        json!({
            "RequestType": kind,
            "ResponseURL": URL,
            "RequestId": id,
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/m/1",
            "LogicalResourceId": "Setup",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "ResourceProperties": {
                "Topic": OURS,
                "Identities": self.identities,
                "ForeignTopics": self.foreign_topics,
                "RuleSet": RULE_SET,
                "ActiveRuleSet": self.active_rule_set,
                "SuppressionReasons": self.reasons,
            },
        })
    }
}

fn starts() -> [(State, bool); 4] {
    let theirs = (Some(THEIRS), Some(THEIRS), false);
    [
        (fresh(), false),
        // Told to, Mailroom replaces what is somebody else's.
        (state(Some("theirs"), &["BOUNCE"], theirs, (Some(THEIRS), None, true)), true),
        (state(None, &["BOUNCE", "COMPLAINT"], (None, Some(OTHERS), true), NEW), true),
        (state(Some("others"), &[], NEW, theirs), true),
    ]
}

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
                    let expected = if *kind == "Delete" { start.clone() } else { set_up() };
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
    world.rule_sets.create(RuleSet { name: "mailroom-inbound".to_owned(), rules: Vec::new() });
    for name in ["create", "update", "delete"] {
        let path = format!("{}/../../events/setup/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert!(world.invoke(&event, 900, &Fuse::default()).await.unwrap().is_ok());
        let answers = world.answers.take();
        assert!(answers.len() == 1 && answers[0].1.contains("SUCCESS"), "{name}: {answers:?}");
        let told = world.topics.all().values().filter(|told| !told.forwarding).count();
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

/// Dies after each effect: a call of SES, a write to the table, an answer. Then Lambda brings the request again; or
/// CloudFormation has waited in vain, and goes on with another.
#[tokio::test]
async fn cut_off_anywhere() {
    for ((start, foreign), again) in
        starts().into_iter().flat_map(|start| [(start.clone(), true), (start, false)])
    {
        for (kind, next) in [
            ("Create", "Delete"),
            ("Create", "Create"),
            ("Update", "Update"),
            ("Delete", "Delete"),
            ("Delete", "Create"),
        ] {
            let mut bears = 0;
            loop {
                let world = World::new(&start);
                let fewer = Properties { identities: vec![DOMAIN], ..all(foreign) };
                if kind != "Create" {
                    assert_eq!(world.send(&fewer.request("Create", "before")).await, Ok(()));
                }
                let fuse = Fuse::default();
                fuse.set(bears);
                let event = all(foreign).request(kind, "this");
                let lived = world.invoke(&event, 900, &fuse).await.is_some();
                if lived {
                    assert_eq!(world.answer(), Ok(()));
                    assert!(bears >= 3, "a test that cuts off nothing");
                    break;
                }
                assert!(world.answers.take().is_empty(), "the answer is the last thing that is done");
                if again {
                    assert_eq!(world.send(&event).await, Ok(()));
                    let expected = if kind == "Delete" { start.clone() } else { set_up() };
                    assert_eq!(world.state(), expected, "{kind} dies after {bears}");
                }
                assert_eq!(world.send(&all(foreign).request(next, "next")).await, Ok(()));
                let expected = if next == "Delete" { start.clone() } else { set_up() };
                assert_eq!(world.state(), expected, "{kind} dies after {bears}, then {next}");
                assert_eq!(world.send(&all(foreign).request("Delete", "last")).await, Ok(()));
                assert_eq!(world.state(), start, "{kind} dies after {bears}, then {next}, then Delete");
                bears += 1;
            }
        }
    }
}

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
async fn trouble_with_ses() {
    use Fault::{Denied, None, Throttled, Unanswered, Unavailable};
    let set_up_all = Ok(());
    for (faults, expected) in [
        (vec![Throttled, None, None, None, Throttled, Throttled], set_up_all),
        (vec![Unavailable, None, None, Unanswered, None, Unanswered], set_up_all),
        // A role that is not known everywhere yet.
        (vec![Denied, Denied, Denied], set_up_all),
        (vec![Throttled; 6], Err("which rule set is active: SES throttles")),
        (
            [vec![None; 5], vec![Denied; 6]].concat(),
            Err("to set an address at example.org's Bounce topic: SES denies it: AccessDenied"),
        ),
        (
            [vec![None; 3], vec![Denied; 6]].concat(),
            Err("to activate the rule set m-inbound: SES denies it: AccessDenied"),
        ),
    ] {
        let world = World::new(&fresh());
        world.ses.fault(faults.clone());
        let answer = world.send(&all(false).request("Create", "1")).await;
        assert_eq!(answer, expected.map_err(str::to_owned), "{faults:?}");
        if expected.is_ok() {
            assert_eq!(world.state(), set_up());
        }
        assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
        assert_eq!(world.state(), fresh(), "{faults:?}");
    }
}

#[tokio::test]
async fn it_fails_before_lambda_ends_it() {
    // Time to look, to be throttled, and to answer in; not for all the changes.
    let world = World::new(&fresh());
    let alone = Properties { identities: vec![DOMAIN], ..all(false) };
    world.ses.fault([Fault::None; 3].into_iter().chain([Fault::Throttled; 4]));
    let answer = world.invoke(&alone.request("Create", "1"), 50, &Fuse::default()).await.unwrap();
    assert!(answer.is_ok());
    let failed = world.answer().unwrap_err();
    assert!(failed.starts_with("out of time after ") && failed.contains(" of 5 changes; "), "{failed}");
    // Deleted in parts, which nobody could ask for otherwise.
    assert_eq!(world.send(&all(false).request("Create", "2")).await, Ok(()));
    let mut deletions = 0;
    loop {
        deletions += 1;
        let event = all(false).request("Delete", &format!("delete {deletions}"));
        world.invoke(&event, 21, &Fuse::default()).await.unwrap().unwrap();
        if world.answer().is_ok() {
            break;
        }
    }
    assert!(deletions > 1, "{deletions}");
    assert_eq!(world.state(), fresh());
}

#[tokio::test]
async fn it_answers_even_if_nobody_answers_it() {
    let world = World::new(&fresh());
    let silent = Fuse::default();
    silent.set(0);
    let function = Setup { answers: world.answers.clone(), ..world.function(&silent) };
    // A tenth of a second, and what is kept to answer in.
    let deadline = Instant::now() + Duration::from_millis(10_100);
    function.handle(&all(false).request("Delete", "1"), deadline).await.unwrap();
    assert!(world.answer().unwrap_err().starts_with("out of time"));
}

#[tokio::test]
async fn no_more_identities_than_fit() {
    let world = World::new(&fresh());
    let names: Vec<_> = (0..233).map(|number| format!("{number}.example.com")).collect();
    for name in &names {
        world.topics.set(name, NotificationAttributes::default());
    }
    let mut event = all(false).request("Create", "1");
    event["ResourceProperties"]["Identities"] = json!(names);
    let refused = world.send(&event).await;
    assert_eq!(refused, Err("233 identities are more than fit into one run, which are 232".to_owned()));
    assert!(world.ses.calls().is_empty(), "nothing is even looked at");
    event["RequestId"] = json!("2");
    event["ResourceProperties"]["Identities"] = json!(names[1..]);
    assert_eq!(world.send(&event).await, Ok(()));
    assert!(world.topics.all().values().filter(|told| !told.forwarding).count() == 232);
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
async fn what_can_t_be_read_is_answered() {
    let world = World::new(&fresh());
    let event = |kind, id, change: fn(&mut Value)| {
        let mut event = all(false).request(kind, id);
        change(&mut event);
        event
    };
    for (event, reason) in [
        (
            event("Create", "1", |event| {
                event["ResourceProperties"]["Identities"] = json!("Somebody@example.org");
            }),
            "property Identities: must be a list of addresses and domains",
        ),
        (
            event("Create", "2", |event| {
                event["ResourceProperties"]["Identities"] = json!(["Some body@example.org"]);
            }),
            "property Identities: number 1 is neither an address nor a domain",
        ),
        (
            event("Update", "3", |event| event["ResourceProperties"] = json!(null)),
            "property ActiveRuleSet: must be leave, activate or replace",
        ),
        (event("Move", "4", |_| {}), "RequestType: neither Create, Update nor Delete"),
    ] {
        assert_eq!(world.send(&event).await, Err(reason.to_owned()));
    }
    let deletion = event("Delete", "5", |event| event["ResourceProperties"] = json!(null));
    assert_eq!(world.send(&deletion).await, Ok(()));
    assert!(world.ses.calls().is_empty());
    let nobody = world.invoke(&json!({"RequestType": "Create"}), 900, &Fuse::default()).await.unwrap();
    assert!(matches!(nobody, Err(SetupError::NotARequest(_))));
    // A note that a later version has written.
    world.notes.put("other", &json!(7), None).await.unwrap();
    let read = world.notes.get::<Value>("setup").await.unwrap().unwrap();
    world.notes.put("setup", &json!(7), Some(read.version)).await.unwrap();
    let unreadable = world.send(&all(false).request("Create", "6")).await;
    assert_eq!(unreadable, Err("the table: note setup can't be read".to_owned()));
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

#[tokio::test]
async fn two_instances_with_one_request() {
    let world = World::new(&fresh());
    let create = all(false).request("Create", "1");
    let one = async || {
        let deadline = Instant::now() + Duration::from_mins(15);
        world.function(&Fuse::default()).handle(&create, deadline).await
    };
    let (first, second) = tokio::join!(one(), one());
    assert!(first.is_ok() && second.is_ok());
    let answers = world.answers.take();
    assert!(
        answers.len() == 2 && answers.iter().all(|(_, answer)| answer.contains("SUCCESS")),
        "{answers:?}"
    );
    assert_eq!(world.state(), set_up());
    assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
    assert_eq!(world.state(), fresh());
}

#[tokio::test]
async fn an_answer_is_delivered_until_it_is_there() {
    let world = World::new(&fresh());
    let unavailable = || AnswerError::Unavailable("status 503".to_owned());
    world.answers.fault([unavailable(), unavailable(), unavailable()]);
    assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
    // To no avail: Lambda brings the request again, and what it was answered is delivered then.
    world.answers.fault(vec![unavailable(); 20]);
    let event = all(false).request("Delete", "2");
    let undelivered = world.invoke(&event, 900, &Fuse::default()).await.unwrap();
    assert!(matches!(undelivered, Err(SetupError::Answer(AnswerError::Unavailable(_)))), "{undelivered:?}");
    let world = World { answers: MemoryAnswers::default(), ..world };
    assert_eq!(world.send(&event).await, Ok(()));
    // The signature has expired: nobody waits any more.
    world.answers.fault([AnswerError::Refused(403)]);
    let refused = world.invoke(&event, 900, &Fuse::default()).await.unwrap();
    assert!(matches!(refused, Err(SetupError::Answer(AnswerError::Refused(403)))), "{refused:?}");
}

/// What may happen to a stack and its account.
#[derive(Debug, Clone)]
enum Step {
    /// CloudFormation asks for something, and the function may die after so many effects.
    Request { kind: &'static str, properties: Properties, dies_after: Option<usize> },
    /// Somebody activates another rule set.
    RuleSet(Option<&'static str>),
    /// Somebody enables other reasons.
    Reasons(&'static [&'static str]),
    /// Somebody sets a topic; and e-mail on, if it is one less.
    Topic { identity: &'static str, bounce: bool, topic: Option<&'static str> },
    /// Somebody switches e-mail on.
    Mail(&'static str),
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
    prop_oneof![
        4 => request,
        1 => prop::sample::select(vec![None, Some("theirs"), Some("others")]).prop_map(Step::RuleSet),
        1 => prop::sample::select(vec![&[][..], &["COMPLAINT"][..]]).prop_map(Step::Reasons),
        1 => (identity(), any::<bool>(), prop::sample::select(vec![None, Some(THEIRS), Some(OTHERS)]))
            .prop_map(|(identity, bounce, topic)| Step::Topic { identity, bounce, topic }),
        1 => identity().prop_map(Step::Mail),
    ]
}

/// Does by hand what a step says, if it is a hand's: to the account, and to what the hand wants it to be.
fn by_hand(step: &Step, state: &mut State) {
    match step {
        Step::Request { .. } => {}
        Step::RuleSet(name) => state.rule_set = *name,
        Step::Reasons(reasons) => state.reasons = reasons.iter().copied().collect(),
        Step::Topic { identity, bounce, topic } => {
            let told = state.identities.get_mut(identity).unwrap();
            *(if *bounce { &mut told.0 } else { &mut told.1 }) = *topic;
            told.2 |= topic.is_none();
        }
        Step::Mail(identity) => state.identities.get_mut(identity).unwrap().2 = true,
    }
}

proptest! {
    /// Whatever CloudFormation asks for, wherever the function dies, whatever somebody else does meanwhile: in the end the
    /// account is as they have left it. (What a hand sets to what it is already, it does not set.)
    #[test]
    fn in_the_end_it_is_as_others_have_left_it(
        start in prop::sample::select(starts().map(|(start, _)| start).to_vec()),
        steps in prop::collection::vec(step(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let world = World::new(&start);
            let mut theirs = start;
            for (number, step) in steps.iter().enumerate() {
                if let Step::Request { kind, properties, dies_after } = step {
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
                    continue;
                }
                let (before, mut after) = (world.state(), world.state());
                by_hand(step, &mut after);
                world.set(&after);
                // Field by field: what it has changed is its own now.
                if before.rule_set != after.rule_set {
                    theirs.rule_set = after.rule_set;
                }
                if before.reasons != after.reasons {
                    theirs.reasons.clone_from(&after.reasons);
                }
                for (identity, told) in &after.identities {
                    let (was, theirs) = (&before.identities[identity], theirs.identities.get_mut(identity).unwrap());
                    if was.0 != told.0 {
                        theirs.0 = told.0;
                    }
                    if was.1 != told.1 {
                        theirs.1 = told.1;
                    }
                    if was.2 != told.2 {
                        theirs.2 = told.2;
                    }
                }
            }
            assert_eq!(world.send(&all(false).request("Delete", "last")).await, Ok(()));
            // SES insists on e-mail while there is a topic missing, whoever has taken it away.
            for told in theirs.identities.values_mut() {
                told.2 |= told.0.is_none() || told.1.is_none();
            }
            assert_eq!(world.state(), theirs);
        });
    }
}
