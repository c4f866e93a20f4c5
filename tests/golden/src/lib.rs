//! What an earlier version stored and sent, kept as files. The tests show what it means to today's functions.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what failed by panicking"
)]

use std::collections::BTreeMap;

use serde_dynamo::Item;
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/405ee81");

/// The names of all files, without their extension.
pub fn file_names() -> Vec<String> {
    let entries = std::fs::read_dir(FOLDER).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
        .iter()
        .map(|name| name.strip_suffix(".json").unwrap_or_else(|| panic!("{name}")).to_owned())
        .collect()
}

/// The entries of a file that have not been taken out yet.
#[derive(Debug)]
pub struct GoldenFile {
    name: String,
    entries: BTreeMap<String, Value>,
}

impl GoldenFile {
    /// Reads a file.
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(format!("{FOLDER}/{name}.json")).unwrap();
        Self { name: name.to_owned(), entries: serde_json::from_str(&text).unwrap() }
    }

    /// Takes an entry out.
    pub fn take(&mut self, entry: &str) -> Value {
        self.entries.remove(entry).unwrap_or_else(|| panic!("{} has no entry {entry}", self.name))
    }

    /// Takes all entries out that are left.
    pub fn take_rest(&mut self) -> BTreeMap<String, Value> {
        std::mem::take(&mut self.entries)
    }

    /// Fails if an entry is left.
    pub fn assert_all_taken(&self) {
        assert!(self.entries.is_empty(), "{}: no test reads {:?}", self.name, self.entries.keys());
    }
}

/// The items in an entry.
pub fn items(entry: &Value) -> &[Value] {
    entry.as_array().unwrap_or_else(|| panic!("not a list of items: {entry}"))
}

/// An item in DynamoDB's JSON, as plain JSON.
pub fn plain(item: &Value) -> Value {
    let item: Item = serde_json::from_value(item.clone()).unwrap();
    serde_dynamo::from_item(item).unwrap()
}
