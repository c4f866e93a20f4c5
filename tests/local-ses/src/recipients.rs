//! Which recipients a rule is for.

/// Whether a recipient condition matches an address (guide, "Creating receipt rules"):
///
/// | condition | matches |
/// |---|---|
/// | `user@example.com` | that address, and every form of it with a label: `user+anything@example.com` |
/// | `user+label@example.com` | that form only |
/// | `example.com` | every address of that domain, none of its subdomains |
/// | `.example.com` | every address of every subdomain, none of the domain itself |
///
/// Case is ignored. No source tells whether it is for the local part; mail for `User@` is expected to reach `user@`.
pub fn condition_matches(condition: &str, address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    if let Some((wanted_local, wanted_domain)) = condition.rsplit_once('@') {
        if !domain.eq_ignore_ascii_case(wanted_domain) {
            return false;
        }
        let unlabelled = local.split_once('+').map_or(local, |(user, _)| user);
        return local.eq_ignore_ascii_case(wanted_local) || unlabelled.eq_ignore_ascii_case(wanted_local);
    }
    if condition.starts_with('.') {
        // Compared as bytes: an address may hold any characters, and the place where it is cut may lie within one.
        let (domain, suffix) = (domain.as_bytes(), condition.as_bytes());
        return domain.len() > suffix.len()
            && domain[domain.len() - suffix.len()..].eq_ignore_ascii_case(suffix);
    }
    domain.eq_ignore_ascii_case(condition)
}

/// Whether a rule with these conditions matches an address. A rule without conditions matches all (guide: all on verified
/// domains; this function does not know the identities).
pub fn any_matches(conditions: &[String], address: &str) -> bool {
    conditions.is_empty() || conditions.iter().any(|condition| condition_matches(condition, address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_match_as_the_guide_says() {
        for (condition, address, expected) in [
            ("user@example.com", "user@example.com", true),
            ("user@example.com", "USER@Example.COM", true),
            ("user@example.com", "user+label@example.com", true),
            ("user@example.com", "user+one+two@example.com", true),
            ("user@example.com", "other@example.com", false),
            ("user@example.com", "user2@example.com", false),
            ("user@example.com", "user@sub.example.com", false),
            ("user+label@example.com", "user+label@example.com", true),
            ("user+label@example.com", "user@example.com", false),
            ("user+label@example.com", "user+other@example.com", false),
            ("example.com", "anybody@example.com", true),
            ("example.com", "anybody@sub.example.com", false),
            ("example.com", "anybody@notexample.com", false),
            ("sub.example.com", "anybody@sub.example.com", true),
            (".example.com", "anybody@sub.example.com", true),
            (".example.com", "anybody@deep.sub.EXAMPLE.com", true),
            (".example.com", "anybody@example.com", false),
            (".example.com", "anybody@notexample.com", false),
            ("example.com", "no address", false),
            ("example.com", "\"a@b\"@example.com", true),
        ] {
            assert_eq!(condition_matches(condition, address), expected, "{condition} {address}");
        }
    }

    #[test]
    fn without_conditions_all_match() {
        assert!(any_matches(&[], "anybody@anywhere.example"));
        assert!(!any_matches(&["example.com".to_owned()], "anybody@anywhere.example"));
    }

    proptest! {
        #[test]
        fn no_address_breaks_it(condition in any::<String>(), address in any::<String>()) {
            condition_matches(&condition, &address);
        }

        #[test]
        fn a_domain_and_its_subdomains_are_apart(
            local in "[a-z]{1,8}", domain in "[a-z]{1,8}\\.[a-z]{2,3}", sub in "[a-z]{1,8}",
        ) {
            let inside = format!("{local}@{sub}.{domain}");
            let itself = format!("{local}@{domain}");
            prop_assert!(condition_matches(&domain, &itself));
            prop_assert!(!condition_matches(&domain, &inside));
            let subdomains = format!(".{domain}");
            prop_assert!(condition_matches(&subdomains, &inside));
            prop_assert!(!condition_matches(&subdomains, &itself));
        }
    }
}
