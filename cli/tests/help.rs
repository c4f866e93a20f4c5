//! The tool's help, as somebody reads it who needs it now.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod aws;

use aws::mailroom;

/// What operators need most stands first.
const COMMANDS: [&str; 8] =
    ["show", "suppress", "release", "audit", "dns", "smtp-password", "regions", "normalize"];

#[test]
fn the_commands_in_the_order_in_which_they_are_needed() {
    let (status, out, _) = mailroom(&["--help"], None);
    assert_eq!(status, 0);
    assert!(out.starts_with("The operator's tool of Mailroom"), "{out}");
    let listed = out.lines().skip_while(|line| *line != "Commands:").skip(1);
    let named = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let named: Vec<_> = named.filter(|name| COMMANDS.contains(name)).collect();
    assert_eq!(named, COMMANDS);
}

#[test]
fn each_command_has_an_example_and_tells_its_exit_status() {
    for command in COMMANDS {
        let (status, out, _) = mailroom(&[command, "--help"], None);
        assert_eq!(status, 0, "{command}");
        let examples = out.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{out}")).1;
        assert!(examples.contains(&format!("mailroom {command}")), "{out}");
        assert!(out.contains("\nExit status: "), "{out}");
        let text = out.lines().skip(2).take_while(|line| !line.starts_with("Usage: "));
        assert!(
            text.into_iter().all(|line| line.chars().count() <= 100),
            "for a terminal that is not wide: {out}"
        );
    }
}
