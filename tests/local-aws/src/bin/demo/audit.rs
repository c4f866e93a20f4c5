//! Audits both Regions, with the function of each, and with `mailroom audit` over both.

use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::account;
use crate::print::{self, Part};
use crate::world::{REGIONS, World};

/// How long a pass over a Region may take, at SES's pace.
const PASS_WITHIN: Duration = Duration::from_mins(3);

/// The number of sections of AWS's page "Regions and Amazon SES".
const SECTIONS: usize = 10;

/// Audits each Region, and shows the verdicts.
pub(crate) async fn show(world: &World) -> Result<Part, Box<dyn Error>> {
    let mut complaints = Vec::new();
    for (region, ended) in try_join_all(REGIONS.map(|region| audit(world, region))).await? {
        if !ended {
            complaints.push(format!("{region}: the audit has not come to its end"));
        }
    }
    let regions = REGIONS.join(",");
    let said = world.mailroom(&["audit", "--regions", &regions]).await?;
    print::heading("Is each Region ready?");
    print::command(&format!("mailroom audit --regions {regions}"), &(said.out + &said.err));

    let told = world.mailroom(&["audit", "--regions", &regions, "--json"]).await?;
    if (said.status, told.status) != (Some(0), Some(0)) {
        complaints.push(format!("mailroom audit ended with {:?} and {:?}", said.status, told.status));
    }
    let sections: Vec<Value> = told.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    if sections.len() != REGIONS.len() * SECTIONS {
        complaints.push(format!("the audit tells of {} sections", sections.len()));
    }
    let wrong: Vec<&Value> = sections.iter().filter(|section| !is_fine(section)).collect();
    let expected = |wrong: &Value| {
        let subject = wrong["findings"][0]["subject"] == account::FORGOTTEN;
        subject && wrong["region"] == account::FORGOTTEN_IN && wrong["section"] == "verification"
    };
    if wrong.len() != 1 || !wrong.iter().all(|wrong| expected(wrong)) {
        complaints.push(format!(
            "the audit finds {} things in {} and elsewhere, not only that {} is missing there",
            wrong.len(),
            account::FORGOTTEN_IN,
            account::FORGOTTEN
        ));
    }
    let short = format!(
        "the audit of {} Regions finds what was forgotten in the second: {} is not verified in {}",
        REGIONS.len(),
        account::FORGOTTEN,
        account::FORGOTTEN_IN
    );
    Ok(Part { short, complaints })
}

fn is_fine(section: &Value) -> bool {
    matches!(section["verdict"].as_str(), Some("pass" | "not_applicable"))
}

/// Wakes a Region's function, as its schedule does, until a pass has ended. Returns the Region, and whether one did in
/// time.
async fn audit<'a>(world: &World, region: &'a str) -> Result<(&'a str, bool), Box<dyn Error>> {
    let until = Instant::now() + PASS_WITHIN;
    let mut wake = json!({ "now": true });
    while Instant::now() < until {
        let done = world.invoke_in(region, "AuditFunctionName", &wake).await?;
        match done["state"].as_str() {
            Some("ended") => return Ok((region, true)),
            // Another invocation is at work. Its pass may have begun before everything was as it is now, so ask for a new
            // one again.
            Some("held") => {}
            _ => wake = json!({}),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok((region, false))
}
