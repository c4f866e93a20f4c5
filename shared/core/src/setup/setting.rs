//! One setting: what to remember of it, and when to set it back.

use serde::{Deserialize, Serialize};

/// What is remembered of a setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted<T> {
    /// What the setting was before Mailroom changed it.
    pub before: T,
    /// What the setting was changed to. While a change is under way this is both the value of the last change and that of
    /// the new one: if the change is cut off, it is not known which of them is set.
    pub ours: Vec<T>,
}

/// What to do about a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course<T> {
    /// What to remember of the setting before it is changed; `None` if nothing.
    pub during: Option<Noted<T>>,
    /// The value to set it to; `None` if it need not be changed.
    pub set: Option<T>,
    /// What to remember of the setting after the change; `None` if nothing.
    pub after: Option<Noted<T>>,
}

impl<T: Clone + PartialEq> Course<T> {
    /// Neither changes the setting nor forgets anything about it.
    pub fn leave(noted: Option<&Noted<T>>) -> Self {
        Self { during: noted.cloned(), set: None, after: noted.cloned() }
    }

    /// Makes the setting as it is wanted. If it is so already, and not by Mailroom's doing, Mailroom won't undo it
    /// either.
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

    /// Makes the setting as it was before, unless somebody else has changed it since.
    pub fn back(is: &T, noted: Option<&Noted<T>>) -> Self {
        match noted.filter(|noted| noted.ours.contains(is) && noted.before != *is) {
            Some(noted) => Self { during: Some(noted.clone()), set: Some(noted.before.clone()), after: None },
            None => Self { during: None, set: None, after: None },
        }
    }

    /// What the setting is once this is done.
    pub fn end<'a>(&'a self, is: &'a T) -> &'a T {
        self.set.as_ref().unwrap_or(is)
    }
}

/// Whether somebody else has made the setting: it is neither as wanted nor what Mailroom changed it to.
pub fn is_foreign<T: PartialEq>(is: &T, noted: Option<&Noted<T>>, wanted: &T) -> bool {
    is != wanted && !noted.is_some_and(|noted| noted.ours.contains(is))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is remembered, as letters: the value before, then those that it was changed to; nothing to remember if empty.
    fn noted(text: &str) -> Option<Noted<char>> {
        let mut chars = text.chars();
        chars.next().map(|before| Noted { before, ours: chars.collect() })
    }

    #[test]
    fn towards() {
        // The columns: is, remembered, wanted; remembered meanwhile, set, remembered then.
        for (is, remembered, wanted, during, set, after) in [
            ('a', None, 'b', noted("ab"), Some('b'), noted("ab")),
            // It was already as wanted before Mailroom came.
            ('b', None, 'b', None, None, None),
            // It has been changed, and stays so as long as nobody changes it.
            ('b', noted("ab"), 'b', noted("ab"), None, noted("ab")),
            // The change was cut off before it was made, or somebody has undone it.
            ('a', noted("ab"), 'b', noted("ab"), Some('b'), noted("ab")),
            // Something else is wanted by now.
            ('b', noted("ab"), 'c', noted("abc"), Some('c'), noted("ac")),
            // That change was cut off, before or after it was made.
            ('b', noted("abc"), 'c', noted("abc"), Some('c'), noted("ac")),
            ('c', noted("abc"), 'c', noted("ac"), None, noted("ac")),
            // What was before is wanted now.
            ('b', noted("ab"), 'a', noted("aba"), Some('a'), None),
            // Somebody has changed it since: their value is the one before Mailroom's now.
            ('x', noted("ab"), 'b', noted("xb"), Some('b'), noted("xb")),
            // Somebody else has already set what is wanted now.
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
            // The change was cut off, at whatever point.
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
        /// However often, in whatever order and wherever requests are cut off: in the end the setting is as somebody else
        /// set it last.
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
                // The request dies before it has remembered, changed or remembered again, or does not die.
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
