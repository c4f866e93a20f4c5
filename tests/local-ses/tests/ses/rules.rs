//! Receipt rules by SES's own client: what goes over the wire is what the real one would read and write.

use crate::aws::{ACCOUNT, client, function, started, topic, unpaced};
use aws_sdk_ses::Client;
use aws_sdk_ses::error::ProvideErrorMetadata;
use aws_sdk_ses::operation::delete_receipt_rule_set::DeleteReceiptRuleSetError;
use aws_sdk_ses::types::{
    AddHeaderAction, BounceAction, InvocationType, LambdaAction, ReceiptAction, ReceiptRule, S3Action,
    SnsAction, StopAction, StopScope, TlsPolicy,
};
use local_ses::InstallError;
use local_ses::faults::Fault;
use local_ses::template::{Stack, rules_from_template};
use serde_json::json;

fn rule(name: &str) -> aws_sdk_ses::types::builders::ReceiptRuleBuilder {
    ReceiptRule::builder().name(name)
}

fn s3(bucket: &str, prefix: &str) -> ReceiptAction {
    let action = S3Action::builder().bucket_name(bucket).object_key_prefix(prefix);
    ReceiptAction::builder().s3_action(action.build().expect("complete")).build()
}

fn lambda(arn: &str) -> ReceiptAction {
    let action = LambdaAction::builder().function_arn(arn).invocation_type(InvocationType::Event);
    ReceiptAction::builder().lambda_action(action.build().expect("complete")).build()
}

fn sns(arn: &str) -> ReceiptAction {
    let action = SnsAction::builder().topic_arn(arn);
    ReceiptAction::builder().sns_action(action.build().expect("complete")).build()
}

async fn create(client: &Client, set: &str, rule: ReceiptRule) -> Result<(), String> {
    let answer = client.create_receipt_rule().rule_set_name(set).rule(rule).send().await;
    answer.map(drop).map_err(|error| error.code().unwrap_or_default().to_owned())
}

async fn set(client: &Client, name: &str) {
    client.create_receipt_rule_set().rule_set_name(name).send().await.expect("made");
}

async fn active(client: &Client) -> Option<String> {
    let answer = client.describe_active_receipt_rule_set().send().await.expect("an answer");
    answer.metadata.and_then(|metadata| metadata.name)
}

#[tokio::test]
async fn a_rule_comes_back_as_it_was_made() {
    let (ses, _aws) = started(unpaced()).await;
    let client = client(&ses, "us-east-1");
    set(&client, "inbound").await;
    let full = rule("full")
        .enabled(true)
        .scan_enabled(true)
        .tls_policy(TlsPolicy::Require)
        .recipients("example.com")
        .recipients("a&b@example.net")
        .actions(s3("mail", "in/<odd> & ünicode/"))
        .actions(sns(&topic("us-east-1")))
        .actions(lambda(&function("us-east-1")))
        .actions({
            let header = AddHeaderAction::builder().header_name("X-Seen").header_value("yes & no");
            ReceiptAction::builder().add_header_action(header.build().expect("complete")).build()
        })
        .actions({
            let bounce = BounceAction::builder()
                .smtp_reply_code("550")
                .status_code("5.1.1")
                .message("no")
                .sender("postmaster@example.com");
            ReceiptAction::builder().bounce_action(bounce.build().expect("complete")).build()
        })
        .actions({
            let stop = StopAction::builder().scope(StopScope::RuleSet).topic_arn(topic("us-east-1"));
            ReceiptAction::builder().stop_action(stop.build().expect("complete")).build()
        })
        .build()
        .expect("complete");
    create(&client, "inbound", full.clone()).await.expect("made");
    let described = client.describe_receipt_rule().rule_set_name("inbound").rule_name("full").send().await;
    let described = described.expect("there").rule.expect("a rule");
    // SES says which encoding it takes.
    let told = |rule: &ReceiptRule| format!("{rule:?}").replace("encoding: Some(Utf8)", "encoding: None");
    assert_eq!(told(&described), told(&full));

    create(&client, "inbound", rule("empty").build().expect("complete")).await.expect("made");
    let described = client.describe_receipt_rule_set().rule_set_name("inbound").send().await.expect("there");
    assert!(described.metadata.and_then(|metadata| metadata.created_timestamp).is_some());
    let names: Vec<String> = described.rules.unwrap_or_default().into_iter().map(|rule| rule.name).collect();
    assert_eq!(names, ["empty", "full"], "without After before all others");

    let update = rule("full").enabled(false).build().expect("complete");
    client.update_receipt_rule().rule_set_name("inbound").rule(update).send().await.expect("updated");
    let described = client.describe_receipt_rule().rule_set_name("inbound").rule_name("full").send().await;
    assert_eq!(described.expect("there").rule.expect("a rule").actions().len(), 0);

    let order =
        client.reorder_receipt_rule_set().rule_set_name("inbound").rule_names("full").rule_names("empty");
    order.send().await.expect("ordered");
    let copy = client.clone_receipt_rule_set().rule_set_name("copy").original_rule_set_name("inbound");
    copy.send().await.expect("copied");
    let move_it =
        client.set_receipt_rule_position().rule_set_name("inbound").rule_name("full").after("empty");
    move_it.send().await.expect("moved");
    let delete = client.delete_receipt_rule().rule_set_name("inbound").rule_name("full");
    delete.send().await.expect("gone");
    for (set, expected) in [("copy", vec!["full", "empty"]), ("inbound", vec!["empty"])] {
        let described = client.describe_receipt_rule_set().rule_set_name(set).send().await.expect("there");
        let names: Vec<String> =
            described.rules.unwrap_or_default().into_iter().map(|rule| rule.name).collect();
        assert_eq!(names, expected, "{set}");
    }
}

#[tokio::test]
async fn one_set_is_active_at_most_in_each_region() {
    let (ses, _aws) = started(unpaced()).await;
    let (here, there) = (client(&ses, "us-east-1"), client(&ses, "eu-west-1"));
    assert_eq!(active(&here).await, None);
    set(&here, "one").await;
    set(&here, "two").await;
    for name in ["one", "two"] {
        here.set_active_receipt_rule_set().rule_set_name(name).send().await.expect("active");
        assert_eq!(active(&here).await.as_deref(), Some(name));
    }
    let refused = here.delete_receipt_rule_set().rule_set_name("two").send().await.expect_err("active");
    assert!(
        refused.as_service_error().is_some_and(DeleteReceiptRuleSetError::is_cannot_delete_exception),
        "{refused:?}"
    );

    assert_eq!(active(&there).await, None, "Regions know nothing of each other");
    let list = there.list_receipt_rule_sets().send().await.expect("a list");
    assert_eq!(list.rule_sets().len(), 0);
    let list = here.list_receipt_rule_sets().send().await.expect("a list");
    let names: Vec<_> = list.rule_sets().iter().filter_map(|set| set.name()).collect();
    assert_eq!(names, ["one", "two"]);

    here.set_active_receipt_rule_set().send().await.expect("none");
    assert_eq!(active(&here).await, None);
    here.delete_receipt_rule_set().rule_set_name("two").send().await.expect("gone");
    assert_eq!(ses.request_count("us-east-1", "SetActiveReceiptRuleSet"), 3);
    assert_eq!(ses.request_count("eu-west-1", "SetActiveReceiptRuleSet"), 0);
}

#[tokio::test]
async fn a_region_that_does_not_receive_has_no_rules() {
    let (ses, _aws) = started(unpaced()).await;
    let list = client(&ses, "us-west-1").list_receipt_rule_sets().send().await;
    assert_eq!(list.expect_err("none").code(), Some("InvalidAction"));
}

#[tokio::test]
async fn what_a_rule_names_is_tried_before_it_is_taken() {
    let (ses, aws) = started(unpaced()).await;
    let client = client(&ses, "us-east-1");
    set(&client, "inbound").await;
    let elsewhere = function("eu-west-1");
    let stranger = format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:stranger");
    aws.change(|state| state.functions.insert(elsewhere.clone(), "null"));
    for (action, expected) in [
        (s3("nobodys", ""), "InvalidS3Configuration"),
        (lambda(&stranger), "InvalidLambdaFunction"),
        (lambda(&elsewhere), "InvalidLambdaFunction"),
        (sns(&format!("{}-stranger", topic("us-east-1"))), "InvalidSnsTopic"),
        (sns(&topic("eu-west-1")), "InvalidSnsTopic"),
    ] {
        let rule = rule("refused").actions(action).build().expect("complete");
        assert_eq!(create(&client, "inbound", rule).await, Err(expected.to_owned()));
    }
    aws.change(|state| state.denied = true);
    let denied = rule("denied").actions(s3("mail", "")).build().expect("complete");
    assert_eq!(create(&client, "inbound", denied).await, Err("InvalidS3Configuration".to_owned()));
    aws.change(|state| state.denied = false);
    assert!(aws.change(|state| state.objects.is_empty() && state.published.is_empty()));

    let good = rule("good").actions(s3("mail", "in/")).actions(sns(&topic("us-east-1"))).build();
    create(&client, "inbound", good.expect("complete")).await.expect("made");
    let object = aws.object("mail", "in/AMAZON_SES_SETUP_NOTIFICATION").expect("the set-up object");
    let text = String::from_utf8(object.content.to_vec()).expect("text");
    assert!(text.contains("Subject: Amazon SES Setup Notification\r\n"), "{text}");
    let published = aws.change(|state| state.published.clone());
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].1["mail"]["messageId"], "AMAZON_SES_SETUP_NOTIFICATION");
    assert!(
        aws.change(|state| state.invoked.is_empty()),
        "a function is not invoked to see whether it could be"
    );

    let code = create(&client, "inbound", rule("good").build().expect("complete")).await;
    assert_eq!(code, Err("AlreadyExists".to_owned()));
    let code = create(&client, "none", rule("good").build().expect("complete")).await;
    assert_eq!(code, Err("RuleSetDoesNotExist".to_owned()));
}

#[tokio::test]
async fn policies_must_let_ses_in_and_name_the_rule_set() {
    let (ses, aws) = started(unpaced()).await;
    let client = client(&ses, "us-east-1");
    set(&client, "inbound").await;
    let policy = |set: &str| {
        json!({ "Statement": { "Effect": "Allow", "Principal": { "Service": "ses.amazonaws.com" }, "Action": "*",
            "Resource": "arn:aws:s3:::mail/in/*",
            "Condition": {
                "StringEquals": { "aws:SourceAccount": ACCOUNT },
                "ArnLike": { "aws:SourceArn": format!("arn:aws:ses:us-east-1:{ACCOUNT}:receipt-rule-set/{set}:receipt-rule/*") },
            } } })
    };
    for (bucket, function_policy, prefix, expected) in [
        ("inbound", "inbound", "in/", Ok(())),
        ("other", "inbound", "in/", Err("InvalidS3Configuration".to_owned())),
        ("inbound", "inbound", "out/", Err("InvalidS3Configuration".to_owned())),
        ("inbound", "other", "in/", Err("InvalidLambdaFunction".to_owned())),
    ] {
        aws.change(|state| {
            state.policies.insert("mail".to_owned(), policy(bucket));
            state.policies.insert(function("us-east-1"), policy(function_policy));
        });
        let rule = rule("rule").actions(s3("mail", prefix)).actions(lambda(&function("us-east-1"))).build();
        let made = create(&client, "inbound", rule.expect("complete")).await;
        assert_eq!(made, expected, "{bucket} {function_policy} {prefix}");
        let delete = client.delete_receipt_rule().rule_set_name("inbound").rule_name("rule");
        delete.send().await.expect("gone");
    }
}

#[tokio::test]
async fn faults_meet_requests() {
    let (ses, _aws) = started(unpaced()).await;
    let client = client(&ses, "us-east-1");
    ses.fault(Fault::throttling().on("CreateReceiptRuleSet").in_region("us-east-1").times(1));
    let throttled = client.create_receipt_rule_set().rule_set_name("inbound").send().await;
    assert_eq!(throttled.expect_err("throttled").code(), Some("Throttling"));
    set(&client, "inbound").await;
    ses.fault(Fault::internal_failure());
    let failed = client.list_receipt_rule_sets().send().await.expect_err("failed");
    assert_eq!(failed.raw_response().map(|raw| raw.status().as_u16()), Some(500));
    ses.clear_faults();
    client.list_receipt_rule_sets().send().await.expect("a list");
    assert_eq!(ses.request_count("us-east-1", "CreateReceiptRuleSet"), 2);
}

#[tokio::test]
async fn the_templates_rules_are_installed_as_by_the_api() {
    let (ses, aws) = started(unpaced()).await;
    let stack = Stack::new("mailroom", "us-east-1", ACCOUNT)
        .resource("InboundFunction", "inbound")
        .parameter("ExistingBucket", "mail")
        .parameter("MailRecipients", "example.com");
    let template = include_str!("../../test_data/template.yaml");
    let inbound = rules_from_template(template, &stack).expect("readable");
    ses.install("us-east-1", &inbound, Some("mailroom-inbound")).await.expect("installed");
    let client = client(&ses, "us-east-1");
    let active = client.describe_active_receipt_rule_set().send().await.expect("an answer");
    assert_eq!(active.rules().len(), 1);
    assert_eq!(active.rules()[0].recipients(), ["example.com"]);
    assert!(aws.object("mail", "mail/us-east-1/AMAZON_SES_SETUP_NOTIFICATION").is_some());

    let again = ses.install("us-east-1", &inbound, None).await.expect_err("there already");
    assert!(again.to_string().contains("AlreadyExists"), "{again}");
    let elsewhere = ses.install("us-west-1", &inbound, None).await;
    assert_eq!(elsewhere, Err(InstallError::NotReceiving("us-west-1".to_owned())));
}
