//! A domain's records over several Regions.

use mailroom_audit::facts::{ApiAnswer, EmailIdentity, ReceiptRuleSet};
use mailroom_audit::zone::{DnsZone, RegionDnsFacts};

use crate::healthy::{facts_of, identity_of};

fn identity(region: &str, change: impl FnOnce(&mut EmailIdentity)) -> ApiAnswer<Option<EmailIdentity>> {
    identity_of(region, "example.com").identity.map(|mut identity| {
        change(&mut identity);
        Some(identity)
    })
}

fn tokens(identity: &mut EmailIdentity, tokens: [&str; 3]) {
    identity.dkim.as_mut().unwrap().tokens = tokens.map(str::to_owned).to_vec();
}

fn asks(region: &str, identity: ApiAnswer<Option<EmailIdentity>>) -> RegionDnsFacts {
    RegionDnsFacts { region: region.to_owned(), identity, rule_set: ApiAnswer::NotAsked }
}

/// The active rule set, of one rule with these recipients.
fn rules(region: &str, recipients: &[&str], enabled: bool) -> ApiAnswer<Option<ReceiptRuleSet>> {
    facts_of(region).rule_set.map(|set| {
        set.map(|mut set| {
            set.rules[0].recipients = recipients.iter().map(|of| (*of).to_owned()).collect();
            set.rules[0].enabled = enabled;
            set
        })
    })
}

fn shown(asks: &[RegionDnsFacts], mail_from: Option<&str>) -> Vec<String> {
    DnsZone::collect("example.com", asks, mail_from).to_string().lines().map(str::to_owned).collect()
}

/// The lines of a section, without its title.
fn section(lines: &[String], title: &str) -> Vec<String> {
    let title = format!("; {title}");
    lines
        .iter()
        .skip_while(|line| **line != title)
        .skip(1)
        .take_while(|line| !line.is_empty())
        .cloned()
        .collect()
}

#[test]
fn all_of_it() {
    let mut here = asks("us-east-1", identity("us-east-1", |_| ()));
    here.rule_set = facts_of("us-east-1").rule_set;
    let other = identity("eu-west-1", |identity| {
        tokens(identity, ["ddd", "eee", "fff"]);
        identity.dkim.as_mut().unwrap().signing_hosted_zone =
            Some("x1.dkim.eu-west-1.amazonses.com".to_owned());
    });
    let lines = shown(&[here, asks("eu-west-1", other)], None);
    let expected = "\
; example.com for Amazon SES in us-east-1, eu-west-1

; Easy DKIM
; us-east-1:
aaa._domainkey.example.com. IN CNAME aaa.dkim.amazonses.com.
bbb._domainkey.example.com. IN CNAME bbb.dkim.amazonses.com.
ccc._domainkey.example.com. IN CNAME ccc.dkim.amazonses.com.
; eu-west-1:
ddd._domainkey.example.com. IN CNAME ddd.x1.dkim.eu-west-1.amazonses.com.
eee._domainkey.example.com. IN CNAME eee.x1.dkim.eu-west-1.amazonses.com.
fff._domainkey.example.com. IN CNAME fff.x1.dkim.eu-west-1.amazonses.com.

; Custom MAIL FROM
; us-east-1, eu-west-1:
bounce.example.com. IN MX 10 feedback-smtp.us-east-1.amazonses.com.
; Exactly one MX, or SES does not take the domain. These are as good; SES passes bounces on to the Region that sent the mail:
;bounce.example.com. IN MX 10 feedback-smtp.eu-west-1.amazonses.com.
bounce.example.com. IN TXT \"v=spf1 include:amazonses.com ~all\"

; Receiving
; us-east-1:
example.com. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.

; DMARC
; If there is none yet: begin with p=none and an address that reads the reports, go on to p=quarantine when they show that all is signed:
;_dmarc.example.com. IN TXT \"v=DMARC1; p=none; rua=mailto:dmarc@example.com\"";
    assert_eq!(lines.join("\n"), expected);
}

#[test]
fn a_replica_asks_for_what_its_parent_does() {
    let replica = identity("eu-west-1", |identity| {
        identity.dkim.as_mut().unwrap().signing_attributes_origin = Some("AWS_SES_US_EAST_1".to_owned());
    });
    let lines = shown(&[asks("us-east-1", identity("us-east-1", |_| ())), asks("eu-west-1", replica)], None);
    let dkim = section(&lines, "Easy DKIM");
    assert_eq!((dkim.len(), dkim[0].as_str()), (4, "; us-east-1, eu-west-1:"));
}

#[test]
fn a_name_with_two_targets_is_a_conflict() {
    let other = identity("eu-west-1", |identity| {
        tokens(identity, ["aaa", "eee", "fff"]);
        identity.dkim.as_mut().unwrap().signing_hosted_zone = Some("x1.amazonses.com".to_owned());
    });
    let zone = DnsZone::collect(
        "example.com",
        &[asks("us-east-1", identity("us-east-1", |_| ())), asks("eu-west-1", other)],
        None,
    );
    let lines: Vec<_> = zone.to_string().lines().map(str::to_owned).collect();
    let dkim = section(&lines, "Easy DKIM");
    assert!(dkim[5].starts_with("; CONFLICT"), "{dkim:?}");
    assert_eq!(dkim[6], ";aaa._domainkey.example.com. IN CNAME aaa.x1.amazonses.com.");
    let mut names: Vec<_> =
        zone.records_to_publish().filter(|of| of.kind == "CNAME").map(|of| &of.name).collect();
    let all = names.len();
    names.dedup();
    assert_eq!((all, names.len()), (5, 5));
}

#[test]
fn a_key_of_ones_own_is_not_told() {
    let own = identity("eu-west-1", |identity| {
        identity.dkim.as_mut().unwrap().signing_attributes_origin = Some("EXTERNAL".to_owned());
        tokens(identity, ["selector", "b", "c"]);
    });
    let dkim = section(&shown(&[asks("eu-west-1", own)], None), "Easy DKIM");
    assert_eq!(
        dkim[0],
        "; eu-west-1: a key of your own: its public key in a TXT record, selector._domainkey.example.com"
    );
}

#[test]
fn a_mail_from_domain_that_is_to_be_set() {
    let none = |region: &str| asks(region, identity(region, |identity| identity.mail_from = None));
    let has = asks("us-west-2", identity("us-west-2", |_| ()));
    let lines = shown(&[none("us-east-1"), has, none("eu-west-1")], Some("mail.example.com"));
    let expected = "\
; us-east-1, eu-west-1:
mail.example.com. IN MX 10 feedback-smtp.us-east-1.amazonses.com.
; Exactly one MX, or SES does not take the domain. These are as good; SES passes bounces on to the Region that sent the mail:
;mail.example.com. IN MX 10 feedback-smtp.eu-west-1.amazonses.com.
mail.example.com. IN TXT \"v=spf1 include:amazonses.com ~all\"
; us-west-2:
bounce.example.com. IN MX 10 feedback-smtp.us-west-2.amazonses.com.
bounce.example.com. IN TXT \"v=spf1 include:amazonses.com ~all\"
; us-west-2 has bounce.example.com, which stays.
; To set it:
;   aws sesv2 put-email-identity-mail-from-attributes --email-identity example.com --mail-from-domain mail.example.com --region us-east-1
;   aws sesv2 put-email-identity-mail-from-attributes --email-identity example.com --mail-from-domain mail.example.com --region eu-west-1";
    assert_eq!(section(&lines, "Custom MAIL FROM").join("\n"), expected);
    assert_eq!(section(&shown(&[none("us-east-1")], None), "Custom MAIL FROM"), [""; 0]);
}

#[test]
fn regions_that_have_not_got_it_say_so() {
    let regions = [
        asks("us-east-1", ApiAnswer::Answered(None)),
        asks("eu-west-1", ApiAnswer::Denied("ses:GetEmailIdentity".to_owned())),
        asks("af-south-1", ApiAnswer::NotEnabled("UnrecognizedClientException".to_owned())),
        asks(
            "us-west-2",
            ApiAnswer::Failed { action: "ses:GetEmailIdentity".to_owned(), why: "timed out".to_owned() },
        ),
    ];
    assert_eq!(
        section(&shown(&regions, None), "Not here"),
        [
            "; us-east-1: no identity. To have one, and its records here:",
            ";   aws sesv2 create-email-identity --email-identity example.com --region us-east-1",
            "; eu-west-1: not permitted: ses:GetEmailIdentity",
            "; af-south-1: not enabled (UnrecognizedClientException)",
            "; us-west-2: ses:GetEmailIdentity: timed out",
        ]
    );
}

#[test]
fn an_mx_is_published_where_rules_take_the_mail() {
    let with = |region: &str, recipients: &[&str], enabled: bool| {
        let mut asks = asks(region, identity(region, |identity| identity.mail_from = None));
        asks.rule_set = rules(region, recipients, enabled);
        asks
    };
    for (recipients, enabled, published) in [
        (&[][..], true, true),
        (&[], false, false),
        (&["example.com"], true, true),
        (&["Jane@Example.com"], true, true),
        (&["other.example", "jane@other.example"], true, false),
        (&[".com"], true, true),
        (&[".example.com"], true, false),
        (&["ample.com"], true, false),
    ] {
        let zone = DnsZone::collect("example.com", &[with("us-east-1", recipients, enabled)], None);
        assert_eq!(
            zone.records_to_publish().any(|of| of.kind == "MX"),
            published,
            "{recipients:?} {enabled}"
        );
        assert!(zone.to_string().contains("example.com. IN MX 10 inbound-smtp.us-east-1.amazonaws.com."));
    }
    let none = RegionDnsFacts { rule_set: ApiAnswer::Answered(None), ..with("eu-west-1", &[], true) };
    let both = [with("us-east-1", &[], true), with("us-west-2", &[], true), none];
    let lines = section(&shown(&both, None), "Receiving");
    assert_eq!(lines[0], "; us-east-1, us-west-2:");
    assert!(lines[1].starts_with("; Each gets its share"), "{lines:?}");
    assert_eq!(lines[5], ";example.com. IN MX 10 inbound-smtp.eu-west-1.amazonaws.com.");
}

#[test]
fn a_mail_from_domain_that_a_rule_names_is_a_conflict() {
    for (recipients, enabled, conflict) in [
        // The stack's own rule by default: everybody at every verified domain.
        (&[][..], true, false),
        (&["example.com", "jane@example.com"], true, false),
        (&["bounce.example.com.example"], true, false),
        (&[".bounce.example.com"], true, false),
        (&["Bounce.Example.com"], true, true),
        (&["jane@bounce.example.com"], true, true),
        (&["other.example", ".example.com"], true, true),
        (&["bounce.example.com"], false, false),
    ] {
        let mut asks = asks("us-east-1", identity("us-east-1", |_| ()));
        asks.rule_set = rules("us-east-1", recipients, enabled);
        let lines = section(&shown(&[asks], None), "Custom MAIL FROM");
        let told = lines.iter().any(|line| line.starts_with("; CONFLICT: a receipt rule names it"));
        assert_eq!(told, conflict, "{recipients:?} {enabled}: {lines:?}");
    }
}

#[test]
fn where_the_rules_are_not_told_the_mx_is_commented_and_says_why() {
    for (rule_set, why) in [
        (
            ApiAnswer::Denied("ses:DescribeActiveReceiptRuleSet".to_owned()),
            "not permitted: ses:DescribeActiveReceiptRuleSet",
        ),
        (
            ApiAnswer::Failed {
                action: "ses:DescribeActiveReceiptRuleSet".to_owned(),
                why: "throttled".to_owned(),
            },
            "ses:DescribeActiveReceiptRuleSet: throttled",
        ),
    ] {
        let asks = RegionDnsFacts { rule_set, ..asks("us-east-1", identity("us-east-1", |_| ())) };
        assert!(!asks.is_complete());
        let lines = section(&shown(&[asks], None), "Receiving");
        assert_eq!(
            lines[0],
            format!("; us-east-1: {why}: whether a rule takes this domain's mail is not known.")
        );
        assert_eq!(lines[2], ";example.com. IN MX 10 inbound-smtp.us-east-1.amazonaws.com.");
    }
}

#[test]
fn what_was_not_to_be_asked_is_not_missing() {
    let here = asks("us-east-1", identity("us-east-1", |_| ()));
    assert!(here.is_complete());
    let none = RegionDnsFacts { rule_set: ApiAnswer::Answered(None), ..here.clone() };
    assert!(none.is_complete() && asks("us-east-1", ApiAnswer::Answered(None)).is_complete());
    let denied = ApiAnswer::Denied("ses:GetEmailIdentity".to_owned());
    assert!(!RegionDnsFacts { identity: denied, ..here }.is_complete());
}
