//! Section 9: sending authorization. Whether a delegate of another Region is missing here is for [`crate::compare`].
//!
//! Source: Amazon SES Developer Guide, "Amazon SES policy anatomy", "Regions and Amazon SES", read 2026-11: a policy is of use
//! only in the Region of its identity, which its resource names.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::comparable::{Comparable, IdentityPolicy, SendingPolicies};
use crate::facts::{IdentityFacts, RegionFacts};
use crate::fix::Fix;
use crate::identity_policy::{
    CorrectedPolicy, PolicyVerb, allows_wildcard_principal, drop_open_and_move_to_region, foreign_region,
    named_principals, put_policy_command, resources, statements,
};
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    let region = facts.stack.region.as_str();
    let mut judged = Judgement::passes("");
    let mut policies = Vec::new();
    let mut delegates = BTreeSet::new();
    for of in identities {
        let Some(identity) = of.identity.answer() else {
            judged.add_unanswered(&of.name, &of.identity);
            continue;
        };
        for (name, text) in &identity.policies {
            match serde_json::from_str(text) {
                Ok(policy) => {
                    judge_policy(&mut judged, of, name, &policy, region);
                    delegates.extend(named_principals(&policy));
                    policies.push(IdentityPolicy {
                        identity: of.name.clone(),
                        name: name.clone(),
                        text: text.clone(),
                    });
                }
                Err(_) => judged.add_finding(
                    AuditVerdict::Unknown,
                    &of.name,
                    format!("policy {name} can't be read as JSON"),
                    "Look at it in SES's console.",
                    [],
                ),
            }
        }
    }
    judged.applies = !policies.is_empty();
    judged.evidence = if policies.is_empty() {
        "no policies".to_owned()
    } else {
        format!("{} policies, {} delegates", policies.len(), delegates.len())
    };
    judged.comparable = Some(Comparable::Delegates(SendingPolicies::new(policies)));
    judged
}

/// Makes one finding with one command, however much is wrong with the policy. Each command writes the whole policy, so a
/// second one that fixes another fault would write back the fault that the first has fixed.
fn judge_policy(judged: &mut Judgement, of: &IdentityFacts, name: &str, policy: &Value, region: &str) {
    let mut found: Vec<(AuditVerdict, String, &str)> = Vec::new();
    let open: Vec<_> = statements(policy).filter(|statement| allows_wildcard_principal(statement)).collect();
    if !open.is_empty() {
        let anybody = open.iter().any(|statement| statement.get("Condition").is_none());
        let (verdict, whom) = if anybody {
            (AuditVerdict::Fail, "anybody with an AWS account")
        } else {
            (AuditVerdict::Warn, "anybody for whom its condition holds")
        };
        let todo = "Name the delegates' accounts, users or roles instead. The command takes the open statement away.";
        found.push((verdict, format!("lets {whom} send as this identity"), todo));
    }
    let elsewhere: BTreeSet<_> =
        statements(policy).flat_map(resources).filter_map(|arn| foreign_region(arn, region)).collect();
    for other in elsewhere {
        let evidence = format!("names a resource of {other}: here it authorizes nobody");
        found.push((AuditVerdict::Fail, evidence, "Have it name the identity of this Region."));
    }
    let Some(verdict) = found.iter().map(|(verdict, ..)| *verdict).max() else { return };
    let evidence: Vec<_> = found.iter().map(|(_, evidence, _)| evidence.as_str()).collect();
    let mut todo: Vec<_> = found.iter().map(|(.., todo)| *todo).collect();
    todo.dedup();
    let fix = match drop_open_and_move_to_region(policy, region) {
        CorrectedPolicy::Kept(corrected) => {
            put_policy_command(PolicyVerb::Update, &of.name, name, &corrected.to_string(), region)
        }
        CorrectedPolicy::NothingLeft => Fix::aws_command(
            &["sesv2", "delete-email-identity-policy", "--email-identity", &of.name, "--policy-name", name],
            region,
        ),
    };
    judged.add_finding(
        verdict,
        &of.name,
        format!("policy {name} {}", evidence.join("; ")),
        todo.join(" "),
        fix,
    );
}
