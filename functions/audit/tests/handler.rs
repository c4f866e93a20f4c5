//! The handler with its ports in memory: that it reads everything once, at SES's pace, whatever becomes of its invocations.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use audit::handler::{AuditError, AuditFunction, AuditOutcome, AuditRequest};
use audit::settings::Settings;
use doubles::{
    Fault, Fuse, MemoryBuckets, MemoryClock, MemoryIam, MemoryMetrics, MemoryRuleSets, MemoryServices,
    MemorySes, MemorySesReader, MemoryTable, MemoryTopics,
};
use mailroom_audit::aws::ApiError;
use mailroom_audit::aws::iam::IamUser;
use mailroom_audit::aws::table::AuditTable;
use mailroom_audit::facts::{
    AccessKey, AccessKeyLastUsed, ApiAnswer, BucketExistence, ConfigurationSet, DkimAttributes,
    EmailIdentity, EventDestination, EventDestinationTarget, StackFacts,
};
use mailroom_audit::live;
use mailroom_audit::reader::{AuditProgress, AuditScope, Services};
use mailroom_audit::{AuditSection, AuditVerdict, SectionVerdict};
use mailroom_aws::clock::Clock;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::NotificationAttributes;
use mailroom_aws::rule_sets::{SesReceiptAction, SesReceiptRule, SesRuleSet};
use mailroom_aws::table::notes::{PASS_NOTE, PassNote};
use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::timestamp::Timestamp;
use serde_json::json;

type Function = AuditFunction<MemoryServices, MemoryTable, MemoryClock, MemoryMetrics>;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/audit");
const WAKE: AuditRequest = AuditRequest { now: false };
const NOW: AuditRequest = AuditRequest { now: true };
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:m-feedback";
/// A Lambda's time, and then some until it is woken again.
const TIME: u64 = 240;
const A_WHILE: Duration = Duration::from_mins(5);
/// Of everything but identities: `GetAccount`, the active rule set, a page of configuration sets, two of the one, a page of
/// identities, and one of topics for each hundred.
const OTHERS: usize = 6;

/// A Region, and the function in it.
struct Region {
    clock: MemoryClock,
    ses: MemorySes,
    reader: MemorySesReader,
    topics: MemoryTopics,
    rule_sets: MemoryRuleSets,
    iam: MemoryIam,
    buckets: MemoryBuckets,
    table: MemoryTable,
    settings: Settings,
}

/// All is well there, with so many identities.
fn region(identities: usize) -> Region {
    let clock = MemoryClock::at(Timestamp::parse("2026-11-23T12:00:00Z").unwrap());
    let ses = MemorySes::new(&clock);
    let region = Region {
        reader: MemorySesReader::new(&ses),
        topics: MemoryTopics::new(&ses),
        rule_sets: MemoryRuleSets::new(&ses),
        iam: MemoryIam::default(),
        buckets: MemoryBuckets::default(),
        table: MemoryTable::default(),
        settings: Settings {
            stack: StackFacts {
                region: "us-east-1".to_owned(),
                account: Some("123456789012".to_owned()),
                feedback_topic: Some(TOPIC.to_owned()),
                configuration_set: Some("m".to_owned()),
                rule_set: Some("m-inbound".to_owned()),
                receives: true,
                reconcile_function: None,
            },
            peers: Vec::new(),
            reads_iam: true,
            call_interval: Duration::from_secs(1),
        },
        clock,
        ses,
    };
    for number in 0..identities {
        region.identity(&format!("d{number}.example.com"));
    }
    region.reader.add_configuration_set(ConfigurationSet {
        name: "m".to_owned(),
        suppressed_reasons: None,
        suppression_scope: None,
        sending_enabled: true,
        event_destinations: ApiAnswer::Answered(vec![EventDestination {
            name: "feedback".to_owned(),
            enabled: true,
            event_types: vec!["BOUNCE".to_owned(), "COMPLAINT".to_owned()],
            destination: EventDestinationTarget::Sns(TOPIC.to_owned()),
        }]),
    });
    let arns =
        BTreeMap::from([("FunctionArn", "arn:aws:lambda:us-east-1:123456789012:function:m".to_owned())]);
    let action =
        |kind, bucket: Option<&str>, arns| SesReceiptAction { kind, bucket: bucket.map(str::to_owned), arns };
    region.rule_sets.create(SesRuleSet {
        name: "m-inbound".to_owned(),
        rules: vec![SesReceiptRule {
            name: "inbound".to_owned(),
            enabled: true,
            scan_enabled: true,
            requires_tls: false,
            recipients: Vec::new(),
            actions: vec![
                action("S3Action", Some("mail"), BTreeMap::new()),
                action("LambdaAction", None, arns),
            ],
        }],
    });
    region.rule_sets.set_active(Some("m-inbound"));
    let mail = BucketExistence { name: "mail".to_owned(), exists: ApiAnswer::Answered(true) };
    region.buckets.set("mail", Ok(mail));
    region
}

impl Region {
    fn identity(&self, name: &str) {
        let identity = EmailIdentity {
            verified_for_sending: true,
            verification_status: Some("SUCCESS".to_owned()),
            verification_error: None,
            last_checked_at: None,
            last_success_at: None,
            dkim: Some(DkimAttributes {
                signing_enabled: true,
                status: Some("SUCCESS".to_owned()),
                tokens: vec!["a".to_owned(), "b".to_owned(), "c".to_owned()],
                signing_hosted_zone: Some("dkim.amazonses.com".to_owned()),
                signing_attributes_origin: Some("AWS_SES".to_owned()),
                current_signing_key_length: Some("RSA_2048_BIT".to_owned()),
                next_signing_key_length: Some("RSA_2048_BIT".to_owned()),
            }),
            mail_from: None,
            policies: BTreeMap::new(),
            configuration_set: Some("m".to_owned()),
            feedback_forwarding: false,
        };
        self.reader.add_identity(name, "DOMAIN", identity);
        let topic = || Some(TOPIC.to_owned());
        let attributes = NotificationAttributes {
            bounce_topic: topic(),
            complaint_topic: topic(),
            forwarding_enabled: false,
            ..NotificationAttributes::default()
        };
        self.topics.set(name, attributes);
    }

    fn services(&self, fuse: &Fuse) -> Services<MemoryServices> {
        let ses = self.ses.with_fuse(fuse);
        Services {
            ses: self.reader.through(&ses),
            topics: self.topics.through(&ses),
            rule_sets: self.rule_sets.through(&ses),
            keys: self.iam.with_fuse(fuse),
            buckets: self.buckets.clone(),
        }
    }

    fn function(&self, fuse: &Fuse) -> Function {
        AuditFunction {
            services: self.services(fuse),
            table: self.table.with_fuse(fuse),
            clock: self.clock.clone(),
            metrics: MemoryMetrics::default(),
            settings: self.settings.clone(),
        }
    }

    async fn wake(&self, wake: AuditRequest, seconds: u64) -> Result<AuditOutcome, AuditError> {
        self.function(&Fuse::default())
            .handle(wake, "an invocation", Deadline::after(Duration::from_secs(seconds)))
            .await
    }

    /// Wakes it every now and then until a pass has ended; how often it took.
    async fn pass(&self) -> (usize, BTreeMap<AuditSection, AuditVerdict>) {
        for wakes in 1..100 {
            let done = self.wake(WAKE, TIME).await.unwrap();
            self.clock.advance(A_WHILE);
            if let AuditOutcome::Ended { verdicts } = done {
                return (wakes, verdicts);
            }
        }
        panic!("a pass that never ends");
    }

    async fn verdict(&self, section: AuditSection) -> SectionVerdict {
        let verdicts = self.table.verdicts(Deadline::after(Duration::ZERO)).await.unwrap();
        verdicts.into_iter().find(|verdict| verdict.section == section).unwrap()
    }

    /// How often each call was made.
    fn counted(&self) -> BTreeMap<String, usize> {
        let mut counted = BTreeMap::new();
        for call in self.ses.calls() {
            *counted.entry(call).or_default() += 1;
        }
        counted
    }
}

/// Those that are no pass.
fn wrong(verdicts: &BTreeMap<AuditSection, AuditVerdict>) -> BTreeMap<&'static str, AuditVerdict> {
    let wrong = |verdict: &AuditVerdict| !matches!(verdict, AuditVerdict::Pass | AuditVerdict::NotApplicable);
    verdicts
        .iter()
        .filter(|(_, verdict)| wrong(verdict))
        .map(|(section, verdict)| (section.as_str(), *verdict))
        .collect()
}

#[tokio::test]
async fn a_small_account_takes_one_invocation_and_the_next_pass_a_day() {
    let region = region(2);
    let function = region.function(&Fuse::default());
    let deadline = || Deadline::after(Duration::from_secs(TIME));
    let AuditOutcome::Ended { verdicts } = function.handle(WAKE, "an invocation", deadline()).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(verdicts.len(), 10);
    assert_eq!(wrong(&verdicts), BTreeMap::new());
    assert_eq!(region.ses.calls().len(), OTHERS + 1 + 2);
    assert_eq!((function.metrics.get("PassesEnded"), function.metrics.get("PassesUnfinished")), (1, 0));
    let passed = verdicts.values().filter(|verdict| **verdict == AuditVerdict::Pass).count();
    assert_eq!((function.metrics.get("SectionsPassed"), function.metrics.get("SectionsFailed")), (passed, 0));
    let written = region.table.verdicts(Deadline::after(Duration::ZERO)).await.unwrap();
    assert_eq!(written.iter().map(|of| (of.section, of.verdict)).collect::<BTreeMap<_, _>>(), verdicts);

    assert_eq!(function.handle(WAKE, "an invocation", deadline()).await.unwrap(), AuditOutcome::NotDue);
    assert!(matches!(
        function.handle(NOW, "an invocation", deadline()).await.unwrap(),
        AuditOutcome::Ended { .. }
    ));
    assert_eq!(region.ses.calls().len(), 2 * (OTHERS + 1 + 2));
    region.clock.advance(Duration::from_hours(12));
    assert!(matches!(
        function.handle(WAKE, "an invocation", deadline()).await.unwrap(),
        AuditOutcome::Ended { .. }
    ));
}

#[tokio::test]
async fn its_answer_is_for_people_and_pipelines() {
    let region = region(1);
    let answer = serde_json::to_value(region.wake(WAKE, TIME).await.unwrap()).unwrap();
    assert_eq!((&answer["state"], &answer["verdicts"]["endpoints"]), (&json!("ended"), &json!("pass")));
    assert_eq!(
        serde_json::to_value(region.wake(WAKE, TIME).await.unwrap()).unwrap(),
        json!({"state": "not_due"})
    );
}

#[tokio::test]
async fn each_sample_event_wakes_it() {
    for (sample, begins) in [("schedule.json", false), ("now.json", true)] {
        let event = std::fs::read_to_string(format!("{SAMPLES}/{sample}")).unwrap();
        let wake: AuditRequest = serde_json::from_str(&event).unwrap();
        let region = region(1);
        region.pass().await;
        let begun = region.wake(wake, TIME).await.unwrap() != AuditOutcome::NotDue;
        assert_eq!(begun, begins, "{sample}");
    }
}

#[tokio::test]
async fn five_hundred_identities_take_several_invocations_and_nothing_is_read_twice() {
    let region = region(500);
    region.reader.set_page(200);
    let begun = region.clock.now();
    let (wakes, verdicts) = region.pass().await;
    assert_eq!(wrong(&verdicts), BTreeMap::new());
    assert!((3..=4).contains(&wakes), "{wakes}");
    // Whoever calls before a second has passed is throttled here, and calls again: there was no second call of anything.
    let mut counted = region.counted();
    // Of these the call does not say whom it was about.
    assert_eq!(counted.remove("GetIdentityNotificationAttributes 100"), Some(5));
    assert_eq!(counted.values().max(), Some(&1));
    assert_eq!(counted.keys().filter(|call| call.starts_with("GetEmailIdentity ")).count(), 500);
    // Three pages of identities.
    assert_eq!(counted.len(), OTHERS + 2 + 500);
    assert!(region.clock.now().since(begun) >= Duration::from_secs(513));
    let verification = region.verdict(AuditSection::Verification).await;
    assert!(verification.evidence.contains("500"), "{}", verification.evidence);
}

#[tokio::test]
async fn no_call_is_begun_that_could_not_be_kept() {
    let region = region(100);
    for (seconds, most) in [(5, 0), (10, 0), (20, 10), (60, 50)] {
        let (before, begun) = (region.ses.calls().len() + region.iam.calls().len(), region.clock.now());
        assert!(
            matches!(region.wake(WAKE, seconds).await.unwrap(), AuditOutcome::Unfinished(_)),
            "{seconds}"
        );
        let calls = region.ses.calls().len() + region.iam.calls().len() - before;
        assert!(calls <= most && calls + 2 >= most, "{calls} in {seconds} s");
        assert!(region.clock.now().since(begun) <= Duration::from_secs(seconds));
        region.clock.advance(A_WHILE);
    }
    assert_eq!(wrong(&region.pass().await.1), BTreeMap::new());
    assert_eq!(region.counted().values().max(), Some(&1));
}

#[tokio::test]
async fn of_two_instances_one_reads() {
    let region = region(5);
    let deadline = Deadline::after(Duration::from_secs(TIME));
    let (one, other) = (region.function(&Fuse::default()), region.function(&Fuse::default()));
    let (one, other) = tokio::join!(
        one.handle(NOW, "an invocation", deadline),
        other.handle(NOW, "an invocation", deadline)
    );
    let held = [&one, &other].into_iter().filter(|done| **done == Ok(AuditOutcome::Held)).count();
    let ended =
        [&one, &other].into_iter().filter(|done| matches!(done, Ok(AuditOutcome::Ended { .. }))).count();
    assert_eq!((held, ended), (1, 1));
    assert_eq!(region.counted().values().max(), Some(&1));
}

#[tokio::test]
async fn it_may_die_anywhere_and_loses_what_it_was_at() {
    let alive = region(3);
    let fuse = Fuse::default();
    let deadline = || Deadline::after(Duration::from_secs(TIME));
    alive.function(&fuse).handle(WAKE, "an invocation", deadline()).await.unwrap();
    let effects = fuse.spent();
    let expected = alive.table.verdicts(Deadline::after(Duration::ZERO)).await.unwrap();
    assert!(effects > 30, "{effects}");
    // The last effect releases the lease, when the pass has ended.
    for bears in 0..effects - 1 {
        let region = region(3);
        let fuse = Fuse::default();
        fuse.set(bears);
        let died = fuse.run(region.function(&fuse).handle(WAKE, "an invocation", deadline())).await;
        assert_eq!(died, None, "after {bears}");
        region.clock.advance(A_WHILE);
        // Whoever has died after the last verdict has yet to note that the pass has ended.
        let (wakes, _) = region.pass().await;
        assert_eq!(wakes, 1, "after {bears}");
        let verdicts = region.table.verdicts(Deadline::after(Duration::ZERO)).await.unwrap();
        let comparable = |verdicts: &[SectionVerdict]| {
            verdicts
                .iter()
                .map(|of| (of.section, of.verdict, of.evidence.clone(), of.findings.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(comparable(&verdicts), comparable(&expected), "after {bears}");
        let twice: Vec<_> = region.counted().into_iter().filter(|(_, times)| *times > 1).collect();
        assert!(twice.len() <= 1 && twice.iter().all(|(_, times)| *times == 2), "after {bears}: {twice:?}");
        let iam = region.iam.calls();
        assert!(iam.len() + twice.len() <= 2, "after {bears}: {iam:?}");
    }
}

#[tokio::test]
async fn what_is_denied_is_unknown_and_costs_nothing_else() {
    let region = region(20);
    region.iam.refuse(Some(ApiError::Denied));
    region.reader.refuse("GetEmailIdentity", Some(ApiError::Denied));
    region.buckets.set("mail", Err(ApiError::Refused("InvalidBucketName".to_owned())));
    let (wakes, verdicts) = region.pass().await;
    assert_eq!(wakes, 1);
    let unknown =
        ["verification", "dkim", "feedback", "smtp_credentials", "mail_from", "authorization", "receiving"];
    let wrong = wrong(&verdicts);
    assert!(
        wrong.iter().all(|(section, verdict)| unknown.contains(section) && *verdict == AuditVerdict::Unknown),
        "{wrong:?}"
    );
    assert_eq!(wrong.len(), unknown.len(), "{wrong:?}");
    let keys = region.verdict(AuditSection::SmtpCredentials).await;
    assert!(format!("{keys:?}").contains("iam:ListUsers"), "{keys:?}");
    let dkim = region.verdict(AuditSection::Dkim).await;
    assert!(format!("{dkim:?}").contains("ses:GetEmailIdentity"), "{dkim:?}");
    let asked = region.counted().keys().filter(|call| call.starts_with("GetEmailIdentity ")).count();
    assert_eq!(asked, 3, "the others would be denied, too");
}

#[tokio::test]
async fn what_is_not_answered_is_asked_for_again_and_the_rest_is_not() {
    let region = region(4);
    region.reader.refuse("ListConfigurationSets", Some(ApiError::Unavailable("InternalFailure".to_owned())));
    let AuditOutcome::Unanswered { calls } = region.wake(WAKE, TIME).await.unwrap() else { panic!() };
    assert_eq!(calls, 1);
    assert_eq!(region.counted()["ListConfigurationSets"], 6);
    let others: Vec<_> =
        region.counted().into_iter().filter(|(call, _)| call != "ListConfigurationSets").collect();
    assert!(others.iter().all(|(_, times)| *times == 1), "{others:?}");
    region.clock.advance(A_WHILE);
    region.reader.refuse("ListConfigurationSets", None);
    let (wakes, verdicts) = region.pass().await;
    assert_eq!((wakes, wrong(&verdicts)), (1, BTreeMap::new()));
    let identities = region.counted().into_iter().filter(|(call, _)| call.starts_with("GetEmailIdentity "));
    assert!(identities.into_iter().all(|(_, times)| times == 1));
}

#[tokio::test]
async fn what_is_never_answered_is_unknown_in_the_end() {
    let region = region(4);
    region.iam.refuse(Some(ApiError::Unavailable("ServiceFailure".to_owned())));
    let (wakes, verdicts) = region.pass().await;
    assert_eq!(wakes, 6);
    assert_eq!(wrong(&verdicts), BTreeMap::from([("smtp_credentials", AuditVerdict::Unknown)]));
    assert!(format!("{:?}", region.verdict(AuditSection::SmtpCredentials).await).contains("ServiceFailure"));
    assert_eq!(region.counted().values().max(), Some(&1));
}

#[tokio::test]
async fn a_service_that_fails_is_left_alone_till_the_next_wake() {
    let region = region(500);
    for action in ["GetAccount", "ListConfigurationSets", "ListEmailIdentities"] {
        region.reader.refuse(action, Some(ApiError::Unavailable("InternalFailure".to_owned())));
    }
    region.ses.fault([Fault::Unavailable; 1000]);
    let AuditOutcome::Unanswered { .. } = region.wake(WAKE, TIME).await.unwrap() else { panic!() };
    assert_eq!(region.ses.calls().len(), 3 * 6, "three calls, six times each");
    assert!(!region.iam.calls().is_empty(), "IAM is another matter");
}

#[tokio::test]
async fn a_throttled_call_is_made_again_after_a_pause() {
    let region = region(3);
    region.ses.fault([Fault::None, Fault::Throttled, Fault::Throttled, Fault::None, Fault::Throttled]);
    let begun = region.clock.now();
    let (wakes, verdicts) = region.pass().await;
    assert_eq!((wakes, wrong(&verdicts)), (1, BTreeMap::new()));
    assert_eq!(region.ses.calls().len(), OTHERS + 1 + 3 + 3);
    // A second before each, but two, four, and two seconds after those that were throttled; IAM is asked, too.
    let waited = Duration::from_secs(OTHERS as u64 + 1 + 3 + 3 + (1 + 3 + 1));
    assert!(region.clock.now().since(begun) >= A_WHILE + waited);
}

#[tokio::test]
async fn a_pace_that_is_too_fast_for_ses_comes_to_its_end_nevertheless() {
    let mut region = region(20);
    region.settings.call_interval = Duration::from_millis(20);
    let (wakes, verdicts) = region.pass().await;
    assert_eq!((wakes, wrong(&verdicts)), (1, BTreeMap::new()));
    assert!(region.counted().values().all(|times| *times <= 2), "{:?}", region.counted());
}

#[tokio::test]
async fn a_region_that_is_not_enabled_is_asked_once() {
    let region = region(500);
    region.reader.refuse("GetAccount", Some(ApiError::NotEnabled("UnrecognizedClientException".to_owned())));
    let (wakes, verdicts) = region.pass().await;
    assert_eq!((wakes, region.ses.calls()), (1, vec!["GetAccount".to_owned()]));
    assert_eq!(verdicts[&AuditSection::Endpoints], AuditVerdict::Fail);
    assert_eq!(verdicts[&AuditSection::Dkim], AuditVerdict::Unknown);
}

#[tokio::test]
async fn an_identity_that_has_gone_since_is_left_out() {
    let region = region(20);
    // In alphabetical order it is among the last, and the first invocation does not come so far.
    let AuditOutcome::Unfinished(progress) = region.wake(WAKE, 25).await.unwrap() else { panic!() };
    assert_eq!(progress.identities_total, Some(20));
    region.reader.remove_identity("d9.example.com");
    region.clock.advance(A_WHILE);
    assert_eq!(wrong(&region.pass().await.1), BTreeMap::new());
    let verification = region.verdict(AuditSection::Verification).await;
    assert!(verification.evidence.contains("19"), "{}", verification.evidence);
}

#[tokio::test]
async fn a_pass_that_was_left_lying_is_begun_anew() {
    let region = region(20);
    region.wake(WAKE, 25).await.unwrap();
    region.clock.advance(Duration::from_hours(25));
    let function = region.function(&Fuse::default());
    let done =
        function.handle(WAKE, "an invocation", Deadline::after(Duration::from_secs(TIME))).await.unwrap();
    assert!(matches!(done, AuditOutcome::Ended { .. }));
    assert_eq!(function.metrics.get("PassesGivenUp"), 1);
    assert_eq!(region.counted()["GetAccount"], 2);
}

fn user(name: &str, created_at: &str) -> IamUser {
    IamUser {
        name: name.to_owned(),
        arn: format!("arn:aws:iam::123456789012:user/smtp/{name}"),
        created_at: Timestamp::parse(created_at).unwrap(),
    }
}

fn key(user: &str, id: &str, status: &str, created_at: &str) -> AccessKey {
    let last_used = AccessKeyLastUsed {
        at: Timestamp::parse("2026-11-01T00:00:00Z").unwrap(),
        service: "s3".to_owned(),
        region: "eu-west-1".to_owned(),
    };
    AccessKey {
        user: user.to_owned(),
        id: id.to_owned(),
        status: status.to_owned(),
        created_at: Timestamp::parse(created_at).unwrap(),
        may_send: ApiAnswer::NotAsked,
        last_used: ApiAnswer::Answered(Some(last_used)),
    }
}

#[tokio::test]
async fn keys_of_before_signature_version_4_that_may_send_are_found_with_few_questions() {
    const OLD: &str = "2018-05-01T00:00:00Z";
    const NEW: &str = "2019-01-10T00:00:00Z";
    let region = region(2);
    region.iam.add(user("a-new", NEW), vec![key("a-new", "AKIANEW", "Active", NEW)]);
    region.iam.add(user("b-none", OLD), vec![]);
    region.iam.add(user("c-off", OLD), vec![key("c-off", "AKIAOFF", "Inactive", OLD)]);
    region.iam.add(user("d-rotated", OLD), vec![key("d-rotated", "AKIAROT", "Active", NEW)]);
    region.iam.add(user("e-other", OLD), vec![key("e-other", "AKIAOTHER", "Active", OLD)]);
    region.iam.add(
        user("f-one", OLD),
        vec![key("f-one", "AKIAONE", "Active", OLD), key("f-one", "AKIATWO", "Active", OLD)],
    );
    region.iam.add(user("g-all", OLD), vec![key("g-all", "AKIAALL", "Active", OLD)]);
    region.iam.let_send(&user("g-all", OLD).arn, &[]);
    let mut used = key("h-used", "AKIAUSED", "Active", OLD);
    if let ApiAnswer::Answered(Some(last)) = &mut used.last_used {
        "ses".clone_into(&mut last.service);
    }
    region.iam.add(user("h-used", OLD), vec![used]);
    region
        .iam
        .let_send(&user("f-one", OLD).arn, &["arn:aws:ses:us-east-1:123456789012:identity/d1.example.com"]);
    assert_eq!(wrong(&region.pass().await.1), BTreeMap::from([("smtp_credentials", AuditVerdict::Fail)]));
    let keys = region.verdict(AuditSection::SmtpCredentials).await;
    let told = format!("{keys:?}");
    for (id, found) in [
        ("AKIANEW", false),
        ("AKIAOFF", false),
        ("AKIAROT", false),
        ("AKIAOTHER", false),
        ("AKIAONE", true),
        ("AKIATWO", true),
        ("AKIAALL", true),
        ("AKIAUSED", true),
    ] {
        assert_eq!(told.contains(id), found, "{id}");
    }
    let calls = region.iam.calls();
    let of = |method: &str| calls.iter().filter(|call| call.starts_with(method)).count();
    assert_eq!((of("users"), of("keys"), of("last_used")), (4, 7, 5));
    // Of each user who has an old key, unless SES has seen it, whether from anywhere; if not, whether from one of the identities.
    assert_eq!(of("may_send"), 3 + 2);
}

#[tokio::test]
async fn a_key_that_may_send_from_a_peers_identity_alone_is_found() {
    const OLD: &str = "2018-05-01T00:00:00Z";
    let mut region = region(2);
    region.settings.peers = vec!["us-west-2".to_owned()];
    region.iam.add(user("one", OLD), vec![key("one", "AKIAONE", "Active", OLD)]);
    let identity = "arn:aws:ses:us-west-2:123456789012:identity/d1.example.com";
    region.iam.let_send(&user("one", OLD).arn, &[identity]);
    assert_eq!(wrong(&region.pass().await.1), BTreeMap::from([("smtp_credentials", AuditVerdict::Warn)]));
}

#[tokio::test]
async fn iam_is_asked_in_one_region() {
    let mut region = region(1);
    region.settings.reads_iam = false;
    let (_, verdicts) = region.pass().await;
    assert_eq!(verdicts[&AuditSection::SmtpCredentials], AuditVerdict::NotApplicable);
    assert_eq!(region.iam.calls(), [""; 0]);
}

#[tokio::test]
async fn a_region_that_is_not_to_receive_is_not_asked_what_it_receives_by() {
    let mut region = region(1);
    region.settings.stack.receives = false;
    let (_, verdicts) = region.pass().await;
    assert_eq!(verdicts[&AuditSection::Receiving], AuditVerdict::NotApplicable);
    assert!(!region.counted().contains_key("DescribeActiveReceiptRuleSet"));
}

#[tokio::test]
async fn what_reconcile_found_is_in_its_note() {
    let mut region = region(1);
    region.settings.stack.reconcile_function = Some("m-reconcile".to_owned());
    let passed = ListPass {
        started_at: region.clock.now(),
        ended_at: Some(region.clock.now()),
        entries: 4711,
        agree: Some(4711),
        differ: Some(0),
        mended: Some(0),
        gone: Some(0),
        alarmed: false,
    };
    // A pass in progress is none of the audit's business.
    let note = PassNote { open_pass: Some(json!({"step": "List"})), last_pass: Some(passed) };
    region.table.write_note(PASS_NOTE, &note);
    region.pass().await;
    let list = region.verdict(AuditSection::SuppressionList).await;
    assert!(list.evidence.contains("4711"), "{}", list.evidence);
}

#[tokio::test]
async fn how_far_peers_have_been_told_is_in_their_notes() {
    let mut region = region(1);
    region.settings.stack.reconcile_function = Some("m-reconcile".to_owned());
    region.settings.peers = ["ca-central-1", "eu-west-1", "us-west-2"].map(str::to_owned).to_vec();
    let until = |hours| region.clock.now().minus(Duration::from_hours(hours));
    for (peer, until) in [("ca-central-1", until(1)), ("eu-west-1", until(49))] {
        // As reconcile keeps it, whose walk is none of the audit's business.
        let note = json!({"until": until, "everything_at": until, "walk": {"shard": 3}});
        region.table.write_note(&format!("peer-{peer}"), &note);
    }
    region.pass().await;
    let list = region.verdict(AuditSection::SuppressionList).await;
    let warned: Vec<_> = list.findings.iter().filter(|of| of.verdict == AuditVerdict::Warn).collect();
    assert_eq!(warned.iter().map(|of| of.subject.as_str()).collect::<Vec<_>>(), ["eu-west-1", "us-west-2"]);
    assert!(list.evidence.ends_with("1 of 3 peers have been told"), "{}", list.evidence);
}

#[tokio::test]
async fn a_listing_whose_token_has_expired_is_begun_again() {
    let region = region(30);
    region.reader.set_page(3);
    // As far as some page of identities, whose token is for the next invocation.
    for seconds in 11.. {
        let done = region.wake(WAKE, seconds).await.unwrap();
        assert!(matches!(done, AuditOutcome::Unfinished(_)), "{seconds}");
        if region.counted().contains_key("ListEmailIdentities") {
            break;
        }
    }
    let pages = || region.counted().keys().filter(|call| call.starts_with("ListEmailIdentities")).count();
    assert!((1..10).contains(&pages()), "{}", pages());
    region.reader.expire_tokens();
    region.clock.advance(A_WHILE);
    let (wakes, verdicts) = region.pass().await;
    assert_eq!((wakes, wrong(&verdicts)), (1, BTreeMap::new()));
    assert_eq!(region.counted()["ListEmailIdentities"], 2);
    let verification = region.verdict(AuditSection::Verification).await;
    assert!(verification.evidence.contains("30 of 30"), "{}", verification.evidence);
}

#[tokio::test]
async fn a_region_that_throttles_has_answered() {
    let region = region(1);
    region.reader.refuse("GetAccount", Some(ApiError::Throttled));
    let (wakes, verdicts) = region.pass().await;
    assert_eq!(wakes, 6);
    assert_eq!(
        (verdicts[&AuditSection::Endpoints], verdicts[&AuditSection::Sandbox]),
        (AuditVerdict::Pass, AuditVerdict::Unknown)
    );
}

#[tokio::test]
async fn in_one_go_with_somebody_looking_on() {
    let region = region(30);
    let scope = AuditScope {
        stack: region.settings.stack.clone(),
        list: ApiAnswer::NotAsked,
        peer_progress: ApiAnswer::NotAsked,
        asks_iam: true,
        peers: Vec::new(),
    };
    let ports = region.services(&Fuse::default());
    let told = RefCell::new(Vec::new());
    let pace = Duration::from_secs(1);
    let run = live::audit_region(&ports, scope.clone(), &region.clock, pace, None, |progress| {
        told.borrow_mut().push(progress);
    });
    let verdicts = run.await.unwrap();
    assert_eq!(verdicts.len(), 10);
    let told = told.into_inner();
    let progress = |read| AuditProgress { identities_read: read, identities_total: Some(30) };
    assert_eq!((told[0], told[30], told.len()), (progress(0), progress(30), 31));
    assert_eq!((region.counted().values().max(), region.table.audit_items_written()), (Some(&1), 0));

    let ends_at = Some(region.clock.now().plus(Duration::from_secs(25)));
    let up = live::audit_region(&ports, scope, &region.clock, pace, ends_at, |_| {}).await.unwrap_err();
    assert!(
        up.0.identities_read > 0 && up.0.identities_read < 30 && up.0.identities_total == Some(30),
        "{up}"
    );
}
