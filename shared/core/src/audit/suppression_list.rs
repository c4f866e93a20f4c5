//! Section 5: the account-level suppression list. How it compares with peers' is for [`super::compared`].
//!
//! A configuration set may override the account's reasons, and one that overrides them by none sends to everybody on the list.
//!
//! Source: Amazon SES Developer Guide, "Using configuration set-level suppression to override your account-level suppression
//! list", read 2026-11.

use std::time::Duration;

use super::Verdict;
use super::compared::{Compared, ListSize};
use super::facts::{Account, Asked, ConfigurationSet, Facts, ListPass};
use super::fix::Fix;
use super::judged::Judged;
use crate::suppression::reason::Reason;
use crate::timestamp::Timestamp;

/// The template's longest interval is a day: two passes have been missed.
const LATE: Duration = Duration::from_hours(48);
/// Of the entries: fewer addresses differ in a pass while things go on.
const DIFFERENCE: usize = 20;
const REASONS: [Reason; 2] = [Reason::Bounce, Reason::Complaint];

pub(super) fn judge(facts: &Facts, now: Timestamp) -> Judged {
    let Some(account) = facts.account.answer() else { return Judged::unknown(&facts.account) };
    let region = facts.stack.region.as_str();
    let mut judged = Judged::passes(format!("reasons enabled: {}", listed(&account.suppressed_reasons)));
    reasons(&mut judged, account, region);
    match &facts.configuration_sets {
        Asked::Answered(sets) => {
            for set in sets {
                match set.answer() {
                    Some(set) => configuration_set(&mut judged, set, account, region),
                    None => judged.unanswered("configuration sets", set),
                }
            }
        }
        unanswered => judged.unanswered("configuration sets", unanswered),
    }
    if facts.stack.suppresses {
        match &facts.list {
            Asked::Answered(Some(pass)) => {
                agreement(&mut judged, pass, now);
                let size = ListSize { entries: pass.entries, started_at: pass.started_at };
                judged.compared = Some(Compared::List(size));
            }
            Asked::Answered(None) => judged.found(
                Verdict::Unknown,
                "",
                "reconcile has not been through the list yet: how it agrees with the table is not known",
                "Wait for its first pass, or invoke the stack's reconcile function (output ReconcileFunctionName) with {\"pass\": true}.",
                [],
            ),
            unanswered => judged.unanswered("reconcile's last pass", unanswered),
        }
    } else {
        judged.evidence += "; the stack does not keep the list (Suppression=off)";
    }
    judged
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}

/// Those that are not among them.
fn missing(reasons: &[String]) -> Vec<&'static str> {
    REASONS.into_iter().map(Reason::as_ses).filter(|reason| !reasons.iter().any(|of| of == reason)).collect()
}

fn reasons(judged: &mut Judged, account: &Account, region: &str) {
    let missing = missing(&account.suppressed_reasons);
    if missing.is_empty() {
        return;
    }
    judged.found(
        Verdict::Fail,
        "",
        format!(
            "{} not enabled: SES sends to addresses that are on the list for that",
            missing.join(" and ")
        ),
        "Enable both reasons.",
        Fix::aws(
            &["sesv2", "put-account-suppression-attributes", "--suppressed-reasons", "BOUNCE", "COMPLAINT"],
            region,
        ),
    );
}

fn configuration_set(judged: &mut Judged, set: &ConfigurationSet, account: &Account, region: &str) {
    let Some(own) = &set.suppressed_reasons else { return };
    let off: Vec<_> = missing(own)
        .into_iter()
        .filter(|reason| account.suppressed_reasons.iter().any(|of| of == reason))
        .collect();
    if off.is_empty() {
        return;
    }
    let put =
        ["sesv2", "put-configuration-set-suppression-options", "--configuration-set-name", set.name.as_str()];
    judged.found(
        Verdict::Warn,
        &set.name,
        format!(
            "this configuration set overrides the account's reasons by {}: no {}",
            listed(own),
            off.join(", no ")
        ),
        "Unless it is meant so, have the configuration set use both reasons.",
        Fix::aws(&[&put[..], &["--suppressed-reasons", "BOUNCE", "COMPLAINT"]].concat(), region),
    );
}

fn agreement(judged: &mut Judged, pass: &ListPass, now: Timestamp) {
    let agreed = match (pass.agree, pass.differ) {
        (Some(agree), Some(differ)) => format!(", {agree} addresses agreed with the table, {differ} did not"),
        _ => String::new(),
    };
    judged.evidence += &[
        "; ",
        &pass.entries.to_string(),
        " entries when reconcile went through at ",
        &pass.started_at.to_string(),
        &agreed,
    ]
    .concat();
    if pass.alarmed {
        judged.found(
            Verdict::Fail,
            "",
            format!("so much has gone from the list that reconcile concludes nothing ({} entries)", pass.gone.unwrap_or(0)),
            "Find out what emptied the list: SES does when sending has been paused for 90 days. Then have the stack put it back \
             (parameter PutBack=true) or take it as meant (GoneSharePercent=100).",
            [],
        );
    }
    if now.since(pass.ended_at.unwrap_or(pass.started_at)) > LATE {
        judged.found(
            Verdict::Warn,
            "",
            format!("reconcile has not ended a pass since {}", pass.ended_at.unwrap_or(pass.started_at)),
            "Look at the reconcile function's log (output ReconcileFunctionName) and its alarms.",
            [],
        );
    }
    let differ = pass.differ.unwrap_or(0);
    if differ > (pass.entries / DIFFERENCE).max(DIFFERENCE) {
        judged.found(
            Verdict::Warn,
            "",
            format!("{differ} addresses did not agree with the table, of {} entries", pass.entries),
            "Reconcile has taken in or marked what it may. If the next pass finds as many, somebody else writes the list, or apply \
             is behind: look at its alarms.",
            [],
        );
    }
}
