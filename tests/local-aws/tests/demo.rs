//! `make demo` must not rot: it is the first thing that anybody runs. Run as with KEEP=1, then stopped as by `make demo-stop`.

#![allow(clippy::expect_used, reason = "a test says what failed by panicking")]

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};

use local_aws::{paths, shifted_clock};

/// The demo, and where it notes what it leaves running.
struct Demo {
    note: PathBuf,
}

impl Demo {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
        demo.args(arguments).arg("--note").arg(&self.note).output().expect("the demo starts")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.run(&["--stop"]);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it tells to put into the environment.
fn exported(said: &str) -> Vec<(&str, &str)> {
    let lines = said.lines().skip_while(|line| !line.trim_start().starts_with("export "));
    let pairs = lines.map_while(|line| {
        line.trim().trim_start_matches("export ").trim_end_matches('\\').trim().split_once('=')
    });
    pairs.collect()
}

#[test]
fn it_shows_what_it_must_stays_to_be_talked_to_and_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Demo { note: folder.path().join("demo.json") };

    let shown = demo.run(&["--keep"]);
    let said = text(&shown.stdout);
    assert!(shown.status.success(), "{said}\n{}", text(&shown.stderr));
    for part in [
        "What each sample became, in us-east-1 and in eu-west-1",
        "Mail that was received in us-east-1, and lies in eu-west-1",
        "A storm: 2,000 addresses bounce in us-east-1",
        "aws sesv2 create-email-identity --email-identity shop.example.org --region eu-west-1",
        "All of it is as it must be.",
    ] {
        assert!(said.contains(part), "not a word of {part:?}: {said}");
    }
    let second = demo.run(&["--keep"]);
    assert!(!second.status.success() && text(&second.stderr).contains("still running"), "{second:?}");

    // As one would who read it.
    let environment = exported(&said);
    let endpoints: Vec<SocketAddr> =
        environment.iter().filter_map(|(_, value)| value.strip_prefix("http://")?.parse().ok()).collect();
    assert!(endpoints.len() > 1, "{environment:?}");
    let show = Command::new(paths::binary("mailroom"))
        .args(["show", "marta@example.net", "--regions", "us-east-1,eu-west-1", "--json"])
        .env_clear()
        .envs(shifted_clock::variables())
        .envs(environment)
        .output()
        .expect("the operator's tool starts");
    assert!(show.status.success(), "{}", text(&show.stderr));
    assert_eq!(text(&show.stdout).matches(r#""state":"released""#).count(), 2, "{}", text(&show.stdout));

    assert!(text(&demo.run(&["--stop"]).stdout).starts_with("stopped "));
    for endpoint in endpoints {
        assert!(TcpStream::connect(endpoint).is_err(), "{endpoint} still listens");
    }
    assert_eq!(text(&demo.run(&["--stop"]).stdout), "nothing was left running\n");
}
