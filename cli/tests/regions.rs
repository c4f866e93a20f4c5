//! `mailroom regions` as a user runs it. What the facts are is core's business.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

use std::process::Command;

fn regions(arguments: &[&str]) -> (i32, Vec<String>, Vec<String>) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_mailroom")).arg("regions").args(arguments).output().unwrap();
    let lines =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    (output.status.code().unwrap(), lines(output.stdout), lines(output.stderr))
}

fn json(arguments: &[&str]) -> Vec<serde_json::Value> {
    let (status, out, err) = regions(&[&["--json"], arguments].concat());
    assert_eq!((status, err.len()), (0, 0), "{err:?}");
    out.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_table_of_all_of_them() {
    let (status, out, err) = regions(&[]);
    assert_eq!((status, err.len()), (0, 0));
    assert_eq!(out[0], "REGION          PARTITION   SMTP           RECEIVES       NAME");
    assert_eq!(out[1], "af-south-1      aws         no             yes (2026-09)  Africa (Cape Town)");
    assert!(out.contains(
        &"us-gov-west-1   aws-us-gov  yes (2023-10)  no             AWS GovCloud (US-West)".to_owned()
    ));
    assert!(out.contains(
        &"ca-west-1       aws         unknown        no             Canada West (Calgary)".to_owned()
    ));
    assert_eq!(out.iter().take_while(|line| !line.is_empty()).count(), 1 + 29);
    assert!(out.iter().all(|line| line.len() <= 100), "{out:?}");
}

#[test]
fn an_object_a_line_with_every_endpoint() {
    assert_eq!(json(&[]).len(), 29);
    assert_eq!(
        json(&["eu-west-1", "us-gov-east-1"]),
        [
            serde_json::json!({
                "region": "eu-west-1",
                "partition": "aws",
                "title": "Europe (Ireland)",
                "api_endpoint": "email.eu-west-1.amazonaws.com",
                "smtp": "2023-10",
                "smtp_endpoint": "email-smtp.eu-west-1.amazonaws.com",
                "receiving": "2023-02",
                "receives": true,
                "inbound_endpoint": "inbound-smtp.eu-west-1.amazonaws.com",
                "mail_from_endpoint": "feedback-smtp.eu-west-1.amazonses.com",
            }),
            serde_json::json!({
                "region": "us-gov-east-1",
                "partition": "aws-us-gov",
                "title": "AWS GovCloud (US-East)",
                "api_endpoint": "email.us-gov-east-1.amazonaws.com",
                "smtp": "2023-10",
                "smtp_endpoint": "email-smtp.us-gov-east-1.amazonaws.com",
                "receiving": "no",
                "receives": false,
                "inbound_endpoint": null,
                "mail_from_endpoint": "feedback-smtp.us-gov-east-1.amazonses.com",
            }),
        ]
    );
    assert!(json(&["ap-southeast-3"])[0]["smtp_endpoint"].is_null());
}

#[test]
fn what_the_operator_knows_of_receiving_goes_first() {
    let said = ["--receiving", "us-gov-east-1=on,eu-west-1=on", "--receiving", "eu-west-1=off"];
    let objects = json(&[&said[..], &["us-gov-east-1", "eu-west-1", "eu-west-2"]].concat());
    let receives: Vec<_> = objects.iter().map(|object| object["receives"].as_bool().unwrap()).collect();
    assert_eq!(receives, [true, false, true]);
    assert_eq!(objects[0]["inbound_endpoint"], "inbound-smtp.us-gov-east-1.amazonaws.com");
    assert_eq!((&objects[1]["receiving"], &objects[1]["inbound_endpoint"]), (&"2023-02".into(), &().into()));
    let (_, out, _) = regions(&[&said[..], &["us-gov-east-1", "eu-west-1"]].concat());
    assert!(out[1].contains("  yes (you)  ") && out[2].contains("  no (you) "), "{out:?}");
}

#[test]
fn what_the_catalogue_lacks_is_refused() {
    let lacks = "is no Region that the catalogue has (`mailroom regions` prints it)";
    for (arguments, expected) in [
        (&["eu-west-1", "mars-north-1"][..], format!("mailroom: mars-north-1 {lacks}")),
        (&["--receiving", "mars-north-1=on"], format!("mailroom: mars-north-1 {lacks}")),
        (
            &["--receiving", "eu-west-1=yes"],
            "mailroom: --receiving eu-west-1=yes: what it says is none of on, off, auto".to_owned(),
        ),
        (
            &["--receiving", "eu-west-1"],
            "mailroom: --receiving eu-west-1=: what it says is none of on, off, auto".to_owned(),
        ),
    ] {
        assert_eq!(regions(arguments), (2, vec![], vec![expected]));
    }
}
