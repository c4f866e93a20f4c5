//! One setting: what to remember of it, and when to set it back.

use serde::{Deserialize, Serialize};

/// What is remembered of a setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted<T> {
    /// What it was before.
    pub before: T,
    /// What it was changed to. While a change is under way, both what it was changed to last time and now: which of them
    /// it is, is not known if that change is cut off.
    pub ours: Vec<T>,
}

/// What to do about a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course<T> {
    /// What to remember of it before it is changed.
    pub during: Option<Noted<T>>,
    /// What to set it to, if it must be changed.
    pub set: Option<T>,
    /// What to remember of it then.
    pub after: Option<Noted<T>>,
}

impl<T: Clone + PartialEq> Course<T> {
    /// Nothing is done about it, and nothing forgotten.
    pub fn leave(noted: Option<&Noted<T>>) -> Self {
        Self { during: noted.cloned(), set: None, after: noted.cloned() }
    }

    /// It is to be so. What is so already, and not by Mailroom's doing, will not be undone by it either.
    pub fn towards(is: &T, noted: Option<&Noted<T>>, wanted: &T) -> Self {
        let noted = noted.filter(|noted| noted.before == *is || noted.ours.contains(is));
        let before = noted.map_or(is, |noted| &noted.before);
        let after = (before != wanted).then(|| Noted { before: before.clone(), ours: vec![wanted.clone()] });
        if is == wanted {
            let after = after.filter(|_| noted.is_some_and(|noted| noted.ours.contains(is)));
            return Self { during: after.clone(), set: None, after };
        }
        let mut ours = noted.map(|noted| noted.ours.clone()).unwrap_or_default();
        if !ours.contains(wanted) {
            ours.push(wanted.clone());
        }
        Self { during: Some(Noted { before: before.clone(), ours }), set: Some(wanted.clone()), after }
    }

    /// It is to be as it was before, unless somebody else has changed it since.
    pub fn back(is: &T, noted: Option<&Noted<T>>) -> Self {
        match noted.filter(|noted| noted.ours.contains(is) && noted.before != *is) {
            Some(noted) => Self { during: Some(noted.clone()), set: Some(noted.before.clone()), after: None },
            None => Self { during: None, set: None, after: None },
        }
    }

    /// What it is, once that is done.
    pub fn end<'a>(&'a self, is: &'a T) -> &'a T {
        self.set.as_ref().unwrap_or(is)
    }
}

/// Whether somebody else has set it so: it is neither what it is to be, nor what it was changed to.
pub fn is_foreign<T: PartialEq>(is: &T, noted: Option<&Noted<T>>, wanted: &T) -> bool {
    is != wanted && !noted.is_some_and(|noted| noted.ours.contains(is))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Before, and what it was changed to; nothing, if there is nothing to remember.
    fn noted(text: &str) -> Option<Noted<char>> {
        let mut chars = text.chars();
        chars.next().map(|before| Noted { before, ours: chars.collect() })
    }

    #[test]
    fn towards() {
        // is, remembered, wanted: remembered meanwhile, set, remembered then
        for (is, remembered, wanted, during, set, after) in [
            ('a', None, 'b', noted("ab"), Some('b'), noted("ab")),
            // It was so before.
            ('b', None, 'b', None, None, None),
            // Done, as long as nobody changes it.
            ('b', noted("ab"), 'b', noted("ab"), None, noted("ab")),
            // Cut off before it was done; or somebody has set it back.
            ('a', noted("ab"), 'b', noted("ab"), Some('b'), noted("ab")),
            // Something else is wanted by now.
            ('b', noted("ab"), 'c', noted("abc"), Some('c'), noted("ac")),
            // That was cut off, before and after it was done.
            ('b', noted("abc"), 'c', noted("abc"), Some('c'), noted("ac")),
            ('c', noted("abc"), 'c', noted("ac"), None, noted("ac")),
            // What was before is wanted now.
            ('b', noted("ab"), 'a', noted("aba"), Some('a'), None),
            // Somebody has changed it since: that is what is before now.
            ('x', noted("ab"), 'b', noted("xb"), Some('b'), noted("xb")),
            // Somebody else has done what is wanted now.
            ('c', noted("ab"), 'c', None, None, None),
        ] {
            let course = Course::towards(&is, remembered.as_ref(), &wanted);
            assert_eq!(course, Course { during, set, after }, "{is}, {remembered:?}, {wanted}");
        }
    }

    #[test]
    fn back() {
        for (is, remembered, during, set) in [
            ('b', noted("ab"), noted("ab"), Some('a')),
            // Cut off, wherever.
            ('b', noted("abc"), noted("abc"), Some('a')),
            ('a', noted("ab"), None, None),
            // Somebody has changed it since.
            ('x', noted("ab"), None, None),
            ('b', None, None, None),
        ] {
            let course = Course::back(&is, remembered.as_ref());
            assert_eq!(course, Course { during, set, after: None }, "{is}, {remembered:?}");
        }
    }

    #[test]
    fn foreign() {
        for (is, remembered, expected) in [
            ('b', None, false),
            ('x', None, true),
            ('b', noted("ac"), false),
            ('c', noted("ac"), false),
            ('a', noted("ac"), true),
        ] {
            assert_eq!(is_foreign(&is, remembered.as_ref(), &'b'), expected, "{is}, {remembered:?}");
        }
    }

    proptest! {
        /// However often, in whatever order and wherever cut off: in the end it is as somebody else has set it last.
        #[test]
        fn it_is_set_back(
            start in 0..3u8,
            steps in prop::collection::vec((prop::option::of(3..6u8), prop::option::of(6..9u8), 0..4u8), 0..12),
        ) {
            let (mut is, mut remembered, mut theirs) = (start, None, start);
            let last = (None, None, 3);
            for (wanted, hand, until) in steps.into_iter().chain([last]) {
                // Somebody else sets it.
                if let Some(hand) = hand {
                    (is, theirs) = (hand, hand);
                }
                let course = match wanted {
                    Some(wanted) => Course::towards(&is, remembered.as_ref(), &wanted),
                    None => Course::back(&is, remembered.as_ref()),
                };
                // It dies before it has remembered, changed, remembered; or does not.
                if until > 0 {
                    remembered.clone_from(&course.during);
                }
                if until > 1 {
                    is = *course.end(&is);
                }
                if until > 2 {
                    remembered = course.after;
                }
            }
            prop_assert_eq!((is, remembered), (theirs, None));
        }
    }
}
