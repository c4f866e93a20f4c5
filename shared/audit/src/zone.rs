//! Every DNS record that SES asks for of a domain, over several Regions, as part of a zone file (RFC 1035, section 5).
//!
//! What is published once for all Regions stands there once. What must not be published as it is stands in a comment.

use std::collections::BTreeMap;
use std::fmt;

use crate::dns::{self, OWN_KEY};
use crate::facts::{ApiAnswer, Identity, ReceiptRule, RuleSet};
use crate::fix::{DnsRecord, Fix};

/// What decides which records SES asks for in one Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionAsks {
    /// The Region's name.
    pub region: String,
    /// The answer to `GetEmailIdentity` for the domain; `None` if it is no identity there.
    pub identity: ApiAnswer<Option<Identity>>,
    /// The answer to `DescribeActiveReceiptRuleSet`; `None` if no rule set is active. Not asked where SES does not
    /// receive.
    pub rule_set: ApiAnswer<Option<RuleSet>>,
}

impl RegionAsks {
    /// Whether SES has answered all that it was asked.
    pub fn is_complete(&self) -> bool {
        let unanswered = unanswered(&self.identity).or_else(|| unanswered(&self.rule_set));
        unanswered.is_none()
    }
}

/// The DNS records of a domain, in sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    domain: String,
    regions: Vec<String>,
    sections: Vec<Section>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    title: String,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Record(DnsRecord),
    /// A record that is not to be published as it is.
    Commented(DnsRecord),
    Comment(String),
}

impl Zone {
    /// Collects the records of a domain in the Regions' order. `domain` is spelled as SES has it; `mail_from` is the
    /// custom MAIL FROM domain that is to be set where there is none yet.
    pub fn new(domain: &str, asks: &[RegionAsks], mail_from: Option<&str>) -> Self {
        let sections = [
            not_known(domain, asks),
            easy_dkim(domain, asks),
            custom_mail_from(domain, asks, mail_from),
            receiving(domain, asks),
            dmarc(domain),
        ];
        Self {
            domain: domain.to_owned(),
            regions: asks.iter().map(|asks| asks.region.clone()).collect(),
            sections: sections.into_iter().filter(|section| !section.lines.is_empty()).collect(),
        }
    }

    /// The records that are to be published.
    pub fn records(&self) -> impl Iterator<Item = &DnsRecord> {
        self.sections.iter().flat_map(|section| &section.lines).filter_map(|line| match line {
            Line::Record(record) => Some(record),
            Line::Commented(_) | Line::Comment(_) => None,
        })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "; {} for Amazon SES in {}", self.domain, self.regions.join(", "))?;
        for section in &self.sections {
            writeln!(f, "\n; {}", section.title)?;
            for line in &section.lines {
                match line {
                    Line::Record(record) => writeln!(f, "{record}")?,
                    Line::Commented(record) => writeln!(f, ";{record}")?,
                    Line::Comment(text) => writeln!(f, "; {text}")?,
                }
            }
        }
        Ok(())
    }
}

fn identities(asks: &[RegionAsks]) -> impl Iterator<Item = (&str, &Identity)> {
    asks.iter().filter_map(|asks| Some((asks.region.as_str(), asks.identity.answer()?.as_ref()?)))
}

/// Why a question that was asked has no answer; `None` if it has one, or was not asked.
fn unanswered<T>(asked: &ApiAnswer<T>) -> Option<String> {
    match asked {
        ApiAnswer::Answered(_) | ApiAnswer::NotAsked => None,
        ApiAnswer::Denied(action) => Some(format!("not permitted: {action}")),
        ApiAnswer::NotEnabled(code) => Some(format!("not enabled ({code})")),
        ApiAnswer::Throttled(action) => Some(format!("{action}: throttled")),
        ApiAnswer::Failed { action, why } => Some(format!("{action}: {why}")),
    }
}

fn not_known(domain: &str, asks: &[RegionAsks]) -> Section {
    let mut lines = Vec::new();
    for RegionAsks { region, identity, .. } in asks {
        match identity {
            ApiAnswer::Answered(Some(_)) => {}
            ApiAnswer::Answered(None) => {
                lines.push(Line::Comment(format!(
                    "{region}: no identity. To have one, and its records here:"
                )));
                let create =
                    Fix::aws(&["sesv2", "create-email-identity", "--email-identity", domain], region);
                lines.extend(create.map(|fix| Line::Comment(format!("  {fix}"))));
            }
            _ => lines.extend(unanswered(identity).map(|why| Line::Comment(format!("{region}: {why}")))),
        }
    }
    Section { title: "Not here".to_owned(), lines }
}

fn easy_dkim(domain: &str, asks: &[RegionAsks]) -> Section {
    let mut asking: Vec<(DnsRecord, Vec<&str>)> = Vec::new();
    let mut own = Vec::new();
    for (region, identity) in identities(asks) {
        let Some(of) = &identity.dkim else { continue };
        if of.signing_attributes_origin.as_deref() == Some(OWN_KEY) {
            own.extend(of.tokens.iter().map(|selector| {
                let name = format!("{selector}._domainkey.{domain}");
                Line::Comment(format!("{region}: a key of your own: its public key in a TXT record, {name}"))
            }));
        }
        for record in dns::dkim(domain, of, region) {
            match asking.iter_mut().find(|(of, _)| *of == record) {
                Some((_, regions)) => regions.push(region),
                None => asking.push((record, vec![region])),
            }
        }
    }
    let mut lines = Vec::new();
    let mut said: &[&str] = &[];
    let mut published: BTreeMap<String, String> = BTreeMap::new();
    for (record, regions) in &asking {
        if regions.as_slice() != said {
            lines.push(Line::Comment(format!("{}:", regions.join(", "))));
            said = regions;
        }
        // A name has one CNAME (RFC 1034, section 3.6.2).
        match published.get(&record.name.to_ascii_lowercase()) {
            Some(target) if !target.eq_ignore_ascii_case(&record.value) => {
                lines.push(Line::Comment(
                    "CONFLICT: that name has a record above, and can have no other:".to_owned(),
                ));
                lines.push(Line::Commented(record.clone()));
            }
            Some(_) => {}
            None => {
                published.insert(record.name.to_ascii_lowercase(), record.value.clone());
                lines.push(Line::Record(record.clone()));
            }
        }
    }
    lines.extend(own);
    Section { title: "Easy DKIM".to_owned(), lines }
}

fn custom_mail_from(domain: &str, asks: &[RegionAsks], planned: Option<&str>) -> Section {
    let mut by_domain: Vec<(String, Vec<&str>)> = Vec::new();
    let mut to_set = Vec::new();
    let mut others = Vec::new();
    for (region, identity) in identities(asks) {
        let set = identity.mail_from.as_ref().map(|of| of.domain.as_str()).filter(|of| !of.is_empty());
        let Some(mail_from) = set.or(planned) else { continue };
        if set.is_none() {
            let put = ["sesv2", "put-email-identity-mail-from-attributes", "--email-identity", domain];
            to_set.extend(Fix::aws(&[&put[..], &["--mail-from-domain", mail_from]].concat(), region));
        } else if planned.is_some_and(|planned| !planned.eq_ignore_ascii_case(mail_from)) {
            others.push(Line::Comment(format!("{region} has {mail_from}, which stays.")));
        }
        match by_domain.iter_mut().find(|(of, _)| of.eq_ignore_ascii_case(mail_from)) {
            Some((_, regions)) => regions.push(region),
            None => by_domain.push((mail_from.to_owned(), vec![region])),
        }
    }
    let mut lines = Vec::new();
    for (mail_from, regions) in &by_domain {
        lines.push(Line::Comment(format!("{}:", regions.join(", "))));
        let mut regions = regions.iter();
        lines.extend(regions.next().map(|region| Line::Record(dns::mail_from_mx(mail_from, region))));
        if regions.len() > 0 {
            lines.push(Line::Comment(
                "Exactly one MX, or SES does not take the domain. These are as good; SES passes bounces on to the Region that \
                 sent the mail:"
                    .to_owned(),
            ));
            lines.extend(regions.map(|region| Line::Commented(dns::mail_from_mx(mail_from, region))));
        }
        lines.push(Line::Record(dns::spf(mail_from)));
        if rule_sets(asks).any(|set| names(set, mail_from)) {
            let what =
                "CONFLICT: a receipt rule names it, and a MAIL FROM domain can't be one that receives mail.";
            lines.push(Line::Comment(what.to_owned()));
        }
    }
    lines.extend(others);
    if !to_set.is_empty() {
        lines.push(Line::Comment("To set it:".to_owned()));
        lines.extend(to_set.into_iter().map(|fix| Line::Comment(format!("  {fix}"))));
    }
    Section { title: "Custom MAIL FROM".to_owned(), lines }
}

fn rule_sets(asks: &[RegionAsks]) -> impl Iterator<Item = &RuleSet> {
    asks.iter().filter_map(|asks| asks.rule_set.answer()?.as_ref())
}

fn enabled(set: &RuleSet) -> impl Iterator<Item = &ReceiptRule> {
    set.rules.iter().filter(|rule| rule.enabled)
}

/// Whether an enabled rule takes mail for some address of a domain. A rule without recipients takes that of all verified domains.
fn receives(set: &RuleSet, domain: &str) -> bool {
    enabled(set).any(|rule| rule.recipients.is_empty()) || names(set, domain)
}

/// Whether an enabled rule has a domain, an address of it or a pattern of subdomains that covers it among its recipients.
///
/// Source: Amazon SES Developer Guide, "Creating receipt rules", read 2026-11: an address, a domain, or with a dot in front
/// its subdomains.
fn names(set: &RuleSet, domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    let takes = |recipient: &String| {
        let recipient = recipient.to_ascii_lowercase();
        match recipient.strip_prefix('.') {
            Some(parent) => domain.strip_suffix(parent).is_some_and(|before| before.ends_with('.')),
            None => dns::domain_of(&recipient) == domain,
        }
    };
    enabled(set).any(|rule| rule.recipients.iter().any(takes))
}

/// An MX is published where SES is set up to receive the domain's mail. Elsewhere it would take the mail away from whoever gets it
/// now.
fn receiving(domain: &str, asks: &[RegionAsks]) -> Section {
    let mut lines = Vec::new();
    let (mut set_up, mut not) = (Vec::new(), Vec::new());
    for RegionAsks { region, rule_set, .. } in asks {
        if let Some(why) = unanswered(rule_set) {
            lines.push(Line::Comment(format!(
                "{region}: {why}: whether a rule takes this domain's mail is not known."
            )));
        }
        match rule_set {
            ApiAnswer::Answered(Some(set)) if receives(set, domain) => set_up.push(region.as_str()),
            ApiAnswer::NotAsked => {}
            _ => not.push(Line::Commented(dns::inbound_mx(domain, region))),
        }
    }
    if !set_up.is_empty() {
        lines.push(Line::Comment(format!("{}:", set_up.join(", "))));
        if set_up.len() > 1 {
            lines.push(Line::Comment(
                "Each gets its share: all must have the rules. A greater preference makes one a fallback."
                    .to_owned(),
            ));
        }
        lines.extend(set_up.iter().map(|region| Line::Record(dns::inbound_mx(domain, region))));
    }
    if !not.is_empty() {
        lines.push(Line::Comment(
            "SES can receive here, and no active rule is known to take this domain's mail. Publish only if it is to; the mail then \
             goes nowhere else:"
                .to_owned(),
        ));
        lines.extend(not);
    }
    Section { title: "Receiving".to_owned(), lines }
}

/// Says how to publish a DMARC policy (RFC 7489). Which policy is for the domain's owner to say.
fn dmarc(domain: &str) -> Section {
    let record = DnsRecord::new(
        format!("_dmarc.{domain}"),
        "TXT",
        format!("v=DMARC1; p=none; rua=mailto:dmarc@{domain}"),
    );
    let lines = vec![
        Line::Comment(
            "If there is none yet: begin with p=none and an address that reads the reports, go on to p=quarantine when they show \
             that all is signed:"
                .to_owned(),
        ),
        Line::Commented(record),
    ];
    Section { title: "DMARC".to_owned(), lines }
}
