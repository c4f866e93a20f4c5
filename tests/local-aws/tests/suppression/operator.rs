//! The operator's own tool: what it decides in one Region is done in all, and what it shows is what has become of it.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use local_aws::clients::CREDENTIAL;
use local_aws::{paths, shifted_clock};
use local_ses::suppression::Reason;
use serde_json::Value;
use tokio::process::Command;

use crate::world::{List, REGIONS, World, address, bounced};

/// Runs `mailroom` as an operator does, with credentials and a Region in the environment.
async fn mailroom(world: &World, arguments: &[&str]) -> Output {
    let run = Command::new(paths::binary("mailroom"))
        .args(arguments)
        .env_clear()
        .envs(shifted_clock::variables())
        .env("AWS_ENDPOINT_URL", world.aws.ministack().endpoint())
        .env("AWS_ACCESS_KEY_ID", CREDENTIAL)
        .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
        .env("AWS_REGION", REGIONS[0])
        .env("USER", "ann")
        .stdin(Stdio::null())
        .output();
    run.await.expect("the build of `mailroom`: `make local`")
}

/// What it prints, of a run that succeeds.
async fn told(world: &World, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = mailroom(world, arguments).await;
    assert!(status.success(), "{arguments:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("UTF-8")
}

/// `mailroom show --json`, by Region, once every Region has written its list since.
async fn shown(world: &World, address: &str, state: &str) -> BTreeMap<String, Value> {
    let until = Instant::now() + Duration::from_mins(2);
    loop {
        let out = told(world, &["show", "--json", "--regions", &REGIONS.join(","), address]).await;
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let shown: BTreeMap<_, _> =
            lines.map(|line| (line["region"].as_str().expect("a Region").to_owned(), line)).collect();
        let done = |line: &Value| line["state"] == state && line["item"].get("pending").is_none();
        if shown.len() == REGIONS.len() && shown.values().all(done) {
            return shown;
        }
        assert!(Instant::now() < until, "not {state} everywhere:\n{out}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn complained(spellings: &[&str]) -> List {
    spellings.iter().map(|spelling| ((*spelling).to_owned(), Reason::Complaint)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_decides_is_done_in_every_region_and_shown() {
    let world = World::start().await;
    world.bounce(REGIONS[1], 1).await;
    world.wait_for(&REGIONS, &bounced([1]), Duration::from_mins(2)).await;

    // A bounce in one Region, shown from all.
    let line = &shown(&world, &address(1), "bounce").await[REGIONS[2]];
    assert_eq!(
        (&line["item"]["applied"]["reason"], &line["item"]["state"]["bounced"]["region"]),
        (&"bounce".into(), &REGIONS[1].into())
    );
    let out = told(&world, &["release", &address(1), "--why", "mailbox is back"]).await;
    assert!(out.contains("1 newly released"), "{out}");
    world.wait_for(&REGIONS, &List::new(), Duration::from_mins(2)).await;
    let released = shown(&world, &address(1), "released").await;
    let history = |region: &str| released[region]["history"].as_array().expect("a history").clone();
    let decided = &history(REGIONS[0])[0];
    assert_eq!((&decided["who"], &decided["why"]), (&"ann".into(), &"mailbox is back".into()));
    assert_eq!(history(REGIONS[1])[0]["kind"], "bounce");

    // A list: an address that no call to SES deletes, and a line that is none.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "Sales/EU@example.com\njoe@example.com\nnobody\n").expect("written");
    let file = file.path().to_str().expect("UTF-8");
    let run =
        mailroom(&world, &["suppress", "--file", file, "--reason", "complaint", "--why", "asked us"]).await;
    let out = String::from_utf8_lossy(&run.stdout).into_owned();
    assert_eq!(run.status.code(), Some(2), "{out}");
    assert!(out.contains("2 newly suppressed") && out.contains("1 could not be read"), "{out}");
    let expected = complained(&["Sales/EU@example.com", "joe@example.com"]);
    world.wait_for(&REGIONS, &expected, Duration::from_mins(2)).await;

    let out = told(&world, &["release", "sales/eu@example.com", "--why", "asked us again"]).await;
    assert!(out.contains("1 newly released"), "{out}");
    world.wait_for(&REGIONS, &complained(&["joe@example.com"]), Duration::from_mins(3)).await;
    let people = told(&world, &["show", "--regions", &REGIONS.join(","), "sales/eu@example.com"]).await;
    for word in REGIONS.into_iter().chain(["released", "asked us again", "suppress complaint"]) {
        assert!(people.contains(word), "{word} is missing:\n{people}");
    }
    for region in REGIONS {
        assert!(world.ses.request_count(region, "CreateImportJob") >= 1, "{region}");
    }
}
