//! The command as a process: what it prints, and how it ends. On a real Kafka where `HEADWATER_TEST_BOOTSTRAP` names one.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::process::Command;
use std::task::Poll;

use headwater::kafka::{Answer, Cluster, KafkaCluster, NewTopic};
use headwater::time::{Clock, SystemClock};
use headwater::{Config, TopicName};

/// How the command ends, what it prints, and what it complains of.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let output = command.args(arguments).env_remove("HEADWATER_BOOTSTRAP_SERVERS").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_is_wrong_is_said_and_ends_in_a_code() {
    let cases: &[(&[&str], i32, &str)] = &[
        (&["reset"], 2, "the following required arguments were not provided"),
        (&["reset", "--application-id", "a b"], 1, "`application.id`"),
        (&["reset", "--application-id", "app"], 1, "`bootstrap.servers` is not set"),
        (
            &["reset", "--application-id", "app", "--config", "no/such/file"],
            1,
            "cannot read the file of properties",
        ),
    ];
    for (arguments, code, expected) in cases {
        let (ended, out, error) = run(arguments);
        assert_eq!((ended, out.as_str()), (Some(*code), ""), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
}

/// Repeats a call until it is answered.
fn answer<T>(cluster: &KafkaCluster, mut call: impl FnMut(i64) -> Answer<T>) -> T {
    let clock = SystemClock::new();
    loop {
        if let Poll::Ready(answer) = call(clock.now_ms()) {
            return answer.unwrap();
        }
        cluster.wait(20);
    }
}

#[test]
fn an_application_on_kafka_is_reset() {
    let Ok(servers) = std::env::var("HEADWATER_TEST_BOOTSTRAP") else { return };
    // Names of earlier runs may still be there.
    let app = format!("command-{}-{}", SystemClock::new().now_ms(), std::process::id());
    let (input, changelog) = (format!("{app}.in"), format!("{app}-counts-changelog"));
    let properties = [("application.id", app.as_str()), ("bootstrap.servers", servers.as_str())];
    let config = Config::from_properties(properties).unwrap();
    let cluster = KafkaCluster::connect(&config.cluster_options()).unwrap();
    let topic = |name: &str, policy: &str| NewTopic {
        name: name.into(),
        partitions: 1,
        replication_factor: None,
        configs: vec![("cleanup.policy".to_owned(), policy.to_owned())],
    };
    let topics = [topic(&input, "delete"), topic(&changelog, "compact")];
    let mut admin = cluster.admin("test");
    answer(&cluster, |now_ms| admin.create(&topics, now_ms));

    let arguments =
        ["reset", "--application-id", &app, "--bootstrap-server", &servers, "--input-topics", &input];
    let line = format!("set {input}-0 to offset 0 (none was committed)");
    let (ended, out, error) = run(&[&arguments[..], &["--dry-run"]].concat());
    let expected =
        format!("would {line}\nwould delete topic `{changelog}`\ndry run: 2 steps, nothing was changed\n");
    assert_eq!((ended, out, error.as_str()), (Some(0), expected, ""));

    let (ended, out, error) = run(&arguments);
    let expected = format!("{line}\ndeleted topic `{changelog}`\n2 steps done\n");
    assert_eq!((ended, out, error.as_str()), (Some(0), expected, ""));
    let names: [TopicName; 2] = [input.as_str().into(), changelog.as_str().into()];
    let found = answer(&cluster, |now_ms| admin.describe(&names, now_ms));
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
    let offsets = answer(&cluster, |now_ms| admin.group_offsets(&app, now_ms));
    assert_eq!(offsets.iter().map(|(_, committed)| committed.offset).collect::<Vec<_>>(), [0]);
}
