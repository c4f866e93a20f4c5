//! A storm of bounces in one Region that gets onto the lists of all. It goes by import job, since SES takes one request a
//! second.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use local_aws::local::LocalError;
use local_ses::suppression::{Job, Reason};
use mailroom_core::address::Address;
use mailroom_core::evidence::Evidence;

use crate::feedback::Published;
use crate::print::{self, Part, Progress, count, seconds};
use crate::suppression::{BOUNCES_IN, bounce};
use crate::world::{REGIONS, World};

/// The number of addresses that bounce.
const BOUNCES: usize = 2_000;

/// How long it may take until every list holds them all.
const FOLLOW_WITHIN: Duration = Duration::from_mins(5);

/// The time between two lines that say how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What must be on each list in the end: the reason, by the match form of the address.
type List = BTreeMap<String, Reason>;

/// A storm under way, with the counts from before it.
pub(crate) struct Storm {
    began: Instant,
    calls_before: Calls,
    jobs_before: BTreeMap<&'static str, usize>,
}

/// The number of calls, by Region and action.
type Calls = BTreeMap<(String, String), u64>;

/// How long it took until a Region's list was complete. A Region whose list never was is not there.
type Done = BTreeMap<&'static str, Duration>;

fn address(n: usize) -> String {
    format!("subscriber-{n:04}@example.com")
}

impl Storm {
    /// Begins to count calls, jobs and time.
    pub(crate) fn begin(world: &World) -> Self {
        let jobs_before = REGIONS.into_iter().map(|region| (region, jobs(world, region).len())).collect();
        Self { began: Instant::now(), calls_before: world.ses.requests(), jobs_before }
    }

    /// Publishes all bounces of the storm.
    pub(crate) async fn publish(&self, world: &World) -> Result<(), LocalError> {
        let bounces = (0..BOUNCES).map(|n| bounce(BOUNCES_IN, &address(n), &format!("storm-{n:04}")));
        world.region(BOUNCES_IN).publish_storm(&bounces.collect::<Vec<_>>()).await
    }

    /// Waits until each list holds what it must, from the storm and from the samples that were published with it.
    pub(crate) async fn watch(&self, world: &World, samples: &List, progress: &Progress) -> Done {
        let mut done = Done::new();
        let mut told = Instant::now();
        while done.len() < REGIONS.len() && self.began.elapsed() < FOLLOW_WITHIN {
            tokio::time::sleep(Duration::from_millis(250)).await;
            for region in REGIONS {
                if !done.contains_key(region) && missing(&list(world, region), samples) == 0 {
                    done.insert(region, self.began.elapsed());
                }
            }
            if told.elapsed() > PROGRESS_EVERY {
                told = Instant::now();
                let lists = REGIONS.map(|region| format!("{region} {}", count(list(world, region).len())));
                progress.say(&format!("on the lists: {}", lists.join(", ")));
            }
        }
        done
    }

    /// Shows what the storm cost, and what is wrong.
    pub(crate) fn show(&self, world: &World, samples: &List, done: &Done) -> Part {
        print::heading(&format!("A storm: {} addresses bounce in {BOUNCES_IN}", count(BOUNCES)));
        let calls = self.calls(world);
        let total = |region: &str| -> usize {
            calls.iter().filter(|((at, _), _)| at == region).map(|(_, count)| *count).sum()
        };
        let after = |region| done.get(region).map_or_else(|| "never".to_owned(), |time| seconds(*time));
        let all = BOUNCES + samples.len();
        let mut bars = vec![("one call for each", all, format!("{} calls, {} min", count(all), all / 60))];
        for region in REGIONS {
            let calls = total(region);
            bars.push((region, calls, format!("{} calls, {}", count(calls), after(region))));
        }
        println!(
            "  With {} more of the samples. SES takes one call a second: a few go singly as the storm begins, the\n  \
             rest by import job, until each Region's list holds all {}.\n",
            samples.len(),
            count(all)
        );
        print::bars(&bars);
        println!();
        self.show_jobs(world);
        println!();
        let mut actions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((region, action), calls) in &calls {
            let row = actions.entry(action).or_insert_with(|| vec![String::new(); REGIONS.len()]);
            if let Some(column) = REGIONS.iter().position(|other| other == region) {
                row[column] = count(*calls);
            }
        }
        let header: Vec<&str> = ["SES calls"].into_iter().chain(REGIONS).collect();
        print::table(
            &header,
            actions.into_iter().map(|(action, counts)| [vec![action.to_owned()], counts].concat()),
        );
        let said: Vec<String> = REGIONS
            .iter()
            .map(|region| format!("{region} {} calls, {}", count(total(region)), after(region)))
            .collect();
        Part {
            short: format!("{} bounces are on each Region's list: {}", count(BOUNCES), said.join("; ")),
            complaints: self.complaints(world, samples, done),
        }
    }

    fn complaints(&self, world: &World, samples: &List, done: &Done) -> Vec<String> {
        let mut complaints = Vec::new();
        for region in REGIONS {
            let list = list(world, region);
            if !done.contains_key(region) {
                let missing = missing(&list, samples);
                complaints.push(format!("{region}: {missing} addresses are not on the list as they must be"));
            }
            let expected: BTreeSet<String> =
                (0..BOUNCES).map(address).chain(samples.keys().cloned()).collect();
            let others = list.keys().filter(|address| !expected.contains(*address)).count();
            if others > 0 {
                complaints.push(format!("{region}: {others} addresses are on the list for nothing"));
            }
            if jobs(world, region).len() == self.jobs_before[region] {
                complaints.push(format!("{region}: no import job was made"));
            }
        }
        complaints
    }

    fn calls(&self, world: &World) -> BTreeMap<(String, String), usize> {
        let before = |key: &(String, String)| self.calls_before.get(key).copied().unwrap_or_default();
        let calls = world.ses.requests().into_iter().filter_map(|(key, now)| {
            let made = usize::try_from(now - before(&key)).unwrap_or(usize::MAX);
            (made > 0).then_some((key, made))
        });
        calls.collect()
    }

    fn show_jobs(&self, world: &World) {
        let mut rows = Vec::new();
        for region in REGIONS {
            for job in jobs(world, region).into_iter().skip(self.jobs_before[region]) {
                let took = job.completed.map(|completed| (completed - job.created).as_seconds_f64());
                rows.push(vec![
                    region.to_owned(),
                    job.status().as_str().to_owned(),
                    count(job.processed),
                    count(job.failed.len()),
                    took.map_or_else(|| "-".to_owned(), |took| format!("{took:.1} s")),
                ]);
            }
        }
        print::table(&["import jobs of", "status", "addresses", "failed", "took"], rows);
    }
}

fn jobs(world: &World, region: &str) -> Vec<Job> {
    world.ses.suppression(region, |list, now| list.jobs(now).to_vec())
}

/// What the samples that were published must have put on the lists.
pub(crate) fn listed_by<'a>(published: impl IntoIterator<Item = &'a Published>) -> List {
    let mut list = List::new();
    for record in published.into_iter().flat_map(|published| &published.expected.records) {
        let reason = match record.evidence {
            Some(Evidence::Complaint) => Reason::Complaint,
            Some(Evidence::Bounce) => Reason::Bounce,
            None => continue,
        };
        let entry = list.entry(record.address.clone()).or_insert(reason);
        *entry = (*entry).max(reason);
    }
    list
}

fn list(world: &World, region: &str) -> List {
    let match_form = |address: String| match Address::parse(&address) {
        Ok(parsed) => parsed.match_form().to_owned(),
        Err(_) => address,
    };
    world.ses.list(region).into_iter().map(|(address, entry)| (match_form(address), entry.reason)).collect()
}

/// How much of what must be on a list is not, or for another reason.
fn missing(list: &List, samples: &List) -> usize {
    let storm = (0..BOUNCES).filter(|n| list.get(&address(*n)) != Some(&Reason::Bounce)).count();
    storm + samples.iter().filter(|(address, reason)| list.get(*address) != Some(reason)).count()
}
