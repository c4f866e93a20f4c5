//! Every DNS record that SES asks for of a domain, over several Regions, as part of a zone file (RFC 1035, section 5).
//!
//! What is published once for all Regions stands there once. What must not be published as it is stands in a comment.

use std::collections::BTreeMap;
use std::fmt;

use crate::dns::{self, EXTERNAL_KEY};
use crate::facts::{ApiAnswer, EmailIdentity, ReceiptRule, ReceiptRuleSet};
use crate::fix::{DnsRecord, Fix};

/// What decides which records SES asks for in one Region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionDnsFacts {
    /// The Region's name.
    pub region: String,
    /// The answer to `GetEmailIdentity` for the domain; `None` if it is no identity there.
    pub identity: ApiAnswer<Option<EmailIdentity>>,
    /// The answer to `DescribeActiveReceiptRuleSet`; `None` if no rule set is active. Not asked where SES does not
    /// receive.
    pub rule_set: ApiAnswer<Option<ReceiptRuleSet>>,
}

impl RegionDnsFacts {
    /// Whether SES has answered all that it was asked.
    pub fn is_complete(&self) -> bool {
        let unanswered =
            unanswered_call_cause(&self.identity).or_else(|| unanswered_call_cause(&self.rule_set));
        unanswered.is_none()
    }
}

/// The DNS records of a domain, in sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsZone {
    domain: String,
    regions: Vec<String>,
    sections: Vec<ZoneSection>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ZoneSection {
    title: String,
    lines: Vec<ZoneLine>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ZoneLine {
    Record(DnsRecord),
    /// A record that is not to be published as it is.
    CommentedRecord(DnsRecord),
    Comment(String),
}

impl DnsZone {
    /// Collects the records of a domain in the Regions' order. `domain` is spelled as SES has it; `planned_mail_from` is the
    /// custom MAIL FROM domain that is to be set where there is none yet.
    pub fn collect(domain: &str, region_facts: &[RegionDnsFacts], planned_mail_from: Option<&str>) -> Self {
        let sections = [
            missing_identity_section(domain, region_facts),
            easy_dkim_section(domain, region_facts),
            mail_from_section(domain, region_facts, planned_mail_from),
            receiving_section(domain, region_facts),
            suggested_dmarc_section(domain),
        ];
        Self {
            domain: domain.to_owned(),
            regions: region_facts.iter().map(|asks| asks.region.clone()).collect(),
            sections: sections.into_iter().filter(|section| !section.lines.is_empty()).collect(),
        }
    }

    /// The records that are to be published.
    pub fn records_to_publish(&self) -> impl Iterator<Item = &DnsRecord> {
        self.sections.iter().flat_map(|section| &section.lines).filter_map(|line| match line {
            ZoneLine::Record(record) => Some(record),
            ZoneLine::CommentedRecord(_) | ZoneLine::Comment(_) => None,
        })
    }
}

impl fmt::Display for DnsZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "; {} for Amazon SES in {}", self.domain, self.regions.join(", "))?;
        for section in &self.sections {
            writeln!(f, "\n; {}", section.title)?;
            for line in &section.lines {
                match line {
                    ZoneLine::Record(record) => writeln!(f, "{record}")?,
                    ZoneLine::CommentedRecord(record) => writeln!(f, ";{record}")?,
                    ZoneLine::Comment(text) => writeln!(f, "; {text}")?,
                }
            }
        }
        Ok(())
    }
}

fn region_identities(region_facts: &[RegionDnsFacts]) -> impl Iterator<Item = (&str, &EmailIdentity)> {
    region_facts.iter().filter_map(|asks| Some((asks.region.as_str(), asks.identity.answer()?.as_ref()?)))
}

/// Why a question that was asked has no answer; `None` if it has one, or was not asked.
fn unanswered_call_cause<T>(answer: &ApiAnswer<T>) -> Option<String> {
    match answer {
        ApiAnswer::Answered(_) | ApiAnswer::NotAsked => None,
        ApiAnswer::Denied(action) => Some(format!("not permitted: {action}")),
        ApiAnswer::NotEnabled(code) => Some(format!("not enabled ({code})")),
        ApiAnswer::Throttled(action) => Some(format!("{action}: throttled")),
        ApiAnswer::Failed { action, why } => Some(format!("{action}: {why}")),
    }
}

fn missing_identity_section(domain: &str, region_facts: &[RegionDnsFacts]) -> ZoneSection {
    let mut lines = Vec::new();
    for RegionDnsFacts { region, identity, .. } in region_facts {
        match identity {
            ApiAnswer::Answered(Some(_)) => {}
            ApiAnswer::Answered(None) => {
                lines.push(ZoneLine::Comment(format!(
                    "{region}: no identity. To have one, and its records here:"
                )));
                let create =
                    Fix::aws_command(&["sesv2", "create-email-identity", "--email-identity", domain], region);
                lines.extend(create.map(|fix| ZoneLine::Comment(format!("  {fix}"))));
            }
            _ => lines.extend(
                unanswered_call_cause(identity).map(|why| ZoneLine::Comment(format!("{region}: {why}"))),
            ),
        }
    }
    ZoneSection { title: "Not here".to_owned(), lines }
}

fn easy_dkim_section(domain: &str, region_facts: &[RegionDnsFacts]) -> ZoneSection {
    let mut asking: Vec<(DnsRecord, Vec<&str>)> = Vec::new();
    let mut own = Vec::new();
    for (region, identity) in region_identities(region_facts) {
        let Some(of) = &identity.dkim else { continue };
        if of.signing_attributes_origin.as_deref() == Some(EXTERNAL_KEY) {
            own.extend(of.tokens.iter().map(|selector| {
                let name = format!("{selector}._domainkey.{domain}");
                ZoneLine::Comment(format!(
                    "{region}: a key of your own: its public key in a TXT record, {name}"
                ))
            }));
        }
        for record in dns::easy_dkim_records(domain, of, region) {
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
            lines.push(ZoneLine::Comment(format!("{}:", regions.join(", "))));
            said = regions;
        }
        // A name has one CNAME (RFC 1034, section 3.6.2).
        match published.get(&record.name.to_ascii_lowercase()) {
            Some(target) if !target.eq_ignore_ascii_case(&record.value) => {
                lines.push(ZoneLine::Comment(
                    "CONFLICT: that name has a record above, and can have no other:".to_owned(),
                ));
                lines.push(ZoneLine::CommentedRecord(record.clone()));
            }
            Some(_) => {}
            None => {
                published.insert(record.name.to_ascii_lowercase(), record.value.clone());
                lines.push(ZoneLine::Record(record.clone()));
            }
        }
    }
    lines.extend(own);
    ZoneSection { title: "Easy DKIM".to_owned(), lines }
}

fn mail_from_section(
    domain: &str,
    region_facts: &[RegionDnsFacts],
    planned_mail_from: Option<&str>,
) -> ZoneSection {
    let mut by_domain: Vec<(String, Vec<&str>)> = Vec::new();
    let mut to_set = Vec::new();
    let mut others = Vec::new();
    for (region, identity) in region_identities(region_facts) {
        let set = identity.mail_from.as_ref().map(|of| of.domain.as_str()).filter(|of| !of.is_empty());
        let Some(mail_from) = set.or(planned_mail_from) else { continue };
        if set.is_none() {
            let put = ["sesv2", "put-email-identity-mail-from-attributes", "--email-identity", domain];
            to_set.extend(Fix::aws_command(&[&put[..], &["--mail-from-domain", mail_from]].concat(), region));
        } else if planned_mail_from.is_some_and(|planned| !planned.eq_ignore_ascii_case(mail_from)) {
            others.push(ZoneLine::Comment(format!("{region} has {mail_from}, which stays.")));
        }
        match by_domain.iter_mut().find(|(of, _)| of.eq_ignore_ascii_case(mail_from)) {
            Some((_, regions)) => regions.push(region),
            None => by_domain.push((mail_from.to_owned(), vec![region])),
        }
    }
    let mut lines = Vec::new();
    for (mail_from, regions) in &by_domain {
        lines.push(ZoneLine::Comment(format!("{}:", regions.join(", "))));
        let mut regions = regions.iter();
        lines.extend(regions.next().map(|region| ZoneLine::Record(dns::mail_from_mx(mail_from, region))));
        if regions.len() > 0 {
            lines.push(ZoneLine::Comment(
                "Exactly one MX, or SES does not take the domain. These are as good; SES passes bounces on to the Region that \
                 sent the mail:"
                    .to_owned(),
            ));
            lines.extend(
                regions.map(|region| ZoneLine::CommentedRecord(dns::mail_from_mx(mail_from, region))),
            );
        }
        lines.push(ZoneLine::Record(dns::spf_record(mail_from)));
        if active_rule_sets(region_facts).any(|set| has_recipient_for(set, mail_from)) {
            let what =
                "CONFLICT: a receipt rule names it, and a MAIL FROM domain can't be one that receives mail.";
            lines.push(ZoneLine::Comment(what.to_owned()));
        }
    }
    lines.extend(others);
    if !to_set.is_empty() {
        lines.push(ZoneLine::Comment("To set it:".to_owned()));
        lines.extend(to_set.into_iter().map(|fix| ZoneLine::Comment(format!("  {fix}"))));
    }
    ZoneSection { title: "Custom MAIL FROM".to_owned(), lines }
}

fn active_rule_sets(region_facts: &[RegionDnsFacts]) -> impl Iterator<Item = &ReceiptRuleSet> {
    region_facts.iter().filter_map(|asks| asks.rule_set.answer()?.as_ref())
}

fn enabled_rules(rule_set: &ReceiptRuleSet) -> impl Iterator<Item = &ReceiptRule> {
    rule_set.rules.iter().filter(|rule| rule.enabled)
}

/// Whether an enabled rule takes mail for some address of a domain. A rule without recipients takes that of all verified domains.
fn receives_mail_for(rule_set: &ReceiptRuleSet, domain: &str) -> bool {
    enabled_rules(rule_set).any(|rule| rule.recipients.is_empty()) || has_recipient_for(rule_set, domain)
}

/// Whether an enabled rule has a domain, an address of it or a pattern of subdomains that covers it among its recipients.
///
/// Source: Amazon SES Developer Guide, "Creating receipt rules", read 2026-11: an address, a domain, or with a dot in front
/// its subdomains.
fn has_recipient_for(rule_set: &ReceiptRuleSet, domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    let takes = |recipient: &String| {
        let recipient = recipient.to_ascii_lowercase();
        match recipient.strip_prefix('.') {
            Some(parent) => domain.strip_suffix(parent).is_some_and(|before| before.ends_with('.')),
            None => dns::domain_of(&recipient) == domain,
        }
    };
    enabled_rules(rule_set).any(|rule| rule.recipients.iter().any(takes))
}

/// An MX is published where SES is set up to receive the domain's mail. Elsewhere it would take the mail away from whoever gets it
/// now.
fn receiving_section(domain: &str, region_facts: &[RegionDnsFacts]) -> ZoneSection {
    let mut lines = Vec::new();
    let (mut set_up, mut not) = (Vec::new(), Vec::new());
    for RegionDnsFacts { region, rule_set, .. } in region_facts {
        if let Some(why) = unanswered_call_cause(rule_set) {
            lines.push(ZoneLine::Comment(format!(
                "{region}: {why}: whether a rule takes this domain's mail is not known."
            )));
        }
        match rule_set {
            ApiAnswer::Answered(Some(set)) if receives_mail_for(set, domain) => set_up.push(region.as_str()),
            ApiAnswer::NotAsked => {}
            _ => not.push(ZoneLine::CommentedRecord(dns::inbound_mx(domain, region))),
        }
    }
    if !set_up.is_empty() {
        lines.push(ZoneLine::Comment(format!("{}:", set_up.join(", "))));
        if set_up.len() > 1 {
            lines.push(ZoneLine::Comment(
                "Each gets its share: all must have the rules. A greater preference makes one a fallback."
                    .to_owned(),
            ));
        }
        lines.extend(set_up.iter().map(|region| ZoneLine::Record(dns::inbound_mx(domain, region))));
    }
    if !not.is_empty() {
        lines.push(ZoneLine::Comment(
            "SES can receive here, and no active rule is known to take this domain's mail. Publish only if it is to; the mail then \
             goes nowhere else:"
                .to_owned(),
        ));
        lines.extend(not);
    }
    ZoneSection { title: "Receiving".to_owned(), lines }
}

/// Says how to publish a DMARC policy (RFC 7489). Which policy is for the domain's owner to say.
fn suggested_dmarc_section(domain: &str) -> ZoneSection {
    let record = DnsRecord::new(
        format!("_dmarc.{domain}"),
        "TXT",
        format!("v=DMARC1; p=none; rua=mailto:dmarc@{domain}"),
    );
    let lines = vec![
        ZoneLine::Comment(
            "If there is none yet: begin with p=none and an address that reads the reports, go on to p=quarantine when they show \
             that all is signed:"
                .to_owned(),
        ),
        ZoneLine::CommentedRecord(record),
    ];
    ZoneSection { title: "DMARC".to_owned(), lines }
}
