//! The operator's tools: Mailroom's own and AWS's.

use std::path::Path;
use std::process::{Command, Output};

use local_aws::clients::CREDENTIAL;
use local_aws::{paths, shifted_clock};
use mailroom_audit::{AuditSection, AuditVerdict, Finding};
use serde::Deserialize;

use crate::world::World;

/// A line of `mailroom audit --json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Told {
    pub(crate) region: String,
    pub(crate) section: AuditSection,
    pub(crate) verdict: AuditVerdict,
    pub(crate) findings: Vec<Finding>,
}

/// What `mailroom audit` says, which ends with 1 if anything fails, and with 2 if anything is not known, so that a pipeline stops.
pub(crate) async fn audit(world: &World, arguments: &[&str]) -> Vec<Told> {
    let mailroom = paths::binary("mailroom");
    let mut command = Command::new(mailroom);
    command.args(["audit", "--json"]).args(arguments);
    let output = run(world, command).await;
    let text = String::from_utf8(output.stdout).expect("text");
    let told: Result<Vec<Told>, _> = text.lines().map(serde_json::from_str).collect();
    let error = String::from_utf8_lossy(&output.stderr);
    let told = told.unwrap_or_else(|why| panic!("{why}: {text}\n{error}"));
    let verdicts = |of: &Told| -> Vec<_> {
        of.findings.iter().map(|finding| finding.verdict).chain([of.verdict]).collect()
    };
    let all: Vec<AuditVerdict> = told.iter().flat_map(verdicts).collect();
    let expected = if all.contains(&AuditVerdict::Fail) {
        1
    } else if all.contains(&AuditVerdict::Unknown) {
        2
    } else {
        0
    };
    assert_eq!(output.status.code(), Some(expected), "{text}\n{error}");
    told
}

/// Runs a command of the audit's as a person would paste it.
pub(crate) async fn paste(world: &World, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    let output = run(world, command).await;
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
}

async fn run(world: &World, mut command: Command) -> Output {
    command.env_clear().envs(shifted_clock::variables()).envs(environment(world));
    tokio::task::spawn_blocking(move || command.output()).await.expect("ran").expect("started")
}

/// Nothing of the developer's environment or profile: no command may reach a real account.
fn environment(world: &World) -> Vec<(&'static str, String)> {
    let tools = paths::aws_cli().parent().map(Path::to_path_buf).unwrap_or_default();
    let ses = world.ses.endpoint();
    vec![
        ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display())),
        ("HOME", "/nonexistent".to_owned()),
        ("AWS_ACCESS_KEY_ID", CREDENTIAL.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", CREDENTIAL.to_owned()),
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_ENDPOINT_URL", world.aws.ministack().endpoint()),
        ("AWS_ENDPOINT_URL_IAM", ses.clone()),
        ("AWS_ENDPOINT_URL_SES", ses.clone()),
        ("AWS_ENDPOINT_URL_SESV2", ses),
        // SES takes one request a second, and the audit does not know how many commands are pasted at once.
        ("AWS_RETRY_MODE", "standard".to_owned()),
        ("AWS_MAX_ATTEMPTS", "20".to_owned()),
        // The audit's command asks for it.
        ("WEBSITE_URL", "https://example.com".to_owned()),
    ]
}
