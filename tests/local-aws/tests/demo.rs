//! `make demo` must not rot: it is the first thing that anybody runs.

#![allow(clippy::expect_used, reason = "a test says what failed by panicking")]

use std::process::Command;

#[test]
fn every_sample_becomes_what_it_must_in_every_region() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).output().expect("the demo starts");
    let said = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{said}\n{}", String::from_utf8_lossy(&demo.stderr));
    assert!(said.contains("us-east-1") && said.contains("eu-west-1"), "{said}");
}
