//! Sending authorization: the policies that say who else may send as an identity.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::refused::{Refused, RefusedKind};

/// The most policies of an identity (guide, "Service quotas"; API reference v2, `GetEmailIdentityPolicies`).
const MAX_POLICIES: usize = 20;
/// The longest that a policy may be, in bytes (API reference v2, `CreateEmailIdentityPolicy`).
const MAX_BYTES: usize = 4096;

/// The policies of an identity, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policies(BTreeMap<String, String>);

impl Policies {
    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    pub(crate) fn create(&mut self, name: &str, policy: &str) -> Result<(), Refused> {
        check(name, policy)?;
        if self.0.contains_key(name) {
            return Err(Refused::new(RefusedKind::AlreadyExists, format!("Policy {name} already exists.")));
        }
        if self.0.len() >= MAX_POLICIES {
            return Err(Refused::new(
                RefusedKind::LimitExceeded,
                format!("{MAX_POLICIES} policies are the limit."),
            ));
        }
        self.0.insert(name.to_owned(), policy.to_owned());
        Ok(())
    }

    /// Replaces a policy. If there is none of that name none is made, and the answer is the same (API reference v2).
    pub(crate) fn update(&mut self, name: &str, policy: &str) -> Result<(), Refused> {
        check(name, policy)?;
        if let Some(old) = self.0.get_mut(name) {
            policy.clone_into(old);
        }
        Ok(())
    }

    /// Deletes a policy. It is no error if there is none (API reference v2).
    pub(crate) fn delete(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// Refuses what can be no policy. SES also looks at whom and what a policy names, but no source tells what it refuses then,
/// so that is accepted here.
fn check(name: &str, policy: &str) -> Result<(), Refused> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err(Refused::bad(format!("Invalid policy name {name:?}.")));
    }
    if policy.len() > MAX_BYTES {
        return Err(Refused::bad(format!("The policy is larger than {MAX_BYTES} bytes.")));
    }
    match serde_json::from_str::<Value>(policy) {
        Ok(policy) if !policy["Statement"].is_null() => Ok(()),
        _ => Err(Refused::bad("The policy is no policy.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_made_changed_and_removed() {
        let mut policies = Policies::default();
        let policy = r#"{"Statement":[]}"#;
        policies.create("a-1", policy).expect("made");
        assert_eq!(
            policies.create("a-1", policy).map_err(|refused| refused.kind),
            Err(RefusedKind::AlreadyExists)
        );
        policies.update("a-1", r#"{"Statement":{}}"#).expect("changed");
        policies.update("none", policy).expect("nothing to change is fine");
        assert_eq!(
            policies.all().iter().collect::<Vec<_>>(),
            [(&"a-1".to_owned(), &r#"{"Statement":{}}"#.to_owned())]
        );
        policies.delete("a-1");
        policies.delete("a-1");
        assert!(policies.all().is_empty());
    }

    #[test]
    fn what_is_none_or_too_much_is_refused() {
        let mut policies = Policies::default();
        let large = format!(r#"{{"Statement":"{}"}}"#, "x".repeat(MAX_BYTES));
        for (name, policy) in [("a b", "{}"), ("", "{}"), ("a", "{}"), ("a", "no"), ("a", &large)] {
            assert_eq!(
                policies.create(name, policy).map_err(|refused| refused.kind),
                Err(RefusedKind::BadRequest)
            );
        }
        for n in 0..MAX_POLICIES {
            policies.create(&n.to_string(), r#"{"Statement":[]}"#).expect("made");
        }
        let more = policies.create("more", r#"{"Statement":[]}"#);
        assert_eq!(more.map_err(|refused| refused.kind), Err(RefusedKind::LimitExceeded));
    }
}
