//! Section 3: identities are verified. Whether a peer has one that is missing here is for [`super::compared`].

use super::compared::{Compared, Identities};
use super::dns;
use super::facts::{Facts, Identity, IdentityFacts};
use super::fix::Fix;
use super::judged::Judged;
use super::{Verdict, dkim, replication};

pub(super) fn judge(facts: &Facts) -> Judged {
    let Some(identities) = facts.identities.answer() else { return Judged::unknown(&facts.identities) };
    if identities.is_empty() {
        let mut judged = Judged::not_applicable("no identities");
        judged.compared = Some(Compared::Identities(Identities::default()));
        return judged;
    }
    let mut judged = Judged::passes("");
    let mut verified = Vec::new();
    let mut unverified = Vec::new();
    for of in identities {
        match of.identity.answer() {
            None => {
                judged.unanswered(&of.name, &of.identity);
                unverified.push(of.name.as_str());
            }
            Some(identity) => {
                let sends = one(&mut judged, of, identity, &facts.stack.region);
                if sends { &mut verified } else { &mut unverified }.push(of.name.as_str());
            }
        }
    }
    judged.evidence = format!("{} of {} identities are verified", verified.len(), identities.len());
    judged.compared = Some(Compared::Identities(Identities::new(verified, unverified)));
    judged
}

/// Judges an identity, and returns whether mail can be sent from it.
fn one(judged: &mut Judged, of: &IdentityFacts, identity: &Identity, region: &str) -> bool {
    let status = identity.verification_status.as_deref();
    let verdict = match status {
        Some("SUCCESS") if identity.verified_for_sending => return true,
        Some("PENDING" | "FAILED" | "NOT_STARTED") => Verdict::Fail,
        _ if !identity.verified_for_sending => Verdict::Fail,
        Some("TEMPORARY_FAILURE") => Verdict::Warn,
        _ => Verdict::Unknown,
    };
    let told = [
        Some(format!("verification status {}", status.unwrap_or("not told"))),
        (!identity.verified_for_sending).then(|| "not verified for sending".to_owned()),
        identity.verification_error.as_ref().map(|error| format!("error {error}")),
        identity.last_checked_at.map(|at| format!("last checked {at}")),
        identity.last_success_at.map(|at| format!("last verified {at}")),
    ];
    let evidence = told.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let (todo, fixes) = mended(of, identity, region);
    judged.found(verdict, &of.name, evidence, todo, fixes);
    identity.verified_for_sending
}

fn mended(of: &IdentityFacts, identity: &Identity, region: &str) -> (&'static str, Vec<Fix>) {
    if !of.is_domain() {
        let again = Fix::aws(&["ses", "verify-email-identity", "--email-address", &of.name], region);
        return ("Have SES send its mail again, and follow the link in it.", again.into_iter().collect());
    }
    if let Some(told) = identity.verification_error.as_deref().and_then(replication::mended) {
        return (told, Vec::new());
    }
    let records = identity.dkim.iter().flat_map(|dkim| dns::dkim(&of.name, dkim, region)).map(Fix::Dns);
    let fixes: Vec<_> = records.chain(dkim::restarted(of, region)).collect();
    (
        "Publish the DKIM records: SES verifies a domain by them. It looks for 72 hours; begin again after that.",
        fixes,
    )
}
