//! Section 5: each verdict.

use mailroom_audit::facts::{ApiAnswer, ConfigurationSet, PeerProgress, RegionFacts};
use mailroom_audit::{AuditSection, AuditVerdict};

use crate::case::{Case, account, add_set, assert_cases, denied, pass, some};
use crate::healthy::{configuration_set, now};

#[test]
fn suppression_list() {
    const BOTH: &str = "aws sesv2 put-account-suppression-attributes --suppressed-reasons BOUNCE COMPLAINT --region eu-west-1";
    fn other(facts: &mut RegionFacts, reasons: &[&str]) {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        add_set(
            facts,
            ConfigurationSet { suppressed_reasons: Some(reasons), ..configuration_set("bulk's", "x") },
        );
    }
    fn scoped(facts: &mut RegionFacts, reasons: Option<&[&str]>, scope: &str) {
        let set = ConfigurationSet {
            suppressed_reasons: reasons
                .map(|reasons| reasons.iter().map(|reason| (*reason).to_owned()).collect()),
            suppression_scope: some(scope),
            ..configuration_set("bulk", "x")
        };
        add_set(facts, set);
    }
    fn told(facts: &mut RegionFacts, hours: Option<u64>) {
        let until = hours.map(|hours| now().minus(std::time::Duration::from_hours(hours)));
        facts.peer_pushes =
            ApiAnswer::Answered(vec![PeerProgress { region: "ca-central-1".to_owned(), until }]);
    }
    const INVOKE: &str = r#"printf %s '{"pass":true}' | aws lambda invoke --cli-read-timeout 0 --function-name mailroom-reconcile --payload fileb:///dev/stdin --region eu-west-1 /dev/stdout"#;
    const EVERYTHING: &str = r#"printf %s '{"everything":true}' | aws lambda invoke "#;
    assert_cases(
        AuditSection::SuppressionList,
        &[
            Case(
                "no reasons",
                |f| account(f).suppressed_reasons.clear(),
                AuditVerdict::Fail,
                "BOUNCE and COMPLAINT not enabled",
                &[BOTH],
            ),
            Case(
                "one",
                |f| account(f).suppressed_reasons = vec!["BOUNCE".to_owned()],
                AuditVerdict::Fail,
                "COMPLAINT not enabled",
                &[BOTH],
            ),
            Case(
                "one more",
                |f| account(f).suppressed_reasons.push("GRUDGE".to_owned()),
                AuditVerdict::Pass,
                "GRUDGE",
                &[],
            ),
            Case(
                "a set switches it off",
                |f| other(f, &[]),
                AuditVerdict::Warn,
                "by none: no BOUNCE, no COMPLAINT",
                &[
                    r"aws sesv2 put-configuration-set-suppression-options --configuration-set-name 'bulk'\''s' --suppressed-reasons BOUNCE COMPLAINT --region eu-west-1",
                ],
            ),
            Case(
                "half off",
                |f| other(f, &["BOUNCE"]),
                AuditVerdict::Warn,
                "by BOUNCE: no COMPLAINT",
                &["aws sesv2 put-configuration-set-suppression-options"],
            ),
            Case(
                "the same again",
                |f| other(f, &["COMPLAINT", "BOUNCE"]),
                AuditVerdict::Pass,
                "BOUNCE, COMPLAINT",
                &[],
            ),
            Case(
                "by a tenant's list",
                |f| scoped(f, None, "TENANT"),
                AuditVerdict::Warn,
                "goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case(
                "by a tenant's list, with reasons that are to stay",
                |f| scoped(f, Some(&["COMPLAINT", "BOUNCE"]), "TENANT"),
                AuditVerdict::Warn,
                "goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppressed-reasons COMPLAINT BOUNCE --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case(
                "by a tenant's list, and half off",
                |f| scoped(f, Some(&["BOUNCE"]), "TENANT"),
                AuditVerdict::Warn,
                "by BOUNCE: no COMPLAINT; this configuration set goes by a tenant's list",
                &[
                    "aws sesv2 put-configuration-set-suppression-options --configuration-set-name bulk --suppressed-reasons BOUNCE COMPLAINT --suppression-scope ACCOUNT --region eu-west-1",
                ],
            ),
            Case(
                "by the account's",
                |f| scoped(f, None, "ACCOUNT"),
                AuditVerdict::Pass,
                "BOUNCE, COMPLAINT",
                &[],
            ),
            Case("by a new word", |f| scoped(f, None, "GALAXY"), AuditVerdict::Unknown, "GALAXY", &[]),
            Case(
                "sets denied",
                |f| f.configuration_sets = denied("ses:ListConfigurationSets"),
                AuditVerdict::Unknown,
                "ses:ListConfigurationSets",
                &[],
            ),
            Case(
                "no pass yet",
                |f| f.last_list_pass = ApiAnswer::Answered(None),
                AuditVerdict::Unknown,
                "reconcile has not been",
                &[INVOKE],
            ),
            Case(
                "not kept",
                |f| {
                    f.stack.reconcile_function = None;
                    f.last_list_pass = ApiAnswer::NotAsked;
                },
                AuditVerdict::Pass,
                "Suppression=off",
                &[],
            ),
            Case(
                "an alarm",
                |f| {
                    pass(f).alarmed = true;
                    pass(f).gone = Some(900);
                },
                AuditVerdict::Fail,
                "900 entries",
                &[],
            ),
            Case(
                "late",
                |f| pass(f).ended_at = Some(now().minus(std::time::Duration::from_hours(49))),
                AuditVerdict::Warn,
                "has not ended a pass",
                &[INVOKE],
            ),
            Case(
                "in time",
                |f| pass(f).ended_at = Some(now().minus(std::time::Duration::from_hours(47))),
                AuditVerdict::Pass,
                "1000 entries",
                &[],
            ),
            Case("50 of 1000 differ", |f| pass(f).differ = Some(50), AuditVerdict::Pass, "50 did not", &[]),
            Case(
                "51 of 1000 differ",
                |f| pass(f).differ = Some(51),
                AuditVerdict::Warn,
                "51 addresses",
                &[INVOKE],
            ),
            Case(
                "a peer is told",
                |f| told(f, Some(48)),
                AuditVerdict::Pass,
                "1 of 1 peers have been told",
                &[],
            ),
            Case(
                "a peer is told no more",
                |f| told(f, Some(49)),
                AuditVerdict::Warn,
                "has not been told all that has changed here since 2026-11-21T11:00:00.000Z",
                &[EVERYTHING],
            ),
            Case("a peer was never told", |f| told(f, None), AuditVerdict::Warn, "even once", &[EVERYTHING]),
            Case(
                "what peers are told can't be read",
                |f| f.peer_pushes = denied("dynamodb:GetItem"),
                AuditVerdict::Unknown,
                "dynamodb:GetItem",
                &[],
            ),
            Case(
                "no peers are known",
                |f| f.peer_pushes = ApiAnswer::NotAsked,
                AuditVerdict::Pass,
                "1000 entries",
                &[],
            ),
        ],
    );
}
