//! A `BatchWriteItem` that does only part of its work: the answer that is easiest to forget, since its status is 200.

use bytes::Bytes;
use hyper::Response;
use hyper::header::CONTENT_TYPE;
use local_ses::loopback::Answer;
use serde_json::{Map, Value, json};

/// Writes by table, as `RequestItems` and `UnprocessedItems` hold them.
type Writes = Map<String, Value>;

/// Splits a request: the request with its first `keep` writes, and the writes that were taken out. The first is `None` if
/// it would hold no write, since DynamoDB refuses an empty batch. A body that is no batch stays whole.
pub(super) fn split(body: &Bytes, keep: usize) -> (Option<Bytes>, Option<Writes>) {
    let Ok(Value::Object(mut request)) = serde_json::from_slice(body) else {
        return (Some(body.clone()), None);
    };
    let Some(Value::Object(tables)) = request.remove("RequestItems") else {
        return (Some(body.clone()), None);
    };
    let mut left = keep;
    let (mut kept, mut held_back) = (Writes::new(), Writes::new());
    for (table, writes) in tables {
        let Value::Array(mut writes) = writes else { continue };
        let rest = writes.split_off(left.min(writes.len()));
        left -= writes.len();
        if !writes.is_empty() {
            kept.insert(table.clone(), Value::Array(writes));
        }
        if !rest.is_empty() {
            held_back.insert(table, Value::Array(rest));
        }
    }
    let body = (!kept.is_empty()).then(|| {
        request.insert("RequestItems".to_owned(), Value::Object(kept));
        Bytes::from(Value::Object(request).to_string())
    });
    (body, (!held_back.is_empty()).then_some(held_back))
}

/// The answer when not one write was forwarded.
pub(super) fn nothing_done() -> Answer {
    answer(json!({ "UnprocessedItems": {} }).to_string())
}

/// Adds to an answer that the writes `held_back` were not done. An error stays as it is.
pub(super) fn join(given: Answer, held_back: Writes) -> Answer {
    if !given.status().is_success() {
        return given;
    }
    let mut value: Value = serde_json::from_slice(given.body()).unwrap_or_else(|_| json!({}));
    if !value["UnprocessedItems"].is_object() {
        value["UnprocessedItems"] = json!({});
    }
    for (table, mut writes) in held_back {
        match (&mut value["UnprocessedItems"][&table], &mut writes) {
            (Value::Array(there), Value::Array(more)) => there.append(more),
            (place, _) => *place = writes,
        }
    }
    answer(value.to_string())
}

/// Makes an answer of a body. It does not have the checksum that the local AWS may have put on its own answer.
fn answer(body: String) -> Answer {
    let mut answer = Response::new(Bytes::from(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/x-amz-json-1.0"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Bytes {
        Bytes::from(
            json!({ "RequestItems": { "a": [1, 2, 3], "b": [4] }, "ReturnConsumedCapacity": "NONE" })
                .to_string(),
        )
    }

    #[test]
    fn the_first_writes_are_kept() {
        let (kept, held_back) = split(&batch(), 2);
        let kept: Value = serde_json::from_slice(&kept.expect("two writes")).expect("JSON");
        assert_eq!(kept, json!({ "RequestItems": { "a": [1, 2] }, "ReturnConsumedCapacity": "NONE" }));
        assert_eq!(Value::Object(held_back.expect("two writes")), json!({ "a": [3], "b": [4] }));
    }

    #[test]
    fn with_none_kept_there_is_no_request() {
        let (kept, held_back) = split(&batch(), 0);
        assert!(kept.is_none());
        assert_eq!(Value::Object(held_back.expect("all")), json!({ "a": [1, 2, 3], "b": [4] }));
    }

    #[test]
    fn a_small_batch_stays_whole() {
        let (kept, held_back) = split(&batch(), 25);
        assert!(kept.is_some() && held_back.is_none());
    }

    #[test]
    fn what_was_held_back_joins_what_was_left_undone() {
        let given = answer(json!({ "UnprocessedItems": { "a": [1] } }).to_string());
        let (_, held_back) = split(&batch(), 2);
        let joined: Value =
            serde_json::from_slice(join(given, held_back.expect("two writes")).body()).expect("JSON");
        assert_eq!(joined, json!({ "UnprocessedItems": { "a": [1, 3], "b": [4] } }));
    }
}
