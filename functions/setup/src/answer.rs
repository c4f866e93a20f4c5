//! The answers that CloudFormation gets (User Guide, "Custom resource response objects", November 2026).

use serde::Serialize;

use crate::request::Request;

/// The resource's physical id, the same in every answer. If it changed with an update, CloudFormation would take the
/// resource for replaced, and delete the old one after the update that has set up the new one.
pub const PHYSICAL_ID: &str = "mailroom-setup";

/// The longest reason, in bytes. An answer may have 4096 bytes in all, and a byte of the reason may take up to six,
/// escaped.
const LONGEST_REASON: usize = 400;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    physical_resource_id: &'static str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// Writes an answer as JSON: a success, or a failure with its reason, which is cut off if it is long.
///
/// # Errors
/// No error is known to happen: the answer is text, in a flat structure.
pub fn answer(request: &Request<'_>, failed: Option<&str>) -> serde_json::Result<String> {
    serde_json::to_string(&Answer {
        status: if failed.is_none() { "SUCCESS" } else { "FAILED" },
        reason: failed.map(|reason| &reason[..reason.floor_char_boundary(LONGEST_REASON)]),
        physical_resource_id: PHYSICAL_ID,
        stack_id: request.stack,
        request_id: request.id,
        logical_resource_id: request.resource,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn as_cloudformation_has_it() {
        let event = json!({"ResponseURL": "u", "RequestId": "r", "StackId": "s", "LogicalResourceId": "l"});
        let request = Request::read(&event).unwrap();
        let read = |failed| serde_json::from_str::<Value>(&answer(&request, failed).unwrap()).unwrap();
        let same = json!({
            "Status": "SUCCESS",
            "PhysicalResourceId": "mailroom-setup",
            "StackId": "s",
            "RequestId": "r",
            "LogicalResourceId": "l",
        });
        assert_eq!(read(None), same);
        let failed = read(Some("why"));
        assert_eq!((&failed["Status"], &failed["Reason"]), (&json!("FAILED"), &json!("why")));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let stack = "s".repeat(1000);
        let event = json!({"ResponseURL": "u", "RequestId": "r", "StackId": stack, "LogicalResourceId": "l".repeat(255)});
        let request = Request::read(&event).unwrap();
        for reason in ["\u{1}".repeat(5000), "ä".repeat(5000), format!("a{}", "ä".repeat(5000))] {
            assert!(answer(&request, Some(&reason)).unwrap().len() <= 4096);
        }
    }
}
