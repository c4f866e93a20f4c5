//! What a comparison between Regions adds.

use mailroom_audit::compare::compare_and_dedup_verdicts;
use mailroom_audit::facts::{ApiAnswer, RegionFacts};
use mailroom_audit::{AuditSection, AuditVerdict, Finding, SectionVerdict, judge_sections};

use crate::healthy::{facts_of, identity_of, now, policy};

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-northeast-1"];

fn healthy() -> Vec<RegionFacts> {
    REGIONS.map(facts_of).to_vec()
}

fn compared(regions: &[RegionFacts]) -> Vec<SectionVerdict> {
    compare_and_dedup_verdicts(
        &regions.iter().flat_map(|facts| judge_sections(facts, now())).collect::<Vec<_>>(),
    )
}

/// Region, section and finding, of all.
fn found(regions: &[RegionFacts]) -> Vec<(String, AuditSection, Finding)> {
    let all = compared(regions).into_iter();
    all.flat_map(|told| {
        let findings = told.findings.clone();
        findings.into_iter().map(move |finding| (told.region.clone(), told.section, finding))
    })
    .collect()
}

#[test]
fn regions_that_are_alike_have_nothing_to_say_of_each_other() {
    assert_eq!(found(&healthy()), []);
}

#[test]
fn an_identity_that_a_peer_has_and_this_region_has_not() {
    let mut regions = healthy();
    if let ApiAnswer::Answered(all) = &mut regions[0].identities {
        all.push(identity_of("us-east-1", "shop.example"));
        all.push(identity_of("us-east-1", "jane@shop.example"));
        // Its domain is everywhere.
        all.push(identity_of("us-east-1", "joe@example.com"));
        all.push(identity_of("us-east-1", "LOUD@EXAMPLE.COM"));
        all.push(identity_of("us-east-1", "joe@mail.example.com"));
    }
    if let ApiAnswer::Answered(all) = &mut regions[1].identities {
        all.push(identity_of("eu-west-1", "SHOP.example"));
    }
    let found = found(&regions);
    let told: Vec<_> =
        found.iter().map(|(region, section, of)| (region.as_str(), *section, of.subject.as_str())).collect();
    let (third, section) = ("ap-northeast-1", AuditSection::Verification);
    assert_eq!(told, [(third, section, "jane@shop.example"), (third, section, "shop.example")]);
    assert_eq!(found[1].2.verdict, AuditVerdict::Warn);
    assert_eq!(found[1].2.evidence, "verified in us-east-1, missing here");
    let fix = found[1].2.fixes[0].to_string();
    assert_eq!(fix, "aws sesv2 create-email-identity --email-identity shop.example --region ap-northeast-1");
}

#[test]
fn one_that_is_not_verified_here_is_this_regions_own_trouble() {
    let mut regions = healthy();
    if let ApiAnswer::Answered(all) = &mut regions[2].identities
        && let ApiAnswer::Answered(identity) = &mut all[0].identity
    {
        identity.verified_for_sending = false;
    }
    let told: Vec<_> = found(&regions).into_iter().map(|(region, _, of)| (region, of.verdict)).collect();
    assert_eq!(told, [("ap-northeast-1".to_owned(), AuditVerdict::Fail)]);
}

#[test]
fn a_region_that_could_not_be_read_is_not_compared() {
    let mut regions = healthy();
    regions[0].identities = ApiAnswer::Denied("ses:ListEmailIdentities".to_owned());
    if let ApiAnswer::Answered(all) = &mut regions[1].identities {
        all.push(identity_of("eu-west-1", "shop.example"));
    }
    let found = found(&regions);
    let missing: Vec<_> = found.iter().filter(|(_, _, of)| of.subject == "shop.example").collect();
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].0, "ap-northeast-1");
}

#[test]
fn what_does_not_fit_is_not_taken_for_missing() {
    let mut regions = healthy();
    let name = |n: usize| format!("{n:05}.a-rather-long-name-for-a-domain-that-somebody-really-has.example");
    for facts in &mut regions {
        let region = facts.stack.region.clone();
        let mut all: Vec<_> = (0..10_000).map(|n| identity_of(&region, &name(n))).collect();
        for of in &mut all {
            if let ApiAnswer::Answered(identity) = &mut of.identity {
                identity.policies.clear();
            }
        }
        if facts.stack.region == "eu-west-1" {
            all.insert(0, identity_of(&region, "0"));
            all.remove(1);
        }
        facts.identities = ApiAnswer::Answered(all);
    }
    let found = found(&regions);
    let missing: Vec<_> = found.iter().map(|(region, _, of)| (region.as_str(), of.subject.clone())).collect();
    let zero = "0".to_owned();
    assert_eq!(missing, [("us-east-1", zero.clone()), ("eu-west-1", name(0)), ("ap-northeast-1", zero)]);
}

#[test]
fn what_is_more_than_is_told_is_counted_with_what_was_more_already() {
    let mut regions = healthy();
    let of = |region: &'static str, what: &str, n: usize| -> Vec<_> {
        (0..n).map(|n| identity_of(region, &format!("{what}{n:03}.example"))).collect()
    };
    if let ApiAnswer::Answered(all) = &mut regions[0].identities {
        all.extend(of("us-east-1", "unverified", 250).into_iter().map(|mut listed| {
            if let ApiAnswer::Answered(identity) = &mut listed.identity {
                identity.verified_for_sending = false;
            }
            listed
        }));
    }
    if let ApiAnswer::Answered(all) = &mut regions[1].identities {
        all.extend(of("eu-west-1", "missing", 7));
    }
    let alone = judge_sections(&regions[0], now());
    let counts = |all: &[SectionVerdict]| {
        let told = all.iter().find(|told| told.section == AuditSection::Verification).unwrap();
        (told.region.clone(), told.findings.len(), told.more_findings)
    };
    assert_eq!(counts(&alone), ("us-east-1".to_owned(), 200, 50));
    assert_eq!(counts(&compared(&regions)), ("us-east-1".to_owned(), 200, 57));
}

#[test]
fn a_list_that_is_much_shorter_than_a_peers() {
    let mut regions = healthy();
    for (facts, entries) in regions.iter_mut().zip([1_000, 950, 949]) {
        if let ApiAnswer::Answered(Some(pass)) = &mut facts.last_list_pass {
            pass.entries = entries;
        }
    }
    let found = found(&regions);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (region, section, of) = &found[0];
    assert_eq!(
        (region.as_str(), *section, of.verdict),
        ("ap-northeast-1", AuditSection::SuppressionList, AuditVerdict::Warn)
    );
    assert_eq!(of.evidence, "949 entries here, 1000 in us-east-1");
    assert_eq!(
        of.fixes[0].to_string(),
        r#"printf %s '{"everything":true}' | aws lambda invoke --cli-read-timeout 0 --function-name mailroom-reconcile --payload fileb:///dev/stdin --region us-east-1 /dev/stdout"#
    );
}

#[test]
fn a_delegate_that_may_send_in_a_peer_and_not_here() {
    let mut regions = healthy();
    if let ApiAnswer::Answered(all) = &mut regions[0].identities
        && let ApiAnswer::Answered(identity) = &mut all[0].identity
    {
        identity.policies.insert("partner".to_owned(), policy("us-east-1", "444455556666"));
        // Another way of saying the account that all Regions have.
        identity.policies.insert("again".to_owned(), policy("us-east-1", "arn:aws:iam::111122223333:root"));
    }
    if let ApiAnswer::Answered(all) = &mut regions[1].identities
        && let ApiAnswer::Answered(identity) = &mut all[0].identity
    {
        identity.policies.insert("other".to_owned(), policy("eu-west-1", "444455556666"));
    }
    let found = found(&regions);
    assert_eq!(found.len(), 1, "{found:#?}");
    let (region, section, of) = &found[0];
    assert_eq!(
        (region.as_str(), *section, of.verdict),
        ("ap-northeast-1", AuditSection::Authorization, AuditVerdict::Warn)
    );
    assert_eq!(of.evidence, "444455556666 may send in us-east-1 (policy partner), and not here");
    let fix = of.fixes[0].to_string();
    assert!(
        fix.starts_with(
            "aws sesv2 create-email-identity-policy --email-identity example.com --policy-name partner-from-us-east-1 --policy '{"
        ),
        "{fix}"
    );
    assert!(fix.contains("arn:aws:ses:ap-northeast-1:123456789012:identity/example.com"), "{fix}");
    assert!(fix.ends_with(" --region ap-northeast-1"), "{fix}");
}

#[test]
fn a_delegate_of_an_identity_that_is_not_here_is_not_missed() {
    let mut regions = healthy();
    if let ApiAnswer::Answered(all) = &mut regions[2].identities {
        all.clear();
    }
    let sections: Vec<_> = found(&regions).into_iter().map(|(_, section, _)| section).collect();
    assert_eq!(sections, [AuditSection::Verification; 2]);
}

/// The first identity's MAIL FROM domain, in each Region: `bounce.example.com`.
fn mail_from_is(regions: &mut [RegionFacts], statuses: [&str; 3]) {
    for (facts, status) in regions.iter_mut().zip(statuses) {
        if let ApiAnswer::Answered(all) = &mut facts.identities
            && let ApiAnswer::Answered(identity) = &mut all[0].identity
        {
            status.clone_into(&mut identity.mail_from.as_mut().unwrap().status);
        }
    }
}

fn printed(found: &[(String, AuditSection, Finding)]) -> Vec<(&str, Vec<String>)> {
    let fixes = |of: &Finding| of.fixes.iter().map(ToString::to_string).collect();
    found.iter().map(|(region, _, of)| (region.as_str(), fixes(of))).collect()
}

#[test]
fn of_a_mail_from_domain_that_regions_share_one_mx_is_printed() {
    let mut regions = healthy();
    mail_from_is(&mut regions, ["FAILED", "PENDING", "FAILED"]);
    let found = found(&regions);
    let printed = printed(&found);
    let [(first, fixes), (_, second), (_, third)] = printed.as_slice() else { panic!("{found:#?}") };
    let mx: Vec<_> =
        printed.iter().flat_map(|(_, fixes)| fixes).filter(|fix| fix.contains(" IN MX ")).collect();
    assert_eq!(mx, ["bounce.example.com. IN MX 10 feedback-smtp.us-east-1.amazonses.com."], "{found:#?}");
    assert!((*first, fixes.len(), second.len(), third.len()) == ("us-east-1", 3, 1, 2), "{found:#?}");
    assert!(third[1].starts_with("aws sesv2 put-email-identity-mail-from-attributes"), "{third:?}");
    assert!(
        found[1].2.todo.starts_with("The name is shared with us-east-1, whose MX record is printed there")
    );
}

#[test]
fn of_a_mail_from_domain_that_works_elsewhere_no_mx_is_printed() {
    let mut regions = healthy();
    mail_from_is(&mut regions, ["FAILED", "SUCCESS", "FAILED"]);
    let found = found(&regions);
    assert_eq!(found.len(), 2, "{found:#?}");
    let mut fixes = found.iter().flat_map(|(.., of)| &of.fixes).map(ToString::to_string);
    assert!(!fixes.any(|fix| fix.contains(" IN MX ")), "{found:#?}");
    for (_, _, of) in &found {
        assert!(of.todo.starts_with("The name is shared with eu-west-1, whose MX record is published"));
    }
}

#[test]
fn an_open_statement_of_a_peers_policy_is_not_copied() {
    let mut regions = healthy();
    let agency: serde_json::Value = serde_json::from_str(&policy("us-east-1", "444455556666")).unwrap();
    let anybody: serde_json::Value = serde_json::from_str(&policy("us-east-1", "*")).unwrap();
    let both = serde_json::json!({ "Statement": [anybody["Statement"][0], agency["Statement"][0]] });
    if let ApiAnswer::Answered(all) = &mut regions[0].identities
        && let ApiAnswer::Answered(identity) = &mut all[0].identity
    {
        identity.policies.insert("open".to_owned(), both.to_string());
    }
    let found = found(&regions);
    let copies: Vec<_> = found
        .iter()
        .filter(|(region, ..)| region != "us-east-1")
        .flat_map(|(.., of)| &of.fixes)
        .map(ToString::to_string)
        .collect();
    assert_eq!(copies.len(), 2, "{found:#?}");
    for copy in copies {
        assert!(copy.contains("create-email-identity-policy") && copy.contains("444455556666"), "{copy}");
        assert!(!copy.contains('*') && !copy.contains("us-east-1"), "{copy}");
    }
}

#[test]
fn where_nobody_asked_iam_that_is_not_known() {
    let mut regions = healthy();
    regions.push(facts_of("us-gov-west-1"));
    for facts in &mut regions[..3] {
        facts.access_keys = ApiAnswer::NotAsked;
    }
    let all = compared(&regions);
    let told: Vec<_> = all.iter().filter(|told| told.section == AuditSection::SmtpCredentials).collect();
    let verdicts: Vec<_> = told.iter().map(|told| told.verdict).collect();
    let none = AuditVerdict::NotApplicable;
    assert_eq!(verdicts, [AuditVerdict::Unknown, none, none, AuditVerdict::Pass]);
    assert_eq!(told[0].findings[0].evidence, "no Region that was audited has asked IAM");
    assert_eq!(compare_and_dedup_verdicts(&all), all);
}

#[test]
fn iam_is_told_once_in_each_partition_by_a_region_that_knows() {
    let mut regions = healthy();
    regions.push(facts_of("us-gov-west-1"));
    regions[0].access_keys = ApiAnswer::Denied("iam:ListUsers".to_owned());
    for facts in &mut regions[1..] {
        if let ApiAnswer::Answered(keys) = &mut facts.access_keys {
            keys[0].created_at = mailroom_core::timestamp::Timestamp::MIN;
        }
    }
    let all = compared(&regions);
    let told: Vec<_> = all.iter().filter(|told| told.section == AuditSection::SmtpCredentials).collect();
    let verdicts: Vec<_> = told.iter().map(|told| (told.verdict, told.findings.len())).collect();
    let (fail, none) = ((AuditVerdict::Fail, 1), (AuditVerdict::NotApplicable, 0));
    assert_eq!(verdicts, [none, fail, none, fail]);
    assert_eq!(told[0].evidence, "IAM is global: told by eu-west-1");
}
