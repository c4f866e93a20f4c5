//! Section 7: SMTP credentials from before Signature Version 4. IAM is global: every Region would say the same.

use mailroom_core::timestamp::Timestamp;

use crate::facts::access_key::predates_signature_v4;
use crate::facts::{AccessKey, ApiAnswer, RegionFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

pub(crate) fn judge(facts: &RegionFacts) -> Judgement {
    let keys = match &facts.access_keys {
        ApiAnswer::Answered(keys) => keys,
        ApiAnswer::NotAsked => {
            return Judgement::not_applicable("IAM is global, and was not asked from here");
        }
        unanswered => return Judgement::unknown(unanswered),
    };
    let old = |key: &&AccessKey| predates_signature_v4(key.created_at) && key.status != "Inactive";
    let mut judged = Judgement::passes(format!(
        "{} access keys, {} of them active and from before 2019-01-10",
        keys.len(),
        keys.iter().filter(old).count()
    ));
    for key in keys.iter().filter(old) {
        match key.may_send {
            _ if key.was_used_for_ses() => add_key_finding(&mut judged, key, &facts.stack.region),
            ApiAnswer::Answered(false) => {}
            ApiAnswer::Answered(true) => add_key_finding(&mut judged, key, &facts.stack.region),
            _ => judged.add_unanswered(&key.user, &key.may_send),
        }
    }
    judged
}

fn add_key_finding(judged: &mut Judgement, key: &AccessKey, region: &str) {
    let used = match &key.last_used {
        ApiAnswer::Answered(Some(used)) => {
            format!("last used {} for {} in {}", date_of(used.at), used.service, used.region)
        }
        ApiAnswer::Answered(None) => "never used".to_owned(),
        _ => "when it was last used is not known".to_owned(),
    };
    let in_use = key.was_used_for_ses();
    let verdict = if in_use { AuditVerdict::Fail } else { AuditVerdict::Warn };
    let new = in_use
        .then(|| Fix::aws_command(&["iam", "create-access-key", "--user-name", &key.user], region))
        .flatten();
    let update = ["iam", "update-access-key", "--user-name", &key.user, "--access-key-id", &key.id];
    let off = Fix::aws_command(&[&update[..], &["--status", "Inactive"]].concat(), region);
    let todo = if in_use {
        "Make a new key, derive its password for each Region (`mailroom smtp-password`), have it used everywhere, and only then \
         switch off the old one."
    } else {
        "Switch the key off, and delete it when nobody misses it."
    };
    judged.add_finding(
        verdict,
        &key.user,
        format!("access key {} of {} is active and may send; {used}", key.id, date_of(key.created_at)),
        todo,
        new.into_iter().chain(off),
    );
}

fn date_of(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}
