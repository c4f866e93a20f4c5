//! Counts for CloudWatch, as log lines in its embedded metric format: no call, no permission, no latency.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// Receives counts.
pub trait Metrics {
    /// Adds to each name's count. Zeros are left out: they cost money and say nothing.
    fn count(&self, counts: &[(&'static str, usize)]);
}

/// Writes log lines to standard output, under the namespace `Mailroom` and the function's name.
pub struct EmbeddedMetrics {
    function: String,
}

impl EmbeddedMetrics {
    /// Metrics of a function, whose name becomes the dimension `FunctionName`.
    pub fn new(function: impl Into<String>) -> Self {
        Self { function: function.into() }
    }
}

impl Metrics for EmbeddedMetrics {
    fn count(&self, counts: &[(&'static str, usize)]) {
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        if let Some(line) = format_metrics(&self.function, millis, counts) {
            // A metric that can't be written must not cost the batch.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

fn format_metrics(function: &str, millis: u128, counts: &[(&'static str, usize)]) -> Option<Value> {
    let counts: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    if counts.is_empty() {
        return None;
    }
    let metrics: Vec<_> = counts.iter().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
    let directive = json!({"Namespace": "Mailroom", "Dimensions": [["FunctionName"]], "Metrics": metrics});
    let mut line = Map::new();
    line.insert("_aws".to_owned(), json!({"Timestamp": millis, "CloudWatchMetrics": [directive]}));
    line.insert("FunctionName".to_owned(), json!(function));
    line.extend(counts.into_iter().map(|(name, count)| ((*name).to_owned(), json!(count))));
    Some(Value::Object(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_the_embedded_metric_format() {
        let line =
            format_metrics("feedback", 1_769_525_978_237, &[("RecordsWritten", 3), ("MessagesMalformed", 0)])
                .unwrap();
        assert_eq!(
            line,
            json!({
                "_aws": {
                    "Timestamp": 1_769_525_978_237_u64,
                    "CloudWatchMetrics": [{
                        "Namespace": "Mailroom",
                        "Dimensions": [["FunctionName"]],
                        "Metrics": [{"Name": "RecordsWritten", "Unit": "Count"}],
                    }],
                },
                "FunctionName": "feedback",
                "RecordsWritten": 3,
            })
        );
        assert_eq!(super::format_metrics("feedback", 0, &[("RecordsWritten", 0)]), None);
    }
}
