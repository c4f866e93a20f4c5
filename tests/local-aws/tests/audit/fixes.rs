//! What the audit prints is done as it stands.

use mailroom_audit::Fix;

use crate::faults;
use crate::tool::{Told, paste};
use crate::world::World;

/// Each finding's, in the order in which they are printed.
pub(crate) async fn apply(world: &World, told: &[Told]) {
    for fix in told.iter().flat_map(|told| &told.findings).flat_map(|finding| &finding.fixes) {
        match fix {
            Fix::Dns(record) => world.ses.publish_dns(&record.name, &record.kind, &record.value),
            Fix::Command(command) => run(world, command).await,
        }
    }
}

async fn run(world: &World, command: &str) {
    // Of these, no local AWS knows the effect.
    if command.starts_with("aws account enable-region ") {
        assert!(command.contains(&format!("--region-name {}", faults::CLOSED)), "{command}");
        world.ses.clear_faults();
        return;
    }
    paste(world, command).await;
    if command.starts_with("aws sesv2 put-account-details ") {
        // AWS's people read it and say yes.
        let region = command.split_whitespace().last().expect("a Region");
        world.ses.account(region, |account| account.review(true));
    }
    if command.starts_with("aws ses verify-email-identity ") {
        // Whose address it is follows the link.
        let argument = |after: &str| {
            command.split_whitespace().skip_while(|argument| *argument != after).nth(1).expect("there")
        };
        assert!(world.ses.confirm(argument("--region"), argument("--email-address")), "{command}");
    }
}
