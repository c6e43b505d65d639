//! Which topics are the application's own, and go.

use headwater::TopicPartition;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, CommittedOffset};
use headwater::reset::{Reset, ResetOptions};
use headwater::time::ManualClock;

const COMPACT: &[(&str, &str)] = &[("cleanup.policy", "compact")];
const BOTH: &[(&str, &str)] = &[("cleanup.policy", "compact,delete")];
const DELETE: &[(&str, &str)] = &[("cleanup.policy", "delete")];

/// What there is on a cluster beside the group `app`: topics with their policies, and a group that has committed something.
struct Case {
    topics: &'static [(&'static str, &'static [(&'static str, &'static str)])],
    group: Option<&'static str>,
    inputs: &'static [&'static str],
    named: &'static [&'static str],
    /// The topics to delete, or the error.
    expected: Result<&'static [&'static str], &'static str>,
}

const NOTHING: Case = Case { topics: &[], group: None, inputs: &[], named: &[], expected: Ok(&[]) };

/// The names of the topics that a reset of `app` would delete.
fn chosen(case: &Case) -> Result<Vec<String>, String> {
    let cluster = MemoryCluster::new();
    cluster.create_topic("other", 1).unwrap();
    for (topic, configs) in case.topics {
        cluster.create_topic_with(topic, 1, configs).unwrap();
    }
    if let Some(group) = case.group {
        let committed = CommittedOffset { offset: 0, metadata: String::new() };
        let offsets = [(TopicPartition::new("other", 0), committed)];
        assert!(cluster.admin("test").set_group_offsets(group, &offsets, 0).is_ready());
    }
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let options = ResetOptions {
        inputs: names(case.inputs),
        internal_topics: names(case.named),
        ..ResetOptions::new("app")
    };
    let before = cluster.broker().topics();
    let clock = ManualClock::at(0);
    let reset = Reset::prepare(&options, &cluster, &clock).map_err(|error| error.to_string())?;
    let steps: Vec<_> = reset.steps().iter().map(|step| step.intention()).collect();
    assert_eq!(cluster.broker().topics(), before, "to prepare changes nothing");
    let topics = steps.iter().filter_map(|step| step.strip_prefix("delete topic `"));
    let deleted: Vec<_> = topics.map(|topic| topic.trim_end_matches('`').to_owned()).collect();
    reset.run(&mut |_| ()).unwrap();
    let left: Vec<_> = before.into_iter().filter(|topic| !deleted.contains(topic)).collect();
    assert_eq!(cluster.broker().topics(), left);
    Ok(deleted)
}

const CASES: &[Case] = &[
    NOTHING,
    Case {
        topics: &[
            ("app", DELETE),
            ("app-a-changelog", COMPACT),
            ("app-a-changelog-2", COMPACT),
            ("app-b-changelog", BOTH),
            ("app-c-repartition", DELETE),
            ("app-changelog", COMPACT),
            ("app-notes", DELETE),
            ("app-repartition", DELETE),
            ("app2-a-changelog", COMPACT),
            ("my-app-a-changelog", COMPACT),
        ],
        expected: Ok(&["app-a-changelog", "app-b-changelog", "app-c-repartition"]),
        ..NOTHING
    },
    // What the settings say against the name, and what another group says.
    Case {
        topics: &[("app-a-changelog", COMPACT), ("app-prices-changelog", DELETE)],
        expected: Err(
            "whose topics these are is not certain: `app-prices-changelog` has cleanup.policy=delete, and a \
                       changelog has compact; name the internal topics that are to be deleted; nothing was changed",
        ),
        ..NOTHING
    },
    Case {
        topics: &[("app-c-repartition", COMPACT)],
        expected: Err(
            "whose topics these are is not certain: `app-c-repartition` has cleanup.policy=compact, and a \
                       repartition topic has delete; name the internal topics that are to be deleted; nothing was changed",
        ),
        ..NOTHING
    },
    Case {
        topics: &[("app-a-changelog", COMPACT), ("app-west-a-changelog", COMPACT)],
        group: Some("app-west"),
        expected: Err(
            "whose topics these are is not certain: `app-west-a-changelog` may be that of the group `app-west`; \
                       name the internal topics that are to be deleted; nothing was changed",
        ),
        ..NOTHING
    },
    Case {
        topics: &[("app-west-changelog", COMPACT), ("apple-a-changelog", COMPACT)],
        group: Some("app-west"),
        expected: Ok(&["app-west-changelog"]),
        ..NOTHING
    },
    // Who names them knows.
    Case {
        topics: &[("app-a-changelog", COMPACT), ("app-west-a-changelog", DELETE)],
        group: Some("app-west"),
        named: &["app-west-a-changelog", "app-west-a-changelog"],
        expected: Ok(&["app-west-a-changelog"]),
        ..NOTHING
    },
    Case {
        topics: &[("app-notes", DELETE)],
        named: &["app-notes", "other"],
        expected: Err(
            "not internal topics of `app`: `app-notes`, `other`; their names are `app-...-changelog` and \
                       `app-...-repartition`; nothing was changed",
        ),
        ..NOTHING
    },
    Case {
        named: &["app-a-changelog"],
        expected: Err(
            "internal topics do not exist: `app-a-changelog`; correct the names; nothing was changed",
        ),
        ..NOTHING
    },
    // An input stays, whatever its name.
    Case {
        topics: &[("app-a-changelog", COMPACT), ("app-b-changelog", COMPACT)],
        inputs: &["app-a-changelog"],
        expected: Ok(&["app-b-changelog"]),
        ..NOTHING
    },
    Case {
        topics: &[("app-a-changelog", COMPACT)],
        inputs: &["app-a-changelog"],
        named: &["app-a-changelog"],
        expected: Err(
            "not internal topics of `app`: `app-a-changelog`; their names are `app-...-changelog` and \
                       `app-...-repartition`; nothing was changed",
        ),
        ..NOTHING
    },
];

#[test]
fn topics_go_by_the_names_of_internal_ones_and_no_others() {
    for case in CASES {
        let expected = case.expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(chosen(case), expected.map_err(str::to_owned), "{:?}", case.topics);
    }
}
