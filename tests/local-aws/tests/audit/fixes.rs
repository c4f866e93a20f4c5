//! What the audit prints is done as it stands.

use std::path::PathBuf;
use std::process::Command;

use local_aws::clients::CREDENTIAL;
use local_aws::paths;
use mailroom_core::audit::{Fix, SectionVerdict};

use crate::faults;
use crate::world::World;

/// Each finding's, in the order in which they are printed.
pub(crate) async fn apply(world: &World, verdicts: &[SectionVerdict]) {
    for verdict in verdicts {
        for finding in &verdict.findings {
            for fix in &finding.fixes {
                match fix {
                    Fix::Dns(record) => world.ses.publish_dns(&record.name, &record.kind, &record.value),
                    Fix::Command(command) => run(world, command).await,
                }
            }
        }
    }
}

async fn run(world: &World, command: &str) {
    // What no local AWS can: AWS's own doing.
    if command.starts_with("aws account enable-region ") {
        assert!(command.contains(&format!("--region-name {}", faults::CLOSED)), "{command}");
        world.ses.clear_faults();
        return;
    }
    let environment = environment(world);
    let script = command.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("sh").args(["-c", &script]).env_clear().envs(environment).output()
    });
    let output = ran.await.expect("ran").expect("a shell");
    assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    if command.starts_with("aws sesv2 put-account-details ") {
        // AWS's people read it and say yes.
        let region = command.split_whitespace().last().expect("a Region");
        world.ses.account(region, |account| account.review(true));
    }
}

/// Nothing of the developer's environment or profile: no command may reach a real account.
fn environment(world: &World) -> Vec<(&'static str, String)> {
    let tools = paths::aws_cli().parent().map(PathBuf::from).unwrap_or_default();
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
        ("WEBSITE_URL", "https://example.com".to_owned()),
    ]
}
