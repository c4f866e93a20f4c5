//! Processes that must not outlive the test that started them.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A child process that leads a process group of its own, so that one signal ends it and all that it started.
#[derive(Debug)]
pub(crate) struct Group {
    leader: Child,
    watchdog: Option<Child>,
}

impl Group {
    /// Starts `command` as the leader of a group.
    ///
    /// Beside it stands a shell that reads from a pipe which only this process holds. However this process ends, a
    /// SIGKILL included, the pipe closes and the shell kills the group. (`PR_SET_PDEATHSIG` would need `unsafe`,
    /// fires when the *thread* that forked ends, and does not reach grandchildren.) With the group goes `folder`, which
    /// nobody else could remove then.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> io::Result<Self> {
        let leader = command.process_group(0).spawn()?;
        let watchdog = Command::new("/bin/sh")
            .args(["-c", r#"read -r _; kill -s KILL -- "-$1"; sleep 0.1; rm -rf -- "$2""#, "watchdog"])
            .arg(leader.id().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in our own group: a test runner that kills the test's group must not kill the watchdog first.
            .process_group(0)
            .spawn();
        let mut group = Self { leader, watchdog: None };
        // If it failed, `group` is dropped here, which ends the leader.
        group.watchdog = Some(watchdog?);
        Ok(group)
    }

    /// The group's id, which is its leader's process id.
    pub(crate) fn id(&self) -> u32 {
        self.leader.id()
    }

    /// The leader's exit status; `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> io::Result<Option<ExitStatus>> {
        self.leader.try_wait()
    }

    /// Kills all members of the group, at once by SIGKILL: ministack's state is in a folder that is thrown away with it,
    /// and when it is asked to end, it takes at least a quarter of a minute.
    pub(crate) fn stop(&mut self) {
        self.dismiss_watchdog();
        if matches!(self.leader.try_wait(), Ok(None)) {
            kill_group(self.leader.id());
            let _ = self.leader.wait();
        }
        // The leader may have ended and left children behind. As long as there are any, nobody else gets the group's id.
        if !group_members(self.leader.id()).is_empty() {
            kill_group(self.leader.id());
        }
    }

    fn dismiss_watchdog(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Kills a process group. It is no error if there is none.
fn kill_group(id: u32) {
    if let Ok(id) = i32::try_from(id) {
        let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
    }
}

/// The process ids of a group's members that are still running (a zombie is not).
///
/// Read from `/proc` because `kill(-group, 0)` counts zombies, which in a container may stay for ever.
pub fn group_members(id: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
                // "pid (comm) state ppid pgrp ...": the name may hold spaces and brackets, so from its end.
                let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
                let state = fields.next();
                let group = fields.nth(1).and_then(|group| group.parse().ok());
                group == Some(id) && state != Some("Z") && state != Some("X")
            })
        })
        .collect()
}

/// The user and system time that a whole process has used so far, including threads that have ended.
///
/// Its CPU clock counts nanoseconds; `/proc/PID/stat` counts hundredths of a second, more than a cold start takes.
pub(crate) fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(|_| Errno::EINVAL)?;
    let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
    Ok(Duration::from(clock_gettime(clock)?))
}

/// The largest resident set that a process has had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> io::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other("no VmHWM: the process has ended"))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sleeping_family() -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 600 & sleep 600 & wait"]);
        command
    }

    /// Waits until no member of a group is left.
    fn wait_for_group_end(id: u32, at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        while !group_members(id).is_empty() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        true
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn wait_for_members(id: u32, count: usize) {
        let until = Instant::now() + Duration::from_secs(5);
        while group_members(id).len() < count {
            assert!(Instant::now() < until, "the family did not come up");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn dropping_a_group_ends_its_grandchildren() {
        let folder = folder();
        let group = Group::start(&mut sleeping_family(), folder.path()).expect("a shell");
        let id = group.id();
        wait_for_members(id, 3);
        drop(group);
        assert!(wait_for_group_end(id, Duration::from_secs(5)), "left: {:?}", group_members(id));
    }

    #[test]
    fn a_panic_ends_the_group() {
        let (send, receive) = std::sync::mpsc::channel();
        let test = std::thread::spawn(move || {
            let folder = folder();
            let group = Group::start(&mut sleeping_family(), folder.path()).expect("a shell");
            wait_for_members(group.id(), 3);
            send.send(group.id()).expect("a receiver");
            panic!("as a failing test does");
        });
        assert!(test.join().is_err());
        let id = receive.recv().expect("the group's id");
        assert!(wait_for_group_end(id, Duration::from_secs(5)), "left: {:?}", group_members(id));
    }

    #[test]
    fn the_watchdog_ends_the_group_and_its_folder_when_its_pipe_closes() {
        let folder = folder();
        let mut group = Group::start(&mut sleeping_family(), folder.path()).expect("a shell");
        let id = group.id();
        wait_for_members(id, 3);
        // This is what the kernel does when this process is killed.
        drop(group.watchdog.as_mut().and_then(|watchdog| watchdog.stdin.take()));
        assert!(wait_for_group_end(id, Duration::from_secs(5)), "left: {:?}", group_members(id));
        let status = group.watchdog.as_mut().map(Child::wait);
        assert!(status.is_some_and(|status| status.is_ok()) && !folder.path().exists());
    }

    #[test]
    fn cpu_time_and_memory_of_another_process_can_be_read() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 600"])
            .spawn()
            .expect("a shell");
        std::thread::sleep(Duration::from_millis(300));
        let cpu = cpu_time(child.id());
        let memory = peak_memory(child.id());
        child.kill().expect("ours");
        child.wait().expect("ours");
        assert!(cpu.expect("a clock") > Duration::from_millis(1));
        assert!(memory.expect("a peak") > 100_000);
    }
}
