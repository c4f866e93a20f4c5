//! `--keep`: leaves the demo running, in a process of its own, since the local SES lives in that process. A note in a file
//! says which one, for `--stop`.
//!
//! ```text
//!   make demo KEEP=1 ──starts──▶ demo --stay ──holds──▶ local SES, proxy, ministack
//!        │ waits for the note         │ has shown everything: notes what it is
//!        ▼                            ▼
//!     returns                    stays till SIGTERM (demo --stop); whatever ends it ends all
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use local_aws::paths;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, dup2_stderr, dup2_stdout};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

/// What can go wrong with a demo that is left running.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeptError {
    /// The note cannot be written or removed.
    #[error("could not keep note of what is running in {}: {source}", .path.display())]
    Note {
        /// The note's path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A demo is left running already.
    #[error("an earlier demo is still running at {0}; `make demo-stop` ends it")]
    Running(String),
}

/// What the note says: which demo is left running.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The id of the demo's process, which leads a process group.
    process: i32,
    /// The demo's own folder, in which it works. If its process id is later given to another process, this tells them
    /// apart.
    folder: PathBuf,
    /// The URL at which the local AWS listens.
    endpoint: String,
    /// Whether everything in the demo was as it must be.
    succeeded: bool,
}

impl Note {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Whether the demo is still running. It removes its folder just before it ends and counts as running until then: the
    /// kernel appends ` (deleted)` to the folder's name.
    fn is_running(&self) -> bool {
        let mut deleted = self.folder.clone().into_os_string();
        deleted.push(" (deleted)");
        fs::read_link(format!("/proc/{}/cwd", self.process))
            .is_ok_and(|folder| folder == self.folder || folder == deleted)
    }
}

/// The note's path, unless the command line names another.
pub(crate) fn note() -> PathBuf {
    paths::target().join("local-aws").join("demo.json")
}

/// Refuses to start while an earlier demo is running: with two, the second one's note would replace the first one's, which
/// nobody could stop then.
pub(crate) fn refuse_a_second(note: &Path) -> Result<(), KeptError> {
    match Note::read(note) {
        Some(kept) if kept.is_running() => Err(KeptError::Running(kept.endpoint)),
        _ => Ok(()),
    }
}

/// Runs the demo in a process that stays, and returns once it has shown everything.
pub(crate) async fn start(
    note: &Path,
    interrupted: impl Future<Output = ()>,
) -> Result<ExitCode, Box<dyn Error>> {
    let mut demo = Command::new(std::env::current_exe()?)
        .arg("--stay")
        .arg("--note")
        .arg(note)
        // Through this pipe the demo notices when this process ends, in whatever way.
        .stdin(Stdio::piped())
        // In a group of its own, so that the terminal's Ctrl-C does not reach it.
        .process_group(0)
        .spawn()?;
    // Taken out, since `wait` would close it.
    let held = demo.stdin.take();
    let id = demo.id();
    let noted = async {
        loop {
            match Note::read(note) {
                Some(kept) if u32::try_from(kept.process).ok() == id => return kept.succeeded,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::select! {
        // The demo has printed why it ended.
        ended = demo.wait() => ended.map(|_| ExitCode::FAILURE).map_err(Into::into),
        succeeded = noted => Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        () = interrupted => {
            drop(held);
            demo.wait().await?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Waits until the process that started this one has ended. As long as nothing is noted, the demo ends with it.
pub(crate) async fn abandoned() {
    let (tell, told) = tokio::sync::oneshot::channel();
    // In a thread, and not with tokio's standard input: tokio would wait for a read in progress when the demo ends.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        let _ = tell.send(());
    });
    // An error means that the thread could not be started: then nothing is known, and this waits for ever.
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Writes the note that this process stays, and lets go of the terminal.
pub(crate) fn stay(
    note: &Path,
    folder: &Path,
    endpoint: String,
    succeeded: bool,
) -> Result<(), Box<dyn Error>> {
    std::env::set_current_dir(folder)?;
    let log = File::create(folder.join("demo.log"))?;
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    let process = i32::try_from(std::process::id())?;
    let kept = Note { process, folder: folder.to_path_buf(), endpoint, succeeded };
    let failed = |source| KeptError::Note { path: note.to_path_buf(), source };
    fs::create_dir_all(note.parent().unwrap_or(note)).map_err(failed)?;
    // Written aside and renamed, since the process that waits for the note may read it at any time.
    let draft = note.with_extension("draft");
    fs::write(&draft, serde_json::to_vec_pretty(&kept)?).map_err(failed)?;
    fs::rename(&draft, note).map_err(failed)?;
    Ok(())
}

/// Ends the demo that was left running. Returns a sentence that says what was done.
pub(crate) fn stop(note: &Path) -> Result<String, KeptError> {
    /// How long the demo may take to end by itself before it is killed.
    const PATIENCE: Duration = Duration::from_secs(5);
    let Some(kept) = Note::read(note) else { return Ok("nothing was left running".to_owned()) };
    let was_running = kept.is_running();
    if was_running {
        let process = Pid::from_raw(kept.process);
        let _ = kill(process, Signal::SIGTERM);
        let until = Instant::now() + PATIENCE;
        while kept.is_running() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        if kept.is_running() {
            let _ = killpg(process, Signal::SIGKILL);
        }
    }
    fs::remove_file(note).map_err(|source| KeptError::Note { path: note.to_path_buf(), source })?;
    Ok(if was_running { format!("stopped {}", kept.endpoint) } else { "it had ended already".to_owned() })
}
