//! The audit end to end, in three Regions: one fault in each section of AWS's page is planted in Regions that are ready, the
//! audit finds all ten where they are and nothing else, and what it prints mends them.
//!
//! The functions are the binaries, the template is the real one, SES keeps its own pace, and the commands that the audit prints
//! run as they stand, by the AWS CLI. What a person or AWS would do, the test does: it reads the application for production
//! access, follows links, publishes DNS records, and enables a Region, which no local AWS can.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test says what failed by panicking"
)]

mod faults;
mod fixes;
mod world;

use std::collections::BTreeMap;

use mailroom_core::audit::{Section, SectionVerdict, Verdict};

use crate::world::{REGIONS, World};

/// What is wrong, by Region and section: how bad, and of what.
type Wrong = BTreeMap<(String, Section), (Verdict, Vec<String>)>;

fn wrong(verdicts: &[SectionVerdict]) -> Wrong {
    let is_wrong = |of: &&SectionVerdict| !matches!(of.verdict, Verdict::Pass | Verdict::NotApplicable);
    let subjects = |of: &SectionVerdict| of.findings.iter().map(|finding| finding.subject.clone()).collect();
    let entry = |of: &SectionVerdict| ((of.region.clone(), of.section), (of.verdict, subjects(of)));
    verdicts.iter().filter(is_wrong).map(entry).collect()
}

/// Every section of every Region has been judged, and IAM by one of them.
fn assert_complete(verdicts: &[SectionVerdict]) {
    for region in REGIONS {
        let sections = verdicts.iter().filter(|of| of.region == region).map(|of| of.section);
        assert!(sections.eq(Section::ALL), "{region}: {verdicts:#?}");
    }
    let asked = verdicts
        .iter()
        .filter(|of| of.section == Section::SmtpCredentials && of.verdict != Verdict::NotApplicable);
    assert_eq!(asked.count(), 1, "IAM is global: {verdicts:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_faults_are_found_where_they_are_and_mended_by_what_is_printed() {
    let world = World::ready().await;
    let verdicts = world.audit().await;
    assert_eq!(wrong(&verdicts), Wrong::new(), "{verdicts:#?}");
    assert_complete(&verdicts);
    let not_applicable = verdicts.iter().filter(|of| of.verdict == Verdict::NotApplicable);
    assert!(not_applicable.map(|of| of.section).all(|of| of == Section::SmtpCredentials), "{verdicts:#?}");

    faults::plant(&world).await;
    let mut verdicts = world.audit().await;
    assert_eq!(wrong(&verdicts), faults::expected(), "{verdicts:#?}");
    assert_complete(&verdicts);

    // An identity that is made has records to publish and topics to set, which the next audit prints.
    for round in 1.. {
        fixes::apply(&world, &verdicts).await;
        verdicts = world.audit().await;
        let left = wrong(&verdicts);
        if left.is_empty() {
            break;
        }
        let only_new = left.keys().all(|(region, _)| region == faults::MISSING_IN);
        let of_new =
            left.values().flat_map(|(_, subjects)| subjects).all(|subject| subject == faults::MISSING);
        assert!(round < 3 && only_new && of_new, "after round {round}: {left:#?}\n{verdicts:#?}");
    }
    assert_complete(&verdicts);
}
