//! What reconcile noted of the Region: its last pass over the suppression list, and how far each peer has been told.

use mailroom_aws::deadline::Deadline;
use mailroom_aws::table::TableError;
use mailroom_aws::table::notes::{NoteStore, PASS_NOTE, PassNote, PeerNote, peer_note_name};
use mailroom_core::suppression::list_pass::ListPass;
use serde::de::IgnoredAny;

use crate::facts::{ApiAnswer, PeerProgress};

/// Reads what reconcile's last pass over the list found; `None` if no pass has ended yet.
pub async fn read_last_pass(notes: &impl NoteStore, deadline: Deadline) -> ApiAnswer<Option<ListPass>> {
    match notes.get_note::<PassNote<IgnoredAny>>(PASS_NOTE, deadline).await {
        Ok(note) => ApiAnswer::Answered(note.and_then(|note| note.value.last_pass)),
        Err(error) => answer_for_note_error(&error),
    }
}

/// Reads how far each peer has been told.
pub async fn read_progress_of_each_peer(
    notes: &impl NoteStore,
    peers: &[String],
    deadline: Deadline,
) -> ApiAnswer<Vec<PeerProgress>> {
    let mut progress = Vec::with_capacity(peers.len());
    for peer in peers {
        let until = match notes.get_note::<PeerNote>(&peer_note_name(peer), deadline).await {
            Ok(note) => note.and_then(|note| note.value.pushed_until),
            Err(error) => return answer_for_note_error(&error),
        };
        progress.push(PeerProgress { region: peer.clone(), until });
    }
    ApiAnswer::Answered(progress)
}

fn answer_for_note_error<T>(error: &TableError) -> ApiAnswer<T> {
    ApiAnswer::Failed { action: "dynamodb:GetItem".to_owned(), why: error.to_string() }
}
