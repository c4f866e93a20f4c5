//! Mailroom.

fn main() {}
