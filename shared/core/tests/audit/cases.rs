//! Each section with each verdict.

use mailroom_core::audit::facts::{
    Account, Asked, ConfigurationSet, Destination, Dkim, EventDestination, Facts, Identity, ListPass,
    Notifications, PeerTold, Review, SendQuota, Stack,
};
use mailroom_core::audit::{self, Section, SectionVerdict, Verdict};

use crate::healthy::{access_key, configuration_set, facts, identity, now, policy, verdict};

type Change = fn(&mut Facts);

/// What is changed of a healthy Region, and what is then said: verdict, evidence (a part of it), fixes (the start of each).
struct Case(&'static str, Change, Verdict, &'static str, &'static [&'static str]);

fn hold(section: Section, cases: &[Case]) {
    for Case(what, change, expected, evidence, fixes) in cases {
        let mut facts = facts();
        change(&mut facts);
        let told = verdict(&facts, section);
        assert_eq!(told.verdict, *expected, "{what}: {told:#?}");
        let worst = told.findings.first();
        let said = worst.map_or(told.evidence.as_str(), |finding| finding.evidence.as_str());
        assert!(said.contains(evidence), "{what}: {said}");
        let shown: Vec<_> =
            worst.iter().flat_map(|finding| &finding.fixes).map(ToString::to_string).collect();
        assert_eq!(shown.len(), fixes.len(), "{what}: {shown:#?}");
        for (shown, expected) in shown.iter().zip(*fixes) {
            assert!(shown.starts_with(expected), "{what}: {shown}");
        }
        for finding in &told.findings {
            assert!(!finding.evidence.is_empty() && !finding.todo.is_empty(), "{what}");
        }
    }
}

fn account(facts: &mut Facts) -> &mut Account {
    match &mut facts.account {
        Asked::Answered(account) => account,
        other => panic!("{other:?}"),
    }
}

fn first(facts: &mut Facts) -> &mut Identity {
    match &mut facts.identities {
        Asked::Answered(all) => match &mut all[0].identity {
            Asked::Answered(identity) => identity,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn second(facts: &mut Facts) -> &mut Identity {
    match &mut facts.identities {
        Asked::Answered(all) => match &mut all[1].identity {
            Asked::Answered(identity) => identity,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn dkim(facts: &mut Facts) -> &mut Dkim {
    first(facts).dkim.as_mut().unwrap()
}

fn topics(facts: &mut Facts) -> &mut Notifications {
    match &mut facts.identities {
        Asked::Answered(all) => match &mut all[0].notifications {
            Asked::Answered(notifications) => notifications,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn set(facts: &mut Facts) -> &mut ConfigurationSet {
    match &mut facts.configuration_sets {
        Asked::Answered(sets) => match &mut sets[0] {
            Asked::Answered(set) => set,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn add_set(facts: &mut Facts, set: ConfigurationSet) {
    match &mut facts.configuration_sets {
        Asked::Answered(sets) => sets.push(Asked::Answered(set)),
        other => panic!("{other:?}"),
    }
}

fn pass(facts: &mut Facts) -> &mut ListPass {
    match &mut facts.list {
        Asked::Answered(Some(pass)) => pass,
        other => panic!("{other:?}"),
    }
}

fn denied<T>(action: &str) -> Asked<T> {
    Asked::Denied(action.to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "short for what most fields of an answer are")]
fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn rule(facts: &mut Facts) -> &mut mailroom_core::audit::facts::ReceiptRule {
    match &mut facts.rule_set {
        Asked::Answered(Some(set)) => &mut set.rules[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn at_a_healthy_region_nothing_is_found() {
    for told in audit::audit(&facts(), now()) {
        assert_eq!((told.verdict, &told.findings), (Verdict::Pass, &vec![]), "{:?}", told.section);
        assert!(!told.evidence.is_empty(), "{:?}", told.section);
    }
}

#[test]
fn where_nothing_is_nothing_is_wrong() {
    let mut facts = facts();
    facts.identities = Asked::Answered(vec![]);
    facts.access_keys = Asked::Answered(vec![]);
    facts.stack.receives = false;
    facts.stack.configuration_set = None;
    let verdicts: Vec<_> = audit::audit(&facts, now()).iter().map(|told| told.verdict).collect();
    let (pass, none) = (Verdict::Pass, Verdict::NotApplicable);
    assert_eq!(verdicts, [pass, pass, none, none, pass, none, pass, none, none, none]);
}

#[test]
fn an_audit_with_nothing_answered_knows_nothing() {
    let mut facts = Facts {
        stack: facts().stack,
        account: denied("ses:GetAccount"),
        identities: denied("ses:ListEmailIdentities"),
        configuration_sets: denied("ses:ListConfigurationSets"),
        list: Asked::NotAsked,
        peers: denied("dynamodb:GetItem"),
        access_keys: denied("iam:ListUsers"),
        rule_set: denied("ses:DescribeActiveReceiptRuleSet"),
        buckets: vec![],
    };
    for told in audit::audit(&facts, now()) {
        if told.section == Section::Endpoints {
            assert_eq!(told.verdict, Verdict::Pass, "a denial is an answer");
            continue;
        }
        assert_eq!(told.verdict, Verdict::Unknown, "{told:?}");
        let missing =
            told.findings.iter().any(|finding| finding.todo.contains("Allow ") && finding.todo.contains(':'));
        assert!(missing, "{told:?}");
    }
    facts.account = Asked::NotAsked;
    assert_eq!(verdict(&facts, Section::Endpoints).verdict, Verdict::Unknown);
}

#[test]
fn endpoints() {
    hold(
        Section::Endpoints,
        &[
            Case(
                "denied",
                |f| f.account = denied("ses:GetAccount"),
                Verdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "throttled",
                |f| f.account = Asked::Throttled("ses:GetAccount".to_owned()),
                Verdict::Pass,
                "email.eu-west-1.amazonaws.com answers",
                &[],
            ),
            Case(
                "not enabled",
                |f| f.account = Asked::NotEnabled("UnrecognizedClientException".to_owned()),
                Verdict::Fail,
                "SES answers UnrecognizedClientException",
                &["aws account enable-region --region-name eu-west-1 --region us-east-1"],
            ),
            Case(
                "no answer",
                |f| {
                    f.account =
                        Asked::Failed { action: "ses:GetAccount".to_owned(), why: "timed out".to_owned() }
                },
                Verdict::Fail,
                "ses:GetAccount: timed out",
                &[],
            ),
            Case(
                "no such Region",
                |f| f.stack.region = "mars-north-1".to_owned(),
                Verdict::Warn,
                "no such Region",
                &[],
            ),
        ],
    );
}

#[test]
fn sandbox() {
    const ACCESS: &str = "aws sesv2 put-account-details --production-access-enabled --mail-type TRANSACTIONAL --website-url \"${WEBSITE_URL:?";
    fn review(facts: &mut Facts, status: &str) {
        account(facts).production_access_enabled = false;
        account(facts).review = Some(Review { status: some(status), case_id: some("case-1") });
    }
    fn quota(facts: &mut Facts, most: f64, sent: f64) {
        account(facts).send_quota =
            Some(SendQuota { max_24_hour_send: most, max_send_rate: 1.0, sent_last_24_hours: sent });
    }
    const RAISE: &str = "aws service-quotas request-service-quota-increase --service-code ses --quota-code L-804C8AE8 --desired-value";
    hold(
        Section::Sandbox,
        &[
            Case(
                "sandbox",
                |f| account(f).production_access_enabled = false,
                Verdict::Fail,
                "sandbox",
                &[ACCESS],
            ),
            Case("asked", |f| review(f, "PENDING"), Verdict::Fail, "AWS reviews a request", &[]),
            Case("refused", |f| review(f, "DENIED"), Verdict::Fail, "AWS has denied", &[]),
            Case("lost", |f| review(f, "FAILED"), Verdict::Fail, "sandbox", &[ACCESS]),
            Case(
                "paused",
                |f| account(f).sending_enabled = false,
                Verdict::Fail,
                "sending is paused",
                &["aws sesv2 put-account-sending-attributes --sending-enabled --region eu-west-1"],
            ),
            Case(
                "probation",
                |f| account(f).enforcement_status = some("PROBATION"),
                Verdict::Warn,
                "PROBATION",
                &[],
            ),
            Case(
                "shut down",
                |f| account(f).enforcement_status = some("SHUTDOWN"),
                Verdict::Fail,
                "SHUTDOWN",
                &[],
            ),
            Case(
                "new word",
                |f| account(f).enforcement_status = some("GROUNDED"),
                Verdict::Unknown,
                "GROUNDED",
                &[],
            ),
            Case(
                "not told",
                |f| account(f).enforcement_status = None,
                Verdict::Pass,
                "production access",
                &[],
            ),
            Case("79 %", |f| quota(f, 1000.0, 790.0), Verdict::Pass, "790 of 1000", &[]),
            Case("80 %", |f| quota(f, 1000.0, 800.0), Verdict::Warn, "800 of 1000", &[RAISE]),
            Case("100 %", |f| quota(f, 1000.0, 1000.0), Verdict::Fail, "1000 of 1000", &[RAISE]),
            Case("nothing allowed", |f| quota(f, 0.0, 0.0), Verdict::Fail, "0 of 0", &[RAISE]),
            Case("unlimited", |f| quota(f, -1.0, 9e9), Verdict::Pass, "any number", &[]),
            Case(
                "a configuration set is paused",
                |f| set(f).sending_enabled = false,
                Verdict::Warn,
                "sending is paused for mail with this configuration set",
                &[
                    "aws sesv2 put-configuration-set-sending-options --configuration-set-name mailroom --sending-enabled --region eu-west-1",
                ],
            ),
            Case(
                "configuration sets denied",
                |f| f.configuration_sets = denied("ses:ListConfigurationSets"),
                Verdict::Unknown,
                "ses:ListConfigurationSets",
                &[],
            ),
        ],
    );
}

#[test]
fn verification() {
    fn status(facts: &mut Facts, status: &str, sends: bool) {
        first(facts).verification_status = some(status);
        first(facts).verified_for_sending = sends;
    }
    const MENDED: [&str; 4] = [
        "aaa._domainkey.example.com. IN CNAME aaa.dkim.amazonses.com.",
        "bbb._domainkey.example.com. IN CNAME",
        "ccc._domainkey.example.com. IN CNAME",
        "aws ses verify-domain-dkim --domain example.com --region eu-west-1",
    ];
    hold(
        Section::Verification,
        &[
            Case(
                "pending",
                |f| status(f, "PENDING", false),
                Verdict::Fail,
                "verification status PENDING",
                &MENDED,
            ),
            Case(
                "failed",
                |f| status(f, "FAILED", true),
                Verdict::Fail,
                "verification status FAILED",
                &MENDED,
            ),
            Case(
                "not started",
                |f| status(f, "NOT_STARTED", false),
                Verdict::Fail,
                "not verified for sending",
                &MENDED,
            ),
            Case(
                "for now",
                |f| status(f, "TEMPORARY_FAILURE", true),
                Verdict::Warn,
                "TEMPORARY_FAILURE",
                &MENDED,
            ),
            Case(
                "for now, not",
                |f| status(f, "TEMPORARY_FAILURE", false),
                Verdict::Fail,
                "TEMPORARY_FAILURE",
                &MENDED,
            ),
            Case("new word", |f| status(f, "MUSING", true), Verdict::Unknown, "MUSING", &MENDED),
            Case(
                "not for sending",
                |f| status(f, "SUCCESS", false),
                Verdict::Fail,
                "not verified for sending",
                &MENDED,
            ),
            Case(
                "why and when",
                |f| {
                    status(f, "FAILED", false);
                    first(f).verification_error = some("HOST_NOT_FOUND");
                },
                Verdict::Fail,
                "error HOST_NOT_FOUND, last checked 2026-11-23T06:00:00.000Z, last verified 2026-11-22T06:00:00.000Z",
                &MENDED,
            ),
            Case(
                "a replica without its parent",
                |f| {
                    status(f, "FAILED", false);
                    first(f).verification_error = some("REPLICATION_PRIMARY_NOT_FOUND");
                },
                Verdict::Fail,
                "REPLICATION_PRIMARY_NOT_FOUND",
                &[],
            ),
            Case(
                "an address",
                |f| {
                    second(f).verification_status = some("PENDING");
                    second(f).verified_for_sending = false;
                },
                Verdict::Fail,
                "PENDING",
                &["aws ses verify-email-identity --email-address ops@example.com --region eu-west-1"],
            ),
        ],
    );
}

#[test]
fn easy_dkim() {
    const CNAMES: [&str; 3] =
        ["aaa._domainkey.example.com.", "bbb._domainkey.example.com.", "ccc._domainkey.example.com."];
    const AGAIN: [&str; 4] = [
        CNAMES[0],
        CNAMES[1],
        CNAMES[2],
        "aws ses verify-domain-dkim --domain example.com --region eu-west-1",
    ];
    hold(
        Section::Dkim,
        &[
            Case(
                "off",
                |f| dkim(f).signing_enabled = false,
                Verdict::Fail,
                "signing is off",
                &[
                    "aws sesv2 put-email-identity-dkim-attributes --email-identity example.com --signing-enabled --region eu-west-1",
                ],
            ),
            Case(
                "pending",
                |f| dkim(f).status = some("PENDING"),
                Verdict::Fail,
                "PENDING, origin AWS_SES",
                &CNAMES,
            ),
            Case("failed", |f| dkim(f).status = some("FAILED"), Verdict::Fail, "FAILED", &AGAIN),
            Case(
                "for now",
                |f| dkim(f).status = some("TEMPORARY_FAILURE"),
                Verdict::Warn,
                "TEMPORARY_FAILURE",
                &CNAMES,
            ),
            Case("new word", |f| dkim(f).status = some("MUSING"), Verdict::Unknown, "MUSING", &AGAIN),
            Case(
                "a replica",
                |f| {
                    dkim(f).status = some("FAILED");
                    dkim(f).signing_attributes_origin = some("AWS_SES_US_EAST_1");
                },
                Verdict::Fail,
                "origin AWS_SES_US_EAST_1",
                &[
                    CNAMES[0],
                    CNAMES[1],
                    CNAMES[2],
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES_US_EAST_1 --region eu-west-1",
                ],
            ),
            Case(
                "a key of one's own",
                |f| {
                    dkim(f).status = some("FAILED");
                    dkim(f).signing_attributes_origin = some("EXTERNAL");
                },
                Verdict::Fail,
                "origin EXTERNAL",
                &[],
            ),
            Case(
                "a short key",
                |f| {
                    dkim(f).current_signing_key_length = some("RSA_1024_BIT");
                    dkim(f).next_signing_key_length = some("RSA_1024_BIT");
                },
                Verdict::Warn,
                "1024 bits",
                &[
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES --signing-attributes NextSigningKeyLength=RSA_2048_BIT --region eu-west-1",
                ],
            ),
            Case(
                "a replica's short key",
                |f| {
                    dkim(f).current_signing_key_length = some("RSA_1024_BIT");
                    dkim(f).next_signing_key_length = None;
                    dkim(f).signing_attributes_origin = some("AWS_SES_US_EAST_1");
                },
                Verdict::Warn,
                "1024 bits",
                &[
                    "aws sesv2 put-email-identity-dkim-signing-attributes --email-identity example.com --signing-attributes-origin AWS_SES --signing-attributes NextSigningKeyLength=RSA_2048_BIT --region us-east-1",
                ],
            ),
            Case(
                "a longer one comes",
                |f| dkim(f).current_signing_key_length = some("RSA_1024_BIT"),
                Verdict::Warn,
                "1024 bits",
                &[],
            ),
            Case(
                "a new length",
                |f| dkim(f).current_signing_key_length = some("ED25519"),
                Verdict::Unknown,
                "ED25519",
                &[],
            ),
            Case(
                "a key of one's own has none",
                |f| dkim(f).current_signing_key_length = None,
                Verdict::Pass,
                "signed for",
                &[],
            ),
            Case(
                "a replica, and no zone told",
                |f| {
                    dkim(f).status = some("PENDING");
                    dkim(f).signing_hosted_zone = None;
                    dkim(f).signing_attributes_origin = some("AWS_SES_EU_SOUTH_1");
                },
                Verdict::Fail,
                "PENDING",
                &[
                    "aaa._domainkey.example.com. IN CNAME aaa.dkim.eu-south-1.amazonses.com.",
                    CNAMES[1],
                    CNAMES[2],
                ],
            ),
            Case(
                "nothing told",
                |f| first(f).dkim = None,
                Verdict::Fail,
                "DKIM status not told",
                &["aws ses verify-domain-dkim"],
            ),
            Case(
                "an address is signed for by its domain",
                |f| second(f).dkim = None,
                Verdict::Pass,
                "1 by Easy DKIM of this Region",
                &[],
            ),
            Case(
                "an address without its domain",
                |f| {
                    second(f).dkim = None;
                    if let Asked::Answered(all) = &mut f.identities {
                        all.remove(0);
                    }
                },
                Verdict::Warn,
                "is not signed",
                &["aws sesv2 create-email-identity --email-identity example.com --region eu-west-1"],
            ),
        ],
    );
}

#[test]
fn suppression_list() {
    const BOTH: &str = "aws sesv2 put-account-suppression-attributes --suppressed-reasons BOUNCE COMPLAINT --region eu-west-1";
    fn other(facts: &mut Facts, reasons: &[&str]) {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        add_set(
            facts,
            ConfigurationSet { suppressed_reasons: Some(reasons), ..configuration_set("bulk's", "x") },
        );
    }
    fn scoped(facts: &mut Facts, reasons: Option<&[&str]>, scope: &str) {
        let set = ConfigurationSet {
            suppressed_reasons: reasons
                .map(|reasons| reasons.iter().map(|reason| (*reason).to_owned()).collect()),
            suppression_scope: some(scope),
            ..configuration_set("bulk", "x")
        };
        add_set(facts, set);
    }
    fn told(facts: &mut Facts, hours: Option<u64>) {
        let until = hours.map(|hours| now().minus(std::time::Duration::from_hours(hours)));
        facts.peers = Asked::Answered(vec![PeerTold { region: "ca-central-1".to_owned(), until }]);
    }
    const INVOKE: &str = r#"printf %s '{"pass":true}' | aws lambda invoke --cli-read-timeout 0 --function-name mailroom-reconcile --payload fileb:///dev/stdin --region eu-west-1 /dev/stdout"#;
    const EVERYTHING: &str = r#"printf %s '{"everything":true}' | aws lambda invoke "#;
    hold(
        Section::SuppressionList,
        &[
            Case(
                "no reasons",
                |f| account(f).suppressed_reasons.clear(),
                Verdict::Fail,
                "BOUNCE and COMPLAINT not enabled",
                &[BOTH],
            ),
            Case(
                "one",
                |f| account(f).suppressed_reasons = vec!["BOUNCE".to_owned()],
                Verdict::Fail,
                "COMPLAINT not enabled",
                &[BOTH],
            ),
            Case(
                "one more",
                |f| account(f).suppressed_reasons.push("GRUDGE".to_owned()),
                Verdict::Pass,
                "GRUDGE",
                &[],
            ),
            Case(
                "a set switches it off",
                |f| other(f, &[]),
                Verdict::Warn,
                "by none: no BOUNCE, no COMPLAINT",
                &[
                    r"aws sesv2 put-configuration-set-suppression-options --configuration-set-name 'bulk'\''s' --suppressed-reasons BOUNCE COMPLAINT --region eu-west-1",
                ],
            ),
            Case(
                "half off",
                |f| other(f, &["BOUNCE"]),
                Verdict::Warn,
                "by BOUNCE: no COMPLAINT",
                &["aws sesv2 put-configuration-set-suppression-options"],
            ),
            Case(
                "the same again",
                |f| other(f, &["COMPLAINT", "BOUNCE"]),
                Verdict::Pass,
                "BOUNCE, COMPLAINT",
                &[],
            ),
            Case(
                "by a tenant's list",
                |f| scoped(f, None, "TENANT"),
                Verdict::Warn,
                "goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case(
                "by a tenant's list, with reasons that are to stay",
                |f| scoped(f, Some(&["COMPLAINT", "BOUNCE"]), "TENANT"),
                Verdict::Warn,
                "goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppressed-reasons COMPLAINT BOUNCE --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case(
                "by a tenant's list, and half off",
                |f| scoped(f, Some(&["BOUNCE"]), "TENANT"),
                Verdict::Warn,
                "by BOUNCE: no COMPLAINT; this configuration set goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppressed-reasons BOUNCE COMPLAINT --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case("by the account's", |f| scoped(f, None, "ACCOUNT"), Verdict::Pass, "BOUNCE, COMPLAINT", &[]),
            Case("by a new word", |f| scoped(f, None, "GALAXY"), Verdict::Unknown, "GALAXY", &[]),
            Case(
                "sets denied",
                |f| f.configuration_sets = denied("ses:ListConfigurationSets"),
                Verdict::Unknown,
                "ses:ListConfigurationSets",
                &[],
            ),
            Case(
                "no pass yet",
                |f| f.list = Asked::Answered(None),
                Verdict::Unknown,
                "reconcile has not been",
                &[INVOKE],
            ),
            Case(
                "not kept",
                |f| {
                    f.stack.reconcile_function = None;
                    f.list = Asked::NotAsked;
                },
                Verdict::Pass,
                "Suppression=off",
                &[],
            ),
            Case(
                "an alarm",
                |f| {
                    pass(f).alarmed = true;
                    pass(f).gone = Some(900);
                },
                Verdict::Fail,
                "900 entries",
                &[],
            ),
            Case(
                "late",
                |f| pass(f).ended_at = Some(now().minus(std::time::Duration::from_hours(49))),
                Verdict::Warn,
                "has not ended a pass",
                &[INVOKE],
            ),
            Case(
                "in time",
                |f| pass(f).ended_at = Some(now().minus(std::time::Duration::from_hours(47))),
                Verdict::Pass,
                "1000 entries",
                &[],
            ),
            Case("50 of 1000 differ", |f| pass(f).differ = Some(50), Verdict::Pass, "50 did not", &[]),
            Case(
                "51 of 1000 differ",
                |f| pass(f).differ = Some(51),
                Verdict::Warn,
                "51 addresses",
                &[INVOKE],
            ),
            Case("a peer is told", |f| told(f, Some(48)), Verdict::Pass, "1 of 1 peers have been told", &[]),
            Case(
                "a peer is told no more",
                |f| told(f, Some(49)),
                Verdict::Warn,
                "has not been told all that has changed here since 2026-11-21T11:00:00.000Z",
                &[EVERYTHING],
            ),
            Case("a peer was never told", |f| told(f, None), Verdict::Warn, "even once", &[EVERYTHING]),
            Case(
                "what peers are told can't be read",
                |f| f.peers = denied("dynamodb:GetItem"),
                Verdict::Unknown,
                "dynamodb:GetItem",
                &[],
            ),
            Case("no peers are known", |f| f.peers = Asked::NotAsked, Verdict::Pass, "1000 entries", &[]),
        ],
    );
}

#[test]
fn feedback() {
    const BOUNCES: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Bounce --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const COMPLAINTS: &str = "aws ses set-identity-notification-topic --identity example.com --notification-type Complaint --sns-topic arn:aws:sns:eu-west-1:123456789012:mailroom-feedback --region eu-west-1";
    const OTHER: &str = "arn:aws:sns:eu-west-1:123456789012:theirs";
    fn no_topics(facts: &mut Facts) {
        *topics(facts) = Notifications::default();
    }
    fn by_set(facts: &mut Facts, destination: Destination, enabled: bool, types: &[&str]) {
        no_topics(facts);
        first(facts).configuration_set = some("bulk");
        let event_types = types.iter().map(|of| (*of).to_owned()).collect();
        let destination = EventDestination { name: "d".to_owned(), enabled, event_types, destination };
        let events = Asked::Answered(vec![destination]);
        add_set(facts, ConfigurationSet { event_destinations: events, ..configuration_set("bulk", "x") });
    }
    fn ours() -> Destination {
        Destination::Sns(crate::healthy::TOPIC.to_owned())
    }
    hold(
        Section::Feedback,
        &[
            Case(
                "nobody",
                no_topics,
                Verdict::Fail,
                "bounces and complaints: no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "half",
                |f| topics(f).complaint_topic = None,
                Verdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "by mail",
                |f| {
                    no_topics(f);
                    topics(f).forwarding_enabled = true;
                },
                Verdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "by mail, says v2",
                |f| {
                    no_topics(f);
                    first(f).feedback_forwarding = true;
                },
                Verdict::Warn,
                "come by mail only",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "somebody else",
                |f| topics(f).bounce_topic = some(OTHER),
                Verdict::Warn,
                "bounces go to somebody else only: arn:aws:sns:eu-west-1:123456789012:theirs",
                &[BOUNCES],
            ),
            Case(
                "somebody else, no stack",
                |f| {
                    f.stack.feedback_topic = None;
                    f.stack.configuration_set = None;
                },
                Verdict::Pass,
                "no stack",
                &[],
            ),
            Case(
                "nobody, no stack",
                |f| {
                    no_topics(f);
                    f.stack.feedback_topic = None;
                    f.stack.configuration_set = None;
                },
                Verdict::Fail,
                "no topic",
                &[],
            ),
            Case(
                "of another Region",
                |f| topics(f).bounce_topic = some("arn:aws:sns:us-east-1:123456789012:mailroom-feedback"),
                Verdict::Fail,
                "bounces: the topic arn:aws:sns:us-east-1:123456789012:mailroom-feedback is of another Region",
                &[BOUNCES],
            ),
            Case(
                "by event publishing",
                |f| by_set(f, ours(), true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Pass,
                "2 of 2",
                &[],
            ),
            Case(
                "by half of it",
                |f| by_set(f, ours(), true, &["BOUNCE"]),
                Verdict::Fail,
                "complaints: no topic",
                &[COMPLAINTS],
            ),
            Case(
                "disabled",
                |f| by_set(f, ours(), false, &["BOUNCE", "COMPLAINT"]),
                Verdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "metrics only",
                |f| by_set(f, Destination::CloudWatch, true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "an event bus",
                |f| by_set(f, Destination::EventBridge("arn".to_owned()), true, &["BOUNCE", "COMPLAINT"]),
                Verdict::Warn,
                "go to somebody else only: bulk",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "a set that is gone",
                |f| {
                    no_topics(f);
                    first(f).configuration_set = some("gone");
                },
                Verdict::Fail,
                "no topic",
                &[BOUNCES, COMPLAINTS],
            ),
            Case(
                "a set that may not be read",
                |f| {
                    no_topics(f);
                    first(f).configuration_set = some("bulk");
                    f.configuration_sets = denied("ses:ListConfigurationSets");
                },
                Verdict::Unknown,
                "",
                &[],
            ),
            Case(
                "our set is silent",
                |f| set(f).event_destinations = Asked::Answered(vec![]),
                Verdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 create-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"#,
                ],
            ),
            Case(
                "our destination publishes to somebody else, and more than ours",
                |f| {
                    if let Asked::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = Destination::Sns(OTHER.to_owned());
                        events[0].event_types = ["SEND", "BOUNCE", "DELIVERY"].map(str::to_owned).to_vec();
                    }
                },
                Verdict::Fail,
                "does not publish",
                &[
                    r#"aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback --event-destination '{"Enabled":true,"MatchingEventTypes":["BOUNCE","COMPLAINT","REJECT","RENDERING_FAILURE","DELIVERY_DELAY","SUBSCRIPTION","SEND","DELIVERY"],"SnsDestination":{"TopicArn":"arn:aws:sns:eu-west-1:123456789012:mailroom-feedback"}}' --region eu-west-1"#,
                ],
            ),
            Case(
                "our topic by another destination",
                |f| {
                    if let Asked::Answered(events) = &mut set(f).event_destinations {
                        events[0].destination = Destination::Sns(OTHER.to_owned());
                        events.push(EventDestination {
                            name: "of-old".to_owned(),
                            enabled: true,
                            event_types: vec!["BOUNCE".to_owned()],
                            destination: ours(),
                        });
                    }
                },
                Verdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name of-old",
                ],
            ),
            Case(
                "by mail, too",
                |f| topics(f).forwarding_enabled = true,
                Verdict::Pass,
                "Mailroom hears of 2 of 2 identities, whatever the mail was sent with; of 1 SES mails it to the sender, too",
                &[],
            ),
            Case(
                "our set is disabled",
                |f| {
                    if let Asked::Answered(events) = &mut set(f).event_destinations {
                        events[0].enabled = false;
                    }
                },
                Verdict::Fail,
                "does not publish",
                &[
                    "aws sesv2 update-configuration-set-event-destination --configuration-set-name mailroom --event-destination-name feedback",
                ],
            ),
            Case(
                "our set is gone",
                |f| f.configuration_sets = Asked::Answered(vec![]),
                Verdict::Fail,
                "is gone",
                &["aws sesv2 create-configuration-set"],
            ),
            Case(
                "not permitted",
                |f| {
                    if let Asked::Answered(all) = &mut f.identities {
                        all[0].notifications = denied("ses:GetIdentityNotificationAttributes");
                    }
                },
                Verdict::Unknown,
                "ses:GetIdentityNotificationAttributes",
                &[],
            ),
        ],
    );
}

#[test]
fn smtp_credentials() {
    const OFF: &str = "aws iam update-access-key --user-name smtp --access-key-id AKIAIOSFODNN7EXAMPLE --status Inactive --region eu-west-1";
    fn old(facts: &mut Facts, change: fn(&mut mailroom_core::audit::facts::AccessKey)) {
        let mut key = access_key("smtp", "2019-01-09T23:59:59Z");
        change(&mut key);
        facts.access_keys = Asked::Answered(vec![key]);
    }
    hold(
        Section::SmtpCredentials,
        &[
            Case(
                "old and in use",
                |f| old(f, |_| ()),
                Verdict::Fail,
                "last used 2026-11-20 for ses in eu-west-1",
                &["aws iam create-access-key --user-name smtp", OFF],
            ),
            Case(
                "never used",
                |f| old(f, |key| key.last_used = Asked::Answered(None)),
                Verdict::Warn,
                "never used",
                &[OFF],
            ),
            Case(
                "use not known",
                |f| old(f, |key| key.last_used = denied("iam:GetAccessKeyLastUsed")),
                Verdict::Warn,
                "not known",
                &[OFF],
            ),
            Case(
                "for something else",
                |f| {
                    old(f, |key| {
                        if let Asked::Answered(Some(used)) = &mut key.last_used {
                            used.service = "s3".to_owned();
                        }
                    })
                },
                Verdict::Warn,
                "for s3",
                &[OFF],
            ),
            Case(
                "may not send",
                |f| {
                    old(f, |key| {
                        key.may_send = Asked::Answered(false);
                        key.last_used = Asked::Answered(None);
                    })
                },
                Verdict::Pass,
                "1 of them active and from before",
                &[],
            ),
            Case(
                "may not send, by what was asked, and does",
                |f| {
                    old(f, |key| key.may_send = Asked::Answered(false));
                },
                Verdict::Fail,
                "last used 2026-11-20 for ses in eu-west-1",
                &["aws iam create-access-key --user-name smtp", OFF],
            ),
            Case("no keys", |f| f.access_keys = Asked::Answered(vec![]), Verdict::Pass, "0 access keys", &[]),
            Case(
                "may it?",
                |f| {
                    old(f, |key| {
                        key.may_send = denied("iam:ListUserPolicies");
                        key.last_used = Asked::Answered(None);
                    })
                },
                Verdict::Unknown,
                "iam:ListUserPolicies",
                &[],
            ),
            Case(
                "inactive",
                |f| old(f, |key| key.status = "Inactive".to_owned()),
                Verdict::Pass,
                "0 of them",
                &[],
            ),
            Case(
                "on the day",
                |f| f.access_keys = Asked::Answered(vec![access_key("smtp", "2019-01-10T00:00:00Z")]),
                Verdict::Pass,
                "0 of them",
                &[],
            ),
            Case(
                "not from here",
                |f| f.access_keys = Asked::NotAsked,
                Verdict::NotApplicable,
                "IAM is global",
                &[],
            ),
        ],
    );
}

#[test]
fn mail_from() {
    const RECORDS: [&str; 2] = [
        "bounce.example.com. IN MX 10 feedback-smtp.eu-west-1.amazonses.com.",
        "bounce.example.com. IN TXT \"v=spf1 include:amazonses.com ~all\"",
    ];
    const AGAIN: [&str; 3] = [
        RECORDS[0],
        RECORDS[1],
        "aws sesv2 put-email-identity-mail-from-attributes --email-identity example.com --mail-from-domain bounce.example.com --behavior-on-mx-failure",
    ];
    fn to(facts: &mut Facts, status: &str, behavior: &str) {
        let mail_from = first(facts).mail_from.as_mut().unwrap();
        (mail_from.status, mail_from.behavior_on_mx_failure) = (status.to_owned(), behavior.to_owned());
    }
    hold(
        Section::MailFrom,
        &[
            Case(
                "failed",
                |f| to(f, "FAILED", "USE_DEFAULT_VALUE"),
                Verdict::Fail,
                "status FAILED; SES uses its own domain",
                &AGAIN,
            ),
            Case(
                "failed, strict",
                |f| to(f, "FAILED", "REJECT_MESSAGE"),
                Verdict::Fail,
                "SES refuses mail",
                &AGAIN,
            ),
            Case(
                "pending",
                |f| to(f, "PENDING", "USE_DEFAULT_VALUE"),
                Verdict::Warn,
                "status PENDING",
                &RECORDS,
            ),
            Case(
                "pending, strict",
                |f| to(f, "PENDING", "REJECT_MESSAGE"),
                Verdict::Fail,
                "SES refuses mail",
                &RECORDS,
            ),
            Case(
                "for now",
                |f| to(f, "TEMPORARY_FAILURE", "USE_DEFAULT_VALUE"),
                Verdict::Warn,
                "TEMPORARY_FAILURE",
                &RECORDS,
            ),
            Case("works, strict", |f| to(f, "SUCCESS", "REJECT_MESSAGE"), Verdict::Pass, "1 of 1", &[]),
            Case("new word", |f| to(f, "MUSING", "USE_DEFAULT_VALUE"), Verdict::Unknown, "MUSING", &RECORDS),
            Case("none", |f| first(f).mail_from = None, Verdict::NotApplicable, "none of 2", &[]),
        ],
    );
}

#[test]
fn authorization() {
    fn with(facts: &mut Facts, text: &str) {
        first(facts).policies = [("partner".to_owned(), text.to_owned())].into();
        second(facts).policies.clear();
    }
    fn statements(all: &[(&str, &str)]) -> String {
        let statement = |(principal, region): &(&str, &str)| {
            let resource = format!("arn:aws:ses:{region}:123456789012:identity/example.com");
            serde_json::json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Resource": resource})
        };
        serde_json::json!({ "Statement": all.iter().map(statement).collect::<Vec<_>>() }).to_string()
    }
    const HERE: &str = r#""Resource":"arn:aws:ses:eu-west-1:123456789012:identity/example.com""#;
    const GONE: &str = "aws sesv2 delete-email-identity-policy --email-identity example.com --policy-name partner --region eu-west-1";
    const PUT: &str = "aws sesv2 update-email-identity-policy --email-identity example.com --policy-name partner --policy '{";
    hold(
        Section::Authorization,
        &[
            Case(
                "none",
                |f| {
                    first(f).policies.clear();
                    second(f).policies.clear();
                },
                Verdict::NotApplicable,
                "no policies",
                &[],
            ),
            Case(
                "everybody",
                |f| with(f, r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"ses:*"}}"#),
                Verdict::Fail,
                "anybody with an AWS account",
                &[GONE],
            ),
            Case(
                "every account",
                |f| with(f, r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["1","*"]}}]}"#),
                Verdict::Fail,
                "anybody with an AWS account",
                &[GONE],
            ),
            Case(
                "everybody on a condition",
                |f| {
                    with(
                        f,
                        r#"{"Statement":[{"Effect":"Allow","Principal":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}"#,
                    )
                },
                Verdict::Warn,
                "anybody for whom its condition holds",
                &[GONE],
            ),
            Case(
                "one of two statements",
                |f| {
                    with(
                        f,
                        r#"{"Statement":[{"Effect":"Allow","Principal":"*"},{"Effect":"Allow","Principal":{"AWS":"1"}}]}"#,
                    )
                },
                Verdict::Fail,
                "anybody",
                &[PUT],
            ),
            Case(
                "nobody",
                |f| with(f, r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"ses:*"}}"#),
                Verdict::Pass,
                "1 policies, 0 delegates",
                &[],
            ),
            Case(
                "of another Region",
                |f| with(f, &policy("us-east-1", "111122223333")),
                Verdict::Fail,
                "names a resource of us-east-1",
                &[PUT],
            ),
            Case(
                "open, and another statement of another Region",
                |f| with(f, &statements(&[("*", "eu-west-1"), ("1", "us-east-1")])),
                Verdict::Fail,
                "anybody with an AWS account send as this identity; names a resource of us-east-1",
                &[PUT],
            ),
            Case(
                "open, of another Region, and nothing else",
                |f| with(f, &statements(&[("*", "us-east-1")])),
                Verdict::Fail,
                "anybody with an AWS account send as this identity; names a resource of us-east-1",
                &[GONE],
            ),
            Case(
                "of two other Regions",
                |f| with(f, &statements(&[("1", "us-east-1"), ("2", "us-west-2")])),
                Verdict::Fail,
                "names a resource of us-east-1: here it authorizes nobody; names a resource of us-west-2",
                &[PUT],
            ),
            Case("no JSON", |f| with(f, "{"), Verdict::Unknown, "policy partner can't be read", &[]),
            Case("any JSON", |f| with(f, "[1]"), Verdict::Pass, "1 policies", &[]),
        ],
    );
    let fix = |text: &str| {
        let mut facts = facts();
        with(&mut facts, text);
        let told = verdict(&facts, Section::Authorization);
        let all: Vec<_> = told.findings.iter().flat_map(|of| &of.fixes).map(ToString::to_string).collect();
        assert_eq!(all.len(), 1, "a second command would undo the first: {all:#?}");
        all[0].clone()
    };
    let moved = fix(&policy("us-east-1", "111122223333"));
    assert!(moved.contains(HERE), "{moved}");
    // Everybody is gone, and every resource is of this Region.
    let all = [("*", "eu-west-1"), ("1", "us-east-1"), ("2", "us-west-2"), ("*", "us-west-2")];
    let corrected = fix(&statements(&all));
    assert_eq!(corrected.matches(HERE).count(), 2, "{corrected}");
    for gone in ["*", "us-east-1", "us-west-2"] {
        assert!(!corrected.contains(gone), "{corrected}");
    }
}

#[test]
fn receiving() {
    const ACTIVATE: &str =
        "aws ses set-active-receipt-rule-set --rule-set-name mailroom-inbound --region eu-west-1";
    fn elsewhere(facts: &mut Facts, field: &str, arn: &str) {
        rule(facts).actions[1].arns.insert(field.to_owned(), arn.to_owned());
    }
    hold(
        Section::Receiving,
        &[
            Case("not here", |f| f.stack.receives = false, Verdict::NotApplicable, "does not receive", &[]),
            Case(
                "none is active",
                |f| f.rule_set = Asked::Answered(None),
                Verdict::Fail,
                "no receipt rule set is active",
                &[ACTIVATE],
            ),
            Case(
                "none is active, none ours",
                |f| {
                    f.rule_set = Asked::Answered(None);
                    f.stack.rule_set = None;
                },
                Verdict::Fail,
                "no receipt rule set is active",
                &[],
            ),
            Case(
                "none is active, and there is no stack",
                |f| {
                    f.rule_set = Asked::Answered(None);
                    f.stack = Stack { region: f.stack.region.clone(), receives: true, ..Stack::default() };
                },
                Verdict::NotApplicable,
                "no stack here asks for one",
                &[],
            ),
            Case(
                "somebody else's",
                |f| f.stack.rule_set = some("mailroom-other"),
                Verdict::Warn,
                "is not the stack's, which is mailroom-other",
                &["aws ses set-active-receipt-rule-set --rule-set-name mailroom-other"],
            ),
            Case(
                "the operator's",
                |f| f.stack.rule_set = None,
                Verdict::Pass,
                "active rule set mailroom-inbound (not ours), 1 rules; MX: 10 inbound-smtp.eu-west-1.amazonaws.com",
                &[],
            ),
            Case(
                "no rule is enabled",
                |f| rule(f).enabled = false,
                Verdict::Fail,
                "no rule",
                &[
                    "aws ses update-receipt-rule --rule-set-name mailroom-inbound --rule \"$(aws ses describe-receipt-rule",
                ],
            ),
            Case(
                "no rules",
                |f| {
                    if let Asked::Answered(Some(set)) = &mut f.rule_set {
                        set.rules.clear()
                    }
                },
                Verdict::Fail,
                "no rule",
                &[],
            ),
            Case(
                "no scan",
                |f| rule(f).scan_enabled = false,
                Verdict::Pass,
                "1 enabled rules scan for neither spam nor viruses",
                &[],
            ),
            Case(
                "a function elsewhere",
                |f| elsewhere(f, "FunctionArn", "arn:aws:lambda:us-east-1:123456789012:function:x"),
                Verdict::Fail,
                "LambdaAction's FunctionArn is of us-east-1",
                &["aws ses update-receipt-rule"],
            ),
            Case(
                "a topic elsewhere",
                |f| elsewhere(f, "TopicArn", "arn:aws:sns:us-east-1:123456789012:x"),
                Verdict::Fail,
                "LambdaAction's TopicArn",
                &["aws ses update-receipt-rule"],
            ),
            Case(
                "a role is nowhere",
                |f| elsewhere(f, "IamRoleArn", "arn:aws:iam::123456789012:role/x"),
                Verdict::Pass,
                "ours",
                &[],
            ),
            Case(
                "no bucket",
                |f| f.buckets[0].exists = Asked::Answered(false),
                Verdict::Fail,
                "no such bucket",
                &[
                    "aws s3api create-bucket --bucket mailroom-mail --create-bucket-configuration LocationConstraint=eu-west-1 --region eu-west-1",
                    "aws s3api put-bucket-policy --bucket mailroom-mail --policy '{",
                ],
            ),
            Case(
                "a bucket that may not be seen",
                |f| f.buckets[0].exists = denied("s3:ListBucket"),
                Verdict::Unknown,
                "s3:ListBucket",
                &[],
            ),
            Case(
                "a bucket that was not asked for",
                |f| f.buckets.clear(),
                Verdict::Unknown,
                "not asked",
                &[],
            ),
        ],
    );
}

#[test]
fn ten_thousand_identities_fit_into_an_item() {
    let mut facts = facts();
    let name =
        |n: usize| format!("{n:05}.a-rather-long-name-for-a-domain-that-somebody-really-has.example.com");
    let mut all: Vec<_> = (0..10_000).map(|n| identity(&name(n))).collect();
    for of in &mut all {
        if let Asked::Answered(identity) = &mut of.identity {
            identity.verification_status = Some("FAILED".to_owned());
            identity.verified_for_sending = false;
            let open = format!(
                r#"{{"Statement":{{"Effect":"Allow","Principal":"*"}},"Id":"{}"}}"#,
                "x".repeat(2000)
            );
            identity.policies = [("open".to_owned(), open)].into();
            identity.dkim = None;
            identity.mail_from.as_mut().unwrap().status = "FAILED".to_owned();
        }
        of.notifications = Asked::Answered(Notifications::default());
    }
    facts.identities = Asked::Answered(all);
    for told in audit::audit(&facts, now()) {
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.len() < 400 * 1024, "{:?}: {}", told.section, text.len());
        let per_identity = [
            Section::Verification,
            Section::Dkim,
            Section::Feedback,
            Section::MailFrom,
            Section::Authorization,
        ];
        if per_identity.contains(&told.section) {
            assert!(told.more_findings >= 9_000, "{:?}: {}", told.section, told.more_findings);
            assert!(told.findings.len() >= 50, "{:?}: {}", told.section, told.findings.len());
        }
        assert_eq!(serde_json::from_str::<SectionVerdict>(&text).unwrap(), told);
    }
}

#[test]
fn what_could_not_be_read_for_one_reason_is_one_finding() {
    let mut facts = facts();
    let mut all: Vec<_> = (0..500).map(|n| identity(&format!("{n:03}.example.com"))).collect();
    for of in &mut all {
        of.identity = denied("ses:GetEmailIdentity");
    }
    facts.identities = Asked::Answered(all);
    let told = verdict(&facts, Section::Dkim);
    assert_eq!((told.findings.len(), told.more_findings), (1, 0));
    assert_eq!(told.findings[0].subject, "000.example.com");
    assert_eq!(told.findings[0].evidence, "not permitted: ses:GetEmailIdentity (and of 499 more)");
}

#[test]
fn as_the_table_has_it() {
    let mut facts = facts();
    account(&mut facts).suppressed_reasons.clear();
    let told = serde_json::to_value(verdict(&facts, Section::SuppressionList)).unwrap();
    assert_eq!(told["pk"], "REGION#eu-west-1");
    assert_eq!(told["sk"], "AUDIT#suppression_list");
    assert_eq!(told["verdict"], "fail");
    assert_eq!(told["findings"][0]["fixes"][0]["command"].as_str().unwrap().split(' ').next(), Some("aws"));
    assert_eq!(told["checked_at"], "2026-11-23T12:00:00.000Z");
    assert_eq!(told["compared"]["list"]["entries"], 1000);
}
