//! What is kept with a section's verdict so that Regions can be compared, as much as fits: names in their order, up to one
//! *through* which a Region's list is complete. What comes after it is compared with nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::dns::domain_covers;

/// The most bytes of an item's 400 KB that a comparison's data may take: see [`crate::judgement`].
const MAX_COMPARED_BYTES: usize = 180_000;

/// The facts of a section by which Regions are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparable {
    /// The identities (section 3).
    Identities(RegionIdentities),
    /// The size of the suppression list (section 5).
    List(ListSize),
    /// The custom MAIL FROM domains (section 8).
    MailFrom(MailFromDomains),
    /// The sending authorization policies (section 9).
    Delegates(SendingPolicies),
}

/// A Region's identities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegionIdentities {
    /// The identities from which mail can be sent.
    pub verified: Vec<String>,
    /// The identities from which mail cannot be sent, or of which that is not known.
    pub unverified: Vec<String>,
    /// The last name that is kept, if there are more than fit; `None` if all are kept.
    #[serde(rename = "through")]
    pub complete_through: Option<String>,
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
pub struct SendingPolicies {
    /// The policies, in the order of their identities' names.
    pub policies: Vec<IdentityPolicy>,
    /// The last identity whose policies are kept, if there are more than fit; `None` if all are kept.
    #[serde(rename = "through")]
    pub complete_through: Option<String>,
}

/// A policy of an identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IdentityPolicy {
    /// The name of the identity that the policy belongs to.
    pub identity: String,
    /// The policy's name.
    pub name: String,
    /// The policy's JSON text, as SES gave it.
    pub text: String,
}

impl RegionIdentities {
    pub(crate) fn new(verified: Vec<&str>, unverified: Vec<&str>) -> Self {
        let mut all: Vec<_> = verified
            .into_iter()
            .map(|name| (name, true))
            .chain(unverified.into_iter().map(|name| (name, false)))
            .collect();
        all.sort_by_key(|(name, verified)| (fold_case(name), *verified));
        let mut bytes = 0;
        // Counts the name as JSON has it: with quotes, a comma, and escapes.
        let fit =
            all.iter().take_while(|(name, _)| add_and_check_fit(&mut bytes, json_len(name) + 1)).count();
        let through =
            (fit < all.len()).then(|| all.get(fit.saturating_sub(1)).map_or("", |(name, _)| name).to_owned());
        all.truncate(fit);
        let (verified, unverified): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, verified)| *verified);
        let names = |of: Vec<(&str, bool)>| of.into_iter().map(|(name, _)| name.to_owned()).collect();
        Self { verified: names(verified), unverified: names(unverified), complete_through: through }
    }

    pub(crate) fn is_complete_for(&self, name: &str) -> bool {
        is_within(self.complete_through.as_deref(), name)
    }

    pub(crate) fn has_identity(&self, name: &str) -> bool {
        self.verified.iter().chain(&self.unverified).any(|of| of.eq_ignore_ascii_case(name))
    }

    /// Whether mail from an address can be sent by its domain's identity.
    pub(crate) fn has_verified_domain_for(&self, address: &str) -> bool {
        let domains = self.verified.iter().filter(|of| !of.contains('@'));
        address.contains('@') && domains.into_iter().any(|domain| domain_covers(domain, address))
    }
}

impl MailFromDomains {
    pub(crate) fn new(in_use: BTreeSet<String>) -> Self {
        let mut bytes = 0;
        Self {
            in_use: in_use
                .into_iter()
                .take_while(|of| add_and_check_fit(&mut bytes, json_len(of) + 1))
                .collect(),
        }
    }
}

impl SendingPolicies {
    pub(crate) fn new(mut policies: Vec<IdentityPolicy>) -> Self {
        policies.sort_by(|a, b| fold_case(&a.identity).cmp(&fold_case(&b.identity)).then_with(|| a.cmp(b)));
        let mut bytes = 0;
        let fit = policies
            .iter()
            .take_while(|of| {
                add_and_check_fit(
                    &mut bytes,
                    json_len(&of.identity) + json_len(&of.name) + json_len(&of.text) + 40,
                )
            })
            .count();
        let through = policies.get(fit).map(|cut| {
            // An identity of whose policies only some fit is left out.
            let before = policies.iter().take(fit).rev().find(|of| of.identity != cut.identity);
            before.map_or_else(String::new, |of| of.identity.clone())
        });
        policies.truncate(fit);
        if let Some(through) = &through {
            policies.retain(|of| fold_case(&of.identity) <= fold_case(through));
        }
        Self { policies, complete_through: through }
    }

    pub(crate) fn policies_of<'a>(&'a self, identity: &'a str) -> impl Iterator<Item = &'a IdentityPolicy> {
        self.policies.iter().filter(move |of| of.identity.eq_ignore_ascii_case(identity))
    }
}

fn json_len(text: &str) -> usize {
    serde_json::to_string(text).map_or(MAX_COMPARED_BYTES, |text| text.len())
}

fn add_and_check_fit(total_bytes: &mut usize, added_bytes: usize) -> bool {
    *total_bytes += added_bytes;
    *total_bytes <= MAX_COMPARED_BYTES
}

/// The form of a name by which identities are ordered. Neither domains nor, among SES's identities in practice, addresses
/// differ by case alone.
pub(crate) fn fold_case(name: &str) -> String {
    name.to_ascii_lowercase()
}

pub(crate) fn is_within(through: Option<&str>, name: &str) -> bool {
    through.is_none_or(|through| fold_case(name) <= fold_case(through))
}
