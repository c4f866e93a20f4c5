//! What holds of all sections, and of the item that the table keeps.

use mailroom_audit::facts::{ApiAnswer, IdentityNotificationAttributes, RegionFacts};
use mailroom_audit::{AuditSection, AuditVerdict, SectionVerdict, judge_sections};

use crate::case::{account, denied};
use crate::healthy::{facts, identity, now, verdict};

#[test]
fn at_a_healthy_region_nothing_is_found() {
    for told in judge_sections(&facts(), now()) {
        assert_eq!((told.verdict, &told.findings), (AuditVerdict::Pass, &vec![]), "{:?}", told.section);
        assert!(!told.evidence.is_empty(), "{:?}", told.section);
    }
}

#[test]
fn where_nothing_is_nothing_is_wrong() {
    let mut facts = facts();
    facts.identities = ApiAnswer::Answered(vec![]);
    facts.access_keys = ApiAnswer::Answered(vec![]);
    facts.stack.receives = false;
    facts.stack.configuration_set = None;
    let verdicts: Vec<_> = judge_sections(&facts, now()).iter().map(|told| told.verdict).collect();
    let (pass, none) = (AuditVerdict::Pass, AuditVerdict::NotApplicable);
    assert_eq!(verdicts, [pass, pass, none, none, pass, none, pass, none, none, none]);
}

#[test]
fn an_audit_with_nothing_answered_knows_nothing() {
    let mut facts = RegionFacts {
        stack: facts().stack,
        account: denied("ses:GetAccount"),
        identities: denied("ses:ListEmailIdentities"),
        configuration_sets: denied("ses:ListConfigurationSets"),
        last_list_pass: ApiAnswer::NotAsked,
        peer_pushes: denied("dynamodb:GetItem"),
        access_keys: denied("iam:ListUsers"),
        rule_set: denied("ses:DescribeActiveReceiptRuleSet"),
        buckets: vec![],
    };
    for told in judge_sections(&facts, now()) {
        if told.section == AuditSection::Endpoints {
            assert_eq!(told.verdict, AuditVerdict::Pass, "a denial is an answer");
            continue;
        }
        assert_eq!(told.verdict, AuditVerdict::Unknown, "{told:?}");
        let missing =
            told.findings.iter().any(|finding| finding.todo.contains("Allow ") && finding.todo.contains(':'));
        assert!(missing, "{told:?}");
    }
    facts.account = ApiAnswer::NotAsked;
    assert_eq!(verdict(&facts, AuditSection::Endpoints).verdict, AuditVerdict::Unknown);
}

#[test]
fn ten_thousand_identities_fit_into_an_item() {
    let mut facts = facts();
    let name =
        |n: usize| format!("{n:05}.a-rather-long-name-for-a-domain-that-somebody-really-has.example.com");
    let mut all: Vec<_> = (0..10_000).map(|n| identity(&name(n))).collect();
    for of in &mut all {
        if let ApiAnswer::Answered(identity) = &mut of.identity {
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
        of.notifications = ApiAnswer::Answered(IdentityNotificationAttributes::default());
    }
    facts.identities = ApiAnswer::Answered(all);
    for told in judge_sections(&facts, now()) {
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.len() < 400 * 1024, "{:?}: {}", told.section, text.len());
        let per_identity = [
            AuditSection::Verification,
            AuditSection::Dkim,
            AuditSection::Feedback,
            AuditSection::MailFrom,
            AuditSection::Authorization,
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
    facts.identities = ApiAnswer::Answered(all);
    let told = verdict(&facts, AuditSection::Dkim);
    assert_eq!((told.findings.len(), told.more_findings), (1, 0));
    assert_eq!(told.findings[0].subject, "000.example.com");
    assert_eq!(told.findings[0].evidence, "not permitted: ses:GetEmailIdentity (and of 499 more)");
}

#[test]
fn as_the_table_has_it() {
    let mut facts = facts();
    account(&mut facts).suppressed_reasons.clear();
    let told = serde_json::to_value(verdict(&facts, AuditSection::SuppressionList)).unwrap();
    assert_eq!(told["pk"], "REGION#eu-west-1");
    assert_eq!(told["sk"], "AUDIT#suppression_list");
    assert_eq!(told["verdict"], "fail");
    assert_eq!(told["findings"][0]["fixes"][0]["command"].as_str().unwrap().split(' ').next(), Some("aws"));
    assert_eq!(told["checked_at"], "2026-11-23T12:00:00.000Z");
    assert_eq!(told["compared"]["list"]["entries"], 1000);
}
