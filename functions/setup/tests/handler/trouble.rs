//! Whatever goes wrong, CloudFormation is answered.

use std::collections::BTreeMap;
use std::time::Duration;

use doubles::{Fault, Fuse, MemoryAnswers};
use mailroom_aws::custom_resource::ResponderError;
use mailroom_aws::deadline::Deadline;
use mailroom_aws::notification_topics::{NotificationAttributes, NotificationTopics};
use mailroom_aws::ses::SesError;
use mailroom_core::setup::FeedbackKind;
use serde_json::{Value, json};
use setup::handler::{SetupError, SetupFunction};

use crate::world::{DOMAIN, Properties, World, all, fresh, set_up};

#[tokio::test]
async fn trouble_with_ses() {
    use Fault::{Denied, None, Throttled, Unanswered, Unavailable};
    let set_up_all = Ok(());
    for (faults, expected) in [
        (vec![Throttled, None, None, None, Throttled, Throttled], set_up_all),
        (vec![Unavailable, None, None, Unanswered, None, Unanswered], set_up_all),
        // A role that is not known everywhere yet.
        (vec![Denied, Denied, Denied], set_up_all),
        (vec![Throttled; 6], Err("which rule set is active: SES throttles")),
        (
            [vec![None; 5], vec![Denied; 6]].concat(),
            Err("to set an address at example.org's Bounce topic: SES denies it: AccessDenied"),
        ),
        (
            [vec![None; 3], vec![Denied; 6]].concat(),
            Err("to activate the rule set m-inbound: SES denies it: AccessDenied"),
        ),
    ] {
        let world = World::new(&fresh());
        world.ses.fault(faults.clone());
        let answer = world.send(&all(false).request("Create", "1")).await;
        assert_eq!(answer, expected.map_err(str::to_owned), "{faults:?}");
        if expected.is_ok() {
            assert_eq!(world.state(), set_up(&fresh()));
        }
        assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
        assert_eq!(world.state(), fresh(), "{faults:?}");
    }
}

#[tokio::test]
async fn it_fails_before_lambda_ends_it() {
    // Time to look, to be throttled, and to answer in; not for all the changes.
    let world = World::new(&fresh());
    let alone = Properties { identities: vec![DOMAIN], ..all(false) };
    world.ses.fault([Fault::None; 3].into_iter().chain([Fault::Throttled; 4]));
    let answer = world.invoke(&alone.request("Create", "1"), 50, &Fuse::default()).await.unwrap();
    assert!(answer.is_ok());
    let failed = world.answer().unwrap_err();
    assert!(failed.starts_with("out of time after ") && failed.contains(" of 5 changes; "), "{failed}");
    // Deleted in parts, which nobody could ask for otherwise.
    assert_eq!(world.send(&all(false).request("Create", "2")).await, Ok(()));
    let mut deletions = 0;
    loop {
        deletions += 1;
        let event = all(false).request("Delete", &format!("delete {deletions}"));
        world.invoke(&event, 21, &Fuse::default()).await.unwrap().unwrap();
        if world.answer().is_ok() {
            break;
        }
    }
    assert!(deletions > 1, "{deletions}");
    assert_eq!(world.state(), fresh());
}

#[tokio::test]
async fn it_answers_even_if_nobody_answers_it() {
    let world = World::new(&fresh());
    let silent = Fuse::default();
    silent.set(0);
    let function = SetupFunction { responder: world.answers.clone(), ..world.function(&silent) };
    // A tenth of a second, and what is kept to answer in.
    let deadline = Deadline::after(Duration::from_millis(10_100));
    function.handle(&all(false).request("Delete", "1"), deadline).await.unwrap();
    assert!(world.answer().unwrap_err().starts_with("out of time"));
}

#[tokio::test]
async fn what_can_t_be_read_is_answered() {
    let world = World::new(&fresh());
    let event = |kind, id, change: fn(&mut Value)| {
        let mut event = all(false).request(kind, id);
        change(&mut event);
        event
    };
    for (event, reason) in [
        (
            event("Create", "1", |event| {
                event["ResourceProperties"]["Identities"] = json!("Somebody@example.org");
            }),
            "property Identities: must be a list of addresses and domains",
        ),
        (
            event("Create", "2", |event| {
                event["ResourceProperties"]["Identities"] = json!(["Some body@example.org"]);
            }),
            "property Identities: number 1 is neither an address nor a domain",
        ),
        (
            event("Update", "3", |event| event["ResourceProperties"] = json!(null)),
            "property ActiveRuleSet: must be leave, activate or replace",
        ),
        (
            event("Move", "4", |_| {}),
            "request: unknown variant `Move`, expected one of `Create`, `Update`, `Delete`",
        ),
    ] {
        assert_eq!(world.send(&event).await, Err(reason.to_owned()));
    }
    let deletion = event("Delete", "5", |event| event["ResourceProperties"] = json!(null));
    assert_eq!(world.send(&deletion).await, Ok(()));
    assert!(world.ses.calls().is_empty());
    let nobody = world.invoke(&json!({"RequestType": "Create"}), 900, &Fuse::default()).await.unwrap();
    assert!(matches!(nobody, Err(SetupError::InvalidRequest(_))));
    // A note that a later version has written.
    world.table.write_note("other", &json!(7));
    world.table.write_note("setup", &json!(7));
    let unreadable = world.send(&all(false).request("Create", "6")).await;
    assert_eq!(unreadable, Err("the table: not an item: note setup can't be read".to_owned()));
}

#[tokio::test]
async fn an_answer_is_delivered_until_it_is_there() {
    let world = World::new(&fresh());
    let unavailable = || ResponderError::Unavailable("status 503".to_owned());
    world.answers.fault([unavailable(), unavailable(), unavailable()]);
    assert_eq!(world.send(&all(false).request("Create", "1")).await, Ok(()));
    // To no avail: Lambda brings the request again, and what it was answered is delivered then.
    world.answers.fault(vec![unavailable(); 20]);
    let event = all(false).request("Delete", "2");
    let undelivered = world.invoke(&event, 900, &Fuse::default()).await.unwrap();
    assert!(
        matches!(undelivered, Err(SetupError::Responder(ResponderError::Unavailable(_)))),
        "{undelivered:?}"
    );
    let world = World { answers: MemoryAnswers::default(), ..world };
    assert_eq!(world.send(&event).await, Ok(()));
    // The signature has expired: nobody waits any more.
    world.answers.fault([ResponderError::Refused(403)]);
    let refused = world.invoke(&event, 900, &Fuse::default()).await.unwrap();
    assert!(matches!(refused, Err(SetupError::Responder(ResponderError::Refused(403)))), "{refused:?}");
}

/// Has a bug.
struct Panicking;

impl NotificationTopics for Panicking {
    async fn attributes(&self, _: &[String]) -> Result<BTreeMap<String, NotificationAttributes>, SesError> {
        panic!("a bug")
    }

    async fn set_topic(&self, _: &str, _: FeedbackKind, _: Option<&str>) -> Result<(), SesError> {
        panic!("a bug")
    }

    async fn set_forwarding(&self, _: &str, _: bool) -> Result<(), SesError> {
        panic!("a bug")
    }
}

#[tokio::test]
async fn a_bug_is_answered() {
    let world = World::new(&fresh());
    let function = world.function_with(&Fuse::default(), Panicking, world.clock.clone());
    let deadline = Deadline::after(Duration::from_mins(15));
    function.handle(&all(false).request("Create", "1"), deadline).await.unwrap();
    assert_eq!(world.answer(), Err("a bug of Mailroom's: the function's log has more".to_owned()));
    assert_eq!(world.send(&all(false).request("Delete", "2")).await, Ok(()));
    assert_eq!(world.state(), fresh());
}
