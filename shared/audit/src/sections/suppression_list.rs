//! Section 5: the account-level suppression list. How it compares with peers' is for [`crate::compare`].
//!
//! A configuration set may override the account's reasons, and one that overrides them by none sends to everybody on the list. One
//! whose suppression scope is a tenant sends to everybody who is not on that tenant's own list, which Mailroom does not keep.
//!
//! Sources: Amazon SES Developer Guide, "Using configuration set-level suppression to override your account-level suppression
//! list"; SES API v2 Reference, `SuppressionOptions`; both read 2026-11.

use std::time::Duration;

use mailroom_core::suppression::list_pass::ListPass;
use mailroom_core::suppression::reason::SuppressionReason;
use mailroom_core::timestamp::Timestamp;

use crate::comparable::{Comparable, ListSize};
use crate::facts::{AccountFacts, ApiAnswer, ConfigurationSet, PeerProgress, RegionFacts, StackFacts};
use crate::fix::Fix;
use crate::judgement::Judgement;
use crate::verdict::AuditVerdict;

/// How old a pass, or what a peer has been told, may be. The template's longest interval is a day, so two passes have
/// been missed by then.
const LATE_AFTER: Duration = Duration::from_hours(48);
/// Differences are reported only if they are more than one in this many entries, and more than this many: fewer are usual
/// while changes are on their way.
const TOLERATED_DIFFERENCE: usize = 20;
/// The payload that has reconcile compare the list at once.
const PASS_REQUEST: &str = r#"{"pass":true}"#;
const ALL_REASONS: [SuppressionReason; 2] = [SuppressionReason::Bounce, SuppressionReason::Complaint];

pub(crate) fn judge(facts: &RegionFacts, now: Timestamp) -> Judgement {
    let Some(account) = facts.account.answer() else { return Judgement::unknown(&facts.account) };
    let region = facts.stack.region.as_str();
    let mut judged =
        Judgement::passes(format!("reasons enabled: {}", join_reasons(&account.suppressed_reasons)));
    judge_reasons(&mut judged, account, region);
    match &facts.configuration_sets {
        ApiAnswer::Answered(sets) => {
            for set in sets {
                match set.answer() {
                    Some(set) => judge_suppression_options(&mut judged, set, account, region),
                    None => judged.add_unanswered("configuration sets", set),
                }
            }
        }
        unanswered => judged.add_unanswered("configuration sets", unanswered),
    }
    if facts.stack.reconcile_function.is_some() {
        match &facts.last_list_pass {
            ApiAnswer::Answered(Some(pass)) => {
                judge_last_pass(&mut judged, pass, &facts.stack, now);
                let reconcile_function = facts.stack.reconcile_function.clone();
                let size = ListSize { entries: pass.entries, reconcile_function };
                judged.comparable = Some(Comparable::List(size));
            }
            ApiAnswer::Answered(None) => judged.add_finding(
                AuditVerdict::Unknown,
                "",
                "reconcile has not been through the list yet: how it agrees with the table is not known",
                "Wait for its first pass, or have it begin one now.",
                reconcile_command(&facts.stack, PASS_REQUEST),
            ),
            unanswered => judged.add_unanswered("reconcile's last pass", unanswered),
        }
        match &facts.peer_pushes {
            ApiAnswer::Answered(told) => judge_peer_pushes(&mut judged, told, &facts.stack, now),
            ApiAnswer::NotAsked => {}
            unanswered => judged.add_unanswered("what peers have been told", unanswered),
        }
    } else {
        judged.evidence += "; the stack does not keep the list (Suppression=off)";
    }
    judged
}

/// The command that wakes the reconcile function with `payload`.
fn reconcile_command(stack: &StackFacts, payload: &str) -> Option<Fix> {
    Fix::invoke_command(stack.reconcile_function.as_deref()?, payload, &stack.region)
}

fn join_reasons(reasons: &[String]) -> String {
    if reasons.is_empty() { "none".to_owned() } else { reasons.join(", ") }
}

/// The reasons that are not among these.
fn missing_reasons(reasons: &[String]) -> Vec<&'static str> {
    ALL_REASONS
        .into_iter()
        .map(SuppressionReason::as_ses)
        .filter(|reason| !reasons.iter().any(|of| of == reason))
        .collect()
}

fn judge_reasons(judged: &mut Judgement, account: &AccountFacts, region: &str) {
    let missing = missing_reasons(&account.suppressed_reasons);
    if missing.is_empty() {
        return;
    }
    judged.add_finding(
        AuditVerdict::Fail,
        "",
        format!(
            "{} not enabled: SES sends to addresses that are on the list for that",
            missing.join(" and ")
        ),
        "Enable both reasons.",
        Fix::aws_command(
            &["sesv2", "put-account-suppression-attributes", "--suppressed-reasons", "BOUNCE", "COMPLAINT"],
            region,
        ),
    );
}

fn judge_suppression_options(
    judged: &mut Judgement,
    set: &ConfigurationSet,
    account: &AccountFacts,
    region: &str,
) {
    let own = set.suppressed_reasons.as_ref();
    let off: Vec<_> = own
        .map(|own| missing_reasons(own))
        .unwrap_or_default()
        .into_iter()
        .filter(|reason| account.suppressed_reasons.iter().any(|of| of == reason))
        .collect();
    let mut evidence = Vec::new();
    if let Some(own) = own.filter(|_| !off.is_empty()) {
        let (own, off) = (join_reasons(own), off.join(", no "));
        evidence.push(format!("this configuration set overrides the account's reasons by {own}: no {off}"));
    }
    let by_tenant = match set.suppression_scope.as_deref() {
        None | Some("ACCOUNT") => false,
        Some("TENANT") => {
            evidence
                .push("this configuration set goes by a tenant's list, and not by the account's".to_owned());
            true
        }
        Some(other) => {
            judged.add_finding(
                AuditVerdict::Unknown,
                &set.name,
                format!("suppression scope {other}, which Mailroom does not know"),
                "Look it up in SES's API reference, SuppressionOptions.",
                [],
            );
            false
        }
    };
    if evidence.is_empty() {
        return;
    }
    let mut put =
        vec!["sesv2", "put-configuration-set-suppression-options", "--configuration-set-name", &set.name];
    // The call resets every setting that it does not name, so it names those that are to stay.
    match own {
        Some(own) if off.is_empty() && !own.is_empty() => {
            put.push("--suppressed-reasons");
            put.extend(own.iter().map(String::as_str));
        }
        Some(_) => put.extend(["--suppressed-reasons", "BOUNCE", "COMPLAINT"]),
        None => {}
    }
    if by_tenant {
        put.extend(["--suppression-scope", "ACCOUNT"]);
    }
    let todo = match (off.is_empty(), by_tenant) {
        (false, false) => "Unless it is meant so, have the configuration set use both reasons.",
        (true, _) => {
            "Unless it is meant so, have the configuration set go by the account's list (with an AWS CLI that knows the option)."
        }
        (false, true) => {
            "Unless it is meant so, have the configuration set go by the account's list and use both reasons (with an AWS CLI that \
             knows the option)."
        }
    };
    judged.add_finding(
        AuditVerdict::Warn,
        &set.name,
        evidence.join("; "),
        todo,
        Fix::aws_command(&put, region),
    );
}

/// Judges how far each peer has been told. Peers are told whenever reconcile is woken, which is every few minutes.
fn judge_peer_pushes(
    judged: &mut Judgement,
    peer_progress: &[PeerProgress],
    stack: &StackFacts,
    now: Timestamp,
) {
    for peer in peer_progress {
        let evidence = match peer.until {
            Some(until) if now.since(until) <= LATE_AFTER => continue,
            Some(until) => format!("this peer has not been told all that has changed here since {until}"),
            None => "this peer has not been told all that is decided here even once".to_owned(),
        };
        judged.add_finding(
            AuditVerdict::Warn,
            &peer.region,
            evidence,
            "Is there a stack of this name in that Region, and does it keep the list? If not, take the Region from Peers. If so, look at \
             the reconcile function's log and alarms here, and have it tell its peers everything.",
            reconcile_command(stack, r#"{"everything":true}"#),
        );
    }
    if !peer_progress.is_empty() {
        let late = |peer: &&PeerProgress| peer.until.is_none_or(|until| now.since(until) > LATE_AFTER);
        let late = peer_progress.iter().filter(late).count();
        let (in_time, all) = ((peer_progress.len() - late).to_string(), peer_progress.len().to_string());
        judged.evidence += &["; ", &in_time, " of ", &all, " peers have been told"].concat();
    }
}

fn judge_last_pass(judged: &mut Judgement, pass: &ListPass, stack: &StackFacts, now: Timestamp) {
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
        judged.add_finding(
            AuditVerdict::Fail,
            "",
            format!("so much has gone from the list that reconcile concludes nothing ({} entries)", pass.gone.unwrap_or(0)),
            "Find out what emptied the list: SES does when sending has been paused for 90 days. Then have the stack put it back \
             (parameter PutBack=true) or take it as meant (GoneSharePercent=100).",
            [],
        );
    }
    if now.since(pass.ended_at.unwrap_or(pass.started_at)) > LATE_AFTER {
        judged.add_finding(
            AuditVerdict::Warn,
            "",
            format!("reconcile has not ended a pass since {}", pass.ended_at.unwrap_or(pass.started_at)),
            "Look at the reconcile function's log (output ReconcileFunctionName) and its alarms, and have it begin a pass.",
            reconcile_command(stack, PASS_REQUEST),
        );
    }
    let differ = pass.differ.unwrap_or(0);
    if differ > (pass.entries / TOLERATED_DIFFERENCE).max(TOLERATED_DIFFERENCE) {
        judged.add_finding(
            AuditVerdict::Warn,
            "",
            format!("{differ} addresses did not agree with the table, of {} entries", pass.entries),
            "Reconcile has taken in or marked what it may. If the next pass finds as many, somebody else writes the list, or apply \
             is behind: look at its alarms.",
            reconcile_command(stack, PASS_REQUEST),
        );
    }
}
