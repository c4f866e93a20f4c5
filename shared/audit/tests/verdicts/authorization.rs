//! Section 9: each verdict.

use mailroom_audit::facts::RegionFacts;
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, assert_cases, first, second};
use crate::healthy::{facts, policy, verdict};

#[test]
fn authorization() {
    fn with(facts: &mut RegionFacts, text: &str) {
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
    assert_cases(
        AuditSection::Authorization,
        &[
            Case(
                "none",
                |f| {
                    first(f).policies.clear();
                    second(f).policies.clear();
                },
                AuditVerdict::NotApplicable,
                "no policies",
                &[],
            ),
            Case(
                "everybody",
                |f| with(f, r#"{"Statement":{"Effect":"Allow","Principal":"*","Action":"ses:*"}}"#),
                AuditVerdict::Fail,
                "anybody with an AWS account",
                &[GONE],
            ),
            Case(
                "every account",
                |f| with(f, r#"{"Statement":[{"Effect":"Allow","Principal":{"AWS":["1","*"]}}]}"#),
                AuditVerdict::Fail,
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
                AuditVerdict::Warn,
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
                AuditVerdict::Fail,
                "anybody",
                &[PUT],
            ),
            Case(
                "nobody",
                |f| with(f, r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"ses:*"}}"#),
                AuditVerdict::Pass,
                "1 policies, 0 delegates",
                &[],
            ),
            Case(
                "of another Region",
                |f| with(f, &policy("us-east-1", "111122223333")),
                AuditVerdict::Fail,
                "names a resource of us-east-1",
                &[PUT],
            ),
            Case(
                "open, and another statement of another Region",
                |f| with(f, &statements(&[("*", "eu-west-1"), ("1", "us-east-1")])),
                AuditVerdict::Fail,
                "anybody with an AWS account send as this identity; names a resource of us-east-1",
                &[PUT],
            ),
            Case(
                "open, of another Region, and nothing else",
                |f| with(f, &statements(&[("*", "us-east-1")])),
                AuditVerdict::Fail,
                "anybody with an AWS account send as this identity; names a resource of us-east-1",
                &[GONE],
            ),
            Case(
                "of two other Regions",
                |f| with(f, &statements(&[("1", "us-east-1"), ("2", "us-west-2")])),
                AuditVerdict::Fail,
                "names a resource of us-east-1: here it authorizes nobody; names a resource of us-west-2",
                &[PUT],
            ),
            Case("no JSON", |f| with(f, "{"), AuditVerdict::Unknown, "policy partner can't be read", &[]),
            Case("any JSON", |f| with(f, "[1]"), AuditVerdict::Pass, "1 policies", &[]),
        ],
    );
    let fix = |text: &str| {
        let mut facts = facts();
        with(&mut facts, text);
        let told = verdict(&facts, AuditSection::Authorization);
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
