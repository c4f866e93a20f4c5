//! Access keys by IAM's own client.

use aws_sdk_iam::types::PolicyEvaluationDecisionType::{Allowed, ImplicitDeny};
use aws_sdk_iam::types::StatusType;
use serde_json::json;
use time::macros::datetime;

use crate::aws::{ACCOUNT, config, error, refused, started, unpaced};

const OLD: time::OffsetDateTime = datetime!(2018-03-04 05:06:07 UTC);

#[tokio::test]
async fn users_and_keys_are_told_paged_and_changed() {
    let (ses, _aws) = started(unpaced()).await;
    let client = aws_sdk_iam::Client::new(&config(&ses, "eu-west-1"));
    ses.iam(|iam| {
        for number in 0..120 {
            iam.add_user(&format!("user-{number}"), OLD, vec![]);
        }
        assert!(iam.add_key("user-7", "AKIAIOSFODNN7EXAMPLE", OLD));
        assert!(iam.add_key("user-7", "AKIAI44QH8DHBEXAMPLE", datetime!(2024-01-01 00:00 UTC)));
        assert!(!iam.add_key("nobody", "AKIAI44QH8DHBEXAMPLE", OLD));
        assert!(iam.use_key("AKIAIOSFODNN7EXAMPLE", datetime!(2026-01-02 00:00 UTC), "ses", "us-west-2"));
    });
    let first = client.list_users().send().await.expect("told");
    assert_eq!((first.users().len(), first.is_truncated()), (100, true));
    let rest = client.list_users().marker(first.marker().expect("more")).send().await.expect("told");
    assert_eq!((rest.users().len(), rest.is_truncated()), (20, false));
    let seventh =
        first.users().iter().chain(rest.users()).find(|user| user.user_name() == "user-7").expect("told");
    assert_eq!(seventh.arn(), format!("arn:aws:iam::{ACCOUNT}:user/user-7"));
    assert_eq!(seventh.create_date().secs(), OLD.unix_timestamp());

    let keys = async || {
        let keys =
            client.list_access_keys().user_name("user-7").send().await.expect("told").access_key_metadata;
        let mut keys: Vec<_> = keys
            .into_iter()
            .filter_map(|key| Some((key.access_key_id?, key.status?, key.create_date?.secs())))
            .collect();
        keys.sort_unstable_by_key(|(_, _, created)| *created);
        keys
    };
    let told = keys().await;
    assert_eq!(told[0], ("AKIAIOSFODNN7EXAMPLE".to_owned(), StatusType::Active, OLD.unix_timestamp()));
    assert_eq!(
        refused(client.list_access_keys().user_name("nobody").send().await),
        error(404, "NoSuchEntity")
    );

    let last_use = async |id: &str| {
        let told = client.get_access_key_last_used().access_key_id(id).send().await.expect("told");
        let used = told.access_key_last_used.expect("told");
        (used.last_used_date.map(|date| date.secs()), used.service_name, used.region)
    };
    let expected = (Some(1_767_312_000), "ses".to_owned(), "us-west-2".to_owned());
    assert_eq!(last_use("AKIAIOSFODNN7EXAMPLE").await, expected);
    assert_eq!(last_use("AKIAI44QH8DHBEXAMPLE").await, (None, "N/A".to_owned(), "N/A".to_owned()));

    let third = client.create_access_key().user_name("user-7").send().await;
    assert_eq!(refused(third), error(409, "LimitExceeded"));
    let made = client.create_access_key().user_name("user-8").send().await.expect("made");
    let made = made.access_key.expect("told");
    assert!(ses.iam(|iam| iam.is_active(&made.access_key_id)));

    let update = client.update_access_key().user_name("user-7").access_key_id("AKIAIOSFODNN7EXAMPLE");
    update.status(StatusType::Inactive).send().await.expect("changed");
    assert_eq!(keys().await[0].1, StatusType::Inactive);
    assert!(!ses.iam(|iam| iam.is_active("AKIAIOSFODNN7EXAMPLE")));
    let delete = || client.delete_access_key().access_key_id("AKIAIOSFODNN7EXAMPLE");
    assert_eq!(refused(delete().send().await), error(400, "ValidationError"), "whose?");
    delete().user_name("user-7").send().await.expect("gone");
    assert_eq!(keys().await.len(), 1);
    assert_eq!(refused(delete().user_name("user-7").send().await), error(404, "NoSuchEntity"));
}

#[tokio::test]
async fn what_a_user_may_is_simulated_resource_by_resource() {
    let (ses, _aws) = started(unpaced()).await;
    let client = aws_sdk_iam::Client::new(&config(&ses, "eu-west-1"));
    let identity = format!("arn:aws:ses:eu-west-1:{ACCOUNT}:identity/example.com");
    let statement = json!({ "Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": identity });
    ses.iam(|iam| {
        iam.add_user("mailer", OLD, vec![json!({ "Statement": [statement] })]);
        iam.add_user("other", OLD, vec![]);
    });
    let simulate = async |user: &str, resources: &[&str]| {
        let simulate = client.simulate_principal_policy().action_names("ses:SendRawEmail");
        let resources = Some(resources.iter().map(|arn| (*arn).to_owned()).collect())
            .filter(|arns: &Vec<_>| !arns.is_empty());
        let arn = format!("arn:aws:iam::{ACCOUNT}:user/{user}");
        let told = simulate.policy_source_arn(arn).set_resource_arns(resources).send().await.expect("told");
        let result = told.evaluation_results().first().cloned().expect("one");
        let each: Vec<_> = result
            .resource_specific_results()
            .iter()
            .map(|one| one.eval_resource_decision().clone())
            .collect();
        (result.eval_decision, each)
    };
    assert_eq!(simulate("mailer", &[]).await, (ImplicitDeny, vec![]));
    let other = identity.replace("example.com", "example.org");
    assert_eq!(simulate("mailer", &[&identity, &other]).await, (ImplicitDeny, vec![Allowed, ImplicitDeny]));
    assert_eq!(simulate("mailer", &[&identity]).await, (Allowed, vec![Allowed]));
    assert_eq!(simulate("other", &[&identity]).await, (ImplicitDeny, vec![ImplicitDeny]));
    let nobody = client.simulate_principal_policy().action_names("ses:SendRawEmail");
    let nobody = nobody.policy_source_arn(format!("arn:aws:iam::{ACCOUNT}:user/nobody")).send().await;
    assert_eq!(refused(nobody), error(404, "NoSuchEntity"));
}
