//! Long lists, given out a page at a time.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::refused::{Refused, RefusedKind};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on this page.
    pub items: Vec<T>,
    /// The token for the next page; `None` if this is the last one.
    pub next_token: Option<String>,
}

/// How a list of names is split into pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paging<'a> {
    /// What a token is valid for. It is refused with any other scope.
    pub(crate) scope: &'a str,
    /// The number of names on a page if the request does not say.
    pub(crate) usual: usize,
    /// The most names that a request may ask for on a page.
    pub(crate) most: usize,
}

impl Paging<'_> {
    /// A page of names, ordered by their hash, so that callers do not come to rely on an order.
    pub(crate) fn page<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
        size: Option<usize>,
        token: Option<&str>,
    ) -> Result<Page<String>, Refused> {
        // A size of 0 is allowed by the API reference, which does not say what it means.
        let size = size.filter(|size| *size > 0).unwrap_or(self.usual);
        if size > self.most {
            return Err(Refused::bad(format!("Page size {size} is more than {}.", self.most)));
        }
        let invalid = || Refused::new(RefusedKind::BadRequest, "Token is invalid.");
        let key = |name: &str| (hash(self.scope, name), name.to_owned());
        let from = match token {
            Some(token) => Bound::Included(key(&read_token(self.scope, token).ok_or_else(invalid)?)),
            None => Bound::Unbounded,
        };
        let sorted: std::collections::BTreeSet<(u64, String)> = names.map(|name| key(name)).collect();
        let mut rest = sorted.range((from, Bound::Unbounded)).map(|(_, name)| name);
        let items = rest.by_ref().take(size).cloned().collect();
        Ok(Page { items, next_token: rest.next().map(|name| write_token(self.scope, name)) })
    }
}

/// The hash FNV-1a. Any order would do, if it is the same on every machine.
pub(crate) fn hash(region: &str, address: &str) -> u64 {
    region
        .bytes()
        .chain(address.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

pub(crate) fn write_token(scope: &str, at: &str) -> String {
    BASE64.encode(format!("{scope}\n{at}"))
}

pub(crate) fn read_token(scope: &str, token: &str) -> Option<String> {
    let text = String::from_utf8(BASE64.decode(token).ok()?).ok()?;
    Some(text.strip_prefix(scope)?.strip_prefix('\n')?.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_name_is_given_out_once(
            names in proptest::collection::btree_set("[a-c]{1,3}", 0..40),
            size in 0..7_usize,
        ) {
            let paging = Paging { scope: "eu-west-1 x", usual: 5, most: 6 };
            let (mut seen, mut token) = (Vec::new(), None);
            loop {
                let page = paging.page(names.iter(), Some(size), token.as_deref()).expect("a page");
                let at_most = if size == 0 { 5 } else { size };
                prop_assert!(page.items.len() <= at_most);
                seen.extend(page.items);
                token = page.next_token;
                if token.is_none() {
                    break;
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, names.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_token_is_good_for_its_own_list_only() {
        let names = ["a".to_owned(), "b".to_owned()];
        let page =
            |scope, token: Option<&str>| Paging { scope, usual: 1, most: 10 }.page(names.iter(), None, token);
        let token = page("us-east-1 x", None).expect("a page").next_token.expect("more");
        assert!(page("us-east-1 x", Some(&token)).is_ok());
        assert!(page("eu-west-1 x", Some(&token)).is_err());
        let paging = Paging { scope: "x", usual: 1, most: 10 };
        assert!(paging.page(names.iter(), Some(11), None).is_err());
    }
}
