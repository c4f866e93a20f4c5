use std::time::Duration;

use time::macros::datetime;

use super::*;

const START: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const EAST: &str = "us-east-1";
const WEST: &str = "eu-west-1";

fn after(hours: u64) -> OffsetDateTime {
    START + Duration::from_hours(hours)
}

fn kind<T>(result: Result<T, Refused>) -> Option<RefusedKind> {
    result.err().map(|refused| refused.kind)
}

fn statuses(all: &mut Identities, now: OffsetDateTime, region: &str, name: &str) -> (Status, Option<Status>) {
    let identity = all.get(now, region, name).expect("there");
    (identity.verification.status, identity.dkim.as_ref().map(|dkim| dkim.watch.status))
}

fn publish(all: &mut Identities, now: OffsetDateTime, region: &str, domain: &str) {
    all.records(now, |zone| {
        for token in tokens(region, domain) {
            zone.publish(&record(&token, domain), "CNAME", &format!("{token}.{}", hosted_zone(region)));
        }
    });
}

fn withdraw(all: &mut Identities, now: OffsetDateTime, region: &str, domain: &str) {
    all.records(now, |zone| {
        for token in tokens(region, domain) {
            assert!(zone.withdraw(&record(&token, domain), "CNAME"));
        }
    });
}

#[test]
fn a_domain_is_verified_by_its_signatures_in_each_region() {
    let mut all = Identities::default();
    for region in [EAST, WEST] {
        all.create(START, region, "Example.com", None).expect("made");
    }
    assert_eq!(kind(all.create(START, EAST, "example.com", None)), Some(RefusedKind::AlreadyExists));
    publish(&mut all, after(1), EAST, "example.com");
    assert_eq!(statuses(&mut all, after(1), EAST, "example.com"), (Status::Success, Some(Status::Success)));
    assert_eq!(statuses(&mut all, after(1), WEST, "example.com"), (Status::Pending, Some(Status::Pending)));
    publish(&mut all, after(100), WEST, "example.com");
    assert_eq!(statuses(&mut all, after(100), WEST, "example.com"), (Status::Failed, Some(Status::Failed)));
    all.sign(after(101), WEST, "example.com", Origin::AwsSes, None).expect("started again");
    assert_eq!(statuses(&mut all, after(101), WEST, "example.com"), (Status::Success, Some(Status::Success)));
}

#[test]
fn a_domain_whose_records_go_loses_its_signatures_and_stays_verified() {
    let mut all = Identities::default();
    all.verified(START, EAST, "example.com").expect("made");
    withdraw(&mut all, after(1), EAST, "example.com");
    assert_eq!(
        statuses(&mut all, after(1), EAST, "example.com"),
        (Status::Success, Some(Status::TemporaryFailure))
    );
    publish(&mut all, after(120), EAST, "example.com");
    assert_eq!(statuses(&mut all, after(120), EAST, "example.com"), (Status::Success, Some(Status::Success)));
    all.records(after(200), |zone| zone.answers("example.com", false));
    let identity = all.get(after(200), EAST, "example.com").expect("there");
    let dkim = identity.dkim.as_ref().expect("a domain's");
    assert_eq!(
        (dkim.watch.status, dkim.watch.error),
        (Status::TemporaryFailure, Some(VerificationError::DnsServerError))
    );
    assert_eq!(statuses(&mut all, after(320), EAST, "example.com"), (Status::Success, Some(Status::Failed)));
}

#[test]
fn an_address_is_verified_by_a_link_and_signs_with_its_own_domains_key() {
    let mut all = Identities::default();
    all.create(START, EAST, "Ada@Mail.example.com", None).expect("made");
    assert!(all.signatures(EAST, "Ada@mail.example.com").is_none());
    assert!(!all.confirm(START, EAST, "ada@mail.example.com"), "another address");
    assert!(all.confirm(after(23), EAST, "Ada@mail.example.com"));
    assert_eq!(statuses(&mut all, after(500), EAST, "Ada@mail.example.com"), (Status::Success, None));
    all.verified(START, EAST, "example.com").expect("made");
    assert!(all.signatures(EAST, "Ada@mail.example.com").is_none(), "a domain above is not its own");
    all.verified(START, EAST, "mail.example.com").expect("made");
    let signatures = all.signatures(EAST, "Ada@mail.example.com").expect("its domain's");
    assert_eq!(signatures.tokens, tokens(EAST, "mail.example.com"));
    all.create(START, EAST, "late@example.com", None).expect("made");
    assert!(all.confirm(after(24), EAST, "late@example.com"));
    assert_eq!(statuses(&mut all, after(24), EAST, "late@example.com"), (Status::Failed, None));
    all.mail_link(after(25), EAST, "late@example.com").expect("mailed again");
    assert_eq!(
        statuses(&mut all, after(25), EAST, "late@example.com"),
        (Status::Pending, None),
        "a link of its own"
    );
    all.mail_link(after(25), EAST, "Ada@mail.example.com").expect("nothing to do");
    assert_eq!(statuses(&mut all, after(25), EAST, "Ada@mail.example.com"), (Status::Success, None));
    assert!(!all.confirm(START, EAST, "example.com"), "no link for a domain");
    let own = Some((Origin::AwsSes, KeyLength::Rsa1024));
    assert_eq!(kind(all.create(START, EAST, "bob@example.com", own)), Some(RefusedKind::BadRequest));
    let signs = all.sign(START, EAST, "late@example.com", Origin::AwsSes, None);
    assert_eq!(kind(signs), Some(RefusedKind::BadRequest));
}

#[test]
fn a_replica_has_its_parents_signatures() {
    let mut all = Identities::default();
    let replica = |region: &str| Some((Origin::Replica { region: region.to_owned() }, KeyLength::Rsa2048));
    all.create(START, WEST, "example.com", replica(EAST)).expect("made");
    let error = |all: &mut Identities, name: &str| {
        let identity = all.get(START, WEST, name).expect("there");
        identity.dkim.as_ref().and_then(|dkim| dkim.watch.error)
    };
    assert_eq!(error(&mut all, "example.com"), Some(VerificationError::ReplicationPrimaryNotFound));
    all.verified(START, EAST, "example.com").expect("made");
    assert_eq!(statuses(&mut all, START, WEST, "example.com"), (Status::Success, Some(Status::Success)));
    let signatures = all.signatures(WEST, "example.com").expect("signed");
    assert_eq!(signatures.tokens, tokens(EAST, "example.com"));
    assert_eq!(kind(all.delete(START, EAST, "example.com")), Some(RefusedKind::BadRequest));

    let external = Some((Origin::External { selector: "s".to_owned() }, KeyLength::Rsa2048));
    all.create(START, EAST, "own.example", external).expect("made");
    all.create(START, WEST, "own.example", replica(EAST)).expect("made");
    assert_eq!(
        error(&mut all, "own.example"),
        Some(VerificationError::ReplicationPrimaryByoDkimNotSupported)
    );
    all.create(START, EAST, "copy.example", replica("us-west-2")).expect("made");
    all.create(START, WEST, "copy.example", replica(EAST)).expect("made");
    assert_eq!(
        error(&mut all, "copy.example"),
        Some(VerificationError::ReplicationReplicaAsPrimaryNotSupported)
    );

    all.delete(START, WEST, "example.com").expect("gone");
    all.delete(START, EAST, "example.com").expect("gone");
    assert_eq!(kind(all.delete(START, EAST, "example.com")), Some(RefusedKind::NotFound));
}

#[test]
fn a_mail_from_domain_that_failed_must_be_set_again() {
    let mut all = Identities::default();
    all.verified(START, EAST, "example.com").expect("made");
    let set = |all: &mut Identities, now, domain| {
        all.send_from(now, EAST, "example.com", domain, OnMxFailure::RejectMessage)
    };
    let status = |all: &mut Identities, now| {
        let identity = all.get(now, EAST, "example.com").expect("there");
        identity.mail_from.as_ref().map(|mail_from| mail_from.watch.status)
    };
    assert_eq!(kind(set(&mut all, START, Some("bounce.example.org"))), Some(RefusedKind::BadRequest));
    assert_eq!(kind(set(&mut all, START, Some("example.com"))), Some(RefusedKind::BadRequest));
    set(&mut all, START, Some("bounce.example.com")).expect("set");
    assert_eq!(status(&mut all, after(71)), Some(Status::Pending));
    assert_eq!(status(&mut all, after(72)), Some(Status::Failed));
    let mx = "10 feedback-smtp.us-east-1.amazonses.com";
    all.records(after(73), |zone| zone.publish("bounce.example.com", "MX", mx));
    assert_eq!(status(&mut all, after(73)), Some(Status::Failed), "SES looks no more");
    set(&mut all, after(74), Some("bounce.example.com")).expect("set");
    assert_eq!(status(&mut all, after(74)), Some(Status::Success));
    all.records(after(75), |zone| zone.withdraw("bounce.example.com", "MX"));
    assert_eq!(status(&mut all, after(75)), Some(Status::TemporaryFailure));
    assert_eq!(status(&mut all, after(147)), Some(Status::Failed));
    set(&mut all, after(148), None).expect("unset");
    assert_eq!(status(&mut all, after(148)), None);
    let unknown = all.send_from(START, WEST, "example.com", None, OnMxFailure::RejectMessage);
    assert_eq!(kind(unknown), Some(RefusedKind::BadRequest));
}

#[test]
fn names_that_nothing_could_be_sent_from_are_refused() {
    let mut all = Identities::default();
    for name in ["", "example", "@example.com", "a@b", "a b.example", "example..com"] {
        assert_eq!(kind(all.create(START, EAST, name, None)), Some(RefusedKind::BadRequest), "{name}");
    }
}
