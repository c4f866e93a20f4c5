//! Section 4: mail is signed by DKIM, with keys that are long enough.
//!
//! An address is signed for by its domain. One whose domain is no identity here goes out unsigned, which large mailbox providers
//! take badly since 2024.

use crate::dns::{self, EXTERNAL_KEY, domain_of, parent_region};
use crate::facts::{DkimAttributes, IdentityFacts, RegionFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

const LONG_KEY_LENGTH: &str = "RSA_2048_BIT";

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let Some(identities) = facts.identities.answer() else { return Judgement::unknown(&facts.identities) };
    if identities.is_empty() {
        return Judgement::not_applicable("no identities");
    }
    let region = facts.stack.region.as_str();
    let domains: Vec<_> = identities.iter().filter(|of| of.is_domain()).map(|of| of.name.as_str()).collect();
    let mut judged = Judgement::passes(summarize_signed_domains(identities));
    for of in identities {
        let Some(identity) = of.identity.answer() else {
            judged.add_unanswered(&of.name, &of.identity);
            continue;
        };
        let unknown = DkimAttributes::default();
        let dkim = identity.dkim.as_ref().unwrap_or(&unknown);
        if of.is_domain() {
            judge_domain(&mut judged, of, dkim, region);
        } else if !is_signing(dkim) && !domains.iter().any(|domain| dns::domain_covers(domain, &of.name)) {
            judged.add_finding(
                AuditVerdict::Warn,
                &of.name,
                "its domain is no identity here: mail from it is not signed",
                "Verify the domain, if it is yours, and publish its DKIM records (`mailroom dns`).",
                Fix::aws_command(
                    &["sesv2", "create-email-identity", "--email-identity", domain_of(&of.name)],
                    region,
                ),
            );
        }
    }
    judged
}

fn summarize_signed_domains(identities: &[IdentityFacts]) -> String {
    let domains = identities.iter().filter(|of| of.is_domain());
    let dkims = domains.filter_map(|of| of.identity.answer()?.dkim.as_ref());
    let (mut here, mut elsewhere, mut own) = (0, 0, 0);
    for dkim in dkims.filter(|dkim| is_signing(dkim)) {
        match dkim.signing_attributes_origin.as_deref() {
            Some(EXTERNAL_KEY) => own += 1,
            Some(origin) if parent_region(origin).is_some() => elsewhere += 1,
            _ => here += 1,
        }
    }
    format!(
        "domains that are signed for: {here} by Easy DKIM of this Region, {elsewhere} of another, {own} with a key of their own"
    )
}

fn is_signing(dkim: &DkimAttributes) -> bool {
    dkim.signing_enabled && dkim.status.as_deref() == Some("SUCCESS")
}

/// The command that starts a domain's DKIM again, and with it its verification; a replica's is started from its parent.
/// `None` for a domain with a key of the owner's own, which the owner has to give again.
pub(crate) fn restart_command(of: &IdentityFacts, region: &str) -> Option<Fix> {
    let origin = of.identity.answer().and_then(|of| of.dkim.as_ref()?.signing_attributes_origin.as_deref());
    match origin {
        Some(EXTERNAL_KEY) => None,
        Some(origin) if parent_region(origin).is_some() => {
            let set = ["sesv2", "put-email-identity-dkim-signing-attributes", "--email-identity", &of.name];
            Fix::aws_command(&[&set[..], &["--signing-attributes-origin", origin]].concat(), region)
        }
        _ => Fix::aws_command(&["ses", "verify-domain-dkim", "--domain", &of.name], region),
    }
}

fn judge_domain(judged: &mut Judgement, of: &IdentityFacts, dkim: &DkimAttributes, region: &str) {
    let name = of.name.as_str();
    let origin = dkim.signing_attributes_origin.as_deref();
    if !dkim.signing_enabled {
        judged.add_finding(
            AuditVerdict::Fail,
            name,
            "signing is off: mail goes out unsigned",
            "Turn signing on.",
            Fix::aws_command(
                &[
                    "sesv2",
                    "put-email-identity-dkim-attributes",
                    "--email-identity",
                    name,
                    "--signing-enabled",
                ],
                region,
            ),
        );
    }
    let status = dkim.status.as_deref();
    let verdict = match status {
        Some("SUCCESS") => None,
        Some("TEMPORARY_FAILURE") => Some(AuditVerdict::Warn),
        None | Some("PENDING" | "FAILED" | "NOT_STARTED") => Some(AuditVerdict::Fail),
        Some(_) => Some(AuditVerdict::Unknown),
    };
    if let Some(verdict) = verdict {
        let by = origin.map_or_else(String::new, |origin| format!(", origin {origin}"));
        let todo = if origin == Some(EXTERNAL_KEY) {
            "Publish the public key of your own in a TXT record under the selector that SES names."
        } else {
            "Publish the records. SES looks for them for 72 hours; begin again after that."
        };
        let restarted = match status {
            Some("PENDING" | "TEMPORARY_FAILURE") => None,
            _ => restart_command(of, region),
        };
        let fixes = dns::easy_dkim_records(name, dkim, region).into_iter().map(Fix::Dns).chain(restarted);
        let evidence = format!("DKIM status {}{by}", status.unwrap_or("not told"));
        judged.add_finding(verdict, name, evidence, todo, fixes);
    }
    judge_key_length(judged, name, dkim, region);
}

/// Judges how long the key is. For a key of the owner's own SES tells neither the record nor the length.
fn judge_key_length(judged: &mut Judgement, name: &str, dkim: &DkimAttributes, region: &str) {
    let Some(length) = dkim.current_signing_key_length.as_deref().filter(|length| *length != LONG_KEY_LENGTH)
    else {
        return;
    };
    if length != "RSA_1024_BIT" {
        judged.add_finding(
            AuditVerdict::Unknown,
            name,
            format!("key length {length}, which Mailroom does not know"),
            "Look it up in SES's API reference, DkimAttributes.",
            [],
        );
        return;
    }
    let origin = dkim.signing_attributes_origin.as_deref().unwrap_or_default();
    let parent = parent_region(origin);
    let (todo, fix) = if dkim.next_signing_key_length.as_deref() == Some(LONG_KEY_LENGTH) {
        (
            "Wait: SES makes the longer key next, and goes over to it once it has found its record."
                .to_owned(),
            None,
        )
    } else {
        let set = ["sesv2", "put-email-identity-dkim-signing-attributes", "--email-identity", name];
        let to = [
            "--signing-attributes-origin",
            "AWS_SES",
            "--signing-attributes",
            "NextSigningKeyLength=RSA_2048_BIT",
        ];
        let fix = Fix::aws_command(&[&set[..], &to[..]].concat(), parent.as_deref().unwrap_or(region));
        let whose =
            parent.map_or_else(String::new, |parent| format!(" in {parent}, whose keys this Region uses"));
        (format!("Have SES make a longer key{whose}. It can be changed once a day."), fix)
    };
    judged.add_finding(
        AuditVerdict::Warn,
        name,
        "its key has 1024 bits, which RFC 8301 has as the least and receivers begin to refuse",
        todo,
        fix,
    );
}
