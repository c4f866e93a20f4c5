//! `--keep`: the demo goes on in a process of its own, since the local SES lives in it, and is remembered in a file for
//! `--stop`.
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

/// What goes wrong with what is kept.
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

/// What is left running.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The demo, which leads a process group.
    process: i32,
    /// Where it works: its own folder, by which it is told from whatever else has its number later.
    folder: PathBuf,
    /// Where the local AWS listens.
    endpoint: String,
    /// Whether all was as it must be.
    succeeded: bool,
}

impl Note {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Also when its folder has gone, which goes before it does: the kernel says so behind the name.
    fn is_running(&self) -> bool {
        let mut deleted = self.folder.clone().into_os_string();
        deleted.push(" (deleted)");
        fs::read_link(format!("/proc/{}/cwd", self.process))
            .is_ok_and(|folder| folder == self.folder || folder == deleted)
    }
}

/// Where it is noted, unless it is said.
pub(crate) fn note() -> PathBuf {
    paths::target().join("local-aws").join("demo.json")
}

/// One at a time: the note of a second would be the first one's end as far as anybody could tell.
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
        // Of which it sees the end, if this process ends in any way.
        .stdin(Stdio::piped())
        // Out of reach of the terminal's Ctrl-C.
        .process_group(0)
        .spawn()?;
    // Out of `wait`'s hands, which would close it.
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
        // It has said why.
        ended = demo.wait() => ended.map(|_| ExitCode::FAILURE).map_err(Into::into),
        succeeded = noted => Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        () = interrupted => {
            drop(held);
            demo.wait().await?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Is there when the process that started this one has ended, which counts as long as nothing is noted.
pub(crate) async fn abandoned() {
    let (tell, told) = tokio::sync::oneshot::channel();
    // Not tokio's standard input: that would be waited for at the end.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        let _ = tell.send(());
    });
    // An error would be a thread that could not be started: then nobody knows.
    if told.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Notes that this process stays, and lets go of the terminal.
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
    // Whole or not at all: the process that waits for it reads it at any time.
    let draft = note.with_extension("draft");
    fs::write(&draft, serde_json::to_vec_pretty(&kept)?).map_err(failed)?;
    fs::rename(&draft, note).map_err(failed)?;
    Ok(())
}

/// Ends it; says what was done.
pub(crate) fn stop(note: &Path) -> Result<String, KeptError> {
    /// Time to end by itself.
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
