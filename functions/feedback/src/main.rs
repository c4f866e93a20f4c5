//! The feedback function.

fn main() {}
