//! Whether the policy of a bucket or a function lets SES in (guide, "Giving permissions to Amazon SES for email
//! receiving"). The local AWS does not enforce policies, and SES refuses rules where they are wrong.

use serde_json::Value;

/// Who asks to do what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) action: &'a str,
    /// The ARN of the resource. `None`: whatever resource the policy names.
    pub(crate) resource: Option<&'a str>,
    pub(crate) account: &'a str,
    /// The ARN of the rule or of the import job.
    pub(crate) source: &'a str,
    /// Whether SES also names the account as the referrer. The guide's example of a policy for imports requires that.
    pub(crate) refers: bool,
}

/// The ARN of a rule: `arn:aws:ses:us-east-1:123456789012:receipt-rule-set/set:receipt-rule/rule`.
pub(crate) fn rule_arn(region: &str, account: &str, set: &str, rule: &str) -> String {
    format!("arn:aws:ses:{region}:{account}:receipt-rule-set/{set}:receipt-rule/{rule}")
}

/// Whether some statement of a policy allows the request and none denies it. A condition that this does not understand does
/// not hold.
pub(crate) fn allows(policy: &Value, asked: Asked<'_>) -> bool {
    let speaks = |effect: &str| {
        many(&policy["Statement"])
            .iter()
            .any(|statement| statement["Effect"] == effect && applies(statement, asked))
    };
    speaks("Allow") && !speaks("Deny")
}

fn applies(statement: &Value, asked: Asked<'_>) -> bool {
    let any_like = |patterns: &Value, text: &str| {
        many(patterns).iter().filter_map(Value::as_str).any(|pattern| like(pattern, text))
    };
    let principal = &statement["Principal"];
    let is_ses = principal == "*"
        || many(&principal["Service"]).iter().any(|service| *service == "ses.amazonaws.com")
        || many(&principal["AWS"]).iter().any(|who| *who == "*");
    let on_it = asked.resource.is_none_or(|resource| any_like(&statement["Resource"], resource));
    is_ses
        && any_like(&statement["Action"], asked.action)
        && on_it
        && conditions_hold(&statement["Condition"], asked)
}

fn conditions_hold(conditions: &Value, asked: Asked<'_>) -> bool {
    let Some(conditions) = conditions.as_object() else { return true };
    conditions.iter().all(|(operator, keys)| {
        let exact = matches!(operator.as_str(), "StringEquals" | "Bool");
        let glob = matches!(operator.as_str(), "StringLike" | "ArnLike" | "ArnEquals");
        keys.as_object().into_iter().flatten().all(|(key, wanted)| {
            let is = match key.to_ascii_lowercase().as_str() {
                "aws:sourceaccount" => asked.account,
                "aws:sourcearn" => asked.source,
                "aws:referer" if asked.refers => asked.account,
                "aws:securetransport" => "true",
                _ => return false,
            };
            many(wanted).iter().any(|wanted| match wanted {
                Value::String(wanted) => (exact && wanted == is) || (glob && like(wanted, is)),
                Value::Bool(wanted) => exact && wanted.to_string() == is,
                _ => false,
            })
        })
    })
}

/// The members of a list, where a single member may stand in place of the list.
pub(crate) fn many(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// Whether a pattern matches, as in IAM's ARNs and actions: `*` is any text, `?` any character, and all else is itself.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().any(|(at, _)| like(rest, &text[at..])) || like(rest, "")
        }
        Some(wanted) => text.chars().next().is_some_and(|first| {
            (wanted == '?' || wanted == first)
                && like(&pattern[wanted.len_utf8()..], &text[first.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_lets_in_whom_it_names() {
        let rule = rule_arn("us-east-1", "123456789012", "mailroom-inbound", "store");
        let asked = Asked {
            action: "s3:PutObject",
            resource: Some("arn:aws:s3:::mail/in/AMAZON_SES_SETUP_NOTIFICATION"),
            account: "123456789012",
            source: &rule,
            refers: false,
        };
        let good = json!({
            "Sid": "Ses", "Effect": "Allow", "Principal": { "Service": "ses.amazonaws.com" },
            "Action": "s3:PutObject", "Resource": "arn:aws:s3:::mail/in/*",
            "Condition": {
                "StringEquals": { "aws:SourceAccount": "123456789012" },
                "ArnLike": { "AWS:SourceArn": "arn:aws:ses:us-east-1:123456789012:receipt-rule-set/mailroom-inbound:receipt-rule/*" },
            },
        });
        let with = |pointer: &str, value: Value| {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).expect("there") = value;
            changed
        };
        let tls_only = json!({
            "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::mail/*",
            "Condition": { "Bool": { "aws:SecureTransport": "false" } },
        });
        for (statements, expected) in [
            (json!([good]), true),
            (good.clone(), true),
            (json!([tls_only, good]), true),
            (json!([with("/Action", json!(["s3:PutObject", "s3:GetObject"]))]), true),
            (json!([with("/Condition", Value::Null)]), true),
            (json!([]), false),
            (json!([tls_only]), false),
            (json!([with("/Principal/Service", json!("sns.amazonaws.com"))]), false),
            (json!([with("/Action", json!("s3:GetObject"))]), false),
            (json!([with("/Resource", json!("arn:aws:s3:::mail"))]), false),
            (json!([with("/Resource", json!("arn:aws:s3:::mail/other/*"))]), false),
            (json!([with("/Condition/StringEquals/aws:SourceAccount", json!("210987654321"))]), false),
            (
                json!([with(
                    "/Condition/ArnLike/AWS:SourceArn",
                    json!("arn:aws:ses:us-east-1:123456789012:receipt-rule-set/other:*")
                )]),
                false,
            ),
            (
                json!([with("/Condition", json!({ "StringEquals": { "aws:Referer": "123456789012" } }))]),
                false,
            ),
            (json!([good, with("/Effect", json!("Deny"))]), false),
        ] {
            assert_eq!(allows(&json!({ "Statement": statements }), asked), expected, "{statements}");
        }
        assert!(allows(&json!({ "Statement": good }), Asked { resource: None, ..asked }));
        let import = with("/Condition", json!({ "StringEquals": { "aws:Referer": "123456789012" } }));
        assert!(allows(&json!({ "Statement": import }), Asked { refers: true, ..asked }));
    }

    proptest! {
        #[test]
        fn a_text_is_like_itself_and_any_part_may_be_a_star(text in "[a-z:/ü]{0,12}", cut in 0..12_usize) {
            prop_assert!(like(&text, &text));
            prop_assert!(like("*", &text));
            let cut = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
            let starts = format!("{}*", &text[..cut]);
            prop_assert!(like(&starts, &text));
            let longer = format!("{text}x");
            prop_assert!(!like(&text, &longer));
        }
    }
}
