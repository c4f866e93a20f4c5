//! `mailroom suppress`, `release` and `show` as a user runs them, most of it up to where AWS would come in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what failed by panicking")]

mod aws;

use std::io::Write;
use std::process::{Command, Stdio};

use aws::{Answer, Request};

fn mailroom(arguments: &[&str], stdin: &str) -> (i32, Vec<String>, Vec<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mailroom"))
        .args(arguments)
        .env_clear()
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read on.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let lines =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    (output.status.code().unwrap(), lines(output.stdout), lines(output.stderr))
}

const SUPPRESS: [&str; 7] = ["suppress", "--reason", "bounce", "--why", "ticket 7", "--who", "ops"];
const RELEASE: [&str; 5] = ["release", "--why", "ticket 7", "--who", "ops"];

#[test]
fn one_bad_argument_and_nothing_is_written() {
    for command in [&SUPPRESS[..], &RELEASE[..]] {
        let arguments =
            [command, &["jane@example.com", "nobody", "bounce+x@simulator.amazonses.com"]].concat();
        let (status, out, err) = mailroom(&arguments, "");
        assert_eq!((status, out.len()), (2, 0));
        assert_eq!(err[0], "mailroom: not an e-mail address: nobody");
        assert!(
            err[1].starts_with("mailroom: bounce+x@simulator.amazonses.com: SES's mailbox simulator"),
            "{err:?}"
        );
        assert_eq!(err[2], "mailroom: nothing has been written");
    }
}

#[test]
fn what_is_missing_is_asked_for() {
    for (arguments, expected) in [
        (&["suppress", "a@example.com", "--why", "x"][..], "--reason <REASON>"),
        (
            &["suppress", "a@example.com", "--file", "-", "--why", "x", "--who", "ops"],
            "--reason is missing: only lines of a list",
        ),
        (&["suppress", "--reason", "bounce", "--why", "x"], "<ADDRESS>..."),
        (
            &["suppress", "a@example.com", "--reason", "spam", "--why", "x"],
            "[possible values: bounce, complaint]",
        ),
        (&["release", "a@example.com"], "--why <TEXT>"),
        (&["release", "a@example.com", "--why", " "], "--why is empty"),
        (&["release", "a@example.com", "--why", "x"], "who decides? Say it with --who"),
        (
            &["release", "a@example.com", "--why", "x", "--who", "ops", "--region", "mars-1"],
            "mars-1 is no Region",
        ),
        (&["show", "nobody"], "ADDRESS: not an e-mail address: nobody"),
        (&["show", "a@example.com", "--regions", "us-east-1,mars-1"], "mars-1 is no Region"),
        (&["show", "a@example.com", "--table", "x", "--stack", "y"], "cannot be used with"),
    ] {
        let (status, out, err) = mailroom(arguments, "");
        assert_eq!((status, out.len()), (2, 0), "{arguments:?}");
        assert!(err.iter().any(|line| line.contains(expected)), "{arguments:?}: {err:?}");
    }
}

#[test]
fn a_list_with_nothing_in_it_to_write() {
    let arguments = [&RELEASE[..], &["--file", "-"]].concat();
    let (status, out, err) = mailroom(&arguments, "email\nnobody\n\nbounce@simulator.amazonses.com\n");
    assert_eq!((status, &out[..]), (2, &["no address, nothing written; 2 could not be read".to_owned()][..]));
    assert_eq!(err[0], "mailroom: -:2: not an e-mail address: nobody");
    assert!(err[1].starts_with("mailroom: -:4: bounce@simulator.amazonses.com: "), "{err:?}");
    let (status, out, err) = mailroom(&arguments, "");
    assert_eq!((status, out.len(), err.len()), (0, 1, 0));
}

#[test]
fn lines_without_a_reason_are_not_written() {
    let arguments = ["suppress", "--file", "-", "--why", "x", "--who", "ops"];
    let (status, out, err) = mailroom(&arguments, "a@example.com\nb@example.com,spam\n");
    assert_eq!((status, &out[..]), (2, &["no address, nothing written; 2 could not be read".to_owned()][..]));
    assert_eq!(err, ["mailroom: -: 2 have no reason: say with --reason which it is"]);
}

#[test]
fn what_ses_imports_is_written() {
    let file = std::env::temp_dir().join(format!("mailroom-{}-import.json", std::process::id()));
    let lines = "{\"emailAddress\":\"a@example.com\",\"reason\":\"COMPLAINT\"}\n{\"emailAddress\":\"b@example.com\",\"reason\":\"BOUNCE\"}\n";
    std::fs::write(&file, lines).unwrap();
    let file = file.to_str().unwrap();
    for command in [&["suppress", "--why", "x", "--who", "ops"][..], &RELEASE[..]] {
        let (status, out, err) =
            aws::mailroom(&[command, &["--file", file, "--region", "us-east-1"]].concat(), Some(stacks));
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.starts_with("t in us-east-1: "), "{out}");
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_list_that_is_better_not_read() {
    let arguments = [&RELEASE[..], &["--file", "-"]].concat();
    let (status, out, err) = mailroom(&arguments, "a@example.com\n\"b@example.com\nc@example.com\n");
    assert_eq!((status, out.len(), err.len()), (2, 0, 1));
    assert!(err[0].starts_with("mailroom: -: line 2: a quotation mark"), "{err:?}");
    let (status, _, err) = mailroom(&[&RELEASE[..], &["--file", "nowhere.csv"]].concat(), "");
    assert_eq!(status, 1);
    assert!(err[0].starts_with("mailroom: nowhere.csv: "), "{err:?}");
}

#[test]
fn without_credentials_it_says_so_at_once() {
    for arguments in [
        &[&SUPPRESS[..], &["a@example.com", "--region", "us-east-1"]].concat()[..],
        &["show", "a@example.com", "--regions", "us-east-1"],
    ] {
        let (status, out, err) = mailroom(arguments, "");
        assert_eq!((status, out.len()), (1, 0));
        assert_eq!((err.len(), &err[0][..]), (2, "mailroom: no credentials: no credentials found in chain."));
        assert!(err[1].contains("AWS_PROFILE"), "{err:?}");
    }
}

/// Stacks in us-east-1, which keeps the list, and in eu-west-1, which keeps records only.
fn stacks(request: &Request) -> Answer {
    match (request.service.as_str(), request.region.as_str()) {
        ("cloudformation", "us-east-1") => aws::stack(&[("TableName", "t"), ("DecideFunctionName", "d")]),
        ("cloudformation", "eu-west-1") => aws::stack(&[("TableName", "t")]),
        ("dynamodb", "us-east-1") if request.body.contains("RequestItems") => {
            (200, r#"{"UnprocessedItems":{}}"#.to_owned())
        }
        ("dynamodb", "us-east-1") => (200, "{}".to_owned()),
        (service, region) => panic!("{service} in {region}: {}", request.line),
    }
}

#[test]
fn where_nobody_would_act_on_a_decision_none_is_written() {
    for command in [&SUPPRESS[..], &RELEASE[..]] {
        let here = [command, &["jane@example.com", "--region", "us-east-1"]].concat();
        let (status, out, err) = aws::mailroom(&here, Some(stacks));
        assert_eq!((status, err.as_str()), (0, ""));
        assert!(out.starts_with("t in us-east-1: "), "{out}");

        let records_only = [command, &["jane@example.com", "--region", "eu-west-1"]].concat();
        let (status, out, err) = aws::mailroom(&records_only, Some(stacks));
        assert_eq!((status, out.as_str()), (1, ""));
        let expected = "mailroom: eu-west-1: nothing has been written, for nobody would act on it: the stack mailroom does not";
        assert!(err.starts_with(expected) && err.contains("Suppression=on"), "{err}");
    }
}
