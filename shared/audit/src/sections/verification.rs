//! Section 3: identities are verified. Whether a peer has one that is missing here is for [`crate::compare`].

use super::{dkim, replication};
use crate::comparable::{Comparable, RegionIdentities};
use crate::dns;
use crate::facts::{EmailIdentity, IdentityFacts, RegionFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    if identities.is_empty() {
        let mut judged = Judgement::not_applicable("no identities");
        judged.comparable = Some(Comparable::Identities(RegionIdentities::default()));
        return judged;
    }
    let mut judged = Judgement::passes("");
    let mut verified = Vec::new();
    let mut unverified = Vec::new();
    for of in identities {
        match of.identity.answer() {
            None => {
                judged.add_unanswered(&of.name, &of.identity);
                unverified.push(of.name.as_str());
            }
            Some(identity) => {
                judge_identity(&mut judged, of, identity, &facts.stack.region);
                if identity.verified_for_sending { &mut verified } else { &mut unverified }
                    .push(of.name.as_str());
            }
        }
    }
    judged.evidence = format!("{} of {} identities are verified", verified.len(), identities.len());
    judged.comparable = Some(Comparable::Identities(RegionIdentities::new(verified, unverified)));
    judged
}

fn judge_identity(judged: &mut Judgement, of: &IdentityFacts, identity: &EmailIdentity, region: &str) {
    let status = identity.verification_status.as_deref();
    let verdict = match status {
        Some("SUCCESS") if identity.verified_for_sending => return,
        Some("PENDING" | "FAILED" | "NOT_STARTED") => AuditVerdict::Fail,
        _ if !identity.verified_for_sending => AuditVerdict::Fail,
        Some("TEMPORARY_FAILURE") => AuditVerdict::Warn,
        _ => AuditVerdict::Unknown,
    };
    let told = [
        Some(format!("verification status {}", status.unwrap_or("not told"))),
        (!identity.verified_for_sending).then(|| "not verified for sending".to_owned()),
        identity.verification_error.as_ref().map(|error| format!("error {error}")),
        identity.last_checked_at.map(|at| format!("last checked {at}")),
        identity.last_success_at.map(|at| format!("last verified {at}")),
    ];
    let evidence = told.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let (todo, fixes) = remedy(of, identity, region);
    judged.add_finding(verdict, &of.name, evidence, todo, fixes);
}

fn remedy(of: &IdentityFacts, identity: &EmailIdentity, region: &str) -> (&'static str, Vec<Fix>) {
    if !of.is_domain() {
        let again = Fix::aws_command(&["ses", "verify-email-identity", "--email-address", &of.name], region);
        return ("Have SES send its mail again, and follow the link in it.", again.into_iter().collect());
    }
    if let Some(told) = identity.verification_error.as_deref().and_then(replication::dkim_replica_remedy) {
        return (told, Vec::new());
    }
    let records =
        identity.dkim.iter().flat_map(|dkim| dns::easy_dkim_records(&of.name, dkim, region)).map(Fix::Dns);
    let fixes: Vec<_> = records.chain(dkim::restart_command(of, region)).collect();
    (
        "Publish the DKIM records: SES verifies a domain by them. It looks for 72 hours; begin again after that.",
        fixes,
    )
}
