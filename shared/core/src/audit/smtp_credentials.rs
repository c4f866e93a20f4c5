//! Section 7: SMTP credentials from before Signature Version 4. IAM is global: every Region would say the same.
//!
//! Source: Amazon SES Developer Guide, "Regions and Amazon SES", "SMTP credentials", read 2026-11: those from before
//! 2019-01-10 should be deleted and replaced.

use super::Verdict;
use super::facts::{AccessKey, Asked, Facts};
use super::fix::Fix;
use super::judged::Judged;
use crate::timestamp::Timestamp;

/// 2019-01-10T00:00:00Z, in milliseconds since the Unix epoch: keys from before then are old.
const SIGNATURE_V4_SINCE_MILLIS: i64 = 1_547_078_400_000;

pub(super) fn judge(facts: &Facts) -> Judged {
    let keys = match &facts.access_keys {
        Asked::Answered(keys) => keys,
        Asked::NotAsked => return Judged::not_applicable("IAM is global, and was not asked from here"),
        unanswered => return Judged::unknown(unanswered),
    };
    let old =
        |key: &&AccessKey| key.created_at.millis() < SIGNATURE_V4_SINCE_MILLIS && key.status != "Inactive";
    let mut judged = Judged::passes(format!(
        "{} access keys, {} of them active and from before 2019-01-10",
        keys.len(),
        keys.iter().filter(old).count()
    ));
    for key in keys.iter().filter(old) {
        match key.may_send {
            _ if key.used_for_ses() => one(&mut judged, key, &facts.stack.region),
            Asked::Answered(false) => {}
            Asked::Answered(true) => one(&mut judged, key, &facts.stack.region),
            _ => judged.unanswered(&key.user, &key.may_send),
        }
    }
    judged
}

fn one(judged: &mut Judged, key: &AccessKey, region: &str) {
    let used = match &key.last_used {
        Asked::Answered(Some(used)) => {
            format!("last used {} for {} in {}", day(used.at), used.service, used.region)
        }
        Asked::Answered(None) => "never used".to_owned(),
        _ => "when it was last used is not known".to_owned(),
    };
    let in_use = key.used_for_ses();
    let verdict = if in_use { Verdict::Fail } else { Verdict::Warn };
    let new =
        in_use.then(|| Fix::aws(&["iam", "create-access-key", "--user-name", &key.user], region)).flatten();
    let update = ["iam", "update-access-key", "--user-name", &key.user, "--access-key-id", &key.id];
    let off = Fix::aws(&[&update[..], &["--status", "Inactive"]].concat(), region);
    let todo = if in_use {
        "Make a new key, derive its password for each Region (`mailroom smtp-password`), have it used everywhere, and only then \
         switch off the old one."
    } else {
        "Switch the key off, and delete it when nobody misses it."
    };
    judged.found(
        verdict,
        &key.user,
        format!("access key {} of {} is active and may send; {used}", key.id, day(key.created_at)),
        todo,
        new.into_iter().chain(off),
    );
}

fn day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
