//! The audit function's own code, in each Region, with the operator's credentials.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use futures_util::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mailroom_audit::aws::services;
use mailroom_audit::facts::{ApiAnswer, StackFacts};
use mailroom_audit::live;
use mailroom_audit::reader::{AuditProgress, AuditScope};
use mailroom_audit::reconcile_notes::read_last_pass;
use mailroom_aws::clock::SystemClock;
use mailroom_aws::operator::{AwsAccess, OpenTableError, StackOutputs};
use mailroom_core::arn::Arn;
use mailroom_core::region::{ReceivingSetting, Region};
use mailroom_core::suppression::list_pass::ListPass;

use super::outcome::RegionOutcome;
use crate::aws;
use crate::receiving::ReceivingOverrides;

/// Between two calls in a Region, by SES's quota.
const CALL_INTERVAL: Duration = Duration::from_secs(1);

/// Audits Regions, all at once, since each has its own quota. `stacks_only` leaves out those without the stack.
pub(super) async fn audit_regions(
    access: &AwsAccess,
    regions: &[Region],
    stack: &str,
    receiving_overrides: &ReceivingOverrides,
    stacks_only: bool,
) -> Vec<(Region, RegionOutcome)> {
    let found = join_all(regions.iter().map(async |region| {
        (*region, access.outputs(Some(region.name()), stack, aws::call_deadline()).await)
    }));
    let found = found.await;
    // IAM is asked once, by the first Region of its partition that is audited, and for the identities of all that are.
    let mut partitions = HashSet::new();
    let mut all = Vec::new();
    let asked: Vec<_> = found
        .into_iter()
        .map(|(region, outputs)| {
            let audited =
                outputs.is_ok() || (!stacks_only && matches!(outputs, Err(OpenTableError::StackNotFound)));
            all.extend(audited.then(|| region.name().to_owned()));
            (region, outputs, audited && partitions.insert(region.partition()))
        })
        .collect();
    let bars = new_progress_bars();
    let one = async |(region, outputs, iam): (Region, Result<StackOutputs, OpenTableError>, bool)| {
        let got = match outputs {
            Ok(outputs) => {
                audit_region(
                    access,
                    region,
                    receiving_overrides.for_region(region),
                    Some(&outputs),
                    iam,
                    &all,
                    &bars,
                )
                .await
            }
            Err(OpenTableError::StackNotFound) if stacks_only => RegionOutcome::NoStack,
            Err(OpenTableError::StackNotFound) => {
                audit_region(access, region, receiving_overrides.for_region(region), None, iam, &all, &bars)
                    .await
            }
            Err(OpenTableError::Refused(code)) if aws::may_mean_region_disabled(&code) => {
                RegionOutcome::NotEnabled(code)
            }
            Err(other) => RegionOutcome::Failed(aws::explain_stack_error(&other, region.name(), stack)),
        };
        (region, got)
    };
    join_all(asked.into_iter().map(one)).await
}

async fn audit_region(
    access: &AwsAccess,
    region: Region,
    receiving: ReceivingSetting,
    outputs: Option<&StackOutputs>,
    reads_iam: bool,
    audited_regions: &[String],
    progress_bars: &MultiProgress,
) -> RegionOutcome {
    let services = services(&access.config(region.name()));
    let list = read_last_list_pass(access, region, outputs).await;
    let peers = audited_regions.iter().filter(|other| *other != region.name()).cloned().collect();
    let scope = AuditScope {
        stack: stack_facts_from_outputs(region, receiving, outputs),
        list,
        // The stack's Peers are not among its outputs.
        peer_progress: ApiAnswer::NotAsked,
        asks_iam: reads_iam,
        peers,
    };
    let bar = progress_bars.add(new_identity_progress_bar(region));
    let told =
        live::audit_region(&services, scope, &SystemClock, CALL_INTERVAL, None, |at: AuditProgress| {
            bar.set_length(at.identities_total.unwrap_or_default() as u64);
            bar.set_position(at.identities_read as u64);
        });
    let told = told.await;
    bar.finish_and_clear();
    match told {
        Ok(verdicts) => {
            if !io::stderr().is_terminal() {
                let _ = writeln!(io::stderr(), "{}: audited", region.name());
            }
            RegionOutcome::Verdicts(verdicts)
        }
        Err(error) => RegionOutcome::Failed(format!("{}: {error}", region.name())),
    }
}

/// What is ours in a Region, by the outputs of the template; and whether SES is to receive there, which the operator knows best,
/// then the stack, then the catalogue: without a stack there may be a rule set of the operator's own.
fn stack_facts_from_outputs(
    region: Region,
    receiving: ReceivingSetting,
    outputs: Option<&StackOutputs>,
) -> StackFacts {
    let output = |name: &str| outputs.and_then(|outputs| outputs.get(name)).map(str::to_owned);
    let feedback_topic = output("FeedbackTopicArn");
    let account = feedback_topic.as_deref().and_then(Arn::parse).map(|arn| arn.account.to_owned());
    StackFacts {
        region: region.name().to_owned(),
        account,
        configuration_set: output("ConfigurationSetName"),
        rule_set: output("ReceiptRuleSetName"),
        // The outputs of a part stand under its condition.
        receives: match (receiving, outputs) {
            (ReceivingSetting::Auto, Some(_)) => output("MailBucketName").is_some(),
            (said, _) => said.receives_in(region),
        },
        reconcile_function: output("ReconcileFunctionName"),
        feedback_topic,
    }
}

async fn read_last_list_pass(
    access: &AwsAccess,
    region: Region,
    outputs: Option<&StackOutputs>,
) -> ApiAnswer<Option<ListPass>> {
    let Some(table) = outputs.and_then(|outputs| outputs.get("TableName")) else {
        return ApiAnswer::NotAsked;
    };
    match access.table(Some(region.name()), table) {
        Ok(table) => read_last_pass(&table, aws::call_deadline()).await,
        Err(_) => ApiAnswer::NotAsked,
    }
}

fn new_progress_bars() -> MultiProgress {
    let bars = MultiProgress::new();
    if !io::stderr().is_terminal() {
        bars.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    bars
}

fn new_identity_progress_bar(region: Region) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:15} {bar:30} {human_pos} of {human_len} identities");
    let bar = ProgressBar::new(0).with_prefix(region.name());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what failed by panicking")]
mod tests {
    use super::*;

    #[test]
    fn without_a_stack_the_catalogue_says_where_mail_is_received_and_the_operator_knows_better() {
        for (region, receiving, expected) in [
            ("eu-central-1", ReceivingSetting::Auto, true),
            ("eu-central-1", ReceivingSetting::Off, false),
            ("us-gov-east-1", ReceivingSetting::Auto, false),
            ("us-gov-east-1", ReceivingSetting::On, true),
        ] {
            let ours = stack_facts_from_outputs(Region::find(region).unwrap(), receiving, None);
            assert_eq!((ours.receives, ours.feedback_topic), (expected, None), "{region} {receiving:?}");
        }
    }
}
