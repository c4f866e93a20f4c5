//! Comparisons between Regions, of what each Region's verdicts say: identities (section 3), lists (5), delegates (9). Of a MAIL
//! FROM domain that Regions share, one says what to publish (8). And what every Region would say the same is said once (7).

use std::collections::BTreeSet;

use mailroom_core::region::{Partition, Region};
use serde_json::Value;

use crate::comparable::{Comparable, ListSize, RegionIdentities, SendingPolicies, fold_case, is_within};
use crate::fix::{DnsRecord, Fix};
use crate::identity_policy::{
    CorrectedPolicy, PolicyVerb, drop_open_and_move_to_region, named_principals, put_policy_command,
};
use crate::judgement::{Judgement, join_and_cap_findings};
use crate::section::AuditSection;
use crate::section_verdict::SectionVerdict;
use crate::verdict::{AuditVerdict, Finding};

/// A shorter list is reported only if it lacks more than one in this many of the longer list's entries, and more than
/// this many: states take hours to reach a new Region.
const TOLERATED_SIZE_DIFFERENCE: usize = 20;
/// The most characters that a policy's name may have (SES API v2 Reference, `CreateEmailIdentityPolicy`).
const MAX_POLICY_NAME_CHARS: usize = 64;

/// Every Region's verdicts, in the order in which they came, with what a comparison between them adds.
pub fn compare_and_dedup_verdicts(verdicts: &[SectionVerdict]) -> Vec<SectionVerdict> {
    let mut told = BTreeSet::new();
    let once = iam_reporting_regions(verdicts);
    verdicts
        .iter()
        .map(|here| {
            if here.section == AuditSection::SmtpCredentials {
                return with_iam_once(here, &once, &mut told);
            }
            let findings = here
                .findings
                .iter()
                .map(|finding| drop_shared_mail_from_mx(finding, here, verdicts))
                .collect();
            let mut judged = Judgement { findings, ..Judgement::default() };
            let mut missing = ReportedItems::new();
            for peer in
                verdicts.iter().filter(|peer| peer.section == here.section && peer.region != here.region)
            {
                compare_pair(&mut judged, &mut missing, here, peer, verdicts);
            }
            let verdict = judged.verdict().max(here.verdict);
            let (findings, more) = join_and_cap_findings(judged.findings);
            SectionVerdict { verdict, findings, more_findings: here.more_findings + more, ..here.clone() }
        })
        .collect()
}

/// What has been found missing, each thing once, although several peers may have it: the identity, and what of it is
/// missing.
type ReportedItems = BTreeSet<(String, String)>;

fn compare_pair(
    judged: &mut Judgement,
    already_reported: &mut ReportedItems,
    here: &SectionVerdict,
    peer: &SectionVerdict,
    all: &[SectionVerdict],
) {
    match (&here.comparable, &peer.comparable) {
        (Some(Comparable::Identities(own)), Some(Comparable::Identities(theirs))) => {
            judge_missing_identities(judged, already_reported, here, own, (peer, theirs));
        }
        (Some(Comparable::List(own)), Some(Comparable::List(theirs))) => {
            judge_shorter_list(judged, own, peer, theirs);
        }
        (Some(Comparable::Delegates(own)), Some(Comparable::Delegates(theirs))) => {
            let identities = all.iter().find_map(|of| match &of.comparable {
                Some(Comparable::Identities(identities)) if of.region == here.region => Some(identities),
                _ => None,
            });
            judge_missing_delegates(judged, already_reported, here, own, (peer, theirs), identities);
        }
        _ => {}
    }
}

fn judge_missing_identities(
    judged: &mut Judgement,
    already_reported: &mut ReportedItems,
    here: &SectionVerdict,
    own: &RegionIdentities,
    (peer, theirs): (&SectionVerdict, &RegionIdentities),
) {
    for name in &theirs.verified {
        let known = !own.is_complete_for(name) || own.has_identity(name) || own.has_verified_domain_for(name);
        if known || !already_reported.insert((fold_case(name), String::new())) {
            continue;
        }
        let todo = if name.contains('@') {
            "If mail from it is to be sent from here, too: create it, and follow the link in the mail that SES sends."
        } else {
            "If mail from it is to be sent from here, too: create it, and publish the records that `mailroom dns` prints. \
             (`--dkim-signing-attributes DomainSigningAttributesOrigin=AWS_SES_…` shares the keys of another Region and needs none.)"
        };
        judged.add_finding(
            AuditVerdict::Warn,
            name,
            format!("verified in {}, missing here", peer.region),
            todo,
            Fix::aws_command(&["sesv2", "create-email-identity", "--email-identity", name], &here.region),
        );
    }
}

fn judge_shorter_list(judged: &mut Judgement, own: &ListSize, peer: &SectionVerdict, theirs: &ListSize) {
    let missing = theirs.entries.saturating_sub(own.entries);
    if missing <= (theirs.entries / TOLERATED_SIZE_DIFFERENCE).max(TOLERATED_SIZE_DIFFERENCE) {
        return;
    }
    let function = theirs.reconcile_function.as_deref();
    judged.add_finding(
        AuditVerdict::Warn,
        "",
        format!("{} entries here, {} in {}", own.entries, theirs.entries, peer.region),
        format!(
            "A new Region needs some hours. After that: is this Region among the Peers of the stack in {0}? Then have the reconcile \
             function there (output ReconcileFunctionName) tell its peers everything.",
            peer.region
        ),
        function.and_then(|function| Fix::invoke_command(function, r#"{"everything":true}"#, &peer.region)),
    );
}

/// Leaves the MX record out of a finding whose MAIL FROM domain another Region uses, too: SES accepts only one MX record
/// at a name.
///
/// Source: Amazon SES Developer Guide, "Regions and Amazon SES", "Custom MAIL FROM domains": one Region's record serves all.
fn drop_shared_mail_from_mx(
    finding: &Finding,
    own_verdict: &SectionVerdict,
    all_verdicts: &[SectionVerdict],
) -> Finding {
    let mut finding = finding.clone();
    let Some(name) = find_mx_record(&finding)
        .filter(|_| own_verdict.section == AuditSection::MailFrom)
        .map(|of| of.name.clone())
    else {
        return finding;
    };
    let mut sections = all_verdicts.iter().filter(|of| of.section == AuditSection::MailFrom);
    let published = |of: &&SectionVerdict| match &of.comparable {
        Some(Comparable::MailFrom(domains)) => domains.in_use.iter().any(|of| of.eq_ignore_ascii_case(&name)),
        _ => false,
    };
    let prints = |of: &&SectionVerdict| {
        of.findings.iter().filter_map(find_mx_record).any(|of| of.name.eq_ignore_ascii_case(&name))
    };
    let (by, told) = if let Some(by) = sections.clone().find(published) {
        (by, "whose MX record is published and serves here, too: publish no second one")
    } else if let Some(by) = sections.find(prints) {
        (by, "whose MX record is printed there and serves here, too: publish that and no second one")
    } else {
        return finding;
    };
    if by.region != own_verdict.region {
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
fn find_mx_record(finding: &Finding) -> Option<&DnsRecord> {
    finding.fixes.iter().find_map(|fix| match fix {
        Fix::Dns(record) if record.kind == "MX" => Some(record),
        _ => None,
    })
}

fn judge_missing_delegates(
    judged: &mut Judgement,
    already_reported: &mut ReportedItems,
    here: &SectionVerdict,
    own: &SendingPolicies,
    (peer, theirs): (&SectionVerdict, &SendingPolicies),
    identities: Option<&RegionIdentities>,
) {
    let is_here = |name: &str| identities.is_some_and(|of| of.has_identity(name));
    for policy in theirs.policies.iter().filter(|policy| is_here(&policy.identity)) {
        let identity = policy.identity.as_str();
        if !is_within(own.complete_through.as_deref(), identity) {
            continue;
        }
        let known: BTreeSet<_> = own
            .policies_of(identity)
            .filter_map(|of| parse_policy(&of.text))
            .flat_map(|of| named_principals(&of))
            .collect();
        let Some(read) = parse_policy(&policy.text) else { continue };
        let mut whom: Vec<_> =
            named_principals(&read).into_iter().filter(|who| !known.contains(who)).collect();
        whom.retain(|who| already_reported.insert((fold_case(identity), who.clone())));
        if whom.is_empty() {
            continue;
        }
        let CorrectedPolicy::Kept(corrected) = drop_open_and_move_to_region(&read, &here.region) else {
            continue;
        };
        let taken = own.policies_of(identity).any(|of| of.name == policy.name);
        let name =
            if taken { identity_policy_copy_name(&policy.name, &peer.region) } else { policy.name.clone() };
        judged.add_finding(
            AuditVerdict::Warn,
            identity,
            format!("{} may send in {} (policy {}), and not here", whom.join(", "), peer.region, policy.name),
            "If they are to send from here, too: give the identity of this Region the same policy.",
            put_policy_command(PolicyVerb::Create, identity, &name, &corrected.to_string(), &here.region),
        );
    }
}

fn parse_policy(policy: &str) -> Option<Value> {
    serde_json::from_str(policy).ok()
}

/// The name for a policy that is copied from another Region: `name-from-us-east-1`.
fn identity_policy_copy_name(name: &str, source_region: &str) -> String {
    let suffix = format!("-from-{source_region}");
    let kept: String = name.chars().take(MAX_POLICY_NAME_CHARS.saturating_sub(suffix.len())).collect();
    kept + &suffix
}

fn partition_name(region: &str) -> &'static str {
    // IAM of one partition knows nothing of the other's.
    Region::find(region).map_or(Partition::Aws, |region| region.partition()).as_str()
}

/// For each partition, the one Region whose verdict on IAM is kept: the first that knows, or else the first.
fn iam_reporting_regions(verdicts: &[SectionVerdict]) -> Vec<(&'static str, &str)> {
    let mut once: Vec<(&'static str, &SectionVerdict)> = Vec::new();
    let rank = |of: &SectionVerdict| match of.verdict {
        AuditVerdict::Pass | AuditVerdict::Warn | AuditVerdict::Fail => 2,
        AuditVerdict::Unknown => 1,
        AuditVerdict::NotApplicable => 0,
    };
    for of in verdicts.iter().filter(|of| of.section == AuditSection::SmtpCredentials) {
        let partition = partition_name(&of.region);
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
    let partition = partition_name(&here.region);
    let by = once.iter().find(|(of, _)| *of == partition).map_or("", |(_, region)| *region);
    if by == here.region && told.insert(partition) {
        return if here.verdict == AuditVerdict::NotApplicable {
            mark_iam_not_asked(here)
        } else {
            here.clone()
        };
    }
    SectionVerdict {
        verdict: AuditVerdict::NotApplicable,
        evidence: format!("IAM is global: told by {by}"),
        findings: Vec::new(),
        more_findings: 0,
        ..here.clone()
    }
}

/// The verdict if no Region has looked for old keys, which does not mean that there are none.
fn mark_iam_not_asked(here: &SectionVerdict) -> SectionVerdict {
    let mut judged = Judgement::default();
    judged.add_finding(
        AuditVerdict::Unknown,
        "",
        "no Region that was audited has asked IAM",
        "The first by name of a Region and its Peers asks, for all: audit that one, too, or deploy the stack there. Or ask now, by \
         `mailroom audit --live`.",
        [],
    );
    SectionVerdict { verdict: AuditVerdict::Unknown, findings: judged.findings, ..here.clone() }
}
