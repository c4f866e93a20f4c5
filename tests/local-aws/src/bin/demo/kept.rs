//! The local AWS that `--keep` leaves behind, remembered in a file for `--stop`.

use std::fs;
use std::io;
use std::path::PathBuf;

use local_aws::ministack::{LeftRunning, stop_left_running};
use local_aws::paths;

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// It cannot be written or removed.
    #[error("could not keep note of what is running in {}: {source}", .path.display())]
    Note {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is one already.
    #[error("an earlier demo is still running at {0}; `make demo-stop` ends it")]
    Running(String),
}

fn file() -> PathBuf {
    paths::target().join("local-aws").join("demo.json")
}

fn noted() -> Option<LeftRunning> {
    serde_json::from_slice(&fs::read(file()).ok()?).ok()
}

/// One at a time: the note of a second would be the first one's end as far as anybody could tell.
pub(crate) fn refuse_a_second() -> Result<(), KeptError> {
    match noted() {
        Some(left) if left.is_running() => Err(KeptError::Running(left.endpoint)),
        _ => Ok(()),
    }
}

/// Notes what is left running.
pub(crate) fn remember(left: &LeftRunning) -> Result<(), KeptError> {
    let path = file();
    let note = serde_json::to_vec_pretty(left).unwrap_or_default();
    let written = fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, note));
    written.map_err(|source| KeptError::Note { path, source })
}

/// Ends it; says what was done.
pub(crate) fn stop() -> Result<String, KeptError> {
    let Some(left) = noted() else { return Ok("nothing was left running".to_owned()) };
    let was_running = stop_left_running(&left);
    let path = file();
    fs::remove_file(&path).map_err(|source| KeptError::Note { path, source })?;
    Ok(if was_running { format!("stopped {}", left.endpoint) } else { "it had ended already".to_owned() })
}
