//! Reading any bytes ends, in linear time, without a panic, and without losing a neighbouring message.
//!
//! [`corpus`] has what is mutated: every sample event at every level of its wrapping. [`mutation`] mutates it, from seeds that
//! are printed: `MUTATION_SEEDS=1,2` tries others. [`check`] says what must hold of each mutation. [`growth`] grows every
//! field of every sample by itself, and holds the time that takes against the size.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test says what failed by panicking"
)]

mod check;
#[path = "../common/mod.rs"]
mod common;
mod corpus;
mod growth;
mod mutation;
mod random;

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use check::Checker;
use corpus::{Kind, Sample};
use mutation::Mutator;

/// The seeds of an ordinary run. 303 and 808 are the ones that found something once.
const SEEDS: [u64; 8] = [1, 2, 3, 5, 8, 13, 303, 808];
/// How often a sample is mutated for each seed: at least 200,000 times in all.
const MUTATIONS_PER_SEED: usize = 25_100;

fn seeds() -> Vec<u64> {
    match std::env::var("MUTATION_SEEDS") {
        Ok(seeds) => seeds.split(',').map(|seed| seed.trim().parse().unwrap()).collect(),
        Err(_) => SEEDS.to_vec(),
    }
}

#[test]
fn no_mutation_panics_or_costs_a_neighbour() {
    let (seeds, samples) = (seeds(), corpus::load());
    for kind in Kind::ALL {
        assert!(samples.iter().any(|sample| sample.kind == kind), "no sample of {kind:?}");
    }
    println!("{} samples, seeds {seeds:?}, {MUTATIONS_PER_SEED} mutations each", samples.len());
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let checker = Checker::new();
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    run(&checker, &samples, seed);
                }
            });
        }
    });
}

fn run(checker: &Checker, samples: &[Sample], seed: u64) {
    for number in 0..MUTATIONS_PER_SEED {
        let (sample, input) = Mutator::new(samples, seed, number).mutate();
        let Err(failure) = checker.check(sample.kind, &input) else { continue };
        let smallest = checker.shrink(sample.kind, input);
        panic!(
            "{failure}\n  seed {seed}, mutation {number}, of {:?} in {}\n  still fails: {:?}\n  again: MUTATION_SEEDS={seed}",
            sample.kind,
            sample.name,
            String::from_utf8_lossy(&smallest),
        );
    }
}

/// The net has no holes: what is lost or panics is noticed.
#[test]
fn what_must_not_happen_is_noticed() {
    let checker = Checker::new();
    let good = r#"{"eventType":"Send","mail":{"messageId":"m","destination":["a@example.com"]}}"#;
    assert_eq!(checker.check(Kind::Body, good.as_bytes()), Ok(()));
    assert!(checker.between_neighbours("]}", true).is_err());
    assert!(check::caught(|| panic!("on purpose")).is_err());
    let shrunk = check::shrink_while(b"aaaaaaaaXaaaaaaa".to_vec(), |input| input.contains(&b'X'));
    assert_eq!(shrunk, b"X");
}
