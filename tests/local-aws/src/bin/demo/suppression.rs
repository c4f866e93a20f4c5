//! One bounce in one Region, and what becomes of the lists of all; then a release.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use local_aws::samples::hard_bounce;
use local_ses::suppression::Entry;
use mailroom_core::timestamp::Timestamp;
use time::OffsetDateTime;

use crate::print::{self, Part, Progress, seconds};
use crate::world::{REGIONS, World, until};

/// The Region in which the address bounces. (`RELEASED_IN` is the one in which an operator releases it.)
pub(crate) const BOUNCES_IN: &str = "us-east-1";
const RELEASED_IN: &str = "eu-west-1";

/// The address that bounces and is released.
pub(crate) const ADDRESS: &str = "marta@example.net";

/// How the ids of those bounces begin that are not of a sample.
pub(crate) const MADE_UP: &str = "feedback-demo-";

/// How long it may take until every list has followed.
const FOLLOW_WITHIN: Duration = Duration::from_mins(1);

/// A permanent bounce that happens now, as SES publishes it to a Region's topic.
pub(crate) fn bounce(region: &str, address: &str, id: &str) -> String {
    hard_bounce(region, &format!("demo-{id}"), address, &timestamp(OffsetDateTime::now_utc()))
}

fn timestamp(time: OffsetDateTime) -> String {
    let millis = i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Timestamp::from_millis(millis).map(|time| time.to_string()).unwrap_or_default()
}

/// Shows a bounce, its release, and what the operator's tool tells of both.
pub(crate) async fn show(world: &World, progress: &Progress) -> Result<Vec<Part>, Box<dyn Error>> {
    progress.say(&format!("{ADDRESS} bounces in {BOUNCES_IN}"));
    let began = Instant::now();
    world.region(BOUNCES_IN).publish(&bounce(BOUNCES_IN, ADDRESS, "one")).await?;
    let listed = follow(world, began, |entry| entry).await;

    progress.say(&format!("an operator releases it in {RELEASED_IN}"));
    let release = ["release", ADDRESS, "--region", RELEASED_IN, "--why", "the mailbox is back, ticket 8"];
    let began = Instant::now();
    let released = world.mailroom(&release).await?;
    let gone = follow(world, began, |entry| entry.is_none().then_some(())).await;
    let shown = world.mailroom(&["show", ADDRESS, "--regions", &REGIONS.join(",")]).await?;

    print::heading(&format!("{ADDRESS} bounces in {BOUNCES_IN}"));
    let header = ["suppression list of", "address", "reason", "since", "after"];
    print::table(
        &header,
        REGIONS.map(|region| match listed.get(region) {
            Some((entry, after)) => {
                let since = timestamp(entry.last_update);
                [region, ADDRESS, entry.reason.as_str(), &since, &seconds(*after)].map(str::to_owned).into()
            }
            None => [region, "-", "-", "-", "never"].map(str::to_owned).into(),
        }),
    );
    println!("\nIts mailbox is back, and somebody says so, in whichever Region:\n");
    print::command(&format!("mailroom {}", quoted(&release)), &(released.out + &released.err));
    println!();
    print::table(
        &["suppression list of", "address", "after"],
        REGIONS.map(|region| match gone.get(region) {
            Some(((), after)) => vec![region.to_owned(), "gone".to_owned(), seconds(*after)],
            None => vec![region.to_owned(), "still there".to_owned(), "-".to_owned()],
        }),
    );
    println!();
    print::command(
        &format!("mailroom show {ADDRESS} --regions {}", REGIONS.join(",")),
        &(shown.out + &shown.err),
    );

    let mut wrong = Vec::new();
    if released.status != Some(0) || shown.status != Some(0) {
        wrong.push(format!("mailroom ended with {:?} and {:?}", released.status, shown.status));
    }
    Ok(vec![
        part("a bounce in one Region is on each Region's list", &listed, Vec::new()),
        part("a release in one Region takes it off each Region's list", &gone, wrong),
    ])
}

/// Waits for each Region's list to be as it must be. Returns how long that took, and what was found.
async fn follow<T>(
    world: &World,
    began: Instant,
    seen: impl Fn(Option<Entry>) -> Option<T>,
) -> BTreeMap<&'static str, (T, Duration)> {
    let mut found = BTreeMap::new();
    until(FOLLOW_WITHIN, || {
        for region in REGIONS {
            if !found.contains_key(region)
                && let Some(seen) = seen(world.ses.list(region).remove(ADDRESS))
            {
                found.insert(region, (seen, began.elapsed()));
            }
        }
        (found.len() == REGIONS.len()).then_some(())
    })
    .await;
    found
}

fn part<T>(what: &str, found: &BTreeMap<&str, (T, Duration)>, mut complaints: Vec<String>) -> Part {
    let mut times = Vec::new();
    for region in REGIONS {
        match found.get(region) {
            Some((_, after)) => times.push(format!("{region} after {}", seconds(*after))),
            None => complaints.push(format!("{what}: not in {region}, after {}", seconds(FOLLOW_WITHIN))),
        }
    }
    Part { short: format!("{what}: {}", times.join(", ")), complaints }
}

fn quoted(arguments: &[&str]) -> String {
    let quote = |argument: &&str| {
        if argument.contains(' ') { format!("\"{argument}\"") } else { (*argument).to_owned() }
    };
    arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}
