//! What setup of 405ee81 changed, today's function puts back; what it had begun, that one finishes.

use std::time::Duration;

use doubles::{
    MemoryAccount, MemoryAnswers, MemoryClock, MemoryRuleSets, MemorySes, MemoryTable, MemoryTopics,
};
use golden::{GoldenFile, items};
use mailroom_aws::account::SuppressionAttributes;
use mailroom_aws::notification_topics::NotificationAttributes;
use mailroom_aws::rule_sets::SesRuleSet;
use mailroom_core::timestamp::Timestamp;
use serde_json::{Value, json};
use setup::handler::{Ports, SetupFunction};

use crate::requirements::assert_note_fits;
use crate::world::{restore_notes, run, within};

pub(crate) fn check(file: &mut GoldenFile) {
    let [created, cut_off, failed] = ["created", "cut-off", "failed"].map(|name| file.take(name));
    for entry in [&created, &cut_off, &failed] {
        items(&entry["notes"]).iter().for_each(assert_note_fits);
    }
    let before = &cut_off["account"];
    let delete = |entry: &Value| {
        let mut event = entry["request"].clone();
        event["RequestType"] = json!("Delete");
        event["RequestId"] = json!("request-2");
        event["PhysicalResourceId"] = created["answers"][0]["PhysicalResourceId"].clone();
        event
    };
    run(async {
        let stack = Stack::left(&created);
        let answer = stack.send(&delete(&created)).await;
        assert_eq!((&answer["Status"], &stack.account()), (&json!("SUCCESS"), before));
        assert_eq!(answer["PhysicalResourceId"], created["answers"][0]["PhysicalResourceId"]);

        // Lambda brings a request again whose invocation died.
        let stack = Stack::left(&cut_off);
        assert_eq!(stack.send(&cut_off["request"]).await["Status"], "SUCCESS");
        assert_eq!(stack.account(), created["account"]);
        assert_eq!(stack.send(&delete(&cut_off)).await["Status"], "SUCCESS");
        assert_eq!(&stack.account(), before);

        let stack = Stack::left(&failed);
        assert_eq!(stack.send(&failed["request"]).await, failed["answers"][0], "the same answer again");
        assert_eq!(&stack.account(), before);
    });
}

struct Doubles;

impl Ports for Doubles {
    type Topics = MemoryTopics;
    type RuleSets = MemoryRuleSets;
    type Account = MemoryAccount;
    type Table = MemoryTable;
    type Answers = MemoryAnswers;
    type Clock = MemoryClock;
}

struct Stack {
    clock: MemoryClock,
    topics: MemoryTopics,
    rule_sets: MemoryRuleSets,
    account: MemoryAccount,
    table: MemoryTable,
    answers: MemoryAnswers,
}

impl Stack {
    fn left(entry: &Value) -> Self {
        let clock = MemoryClock::at(Timestamp::parse("2026-03-01T13:00:00Z").unwrap());
        let ses = MemorySes::new(&clock);
        let stack = Self {
            topics: MemoryTopics::new(&ses),
            rule_sets: MemoryRuleSets::new(&ses),
            account: MemoryAccount::new(&ses),
            table: MemoryTable::default(),
            answers: MemoryAnswers::default(),
            clock,
        };
        restore_notes(&stack.table, entry);
        let account = &entry["account"];
        for name in ["m-inbound", "theirs"] {
            stack.rule_sets.create(SesRuleSet { name: name.to_owned(), rules: Vec::new() });
        }
        stack.rule_sets.set_active(account["rule_set"].as_str());
        let reasons = items(&account["reasons"]).iter().map(|reason| reason.as_str().unwrap().to_owned());
        stack.account.set(SuppressionAttributes { reasons: reasons.collect(), validation: None });
        for (identity, attributes) in account["topics"].as_object().unwrap() {
            let topic = |kind: &str| attributes[kind].as_str().map(str::to_owned);
            stack.topics.set(
                identity,
                NotificationAttributes {
                    bounce_topic: topic("bounce"),
                    complaint_topic: topic("complaint"),
                    forwarding_enabled: attributes["forwarding"] == true,
                    ..NotificationAttributes::default()
                },
            );
        }
        stack
    }

    fn account(&self) -> Value {
        let topics = self.topics.all().into_iter().map(|(identity, attributes)| {
            let attributes = json!({
                "bounce": attributes.bounce_topic, "complaint": attributes.complaint_topic,
                "forwarding": attributes.forwarding_enabled,
            });
            (identity, attributes)
        });
        json!({
            "reasons": self.account.now().reasons, "rule_set": self.rule_sets.active_name(),
            "topics": topics.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// What the function answers to a request.
    async fn send(&self, event: &Value) -> Value {
        let function = SetupFunction::<Doubles> {
            topics: self.topics.clone(),
            rule_sets: self.rule_sets.clone(),
            account_settings: self.account.clone(),
            table: self.table.clone(),
            responder: self.answers.clone(),
            clock: self.clock.clone(),
            interval: Duration::from_secs(1),
        };
        function.handle(event, within(Duration::from_mins(15))).await.unwrap();
        let answers = self.answers.take();
        serde_json::from_str(&answers.last().unwrap().1).unwrap()
    }
}
