//! What holds whatever the APIs answer.

use std::collections::BTreeMap;

use mailroom_audit::compare::compare_and_dedup_verdicts;
use mailroom_audit::facts::{
    AccessKey, AccessKeyLastUsed, AccountFacts, ApiAnswer, BucketExistence, ConfigurationSet, DkimAttributes,
    EmailIdentity, EventDestination, EventDestinationTarget, IdentityFacts, IdentityNotificationAttributes,
    MailFromAttributes, PeerProgress, ProductionAccessReview, ReceiptAction, ReceiptRule, ReceiptRuleSet,
    RegionFacts, SendQuota, StackFacts,
};
use mailroom_audit::{AuditVerdict, SectionVerdict, judge_sections};
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::timestamp::Timestamp;
use proptest::option;
use proptest::prelude::*;
use proptest::prop_oneof;

use crate::healthy::{TOPIC, facts, now};

/// What AWS says, will say one day, and never says.
fn word(known: &'static [&'static str]) -> BoxedStrategy<String> {
    prop_oneof![6 => prop::sample::select(known).prop_map(str::to_owned), 1 => "\\PC{0,12}", 1 => any::<String>()].boxed()
}

fn asked<T: std::fmt::Debug + Clone + 'static>(
    answer: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<ApiAnswer<T>> {
    prop_oneof![
        8 => answer.prop_map(ApiAnswer::Answered),
        1 => "[a-z]{2,4}:[A-Za-z]{3,9}".prop_map(ApiAnswer::Denied),
        1 => "[A-Z][a-z]{3,9}".prop_map(ApiAnswer::NotEnabled),
        1 => ("[a-z]{2,4}:[A-Za-z]{3,9}", any::<String>()).prop_map(|(action, why)| ApiAnswer::Failed { action, why }),
        1 => Just(ApiAnswer::NotAsked),
    ].boxed()
}

fn time() -> BoxedStrategy<Timestamp> {
    (0..253_402_300_799_999_i64).prop_map(|millis| Timestamp::from_millis(millis).unwrap()).boxed()
}

fn name() -> BoxedStrategy<String> {
    word(&["example.com", "ops@example.com", "shop.example", "o'brien@shop.example", "$(reboot).example", ""])
        .boxed()
}

fn region() -> BoxedStrategy<String> {
    word(&["eu-west-1", "us-east-1", "ap-northeast-1", "us-gov-west-1"]).boxed()
}

fn arn() -> BoxedStrategy<String> {
    prop_oneof![
        Just(TOPIC.to_owned()),
        region().prop_map(|region| format!("arn:aws:sns:{region}:123456789012:mailroom-feedback")),
        any::<String>()
    ]
    .boxed()
}

fn policy() -> BoxedStrategy<String> {
    let one = prop_oneof![
        Just(r#""*""#.to_owned()),
        Just(r#"{"AWS":"111122223333"}"#.to_owned()),
        Just(r#"{"AWS":["*",1,null]}"#.to_owned()),
        Just(r#"{"Service":["ses.amazonaws.com"]}"#.to_owned()),
        Just("7".to_owned())
    ];
    let of = (one, region(), word(&["Allow", "Deny"]), any::<bool>()).prop_map(|(who, region, effect, list)| {
        let arn = format!("arn:aws:ses:{region}:123456789012:identity/example.com");
        let resource = if list { serde_json::json!([arn, 3]) } else { serde_json::json!(arn) };
        let principal: serde_json::Value = serde_json::from_str(&who).unwrap();
        serde_json::json!({"Statement": [{"Effect": effect, "Principal": principal, "Resource": resource}]}).to_string()
    });
    prop_oneof![4 => of, 1 => any::<String>(), 1 => Just("[{}]".to_owned()), 1 => Just(r#"{"Statement":"x"}"#.to_owned())].boxed()
}

const STATUSES: &[&str] = &["SUCCESS", "PENDING", "FAILED", "TEMPORARY_FAILURE", "NOT_STARTED"];

fn dkim() -> BoxedStrategy<DkimAttributes> {
    (
        any::<bool>(),
        option::of(word(STATUSES)),
        prop::collection::vec("[a-z]{0,8}", 0..4),
        option::of(word(&["dkim.amazonses.com", "x.dkim.eu-west-1.amazonses.com."])),
        option::of(word(&["AWS_SES", "EXTERNAL", "AWS_SES_US_EAST_1", "AWS_SES_"])),
        option::of(word(&["RSA_1024_BIT", "RSA_2048_BIT"])),
        option::of(word(&["RSA_1024_BIT", "RSA_2048_BIT"])),
    )
        .prop_map(|(signing_enabled, status, tokens, signing_hosted_zone, origin, current, next)| {
            DkimAttributes {
                signing_enabled,
                status,
                tokens,
                signing_hosted_zone,
                signing_attributes_origin: origin,
                current_signing_key_length: current,
                next_signing_key_length: next,
            }
        })
        .boxed()
}

fn an_identity() -> BoxedStrategy<IdentityFacts> {
    let mail_from = (name(), word(STATUSES), word(&["USE_DEFAULT_VALUE", "REJECT_MESSAGE"])).prop_map(
        |(domain, status, behavior_on_mx_failure)| MailFromAttributes {
            domain,
            status,
            behavior_on_mx_failure,
        },
    );
    let identity = (
        any::<bool>(),
        option::of(word(STATUSES)),
        option::of(word(&["HOST_NOT_FOUND", "REPLICATION_ACCESS_DENIED"])),
        option::of(time()),
        option::of(dkim()),
        option::of(mail_from),
        prop::collection::btree_map(word(&["a", "b"]), policy(), 0..3),
        option::of(word(&["mailroom", "bulk"])),
        any::<bool>(),
    )
        .prop_map(|(sends, status, error, at, dkim, mail_from, policies, set, forwarding)| {
            EmailIdentity {
                verified_for_sending: sends,
                verification_status: status,
                verification_error: error,
                last_checked_at: at,
                last_success_at: at,
                dkim,
                mail_from,
                policies,
                configuration_set: set,
                feedback_forwarding: forwarding,
            }
        });
    let notifications =
        (option::of(arn()), option::of(arn()), any::<bool>()).prop_map(|(bounce, complaint, forwarding)| {
            IdentityNotificationAttributes {
                bounce_topic: bounce,
                complaint_topic: complaint,
                forwarding_enabled: forwarding,
            }
        });
    (name(), option::of(word(&["DOMAIN", "EMAIL_ADDRESS"])), asked(identity), asked(notifications))
        .prop_map(|(name, kind, identity, notifications)| IdentityFacts {
            name,
            kind,
            identity,
            notifications,
        })
        .boxed()
}

fn a_set() -> BoxedStrategy<ConfigurationSet> {
    let destination = prop_oneof![
        arn().prop_map(EventDestinationTarget::Sns),
        arn().prop_map(EventDestinationTarget::EventBridge),
        Just(EventDestinationTarget::CloudWatch),
        Just(EventDestinationTarget::Other)
    ];
    let events = (any::<bool>(), prop::collection::vec(word(&["BOUNCE", "COMPLAINT"]), 0..3), destination)
        .prop_map(|(enabled, event_types, destination)| EventDestination {
            name: "d".to_owned(),
            enabled,
            event_types,
            destination,
        });
    (
        word(&["mailroom", "bulk"]),
        option::of(prop::collection::vec(word(&["BOUNCE", "COMPLAINT"]), 0..3)),
        option::of(word(&["ACCOUNT", "TENANT"])),
        any::<bool>(),
        asked(prop::collection::vec(events, 0..3)),
    )
        .prop_map(|(name, suppressed_reasons, suppression_scope, sending_enabled, event_destinations)| {
            ConfigurationSet {
                name,
                suppressed_reasons,
                suppression_scope,
                sending_enabled,
                event_destinations,
            }
        })
        .boxed()
}

/// Whole ones come back from JSON as they are.
fn number() -> BoxedStrategy<f64> {
    prop_oneof![8 => any::<i32>().prop_map(f64::from), 1 => Just(f64::NAN), 1 => Just(f64::INFINITY)].boxed()
}

fn an_account() -> BoxedStrategy<AccountFacts> {
    let quota = (number(), number(), number()).prop_map(|(most, rate, sent)| SendQuota {
        max_24_hour_send: most,
        max_send_rate: rate,
        sent_last_24_hours: sent,
    });
    let review = (option::of(word(&["PENDING", "DENIED"])), option::of(any::<String>()))
        .prop_map(|(status, case_id)| ProductionAccessReview { status, case_id });
    (
        any::<bool>(),
        any::<bool>(),
        option::of(word(&["HEALTHY", "PROBATION", "SHUTDOWN"])),
        option::of(quota),
        prop::collection::vec(word(&["BOUNCE", "COMPLAINT"]), 0..3),
        option::of(review),
    )
        .prop_map(|(access, sending, status, send_quota, suppressed_reasons, review)| AccountFacts {
            production_access_enabled: access,
            sending_enabled: sending,
            enforcement_status: status,
            send_quota,
            suppressed_reasons,
            review,
        })
        .boxed()
}

fn a_pass() -> BoxedStrategy<ListPass> {
    (time(), option::of(time()), any::<usize>(), option::of(any::<usize>()), any::<bool>())
        .prop_map(|(started_at, ended_at, entries, differ, alarmed)| ListPass {
            started_at,
            ended_at,
            entries,
            agree: differ,
            differ,
            mended: differ,
            gone: differ,
            alarmed,
        })
        .boxed()
}

fn a_key() -> BoxedStrategy<AccessKey> {
    let used = (time(), word(&["ses", "s3"]), region()).prop_map(|(at, service, region)| AccessKeyLastUsed {
        at,
        service,
        region,
    });
    (any::<String>(), word(&["Active", "Inactive"]), time(), asked(any::<bool>()), asked(option::of(used)))
        .prop_map(|(user, status, created_at, may_send, last_used)| AccessKey {
            user,
            id: "AKIA".to_owned(),
            status,
            created_at,
            may_send,
            last_used,
        })
        .boxed()
}

fn a_rule_set() -> BoxedStrategy<ReceiptRuleSet> {
    let action = (
        word(&["S3Action", "SNSAction"]),
        option::of(word(&["b", "c"])),
        prop::collection::btree_map(word(&["TopicArn"]), arn(), 0..3),
    )
        .prop_map(|(kind, bucket, arns)| ReceiptAction { kind, bucket, arns });
    let rule = (any::<String>(), any::<bool>(), prop::collection::vec(action, 0..3)).prop_map(
        |(name, enabled, actions)| ReceiptRule {
            name,
            enabled,
            scan_enabled: true,
            recipients: Vec::new(),
            actions,
        },
    );
    (word(&["mailroom-inbound", "theirs"]), prop::collection::vec(rule, 0..3))
        .prop_map(|(name, rules)| ReceiptRuleSet { name, rules })
        .boxed()
}

fn any_facts() -> BoxedStrategy<RegionFacts> {
    let stack = (
        region(),
        option::of(any::<String>()),
        option::of(arn()),
        option::of(word(&["mailroom"])),
        any::<bool>(),
        option::of(word(&["mailroom-reconcile"])),
    )
        .prop_map(
            |(region, account, feedback_topic, configuration_set, receives, reconcile_function)| StackFacts {
                region,
                account,
                feedback_topic,
                rule_set: configuration_set.as_ref().map(|name| format!("{name}-inbound")),
                configuration_set,
                receives,
                reconcile_function,
            },
        );
    let bucket =
        (word(&["b", "c"]), asked(any::<bool>())).prop_map(|(name, exists)| BucketExistence { name, exists });
    let peer = (region(), option::of(time())).prop_map(|(region, until)| PeerProgress { region, until });
    (
        stack,
        asked(an_account()),
        asked(prop::collection::vec(an_identity(), 0..5)),
        asked(prop::collection::vec(asked(a_set()), 0..3)),
        asked(option::of(a_pass())),
        asked(prop::collection::vec(peer, 0..3)),
        asked(prop::collection::vec(a_key(), 0..3)),
        asked(option::of(a_rule_set())),
        prop::collection::vec(bucket, 0..3),
    )
        .prop_map(
            |(
                stack,
                account,
                identities,
                configuration_sets,
                list,
                peers,
                access_keys,
                rule_set,
                buckets,
            )| {
                RegionFacts {
                    stack,
                    account,
                    identities,
                    configuration_sets,
                    last_list_pass: list,
                    peer_pushes: peers,
                    access_keys,
                    rule_set,
                    buckets,
                }
            },
        )
        .boxed()
}

fn verdicts(facts: &RegionFacts) -> Vec<SectionVerdict> {
    judge_sections(facts, now())
}

/// Everything in another order.
fn reversed(mut facts: RegionFacts) -> RegionFacts {
    if let ApiAnswer::Answered(all) = &mut facts.identities {
        all.reverse();
    }
    if let ApiAnswer::Answered(all) = &mut facts.configuration_sets {
        all.reverse();
    }
    if let ApiAnswer::Answered(all) = &mut facts.access_keys {
        all.reverse();
    }
    facts
}

/// Names are unique in what AWS lists.
fn unique(mut facts: RegionFacts) -> RegionFacts {
    if let ApiAnswer::Answered(all) = &mut facts.identities {
        let mut by_name = BTreeMap::new();
        for of in all.drain(..) {
            by_name.insert(of.name.to_ascii_lowercase(), of);
        }
        all.extend(by_name.into_values());
    }
    if let ApiAnswer::Answered(all) = &mut facts.configuration_sets {
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|of| of.answer().is_none_or(|of| seen.insert(of.name.clone())));
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_is_answered_there_are_ten_verdicts_that_explain_themselves(facts in any_facts()) {
        let told = verdicts(&facts);
        prop_assert_eq!(told.len(), 10);
        for told in &told {
            let worst = told.findings.iter().map(|of| of.verdict).max();
            match told.verdict {
                AuditVerdict::Pass | AuditVerdict::NotApplicable => prop_assert!(worst.is_none() && !told.evidence.is_empty()),
                verdict => prop_assert_eq!(worst, Some(verdict)),
            }
            for of in &told.findings {
                prop_assert!(!of.todo.is_empty() && !of.evidence.is_empty(), "{of:?}");
                for fix in &of.fixes {
                    let shown = fix.to_string();
                    prop_assert!(!matches!(fix, mailroom_audit::Fix::Command(_)) || !shown.contains(char::is_control), "{shown:?}");
                }
            }
            let text = serde_json::to_string(told).unwrap();
            prop_assert_eq!(&serde_json::from_str::<SectionVerdict>(&text).unwrap(), told);
        }
    }

    #[test]
    fn facts_are_kept_between_invocations(facts in any_facts()) {
        let text = serde_json::to_string(&facts).unwrap();
        // Numbers that are none have no JSON: SES sends none.
        if let Ok(read) = serde_json::from_str::<RegionFacts>(&text) {
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    #[test]
    fn the_order_of_lists_does_not_matter(facts in any_facts()) {
        let facts = unique(facts);
        prop_assert_eq!(verdicts(&reversed(facts.clone())), verdicts(&facts));
    }

    #[test]
    fn one_identity_more_makes_nothing_better(facts in any_facts(), more in an_identity()) {
        let mut facts = unique(facts);
        let before = verdicts(&facts);
        if let ApiAnswer::Answered(all) = &mut facts.identities {
            // A domain signs for its addresses: that is what it is for.
            prop_assume!(!more.is_domain() && all.iter().all(|of| !of.name.eq_ignore_ascii_case(&more.name)));
            all.push(more);
        }
        for (before, after) in before.iter().zip(verdicts(&facts)) {
            prop_assert!(after.verdict >= before.verdict, "{before:?}\n{after:?}");
        }
    }

    #[test]
    fn a_fault_makes_no_section_better(fault in prop::sample::select(FAULTS), others in prop::collection::vec(prop::sample::select(FAULTS), 0..6)) {
        let mut facts = facts();
        for other in others {
            other(&mut facts);
        }
        let before = verdicts(&facts);
        fault(&mut facts);
        for (before, after) in before.iter().zip(verdicts(&facts)) {
            prop_assert!(after.verdict >= before.verdict, "{before:?}\n{after:?}");
        }
    }

    #[test]
    fn a_comparison_makes_nothing_better_and_doing_it_again_changes_nothing(all in prop::collection::vec(any_facts(), 1..4)) {
        let mut all: Vec<_> = all.into_iter().map(unique).collect();
        let mut seen = std::collections::BTreeSet::new();
        all.retain(|facts| seen.insert(facts.stack.region.clone()));
        let alone: Vec<_> = all.iter().flat_map(verdicts).collect();
        let compared = compare_and_dedup_verdicts(&alone);
        for (alone, compared) in alone.iter().zip(&compared) {
            prop_assert_eq!((&alone.region, alone.section), (&compared.region, compared.section));
            if alone.section != mailroom_audit::AuditSection::SmtpCredentials {
                prop_assert!(compared.verdict >= alone.verdict);
            }
        }
        prop_assert_eq!(compare_and_dedup_verdicts(&compared), compared);
    }
}

type Fault = fn(&mut RegionFacts);

fn first(facts: &mut RegionFacts, change: fn(&mut EmailIdentity)) {
    if let ApiAnswer::Answered(all) = &mut facts.identities
        && let Some(ApiAnswer::Answered(identity)) = all.first_mut().map(|of| &mut of.identity)
    {
        change(identity);
    }
}

fn account(facts: &mut RegionFacts, change: fn(&mut AccountFacts)) {
    if let ApiAnswer::Answered(account) = &mut facts.account {
        change(account);
    }
}

/// What is not answered is none: it takes a fault away with it.
const FAULTS: &[Fault] = &[
    |facts| account(facts, |of| of.production_access_enabled = false),
    |facts| account(facts, |of| of.sending_enabled = false),
    |facts| account(facts, |of| of.enforcement_status = Some("SHUTDOWN".to_owned())),
    |facts| account(facts, |of| of.suppressed_reasons.clear()),
    |facts| first(facts, |of| of.verified_for_sending = false),
    |facts| first(facts, |of| of.verification_status = Some("FAILED".to_owned())),
    |facts| first(facts, |of| of.dkim = None),
    |facts| first(facts, |of| of.dkim.iter_mut().for_each(|of| of.signing_enabled = false)),
    |facts| {
        first(facts, |of| {
            of.dkim.iter_mut().for_each(|of| of.current_signing_key_length = Some("RSA_1024_BIT".to_owned()))
        })
    },
    |facts| first(facts, |of| of.mail_from.iter_mut().for_each(|of| "FAILED".clone_into(&mut of.status))),
    |facts| {
        first(facts, |of| {
            of.mail_from.iter_mut().for_each(|of| "REJECT_MESSAGE".clone_into(&mut of.behavior_on_mx_failure))
        })
    },
    |facts| {
        first(facts, |of| {
            _ = of
                .policies
                .insert("open".to_owned(), r#"{"Statement":{"Effect":"Allow","Principal":"*"}}"#.to_owned())
        })
    },
    |facts| {
        if let ApiAnswer::Answered(all) = &mut facts.identities {
            all[0].notifications = ApiAnswer::Answered(IdentityNotificationAttributes::default());
        }
    },
    |facts| {
        if let ApiAnswer::Answered(Some(set)) = &mut facts.rule_set {
            set.rules.iter_mut().for_each(|rule| rule.enabled = false);
        }
    },
    |facts| facts.rule_set = ApiAnswer::Answered(None),
    |facts| facts.buckets.iter_mut().for_each(|bucket| bucket.exists = ApiAnswer::Answered(false)),
    |facts| {
        if let ApiAnswer::Answered(Some(pass)) = &mut facts.last_list_pass {
            pass.alarmed = true;
        }
    },
    |facts| {
        if let ApiAnswer::Answered(keys) = &mut facts.access_keys {
            for key in keys {
                key.created_at = Timestamp::MIN;
            }
        }
    },
    |facts| facts.configuration_sets = ApiAnswer::Answered(Vec::new()),
];
