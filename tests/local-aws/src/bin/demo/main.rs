//! `make demo`: what Mailroom is for, in two Regions of a local AWS with the real template, queues and functions: a bounce, a
//! release and a storm, and the suppression lists of both; every sample event; raw mails to one Region, with the bucket in the
//! other; and the audit of both.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod account;
mod audit;
mod feedback;
mod kept;
mod mail;
mod print;
mod storm;
mod suppression;
mod verdict;
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use local_aws::paths;
use local_aws::samples::Sample;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use print::{Part, Progress};
use storm::Storm;
use world::{REGIONS, World};

/// Mailroom at work in two Regions of a local AWS.
#[derive(Debug, Parser)]
struct Arguments {
    /// Leave the local AWS running and print how to talk to it
    #[arg(long, conflicts_with_all = ["stop", "stay"])]
    keep: bool,
    /// End what an earlier --keep left running
    #[arg(long)]
    stop: bool,
    /// Be what --keep leaves running
    #[arg(long, hide = true, conflicts_with = "stop")]
    stay: bool,
    /// The file that says what is left running
    #[arg(long, value_name = "FILE", hide = true, default_value_os_t = kept::note())]
    note: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    if arguments.stop {
        println!("{}", kept::stop(&arguments.note)?);
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.keep {
        kept::refuse_a_second(&arguments.note)?;
        return kept::start(&arguments.note, interrupted()).await;
    }
    let progress = Progress::start();
    let (world, succeeded) = tokio::select! {
        shown = show(&progress) => shown?,
        // Whatever is dropped on the way ends the local AWS.
        () = interrupted() => return Err("interrupted; everything is stopped".into()),
        () = kept::abandoned(), if arguments.stay => return Err("interrupted; everything is stopped".into()),
    };
    if arguments.stay {
        world.how_to_talk();
        let ministack = world.aws.ministack();
        kept::stay(&arguments.note, ministack.folder(), ministack.endpoint(), succeeded)?;
        interrupted().await;
        return Ok(ExitCode::SUCCESS);
    }
    progress.say("stopping the local AWS");
    drop(world);
    progress.say("done");
    Ok(if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for Ctrl-C or SIGTERM.
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

/// Runs the whole demo. Returns the local AWS, and whether everything was as it must be.
async fn show(progress: &Progress) -> Result<(World, bool), Box<dyn Error>> {
    let samples = Sample::load_all(&paths::samples("feedback"))?;
    progress.say("starting a local AWS and a local SES");
    let mut world = World::start().await?;
    progress.say(&format!("deploying template.yaml into {}", REGIONS.join(" and ")));
    world.deploy().await?;
    progress.say("reading each Region's suppression list, before anything is put on it");
    world.invoke("ReconcileFunctionName", &json!({})).await?;

    let mut parts = suppression::show(&world, progress).await?;
    parts.extend(traffic(&world, &samples, progress).await?);
    println!();
    progress.say("auditing each Region, at a request a second");
    parts.push(audit::show(&world).await?);
    print::summary(&parts);
    let succeeded = parts.iter().all(|part| part.complaints.is_empty());
    if !succeeded {
        print::log_of_functions(world.aws.ministack());
    }
    Ok((world, succeeded))
}

/// Sends samples, mails and a storm, all at the same time.
async fn traffic(
    world: &World,
    samples: &[Sample],
    progress: &Progress,
) -> Result<Vec<Part>, Box<dyn Error>> {
    println!();
    let storm = Storm::begin(world);
    progress.say(&format!(
        "publishing {} samples to each Region's topic; what can never be processed is given up at once",
        samples.len(),
    ));
    let published = feedback::publish(world, samples).await?;
    progress.say(&format!(
        "delivering mails to {}, which stores them in {}",
        mail::RECEIVES_IN,
        mail::LIES_IN
    ));
    let mails = mail::deliver(world).await?;
    progress.say(&format!("publishing a storm of bounces to {}'s topic", suppression::BOUNCES_IN));
    storm.publish(world).await?;
    progress.say("waiting until each Region's suppression list holds all of them");
    let listed = storm::listed_by(published.iter().flatten());
    let done = storm.watch(world, &listed, progress).await;
    feedback::wait(world).await?;
    progress.say("reading tables and queues");
    let feedback = feedback::show(world, &published).await?;
    Ok(vec![feedback, mails.show(), storm.show(world, &listed, &done)])
}
