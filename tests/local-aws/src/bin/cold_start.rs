//! `make bench`: what a cold start of the feedback function costs, against the same function built with the SDK's default
//! features and with AWS-LC's jitter entropy. One bounce, one BatchWriteItem over TLS with a system's root certificates.
//!
//! CPU time is what Lambda's clock shows of a cold start on one core. On a noisy machine the ratio of both builds holds;
//! the absolute times do not.

#![allow(clippy::print_stdout, reason = "a table is what it is for")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use local_aws::paths;
use local_aws::runtime_api::{Mark, Outcome, Sandbox, Spec};
use local_aws::samples::Sample;
use local_aws::tls::TlsDynamoDb;

/// Measure cold starts of the feedback function: the shipped build against one with the SDK's defaults.
#[derive(Parser)]
struct Arguments {
    /// The build that is deployed.
    #[arg(long, value_name = "FILE")]
    shipped: PathBuf,
    /// The build with the SDK's default features and jitter entropy.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Cold starts of each build, which take turns.
    #[arg(long, default_value_t = 15)]
    runs: usize,
}

/// The shipped build must start with less than this share of the baseline's CPU time.
const MAX_CPU_SHARE: f64 = 0.5;

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(ratio) if ratio < MAX_CPU_SHARE => ExitCode::SUCCESS,
        Ok(ratio) => {
            println!("FAILED: {ratio:.2} of the baseline's CPU time, not under {MAX_CPU_SHARE}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cold_start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<f64, Box<dyn std::error::Error>> {
    let sample = Sample::load(&paths::samples("feedback").join("bounce-permanent-general.json"))?;
    let folder = tempfile::tempdir()?;
    let stub = TlsDynamoDb::start().await?;
    let roots = folder.path().join("roots.pem");
    stub.write_bundle(&roots)?;
    let mut marks = [Vec::new(), Vec::new()];
    // The builds take turns, so that a busy machine slows both alike. The first round warms the page cache and is not
    // counted.
    for round in 0..=arguments.runs {
        for (build, marks) in [&arguments.shipped, &arguments.baseline].into_iter().zip(&mut marks) {
            let spec = Spec::new(build, "us-east-1")
                .endpoint(stub.endpoint())
                .variable("SSL_CERT_FILE", roots.display().to_string())
                .variable("ACCOUNT_ID", "123456789012")
                .variable("DEAD_LETTER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/dead")
                .variable("FEEDBACK_TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:local-feedback")
                .variable("RETENTION_DAYS", "400")
                .variable("SOFT_BOUNCES", "off")
                .variable("TABLE_NAME", "table");
            let cold = cold_start(spec, &sample).await?;
            if round > 0 {
                marks.push(cold);
            }
        }
    }
    println!(
        "{:<44}{:>10}{:>10}{:>10}{:>10}",
        "cold start to the first response, median", "CPU ms", "wall ms", "peak MB", "file MB"
    );
    let mut medians = Vec::new();
    for (name, build, marks) in [
        ("shipped", &arguments.shipped, &marks[0]),
        ("SDK's default features, jitter entropy", &arguments.baseline, &marks[1]),
    ] {
        let milliseconds = |time: &dyn Fn(&Mark) -> Duration| {
            median(marks.iter().map(|mark| time(mark).as_secs_f64() * 1e3))
        };
        let cpu = milliseconds(&|mark| mark.cpu);
        let wall = milliseconds(&|mark| mark.elapsed);
        #[expect(clippy::cast_precision_loss, reason = "megabytes with a decimal")]
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let memory = median(marks.iter().map(|mark| megabytes(mark.peak_memory)));
        let file = megabytes(std::fs::metadata(build)?.len());
        println!("{name:<44}{cpu:>10.1}{wall:>10.1}{memory:>10.1}{file:>10.1}");
        medians.push(cpu);
    }
    let ratio = medians[0] / medians[1];
    println!("{ratio:.2} of the CPU time, over {} cold starts of each", arguments.runs);
    Ok(ratio)
}

async fn cold_start(spec: Spec, sample: &Sample) -> Result<Mark, Box<dyn std::error::Error>> {
    let build = spec.bootstrap.clone();
    let sandbox = Sandbox::start(spec).await?;
    let outcome = sandbox.invoke(&sample.event).await;
    match (&outcome, sandbox.first_response()) {
        (Outcome::Response(response), Some(mark))
            if response["batchItemFailures"] == serde_json::json!([]) =>
        {
            Ok(mark)
        }
        _ => Err(format!("{}: {outcome:?}\n{}", build.display(), sandbox.output().join("\n")).into()),
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
