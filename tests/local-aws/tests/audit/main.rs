//! The audit end to end, in three Regions: one fault in each section of AWS's page is planted in Regions that are ready, the
//! audit finds all ten where they are and nothing else, and what it prints fixes them.
//!
//! The functions and the operator's tool are the binaries, the template is the real one, SES keeps its own pace, and the
//! commands that the audit prints run as they stand, by the AWS CLI. What a person or AWS would do, the test does: it publishes
//! DNS records, reads the application for production access, and enables a Region, which no local AWS can.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

mod faults;
mod fixes;
mod others;
mod tool;
mod world;

use std::collections::BTreeMap;

use mailroom_audit::{AuditSection, AuditVerdict};

use crate::tool::Told;
use crate::world::{REGIONS, World};

/// What is wrong, by Region and section: how bad, and of what.
type Wrong = BTreeMap<(String, AuditSection), (AuditVerdict, Vec<String>)>;

fn wrong(told: &[Told]) -> Wrong {
    let is_wrong = |of: &&Told| !matches!(of.verdict, AuditVerdict::Pass | AuditVerdict::NotApplicable);
    let subjects = |of: &Told| of.findings.iter().map(|finding| finding.subject.clone()).collect();
    let entry = |of: &Told| ((of.region.clone(), of.section), (of.verdict, subjects(of)));
    told.iter().filter(is_wrong).map(entry).collect()
}

/// Every section of every Region has been judged, and IAM by one of them.
fn assert_complete(told: &[Told]) {
    for region in REGIONS {
        let sections = told.iter().filter(|of| of.region == region).map(|of| of.section);
        assert!(sections.eq(AuditSection::ALL), "{region}: {told:#?}");
    }
    assert_eq!(told.len(), REGIONS.len() * AuditSection::ALL.len(), "and no other Region: {told:#?}");
    let not_applicable = told.iter().filter(|of| of.verdict == AuditVerdict::NotApplicable);
    let sections: Vec<_> = not_applicable.map(|of| of.section).collect();
    assert_eq!(sections, [AuditSection::SmtpCredentials; REGIONS.len() - 1], "IAM is global: {told:#?}");
}

/// What the tables say, once every Region has been audited anew.
async fn audit(world: &World) -> Vec<Told> {
    world.audit().await;
    let told = tool::audit(world, &["--regions", "all"]).await;
    assert_complete(&told);
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_faults_are_found_where_they_are_and_mended_by_what_is_printed() {
    let world = World::ready().await;
    let told = audit(&world).await;
    assert_eq!(wrong(&told), Wrong::new(), "{told:#?}");

    faults::plant(&world).await;
    let mut told = audit(&world).await;
    assert_eq!(wrong(&told), faults::expected(), "{told:#?}");

    let live = tool::audit(&world, &["--live", "--regions", &REGIONS.join(",")]).await;
    assert_complete(&live);
    assert_eq!(wrong(&live), faults::expected_live(), "{live:#?}");

    // An identity that is made has records to publish and topics to set, which the next audit prints.
    fixes::apply(&world, &told).await;
    told = audit(&world).await;
    let left = wrong(&told);
    let of_new = |((region, _), (_, subjects)): (&(String, AuditSection), &(AuditVerdict, Vec<String>))| {
        region == faults::MISSING_IN && subjects.iter().all(|subject| subject == faults::MISSING)
    };
    assert!(!left.is_empty() && left.iter().all(of_new), "{told:#?}");

    fixes::apply(&world, &told).await;
    told = audit(&world).await;
    assert_eq!(wrong(&told), Wrong::new(), "{told:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_is_wrong_is_mended_by_what_is_printed_too() {
    let world = World::ready().await;
    others::plant(&world).await;
    let mut told = audit(&world).await;
    assert_eq!(wrong(&told), others::expected(&world), "{told:#?}");

    fixes::apply(&world, &told).await;
    told = audit(&world).await;
    assert_eq!(wrong(&told), others::expected_next(&world), "{told:#?}");

    fixes::apply(&world, &told).await;
    told = audit(&world).await;
    assert_eq!(wrong(&told), Wrong::new(), "{told:#?}");
}
