//! `mailroom smtp-password` as a user runs it: above all, that the secret appears nowhere.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::io::Write;
use std::process::{Command, Stdio};

/// Of AWS's documentation, like everything that follows from it.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const US_EAST_1: &str = "BLBM/9hSUELfq8Gw+rU1YcBjkOxGbhT2XG763xVLGWL9";
const EU_WEST_1: &str = "BMW5RDrXmmVs0lV7GpI4oLkHXpZ4stDsk6q91z1g38Pk";

struct Output {
    status: i32,
    stdout: String,
    stderr: String,
}

fn smtp_password(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailroom"))
        .arg("smtp-password")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused its arguments and be gone.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for part in [SECRET, &SECRET[..20], &SECRET[20..]] {
        assert!(!stdout.contains(part) && !stderr.contains(part), "the secret was printed");
    }
    Output { status: output.status.code().unwrap(), stdout, stderr }
}

fn refused(arguments: &[&str], stdin: &[u8]) -> String {
    let output = smtp_password(arguments, stdin);
    assert_eq!((output.status, output.stdout.as_str()), (2, ""));
    output.stderr
}

#[test]
fn one_region_is_the_password_alone() {
    for end in ["", "\n", "\r\n"] {
        let output = smtp_password(&["--region", "us-east-1"], format!("{SECRET}{end}").as_bytes());
        assert_eq!(
            (output.status, output.stdout, output.stderr),
            (0, format!("{US_EAST_1}\n"), String::new())
        );
    }
}

#[test]
fn several_are_a_line_each_in_the_arguments_order() {
    let expected = format!("us-east-1\t{US_EAST_1}\neu-west-1\t{EU_WEST_1}\n");
    for arguments in [
        &["--region", "us-east-1", "--region", "eu-west-1"][..],
        &["--region", "us-east-1,eu-west-1"],
        &["--region", "us-east-1,eu-west-1", "--region=us-east-1"],
        &["--regions", "us-east-1,eu-west-1"],
    ] {
        let output = smtp_password(arguments, SECRET.as_bytes());
        assert_eq!((output.status, output.stdout, output.stderr), (0, expected.clone(), String::new()));
    }
}

#[test]
fn all_are_those_where_the_key_can_be_of_use() {
    let output = smtp_password(&["--region", "all"], SECRET.as_bytes());
    assert_eq!((output.status, output.stderr.as_str()), (0, ""));
    assert_eq!(output.stdout.lines().count(), 24);
    assert!(output.stdout.contains(&format!("eu-west-1\t{EU_WEST_1}\n")));
    assert!(!output.stdout.contains("us-gov-") && !output.stdout.contains("ap-southeast-3"));
}

#[test]
fn a_region_without_smtp_is_told() {
    let output = smtp_password(&["--region", "ap-southeast-3"], SECRET.as_bytes());
    assert_eq!((output.status, output.stdout.lines().count()), (0, 1));
    assert_eq!(output.stderr, "mailroom: ap-southeast-3 is known to have no SMTP endpoint\n");
}

#[test]
fn what_can_not_be_a_secret_is_refused() {
    let region = ["--region", "us-east-1"];
    for (stdin, expected) in [
        ("", "no secret access key: the input is empty"),
        ("\n", "no secret access key: the input is empty"),
        ("AKIAIOSFODNN7EXAMPLE\n", "not a secret access key but an access key's id"),
        (&SECRET[..39], "not a secret access key: 39 characters, where AWS's have 40"),
        (
            &format!("{SECRET}\n{SECRET}\n"),
            "not a secret access key: it has characters other than letters, digits, + / =",
        ),
        (&"x".repeat(100_000), "not a secret access key: 1024 characters, where AWS's have 40"),
    ] {
        assert_eq!(refused(&region, stdin.as_bytes()), format!("mailroom: standard input: {expected}\n"));
    }
    assert!(refused(&region, b"\xff\xfe").contains("not a secret access key: it has characters other than"));
}

#[test]
fn regions_that_are_not_there_are_refused() {
    let lacks = "is no Region that the catalogue has (`mailroom regions` prints it)\n";
    let refused_region = |arguments: &[&str]| refused(arguments, SECRET.as_bytes());
    assert_eq!(
        refused_region(&["--region", "us-east-1,mars-north-1"]),
        format!("mailroom: mars-north-1 {lacks}")
    );
    // In the wrong place.
    assert_eq!(refused_region(&["--region", SECRET]), format!("mailroom: an argument {lacks}"));
    assert!(refused_region(&[]).contains("--regions <all|LIST>"));
}

#[test]
fn a_secret_as_an_argument_is_refused_and_not_repeated() {
    for arguments in [&["--region", "us-east-1", SECRET][..], &["--region", "us-east-1", "--", SECRET]] {
        assert!(
            refused(arguments, b"")
                .starts_with("mailroom: the secret access key is read from standard input")
        );
    }
    for arguments in
        [[SECRET].as_slice(), &["--secret", SECRET], &["--region", "us-east-1", "--secret", SECRET]]
    {
        assert!(!refused(arguments, b"").is_empty());
    }
}
