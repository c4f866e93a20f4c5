//! Comparisons between Regions, of what each Region's verdicts say: identities (section 3), lists (5), delegates (9). Of a MAIL
//! FROM domain that Regions share, one says what to publish (8). And what every Region would say the same is said once (7).

use std::collections::BTreeSet;

use mailroom_core::region::{Partition, Region};
use serde_json::Value;

use crate::comparable::{Comparable, Delegates, Identities, ListSize, fold_case, is_within};
use crate::fix::{DnsRecord, Fix};
use crate::identity_policy::{corrected, principals, put_command};
use crate::judgement::{Judgement, capped};
use crate::section::Section;
use crate::section_verdict::SectionVerdict;
use crate::verdict::{Finding, Verdict};

/// A shorter list is reported only if it lacks more than one in this many of the longer list's entries, and more than
/// this many: states take hours to reach a new Region.
const TOLERATED_SIZE_DIFFERENCE: usize = 20;
/// The most characters that a policy's name may have (SES API v2 Reference, `CreateEmailIdentityPolicy`).
const MAX_POLICY_NAME_CHARS: usize = 64;

/// Every Region's verdicts, in the order in which they came, with what a comparison between them adds.
pub fn compare(verdicts: &[SectionVerdict]) -> Vec<SectionVerdict> {
    let mut told = BTreeSet::new();
    let once = iam_reporters(verdicts);
    verdicts
        .iter()
        .map(|here| {
            if here.section == Section::SmtpCredentials {
                return with_iam_once(here, &once, &mut told);
            }
            let findings = here.findings.iter().map(|finding| with_one_mx(finding, here, verdicts)).collect();
            let mut judged = Judgement { findings, ..Judgement::default() };
            let mut missing = Missing::new();
            for peer in
                verdicts.iter().filter(|peer| peer.section == here.section && peer.region != here.region)
            {
                compare_pair(&mut judged, &mut missing, here, peer, verdicts);
            }
            let verdict = judged.verdict().max(here.verdict);
            let (findings, more) = capped(judged.findings);
            SectionVerdict { verdict, findings, more_findings: here.more_findings + more, ..here.clone() }
        })
        .collect()
}

/// What has been found missing, each thing once, although several peers may have it: the identity, and what of it is
/// missing.
type Missing = BTreeSet<(String, String)>;

fn compare_pair(
    judged: &mut Judgement,
    missing: &mut Missing,
    here: &SectionVerdict,
    peer: &SectionVerdict,
    all: &[SectionVerdict],
) {
    match (&here.comparable, &peer.comparable) {
        (Some(Comparable::Identities(own)), Some(Comparable::Identities(theirs))) => {
            compare_identities(judged, missing, here, own, (peer, theirs));
        }
        (Some(Comparable::List(own)), Some(Comparable::List(theirs))) => {
            compare_list_sizes(judged, own, peer, theirs);
        }
        (Some(Comparable::Delegates(own)), Some(Comparable::Delegates(theirs))) => {
            let identities = all.iter().find_map(|of| match &of.comparable {
                Some(Comparable::Identities(identities)) if of.region == here.region => Some(identities),
                _ => None,
            });
            compare_delegates(judged, missing, here, own, (peer, theirs), identities);
        }
        _ => {}
    }
}

fn compare_identities(
    judged: &mut Judgement,
    missing: &mut Missing,
    here: &SectionVerdict,
    own: &Identities,
    (peer, theirs): (&SectionVerdict, &Identities),
) {
    for name in &theirs.verified {
        let known = !own.is_complete_for(name) || own.has(name) || own.covers(name);
        if known || !missing.insert((fold_case(name), String::new())) {
            continue;
        }
        let todo = if name.contains('@') {
            "If mail from it is to be sent from here, too: create it, and follow the link in the mail that SES sends."
        } else {
            "If mail from it is to be sent from here, too: create it, and publish the records that `mailroom dns` prints. \
             (`--dkim-signing-attributes DomainSigningAttributesOrigin=AWS_SES_…` shares the keys of another Region and needs none.)"
        };
        judged.add_finding(
            Verdict::Warn,
            name,
            format!("verified in {}, missing here", peer.region),
            todo,
            Fix::aws(&["sesv2", "create-email-identity", "--email-identity", name], &here.region),
        );
    }
}

fn compare_list_sizes(judged: &mut Judgement, own: &ListSize, peer: &SectionVerdict, theirs: &ListSize) {
    let missing = theirs.entries.saturating_sub(own.entries);
    if missing <= (theirs.entries / TOLERATED_SIZE_DIFFERENCE).max(TOLERATED_SIZE_DIFFERENCE) {
        return;
    }
    let function = theirs.reconcile_function.as_deref();
    judged.add_finding(
        Verdict::Warn,
        "",
        format!("{} entries here, {} in {}", own.entries, theirs.entries, peer.region),
        format!(
            "A new Region needs some hours. After that: is this Region among the Peers of the stack in {0}? Then have the reconcile \
             function there (output ReconcileFunctionName) tell its peers everything.",
            peer.region
        ),
        function.and_then(|function| Fix::invoke(function, r#"{"everything":true}"#, &peer.region)),
    );
}

/// Leaves the MX record out of a finding whose MAIL FROM domain another Region uses, too: SES accepts only one MX record
/// at a name.
///
/// Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Custom MAIL FROM domains": one Region's record serves all.
fn with_one_mx(finding: &Finding, here: &SectionVerdict, all: &[SectionVerdict]) -> Finding {
    let mut finding = finding.clone();
    let Some(name) = mx(&finding).filter(|_| here.section == Section::MailFrom).map(|of| of.name.clone())
    else {
        return finding;
    };
    let mut sections = all.iter().filter(|of| of.section == Section::MailFrom);
    let published = |of: &&SectionVerdict| match &of.comparable {
        Some(Comparable::MailFrom(domains)) => domains.in_use.iter().any(|of| of.eq_ignore_ascii_case(&name)),
        _ => false,
    };
    let prints = |of: &&SectionVerdict| {
        of.findings.iter().filter_map(mx).any(|of| of.name.eq_ignore_ascii_case(&name))
    };
    let (by, told) = if let Some(by) = sections.clone().find(published) {
        (by, "whose MX record is published and serves here, too: publish no second one")
    } else if let Some(by) = sections.find(prints) {
        (by, "whose MX record is printed there and serves here, too: publish that and no second one")
    } else {
        return finding;
    };
    if by.region != here.region {
        finding.fixes.retain(|fix| !matches!(fix, Fix::Dns(record) if record.kind == "MX"));
        finding.todo = format!(
            "The name is shared with {}, {told}. Then begin again here, if SES has given up. Or set a MAIL FROM subdomain of its \
             own for each Region.",
            by.region
        );
    }
    finding
}

/// The MX record that a finding asks to be published.
fn mx(finding: &Finding) -> Option<&DnsRecord> {
    finding.fixes.iter().find_map(|fix| match fix {
        Fix::Dns(record) if record.kind == "MX" => Some(record),
        _ => None,
    })
}

fn compare_delegates(
    judged: &mut Judgement,
    missing: &mut Missing,
    here: &SectionVerdict,
    own: &Delegates,
    (peer, theirs): (&SectionVerdict, &Delegates),
    identities: Option<&Identities>,
) {
    let is_here = |name: &str| identities.is_some_and(|of| of.has(name));
    for policy in theirs.policies.iter().filter(|policy| is_here(&policy.identity)) {
        let identity = policy.identity.as_str();
        if !is_within(own.through.as_deref(), identity) {
            continue;
        }
        let known: BTreeSet<_> =
            own.of(identity).filter_map(|of| parse_policy(&of.text)).flat_map(|of| principals(&of)).collect();
        let Some(read) = parse_policy(&policy.text) else { continue };
        let mut whom: Vec<_> = principals(&read).into_iter().filter(|who| !known.contains(who)).collect();
        whom.retain(|who| missing.insert((fold_case(identity), who.clone())));
        if whom.is_empty() {
            continue;
        }
        let Some(corrected) = corrected(&read, &here.region) else { continue };
        let taken = own.of(identity).any(|of| of.name == policy.name);
        let name = if taken { copied_policy_name(&policy.name, &peer.region) } else { policy.name.clone() };
        judged.add_finding(
            Verdict::Warn,
            identity,
            format!("{} may send in {} (policy {}), and not here", whom.join(", "), peer.region, policy.name),
            "If they are to send from here, too: give the identity of this Region the same policy.",
            put_command("create", identity, &name, &corrected.to_string(), &here.region),
        );
    }
}

fn parse_policy(policy: &str) -> Option<Value> {
    serde_json::from_str(policy).ok()
}

/// The name for a policy that is copied from another Region: `name-from-us-east-1`.
fn copied_policy_name(name: &str, region: &str) -> String {
    let suffix = format!("-from-{region}");
    let kept: String = name.chars().take(MAX_POLICY_NAME_CHARS.saturating_sub(suffix.len())).collect();
    kept + &suffix
}

fn partition(region: &str) -> &'static str {
    // IAM of one partition knows nothing of the other's.
    Region::find(region).map_or(Partition::Aws, |region| region.partition()).as_str()
}

/// For each partition, the one Region whose verdict on IAM is kept: the first that knows, or else the first.
fn iam_reporters(verdicts: &[SectionVerdict]) -> Vec<(&'static str, &str)> {
    let mut once: Vec<(&'static str, &SectionVerdict)> = Vec::new();
    let rank = |of: &SectionVerdict| match of.verdict {
        Verdict::Pass | Verdict::Warn | Verdict::Fail => 2,
        Verdict::Unknown => 1,
        Verdict::NotApplicable => 0,
    };
    for of in verdicts.iter().filter(|of| of.section == Section::SmtpCredentials) {
        let partition = partition(&of.region);
        match once.iter_mut().find(|(of, _)| *of == partition) {
            Some((_, best)) if rank(of) > rank(best) => *best = of,
            Some(_) => {}
            None => once.push((partition, of)),
        }
    }
    once.into_iter().map(|(partition, of)| (partition, of.region.as_str())).collect()
}

fn with_iam_once(
    here: &SectionVerdict,
    once: &[(&'static str, &str)],
    told: &mut BTreeSet<&'static str>,
) -> SectionVerdict {
    let partition = partition(&here.region);
    let by = once.iter().find(|(of, _)| *of == partition).map_or("", |(_, region)| *region);
    if by == here.region && told.insert(partition) {
        return if here.verdict == Verdict::NotApplicable { iam_unread(here) } else { here.clone() };
    }
    SectionVerdict {
        verdict: Verdict::NotApplicable,
        evidence: format!("IAM is global: told by {by}"),
        findings: Vec::new(),
        more_findings: 0,
        ..here.clone()
    }
}

/// The verdict if no Region has looked for old keys, which does not mean that there are none.
fn iam_unread(here: &SectionVerdict) -> SectionVerdict {
    let mut judged = Judgement::default();
    judged.add_finding(
        Verdict::Unknown,
        "",
        "no Region that was audited has asked IAM",
        "The first by name of a Region and its Peers asks, for all: audit that one, too, or deploy the stack there. Or ask now, by \
         `mailroom audit --live`.",
        [],
    );
    SectionVerdict { verdict: Verdict::Unknown, findings: judged.findings, ..here.clone() }
}
