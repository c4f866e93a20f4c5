//! Address states: what is in force, what the list needs, and that writing one again loses nothing.

use golden::{GoldenFile, plain};
use mailroom_core::suppression::AddressState;
use mailroom_core::suppression::address_state::{ApplyContext, ListAction, WaitReason};
use mailroom_core::timestamp::Timestamp;

use crate::world::{HOME, read};

/// What each state means: the reason in force, what the list needs a day later, how `apply` last fared, and what the list
/// held.
const MEANINGS: [(&str, &str); 24] = [
    ("all-three-and-again", "BOUNCE, put, -, BOUNCE"),
    ("applied", "BOUNCE, nothing, Applied, BOUNCE"),
    ("applied-beyond-ascii", "BOUNCE, nothing, Applied, BOUNCE"),
    ("applied-complaint-quoted", "COMPLAINT, nothing, Applied, COMPLAINT"),
    ("applied-release", "-, nothing, Applied, none"),
    ("changed-in-job", "COMPLAINT, wait for the job, -, unknown"),
    ("failed-for-good", "BOUNCE, nothing, FailedForGood 2 BadRequestException, unknown"),
    ("failed-in-a-job", "BOUNCE, put, Failed 1 failed in an import job, unknown"),
    ("failed-twice", "BOUNCE, put, Failed 2 InternalFailure, unknown"),
    ("in-job-that-deletes", "-, wait for the job, -, BOUNCE"),
    ("in-job-that-puts", "BOUNCE, wait for the job, -, unknown"),
    ("left-off", "BOUNCE, nothing, Applied, left off"),
    ("marked", "BOUNCE, put, -, BOUNCE"),
    ("pending-bounce", "BOUNCE, put, -, unknown"),
    ("pending-by-a-source-of-a-newer-version", "BOUNCE, put, -, unknown"),
    ("pending-by-an-operator", "COMPLAINT, put, -, unknown"),
    ("pending-complaint-in-several-spellings", "COMPLAINT, put, -, unknown"),
    ("pending-counted-bounces", "BOUNCE, put, -, unknown"),
    ("pending-release", "-, delete, -, BOUNCE"),
    ("reason-not-enabled", "COMPLAINT, nothing, ReasonNotEnabled, COMPLAINT"),
    ("refused-in-the-sandbox", "BOUNCE, nothing, RefusedSandbox, unknown"),
    ("seen-on-list", "BOUNCE, nothing, -, BOUNCE"),
    ("taken-in", "COMPLAINT, nothing, -, COMPLAINT"),
    ("trusted", "BOUNCE, nothing, Applied, BOUNCE trusted"),
];

pub(crate) fn check(file: &mut GoldenFile) {
    let mut meanings = Vec::new();
    for (name, item) in file.take_rest() {
        let state: AddressState = read(&item);
        meanings.push((name, meaning(&state)));
        let mut stored = plain(&item);
        // Since decisions no longer depend on the state, nothing remembers which were taken in.
        stored.as_object_mut().unwrap().remove("decisions");
        assert_eq!(serde_json::to_value(&state).unwrap(), stored);
    }
    let expected = MEANINGS.map(|(name, meaning)| (name.to_owned(), meaning.to_owned()));
    assert_eq!(meanings, expected);
}

fn meaning(state: &AddressState) -> String {
    let day_later = Timestamp::parse("2026-03-02T12:00:00Z").unwrap();
    let site = ApplyContext { region: HOME, first_pass_ended: true, trust_origin: false };
    let to_do = match state.next_list_action(site, day_later) {
        ListAction::Nothing => "nothing".to_owned(),
        ListAction::Wait(WaitReason::HeldByJob) => "wait for the job".to_owned(),
        ListAction::Put { spelling, reason } => {
            assert_eq!(Some(reason), state.effective_reason());
            assert_eq!(Some(spelling.as_str()), state.spellings().first());
            "put".to_owned()
        }
        ListAction::Delete { spellings } => {
            assert!(state.spellings().iter().all(|known| spellings.iter().any(|spelling| spelling == known)));
            "delete".to_owned()
        }
        other => format!("{other:?}"),
    };
    let outcome = state.current_apply_outcome().map_or("-".to_owned(), |outcome| {
        let tries = Some(outcome.tries).filter(|tries| *tries > 0).map(|tries| format!(" {tries}"));
        let why = outcome.cause.as_ref().map(|why| format!(" {why}"));
        format!("{:?}{}{}", outcome.kind, tries.unwrap_or_default(), why.unwrap_or_default())
    });
    let list = match state.last_known_entry() {
        None => "unknown".to_owned(),
        Some(applied) if applied.removal_accepted => "left off".to_owned(),
        Some(applied) => {
            let reason = applied.reason.map_or("none", |reason| reason.as_ses());
            format!("{reason}{}", if applied.trusted { " trusted" } else { "" })
        }
    };
    let reason = state.effective_reason().map_or("-", |reason| reason.as_ses());
    format!("{reason}, {to_do}, {outcome}, {list}")
}
