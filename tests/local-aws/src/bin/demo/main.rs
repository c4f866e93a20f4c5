//! `make demo`: every sample event through the real template, queue and function, in two Regions of a local AWS; and raw
//! mails to one of them, with the bucket in the other.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod kept;
mod mail;
mod print;
mod verdict;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use futures_util::future::try_join_all;
use local_aws::expected::{Expected, Settings};
use local_aws::local::LocalError;
use local_aws::samples::Sample;
use local_aws::stack::Deployment;
use local_aws::{LocalAws, Regional, paths};
use tokio::signal::unix::{SignalKind, signal};

use verdict::{Published, Verdict};

const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];
const STACK: &str = "mailroom-demo";

/// A message that cannot be processed is given up after this many receives of so many seconds.
const RECEIVES: &str = "2";
const VISIBILITY_SECONDS: &str = "5";

/// How long the samples may take. Some ten seconds, most of them for the messages that cannot be processed.
const PROCESSING: Duration = Duration::from_mins(2);

/// Every sample event through a local AWS, and what became of it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave the local AWS running and print how to talk to it
    #[arg(long, conflicts_with = "stop")]
    keep: bool,
    /// End what an earlier --keep left running
    #[arg(long)]
    stop: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::select! {
        done = run(&arguments) => done,
        // Returning from here drops the local AWS, and so ends it.
        () = interrupted() => Err("interrupted; everything is stopped".into()),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C, or a polite request to end.
async fn interrupted() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if arguments.stop {
        println!("{}", kept::stop()?);
        return Ok(ExitCode::SUCCESS);
    }
    kept::refuse_a_second()?;
    let progress = Progress { started: Instant::now() };
    let samples = Sample::load_all(&paths::samples("feedback"))?;

    progress.say("starting the local AWS");
    let mut aws =
        if arguments.keep { LocalAws::start_without_proxy().await? } else { LocalAws::start().await? };

    progress.say(&format!("deploying template.yaml into {}", REGIONS.join(" and ")));
    let deployment = Deployment::new(STACK)
        .parameter("FeedbackTimeout", VISIBILITY_SECONDS)
        .parameter("FeedbackVisibilityTimeout", VISIBILITY_SECONDS)
        .parameter("FeedbackMaxReceiveCount", RECEIVES);
    mail::make_bucket(&aws).await?;
    for region in REGIONS {
        aws.deploy(&mail::deployment(&deployment, region), &[region]).await?;
    }

    progress.say(&format!("publishing {} samples to each Region's topic, as SES would", samples.len()));
    let published = try_join_all(aws.regions().map(|region| publish(region, &samples))).await?;

    progress.say(&format!(
        "delivering mails to {}, which stores them in {}",
        mail::RECEIVES_IN,
        mail::LIES_IN
    ));
    let mails = mail::deliver(&aws, &mail::deployment(&deployment, mail::RECEIVES_IN)).await?;

    progress.say(&format!(
        "waiting until they are processed; what cannot be is given up after {RECEIVES} receives of {VISIBILITY_SECONDS} s"
    ));
    try_join_all(aws.regions().map(wait)).await?;

    progress.say("reading tables and queues");
    let mut complaints = Vec::new();
    for (region, published) in aws.regions().zip(&published) {
        let verdict = Verdict::of(region, published).await?;
        print::region(region, published, &verdict);
        complaints.extend(
            verdict.complaints.into_iter().map(|complaint| format!("{}: {complaint}", region.name())),
        );
    }
    print::mails(&mails.items);
    complaints.extend(mails.complaints);
    if !arguments.keep {
        print::calls(aws.proxy());
    }
    print::summary(&complaints);
    if !complaints.is_empty() {
        print::log_of_functions(aws.ministack());
    }

    if arguments.keep {
        let regions: Vec<Regional> = aws.regions().cloned().collect();
        let left = aws.leave_running();
        kept::remember(&left)?;
        print::how_to_talk(&left, &regions);
    } else {
        progress.say("stopping the local AWS");
        drop(aws);
    }
    progress.say("done");
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn publish(region: &Regional, samples: &[Sample]) -> Result<Vec<Published>, LocalError> {
    let settings = Settings::of(region);
    let mut names = Vec::new();
    let mut messages = Vec::new();
    for sample in samples {
        for message in sample.messages_for(region.name(), region.stack()) {
            names.push(sample.name.clone());
            messages.push(message);
        }
    }
    let ids = region.publish_all(&messages).await?;
    let published = names.into_iter().zip(ids).zip(messages).map(|((sample, id), message)| Published {
        sample,
        id,
        expected: Expected::of(&message, &settings),
    });
    Ok(published.collect())
}

async fn wait(region: &Regional) -> Result<(), LocalError> {
    match region.wait_until_idle(PROCESSING).await {
        // The verdict lists what is missing, which says more.
        Ok(()) | Err(LocalError::Busy { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is being done, and when it was begun.
struct Progress {
    started: Instant,
}

impl Progress {
    fn say(&self, what: &str) {
        println!("[{:5.1} s] {what}", self.started.elapsed().as_secs_f64());
    }
}
