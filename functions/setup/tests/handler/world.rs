//! An account in one Region, a stack and its function.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use doubles::{
    Fuse, MemoryAccount, MemoryAnswers, MemoryClock, MemoryRuleSets, MemorySes, MemoryTable, MemoryTopics,
};
use mailroom_aws::account::{AutoValidation, SuppressionAttributes};
use mailroom_aws::clock::Timer;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::{NotificationAttributes, NotificationTopics};
use mailroom_aws::rule_sets::SesRuleSet;
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};
use setup::handler::{Ports, SetupError, SetupFunction};

/// The function with its ports in memory.
pub(crate) type Function<T = MemoryTopics, C = MemoryClock> = SetupFunction<Doubles<T, C>>;

pub(crate) struct Doubles<T, C>(PhantomData<(T, C)>);

impl<T: NotificationTopics, C: Timer> Ports for Doubles<T, C> {
    type Topics = T;
    type RuleSets = MemoryRuleSets;
    type Account = MemoryAccount;
    type Table = MemoryTable;
    type Answers = MemoryAnswers;
    type Clock = C;
}

pub(crate) const OURS: &str = "arn:aws:sns:us-east-1:123456789012:m-feedback";
pub(crate) const THEIRS: &str = "arn:aws:sns:us-east-1:123456789012:theirs";
pub(crate) const OTHERS: &str = "arn:aws:sns:us-east-1:123456789012:others";
pub(crate) const RULE_SET: &str = "m-inbound";
pub(crate) const DOMAIN: &str = "example.com";
pub(crate) const ADDRESS: &str = "Somebody@example.org";
pub(crate) const URL: &str = "https://example.com/answer?Signature=secret";

/// Whom SES tells of an identity's bounces and complaints: two topics, and whether by e-mail.
pub(crate) type Told = (Option<&'static str>, Option<&'static str>, bool);

/// What Mailroom sets up, or finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) rule_set: Option<&'static str>,
    pub(crate) reasons: BTreeSet<&'static str>,
    /// Auto Validation's threshold, which Mailroom never changes; it shares a call with the reasons.
    pub(crate) validation: Option<&'static str>,
    pub(crate) identities: BTreeMap<&'static str, Told>,
}

/// How an account may be, with Auto Validation that somebody else has set.
pub(crate) fn state(
    rule_set: Option<&'static str>,
    reasons: &[&'static str],
    domain: Told,
    address: Told,
) -> State {
    State {
        rule_set,
        reasons: reasons.iter().copied().collect(),
        validation: Some("HIGH"),
        identities: [(DOMAIN, domain), (ADDRESS, address)].into(),
    }
}

pub(crate) const NEW: Told = (None, None, true);
pub(crate) const SET_UP: Told = (Some(OURS), Some(OURS), false);

pub(crate) fn fresh() -> State {
    state(None, &[], NEW, NEW)
}

/// Back to names that live as long as the tests.
pub(crate) fn known(name: &str) -> &'static str {
    [OURS, THEIRS, OTHERS, RULE_SET, DOMAIN, ADDRESS, "theirs", "others", "BOUNCE", "COMPLAINT", "HIGH"]
        .into_iter()
        .find(|known| *known == name)
        .unwrap()
}

/// The account in one Region, and the stack's table.
pub(crate) struct World {
    pub(crate) clock: MemoryClock,
    pub(crate) ses: MemorySes,
    pub(crate) topics: MemoryTopics,
    pub(crate) rule_sets: MemoryRuleSets,
    pub(crate) account: MemoryAccount,
    pub(crate) table: MemoryTable,
    pub(crate) answers: MemoryAnswers,
    /// From one call of SES to the next, as the template tells the function.
    pub(crate) interval: Cell<Duration>,
}

impl World {
    pub(crate) fn new(start: &State) -> Self {
        let clock = MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap());
        let ses = MemorySes::new(&clock);
        let world = Self {
            topics: MemoryTopics::new(&ses),
            rule_sets: MemoryRuleSets::new(&ses),
            account: MemoryAccount::new(&ses),
            table: MemoryTable::default(),
            answers: MemoryAnswers::default(),
            clock,
            ses,
            interval: Cell::new(Duration::from_secs(1)),
        };
        for name in [RULE_SET, "theirs", "others"] {
            world.rule_sets.create(SesRuleSet { name: name.to_owned(), rules: Vec::new() });
        }
        world.set(start);
        world
    }

    /// Sets everything, not by way of Mailroom.
    pub(crate) fn set(&self, state: &State) {
        self.rule_sets.set_active(state.rule_set);
        self.account.set(SuppressionAttributes {
            reasons: state.reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            validation: state.validation.map(|threshold| AutoValidation {
                status: "ENABLED".to_owned(),
                threshold: Some(threshold.to_owned()),
            }),
        });
        for (identity, (bounce, complaint, forwarding)) in &state.identities {
            let attributes = NotificationAttributes {
                bounce_topic: bounce.map(str::to_owned),
                complaint_topic: complaint.map(str::to_owned),
                forwarding_enabled: *forwarding,
                ..NotificationAttributes::default()
            };
            self.topics.set(identity, attributes);
        }
    }

    pub(crate) fn state(&self) -> State {
        let identity = |(identity, told): (&String, &NotificationAttributes)| {
            let topic = |topic: &Option<String>| topic.as_deref().map(known);
            (
                known(identity),
                (topic(&told.bounce_topic), topic(&told.complaint_topic), told.forwarding_enabled),
            )
        };
        let settings = self.account.now();
        State {
            rule_set: self.rule_sets.active_name().as_deref().map(known),
            reasons: settings.reasons.iter().map(|reason| known(reason)).collect(),
            validation: settings.validation.map(|validation| known(&validation.threshold.unwrap())),
            identities: self.topics.all().iter().map(identity).collect(),
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.set(&state);
    }

    pub(crate) fn function(&self, fuse: &Fuse) -> Function {
        self.function_with(fuse, self.topics.through(&self.ses.with_fuse(fuse)), self.clock.clone())
    }

    pub(crate) fn function_with<T: NotificationTopics, C: Timer>(
        &self,
        fuse: &Fuse,
        topics: T,
        clock: C,
    ) -> Function<T, C> {
        let ses = self.ses.with_fuse(fuse);
        SetupFunction {
            topics,
            rule_sets: self.rule_sets.through(&ses),
            account_settings: self.account.through(&ses),
            table: self.table.with_fuse(fuse),
            responder: self.answers.with_fuse(fuse),
            clock,
            interval: self.interval.get(),
        }
    }

    /// An invocation some time after the last; `None` if it dies.
    pub(crate) async fn invoke(
        &self,
        event: &Value,
        seconds: u64,
        fuse: &Fuse,
    ) -> Option<Result<(), SetupError>> {
        self.clock.advance(Duration::from_mins(1));
        let deadline = Deadline::after(Duration::from_secs(seconds));
        fuse.run(self.function(fuse).handle(event, deadline)).await
    }

    /// A request that is carried out, and its answer.
    pub(crate) async fn send(&self, event: &Value) -> Answer {
        self.invoke(event, 900, &Fuse::default()).await.unwrap().unwrap();
        self.answer()
    }

    /// The one answer since the last.
    pub(crate) fn answer(&self) -> Answer {
        let mut answers = self.answers_by_request();
        let (_, answer) = answers.pop_first().unwrap();
        assert!(answers.is_empty(), "{answers:?}");
        answer
    }

    /// The answers since the last, one to each request.
    pub(crate) fn answers_by_request(&self) -> BTreeMap<String, Answer> {
        let answers = self.answers.take();
        let by_request: BTreeMap<_, _> = answers.iter().map(|(url, answer)| read(url, answer)).collect();
        assert_eq!(by_request.len(), answers.len(), "{answers:?}");
        by_request
    }
}

/// Which request is answered, and how.
pub(crate) fn read(url: &str, answer: &str) -> (String, Answer) {
    assert_eq!(url, URL);
    assert!(answer.len() <= 4096);
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(answer["PhysicalResourceId"], "mailroom-setup", "whatever comes");
    assert_eq!(answer["LogicalResourceId"], "Setup");
    let told = match answer["Status"].as_str().unwrap() {
        "SUCCESS" => Ok(()),
        "FAILED" => Err(answer["Reason"].as_str().unwrap().to_owned()),
        other => panic!("{other}"),
    };
    (answer["RequestId"].as_str().unwrap().to_owned(), told)
}

/// What CloudFormation was answered; a reason, if that it has failed.
pub(crate) type Answer = Result<(), String>;

/// What a stack's parameters make of the resource's properties.
#[derive(Debug, Clone)]
pub(crate) struct Properties {
    pub(crate) identities: Vec<&'static str>,
    pub(crate) foreign_topics: &'static str,
    pub(crate) active_rule_set: &'static str,
    pub(crate) reasons: &'static str,
}

pub(crate) fn all(foreign: bool) -> Properties {
    Properties {
        identities: vec![DOMAIN, ADDRESS],
        foreign_topics: if foreign { "replace" } else { "refuse" },
        active_rule_set: if foreign { "replace" } else { "activate" },
        reasons: "BOUNCE,COMPLAINT",
    }
}

impl Properties {
    /// What becomes of an account by them, if nobody else changes it.
    pub(crate) fn of(&self, start: &State) -> State {
        let mut state = start.clone();
        if self.active_rule_set != "leave" {
            state.rule_set = Some(RULE_SET);
        }
        if self.reasons != "leave" {
            state.reasons = self.reasons.split(',').collect();
        }
        for identity in &self.identities {
            state.identities.insert(identity, SET_UP);
        }
        state
    }

    pub(crate) fn request(&self, kind: &str, id: &str) -> Value {
        let properties = json!({
            "Topic": OURS,
            "Identities": self.identities,
            "ForeignTopics": self.foreign_topics,
            "RuleSet": RULE_SET,
            "ActiveRuleSet": self.active_rule_set,
            "SuppressionReasons": self.reasons,
        });
        let mut request = json!({
            "RequestType": kind,
            "ResponseURL": URL,
            "RequestId": id,
            "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/m/1",
            "LogicalResourceId": "Setup",
            "ResourceType": "AWS::CloudFormation::CustomResource",
            "ResourceProperties": properties,
        });
        if kind != "Create" {
            request["PhysicalResourceId"] = json!("mailroom-setup");
        }
        if kind == "Update" {
            request["OldResourceProperties"] = properties;
        }
        request
    }
}

/// The account as it is once all is set up.
pub(crate) fn set_up(start: &State) -> State {
    all(true).of(start)
}

pub(crate) fn starts() -> [(State, bool); 4] {
    let theirs = (Some(THEIRS), Some(THEIRS), false);
    [
        (fresh(), false),
        // Told to, Mailroom replaces what is somebody else's.
        (state(Some("theirs"), &["BOUNCE"], theirs, (Some(THEIRS), None, true)), true),
        (state(None, &["BOUNCE", "COMPLAINT"], (None, Some(OTHERS), true), NEW), true),
        (state(Some("others"), &[], NEW, theirs), true),
    ]
}
