//! `mailroom dns` as a user runs it, before an AWS that answers what a test has it answer.
#![allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]

mod aws;

use aws::{Answer, Request, mailroom, mailroom_unread};

/// us-east-1 has the domain and receives; eu-west-1 has a replica, and no rule set; us-west-2 has nothing; ca-central-1 refuses;
/// eu-west-2 has a replica, and does not tell of rule sets.
fn ses(request: &Request) -> Answer {
    let region = request.region.as_str();
    assert_eq!(request.service, "ses");
    if request.line == "POST /" {
        assert!(request.body.contains("DescribeActiveReceiptRuleSet"), "{}", request.body);
        if region == "eu-west-2" {
            let denied = "<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>no</Message></Error>";
            return (403, format!("<ErrorResponse>{denied}</ErrorResponse>"));
        }
        let rules = "<Metadata><Name>m</Name></Metadata><Rules><member><Name>r</Name><Enabled>true</Enabled></member></Rules>";
        let found = if region == "us-east-1" { rules } else { "" };
        let result = format!(
            "<R xmlns=\"http://ses.amazonaws.com/doc/2010-12-01/\"><DescribeActiveReceiptRuleSetResult>{found}</DescribeActiveReceiptRuleSetResult></R>"
        )
        .replace("R xmlns", "DescribeActiveReceiptRuleSetResponse xmlns")
        .replace("</R>", "</DescribeActiveReceiptRuleSetResponse>");
        return (200, result);
    }
    assert_eq!(request.line, "GET /v2/email/identities/xn--bcher-kva.example");
    let origin = match region {
        "us-east-1" => "AWS_SES",
        "eu-west-1" | "eu-west-2" => "AWS_SES_US_EAST_1",
        "us-west-2" => return (404, r#"{"__type":"NotFoundException","message":"no"}"#.to_owned()),
        _ => return (403, r#"{"__type":"AccessDeniedException","message":"no"}"#.to_owned()),
    };
    let mail_from = if region == "us-east-1" { "bounce.xn--bcher-kva.example" } else { "" };
    let identity = serde_json::json!({
        "IdentityType": "DOMAIN",
        "VerificationStatus": "SUCCESS",
        "VerifiedForSendingStatus": true,
        "DkimAttributes": {
            "SigningEnabled": true,
            "Status": "SUCCESS",
            "Tokens": ["aaa", "bbb", "ccc"],
            "SigningHostedZone": "x1.dkim.us-east-1.amazonses.com",
            "SigningAttributesOrigin": origin,
        },
        "MailFromAttributes": {
            "MailFromDomain": mail_from,
            "MailFromDomainStatus": "SUCCESS",
            "BehaviorOnMxFailure": "USE_DEFAULT_VALUE",
        },
    });
    (200, identity.to_string())
}

#[test]
fn records_over_several_regions() {
    let arguments = [
        "dns",
        "Bücher.example.",
        "--regions",
        "us-east-1,eu-west-1,us-west-2,us-east-1",
        "--mail-from",
        "bounce",
    ];
    let (status, out, err) = mailroom(&arguments, Some(ses));
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let expected = "\
; xn--bcher-kva.example for Amazon SES in us-east-1, eu-west-1, us-west-2

; Not here
; us-west-2: no identity. To have one, and its records here:
;   aws sesv2 create-email-identity --email-identity xn--bcher-kva.example --region us-west-2

; Easy DKIM
; us-east-1, eu-west-1:
aaa._domainkey.xn--bcher-kva.example. IN CNAME aaa.x1.dkim.us-east-1.amazonses.com.
bbb._domainkey.xn--bcher-kva.example. IN CNAME bbb.x1.dkim.us-east-1.amazonses.com.
ccc._domainkey.xn--bcher-kva.example. IN CNAME ccc.x1.dkim.us-east-1.amazonses.com.

; Custom MAIL FROM
; us-east-1, eu-west-1:
bounce.xn--bcher-kva.example. IN MX 10 feedback-smtp.us-east-1.amazonses.com.
; Exactly one MX, or SES does not take the domain. These are as good; SES passes bounces on to the Region that sent the mail:
;bounce.xn--bcher-kva.example. IN MX 10 feedback-smtp.eu-west-1.amazonses.com.
bounce.xn--bcher-kva.example. IN TXT \"v=spf1 include:amazonses.com ~all\"
; To set it:
;   aws sesv2 put-email-identity-mail-from-attributes --email-identity xn--bcher-kva.example --mail-from-domain bounce.xn--bcher-kva.example --region eu-west-1

; Receiving
; us-east-1:
xn--bcher-kva.example. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.
; SES can receive here, and no active rule is known to take this domain's mail. Publish only if it is to; the mail then goes nowhere else:
;xn--bcher-kva.example. IN MX 10 inbound-smtp.eu-west-1.amazonaws.com.

; DMARC
; If there is none yet: begin with p=none and an address that reads the reports, go on to p=quarantine when they show that all is signed:
;_dmarc.xn--bcher-kva.example. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@xn--bcher-kva.example\"
";
    assert_eq!(out, expected);
}

#[test]
fn a_region_that_does_not_tell_does_not_hide_the_others() {
    let (status, out, _) =
        mailroom(&["dns", "bücher.example", "--regions", "ca-central-1,us-east-1"], Some(ses));
    assert_eq!(status, 1);
    assert!(out.contains("; ca-central-1: not permitted: ses:GetEmailIdentity\n"), "{out}");
    assert!(out.contains("\naaa._domainkey."), "{out}");
}

#[test]
fn rules_that_are_not_told_are_told_as_that() {
    let arguments = ["dns", "bücher.example", "--regions", "eu-west-2"];
    let (status, out, err) = mailroom(&arguments, Some(ses));
    assert_eq!((status, err.as_str()), (1, ""), "{out}");
    let why = "; eu-west-2: not permitted: ses:DescribeActiveReceiptRuleSet: whether a rule takes";
    assert!(out.contains(why), "{out}");
    assert!(
        out.contains("\n;xn--bcher-kva.example. IN MX 10 inbound-smtp.eu-west-2.amazonaws.com.\n"),
        "{out}"
    );
    assert_eq!(mailroom_unread(&arguments, ses).0, 1);
    // Who knows better is not told of what was not to be asked.
    let arguments = [&arguments[..], &["--receiving", "eu-west-2=off"]].concat();
    let (status, out, _) = mailroom(&arguments, Some(ses));
    assert_eq!((status, out.contains("inbound-smtp")), (0, false), "{out}");
}

#[test]
fn what_is_wrong_is_said_before_anybody_is_asked() {
    for (arguments, expected) in [
        (&["jane@example.com"][..], "DOMAIN: jane@example.com is no domain"),
        (&["localhost"], "DOMAIN: localhost is no domain"),
        (&["-"], "DOMAIN: - is no domain"),
        (&["example.com", "--regions", "mars-1"], "mars-1 is no Region"),
        (&["example.com", "--receiving", "us-east-1=maybe"], "--receiving us-east-1=maybe: what it says"),
        (&["example.com", "--mail-from", "a..b"], "--mail-from: a..b is no subdomain of example.com"),
        (&["example.com", "--mail-from", ""], "--mail-from:  is no subdomain of example.com"),
    ] {
        let (status, out, err) = mailroom(&[&["dns"], arguments].concat(), None);
        assert_eq!((status, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.starts_with(&format!("mailroom: {expected}")), "{arguments:?}: {err}");
    }
    let (status, _, err) = mailroom(&["dns", "example.com", "--regions", "us-east-1"], None);
    assert_eq!(status, 1);
    assert!(err.starts_with("mailroom: no credentials"), "{err}");
}
