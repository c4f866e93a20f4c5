//! Deterministic Easy DKIM: why a replica of another Region's identity could not be verified.

/// What to do about a verification error of a replica.
///
/// Source: SES API v2 Reference, `VerificationInfo`, `ErrorType`, as the SDK's model has it in November 2026.
pub(crate) fn dkim_replica_remedy(verification_error: &str) -> Option<&'static str> {
    Some(match verification_error {
        "REPLICATION_ACCESS_DENIED" => {
            "Let whoever makes the replica read the parent: ses:ReplicateEmailIdentityDKIMSigningKey in the parent's Region."
        }
        "REPLICATION_PRIMARY_NOT_FOUND" => {
            "Make the identity in the parent's Region first, or use Easy DKIM of this Region."
        }
        "REPLICATION_PRIMARY_BYO_DKIM_NOT_SUPPORTED" => {
            "The parent has a key of its own: give this Region the same key, or use Easy DKIM of this Region."
        }
        "REPLICATION_REPLICA_AS_PRIMARY_NOT_SUPPORTED" => {
            "The parent is a replica itself: name its parent's Region."
        }
        "REPLICATION_PRIMARY_INVALID_REGION" => "Name a Region as parent that has SES and is not this one.",
        _ => return None,
    })
}
