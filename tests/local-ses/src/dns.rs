//! The domain name system, as far as SES looks at it: records that a test publishes.

use std::collections::{BTreeMap, BTreeSet};

use crate::identities::VerificationError;

/// All DNS records that there are, in every zone.
#[derive(Debug, Default)]
pub(crate) struct Zone {
    /// The values of records, by name and then by type.
    records: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    /// Domains whose name servers do not answer.
    silent: BTreeSet<String>,
}

impl Zone {
    /// Adds a record to those that there are.
    pub(crate) fn publish(&mut self, name: &str, kind: &str, value: &str) {
        let kind = kind.to_ascii_uppercase();
        let value = read(&kind, value);
        self.records.entry(absolute(name)).or_default().entry(kind).or_default().insert(value);
    }

    /// Removes all records of a name and type. Returns whether there were any.
    pub(crate) fn withdraw(&mut self, name: &str, kind: &str) -> bool {
        let name = absolute(name);
        let Some(kinds) = self.records.get_mut(&name) else { return false };
        let there = kinds.remove(&kind.to_ascii_uppercase()).is_some();
        if kinds.is_empty() {
            self.records.remove(&name);
        }
        there
    }

    /// Sets whether the name servers of a domain answer.
    pub(crate) fn answers(&mut self, domain: &str, answers: bool) {
        if answers {
            self.silent.remove(&absolute(domain));
        } else {
            self.silent.insert(absolute(domain));
        }
    }

    /// The values of a name's records of one type, of which there is at least one.
    pub(crate) fn find(&self, name: &str, kind: &str) -> Result<&BTreeSet<String>, VerificationError> {
        let name = absolute(name);
        let within = |domain: &String| {
            name.strip_suffix(domain.as_str()).is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        if self.silent.iter().any(within) {
            return Err(VerificationError::DnsServerError);
        }
        let kinds = self.records.get(&name).ok_or(VerificationError::HostNotFound)?;
        kinds.get(kind).ok_or(VerificationError::TypeNotFound)
    }
}

/// A name in lower case and without the dot at its end.
fn absolute(name: &str) -> String {
    name.trim().trim_end_matches('.').to_lowercase()
}

/// Reads a value as zone files write it: names with or without the dot at the end, texts with or without quotation marks.
fn read(kind: &str, value: &str) -> String {
    match kind {
        "TXT" => value.trim().trim_matches('"').to_owned(),
        "MX" => {
            let parts: Vec<&str> = value.split_whitespace().collect();
            absolute(&parts.join(" "))
        }
        _ => absolute(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_however_they_are_written() {
        let mut zone = Zone::default();
        zone.publish("Mail.example.com.", "mx", "10  Feedback-smtp.eu-west-1.amazonses.com.");
        zone.publish("mail.example.com", "TXT", "\"v=spf1 include:amazonses.com ~all\"");
        let mx = zone.find("mail.example.com", "MX").map(|values| values.iter().cloned().collect::<Vec<_>>());
        assert_eq!(mx, Ok(vec!["10 feedback-smtp.eu-west-1.amazonses.com".to_owned()]));
        assert!(
            zone.find("MAIL.example.com", "TXT")
                .is_ok_and(|values| values.contains("v=spf1 include:amazonses.com ~all"))
        );
        assert_eq!(zone.find("mail.example.com", "CNAME"), Err(VerificationError::TypeNotFound));
        assert_eq!(zone.find("example.com", "MX"), Err(VerificationError::HostNotFound));
        assert!(zone.withdraw("mail.example.com", "MX") && !zone.withdraw("mail.example.com", "MX"));
        assert_eq!(zone.find("mail.example.com", "MX"), Err(VerificationError::TypeNotFound));
    }

    #[test]
    fn a_silent_name_server_is_silent_for_its_domain_only() {
        let mut zone = Zone::default();
        zone.publish("a.example.com", "CNAME", "b");
        zone.publish("a.notexample.com", "CNAME", "b");
        zone.answers("example.com", false);
        assert_eq!(zone.find("a.example.com", "CNAME"), Err(VerificationError::DnsServerError));
        assert!(zone.find("a.notexample.com", "CNAME").is_ok());
        zone.answers("example.com", true);
        assert!(zone.find("a.example.com", "CNAME").is_ok());
    }
}
