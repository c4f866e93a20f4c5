//! One setting: what to remember of it, and when to set it back.

use serde::{Deserialize, Serialize};

/// What is remembered of a setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedSetting<T> {
    /// What the setting was before Mailroom changed it.
    #[serde(rename = "before")]
    pub original_value: T,
    /// What the setting was changed to. While a change is under way this is both the value of the last change and that of
    /// the new one: if the change is cut off, it is not known which of them is set.
    #[serde(rename = "ours")]
    pub own_values: Vec<T>,
}

/// What to do about a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingPlan<T> {
    /// What to remember of the setting before it is changed; `None` if nothing.
    pub remembered_during: Option<RememberedSetting<T>>,
    /// The value to set it to; `None` if it need not be changed.
    pub new_value: Option<T>,
    /// What to remember of the setting after the change; `None` if nothing.
    pub remembered_after: Option<RememberedSetting<T>>,
}

impl<T: Clone + PartialEq> SettingPlan<T> {
    /// Neither changes the setting nor forgets anything about it.
    pub fn keep(remembered: Option<&RememberedSetting<T>>) -> Self {
        Self {
            remembered_during: remembered.cloned(),
            new_value: None,
            remembered_after: remembered.cloned(),
        }
    }

    /// Makes the setting as it is wanted. If it is so already, and not by Mailroom's doing, Mailroom won't undo it
    /// either.
    pub fn change_to(current: &T, remembered: Option<&RememberedSetting<T>>, wanted: &T) -> Self {
        let noted =
            remembered.filter(|noted| noted.original_value == *current || noted.own_values.contains(current));
        let before = noted.map_or(current, |noted| &noted.original_value);
        let after = (before != wanted)
            .then(|| RememberedSetting { original_value: before.clone(), own_values: vec![wanted.clone()] });
        if current == wanted {
            let after = after.filter(|_| noted.is_some_and(|noted| noted.own_values.contains(current)));
            return Self { remembered_during: after.clone(), new_value: None, remembered_after: after };
        }
        let mut ours = noted.map(|noted| noted.own_values.clone()).unwrap_or_default();
        if !ours.contains(wanted) {
            ours.push(wanted.clone());
        }
        Self {
            remembered_during: Some(RememberedSetting { original_value: before.clone(), own_values: ours }),
            new_value: Some(wanted.clone()),
            remembered_after: after,
        }
    }

    /// Makes the setting as it was before, unless somebody else has changed it since.
    pub fn restore(current: &T, remembered: Option<&RememberedSetting<T>>) -> Self {
        match remembered
            .filter(|noted| noted.own_values.contains(current) && noted.original_value != *current)
        {
            Some(noted) => Self {
                remembered_during: Some(noted.clone()),
                new_value: Some(noted.original_value.clone()),
                remembered_after: None,
            },
            None => Self { remembered_during: None, new_value: None, remembered_after: None },
        }
    }

    /// What the setting is once this is done.
    pub fn final_value<'a>(&'a self, current: &'a T) -> &'a T {
        self.new_value.as_ref().unwrap_or(current)
    }
}

/// Whether somebody else has made the setting: it is neither as wanted nor what Mailroom changed it to.
pub fn is_neither_own_nor_wanted<T: PartialEq>(
    current: &T,
    remembered: Option<&RememberedSetting<T>>,
    wanted: &T,
) -> bool {
    current != wanted && !remembered.is_some_and(|noted| noted.own_values.contains(current))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is remembered, as letters: the value before, then those that it was changed to; nothing to remember if empty.
    fn noted(text: &str) -> Option<RememberedSetting<char>> {
        let mut chars = text.chars();
        chars.next().map(|before| RememberedSetting { original_value: before, own_values: chars.collect() })
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
            let course = SettingPlan::change_to(&is, remembered.as_ref(), &wanted);
            assert_eq!(
                course,
                SettingPlan { remembered_during: during, new_value: set, remembered_after: after },
                "{is}, {remembered:?}, {wanted}"
            );
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
            let course = SettingPlan::restore(&is, remembered.as_ref());
            assert_eq!(
                course,
                SettingPlan { remembered_during: during, new_value: set, remembered_after: None },
                "{is}, {remembered:?}"
            );
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
            assert_eq!(
                is_neither_own_nor_wanted(&is, remembered.as_ref(), &'b'),
                expected,
                "{is}, {remembered:?}"
            );
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
                    Some(wanted) => SettingPlan::change_to(&is, remembered.as_ref(), &wanted),
                    None => SettingPlan::restore(&is, remembered.as_ref()),
                };
                // The request dies before it has remembered, changed or remembered again, or does not die.
                if until > 0 {
                    remembered.clone_from(&course.remembered_during);
                }
                if until > 1 {
                    is = *course.final_value(&is);
                }
                if until > 2 {
                    remembered = course.remembered_after;
                }
            }
            prop_assert_eq!((is, remembered), (theirs, None));
        }
    }
}
