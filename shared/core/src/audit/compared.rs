//! Comparisons between Regions, of what each Region's verdicts say: identities (section 3), lists (5), delegates (9). Of a MAIL
//! FROM domain that Regions share, one says what to publish (8). And what every Region would say the same is said once (7).
//!
//! What is compared is kept with the verdict, as much as fits: names in their order, up to one *through* which a Region's
//! list is complete. What comes after it is compared with nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::authorization::{corrected, principals, put};
use super::dns::covers;
use super::fix::{DnsRecord, Fix};
use super::judged::{Judged, capped};
use super::{Finding, Section, SectionVerdict, Verdict};
use crate::region::{Partition, Region};

/// The most bytes of an item's 400 KB that a comparison's data may take: see [`super::judged`].
const MAX_COMPARED_BYTES: usize = 180_000;
/// A shorter list is reported only if it lacks more than one in this many of the longer list's entries, and more than
/// this many: states take hours to reach a new Region.
const TOLERATED_SIZE_DIFFERENCE: usize = 20;
/// The most characters that a policy's name may have (SES API v2 Reference, `CreateEmailIdentityPolicy`).
const MAX_POLICY_NAME_CHARS: usize = 64;

/// The facts of a section by which Regions are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compared {
    /// The identities (section 3).
    Identities(Identities),
    /// The size of the suppression list (section 5).
    List(ListSize),
    /// The custom MAIL FROM domains (section 8).
    MailFrom(MailFromDomains),
    /// The sending authorization policies (section 9).
    Delegates(Delegates),
}

/// A Region's identities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identities {
    /// The identities from which mail can be sent.
    pub verified: Vec<String>,
    /// The identities from which mail cannot be sent, or of which that is not known.
    pub unverified: Vec<String>,
    /// The last name that is kept, if there are more than fit; `None` if all are kept.
    pub through: Option<String>,
}

/// The size of a Region's suppression list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSize {
    /// How many entries the list had when reconcile last went through it.
    pub entries: usize,
    /// The name of the Region's reconcile function, which tells the peers.
    #[serde(default)]
    pub reconcile_function: Option<String>,
}

/// A Region's custom MAIL FROM domains.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MailFromDomains {
    /// The domains that SES uses, since their MX records are published. No more are kept than fit.
    pub in_use: Vec<String>,
}

/// A Region's sending authorization policies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Delegates {
    /// The policies, in the order of their identities' names.
    pub policies: Vec<Policy>,
    /// The last identity whose policies are kept, if there are more than fit; `None` if all are kept.
    pub through: Option<String>,
}

/// A policy of an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Policy {
    /// The name of the identity that the policy belongs to.
    pub identity: String,
    /// The policy's name.
    pub name: String,
    /// The policy's JSON text, as SES gave it.
    pub text: String,
}

impl Identities {
    pub(super) fn new(verified: Vec<&str>, unverified: Vec<&str>) -> Self {
        let mut all: Vec<_> = verified
            .into_iter()
            .map(|name| (name, true))
            .chain(unverified.into_iter().map(|name| (name, false)))
            .collect();
        all.sort_by_key(|(name, verified)| (form(name), *verified));
        let mut bytes = 0;
        // Counts the name as JSON has it: with quotes, a comma, and escapes.
        let fit = all.iter().take_while(|(name, _)| fits(&mut bytes, json_len(name) + 1)).count();
        let through =
            (fit < all.len()).then(|| all.get(fit.saturating_sub(1)).map_or("", |(name, _)| name).to_owned());
        all.truncate(fit);
        let (verified, unverified): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, verified)| *verified);
        let names = |of: Vec<(&str, bool)>| of.into_iter().map(|(name, _)| name.to_owned()).collect();
        Self { verified: names(verified), unverified: names(unverified), through }
    }

    fn tells_of(&self, name: &str) -> bool {
        within(self.through.as_deref(), name)
    }

    fn has(&self, name: &str) -> bool {
        self.verified.iter().chain(&self.unverified).any(|of| of.eq_ignore_ascii_case(name))
    }

    /// Whether mail from an address can be sent by its domain's identity.
    fn covers(&self, address: &str) -> bool {
        let domains = self.verified.iter().filter(|of| !of.contains('@'));
        address.contains('@') && domains.into_iter().any(|domain| covers(domain, address))
    }
}

impl MailFromDomains {
    pub(super) fn new(in_use: BTreeSet<String>) -> Self {
        let mut bytes = 0;
        Self { in_use: in_use.into_iter().take_while(|of| fits(&mut bytes, json_len(of) + 1)).collect() }
    }
}

impl Delegates {
    pub(super) fn new(mut policies: Vec<Policy>) -> Self {
        policies.sort_by(|a, b| form(&a.identity).cmp(&form(&b.identity)).then_with(|| a.cmp(b)));
        let mut bytes = 0;
        let fit = policies
            .iter()
            .take_while(|of| {
                fits(&mut bytes, json_len(&of.identity) + json_len(&of.name) + json_len(&of.text) + 40)
            })
            .count();
        let through = policies.get(fit).map(|cut| {
            // An identity of whose policies only some fit is left out.
            let before = policies.iter().take(fit).rev().find(|of| of.identity != cut.identity);
            before.map_or_else(String::new, |of| of.identity.clone())
        });
        policies.truncate(fit);
        if let Some(through) = &through {
            policies.retain(|of| form(&of.identity) <= form(through));
        }
        Self { policies, through }
    }

    fn of<'a>(&'a self, identity: &'a str) -> impl Iterator<Item = &'a Policy> {
        self.policies.iter().filter(move |of| of.identity.eq_ignore_ascii_case(identity))
    }
}

fn json_len(text: &str) -> usize {
    serde_json::to_string(text).map_or(MAX_COMPARED_BYTES, |text| text.len())
}

fn fits(bytes: &mut usize, more: usize) -> bool {
    *bytes += more;
    *bytes <= MAX_COMPARED_BYTES
}

/// The form of a name by which identities are ordered. Neither domains nor, among SES's identities in practice, addresses
/// differ by case alone.
fn form(name: &str) -> String {
    name.to_ascii_lowercase()
}

fn within(through: Option<&str>, name: &str) -> bool {
    through.is_none_or(|through| form(name) <= form(through))
}

/// Every Region's verdicts, in the order in which they came, with what a comparison between them adds.
pub fn compare(verdicts: &[SectionVerdict]) -> Vec<SectionVerdict> {
    let mut told = BTreeSet::new();
    let once = once(verdicts);
    verdicts
        .iter()
        .map(|here| {
            if here.section == Section::SmtpCredentials {
                return once_only(here, &once, &mut told);
            }
            let findings = here.findings.iter().map(|finding| with_one_mx(finding, here, verdicts)).collect();
            let mut judged = Judged { findings, ..Judged::default() };
            let mut missing = Missing::new();
            for peer in
                verdicts.iter().filter(|peer| peer.section == here.section && peer.region != here.region)
            {
                pair(&mut judged, &mut missing, here, peer, verdicts);
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

fn pair(
    judged: &mut Judged,
    missing: &mut Missing,
    here: &SectionVerdict,
    peer: &SectionVerdict,
    all: &[SectionVerdict],
) {
    match (&here.compared, &peer.compared) {
        (Some(Compared::Identities(own)), Some(Compared::Identities(theirs))) => {
            identities(judged, missing, here, own, (peer, theirs));
        }
        (Some(Compared::List(own)), Some(Compared::List(theirs))) => list(judged, own, peer, theirs),
        (Some(Compared::Delegates(own)), Some(Compared::Delegates(theirs))) => {
            let identities = all.iter().find_map(|of| match &of.compared {
                Some(Compared::Identities(identities)) if of.region == here.region => Some(identities),
                _ => None,
            });
            delegates(judged, missing, here, own, (peer, theirs), identities);
        }
        _ => {}
    }
}

fn identities(
    judged: &mut Judged,
    missing: &mut Missing,
    here: &SectionVerdict,
    own: &Identities,
    (peer, theirs): (&SectionVerdict, &Identities),
) {
    for name in &theirs.verified {
        let known = !own.tells_of(name) || own.has(name) || own.covers(name);
        if known || !missing.insert((form(name), String::new())) {
            continue;
        }
        let todo = if name.contains('@') {
            "If mail from it is to be sent from here, too: create it, and follow the link in the mail that SES sends."
        } else {
            "If mail from it is to be sent from here, too: create it, and publish the records that `mailroom dns` prints. \
             (`--dkim-signing-attributes DomainSigningAttributesOrigin=AWS_SES_…` shares the keys of another Region and needs none.)"
        };
        judged.found(
            Verdict::Warn,
            name,
            format!("verified in {}, missing here", peer.region),
            todo,
            Fix::aws(&["sesv2", "create-email-identity", "--email-identity", name], &here.region),
        );
    }
}

fn list(judged: &mut Judged, own: &ListSize, peer: &SectionVerdict, theirs: &ListSize) {
    let missing = theirs.entries.saturating_sub(own.entries);
    if missing <= (theirs.entries / TOLERATED_SIZE_DIFFERENCE).max(TOLERATED_SIZE_DIFFERENCE) {
        return;
    }
    let function = theirs.reconcile_function.as_deref();
    judged.found(
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
    let published = |of: &&SectionVerdict| match &of.compared {
        Some(Compared::MailFrom(domains)) => domains.in_use.iter().any(|of| of.eq_ignore_ascii_case(&name)),
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

fn delegates(
    judged: &mut Judged,
    missing: &mut Missing,
    here: &SectionVerdict,
    own: &Delegates,
    (peer, theirs): (&SectionVerdict, &Delegates),
    identities: Option<&Identities>,
) {
    let is_here = |name: &str| identities.is_some_and(|of| of.has(name));
    for policy in theirs.policies.iter().filter(|policy| is_here(&policy.identity)) {
        let identity = policy.identity.as_str();
        if !within(own.through.as_deref(), identity) {
            continue;
        }
        let known: BTreeSet<_> =
            own.of(identity).filter_map(|of| read(&of.text)).flat_map(|of| principals(&of)).collect();
        let Some(read) = read(&policy.text) else { continue };
        let mut whom: Vec<_> = principals(&read).into_iter().filter(|who| !known.contains(who)).collect();
        whom.retain(|who| missing.insert((form(identity), who.clone())));
        if whom.is_empty() {
            continue;
        }
        let Some(corrected) = corrected(&read, &here.region) else { continue };
        let taken = own.of(identity).any(|of| of.name == policy.name);
        let name = if taken { renamed(&policy.name, &peer.region) } else { policy.name.clone() };
        judged.found(
            Verdict::Warn,
            identity,
            format!("{} may send in {} (policy {}), and not here", whom.join(", "), peer.region, policy.name),
            "If they are to send from here, too: give the identity of this Region the same policy.",
            put("create", identity, &name, &corrected.to_string(), &here.region),
        );
    }
}

fn read(policy: &str) -> Option<Value> {
    serde_json::from_str(policy).ok()
}

/// The name for a policy that is copied from another Region: `name-from-us-east-1`.
fn renamed(name: &str, region: &str) -> String {
    let suffix = format!("-from-{region}");
    let kept: String = name.chars().take(MAX_POLICY_NAME_CHARS.saturating_sub(suffix.len())).collect();
    kept + &suffix
}

fn partition(region: &str) -> &'static str {
    // IAM of one partition knows nothing of the other's.
    Region::find(region).map_or(Partition::Aws, |region| region.partition()).as_str()
}

/// For each partition, the one Region whose verdict on IAM is kept: the first that knows, or else the first.
fn once(verdicts: &[SectionVerdict]) -> Vec<(&'static str, &str)> {
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

fn once_only(
    here: &SectionVerdict,
    once: &[(&'static str, &str)],
    told: &mut BTreeSet<&'static str>,
) -> SectionVerdict {
    let partition = partition(&here.region);
    let by = once.iter().find(|(of, _)| *of == partition).map_or("", |(_, region)| *region);
    if by == here.region && told.insert(partition) {
        return if here.verdict == Verdict::NotApplicable { nobody_asked(here) } else { here.clone() };
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
fn nobody_asked(here: &SectionVerdict) -> SectionVerdict {
    let mut judged = Judged::default();
    judged.found(
        Verdict::Unknown,
        "",
        "no Region that was audited has asked IAM",
        "The first by name of a Region and its Peers asks, for all: audit that one, too, or deploy the stack there. Or ask now, by \
         `mailroom audit --live`.",
        [],
    );
    SectionVerdict { verdict: Verdict::Unknown, findings: judged.findings, ..here.clone() }
}
