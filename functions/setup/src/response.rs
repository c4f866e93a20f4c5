//! The answers that CloudFormation gets (User Guide, "Custom resource response objects", November 2026).

use serde::Serialize;

use crate::request::SetupRequest;

/// The resource's physical id, the same in every answer. If it changed with an update, CloudFormation would take the
/// resource for replaced, and delete the old one after the update that has set up the new one.
pub const PHYSICAL_RESOURCE_ID: &str = "mailroom-setup";

/// The longest reason, in bytes. An answer may have 4096 bytes in all, and a byte of the reason may take up to six,
/// escaped.
const MAX_REASON_BYTES: usize = 400;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CustomResourceResponse<'a> {
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
pub fn serialize_response(request: &SetupRequest<'_>, failure: Option<&str>) -> serde_json::Result<String> {
    serde_json::to_string(&CustomResourceResponse {
        status: if failure.is_none() { "SUCCESS" } else { "FAILED" },
        reason: failure.map(|reason| &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)]),
        physical_resource_id: PHYSICAL_RESOURCE_ID,
        stack_id: request.stack_id,
        request_id: request.request_id,
        logical_resource_id: request.logical_resource_id,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn as_cloudformation_has_it() {
        let event = json!({"ResponseURL": "u", "RequestId": "r", "StackId": "s", "LogicalResourceId": "l"});
        let request = SetupRequest::parse(&event).unwrap();
        let read =
            |failed| serde_json::from_str::<Value>(&serialize_response(&request, failed).unwrap()).unwrap();
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
        let request = SetupRequest::parse(&event).unwrap();
        for reason in ["\u{1}".repeat(5000), "ä".repeat(5000), format!("a{}", "ä".repeat(5000))] {
            assert!(serialize_response(&request, Some(&reason)).unwrap().len() <= 4096);
        }
    }
}
