//! The emulator's process: `ministack`, a Python program that plays SNS, SQS, Lambda, DynamoDB and CloudFormation.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::Group;
use crate::{http, paths, shifted_clock};

/// How long the emulator may take to come up. On an idle machine that is about a second, but tests run beside compilers.
const START_WITHIN: Duration = Duration::from_mins(1);

/// How often a start is tried: another process may take the port between our finding it free and ministack's binding it.
const START_ATTEMPTS: u32 = 3;

/// Why the emulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum MinistackError {
    /// The program is not installed.
    #[error("{} is not there; `make demo` and `make integration` install it, or {} names another", .0.display(), paths::MINISTACK_VARIABLE)]
    Missing(PathBuf),
    /// A file or a process could not be made.
    #[error("could not {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The emulator ended while it should have come up.
    #[error("ministack ended at once ({status}); its log ends with:\n{log}")]
    Ended {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// The emulator did not answer.
    #[error("ministack did not answer within {} s; its log ends with:\n{log}", START_WITHIN.as_secs())]
    Silent {
        /// The end of its log.
        log: String,
    },
}

/// The options that the emulator is started with.
#[derive(Debug, Default, Clone)]
pub struct Options {
    /// What functions get as `AWS_ENDPOINT_URL`, which is the proxy. `None`: they talk to ministack itself.
    pub functions_endpoint: Option<String>,
    /// More environment variables. Ministack hands all of its environment on to the functions.
    pub environment: BTreeMap<String, String>,
}

/// A running emulator. Dropping it kills it and every function that it started.
#[derive(Debug)]
pub struct Ministack {
    // Declared first, so dropped first: the folder is removed when nobody writes to it any more.
    group: Group,
    address: SocketAddr,
    folder: TempDir,
}

impl Ministack {
    /// Starts it on a free loopback port and waits until it answers.
    pub async fn start(options: &Options) -> Result<Self, MinistackError> {
        let mut attempt = 1;
        loop {
            match Self::start_once(options).await {
                Err(MinistackError::Ended { log, .. })
                    if attempt < START_ATTEMPTS && log.contains("already in use") =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_once(options: &Options) -> Result<Self, MinistackError> {
        let program = paths::ministack();
        // The program is a script in a virtual environment. With that environment's Python it can be run as a module.
        let python = program.with_file_name("python3");
        if let Some(missing) = [&program, &python].into_iter().find(|path| !path.is_file()) {
            return Err(MinistackError::Missing(missing.clone()));
        }
        let failed = |what| move |source| MinistackError::Io { what, source };
        let folder = tempfile::Builder::new()
            .prefix("mailroom-local-aws-")
            .tempdir()
            .map_err(failed("make a folder for ministack's state"))?;
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).map_err(failed("make a folder for ministack's state"))?;
        let log = File::create(log_path(&folder)).map_err(failed("make ministack's log"))?;
        let log_too = log.try_clone().map_err(failed("make ministack's log"))?;
        let address = free_address().map_err(failed("find a free port"))?;
        let port = address.port().to_string();
        let endpoint = options.functions_endpoint.clone().unwrap_or_else(|| format!("http://{address}"));

        let mut command = Command::new(python);
        command
            .arg(paths::launcher())
            // All of its environment reaches the functions, so the developer's own (a profile, a Region) is left out.
            .env_clear()
            .envs(shifted_clock::variables())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("TMPDIR", &temporary)
            .env("STATE_DIR", folder.path().join("state"))
            .env("S3_DATA_DIR", folder.path().join("s3"))
            .env("PYTHONUNBUFFERED", "1")
            .env("GATEWAY_PORT", port)
            .env("BIND_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("MINISTACK_HOST", Ipv4Addr::LOCALHOST.to_string())
            // Without these two variables it would also listen on 0.0.0.0:8883 and on an SFTP port.
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            // It would remove containers of a Docker that it finds, with which it has nothing to do here.
            .env("DOCKER_HOST", "unix:///nonexistent")
            .env("AWS_ENDPOINT_URL", endpoint)
            .envs(&options.environment)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too);
        let group = Group::start(&mut command, folder.path()).map_err(failed("start ministack"))?;
        let mut ministack = Self { group, address, folder };
        ministack.wait_until_healthy().await?;
        Ok(ministack)
    }

    async fn wait_until_healthy(&mut self) -> Result<(), MinistackError> {
        let until = Instant::now() + START_WITHIN;
        loop {
            let ended = self
                .group
                .exit_status()
                .map_err(|source| MinistackError::Io { what: "watch ministack", source })?;
            if let Some(status) = ended {
                return Err(MinistackError::Ended { status, log: self.log_tail() });
            }
            if http::get(self.address, "/_ministack/health")
                .await
                .is_ok_and(|answer| answer.status().is_success())
            {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(MinistackError::Silent { log: self.log_tail() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The address at which it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint that tests use, past the proxy.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The id of the process group to which it and its functions belong.
    pub fn process_group(&self) -> u32 {
        self.group.id()
    }

    /// Its own folder, with its log and state, which is removed when it ends.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The path of its log, which also holds what functions print.
    pub fn log_path(&self) -> PathBuf {
        log_path(&self.folder)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// Stops it and its functions, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }
}

const LOG: &str = "ministack.log";

fn log_path(folder: &TempDir) -> PathBuf {
    Path::join(folder.path(), LOG)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
