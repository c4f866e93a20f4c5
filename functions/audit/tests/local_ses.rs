//! The audit by the SDK against the local SES and its IAM, whose clock goes on by as much as the audit waits.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use audit::handler::{AuditFunction, AuditOutcome, AuditRequest};
use audit::settings::Settings;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sesv2::config::{Credentials, SharedCredentialsProvider};
use doubles::{MemoryBuckets, MemoryMetrics, MemoryTable};
use local_ses::clock;
use local_ses::faults::Fault;
use local_ses::{Config, LocalSes};
use mailroom_audit::aws::iam::IamAccessKeyReader;
use mailroom_audit::aws::ses::SesV2Reader;
use mailroom_audit::aws::table::AuditTable;
use mailroom_audit::facts::{ApiAnswer, StackFacts};
use mailroom_audit::live;
use mailroom_audit::reader::{AuditPorts, AuditScope, Services};
use mailroom_audit::{AuditSection, AuditVerdict, SectionVerdict};
use mailroom_aws::clock::{Clock, Timer};
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::SesNotificationTopics;
use mailroom_aws::rule_sets::SesRuleSetApi;
use mailroom_core::timestamp::Timestamp;
use serde_json::json;
use time::macros::datetime;

const HERE: &str = "eu-west-1";
const PEER: &str = "us-west-2";
const SECOND: Duration = Duration::from_secs(1);
/// SES and IAM as the function asks them; only S3 is in memory.
struct Wired;

impl AuditPorts for Wired {
    type Ses = SesV2Reader;
    type Topics = SesNotificationTopics;
    type RuleSets = SesRuleSetApi;
    type AccessKeys = IamAccessKeyReader;
    type Buckets = MemoryBuckets;
}

/// SES's clock, which goes on when somebody waits.
#[derive(Clone)]
struct Turned(clock::Clock);

impl Clock for Turned {
    fn now(&self) -> Timestamp {
        let millis = self.0.now().unix_timestamp_nanos() / 1_000_000;
        Timestamp::from_millis(millis.try_into().unwrap()).unwrap()
    }
}

impl Timer for Turned {
    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
    }
}

async fn ses() -> (LocalSes, Turned) {
    let clock = clock::Clock::at(datetime!(2026-11-23 12:00 UTC));
    let config = Config { account: "123456789012".to_owned(), clock: clock.clone(), ..Config::default() };
    (LocalSes::start(config).await.unwrap(), Turned(clock))
}

fn services(ses: &LocalSes) -> Services<Wired> {
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(HERE))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(ses.endpoint())
        .build();
    Services {
        ses: SesV2Reader::new(&config),
        topics: SesNotificationTopics::new(&config),
        rule_sets: SesRuleSetApi::new(&config),
        keys: IamAccessKeyReader::new(&config),
        buckets: MemoryBuckets::default(),
    }
}

fn stack() -> StackFacts {
    StackFacts {
        region: HERE.to_owned(),
        account: Some("123456789012".to_owned()),
        receives: true,
        ..StackFacts::default()
    }
}

async fn at_once(ses: &LocalSes, clock: &Turned) -> BTreeMap<AuditSection, SectionVerdict> {
    let scope = AuditScope {
        stack: stack(),
        list: ApiAnswer::Answered(None),
        peer_progress: ApiAnswer::NotAsked,
        asks_iam: true,
        peers: vec![PEER.to_owned()],
    };
    let verdicts = live::audit_region(&services(ses), scope, clock, SECOND, None, |_| {}).await.unwrap();
    verdicts.into_iter().map(|verdict| (verdict.section, verdict)).collect()
}

#[tokio::test]
async fn five_hundred_identities_over_several_invocations_with_nothing_asked_twice() {
    let (ses, clock) = ses().await;
    for number in 0..500 {
        ses.verified(HERE, &format!("d{number}.example.com")).unwrap();
    }
    // Elsewhere, which is none of this Region's business.
    ses.verified("us-east-1", "elsewhere.example.com").unwrap();
    let table = MemoryTable::default();
    let function = AuditFunction {
        services: services(&ses),
        table: table.clone(),
        clock: clock.clone(),
        metrics: MemoryMetrics::default(),
        settings: Settings {
            // Without one there would be no stack here, and nothing asked to receive.
            stack: StackFacts {
                feedback_topic: Some(format!("arn:aws:sns:{HERE}:123456789012:t")),
                ..stack()
            },
            peers: vec![PEER.to_owned()],
            reads_iam: true,
            call_interval: SECOND,
        },
    };
    let begun = clock.now();
    let mut wakes = 0;
    let verdicts = loop {
        wakes += 1;
        // What the calls take in earnest comes off the invocation's time, so give a slow machine some.
        let deadline = Deadline::after(Duration::from_mins(4));
        match function.handle(AuditRequest::default(), "an invocation", deadline).await.unwrap() {
            AuditOutcome::Ended { verdicts } => break verdicts,
            AuditOutcome::Unfinished(progress) => {
                assert!(progress.identities_total.is_none_or(|of| of == 500));
            }
            other => panic!("{other:?}"),
        }
        clock.0.advance(Duration::from_mins(5));
    };
    assert!((3..=5).contains(&wakes), "{wakes}");
    // A call that came too soon would have been refused, and counted, and made again.
    let expected: BTreeMap<_, _> = [
        ("DescribeActiveReceiptRuleSet", 1),
        ("GetAccount", 1),
        ("GetEmailIdentity", 500),
        ("GetIdentityNotificationAttributes", 5),
        ("ListConfigurationSets", 1),
        ("ListEmailIdentities", 1),
    ]
    .map(|(action, times)| ((HERE.to_owned(), action.to_owned()), times))
    .into();
    let of_ses = |((_, action), _): &((String, String), u64)| action != "ListUsers";
    assert_eq!(ses.requests().into_iter().filter(of_ses).collect::<BTreeMap<_, _>>(), expected);
    assert!(clock.now().since(begun) >= Duration::from_secs(509));
    for (section, verdict) in [
        (AuditSection::Endpoints, AuditVerdict::Pass),
        (AuditSection::Verification, AuditVerdict::Pass),
        (AuditSection::Dkim, AuditVerdict::Pass),
        (AuditSection::Receiving, AuditVerdict::Fail),
    ] {
        assert_eq!(verdicts[&section], verdict, "{section:?}");
    }
    let written = table.verdicts(Deadline::after(Duration::ZERO)).await.unwrap();
    let verification = written.iter().find(|verdict| verdict.section == AuditSection::Verification).unwrap();
    assert!(verification.evidence.contains("500"), "{}", verification.evidence);
}

#[tokio::test]
async fn throttled_by_either_version_it_waits() {
    let (ses, clock) = ses().await;
    ses.verified(HERE, "example.com").unwrap();
    ses.fault(Fault::too_many_requests().on("GetEmailIdentity").times(3));
    ses.fault(Fault::throttling().on("GetIdentityNotificationAttributes").times(2));
    ses.fault(Fault::internal_failure().on("ListUsers").times(2));
    let verdicts = at_once(&ses, &clock).await;
    assert_eq!(verdicts[&AuditSection::Verification].verdict, AuditVerdict::Pass);
    assert_eq!(ses.request_count(HERE, "GetEmailIdentity"), 4);
    assert_eq!(ses.request_count(HERE, "GetIdentityNotificationAttributes"), 3);
    assert_ne!(verdicts[&AuditSection::Feedback].verdict, AuditVerdict::Unknown);
    assert_ne!(verdicts[&AuditSection::SmtpCredentials].verdict, AuditVerdict::Unknown);
}

#[tokio::test]
async fn what_is_denied_is_unknown_by_the_name_of_the_permission() {
    let (ses, clock) = ses().await;
    ses.verified(HERE, "example.com").unwrap();
    let v2 = "AccessDeniedException";
    for (code, action) in [
        (v2, "GetEmailIdentity"),
        (v2, "ListConfigurationSets"),
        ("AccessDenied", "DescribeActiveReceiptRuleSet"),
        ("AccessDenied", "ListUsers"),
    ] {
        ses.fault(Fault::refuse(403, code, "User: x is not authorized").on(action));
    }
    let verdicts = at_once(&ses, &clock).await;
    for (section, permission) in [
        (AuditSection::Verification, "ses:GetEmailIdentity"),
        (AuditSection::SuppressionList, "ses:ListConfigurationSets"),
        (AuditSection::Receiving, "ses:DescribeActiveReceiptRuleSet"),
        (AuditSection::SmtpCredentials, "iam:ListUsers"),
    ] {
        let told = format!("{:?}", verdicts[&section]);
        assert!(verdicts[&section].verdict == AuditVerdict::Unknown && told.contains(permission), "{told}");
        assert!(!told.contains("authorized"), "no text of AWS's: {told}");
    }
    assert_eq!(verdicts[&AuditSection::Endpoints].verdict, AuditVerdict::Pass);
}

#[tokio::test]
async fn a_region_that_is_not_enabled_or_does_not_answer_fails_at_its_endpoint() {
    let (ses, clock) = ses().await;
    ses.fault(
        Fault::refuse(403, "UnrecognizedClientException", "The security token is invalid.").in_region(HERE),
    );
    let verdicts = at_once(&ses, &clock).await;
    assert_eq!(verdicts[&AuditSection::Endpoints].verdict, AuditVerdict::Fail);
    assert_eq!(ses.request_count(HERE, "GetAccount"), 1);
    assert_eq!(ses.request_count(HERE, "ListEmailIdentities"), 0);

    ses.clear_faults();
    ses.fault(Fault::down().in_region(HERE));
    let verdicts = at_once(&ses, &clock).await;
    assert_eq!(verdicts[&AuditSection::Endpoints].verdict, AuditVerdict::Fail);
    assert_eq!(verdicts[&AuditSection::Verification].verdict, AuditVerdict::Unknown);
}

#[tokio::test]
async fn old_keys_that_may_send_are_found_whatever_their_policies_say_besides() {
    let (ses, clock) = ses().await;
    ses.verified(HERE, "example.com").unwrap();
    let (old, new) = (datetime!(2018-03-04 05:06:07 UTC), datetime!(2019-01-10 00:00 UTC));
    let allow = |action, resource: &str, condition: serde_json::Value| {
        let statement =
            json!({"Effect": "Allow", "Action": action, "Resource": resource, "Condition": condition});
        vec![json!({"Version": "2012-10-17", "Statement": [statement]})]
    };
    let everything = || allow("*", "*", json!({}));
    let here = format!("arn:aws:ses:{HERE}:123456789012:identity/example.com");
    let of_peer = format!("arn:aws:ses:{PEER}:123456789012:identity/example.com");
    let of_nobody = "arn:aws:ses:us-west-2:123456789012:identity/nobody.example.com";
    let mfa = json!({"Bool": {"aws:MultiFactorAuthPresent": "true"}});
    let from = json!({"StringEquals": {"ses:FromAddress": "a@example.com"}});
    let users = [
        ("of-everything", everything(), old, true),
        ("of-smtp", allow("ses:SendRawEmail", "*", json!({})), old, true),
        ("of-one-identity", allow("ses:*", &here, json!({})), old, true),
        ("of-one-at-a-peer", allow("ses:*", &of_peer, json!({})), old, true),
        ("of-one-that-sends", allow("ses:*", of_nobody, json!({})), old, true),
        ("of-one-that-is-nobodys", allow("ses:*", of_nobody, json!({})), old, false),
        ("of-one-sender", allow("ses:SendRawEmail", "*", from), old, true),
        ("with-a-second-factor", allow("ses:SendRawEmail", "*", mfa), old, false),
        ("of-storage", allow("s3:*", "*", json!({})), old, false),
        ("of-late", everything(), new, false),
    ];
    ses.iam(|iam| {
        for (number, (name, policies, created, _)) in users.iter().enumerate() {
            iam.add_user(name, *created, policies.clone());
            assert!(iam.add_key(name, &format!("AKIA{number}"), *created));
        }
        for used in ["AKIA1", "AKIA4"] {
            assert!(iam.use_key(used, datetime!(2026-11-01 00:00 UTC), "ses", "us-west-2"));
        }
    });
    let keys = &at_once(&ses, &clock).await[&AuditSection::SmtpCredentials];
    let told = format!("{keys:?}");
    for (number, (name, _, _, found)) in users.iter().enumerate() {
        assert_eq!(told.contains(&format!("AKIA{number}")), *found, "{name}: {told}");
    }
    assert!(told.contains("us-west-2"), "{told}");
}
