//! A printed command is one that a shell and the AWS CLI take as it stands.

use std::process::Command;

use mailroom_audit::facts::ApiAnswer;
use mailroom_audit::{Fix, judge_sections};

use crate::healthy::{facts, identity, now};

/// Hostile, or just unusual, names come through a shell as they are.
#[test]
fn a_shell_hands_over_the_names_as_aws_has_them() {
    for name in [
        "o'brien@example.com",
        "$(touch oops)@example.com",
        "a b;c@example.com",
        "\"quoted\"@example.com",
        "`x`@y",
        "-n@z",
    ] {
        let mut facts = facts();
        let mut of = identity(name);
        if let ApiAnswer::Answered(identity) = &mut of.identity {
            identity.verification_status = Some("FAILED".to_owned());
        }
        facts.identities = ApiAnswer::Answered(vec![of]);
        let told = judge_sections(&facts, now());
        let fixes = told.iter().flat_map(|told| &told.findings).flat_map(|finding| &finding.fixes);
        let mut commands = fixes.filter_map(|fix| match fix {
            Fix::Command(command) if command.contains("verify-email-identity") => Some(command),
            _ => None,
        });
        let command = commands.next().unwrap();
        let script = format!("aws() {{ printf '%s\\0' \"$@\"; }}; {command}");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{command}");
        let text = String::from_utf8(output.stdout).unwrap();
        let words: Vec<_> = text.split_terminator('\0').collect();
        assert_eq!(
            words,
            ["ses", "verify-email-identity", "--email-address", name, "--region", "eu-west-1"],
            "{command}"
        );
    }
}
